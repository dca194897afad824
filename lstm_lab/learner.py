"""The LightningModule: model, task and optimiser. It logs, and nothing else."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map, tree_structure, tree_unflatten

from lstm_lab.config import Fault
from lstm_lab.data.base import Batch
from lstm_lab.models import Model
from lstm_lab.optimizers import Optimizer, Schedule
from lstm_lab.tasks.base import Task, better


class Diverged(Fault):
    """The loss left the numbers: a failure, never a result."""

    exit_code = 4


class Learner(pl.LightningModule):
    """One optimisation step a batch, one row of metrics an epoch.

    Sums stay on the device until the epoch ends: reading a number off the device every step is what makes logging slow.
    """

    def __init__(self, model: Model, task: Task, optimizer: Optimizer, schedule: Schedule) -> None:
        super().__init__()
        self.model, self.task, self.optimizer, self.schedule = model, task, optimizer, schedule
        self.scores = task.metrics()
        # Written into every checkpoint, so that an epoch interrupted half-way averages over all of its batches.
        self.sums = {"loss": torch.zeros(()), "grad_norm": torch.zeros(()), "samples": torch.zeros(())}
        self.validation_sums = torch.zeros(2)
        self.best: float | None = None
        self.improved = False
        #: State that the last chunks of a stream left, and where they ended.
        self.carried: tuple[Any, Tensor] | None = None

    def forward(self, batch: Batch) -> Tensor:
        """The model's answers to a batch, in float32: likelihoods and quantiles need it in mixed precision too."""
        x, lengths = self.task.prepare(batch)
        starts = batch.starts
        if starts is None:
            return self.task.complete(self.model(x, lengths).float(), batch)
        output, state = cast(Any, self.model).forward_stateful(x, lengths, self._before(starts, x, lengths))
        self.carried = (tree_map(torch.Tensor.detach, state), starts + lengths)
        return self.task.complete(output.float(), batch)

    def _before(self, starts: Tensor, x: Tensor, lengths: Tensor) -> Any:
        """The state that the chunks before left, where all these begin where those ended; None: begin anew."""
        # A checkpoint is read onto the CPU, and these may lie on a GPU.
        if self.carried is None or not torch.equal(self.carried[1][: len(starts)].to(starts.device), starts):
            return None
        state = self.carried[0]
        if isinstance(state, list):  # As a checkpoint holds it: plain parts, whose form the model alone knows.
            training = self.training
            with torch.no_grad():
                form = tree_structure(cast(Any, self.eval().model).forward_stateful(x, lengths, None)[1])
            self.train(training)
            state = tree_unflatten([part.to(x.device) for part in state], form)
        return tree_map(lambda part: part[: len(starts)], state)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer.over(self.model.parameters())

    def on_fit_start(self) -> None:
        self.sums = {name: value.to(self.device) for name, value in self.sums.items()}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        rate = self.optimizer.choices["lr"] * self.schedule.lr_factor(
            self.trainer.global_step, int(self.trainer.estimated_stepping_batches)
        )
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate

    def on_train_epoch_start(self) -> None:
        if self.trainer.global_rank > 0:
            # Each worker drops out on its own; a function of the epoch, so that a resumed run does the same.
            seeds = (self.trainer.datamodule.seed, self.current_epoch, self.trainer.global_rank)  # type: ignore[attr-defined]
            torch.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1)[0]))

    def share(self, batch: Batch) -> Batch:
        """This worker's samples of a batch; all of them where it is alone."""
        rank, count = self.trainer.global_rank, self.trainer.world_size
        return batch if count == 1 else batch.shard(rank, count)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        mine = self.share(batch)
        if len(mine.x) == 0:  # More workers than samples: one of them counted as nothing keeps the others company.
            first = batch.select(slice(1))
            return 0.0 * self.task.loss(self(first), first)
        loss = self.task.loss(self(mine), mine)
        asked = self.task.num_targets(mine)
        self.sums["loss"] += loss.detach() * asked
        self.sums["samples"] += asked
        if mine is batch:
            return loss
        # Gradients are averaged with equal weights, so that each loss is weighted by what it answers.
        return loss * self.trainer.world_size * asked / max(int(self.task.num_targets(batch)), 1)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        limit = gradient_clip_val if gradient_clip_val is not None else float("inf")
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None and optimizer.defaults.get("fused"):
            # A fused optimiser takes out the loss's scale within its step, and Lightning leaves that to it: too late,
            # as the limit is one on the gradient's own norm.
            scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit, foreach=True)
        if scaler is not None:  # Where half precision overflows, the step is left out: it counts as 0.
            norm = norm.nan_to_num(0.0, 0.0)
        self.sums["grad_norm"] += norm

    def on_validation_epoch_start(self) -> None:
        self.scores.reset()
        self.validation_sums = torch.zeros(2, device=self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        if self.trainer.state.fn == "fit":
            batch = self.share(batch)
        if len(batch.x) == 0:
            return
        output = self(batch)
        n = self.task.num_targets(batch)
        self.validation_sums[0] += self.task.loss(output, batch) * n
        self.validation_sums[1] += n
        self.scores.update(output, batch)

    def on_validation_epoch_end(self) -> None:
        if self.trainer.state.fn != "fit":
            return
        sums, steps = self.sums, self.trainer.num_training_batches
        trained = self.over_workers(torch.stack([sums["loss"], sums["samples"]]))
        validated = self.over_workers(self.validation_sums)
        row = {
            "train/loss": float(trained[0] / trained[1]),
            "train/grad_norm": float(sums["grad_norm"] / steps),
            "val/loss": float(validated[0] / validated[1]),
            **{f"val/{name}": float(value) for name, value in self.scores.compute().items()},
            "lr": float(self.trainer.optimizers[0].param_groups[0]["lr"]),
        }
        for name in ("train/loss", "val/loss"):
            if not torch.isfinite(torch.tensor(row[name])):
                raise Diverged(
                    f"{name} is {row[name]} in epoch {self.current_epoch}: lower optimizer.lr "
                    f"(now {self.optimizer.choices['lr']}) or set trainer.gradient_clip_val"
                )
        for value in sums.values():
            value.zero_()
        decided = row[f"val/{self.task.monitor}"]
        self.improved = better(decided, self.best, self.task.mode)
        self.best = decided if self.improved else self.best
        self.schedule.observe(self.improved)
        self.log_dict(row, logger=False, batch_size=1)

    def over_workers(self, value: Tensor) -> Tensor:
        """A sum over all workers."""
        return self.trainer.strategy.reduce(value, reduce_op="sum")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["learner"] = {
            "sums": {name: value.cpu() for name, value in self.sums.items()},
            "best": self.best,
            "schedule": self.schedule.state_dict(),
            "rng": torch.get_rng_state(),
            "carried": None if self.carried is None else (tree_leaves(self.carried[0]), self.carried[1]),
            **({"cuda_rng": torch.cuda.get_rng_state()} if self.device.type == "cuda" else {}),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        kept = checkpoint["learner"]
        self.sums = {name: value.clone() for name, value in kept["sums"].items()}
        self.best = kept["best"]
        self.schedule.load_state_dict(kept["schedule"])
        self.carried = kept.get("carried")
        self._rng = (kept["rng"], kept.get("cuda_rng"))

    def on_train_start(self) -> None:
        # Last of all set-up, so that nothing between the checkpoint and the first batch draws from the generator.
        cpu, cuda = getattr(self, "_rng", (None, None))
        if cpu is not None:
            torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda)
