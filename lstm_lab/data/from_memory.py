"""Data sets from arrays and DataFrames in memory, for the Python API."""

from __future__ import annotations

import io
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.config.paths import cache_folder
from lstm_lab.config.validation import validate
from lstm_lab.data.kinds.user_files import Target
from lstm_lab.data.preprocessing.augment import Augment
from lstm_lab.data.preprocessing.splits import DEFAULT_FRACTIONS
from lstm_lab.data.readers.array_file import write_array_file, write_content_addressed
from lstm_lab.data.readers.cells import NUMBERS
from lstm_lab.data.readers.formats import read_frame
from lstm_lab.data.readers.in_memory import Arrays, as_sequences, is_frame, is_series
from lstm_lab.data.readers.sequence_file import SequenceFile
from lstm_lab.data.sources.arrays import ArrayDataset
from lstm_lab.data.sources.csv_series import CSV

if TYPE_CHECKING:
    import pandas as pd

Targets: TypeAlias = "Sequence[Hashable] | Sequence[Sequence[Hashable]] | np.ndarray | pd.Series | pd.DataFrame"
"""One entry for each sequence: a label, a value, a row of values, or a label for each step."""

HeldOut: TypeAlias = float | tuple[Arrays, Targets]
"""A fraction of the sequences, or sequences of their own: (X, y)."""


def arrays(
    X: Arrays,
    y: Targets,
    *,
    lengths: Sequence[int] | np.ndarray | None = None,
    groups: Sequence[Hashable] | np.ndarray | None = None,
    classes: Sequence[Hashable] | None = None,
    targets: Sequence[str] | None = None,
    target: Target | None = None,
    validation: HeldOut = DEFAULT_FRACTIONS[0],
    test: HeldOut = DEFAULT_FRACTIONS[1],
    folder: str | Path | None = None,
    batch_size: int = 32,
    augment: Augment | None = None,
) -> ArrayDataset.Config:
    """Sequences in memory as the data of an experiment: `Experiment(data=arrays(X, y), task="classify")`.

    The arrays are written once, to a file that is named by a hash of its content; the configuration has its path and
    sha256, so that an experiment remains plain content and a run can be resumed and evaluated as long as the file is
    there. Predictions of a run do not need it. Channels are standardised by the training split.

    Args:
        X: (N, T, F) array, or a list of N arrays (T_i, F), all finite.
        y: what is predicted. For "classify", N labels: integers, strings or other hashable values. For "regress",
            floats (N,) or (N, K). For "tag", N arrays (T_i,) of labels, or an integer array (N, T); a step whose label
            is None or negative has no target.
        lengths: (N,) valid steps of each sequence of an (N, T, F) array; None: all T.
        groups: (N,) sequences of one group stay in one split, such as the recordings of one person; None: only equal
            sequences stay together.
        classes: labels in the order of their indices; None: sorted. Where y has indices instead of labels: the names
            of the classes.
        targets: names of the K values of "regress"; None: y, or y1, y2, ...
        target: "class", "value", "tag" or "labels", where y leaves it open, as integers to be predicted as values do.
            For "multi_label" it is "labels": y is (N, K) of 0 and 1, and `classes` names the K labels.
        validation, test: fraction of the sequences, stratified by class; or sequences of their own, as (X, y).
        folder: where the file is written; None: `arrays` below the folder that LSTM_LAB_CACHE names.
        batch_size: sequences in one step.
        augment: random changes to training batches.

    Returns:
        A configuration of the data set "arrays".

    Raises:
        DataError: arrays that do not fit together, values that are not finite, one class only, or too few sequences.
        ConfigError: fractions that leave nothing to train on, or a batch size below 1.

    Example:
        >>> import numpy as np
        >>> X, y = np.random.default_rng(0).normal(size=(30, 8, 2)), ["slow", "fast"] * 15
        >>> config = arrays(X, y, batch_size=10)
        >>> config.build().info.classes
        ('fast', 'slow')
    """
    sets = {"train": _Samples.of(X, y, "X", "y", lengths)}
    fractions = {}
    for name, held_out in (("validation", validation), ("test", test)):
        if isinstance(held_out, tuple):
            sets[name] = _Samples.of(*held_out, f"{name}[0]", f"{name}[1]")
        else:
            fractions[name] = held_out
    kind = target or sets["train"].target
    fields = {**fractions, "target": kind, "batch_size": batch_size, "augment": augment or Augment()}
    config = validate(ArrayDataset.Config, {**fields, "path": "arrays"}, "data.arrays")
    values, order = _joined_targets(list(sets.values()), kind, classes)
    splits = np.repeat(list(sets), [len(samples.sequences) for samples in sets.values()]) if len(sets) > 1 else None
    file = SequenceFile(
        Path("arrays"), [sequence for samples in sets.values() for sequence in samples.sequences], values,
        None if groups is None else _group_names(groups, sets), splits, order, _target_names(targets, y, kind),
    )  # fmt: skip
    checked = config.build(file=file)
    _ = checked.info, checked.train
    path, sha256 = write_array_file(
        file.sequences, folder, y=file.y, groups=file.groups, splits=file.splits, classes=np.array(order, str),
        targets=np.array(file.targets, str),
    )  # fmt: skip
    return validate(ArrayDataset.Config, {**fields, "path": str(path), "sha256": sha256}, "data.arrays")


