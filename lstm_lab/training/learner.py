"""The LightningModule: model, task and optimiser. It computes and logs metrics, and writes no files."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import Tensor

from lstm_lab.config import ConfigError
from lstm_lab.data.base import Batch
from lstm_lab.data.loader import SequenceDataModule
from lstm_lab.models import Model
from lstm_lab.models.base import Output, StatefulModel
from lstm_lab.models.sites import StepKey
from lstm_lab.models.state import EncoderState, StreamState, map_state, restore_state, state_tensors
from lstm_lab.optimizers import Averaging, Optimizer, Schedule
from lstm_lab.optimizers.clipping import Clipping, clipping_of
from lstm_lab.records.files import Row
from lstm_lab.tasks.base import Task, better
from lstm_lab.training.averaged_weights import AveragedWeights
from lstm_lab.training.diverged import Diverged as Diverged
from lstm_lab.training.diverged import check_finite
from lstm_lab.training.step_count import restore_step
from lstm_lab.training_step import StepHook, TrainingStep


class Learner(pl.LightningModule):
    """One optimisation step per batch, one row of metrics per epoch.

    It goes into any `pytorch_lightning.Trainer`, with `SequenceDataModule` or loaders of `Batch`; several workers all
    load whole batches, of which each takes its share. The row of metrics (`train/loss`, `train/grad_norm`, `val/loss`,
    `val/<metric of the task>`, `lr`) is logged after each validation, to the Trainer's loggers and for its callbacks,
    as in `EarlyStopping("val/loss")`; without validation, the training metrics are logged after each epoch.

    Args:
        model: from padded batches to logits.
        task: loss, metrics and predictions of them.
        optimizer: builds the torch optimiser of the model's parameters.
        schedule: learning rate of each step.
        hooks: what else takes part in each step, in this order.
        averaging: of weights; validation and the weights in a checkpoint are the average once there is one. None: none.
        clipping: of gradients; None: the Trainer's `gradient_clip_val` and `gradient_clip_algorithm`.
    """

    def __init__(
        self,
        model: Model,
        task: Task,
        optimizer: Optimizer,
        schedule: Schedule,
        *,
        hooks: Sequence[StepHook] = (),
        averaging: Averaging | None = None,
        clipping: Clipping | None = None,
    ) -> None:
        super().__init__()
        self.model, self.task, self.optimizer, self.schedule = model, task, optimizer, schedule
        self.scores = task.metrics()
        averaging = averaging if averaging and averaging.is_used else optimizer.averaging()
        self.averaged = None if averaging is None else AveragedWeights(averaging, model)
        self.step = TrainingStep(model, task, hooks if self.averaged is None else (*hooks, self.averaged))
        self.clipping = clipping
        self.validation_sums = torch.zeros(2)
        self.best: float | None = None
        self.improved = False
        self.schedule_epochs: int | None = None  # Those that schedules reach to; None: all.
        self.takes_roll_backs = False  # Whether a callback rolls it back to the best epoch when `rolls_back` says so.
        self.stream: StreamState | None = None
        self._resumed: dict[str, Any] | None = None
        self._logged_step = 0  # Steps up to the last metrics.

    @property
    def step_path(self) -> Row:
        """How steps are taken, for run.json: `path`, and why not a faster one."""
        return {"path": "single", "reason": "Lightning takes the steps"}

    def forward(self, batch: Batch) -> Output:
        """What the model computes for a batch; logits are those that the task scores.

        They are float32 at least: likelihoods and quantiles need it in mixed precision too.
        """
        (x, lengths), starts = self.task.model_inputs(batch), batch.starts
        output = self.model.of_batch(x, lengths, batch.y) if starts is None else self._forward_chunk(x, lengths, starts)
        logits = output.logits if output.logits.dtype == torch.float64 else output.logits.float()
        return output._replace(logits=self.task.postprocess(logits, batch))

    def logits(self, batch: Batch) -> Tensor:
        """Logits of a batch of the CPU, on the CPU, computed on the device of the model."""
        output: Output = self(batch.to(self.device))
        return output.logits.cpu()

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
        # A checkpoint is read onto the CPU, and these may be on a GPU.
        if self.stream is None or not torch.equal(self.stream.ends[: len(starts)].to(starts.device), starts):
            return None
        return map_state(lambda tensor: tensor[: len(starts)].to(device), self.stream.state)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer.for_model(self.model)

    def on_fit_start(self) -> None:
        self.step.to(self.device)
        if self.averaged is not None:
            self.averaged.averaging.to(self.device)
        if self._resumed is None:  # What an earlier, interrupted fit has left is not part of this one.
            self.step.reset()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self._set_rate(self.trainer.optimizers[0], self.trainer.global_step, self._total_steps())

    def _total_steps(self) -> int:
        """Of all epochs that schedules reach to; a very large number without a limit of epochs."""
        share = (self.schedule_epochs or self.trainer.max_epochs or 1) / (self.trainer.max_epochs or 1)
        return round(min(self.trainer.estimated_stepping_batches * share, sys.maxsize))

    def _set_rate(self, optimizer: torch.optim.Optimizer, step: int, total: int) -> None:
        """The schedule's learning rate for a step, counted from 0."""
        rate = self.optimizer.lr * self.schedule.lr_factor(step, total)
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("lr_factor", 1.0)

    def _seed(self) -> int:
        data = vars(self.trainer).get("datamodule")  # The Trainer has the attribute only where it was given one.
        return data.seed if isinstance(data, SequenceDataModule) else 0

    def shard(self, batch: Batch) -> Batch:
        """This worker's samples of a batch; all of them where there is one worker."""
        rank, count = self.trainer.global_rank, self.trainer.world_size
        return batch if count == 1 else batch.shard(rank, count)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        rank, count = self.trainer.global_rank, self.trainer.world_size
        shard = self.shard(batch)
        index = self.trainer.fit_loop.total_batch_idx
        self.step.begin(StepKey(self._seed(), index, rank, count, size=len(shard.x)))
        weight: float | Tensor = 1.0
        num_batches = self.trainer.accumulate_grad_batches
        if num_batches > 1:  # Lightning divides by their number, whatever their sizes.
            weight = num_batches * self.step.accumulate(self.task.num_targets(batch))
        if len(shard.x) == 0:  # More workers than samples: a sample of weight 0 keeps this one in step with the others.
            first = batch.select(slice(1))
            return 0.0 * self.task.loss(self(first).logits, first)
        loss, num_targets = self.step.loss(self(shard), shard)
        if shard is not batch:
            # Gradients are averaged with equal weights over workers, so each loss is weighted by its targets.
            weight = weight * self.trainer.world_size * num_targets / max(int(self.task.num_targets(batch)), 1)
        return loss if num_batches == 1 and shard is batch else loss * weight

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        precision = self.trainer.precision_plugin
        scaler = precision.scaler if isinstance(precision, MixedPrecision) else None
        self.step.clip(self.clipping or clipping_of(gradient_clip_val, gradient_clip_algorithm), optimizer, scaler)

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        super().optimizer_step(*arguments, **options)
        self.step.end()

    def on_validation_epoch_start(self) -> None:
        if self.averaged is not None and self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self.averaged.after_epoch(self._progress())
            self.averaged.use_average()
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
        if self.trainer.sanity_checking:
            return
        validated = self._validation_metrics()
        if self.trainer.state.fn != "fit":
            self.log_dict(validated, batch_size=1)
            return
        row = {**self._training_metrics(), **validated, "lr": self.trainer.optimizers[0].param_groups[0]["lr"]}
        check_finite(row, self.current_epoch, self.optimizer.lr)
        monitored = row[f"val/{self.task.monitor}"]
        if math.isnan(monitored):
            raise ConfigError(
                f"val/{self.task.monitor} is not defined on this validation split: choose another task.monitor, or "
                "split differently" + "".join(f"; {note}" for note in self.scores.notes())
            )
        self.improved = better(monitored, self.best, self.task.mode)
        self.best = monitored if self.improved else self.best
        self.schedule.observe(self.improved)
        if self.averaged is not None:
            self.averaged.averaging.observe(monitored, self.task.mode)
            self.averaged.use_trained()
        self.log_dict(row, batch_size=1)

    def _progress(self) -> float:
        """Share of all epochs that are trained, that in progress among them; 0 without a limit of epochs."""
        epochs = self.schedule_epochs or self.trainer.max_epochs or -1
        return (self.current_epoch + 1) / epochs if epochs > 0 else 0.0

    @property
    def rolls_back(self) -> bool:
        """Whether the schedule wants the weights and the optimizer of the best epoch back."""
        return self.schedule.rolls_back

    def roll_back(self, checkpoint: Mapping[str, Any]) -> None:
        """Take over weights, their average, and the optimizer's state from a checkpoint; everything else goes on."""
        weights = dict(checkpoint["state_dict"])
        if self.averaged is not None:
            self.averaged.restore(weights, checkpoint["learner"]["averaging"])
            self.averaged.averaging.to(self.device)
        self.load_state_dict(weights)
        state = self.optimizer.restored(checkpoint["optimizer_states"][0], self.model)
        self.trainer.optimizers[0].load_state_dict(state)

    def on_train_epoch_end(self) -> None:
        if self.trainer.enable_validation:
            return
        if self.averaged is not None:
            self.averaged.after_epoch(self._progress())
        row = {**self._training_metrics(), "lr": self.trainer.optimizers[0].param_groups[0]["lr"]}
        check_finite(row, self.current_epoch, self.optimizer.lr)
        self.log_dict(row, batch_size=1)

    def _training_metrics(self) -> dict[str, float]:
        """Since they were last logged, over all workers; the next ones are counted from here."""
        sums, steps = self.step.sums, max(self.trainer.global_step - self._logged_step, 1)
        trained = self.sum_over_workers(torch.stack([sums["loss"], sums["samples"]]))
        metrics = {"train/loss": float(trained[0] / trained[1]), "train/grad_norm": float(sums["grad_norm"] / steps)}
        self.step.reset()
        self._logged_step = self.trainer.global_step
        return metrics

    def _validation_metrics(self) -> dict[str, float]:
        """Of the validation split, over all workers."""
        validated = self.sum_over_workers(self.validation_sums)
        scores = {f"val/{name}": float(value) for name, value in self.scores.compute().items()}
        return {"val/loss": float(validated[0] / validated[1]), **scores}

    def sum_over_workers(self, value: Tensor) -> Tensor:
        """The sum of a value over all workers."""
        total: Tensor = self.trainer.strategy.reduce(value, reduce_op="sum")
        return total

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        stream = self.stream
        checkpoint["learner"] = {
            **self.step.state_dict(),
            "clipping": {} if self.clipping is None else self.clipping.state_dict(),
            "averaging": None if self.averaged is None else self.averaged.store(checkpoint["state_dict"]),
            "best": self.best,
            "schedule": self.schedule.state_dict(),
            "logged_step": self._logged_step,
            "rng": torch.get_rng_state(),
            "carried": None if stream is None else (state_tensors(stream.state), stream.ends),
            **({"cuda_rng": torch.cuda.get_rng_state()} if self.device.type == "cuda" else {}),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        stored = checkpoint["learner"]
        states = checkpoint.get("optimizer_states", [])
        checkpoint["optimizer_states"] = [self.optimizer.restored(state, self.model) for state in states]
        self.step.load_state_dict(stored["sums"], stored.get("hooks", ()))  # Format 1 had no hooks.
        if self.clipping is not None:
            self.clipping.load_state_dict(stored.get("clipping", {}))
        if self.averaged is not None and self.trainer.state.fn == "fit":
            self.averaged.restore(checkpoint["state_dict"], stored["averaging"])
        self.best = stored["best"]
        self.schedule.load_state_dict(stored["schedule"])
        stream = stored.get("carried")
        if stream is not None and isinstance(self.model, StatefulModel):
            self.stream = StreamState(restore_state(stream[0], self.model.initial_state(0)), stream[1])
        self._resumed = {**stored, "global_step": checkpoint["global_step"]}

    def on_train_start(self) -> None:
        if math.isinf(self.trainer.estimated_stepping_batches) and self.schedule.needs_total_steps:
            raise ConfigError(f"schedule '{self.schedule.name}' needs the number of steps: give the Trainer max_epochs")
        if self.averaged is not None and self.averaged.averaging.needs_max_epochs and self._progress() == 0:
            name = self.averaged.averaging.name
            raise ConfigError(f"averaging '{name}' needs the number of epochs: give the Trainer max_epochs")
        if self.schedule.may_roll_back and not self.takes_roll_backs:
            raise ConfigError(f"schedule '{self.schedule.name}' needs the checkpoints of lstm_lab.train: train by that")
        if self.averaged is not None:
            self.averaged.averaging.begin(self.trainer.optimizers[0])
        resumed, self._resumed = self._resumed, None
        if resumed is None:
            self._logged_step = self.trainer.global_step
            return
        restore_step(self.trainer, step := resumed["global_step"])
        # Without the entry, as in format 1, each epoch was logged at its end.
        self._logged_step = resumed.get("logged_step", step - step % int(self.trainer.num_training_batches))
        # Last of all set-up, so that nothing between the checkpoint and the first batch draws from the generator.
        torch.set_rng_state(resumed["rng"])
        if "cuda_rng" in resumed:
            torch.cuda.set_rng_state(resumed["cuda_rng"])
