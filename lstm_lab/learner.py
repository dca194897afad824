"""The LightningModule: model, task and optimiser. It computes and logs metrics, and writes no files."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from lstm_lab.config import ConfigError, Fault
from lstm_lab.data.base import Batch, SequenceDataModule
from lstm_lab.models import Model
from lstm_lab.models.base import Output, StatefulModel
from lstm_lab.models.state import EncoderState, map_state, restore_state, state_tensors
from lstm_lab.optimizers import Optimizer, Schedule
from lstm_lab.tasks.base import Task, better


class Diverged(Fault):
    """The loss is NaN or infinite: a failure, never a result."""

    exit_code = 4


class StreamState(NamedTuple):
    """What the last batch of a stream left for the next one."""

    state: EncoderState
    ends: Tensor
    """(B,) int64 position in the stream behind each chunk."""


class Learner(pl.LightningModule):
    """One optimisation step per batch, one row of metrics per epoch.

    Sums stay on the device until the epoch ends: reading a number off the device every step is what makes logging slow.

    Args:
        model: from padded batches to logits.
        task: loss, metrics and predictions of them.
        optimizer: builds the torch optimiser of the model's parameters.
        schedule: learning rate of each step.
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
        self.stream: StreamState | None = None
        self._resumed_rng: tuple[Tensor, Tensor | None] | None = None

    def forward(self, batch: Batch) -> Output:
        """What the model computes for a batch; logits are those that the task scores."""
        x, lengths = self.task.model_inputs(batch)
        output = self.model(x, lengths) if batch.starts is None else self._forward_chunk(x, lengths, batch.starts)
        return output._replace(logits=self.task.postprocess(output.logits, batch))

    def _forward_chunk(self, x: Tensor, lengths: Tensor, starts: Tensor) -> Output:
        """Chunks of a stream, from the state of the batch before where every chunk continues it."""
        if not isinstance(self.model, StatefulModel):
            raise ConfigError(
                f"data.stateful: model '{self.model.name}' carries no state from chunk to chunk; set it to false"
            )
        output, state = self.model.forward_stateful(x, lengths, self._state_at(starts, x.device))
        self.stream = StreamState(map_state(Tensor.detach, state), starts + lengths)
        return output

    def _state_at(self, starts: Tensor, device: torch.device) -> EncoderState | None:
        """The state after the chunks that end where these start; None where they continue none."""
        if self.stream is None or not torch.equal(self.stream.ends[: len(starts)], starts):
            return None
        return map_state(lambda tensor: tensor[: len(starts)].to(device), self.stream.state)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer.build_torch(self.model.parameters())

    def on_fit_start(self) -> None:
        self.sums = {name: value.to(self.device) for name, value in self.sums.items()}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        rate = self.optimizer.lr * self.schedule.lr_factor(
            self.trainer.global_step, int(self.trainer.estimated_stepping_batches)
        )
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate

    def on_train_epoch_start(self) -> None:
        if self.trainer.global_rank > 0:
            # Each worker has dropout masks of its own; a function of the epoch, so that a resumed run repeats them.
            seeds = (self._seed(), self.current_epoch, self.trainer.global_rank)
            torch.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1)[0]))

    def _seed(self) -> int:
        data: object = self.trainer.datamodule  # type: ignore[attr-defined]
        return data.seed if isinstance(data, SequenceDataModule) else 0

    def shard(self, batch: Batch) -> Batch:
        """This worker's samples of a batch; all of them where there is one worker."""
        rank, count = self.trainer.global_rank, self.trainer.world_size
        return batch if count == 1 else batch.shard(rank, count)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        shard = self.shard(batch)
        if len(shard.x) == 0:  # More workers than samples: a sample of weight 0 keeps this one in step with the others.
            first = batch.select(slice(1))
            return 0.0 * self.task.loss(self(first).logits, first)
        loss = self.task.loss(self(shard).logits, shard)
        num_targets = self.task.num_targets(shard)
        self.sums["loss"] += loss.detach() * num_targets
        self.sums["samples"] += num_targets
        if shard is batch:
            return loss
        # Gradients are averaged with equal weights over workers, so each loss is weighted by its targets.
        return loss * self.trainer.world_size * num_targets / max(int(self.task.num_targets(batch)), 1)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        limit = gradient_clip_val if gradient_clip_val is not None else float("inf")
        self.sums["grad_norm"] += torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit, foreach=True)

    def on_validation_epoch_start(self) -> None:
        self.scores.reset()
        self.validation_sums = torch.zeros(2, device=self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        if self.trainer.state.fn == "fit":
            batch = self.shard(batch)
        if len(batch.x) == 0:
            return
        logits = self(batch).logits
        num_targets = self.task.num_targets(batch)
        self.validation_sums[0] += self.task.loss(logits, batch) * num_targets
        self.validation_sums[1] += num_targets
        self.scores.update(logits, batch)

    def on_validation_epoch_end(self) -> None:
        if self.trainer.state.fn != "fit":
            return
        row = self._epoch_row()
        for name in ("train/loss", "val/loss"):
            if not np.isfinite(row[name]):
                raise Diverged(
                    f"{name} is {row[name]} in epoch {self.current_epoch}: lower optimizer.lr "
                    f"(now {self.optimizer.lr}) or set trainer.gradient_clip_val"
                )
        for value in self.sums.values():
            value.zero_()
        monitored = row[f"val/{self.task.monitor}"]
        self.improved = better(monitored, self.best, self.task.mode)
        self.best = monitored if self.improved else self.best
        self.schedule.observe(self.improved)
        self.log_dict(row, logger=False, batch_size=1)

    def _epoch_row(self) -> dict[str, float]:
        """The metrics of the epoch, over all workers."""
        sums, steps = self.sums, self.trainer.num_training_batches
        trained = self.sum_over_workers(torch.stack([sums["loss"], sums["samples"]]))
        validated = self.sum_over_workers(self.validation_sums)
        return {
            "train/loss": float(trained[0] / trained[1]),
            "train/grad_norm": float(sums["grad_norm"] / steps),
            "val/loss": float(validated[0] / validated[1]),
            **{f"val/{name}": float(value) for name, value in self.scores.compute().items()},
            "lr": float(self.trainer.optimizers[0].param_groups[0]["lr"]),
        }

    def sum_over_workers(self, value: Tensor) -> Tensor:
        """The sum of a value over all workers."""
        total: Tensor = self.trainer.strategy.reduce(value, reduce_op="sum")
        return total

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        stream = self.stream
        checkpoint["learner"] = {
            "sums": {name: value.cpu() for name, value in self.sums.items()},
            "best": self.best,
            "schedule": self.schedule.state_dict(),
            "rng": torch.get_rng_state(),
            "carried": None if stream is None else (state_tensors(stream.state), stream.ends),
            **({"cuda_rng": torch.cuda.get_rng_state()} if self.device.type == "cuda" else {}),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        stored = checkpoint["learner"]
        self.sums = {name: value.clone() for name, value in stored["sums"].items()}
        self.best = stored["best"]
        self.schedule.load_state_dict(stored["schedule"])
        stream = stored.get("carried")
        if stream is not None and isinstance(self.model, StatefulModel):
            self.stream = StreamState(restore_state(stream[0], self.model.initial_state(0)), stream[1])
        self._resumed_rng = (stored["rng"], stored.get("cuda_rng"))

    def on_train_start(self) -> None:
        # Last of all set-up, so that nothing between the checkpoint and the first batch draws from the generator.
        if self._resumed_rng is None:
            return
        cpu, cuda = self._resumed_rng
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda)