@dataclass(frozen=True)
class _Samples:
    """Sequences and what is to be predicted of each."""

    sequences: list[np.ndarray]
    y: list[object]
    """N labels, N rows of values, or N lists of labels."""
    y_name: str
    """For messages."""
    padded_steps: int | None
    """T of an (N, T, F) array with lengths."""

    @classmethod
    def of(cls, X: Arrays, y: Targets, X_name: str, y_name: str, lengths: object = None) -> _Samples:
        sequences = as_sequences(X, lengths, X_name)
        rows = _plain(y, y_name)
        if len(rows) != len(sequences):
            raise DataError(f"{y_name}: has {len(rows)} targets, but {X_name} has {len(sequences)} sequences")
        return cls(sequences, rows, y_name, None if lengths is None else np.shape(X)[1])

    @property
    def target(self) -> Target:
        """What y has, by the type of its first entry: floats are values, lists of anything else classes of steps."""
        first = self.y[0]
        if isinstance(first, list):
            return "value" if first and all(isinstance(value, float) for value in first) else "tag"
        return "value" if isinstance(first, float) else "class"

    def step_labels(self) -> list[Hashable]:
        """Labels of all steps, end to end."""
        labels: list[Hashable] = []
        for i, (row, sequence) in enumerate(zip(self.y, self.sequences, strict=True)):
            if not isinstance(row, list) or len(row) not in (len(sequence), self.padded_steps):
                found = f"has {len(row)} labels" if isinstance(row, list) else "is not a list of labels"
                raise DataError(f"{self.y_name}[{i}]: {found}, but its sequence has {len(sequence)} steps")
            labels += row[: len(sequence)]
        return labels

    def values(self) -> np.ndarray:
        """(N, K) values to predict."""
        try:
            values = np.asarray(self.y, np.float64)
        except (TypeError, ValueError):
            raise DataError(f"{self.y_name}: is not an array of numbers (N,) or (N, K): convert it to floats") from None
        return values.reshape(len(values), -1)


def _plain(y: object, name: str) -> list[object]:
    """Entries of y as Python values: scalars, or lists of them."""
    if is_frame(y) or is_series(y):
        y = y.to_numpy()
    if isinstance(y, np.ndarray):
        plain: list[object] = y.tolist()
        return plain
    if isinstance(y, str | bytes) or not isinstance(y, Sequence):
        raise DataError(f"{name}: {type(y).__name__} must be a list or an array with one entry for each sequence")
    return [row.tolist() if isinstance(row, np.ndarray | np.generic) else list(row) if isinstance(row, tuple) else row
            for row in y]  # fmt: skip


