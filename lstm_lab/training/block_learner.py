"""Several steps of the optimizer inside one step of Lightning's loop, which costs more than a small model does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from lstm_lab.data.base import Batch
from lstm_lab.data.loader import Block
from lstm_lab.models.direct import DirectModel, obstacle
from lstm_lab.models.sites import StepKey
from lstm_lab.optimizers.clipping import Clipping
from lstm_lab.optimizers.quick_step import quick_step
from lstm_lab.records.files import Row
from lstm_lab.training.learner import Learner

BLOCK_SECONDS = 0.2
"""After which a block ends: a progress bar moves on."""
BATCH_HOOKS = tuple(
    name for name in vars(Callback)
    if name.startswith("on_train_batch") or name in {"on_before_zero_grad", "on_before_backward", "on_after_backward",
                                                     "on_before_optimizer_step"}
)  # fmt: skip
"""Methods of a callback that Lightning calls for every batch."""


class BlockLearner(Learner):
    """A learner that can train a block of batches in one `training_step`, with the same result, bit for bit.

    It does after `use_blocks`, with a `BlockLoader`. Lightning then calls `on_train_batch_start` and `_end` once for
    each block, and none of the hooks around backward pass and optimizer; its counters of batches and steps, and with
    them progress, checkpoints and resuming, are those of single steps.

    For one process in full precision. Otherwise, and in anybody's own Trainer, it is a `Learner`, whose steps Lightning
    takes: it synchronises gradients, and scales losses.
    """

    stop: threading.Event | None = None
    direct: DirectModel | None = None
    """Computes gradients without autograd's graph, where nothing needs one."""
    _step_optimizer: Callable[[], object]

    def use_blocks(self, clipping: Clipping, stop: threading.Event | None = None) -> None:
        """Take the optimizer's steps in `training_step` from now on; call it before `fit`.

        Args:
            clipping: of gradients, which Lightning leaves to a learner that takes its own steps.
            stop: once set, a block ends after the batch in progress.
        """
        self.automatic_optimization = False
        self.clipping, self.stop = self.clipping or clipping, stop

    def on_train_start(self) -> None:
        super().on_train_start()
        self._step_optimizer = quick_step(self.trainer.optimizers[0])
        self.direct = DirectModel(self.model) if self._obstacle() is None else None

    def _obstacle(self) -> str | None:
        """Why steps need autograd's graph; None where they do not."""
        return "a regularizer or a teacher adds a term to the loss" if self.step.adds_to_loss else obstacle(self.model)

    @property
    def step_path(self) -> Row:
        if self.automatic_optimization:
            return super().step_path
        reason = self._obstacle()
        if reason is not None:
            return {"path": "blocks", "reason": reason}
        return {"path": "direct", "loss": "closed form" if self.task.is_closed_form else "autograd"}

    def on_train_batch_start(self, batch: Batch | Block, batch_idx: int) -> None:
        if isinstance(batch, Batch):
            super().on_train_batch_start(batch, batch_idx)

    def training_step(self, batch: Batch | Block, batch_idx: int) -> Tensor | None:  # type: ignore[override]
        if isinstance(batch, Batch):
            return super().training_step(batch, batch_idx)
        self._train_block(batch, batch_idx)
        return None

    def _train_block(self, block: Block, first: int) -> None:
        """Train batches until the time is up or the epoch ends.

        Args:
            first: number of the first batch within the epoch, which Lightning counts itself.
        """
        loop = self.trainer.fit_loop.epoch_loop
        steps, optimizer = loop.manual_optimization.optim_step_progress, self.trainer.optimizers[0]
        seed, total, last = self._seed(), self._total_steps(), int(self.trainer.num_training_batches) - 1
        end = time.monotonic() + BLOCK_SECONDS
        if self.direct is not None:
            self.direct.begin_block()
        for number, batch in enumerate(block, first):
            if number > first:
                loop.batch_progress.increment_by(1)
            loop.batch_progress.is_last_batch = number == last  # Lightning counts blocks for it.
            self._set_rate(optimizer, steps.total.completed, total)
            self._optimize(batch, optimizer, StepKey(seed, self.trainer.fit_loop.total_batch_idx, size=len(batch.x)))
            steps.increment_ready()
            steps.increment_completed()
            if number == last or time.monotonic() > end or (self.stop is not None and self.stop.is_set()):
                return

    def _optimize(self, batch: Batch, optimizer: torch.optim.Optimizer, key: StepKey) -> None:
        """One step of the optimizer, in the order in which Lightning takes it."""
        assert self.clipping is not None
        self.step.begin(key)
        if self.direct is not None and batch.starts is None:
            self._direct_gradient(self.direct, batch)
        else:
            loss, _ = self.step.loss(self(batch), batch)
            for parameter in self.step.parameters:
                parameter.grad = None
            loss.backward()
        self.step.clip(self.clipping, optimizer)
        self._step_optimizer()
        self.step.end()

    def _direct_gradient(self, model: DirectModel, batch: Batch) -> None:
        """Loss and gradients of a batch without autograd's graph."""
        with torch.no_grad():
            logits = model.forward(*self.task.model_inputs(batch))
            loss, gradient = self.task.loss_gradient(logits, batch)
            self.step.count(loss, batch)
            model.backward(gradient)


def blocks_suffice(precision: str, callbacks: Sequence[Callback]) -> bool:
    """Whether one process can train in blocks: no loss is scaled, and no callback waits for every batch."""
    return precision == "32" and not any(
        vars(cls).get(name) for callback in callbacks for cls in type(callback).__mro__[:-1]
        if cls not in Callback.__mro__ for name in BATCH_HOOKS
    )  # fmt: skip
