"""The section `trainer` of an experiment: settings of the training loop."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import nn

from lstm_lab.config import Config, ConfigError, Count
from lstm_lab.models.encoder import Encoder
from lstm_lab.models.segments import Segments
from lstm_lab.optimizers.clipping import AutoClip, Clipping, clipping_of
from lstm_lab.records.run_record import Select

Accelerator = Literal["auto", "cpu", "gpu"]
"""Kind of device; `auto` is a GPU if there is one."""


class Trainer(Config):
    """Settings of the training loop."""

    max_epochs: Count = 50
    """Epochs at most."""
    schedule_epochs: Count | None = None
    """Epochs that the schedule of the learning rate reaches to; null: max_epochs."""
    patience: Count | None = 10
    """Epochs without improvement of the monitored metric before training stops early; null: never."""
    min_delta: Annotated[float, Field(ge=0.0)] = 0.0
    """Least change of the monitored metric that counts as an improvement for `patience`."""
    select: Select = "best"
    """Epoch that counts, whose weights are evaluated: the best by the monitored metric, or the last."""
    gradient_clip_val: Annotated[float, Field(gt=0.0)] | None = 1.0
    """Maximum norm of the gradient, or of each of its components; null: not clipped."""
    gradient_clip_algorithm: Literal["norm", "value", "autoclip"] = "norm"
    """What is limited: norm, the norm of the gradient; value, each component; autoclip, the norm, and besides by a
    percentile of the norms of all steps so far (Seetharaman et al. 2020)."""
    gradient_clip_percentile: Annotated[float, Field(gt=0.0, lt=100.0)] = 10.0
    """That percentile."""
    accumulate_grad_batches: Count | Literal["full"] = 1
    """Batches whose gradients make a step of the optimizer; full: all of an epoch (gradient descent over all data)."""
    truncated_bptt_steps: Count | None = None
    """Steps of a recurrence after which gradients end, while its state is carried on; null: none."""
    checkpoint_steps: Count | None = None
    """Steps of a recurrence that the backward pass computes again at once; null: it reads what was kept."""
    accelerator: Accelerator = "auto"
    """Device; `auto` is a GPU if there is one."""
    precision: Literal["32", "bf16-mixed", "16-mixed"] = "32"
    """Floating-point precision of the forward and backward pass."""
    num_threads: Count = 1
    """CPU threads: part of the experiment, because sums over more threads are rounded differently."""

    @field_validator("accumulate_grad_batches", mode="before")
    @classmethod
    def _is_number_or_full(cls, value: object) -> object:
        if value != "full" and not (type(value) is int and value > 0):
            raise ValueError(f"must be a number of batches, or full, got {value!r}")
        return value

    @model_validator(mode="after")
    def _check_fields_have_an_effect(self) -> Trainer:
        algorithm = self.gradient_clip_algorithm
        if algorithm == "value" and self.gradient_clip_val is None:
            raise ValueError("gradient_clip_algorithm=value would do nothing: gradient_clip_val is null; give a number")
        if algorithm != "autoclip" and self.gradient_clip_percentile != 10.0:
            raise ValueError(
                f"gradient_clip_percentile={self.gradient_clip_percentile:g} would do nothing with "
                f"gradient_clip_algorithm={algorithm}: leave it out, or choose autoclip"
            )
        if self.min_delta and self.patience is None:
            raise ValueError(f"min_delta={self.min_delta:g} would do nothing: patience is null; leave one of them out")
        return self

    def cut(self, model: nn.Module) -> None:
        """Let the recurrences of a model read long sequences in segments, where the fields say so.

        Raises:
            ConfigError: it has no recurrence.
        """
        segments = Segments(self.truncated_bptt_steps, self.checkpoint_steps)
        encoders = [module for module in model.modules() if isinstance(module, Encoder)]
        for encoder in encoders:
            encoder.cut(segments)
        chosen = [name for name in ("truncated_bptt_steps", "checkpoint_steps") if vars(self)[name] is not None]
        if chosen and not encoders:
            raise ConfigError(
                f"trainer.{chosen[0]} would do nothing: the model has no recurrence to cut; set it to null"
            )

    def check_steps(self, steps: int | None) -> None:
        """Raise ValueError where a recurrence is too short to be cut.

        Args:
            steps: that it reads of each sequence; None: that depends on the data.
        """
        chosen = self.truncated_bptt_steps
        if chosen is not None and steps is not None and chosen >= steps:
            raise ValueError(
                f"trainer.truncated_bptt_steps={chosen} would do nothing: the model reads {steps} steps; make it "
                "smaller, or null"
            )

    def clipping(self) -> Clipping:
        """The clipping of gradients that the fields mean."""
        if self.gradient_clip_algorithm == "autoclip":
            return AutoClip(self.gradient_clip_percentile, self.gradient_clip_val)
        return clipping_of(self.gradient_clip_val, self.gradient_clip_algorithm)

    def device(self, accelerator: Accelerator | None = None) -> torch.device:
        """Where a trained run is evaluated.

        Args:
            accelerator: instead of its own; None: its own, or the CPU where this machine has no GPU.

        Raises:
            ConfigError: a GPU is asked for, and there is none.
        """
        chosen, available = accelerator or self.accelerator, torch.cuda.is_available()
        if accelerator == "gpu" and not available:
            raise ConfigError("accelerator=gpu: this machine has no GPU that torch can use; use cpu or auto")
        return torch.device("cuda" if available and chosen != "cpu" else "cpu")
