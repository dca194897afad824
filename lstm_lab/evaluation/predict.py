"""Predictions of a trained run for new data. The run folder is enough: the data it was trained on may be gone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from lstm_lab.data import Dataset
from lstm_lab.data.base import DataInfo, NewSamples, PredictionRow
from lstm_lab.data.readers.in_memory import NewData, is_frame
from lstm_lab.evaluation.evaluate import best_experiment, load_weights
from lstm_lab.evaluation.monte_carlo import DropoutSampler, sampled_columns, sampled_predictions
from lstm_lab.evaluation.predictor import LearnerPredictor
from lstm_lab.experiment import Accelerator, Experiment
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run
from lstm_lab.tasks.base import Outputs, Task
from lstm_lab.training.learner import Learner
from lstm_lab.training.train import build_from

if TYPE_CHECKING:
    import pandas as pd


class PredictionTable(NamedTuple):
    """Predictions as a table."""

    header: list[str]
    rows: list[PredictionRow]
    """Texts, numbers at full precision, and times as `datetime`."""

    def to_csv(self) -> str:
        """As CSV text; numbers with all digits, times as ISO 8601."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows(self._plain_rows())
        return out.getvalue()

    def to_records(self) -> list[Row]:
        """A dict for each row, times as text."""
        return [dict(zip(self.header, row, strict=True)) for row in self._plain_rows()]

    def to_frame(self, like: object = None) -> pd.DataFrame:
        """As a DataFrame.

        Args:
            like: the new data; of a DataFrame, times and ids come in its dtypes.
        """
        import pandas as pd

        table = pd.DataFrame(self.rows, columns=self.header)
        for name in self.header if is_frame(like) else []:
            dtype = _dtype_of(name, like)
            if dtype is not None:
                table[name] = as_dtype(table[name], dtype)
        return table

    def _plain_rows(self) -> list[PredictionRow]:
        """With times as text: the date alone where all times of a column are midnight."""
        texts = [*map(_times_as_text, zip(*self.rows, strict=True))]
        return [list(row) for row in zip(*texts, strict=True)]


def _times_as_text(column: tuple[Any, ...]) -> tuple[Any, ...]:
    if not all(isinstance(value, datetime) for value in column):
        return column
    midnight = all(value.tzinfo is None and value == datetime(value.year, value.month, value.day) for value in column)
    return tuple(str(value.date() if midnight else value) for value in column)


def _dtype_of(name: str, frame: Any) -> Any:
    """Of a column of a DataFrame, or of a level of its index; None where it has neither."""
    if name in frame.columns:
        return frame[name].dtype
    if name in frame.index.names or list(frame.index.names) == [None]:
        return frame.index.get_level_values(name if name in frame.index.names else 0).dtype
    return None


def as_dtype(values: pd.Series, dtype: Any) -> pd.Series:
    """Times and ids in the dtype that they have elsewhere: periods, dates with a time zone, numbers; else unchanged."""
    import pandas as pd

    if isinstance(dtype, pd.PeriodDtype):
        return pd.Series(pd.PeriodIndex(pd.DatetimeIndex(values), dtype=dtype), values.index)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return pd.Series(pd.to_datetime(values, utc=True).dt.tz_convert(dtype.tz), values.index)
    if pd.api.types.is_numeric_dtype(dtype) and pd.api.types.is_numeric_dtype(values.dtype):
        changed = values.astype(dtype)
        return changed if (changed == values).all() else values
    return values


class LoadedRun(NamedTuple):
    """A trained run, ready to predict."""

    experiment: Experiment
    dataset: Dataset
    """Not read: the data may be gone."""
    info: DataInfo
    """Of the data that it was trained on."""
    learner: Learner
    """With the weights of the best epoch, calibrated, in evaluation mode."""


def load(run: Run, accelerator: Accelerator | None = None) -> LoadedRun:
    """The best epoch of a run, on the device that predicts.

    Args:
        accelerator: None: that of the run's experiment, or the CPU where there is no GPU.

    Raises:
        ConfigError: the run has no checkpoint yet.
        DataError: its folder is damaged.
    """
    experiment = best_experiment(run, needs_data=False)
    dataset: Dataset = experiment.data.build()
    info = dataset.restore_info(run.data["info"])
    torch.set_num_threads(experiment.trainer.num_threads)
    learner = build_from(experiment, info)
    load_weights(learner, run)
    learner.to(experiment.trainer.device(accelerator))
    calibration = run.about.get("calibration")
    if calibration is not None:
        learner.task.load_calibration(calibration)
    return LoadedRun(experiment, dataset, info, learner)


def predict(
    run: Run,
    new: NewData,
    future: NewData | None = None,
    accelerator: Accelerator | None = None,
    samples: int | None = None,
) -> PredictionTable:
    """Predict new data with the best epoch of a run.

    Args:
        run: trained on data that read new samples.
        new: a path, or what else the run's data take (a DataFrame, arrays, texts), with the same columns; targets are
            not needed, but of a series in the `window` rows before the forecast. A forecast is for the `horizon` rows
            after the last one with a target, of each series.
        future: of a series, a path or a DataFrame with the time and the columns that are known in advance, in the rows
            to come; None: they are in rows of `new` whose targets are empty.
        accelerator: None: that of the run's experiment, or the CPU where there is no GPU.
        samples: predictions with dropout, whose mean is returned (Monte-Carlo dropout); None: one without dropout.

    Returns:
        A header, and rows of plain values. Of series: the id, the time, the number of steps ahead, and each target in
        its units, with the ends of its intervals where the model has any. Of sequences and texts: their id or number,
        and the class with the probability of each, or the values. With `samples`, the ends of the middle 90 % of them
        for each number, and of classes the entropy of the mean, in nats.

    Raises:
        DataError: the data cannot be read, are too short, or do not tell what must be known in advance.
        ConfigError: the run was trained on data that read no new samples, has no checkpoint yet, or has no dropout to
            sample.
    """
    experiment, dataset, info, learner = load(run, accelerator)
    read = dataset.read_new(new, info) if future is None else dataset.read_with_future(new, future, info)
    task = learner.task
    with torch.inference_mode():
        if samples is None:
            found = [row for batch in read.batches for row in task.predict(LearnerPredictor(learner), batch)]
            return _table(read, found, task.prediction_columns)
        sampler = DropoutSampler(learner, samples, experiment.seed)
        found = [row for batch in read.batches for row in sampled_predictions(task, sampler.sample(batch), batch)]
    return _table(read, found, [*task.prediction_columns, *sampled_columns(task)])


def table_of(task: Task, read: NewSamples, outputs: Outputs) -> PredictionTable:
    """The predictions that logits for new samples stand for.

    Args:
        outputs: of each batch of the samples.
    """
    found = [row for logits, batch in outputs for row in task.predictions(logits, batch)]
    return _table(read, found, task.prediction_columns)


def _table(read: NewSamples, found: list[list[PredictionRow]], columns: Iterable[str]) -> PredictionTable:
    rows = [
        [*key, *row]
        for keys, prediction in zip(read.keys, found, strict=True)
        for key, row in zip(keys, prediction, strict=True)
    ]
    return PredictionTable([*read.columns, *columns], rows)
