"""A trained run as a program of torch.export: any batch, sequences up to a fixed length, no code of this package."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from lstm_lab.cells import Cell
from lstm_lab.cells.base import CellState
from lstm_lab.config import ConfigError
from lstm_lab.data.base import Batch, DataInfo
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.data.kinds.sequence_regression import RegressionInfo
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.deploy.comparison import TOLERANCE, Compared, difference, expected
from lstm_lab.deploy.drawn_inputs import draw_inputs, series_steps
from lstm_lab.deploy.predictions import answer, forecast
from lstm_lab.kernels import RecurrentNoise
from lstm_lab.kernels.lengths import length_mask, reverse_padded
from lstm_lab.kernels.noise import NoiseWeights
from lstm_lab.tasks.forecast import Forecast
from lstm_lab.tasks.forecasting.scale import Scale
from lstm_lab.training.learner import Learner

CHECKED = 3
"""Random batches that a program is compared with the run on."""


class TorchExport(NamedTuple):
    """A program, beside the run that it was made of."""

    program: ExportedProgram
    compared: Compared


class ExportedModel(nn.Module):
    """From data in their own units to logits and predictions, in operations of torch alone.

    Args:
        learner: on the CPU, in evaluation mode; its cells are executed step by step from now on.
        info: of the data that it was trained on.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, learner: Learner, info: DataInfo) -> None:
        super().__init__()
        self.model, self.task, self.info = learner.model, learner.task, info
        scaled = isinstance(info, LabelledInfo | RegressionInfo | SeriesInfo) and bool(info.mean)
        for name in ("mean", "std"):
            values = vars(info)[name] if scaled else ()
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64))
        self.masked = _masked(info)
        for module in self.model.modules():
            if isinstance(module, Cell):
                module.forward = _StepByStep(module)  # type: ignore[method-assign]

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and predictions, as `onnx` has them.

        Args:
            x: (B, T, C) float64 in the units of the data, float32 where they are not standardised; (B, T) int64 of
                tokens.
            lengths: (B,) int64
        """
        task, given = self.task, x
        if len(self.mean):
            given = ((x - self.mean) / self.std).float()
            if self.masked:
                missing = given.isnan()
                given = torch.cat([given.masked_fill(missing, 0.0), missing[..., : self.masked].float()], 2)
        if isinstance(task, Forecast):
            logits = self.model(*task.model_inputs(Batch(given, lengths, x))).logits
            scale = Scale(*(part[: task.shape[1]].view(1, 1, -1) for part in (self.mean, self.std)))
            return logits, forecast(task, logits, given, scale)
        logits = self.model(given, lengths).logits
        flat = answer(task, logits.flatten(0, -2))
        return logits, flat.view(*logits.shape[:-1], flat.shape[-1])


def _masked(info: DataInfo) -> int:
    """Channels that have a mask of missing values."""
    if isinstance(info, SeriesInfo):
        return info.num_mask_channels
    channels = len(info.mean) if isinstance(info, LabelledInfo | RegressionInfo) else 0
    return channels if channels and info.input_size == 2 * channels else 0


class _StepByStep:
    """`Cell.forward` over its step, without a loop whose end depends on lengths."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell

    def __call__(
        self, x: Tensor, lengths: Tensor, state: CellState | None = None, reverse: bool = False,
        noise: RecurrentNoise | None = None,
    ) -> tuple[Tensor, CellState]:  # fmt: skip
        if reverse:
            outputs, end = self(reverse_padded(x, lengths), lengths, state, noise=noise)
            return reverse_padded(outputs, lengths), end
        cell = self.cell
        state = cell.initial_state(x) if state is None else state
        valid, collected = length_mask(lengths, x.shape[1]), list[Tensor]()
        masks = None if noise is None else NoiseWeights(None, None, (noise.zoneout_h, noise.zoneout_c))
        for t, x_t in enumerate(x.unbind(1)):
            now = valid[:, t : t + 1]
            h, new = cell.step(x_t, state) if masks is None else cell.noisy_step(x_t, state, masks)
            parts = (torch.where(now, after, before) for after, before in zip(new, state, strict=True))
            state = cell.State(*parts)
            collected.append(h.masked_fill(~now, 0.0))
        return torch.stack(collected, 1), state


def write_torch(learner: Learner, info: DataInfo, length: int | None) -> TorchExport:
    """A trained learner as a program of torch.export, compared with the learner on random batches and lengths.

    Args:
        learner: on the CPU, in evaluation mode; not to be used afterwards.
        info: of the data that it was trained on.
        length: T, steps of the longest sequence; None for models of series, which have their window.

    Raises:
        ConfigError: no length, one that is not that of the series, or a model that torch.export cannot take.
    """
    steps = _steps(info, length)
    rng = np.random.default_rng(0)
    drawn = [draw_inputs(info, int(rng.integers(2, 8)), steps, rng) for _ in range(CHECKED)]
    wanted = [expected(learner, info, x, inputs["lengths"]) for inputs, x in drawn]
    module = ExportedModel(learner, info)
    tensors = [tuple(torch.from_numpy(inputs[name]) for name in ("x", "lengths")) for inputs, _ in drawn]
    batch = Dim("batch")
    try:
        program = export(module, tensors[0], dynamic_shapes=({0: batch}, {0: batch}), strict=False)
    except Exception as error:
        reason = str(error).strip().splitlines()[0].partition("! For more information")[0][:200]
        raise ConfigError(f"export --to torch: torch.export cannot take this model: {reason}; use --to onnx") from error
    run = program.module()
    worst = 0.0
    for given, outputs in zip(tensors, wanted, strict=True):
        with torch.inference_mode():
            found = [part.numpy() for part in run(*given)]
        worst = max(worst, difference(found, outputs, given[1].numpy(), learner.task.per_step))
    if not worst <= TOLERANCE:
        raise ConfigError(f"export --to torch: the program differs from the run by {worst:.1e}, more than "
                          f"{TOLERANCE:.0e}: nothing is written; use --to onnx")  # fmt: skip
    return TorchExport(program, Compared(worst, CHECKED, max(len(given[1]) for given in tensors), steps))


def _steps(info: DataInfo, length: int | None) -> int:
    if isinstance(info, SeriesInfo):
        steps = series_steps(info)
        if info.num_series > 1:
            raise ConfigError(
                "export --to torch: the model is of several series, each with its own scale: use --to onnx"
            )
        if length not in (None, steps):
            raise ConfigError(f"export --length {length}: the model reads {steps} rows: leave it out")
        return steps
    if length is None:
        raise ConfigError("export --to torch: torch.export unrolls a recurrent network over a fixed number of steps: "
                          "give --length, the steps of the longest sequence, to which others are padded; --to onnx has "
                          "no such limit")  # fmt: skip
    if length < 1:
        raise ConfigError(f"export --length {length}: must be at least 1")
    return length
