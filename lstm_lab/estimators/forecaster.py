"""Forecasts of a time series from a DataFrame, with intervals calibrated on the validation split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted

from lstm_lab.data import frame
from lstm_lab.data.base import Batch
from lstm_lab.estimators.base import RecurrentEstimator, predictions, value_errors
from lstm_lab.estimators.time_column import one_or_more, with_time_column
from lstm_lab.evaluation.predict import as_dtype
from lstm_lab.tasks.forecast import Forecast
from lstm_lab.tasks.forecasting import conformal
from lstm_lab.tasks.forecasting.outputs import ForecastOutput, Quantile
from lstm_lab.tasks.forecasting.scale import Scale, prediction_scale

if TYPE_CHECKING:
    from lstm_lab.config.registry import Named
    from lstm_lab.data import Dataset
    from lstm_lab.data.kinds.series import SeriesInfo
    from lstm_lab.data.sources.csv_series import CSV

MOST_WINDOWS = 2000
"""Validation windows that intervals are calibrated on; of more, evenly spaced ones."""


class Forecaster(RecurrentEstimator):
    """The next `horizon` rows of a time series from its last `window`, for one series or many.

    All rows given to `fit` are used: the last of them, a fraction `validation_fraction`, to choose the best epoch and
    to calibrate intervals. The parameters are those of `RecurrentEstimator`, and:

    Args:
        horizon: rows predicted.
        window: past rows that are read.
        seasons: season lengths in rows: the first scales the metric MASE, and `anchor="season"` needs one.
        calendar: cycles of the calendar, "hour", "weekday", "month" or "year", that the model is told, also for the
            rows that it predicts; the time must be dates.
        anchor: naive forecast that the model corrects: "none", "last" (the last value) or "season".
        output: form of the forecast: "point", "quantile", "normal", ... (`lstm-lab list`), or a mapping with `name`.
        missing: empty cells: "error", "forward_fill", or "mask" (neither learned nor scored).
        gaps: rows that are missing: "error" or "fill".

    Attributes:
        run_, learner_, experiment_, info_, n_iter_: see `RecurrentEstimator`.

    >>> import numpy as np, pandas as pd
    >>> import lstm_lab as lab
    >>> hours = pd.date_range("2024-01-01", periods=600, freq="h")
    >>> load = 50 + 10 * np.sin(np.arange(600) * np.pi / 12) + np.random.default_rng(0).normal(size=600)
    >>> df = pd.DataFrame({"load": load}, index=hours)
    >>> forecaster = lab.Forecaster(horizon=6, window=48, hidden_size=16, lr=0.01, max_epochs=6, random_state=0)
    >>> forecast = forecaster.fit(df, target="load").predict(levels=[80, 95])
    >>> forecast.columns.tolist()
    ['load', 'load-lo-80', 'load-hi-80', 'load-lo-95', 'load-hi-95']
    >>> print(forecast.index[0])
    2024-01-26 00:00:00
    """

    info_: SeriesInfo

    def __init__(
        self,
        horizon: int = 24,
        window: int = 96,
        seasons: Sequence[int] = (),
        calendar: Sequence[str] = (),
        anchor: str = "none",
        output: str | Mapping[str, object] = "point",
        missing: str = "error",
        gaps: str = "error",
        cell: str | Mapping[str, object] | Named = "lstm",
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = False,
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
        self.horizon = horizon
        self.window = window
        self.seasons = seasons
        self.calendar = calendar
        self.anchor = anchor
        self.output = output
        self.missing = missing
        self.gaps = gaps
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
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

    def fit(
        self,
        df: pd.DataFrame | pd.Series,
        target: str | Sequence[str] | None = None,
        *,
        time: str | None = None,
        id: str | None = None,
        features: str | Sequence[str] = (),
        future: str | Sequence[str] = (),
        static: str | Sequence[str] = (),
    ) -> Self:
        """Train, and keep the weights of the best epoch on the validation split.

        Args:
            df: a row for each time step, oldest first and at equal steps; or one Series, which is then the target.
            target: column or columns to predict.
            time: column of the time: dates, or numbers that count steps; None: the index.
            id: column of the series that a row belongs to; None: all rows are one series.
            features: further columns of the past, not predicted.
            future: columns that are known in advance, such as holidays.
            static: columns that are constant within a series.

        Raises:
            ValueError: no such column, times that are not regular, a missing value, too few rows, or a parameter of a
                wrong value.
            Diverged: the loss is not finite.
            KeyboardInterrupt: at Ctrl-C, after the step in progress.
        """
        if isinstance(df, pd.Series):
            target = str(df.name or "y") if target is None else target
            df = df.to_frame(one_or_more(target)[0])
        if target is None:
            raise ValueError("Forecaster: target is missing: name the column or columns to predict")
        with value_errors():
            table, time_column = with_time_column(df, time)
            folder = self._claim_folder()
            data: CSV.Config = frame(
                table, targets=target, time=time_column, id=id, features=features, future=future, static=static,
                folder=folder / "data", window=self.window, horizon=self.horizon, seasons=tuple(self.seasons),
                calendar=tuple(self.calendar), missing=self.missing, gaps=self.gaps, batch_size=self.batch_size,
                validation=self.validation_fraction, test=0.0,
            )  # fmt: skip
            output = dict(self.output) if isinstance(self.output, Mapping) else self.output
            task = {"name": "forecast", "anchor": self.anchor, "output": output}
            experiment = self._experiment(data, task)
            form = experiment.task.output.owner if isinstance(experiment.task, Forecast.Config) else None
            is_point = form is not None and issubclass(form, ForecastOutput) and form.is_point
            if not is_point and "task.monitor" not in (self.experiment or {}):
                experiment = experiment.with_overrides({"task.monitor": "loss"})  # A proper score of the distribution.
            dataset = experiment.data.build()
            self._train(experiment, dataset, folder)
        self._data, self._index_is_time, self._index_name = data, time is None, df.index.name
        self._history = self._needed_rows(table)
        self._calibration = self._validation_outputs(dataset)
        return self

    def predict(
        self,
        df: pd.DataFrame | pd.Series | None = None,
        *,
        future: pd.DataFrame | None = None,
        levels: Sequence[float] = (),
    ) -> pd.DataFrame:
        """The rows that follow, in the units of the data.

        Args:
            df: at least `window` rows with the columns of `fit`; None: what `fit` was given. The forecast begins after
                the last row with a target.
            future: the columns that `fit` was told are known in advance, for the `horizon` rows to come, with their
                times as in `df`; None: they are in rows of `df` without targets.
            levels: coverages of intervals in percent, as [80, 95]. An interval is the model's (of a point forecast, the
                point) widened or narrowed so that it covers this share of the validation split, for each step and
                target (split conformal prediction); on other rows the coverage is not guaranteed.

        Returns:
            `horizon` rows with the time as index; of many series, with the series before it. Columns: each target (the
            median, of a distribution), followed by `<target>-lo-80` and `<target>-hi-80` for each level.

        Raises:
            ValueError: too few rows, a column that is missing, or a level that the output has no quantiles for.
            NotFittedError: before `fit`.
        """
        check_is_fitted(self)
        levels = tuple(levels)
        if any(not 0 < level < 100 for level in levels):
            raise ValueError(f"levels={list(levels)}: each must be a percentage between 0 and 100")
        with value_errors():
            history = self._history if df is None else self._as_history(df)
            coming = None if future is None else self._as_history(future)
            dataset = self.experiment_.data.build()
            samples = (
                dataset.read_new(history, self.info_)
                if coming is None
                else dataset.read_with_future(history, coming, self.info_)
            )
            table = pd.DataFrame(np.concatenate([
                self._rows(logits, batch, levels) for logits, batch in predictions(self.learner_, samples.batches)
            ]).reshape(-1, len(self._columns(levels))), columns=self._columns(levels))  # fmt: skip
        names = pd.DataFrame([key for keys in samples.keys for key in keys], columns=samples.columns)
        index = [as_dtype(names[name], history[name].dtype) for name in samples.columns[:-1]]
        time = self._index_name if self._index_is_time else self._data.time
        table.index = pd.Index(index[-1], name=time) if len(index) == 1 else pd.MultiIndex.from_arrays(
            index, names=[self._data.id, time]
        )  # fmt: skip
        return table

    def _columns(self, levels: Sequence[float]) -> list[str]:
        """Each target, followed by the ends of its intervals."""
        ends = [f"-{side}-{level:g}" for level in levels for side in ("lo", "hi")]
        return [f"{target}{end}" for target in self.info_.targets for end in ("", *ends)]

    def _rows(self, logits: torch.Tensor, batch: Batch, levels: Sequence[float]) -> np.ndarray:
        """(B, horizon, columns) in the units of the data."""
        z, scale = self._shaped(logits.double()), prediction_scale(self.info_, batch)
        found = [self._task.output.point(z, scale)]
        for level in levels:
            found += self._interval(z, scale, level)
        rows: np.ndarray = torch.stack([scale.restore(values) for values in found], -1).flatten(2).numpy()
        return rows

    # --- intervals ----------------------------------------------------------------------------------------------------

    @property
    def _task(self) -> Forecast:
        task = self.learner_.task
        assert isinstance(task, Forecast)
        return task

    def _shaped(self, logits: torch.Tensor) -> torch.Tensor:
        """(B, horizon, K, P)"""
        return logits.view(len(logits), *self._task.shape, self._task.output.num_parameters)

    def _validation_outputs(self, dataset: Dataset) -> list[tuple[torch.Tensor, Batch]]:
        """Outputs of the model on the validation split, with their targets."""
        index = torch.linspace(0, len(dataset.validation) - 1, min(len(dataset.validation), MOST_WINDOWS)).long()
        batches = (dataset.validation.take(rows) for rows in index.split(4 * self.batch_size))
        nothing = torch.empty(0)
        return [
            (self._shaped(logits), batch._replace(x=nothing)) for logits, batch in predictions(self.learner_, batches)
        ]

    def _interval(self, z: torch.Tensor, scale: Scale, level: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Lower and upper end, (B, horizon, K) each, standardised."""
        output, coverage = self._task.output, level / 100
        ends = (round((1 - coverage) / 2, 9), round((1 + coverage) / 2, 9))
        if isinstance(output, Quantile) and not set(ends) <= set(output.levels):
            raise ValueError(f"levels: {level:g} needs the quantiles {ends[0]:g} and {ends[1]:g}, but the output was "
                             f"trained for {', '.join(f'{one:g}' for one in output.levels)}")  # fmt: skip
        scores = torch.cat([conformal.interval_scores(output, outputs, batch, ends, self.info_)
                            for outputs, batch in self._calibration])  # fmt: skip
        margin = conformal.margin(scores, coverage)
        low, high = output.quantiles(z, ends, scale).unbind(-1)
        middle = output.point(z, scale)
        return torch.minimum(low - margin, middle), torch.maximum(high + margin, middle)

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _as_history(self, df: pd.DataFrame | pd.Series) -> pd.DataFrame:
        """New rows as `fit` had them, with the time in a column."""
        if isinstance(df, pd.Series):
            df = df.to_frame(self.info_.targets[0])
        return with_time_column(df, None if self._index_is_time else self._data.time, self._data.time)[0]

    def _needed_rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of `fit` that a forecast reads: all where earlier ones fill gaps or scale a series of many."""
        if self._data.id is None and self._data.missing == "error":
            return table.iloc[-max(self.window, 10) :]  # Few rows do not tell how far apart they are.
        return table
