"""A trained model that answers step by step, with its state carried."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.base import Batch, NamedChannels
from lstm_lab.data.kinds.next_step import FrameInfo, NextStepSequences, TokenInfo
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.data.sources.csv_folder import CSVFolder
from lstm_lab.data.sources.csv_sequences import CSVSequences
from lstm_lab.deploy.step_scale import StepScale
from lstm_lab.evaluation.predict import LoadedRun
from lstm_lab.models import stepping
from lstm_lab.models.base import TokenDataInfo
from lstm_lab.models.pooling import Last
from lstm_lab.models.sequence import SequenceModel
from lstm_lab.models.state import restore_state, state_tensors
from lstm_lab.records import files
from lstm_lab.records.files import Row
from lstm_lab.tasks.forecast import Forecast
from lstm_lab.tasks.next_step import NextStep

Step = Sequence[float] | Mapping[str, float] | str | int
"""One step: values in the units of the data, in the order of the channels or by name; or a token, by name or number."""
Arrays = dict[str, np.ndarray]

# What is said of a model that has no answer before the end.
BACKWARD = "the model reads backward too, from the end of the sequence: train it with model.bidirectional=false"


class Memory(Protocol):
    """What a model keeps of the steps that it has read."""

    @property
    def slow_because(self) -> str | None:
        """Why a step is computed by the model's modules; None where it is one call of the engine."""

    def read(self, x: Tensor) -> tuple[Tensor, Batch] | None:
        """Read one step (1, I) or (1,): the task's logits and what they belong to; None where it has no answer yet."""

    def reset(self) -> None:
        """Forget all steps."""

    def arrays(self) -> Arrays:
        """What is kept, by name."""

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep what `arrays` returned.

        Raises:
            KeyError, ValueError: it is of another model.
        """


class Stream:
    """Answers of a trained run, step by step: after each, the same as for the whole sequence up to it.

    Args:
        loaded: on the CPU.
        int8: with weights of 8 bits in the cells; answers are near those in full precision.

    Raises:
        ConfigError: the model has no answer before the end of a sequence, or no cells that 8 bits are for.
    """

    def __init__(self, loaded: LoadedRun, int8: bool = False) -> None:
        self._loaded, self._task = loaded, loaded.learner.task
        # Looked up once: a protocol takes longer to check than a step to compute.
        self._columns, self._is_forecast = self._task.prediction_columns, isinstance(self._task, Forecast)
        self._scaled = StepScale(loaded.info)
        self._tokens = loaded.info.tokens if isinstance(loaded.info, TokenDataInfo) else None
        self.channels = _channels(loaded)
        """Names of the values of a step; empty where they have none."""
        self._memory: Memory = _Window(loaded) if isinstance(self._task, Forecast) else _Carried(loaded, int8)
        if int8 and self._memory.slow_because is not None:
            raise ConfigError(f"stream: int8 is for cells that one call of the engine computes: "
                              f"{self._memory.slow_because}")  # fmt: skip
        self.slow_because = self._memory.slow_because
        """Why the cells of a step are computed by the model's modules; None where one call of the engine does."""
        self.steps = 0
        """Read since the beginning of the sequence."""

    def step(self, x: Step) -> Row:
        """Read one step and answer.

        Returns:
            `step`, its number from 1, and what `lstm-lab predict` prints, by column: of a task with a target per step
            that of this step, else of the sequence so far; of a forecast lists over the steps ahead, None until a whole
            window was read; of a model of the next step, of the step that follows.

        Raises:
            DataError: not such a step; nothing is read then.
        """
        read = self._read(x)
        with torch.inference_mode():
            found = self._memory.read(read)
            self.steps += 1
            if found is None:
                return {"step": self.steps, **dict.fromkeys(self._columns)}
            rows = self._task.predictions(*found)[0]
        if self._is_forecast:
            return {"step": self.steps, **{name: [row[k] for row in rows] for k, name in enumerate(self._columns)}}
        return {"step": self.steps, **dict(zip(self._columns, rows[-1], strict=True))}

    def reset(self) -> None:
        """Begin another sequence."""
        self._memory.reset()
        self.steps = 0

    def state(self) -> Arrays:
        """All that is carried, as arrays by name: `numpy.savez` keeps it."""
        return {"steps": np.array(self.steps), **self._memory.arrays()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state.

        Raises:
            DataError: it is the state of another model.
        """
        try:
            self._memory.load(state)
            self.steps = int(state["steps"])
        except (KeyError, ValueError, TypeError) as error:
            self.reset()
            raise DataError(f"state: is not one of this model ({error}): start without it") from None

    def _read(self, x: Step) -> Tensor:
        """A step as the model reads it: (1, I) float32, or (1,) int64."""
        if isinstance(x, str) and isinstance(self._loaded.dataset, NextStepSequences):
            info, dataset = self._loaded.info, self._loaded.dataset
            assert isinstance(info, FrameInfo | TokenInfo)
            steps = torch.from_numpy(dataset.step_text(info).parse(x))
            if len(steps) != 1:
                raise DataError(f"{x!r} is {len(steps)} steps, not one: give the name or number of a token")
            return steps
        if self._tokens is not None:
            return torch.tensor([self._token(x, self._tokens)])
        return self._scaled(self._values(x))

    def _token(self, x: Step, tokens: Sequence[str]) -> int:
        if isinstance(x, str) and x in tokens[1:]:
            return tokens.index(x, 1)
        if isinstance(x, int) and not isinstance(x, bool) and 0 < x < len(tokens):
            return x
        raise DataError(f"{x!r} is no token of the model: give its name, or its number from 1 to {len(tokens) - 1}")

    def _values(self, x: Step) -> np.ndarray:
        """(C,) float64"""
        if not isinstance(x, list) and isinstance(x, Mapping):
            missing = [name for name in self.channels if name not in x]
            unknown = [name for name in x if name not in self.channels]
            if missing or unknown or not self.channels:
                known = f"the channels are {', '.join(self.channels)}" if self.channels else "channels have no names"
                wrong = f"has no {missing[0]!r}" if missing else f"{next(iter(unknown), '')!r} is no channel"
                raise DataError(f"{wrong}: {known}")
            x = [x[name] for name in self.channels]
        try:
            values = np.array([x] if isinstance(x, int | float) else x, np.float64)  # None becomes NaN.
        except (TypeError, ValueError, OverflowError):
            raise DataError(f"{str(x)[:60]!r} is no row of numbers") from None
        expected = self._scaled.size
        if values.shape != (expected,):
            raise DataError(f"{str(x)[:60]} has {values.size} values, but the model reads {expected} in each step")
        return values


def load_state(path: Path) -> Arrays:
    """A state that was written by `save_state`. Nothing is unpickled.

    Raises:
        DataError: it is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, EOFError, ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: is no state of a stream ({error}): remove it to begin anew") from None


def save_state(path: Path, state: Arrays) -> None:
    """Write `Stream.state`, whole or not at all."""
    content = io.BytesIO()
    np.savez(content, **state)  # type: ignore[arg-type]
    files.write_atomic(path, content.getvalue())


class _Carried:
    """The state of a recurrent model."""

    def __init__(self, loaded: LoadedRun, int8: bool) -> None:
        model, self.task = loaded.learner.model, loaded.learner.task
        if not isinstance(model, SequenceModel):
            raise ConfigError(f"stream: model '{model.name}' carries no state from step to step: use model: sequence")
        if model.encoder.bidirectional:
            raise ConfigError(f"stream: {BACKWARD}")
        if model.pooling is not None and not isinstance(model.pooling, Last):
            raise ConfigError(f"stream: pooling '{model.pooling.name}' reads the steps of the whole sequence again: "
                              "train it with model.pooling=last")  # fmt: skip
        self.one, self.form = torch.ones(1, dtype=torch.int64), model.initial_state(1)
        self.nothing = torch.empty(0)
        self.slow_because = stepping.obstacle(model)
        self.model = stepping.ModuleSteps(model) if self.slow_because else stepping.EngineSteps(model, int8)
        self.before_first = isinstance(self.task, NextStep)
        self.reset()

    def reset(self) -> None:
        self.model.reset()
        self.begun = False

    def read(self, x: Tensor) -> tuple[Tensor, Batch]:
        if not self.begun and self.before_first:  # Before the first step the model reads 0, as in training.
            self.model.read(torch.zeros_like(x))
        self.begun = True
        batch = Batch(x.unsqueeze(0), self.one, self.nothing)
        return self.task.postprocess(self.model.read(x).float(), batch), batch

    def arrays(self) -> Arrays:
        if not self.begun:
            return {}
        return {f"state{k}": tensor.numpy().copy() for k, tensor in enumerate(state_tensors(self.model.state()))}

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        if int(arrays["steps"]) == 0:
            return self.reset()
        wanted = state_tensors(self.form)
        found = [torch.from_numpy(np.array(arrays[f"state{k}"])) for k in range(len(wanted))]
        for k, (tensor, like) in enumerate(zip(found, wanted, strict=True)):
            if tensor.shape != like.shape or tensor.dtype != like.dtype:
                raise ValueError(f"state{k} is {tensor.dtype} {tuple(tensor.shape)}, not {like.dtype} "
                                 f"{tuple(like.shape)}")  # fmt: skip
        self.begun = True
        return self.model.load(restore_state(found, self.form))


class _Window:
    """The last rows of a series, which a forecast reads from the first to the last each time."""

    slow_because = "a forecast reads its window again at each step"

    def __init__(self, loaded: LoadedRun) -> None:
        self.learner, info = loaded.learner, loaded.info
        assert isinstance(info, SeriesInfo)
        if info.known or info.num_series > 1:
            raise ConfigError("stream: the model reads columns that are known in advance, or several series, each with "
                              "its own scale: use lstm-lab predict")  # fmt: skip
        self.window, self.size = info.window, info.input_size
        self.rows = torch.empty(0, self.size)

    def reset(self) -> None:
        self.rows = self.rows[:0]

    def read(self, x: Tensor) -> tuple[Tensor, Batch] | None:
        self.rows = torch.cat([self.rows, x])[-self.window :]
        if len(self.rows) < self.window:
            return None
        batch = Batch(self.rows.unsqueeze(0), torch.tensor([self.window]), torch.empty(0))
        return self.learner.logits(batch), batch

    def arrays(self) -> Arrays:
        return {"rows": self.rows.numpy().copy()}

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        rows = torch.from_numpy(np.array(arrays["rows"], np.float32))
        if rows.dim() != 2 or rows.shape[1] != self.size or len(rows) > self.window:
            raise ValueError(f"rows is {tuple(rows.shape)}, not at most ({self.window}, {self.size})")
        self.rows = rows


def _channels(loaded: LoadedRun) -> tuple[str, ...]:
    data, info = loaded.experiment.data, loaded.info
    if isinstance(info, SeriesInfo):
        return info.columns
    if isinstance(data, CSVSequences.Config | CSVFolder.Config):
        return data.channels
    return info.channels if isinstance(info, NamedChannels) else ()
