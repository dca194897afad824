"""train(experiment, run) -> Result: the one path that every run and every trial takes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping

from lstm_lab import kernels
from lstm_lab.config import DataError, Interrupted
from lstm_lab.data import Dataset, SequenceDataModule
from lstm_lab.data.base import DataInfo
from lstm_lab.data.kinds.known_values import check_targets
from lstm_lab.display.notebook_bar import NotebookBar
from lstm_lab.display.progress import in_notebook
from lstm_lab.display.terminal_bar import TerminalBar
from lstm_lab.experiment import Experiment
from lstm_lab.records import links
from lstm_lab.records.code_state import CodeState
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run, State
from lstm_lab.records.run_record import selected
from lstm_lab.regularizers import Regularizers
from lstm_lab.system.peak_memory import reset_peak_memory
from lstm_lab.tracking import Mode, Tracker
from lstm_lab.training.block_learner import BlockLearner, blocks_suffice
from lstm_lab.training.checkpointing import (
    InPlaceCheckpoints,
    RankCheckpoint,
    RunCheckpoint,
    StageEnded,
    newest_checkpoint,
)
from lstm_lab.training.distillation import add_teachers
from lstm_lab.training.distributed import DistributedRank, is_lost_rank
from lstm_lab.training.fit_errors import explained_fit
from lstm_lab.training.freezing import Freezing
from lstm_lab.training.quiet import quiet
from lstm_lab.training.transfer import start_from


@dataclass(frozen=True)
class Result:
    """The outcome of a run."""

    state: State
    metric: str
    mode: str
    value: float | None
    """The monitored metric at the epoch that counts, the best or the last one; None before the first epoch."""
    epoch: int | None
    """That epoch, counted from 0."""
    epochs: int
    """Epochs run in all."""
    seconds: float
    checkpoint: Path
    row: Row
    """The whole record of that epoch."""


SEEN = "The validation split is trained on too: metrics on it are those of training data."
"""Note of the data of such a run."""


def train(
    experiment: Experiment,
    run: Run,
    *,
    dataset: Dataset | None = None,
    wandb: Mode = "disabled",
    group: str | None = None,
    callbacks: Sequence[Callback] = (),
    on_epoch: Callable[[Row], None] | None = None,
    on_transfer: Callable[[Row], None] | None = None,
    on_trained: Callable[[Dataset], None] | None = None,
    stop: threading.Event | None = None,
    progress: bool = False,
    rank: DistributedRank | None = None,
) -> Result:
    """Train, or resume from the run's newest complete checkpoint.

    Args:
        experiment: what to train.
        run: the folder that is written.
        dataset: already read, where several runs share it.
        wandb: resolved mode of the W&B run that mirrors the record.
        group: the sweep that the run is a trial of.
        callbacks: of Lightning's Trainer, besides the checkpoint and early stopping.
        on_epoch: called with each row of the record once it is on disk, with its checkpoint.
        on_transfer: called with what was taken from the run that it starts from, as run.json records it.
        on_trained: called after the last epoch with the data, before the W&B run ends.
        stop: once set, the current step is finished, everything is saved, and `Interrupted` is raised.
        progress: whether Lightning shows its progress bar.
        rank: rank 0 of several processes that train the run together; the others call `train_rank`.

    Returns:
        The epoch that counts, and how the run ended.

    Raises:
        Interrupted: after `stop`, or because another rank was lost; calling `train` again resumes.
        Fault: bad data, or a loss that is NaN or infinite; the run is marked failed.
    """
    links.check_links(run.path)
    with run.lock():
        tracker: Tracker | None = None
        state: State = "failed"
        try:
            torch.set_num_threads(experiment.trainer.num_threads)
            kernels.tune_memory()
            reset_peak_memory()
            pl.seed_everything(experiment.seed, workers=True, verbose=False)
            dataset = dataset or experiment.data.build()
            if run.rows():
                check_same_data(run, dataset)
            check_targets(dataset)
            checkpoint, epochs = newest_checkpoint(run)
            stage = experiment.at(epochs)
            learner = build(stage, dataset)
            run.describe(**add_teachers(learner, stage, dataset, run.about.get("distillation")))
            describe(experiment, run, dataset, learner, group)
            run.truncate(epochs)
            if checkpoint is None:
                run.describe(**learner.model.load_pretrained(dataset.info))
                taken = start_from(experiment, learner.model, learner.task, dataset.info)
                run.describe(**taken)
                if taken and on_transfer is not None:
                    on_transfer(taken["transfer"])
            run.mark("running")
            tracker = Tracker(run, mode=wandb, group=group)
            in_blocks = rank is None and experiment.trainer.accumulate_grad_batches == 1
            in_blocks = in_blocks and blocks_suffice(experiment.trainer.precision, callbacks)
            while True:
                if in_blocks:
                    learner.use_blocks(stage.trainer.clipping(), stop)
                until = experiment.next_change(epochs)
                select = experiment.trainer.select
                checkpoint_callback = RunCheckpoint(run, tracker, on_epoch, stop, until, select)
                try:
                    fit(stage, learner, dataset, checkpoint, [checkpoint_callback, *callbacks], progress, rank)
                    break
                except StageEnded:
                    checkpoint, epochs = newest_checkpoint(run)
                    stage = experiment.at(epochs)
                    learner = build(stage, dataset)
                    add_teachers(learner, stage, dataset)
            if on_trained is not None:
                on_trained(dataset)
            state = "finished"
        except (Interrupted, KeyboardInterrupt, SystemExit):
            state = "interrupted"
            raise
        except BaseException as error:
            if rank is not None and is_lost_rank(error):
                state = "interrupted"
                raise Interrupted(
                    f"{run.path}: one of its {rank.world_size} workers was lost; training again resumes it"
                ) from error
            run.mark_failed(error)
            raise
        finally:
            result = conclude(experiment, run, state)
            if tracker is not None:
                tracker.finish(wandb_state(state, group), best=result.value, best_epoch=result.epoch)
    return result


def check_same_data(run: Run, dataset: Dataset) -> None:
    """Raise DataError where data are not those that a run was trained on."""
    trained_on = (run.about.get("data") or {}).get("digest")
    if trained_on not in (None, dataset.digest):
        raise DataError(
            f"{run.path}: was trained on data {trained_on}, but '{dataset.name}' is now {dataset.digest}: "
            "restore the old data or train again"
        )


def wandb_state(state: State, group: str | None) -> State:
    """The state of the W&B run: an interrupted trial was stopped by its sweep.

    After Ctrl-C it is uploaded again when the sweep resumes.
    """
    return "stopped" if group and state == "interrupted" else state


def train_rank(experiment: Experiment, rank: DistributedRank, *, dataset: Dataset | None = None) -> None:
    """The part of every rank but 0 in training a run: its shard of each batch. Writes nothing."""
    torch.set_num_threads(experiment.trainer.num_threads)
    kernels.tune_memory()
    dataset = dataset or experiment.data.build()
    learner = build(experiment, dataset)
    add_teachers(learner, experiment, dataset)
    fit(experiment, learner, dataset, None, [RankCheckpoint()], False, rank)


def fit(
    experiment: Experiment,
    learner: BlockLearner,
    dataset: Dataset,
    checkpoint: Path | None,
    callbacks: list[Callback],
    progress: bool,
    rank: DistributedRank | None,
) -> None:
    """Lightning's fit, in one process or as one rank of several; rank 0 passes the checkpoint to resume from."""
    blocks, learner.clipping = not learner.automatic_optimization, experiment.trainer.clipping()
    with quiet(), rank.process_group(experiment.trainer.accelerator) if rank else nullcontext():
        data = SequenceDataModule(dataset, experiment.data.batch_size, experiment.seed, experiment.data.augment,
                                  blocks=blocks)  # fmt: skip
        with explained_fit(checkpoint) as start:
            batches = experiment.trainer.accumulate_grad_batches
            freezing = Freezing(learner.model, experiment.transfer)
            trainer = build_trainer(experiment, [freezing, *callbacks, start], progress, rank,
                                    len(data.train_dataloader()) if batches == "full" else batches)  # fmt: skip
            with rank.broadcast_file(checkpoint) if rank else nullcontext(checkpoint) as path:
                trainer.fit(learner, data, ckpt_path=path, weights_only=True)


