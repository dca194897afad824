"""What happens in a training step besides model and optimizer: loss terms, clipping, sums for the epoch's metrics.

    begin -> forward -> loss -> backward -> clip -> the optimizer's step -> end

A regulariser or an averaging of weights takes part in steps as a `StepHook`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from lstm_lab.data.base import Batch
from lstm_lab.models import Model
from lstm_lab.models.base import Output
from lstm_lab.models.sites import StepKey, keyed_parts
from lstm_lab.optimizers.clipping import Clipping
from lstm_lab.tasks.base import Task


class StepHook:
    """Takes part in every training step; each method does nothing unless it is overridden.

    The hooks of a learner are called in their order. With gradients accumulated over several batches, `before` and
    `loss` are called for each of them, the others once.
    """

    @property
    def adds_to_loss(self) -> bool:
        """Whether `loss` may return a term."""
        return type(self).loss is not StepHook.loss

    def before(self, model: Model, key: StepKey) -> None:
        """Before the forward pass: change weights, or what the model is to draw in it."""

    def loss(self, model: Model, output: Output, batch: Batch) -> Tensor | None:
        """A term () that is added to the task's mean loss, differentiable; None: no term.

        Args:
            output: as the model returned it, logits postprocessed by the task.
            batch: this worker's share.
        """
        return None

    def gradient(self, model: Model, key: StepKey) -> None:
        """The whole, unscaled gradient is in `.grad` of the parameters; clipping comes next."""

    def clipped(self, model: Model, key: StepKey) -> None:
        """The gradient is clipped; the optimizer's step comes next."""

    def after(self, model: Model, key: StepKey) -> None:
        """The optimizer has changed the weights."""

    def state_dict(self) -> dict[str, object]:
        """Plain values and tensors for the checkpoint; a hook without state returns none."""
        return {}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Restore what `state_dict` returned."""


class TrainingStep:
    """The parts of a step that the learner calls, and the sums over steps since metrics were last logged.

    Sums stay on the device until then: reading a number off the device every step is what makes logging slow. They are
    written into every checkpoint, so that an epoch interrupted half-way averages over all of its batches.
    """

    def __init__(self, model: Model, task: Task, hooks: Sequence[StepHook] = ()) -> None:
        self.model, self.task, self.hooks = model, task, tuple(hooks)
        self.parameters, self.keyed_parts = list(model.parameters()), keyed_parts(model)
        self.sums = {"loss": torch.zeros(()), "grad_norm": torch.zeros(()), "samples": torch.zeros(())}
        self.key = StepKey(0, 0)
        """Of the step in progress, or the last one."""
        self._first_targets: Tensor | None = None
        """Of the first batch whose gradient waits for those of others; None where none does."""
        self._weights = torch.zeros(())

    def add(self, hook: StepHook) -> None:
        """Let one more hook take part, before the others."""
        self.hooks = (hook, *self.hooks)

    @property
    def is_accumulating(self) -> bool:
        """Whether gradients of batches wait for those of others."""
        return self._first_targets is not None

    def accumulate(self, num_targets: int | Tensor) -> Tensor:
        """The weight () of a batch's mean loss, where a step has the gradients of several batches.

        `clip` divides by the sum of the weights: the gradient is that of the mean over the targets of all of them.

        Args:
            num_targets: of the whole batch, which workers share; it may have none.
        """
        count = torch.as_tensor(num_targets, device=self.sums["loss"].device)
        if self._first_targets is None:
            self._first_targets, self._weights = count.clamp(min=1), torch.zeros_like(self.sums["loss"])
        weight = count / self._first_targets  # About 1: half precision has no room for a number of targets.
        self._weights = self._weights + weight
        return weight

    def begin(self, key: StepKey) -> None:
        """Before the forward pass of a batch."""
        self.key = key
        for name, part in self.keyed_parts:
            part.begin_batch(key, name)
        for hook in self.hooks:
            hook.before(self.model, key)

    def loss(self, output: Output, batch: Batch) -> tuple[Tensor, int | Tensor]:
        """The loss to differentiate, a mean over targets, and their number. The sums get the task's own loss."""
        loss = self.task.loss(output.logits, batch)
        num_targets = self.count(loss.detach(), batch)
        for hook in self.hooks:
            term = hook.loss(self.model, output, batch)
            loss = loss if term is None else loss + term
        return loss, num_targets

    def count(self, loss: Tensor, batch: Batch) -> int | Tensor:
        """Add the task's mean loss of a batch to the sums; returns the number of its targets."""
        num_targets = self.task.num_targets(batch)
        self.sums["loss"] += loss * num_targets
        self.sums["samples"] += num_targets
        return num_targets

    @property
    def adds_to_loss(self) -> bool:
        """Whether a hook adds a term to the loss."""
        return any(hook.adds_to_loss for hook in self.hooks)

    def clip(self, clipping: Clipping, optimizer: torch.optim.Optimizer, scaler: GradScaler | None = None) -> None:
        """Between the backward pass and the optimizer's step.

        Args:
            scaler: of the loss, in half precision.
        """
        if scaler is not None and optimizer.defaults.get("fused"):
            # A fused optimizer removes the loss's scale within its step, and Lightning leaves that to it: too late, for
            # the limit is one on the gradient's own norm.
            scaler.unscale_(optimizer)
        if self.is_accumulating:
            for parameter in self.parameters:
                if parameter.grad is not None:
                    parameter.grad /= self._weights.clamp(min=torch.finfo(self._weights.dtype).tiny)
            self._first_targets = None
        for hook in self.hooks:
            hook.gradient(self.model, self.key)
        norm = clipping.clip(self.parameters)
        if scaler is not None:  # Where half precision overflows, the step is left out: it counts as 0.
            norm = norm.nan_to_num(0.0, 0.0)
        self.sums["grad_norm"] += norm
        for hook in self.hooks:
            hook.clipped(self.model, self.key)

    def end(self) -> None:
        """After the optimizer's step."""
        for hook in self.hooks:
            hook.after(self.model, self.key)

    def reset(self) -> None:
        """Count from zero again."""
        self._first_targets = None
        for value in self.sums.values():
            value.zero_()

    def to(self, device: torch.device) -> None:
        """Move the sums to a device."""
        self.sums = {name: value.to(device) for name, value in self.sums.items()}

    def state_dict(self) -> dict[str, object]:
        """For the checkpoint, on the CPU."""
        return {
            "sums": {name: value.cpu() for name, value in self.sums.items()},
            "hooks": [hook.state_dict() for hook in self.hooks],
        }

    def load_state_dict(self, sums: Mapping[str, Tensor], hooks: Sequence[Mapping[str, object]]) -> None:
        """Restore what `state_dict` returned."""
        self.sums = {name: value.clone() for name, value in sums.items()}
        for hook, state in zip(self.hooks, hooks, strict=True):
            hook.load_state_dict(state)