def _joined_targets(
    sets: list[_Samples], kind: Target, classes: Sequence[Hashable] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Targets of all sets as an .npz file has them, and the class names in order."""
    if kind == "value":
        values = [samples.values() for samples in sets]
        other = next(
            (samples for samples, own in zip(sets, values, strict=True) if own.shape[1] != values[0].shape[1]), None
        )
        if other is not None:
            raise DataError(f"{other.y_name}: has another number of values than {sets[0].y_name}")
        return np.concatenate(values), ()
    if kind == "labels":
        return np.concatenate([samples.values() for samples in sets]), tuple(map(str, classes or ()))
    of_steps = kind == "tag"
    labels = [label for samples in sets for label in (samples.step_labels() if of_steps else samples.y)]
    missing = [label is None or (of_steps and isinstance(label, int) and label < 0) for label in labels]
    if any(missing) and not of_steps:
        raise DataError(f"{sets[0].y_name}[{missing.index(True)}]: is None: remove the sequence, or give it a class")
    names = _class_names(
        [label for label, gone in zip(labels, missing, strict=True) if not gone], classes, sets[0].y_name
    )
    order = tuple(dict.fromkeys(names.values()))
    return np.array(["" if gone else names[label] for label, gone in zip(labels, missing, strict=True)], str), order


def _class_names(labels: list[Hashable], classes: Sequence[Hashable] | None, y_name: str) -> dict[Hashable, str]:
    """Label -> class name, in the order of the classes."""
    try:
        distinct = set(labels)
    except TypeError:
        raise DataError(f"{y_name}: labels must be integers, strings or other hashable values") from None
    if classes is None:
        try:
            order: list[Hashable] = sorted(distinct)  # type: ignore[type-var]
        except TypeError:
            order = sorted(distinct, key=str)
        names = {label: str(label) for label in order}
    elif distinct <= set(classes):
        names = {label: str(label) for label in classes}
    elif all(isinstance(label, int) and 0 <= label < len(classes) for label in distinct):
        names = {index: str(name) for index, name in enumerate(classes)}
    else:
        wrong = next(label for label in labels if label not in classes)
        raise DataError(f"{y_name}: has label {wrong!r}, which is neither in classes nor an index of it")
    if len(set(names.values())) < len(names) or "" in names.values():
        raise DataError(f"{y_name}: labels must differ as text, and none may be empty")
    return names


def _group_names(groups: Sequence[Hashable] | np.ndarray, sets: dict[str, _Samples]) -> np.ndarray:
    """(N,) names; sequences of a set of their own are each a group."""
    train = len(sets["train"].sequences)
    if len(groups) != train:
        raise DataError(f"groups: has {len(groups)} entries, but X has {train} sequences")
    own = [f"{name} {i}" for name, samples in sets.items() if name != "train" for i in range(len(samples.sequences))]
    return np.array([*(str(group) for group in groups), *own])


def _target_names(targets: Sequence[str] | None, y: Targets, kind: Target) -> tuple[str, ...]:
    if kind != "value":
        if targets is not None:
            raise DataError("targets: names values to predict, but y has classes: remove it, or set target='value'")
        return ()
    if targets is not None:
        return (targets,) if isinstance(targets, str) else tuple(targets)
    return tuple(str(name) for name in y.columns) if is_frame(y) else ()


def frame(
    data: pd.DataFrame,
    *,
    targets: str | Sequence[str],
    time: str | None = None,
    id: str | None = None,
    features: str | Sequence[str] = (),
    future: str | Sequence[str] = (),
    static: str | Sequence[str] = (),
    folder: str | Path | None = None,
    **options: object,
) -> CSV.Config:
    """A DataFrame of one or more time series as the data of an experiment: `Experiment(data=frame(df, targets="load"),
    task="forecast")`.

    The columns are written once, to a Parquet file that is named by a hash of its content; the configuration has its
    path and sha256.

    Args:
        data: a row for each time step, oldest first; several series one below the other.
        targets: columns to predict.
        time: column of the time: dates, or numbers that count steps; None: the index.
        id: column of the series that a row belongs to; None: all rows are one series.
        features: further columns of the past, not predicted.
        future: columns that are known in advance, such as holidays.
        static: columns that are constant within a series; known in advance.
        folder: where the file is written; None: `frames` below the folder that LSTM_LAB_CACHE names.
        options: other fields of the data set "csv": window, horizon, seasons, calendar, missing, gaps, split,
            validation, test, batch_size, augment, ...

    Returns:
        A configuration of the data set "csv".

    Raises:
        DataError: no such column, a value that is missing or not a number, or times that are not regular.
        ConfigError: an option that does not exist, or a value that it does not take.

    Example:
        >>> import pandas as pd
        >>> hours = pd.date_range("2024-01-01", periods=60, freq="h")
        >>> config = frame(pd.DataFrame({"load": range(60)}, index=hours), targets="load", window=6, horizon=2)
        >>> config.build().info.targets
        ('load',)
    """
    if not is_frame(data):
        raise DataError(f"data: {type(data).__name__} is not a DataFrame")
    table = data.rename(columns=str)
    if time is None:
        time = str(table.index.name or "time")
        table = table.reset_index(names=time)
    columns = {"targets": targets, "features": features, "future": future, "static": static}
    fields = {
        "time": time, **{field: [names] if isinstance(names, str) else names for field, names in columns.items()},
        **options,
        **({} if id is None else {"id": id}),
    }  # fmt: skip
    checked: CSV = validate(CSV.Config, {**fields, "path": "DataFrame.parquet"}, "data.frame").build()
    table = table.loc[:, table.columns.isin(checked.wanted)]
    for name in table.columns[table.dtypes.map(str).str.startswith("period")]:
        table[name] = table[name].dt.to_timestamp()
    checked.check(checked.split_series_of(read_frame(table, checked.wanted, cells=NUMBERS)))
    body = io.BytesIO()
    table.to_parquet(body, index=False)
    to = cache_folder() / "frames" if folder is None else Path(folder)
    path, sha256 = write_content_addressed(body.getvalue(), to, "parquet")
    return validate(CSV.Config, {**fields, "path": str(path), "sha256": sha256}, "data.frame")
