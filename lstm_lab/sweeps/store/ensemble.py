"""The best configurations of a sweep as an ensemble, and its record, ensembles.jsonl."""

from __future__ import annotations

import warnings

from lstm_lab.config import ConfigError, Notice
from lstm_lab.data.readers.in_memory import NewData
from lstm_lab.evaluation.ensemble import Ensemble
from lstm_lab.evaluation.predict import PredictionTable
from lstm_lab.experiment import Accelerator
from lstm_lab.records import files
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.leaderboard import why_no_best
from lstm_lab.sweeps.store.record import known_ensemble, trials_of
from lstm_lab.sweeps.store.shapes import EnsembleRow

DEFAULT_TOP = 5


def default_top(folder: SweepFolder) -> int:
    """How many configurations predict together where nobody says: 5, or all there are."""
    return max(1, min(DEFAULT_TOP, sum(row.mean is not None and not row.broken for row in folder.leaderboard())))


def choose(folder: SweepFolder, top: int, accelerator: Accelerator | None = None) -> EnsembleRow:
    """The ensemble of the best configurations, all their seeds: as recorded, else with weights that are chosen on the
    validation split now, and recorded.

    Args:
        top: how many configurations.

    Raises:
        ConfigError: fewer configurations, folds, checkpoints that were removed, or predictions without a mean.
        DataError: the data are not what the trials were trained on.
    """
    new = _candidates(folder, top)
    known = known_ensemble(folder.path, new)
    if known is not None:
        return known
    found = _load(folder, new, accelerator).select()
    new = new.model_copy(update=found._asdict())
    try:
        _record(folder, new)
    except OSError as error:  # It predicts all the same.
        warnings.warn(f"{folder.path / files.ENSEMBLES}: cannot be written: {error.strerror}; the weights are chosen "
                      "again next time", Notice, stacklevel=2)  # fmt: skip
    return new


def predict(
    folder: SweepFolder,
    top: int,
    new: NewData,
    future: NewData | None = None,
    accelerator: Accelerator | None = None,
) -> tuple[EnsembleRow, PredictionTable]:
    """The ensemble of the best configurations, and its predictions for new data.

    Once its weights are recorded, the data that it was chosen on may be gone.

    Raises:
        ConfigError, DataError: as of `choose` and `evaluation.predict.predict`.
    """
    row = _candidates(folder, top)
    if known_ensemble(folder.path, row) is None:
        # What cannot be read is refused before weights are chosen.
        Ensemble([folder.run(row.trials[0])], accelerator=accelerator, needs_data=False).read(new, future)
    row = choose(folder, top, accelerator)
    return row, _load(folder, row, accelerator, needs_data=False).predict(new, future)


def evaluate(folder: SweepFolder, top: int, accelerator: Accelerator | None = None) -> EnsembleRow:
    """Score the ensemble of the best configurations on the test split, which counts it before the split is read.

    Raises:
        ConfigError, DataError: as of `choose`.
    """
    row = choose(folder, top, accelerator)
    ensemble = _load(folder, row, accelerator)
    row = row.model_copy(update={"test_evaluations": row.test_evaluations + 1})
    _record(folder, row)
    row = row.model_copy(update={"test": ensemble.score_test()})
    _record(folder, row)
    return row


def _candidates(folder: SweepFolder, top: int) -> EnsembleRow:
    """An ensemble whose weights are not chosen yet."""
    every = folder.leaderboard()
    ranked = [row for row in every if row.mean is not None and not row.broken]
    if not ranked:
        raise ConfigError(f"{folder.path}: has no best trial: {why_no_best(every)}")
    if not 1 <= top <= len(ranked):
        raise ConfigError(f"--top {top}: {folder.path} has {len(ranked)} configurations with a value: choose from 1 "
                          f"to {len(ranked)}")  # fmt: skip
    if any(trial.fold is not None for row in ranked[:top] for trial in row.trials):
        raise ConfigError(f"{folder.path}: each of its trials was validated on a fold of its own, so that no weights "
                          f"can be chosen: train {folder.path / files.BEST_EXPERIMENT} instead")  # fmt: skip
    trials = trials_of(ranked, top)
    for trial in trials:
        if not folder.run(trial).best_checkpoint.is_file():
            raise ConfigError(f"{folder.run(trial).path}: its checkpoint is not there (any more): choose fewer "
                              "configurations with --top")  # fmt: skip
    return EnsembleRow(top=top, trials=trials, weights=[1] * len(trials), validation={})


def _load(folder: SweepFolder, row: EnsembleRow, accelerator: Accelerator | None, needs_data: bool = True) -> Ensemble:
    used = {trial: weight for trial, weight in zip(row.trials, row.weights, strict=True) if weight}
    return Ensemble([*map(folder.run, used)], [*used.values()], row.calibration, accelerator, needs_data=needs_data)


def _record(folder: SweepFolder, row: EnsembleRow) -> None:
    files.append_jsonl(folder.path / files.ENSEMBLES, {**row.model_dump(), "at": files.now()})
