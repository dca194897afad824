"""A class, or numbers, for each sequence, by scikit-learn's conventions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from lstm_lab.data import arrays
from lstm_lab.data.preprocessing.splits import assign_splits
from lstm_lab.data.readers.in_memory import as_sequences
from lstm_lab.estimators.base import RecurrentEstimator, plain, predictions, value_errors

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike
    from sklearn.utils import Tags

    from lstm_lab.config.registry import Named
    from lstm_lab.data.kinds.user_files import Target


Lengths = Sequence[int] | np.ndarray | None


class SequenceEstimator(RecurrentEstimator):
    """Base of the classifier and the regressor: parameters of the model, and the forms of X."""

    n_features_in_: int
    """Channels of each step, F."""

    def __init__(
        self,
        cell: str | Mapping[str, object] | Named = "lstm",
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = False,
        pooling: str | Mapping[str, object] = "last",
        dropout: float = 0.0,
        optimizer: str | Mapping[str, object] = "adam",
        lr: float = 1e-3,
        batch_size: int = 32,
        max_epochs: int = 50,
        patience: int | None = 10,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        experiment: Mapping[str, object] | None = None,
        run_folder: str | Path | None = None,
        verbose: bool = False,
    ) -> None:
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.pooling = pooling
        self.dropout = dropout
        self.optimizer = optimizer
        self.lr = lr
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.experiment = experiment
        self.run_folder = run_folder
        self.verbose = verbose

    def _model(self) -> dict[str, object]:
        pooling = dict(self.pooling) if isinstance(self.pooling, Mapping) else self.pooling
        return {**super()._model(), "pooling": pooling}

    def _validates(self, X: list[np.ndarray], labels: np.ndarray, groups: Sequence[Hashable] | None) -> np.ndarray:
        """(N,) bool: which sequences are held out of training.

        Args:
            labels: (N,) class indices, by which the split is stratified.
            groups: (N,) sequences of one group stay together; None: equal sequences do.
        """
        where = type(self).__name__
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"{where}: validation_fraction must be between 0 and 1, got {self.validation_fraction}")
        copies = [x.tobytes() for x in X] if groups is None else list(groups)
        check_consistent_length(X, copies)
        if len(X) < 2:
            raise ValueError(f"{where}: n_samples=1: there must be sequences to train on and others to validate on")
        splits = assign_splits(labels, copies, None, (self.validation_fraction, 0.0), where, "sequences")
        return np.asarray(splits == 1)

    def _fit(self, X: list[np.ndarray], y: Sequence[object], validates: np.ndarray, task: Mapping[str, object],
             *, target: Target, classes: Sequence[str] | None = None) -> None:  # fmt: skip
        """Train on sequences and their targets.

        Args:
            y: N targets, as `lab.data.arrays` takes them.
            validates: (N,) bool, which of them are held out of training.
            target, classes: as `lab.data.arrays` takes them.
        """
        sets = [([X[i] for i in rows], [y[i] for i in rows]) for rows in map(np.flatnonzero, (~validates, validates))]
        folder = self._claim_folder()
        data = arrays(*sets[0], validation=sets[1], test=0.0, folder=folder / "data", batch_size=self.batch_size,
                      target=target, classes=classes)  # fmt: skip
        experiment = self._experiment(data, task)
        self._train(experiment, experiment.data.build(), folder)
        self.n_features_in_ = X[0].shape[1]

    def _logits(self, X: ArrayLike, lengths: Lengths) -> torch.Tensor:
        """(N, K) of a fitted estimator."""
        check_is_fitted(self)
        sequences = sequences_of(X, lengths, self)
        if sequences[0].shape[1] != self.n_features_in_:
            raise ValueError(f"X has {sequences[0].shape[1]} features, but {type(self).__name__} is expecting "
                             f"{self.n_features_in_} features as input")  # fmt: skip
        with value_errors():
            batches = self.experiment_.data.build().read_new(sequences, self.info_).batches
        return torch.cat([logits for logits, _ in predictions(self.learner_, batches)]).double()

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        return tags


class SequenceClassifier(ClassifierMixin, SequenceEstimator):  # type: ignore[misc, unused-ignore]
    """A class for each sequence, by scikit-learn's conventions: `fit`, `predict`, `predict_proba`, `score`.

    X, in `fit` and in `predict`, is numpy or torch:

    - (N, T, F): N sequences of T steps with F channels; with `lengths` (N,), only the first steps of each are valid.
    - a list of N arrays (T_i, F), or of N arrays (T_i,), for sequences of different lengths.
    - (N, T): N sequences of one channel. That is how a two-dimensional X of scikit-learn is understood: its columns are
      time steps, so that their number may differ between `fit` and `predict`.

    Channels are standardised by the training split. The parameters are those of `RecurrentEstimator`, and:

    Args:
        pooling: how a sequence becomes one vector: a registered pooling, its name or a mapping with `name`.

    Attributes:
        classes_: (K,) labels, sorted.
        n_features_in_: channels of each step, F.
        run_, learner_, experiment_, n_iter_: see `RecurrentEstimator`.

    >>> import numpy as np
    >>> import lstm_lab as lab
    >>> phase = np.random.default_rng(0).uniform(0, 6, (60, 1, 1))
    >>> time = np.arange(20)[:, None]
    >>> X = np.concatenate([np.sin(0.3 * time + phase[:30]), np.sin(0.9 * time + phase[30:])])  # (60, 20, 1)
    >>> y = ["slow"] * 30 + ["fast"] * 30
    >>> classifier = lab.SequenceClassifier(cell="gru", hidden_size=16, lr=0.01, max_epochs=20, random_state=0)
    >>> classifier.fit(X, y).score(X, y) > 0.9
    True
    >>> classifier.predict_proba(X[:2]).shape
    (2, 2)
    >>> classifier.run_.metrics.columns[:3].tolist()
    ['epoch', 'step', 'train/loss']
    """

    classes_: np.ndarray

    def fit(
        self, X: ArrayLike, y: ArrayLike, *, lengths: Lengths = None,
        groups: Sequence[Hashable] | None = None,
    ) -> Self:  # fmt: skip
        """Train, and keep the weights of the epoch with the best validation accuracy, then loss.

        Args:
            X: N sequences; see the class.
            y: (N,) labels: integers, strings or booleans.
            lengths: (N,) valid steps of each sequence of an array.
            groups: (N,) sequences of one group, such as one person's, are all trained on or all held out; None: only
                equal sequences stay together.

        Raises:
            ValueError: X, y or a parameter of a wrong form or value.
            Diverged: the loss is not finite.
            KeyboardInterrupt: at Ctrl-C, after the step in progress.
        """
        sequences = sequences_of(X, lengths, self)
        labels = column_or_1d(_targets(y, self), warn=True)
        check_classification_targets(labels)
        check_consistent_length(sequences, labels)
        classes, indices = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"{type(self).__name__}: y has one class only, {classes[0]!r}; there must be at least two")
        names = [str(label) for label in classes]
        with value_errors():
            validates = self._validates(sequences, indices, groups)
            self._fit(sequences, [names[i] for i in indices], validates, {"name": "classify", "monitor": "loss"},
                      target="class", classes=names)  # fmt: skip
        self.classes_ = classes
        return self

    def predict_proba(self, X: ArrayLike, *, lengths: Lengths = None) -> np.ndarray:
        """(N, K) probabilities, in the order of `classes_`."""
        probabilities: np.ndarray = self._logits(X, lengths).softmax(1).numpy()
        return probabilities

    def predict(self, X: ArrayLike, *, lengths: Lengths = None) -> np.ndarray:
        """(N,) labels."""
        best = self._logits(X, lengths).argmax(1).numpy()
        labels: np.ndarray = self.classes_[best]
        return labels


class SequenceRegressor(RegressorMixin, SequenceEstimator):  # type: ignore[misc, unused-ignore]
    """Values for each sequence, by scikit-learn's conventions: `fit`, `predict`, `score`.

    X and the parameters are those of `SequenceClassifier`. Targets are standardised by the training split, so that the
    metrics of `run_` are in standard deviations of y; predictions are in the units of y.

    Attributes:
        n_features_in_: channels of each step, F.
        run_, learner_, experiment_, n_iter_: see `RecurrentEstimator`.

    >>> import numpy as np
    >>> import lstm_lab as lab
    >>> X = np.random.default_rng(0).normal(size=(80, 12, 2))
    >>> y = 100 + 10 * X[:, :, 0].sum(1)
    >>> regressor = lab.SequenceRegressor(hidden_size=16, lr=0.02, max_epochs=30, random_state=0).fit(X, y)
    >>> regressor.score(X, y) > 0.8
    True
    >>> regressor.predict(X[:3]).shape
    (3,)
    """

    def fit(
        self, X: ArrayLike, y: ArrayLike, *, lengths: Lengths = None,
        groups: Sequence[Hashable] | None = None,
    ) -> Self:  # fmt: skip
        """Train, and keep the weights of the epoch with the smallest squared error on the validation split.

        Args:
            X: N sequences; see `SequenceClassifier`.
            y: (N,) or (N, K) values.
            lengths: (N,) valid steps of each sequence of an array.
            groups: (N,) sequences of one group are all trained on or all held out; None: only equal sequences stay
                together.

        Raises:
            ValueError: X, y or a parameter of a wrong form or value.
            Diverged: the loss is not finite.
            KeyboardInterrupt: at Ctrl-C, after the step in progress.
        """
        sequences = sequences_of(X, lengths, self)
        values = _targets(y, self, dtype=np.float64)
        check_consistent_length(sequences, values)
        rows = values.reshape(len(values), -1)
        with value_errors():
            validates = self._validates(sequences, np.zeros(len(rows), np.int64), groups)
            mean, std = rows[~validates].mean(0), rows[~validates].std(0)
            std[std == 0] = 1.0
            self._fit(sequences, ((rows - mean) / std).tolist(), validates, {"name": "regress"}, target="value")
        self._target_mean, self._target_std, self._one_target = mean, std, values.ndim == 1
        return self

    def predict(self, X: ArrayLike, *, lengths: Lengths = None) -> np.ndarray:
        """(N,) or (N, K) values, as y was in `fit`."""
        values: np.ndarray = self._logits(X, lengths).numpy() * self._target_std + self._target_mean
        return values[:, 0] if self._one_target else values

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def sequences_of(X: ArrayLike, lengths: Lengths, estimator: SequenceEstimator) -> list[np.ndarray]:
    """N arrays (T_i, F) float64 of any form of X.

    Raises:
        ValueError: no such form, a value that is not finite, or sequences of different numbers of channels.
    """
    found = plain(X)
    if isinstance(found, np.ndarray) and found.dtype == object and found.ndim == 1:
        found = list(found)
    parts = [np.asarray(part) for part in found] if isinstance(found, list | tuple) else []
    dimensions, steps = {part.ndim for part in parts}, {part.shape[:1] for part in parts}
    if dimensions == {2}:
        found = parts
    elif dimensions == {1} and len(steps) > 1:
        found = [part[:, None] for part in parts]
    else:
        array = check_array(found, allow_nd=True, dtype=np.float64, ensure_all_finite=lengths is None,
                            estimator=estimator, input_name="X")  # fmt: skip
        found = array[:, :, None] if array.ndim == 2 else array
    with value_errors():
        return as_sequences(found, plain(lengths), "X")


def _targets(y: ArrayLike, estimator: SequenceEstimator, dtype: DTypeLike = None) -> np.ndarray:
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
    found: np.ndarray = check_array(plain(y), ensure_2d=False, dtype=dtype, input_name="y", estimator=estimator)
    return found