def build(experiment: Experiment, dataset: Dataset) -> BlockLearner:
    """Model, task, optimiser and schedule, with initial weights drawn from the experiment's seed."""
    return build_from(experiment, dataset.info)


def build_from(experiment: Experiment, info: DataInfo) -> BlockLearner:
    """The same from the info of a data set, without its samples."""
    torch.manual_seed(experiment.seed)
    task = experiment.task.build(info)
    model = experiment.model.build(info, task)
    experiment.trainer.cut(model)
    chosen = [(each.build(), each.places()) for each in experiment.regularizers]
    hooks = [Regularizers(model, chosen)] if chosen else []
    learner = BlockLearner(model, task, experiment.optimizer.build(), experiment.schedule.build(), hooks=hooks,
                           averaging=experiment.averaging.build())  # fmt: skip
    learner.schedule_epochs = experiment.trainer.schedule_epochs
    return learner


def build_trainer(
    experiment: Experiment,
    callbacks: list[Callback],
    progress: bool,
    rank: DistributedRank | None = None,
    batches_of_step: int = 1,
) -> pl.Trainer:
    """Lightning's Trainer, without a logger or checkpoints, which `RunCheckpoint` writes."""
    settings = experiment.trainer
    if settings.patience is not None:
        early_stopping = EarlyStopping(experiment.monitor, settings.min_delta, settings.patience, mode=experiment.mode,
                                       check_on_train_epoch_end=False)  # fmt: skip
        callbacks = [early_stopping, *callbacks]
    if progress:
        callbacks = [*callbacks, NotebookBar() if in_notebook() else TerminalBar()]
    return pl.Trainer(
        accelerator=settings.accelerator,
        devices=1,
        num_nodes=rank.world_size if rank else 1,
        strategy=rank.strategy() if rank else "auto",
        precision=settings.precision,
        max_epochs=settings.max_epochs,
        accumulate_grad_batches=batches_of_step,
        callbacks=callbacks,
        plugins=[InPlaceCheckpoints()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


def describe(experiment: Experiment, run: Run, dataset: Dataset, learner: BlockLearner, group: str | None) -> None:
    """Write what is known before the first step into run.json: data, metric, model and device."""
    seen = (SEEN,) if experiment.data.train_on_validation else ()
    run.describe(
        data={"digest": dataset.digest, "info": asdict(dataset.info), "notes": (*dataset.notes, *seen)},
        monitor=experiment.monitor,
        mode=experiment.mode,
        select=experiment.trainer.select,
        parameters=sum(p.numel() for p in learner.model.parameters()),
        hidden_size=learner.model.hidden_size,
        code=CodeState.of_this_process().dump(),
        device=experiment.trainer.device().type,
        group=group,
    )


def conclude(experiment: Experiment, run: Run, state: State, reason: str | None = None) -> Result:
    """The result, computed from the record and written into status.json.

    Args:
        reason: why the run was stopped.
    """
    rows = run.rows()
    best = selected(rows, experiment.monitor, experiment.mode, experiment.trainer.select) or {}
    seconds = rows[-1].get("seconds", 0.0) if rows else 0.0
    value, epoch = best.get(experiment.monitor), best.get("epoch")
    if state != "failed":
        found = {"epoch": epoch, "value": value} if best else None
        run.mark(state, reason=reason, epochs=len(rows), best=found, seconds=seconds)
    return Result(
        state, experiment.monitor, experiment.mode, value, epoch, len(rows), seconds, run.best_checkpoint, best
    )
