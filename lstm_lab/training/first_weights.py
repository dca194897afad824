"""The weights that a training begins with: random ones, known vectors of tokens, those of the run it starts from."""

from __future__ import annotations

from lstm_lab.config import ConfigError
from lstm_lab.data import Dataset
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.training.block_learner import BlockLearner
from lstm_lab.training.freezing import Freezing
from lstm_lab.training.train import build
from lstm_lab.training.transfer import start_from


def build_first(experiment: Experiment, dataset: Dataset, run: Run | None = None) -> BlockLearner:
    """An experiment's learner as it is before its first step; layers that it freezes then are frozen.

    Args:
        run: that was trained so, whose record says what it started from; None: it is yet to be trained.

    Raises:
        ConfigError: the run that it starts from is not there, or was trained further or again since.
    """
    learner = build(experiment, dataset)
    learner.model.load_pretrained(dataset.info)
    taken = start_from(experiment, learner.model, learner.task, dataset.info)
    then = run.about.get("transfer") if run is not None else None
    if taken and then is not None:
        now = taken["transfer"]
        if (now["id"], now["epoch"]) != (then["id"], then["epoch"]):
            raise ConfigError(f"transfer.run: {now['run']}: its best epoch is {now['epoch']} of run {now['id']}, but "
                              f"this training started from epoch {then['epoch']} of {then['id']}")  # fmt: skip
    freezing = Freezing(learner.model, experiment.transfer)
    if freezing.layers:
        freezing.apply(0)
    return learner
