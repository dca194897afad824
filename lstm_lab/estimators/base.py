"""What the estimators share: their parameters as an experiment, its training, and new data in the forms users have."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from lstm_lab.config import ConfigError, DataError, Interrupted
from lstm_lab.data import Dataset
from lstm_lab.display.progress import bar_or_lines
from lstm_lab.evaluation.evaluate import load_weights
from lstm_lab.experiment import Experiment
from lstm_lab.records import files
from lstm_lab.records.provenance import command_line
from lstm_lab.records.run import Run
from lstm_lab.system.stop_signal import stop_on_signal
from lstm_lab.trained_run import TrainedRun
from lstm_lab.training.train import build_from, train

if TYPE_CHECKING:
    from lstm_lab.config.registry import Named
    from lstm_lab.data.base import Batch, DataInfo
    from lstm_lab.training.learner import Learner

_ONE_FIT = threading.Lock()
"""Training seeds the generators of the process, which threads share."""
_SEED_VARIABLES = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")
"""Environment variables that Lightning sets when it seeds."""


class RecurrentEstimator(BaseEstimator):  # type: ignore[misc, unused-ignore]
    """Base of the estimators. A subclass names its parameters in `__init__`; these are those that all have.

    Args:
        cell: a registered cell (`lstm-lab list`): its name, a mapping with `name` and its options, or its Config.
        hidden_size: units of each cell.
        num_layers: layers of cells.
        bidirectional: whether to read in both directions.
        dropout: share of the values zeroed in training, between layers and before the head.
        optimizer: a registered optimiser: its name, or a mapping with `name` and its options.
        lr: learning rate.
        batch_size: samples in one step.
        max_epochs: epochs at most.
        patience: epochs without improvement of the monitored metric before training stops; None: never. The weights
            of the best epoch are kept in any case.
        validation_fraction: share of the data that is held out of training to choose the best epoch.
        random_state: int, RandomState or None: of initial weights, order of batches and dropout. An int makes two fits
            equal. The validation split does not depend on it.
        experiment: further settings, as dotted keys of the experiment (`lstm-lab fields`), which win over the
            parameters above: {"schedule": "cosine", "model.learn_initial_state": True}.
        run_folder: folder in which each fit makes the folder of its run; None: a temporary one, which goes with the
            estimator.
        verbose: whether to show progress: a bar in a notebook and on a terminal, one line per epoch elsewhere.

    Attributes:
        run_: the run (`TrainedRun`): `run_.metrics` is a DataFrame with a row for each epoch. Not pickled where it is
            temporary.
        learner_: the LightningModule with the weights of the best epoch, on the CPU.
        experiment_: the resolved `Experiment`.
        info_: what the model knows of the data: channels, their scale, classes.
        n_iter_: epochs trained.
    """

    cell: str | Mapping[str, object] | Named
    hidden_size: int
    num_layers: int
    bidirectional: bool
    dropout: float
    optimizer: str | Mapping[str, object]
    lr: float
    batch_size: int
    max_epochs: int
    patience: int | None
    validation_fraction: float
    random_state: int | np.random.RandomState | None
    experiment: Mapping[str, object] | None
    run_folder: str | Path | None
    verbose: bool

    run_: TrainedRun
    learner_: Learner
    experiment_: Experiment
    info_: DataInfo
    n_iter_: int

    def _model(self) -> dict[str, object]:
        """The section `model` of the experiment."""
        between = self.dropout if self.num_layers != 1 else 0.0
        return {
            "cell": self.cell if not isinstance(self.cell, Mapping) else dict(self.cell),
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
            "bidirectional": self.bidirectional,
            "dropout": {"between": between, "output": self.dropout},
        }

    def _experiment(self, data: Named, task: Mapping[str, object]) -> Experiment:
        """The parameters as an experiment on these data.

        Raises:
            ConfigError: a parameter of a wrong value.
        """
        optimizer = self.optimizer if isinstance(self.optimizer, Mapping) else {"name": self.optimizer}
        content = {
            "data": data,
            "task": dict(task),
            "model": self._model(),
            "optimizer": {**optimizer, "lr": self.lr},
            "trainer": {"max_epochs": self.max_epochs, "patience": self.patience},
            "seed": self._seed(),
        }
        found = Experiment.of(content, type(self).__name__)
        return found.with_overrides(self.experiment, f"{type(self).__name__}.experiment") if self.experiment else found

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _claim_folder(self) -> Path:
        """An empty folder for the run of a fit and for its data."""
        self._temporary: TemporaryFolder | None = None
        if self.run_folder is None:
            self._temporary = TemporaryFolder()
            return self._temporary.path
        return files.claim(type(self).__name__.lower(), Path(self.run_folder))

    def _train(self, experiment: Experiment, dataset: Dataset, folder: Path) -> None:
        """Train, and set what all fitted estimators have."""
        recorded = experiment.with_absolute_paths(must_exist=False)
        run = TrainedRun(Run.create(folder, recorded.dump(), command=command_line(), job_type="fit").path)
        bar, on_epoch = bar_or_lines(bool(self.verbose), experiment.monitor)
        stop = threading.Event()
        with _process_state(), stop_on_signal(stop):
            try:
                result = train(experiment, run, dataset=dataset, stop=stop, progress=bar, on_epoch=on_epoch)
            except Interrupted:
                raise KeyboardInterrupt from None
            learner = build_from(experiment, dataset.info)
            load_weights(learner, run)
        self.experiment_, self.info_, self.learner_ = experiment, dataset.info, learner
        self.run_, self.n_iter_ = run, result.epochs

    def __getstate__(self) -> dict[str, object]:
        state = dict(super().__getstate__())
        if state.pop("_temporary", None) is not None:
            state.pop("run_", None)  # Its folder does not outlive this object.
        return state

    def __sklearn_is_fitted__(self) -> bool:
        return "learner_" in vars(self)


class TemporaryFolder:
    """A folder that goes with the last reference to this object, or with the process."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="lstm-lab-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@contextmanager
def _process_state() -> Iterator[None]:
    """Random generators, number of threads and environment of the process are as before afterwards."""
    with _ONE_FIT:
        threads, python, numpy = torch.get_num_threads(), random.getstate(), np.random.get_state()
        environment = {name: os.environ.get(name) for name in _SEED_VARIABLES}
        try:
            with torch.random.fork_rng(range(torch.cuda.device_count())):
                yield
        finally:
            torch.set_num_threads(threads)
            random.setstate(python)
            np.random.set_state(numpy)
            for name, value in environment.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


@contextmanager
def value_errors() -> Iterator[None]:
    """Wrong parameters and wrong data are ValueErrors, as scikit-learn's conventions want."""
    try:
        yield
    except (ConfigError, DataError) as error:
        raise ValueError(str(error)) from None


def predictions(learner: Learner, batches: Iterator[Batch]) -> Iterator[tuple[torch.Tensor, Batch]]:
    """Logits of each batch, and the batch."""
    with torch.inference_mode():
        for batch in batches:
            yield learner(batch).logits, batch


def plain(value: object) -> object:
    """Tensors as arrays; anything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, Sequence) and any(isinstance(part, torch.Tensor) for part in value):
        return [plain(part) for part in value]
    return value
