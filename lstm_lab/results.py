"""What the Python API returns besides runs: a sweep and a comparison, each read from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lstm_lab.config import ConfigError
from lstm_lab.records.files import Row
from lstm_lab.records.scores import Scores
from lstm_lab.trained_run import TrainedRun

if TYPE_CHECKING:
    import pandas as pd

    from lstm_lab.data.readers.in_memory import NewData
    from lstm_lab.experiment import Accelerator
    from lstm_lab.records.diagnosis import Finding


@dataclass(frozen=True)
class SweepResult:
    """A sweep of `lab.sweep` or `lab.load_sweep`, read from its folder."""

    path: Path

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial, in the order in which they were added.

        Columns: trial, configuration, seed, phase, state, reason, the monitored metric at its best epoch under its own
        name, epoch, epochs, seconds, parameters, exploits and exploited, then one for each key of the space.
        """
        from lstm_lab.sweeps.store.dataframe import trials_dataframe

        return trials_dataframe(self.path)

    @property
    def leaderboard(self) -> pd.DataFrame:
        """One row per configuration, best first.

        Columns: configuration, one for each key of the space, mean and std of the monitored metric over seeds, n,
        parameters, states; of a sweep with several objectives also front (1: the Pareto front) and each of the others;
        of one with constraints on metrics broken (which, empty where all are kept) and what was measured.
        """
        import pandas as pd

        from lstm_lab.sweeps.store.record import read_sweep

        record = read_sweep(self.path)
        keys, has_front = list(record.space), bool(record.criteria.objectives)
        others = (each.name for each in record.criteria.measured)
        objectives = [name for name in others if name not in (record.metric, "parameters")]
        rows = [
            {
                "configuration": row.number,
                **{key: row.overrides.get(key) for key in keys},
                "mean": row.mean,
                "std": row.std,
                "n": row.n,
                "parameters": row.parameters,
                "states": ", ".join(trial.state for trial in row.trials),
                **({"front": row.front} if has_front else {}),
                **({"broken": ", ".join(row.broken)} if record.criteria.limits else {}),
                **{name: row.objectives.get(name) for name in objectives},
            }
            for row in record.configurations
        ]
        columns = ["configuration", *keys, "mean", "std", "n", "parameters", "states"]
        columns += [*(["front"] if has_front else []), *(["broken"] if record.criteria.limits else []), *objectives]
        return pd.DataFrame(rows, columns=columns)

    @property
    def importance(self) -> pd.DataFrame | None:
        """Share of the metric's variance that each hyperparameter explains (fANOVA), the largest first.

        Columns: hyperparameter, share, low and high (the middle 90 % over resamples of the configurations), place: its
        rank, missing where it is not known yet because intervals overlap or nothing can be predicted. None with fewer
        than four configurations or two hyperparameters, and of a population.
        """
        import pandas as pd

        from lstm_lab.report.parts.importance import importance
        from lstm_lab.sweeps.store.record import read_sweep

        found = importance(read_sweep(self.path))
        if found is None:
            return None
        rows = [
            (key, share, *found.intervals[key], place if found.is_known(key) else None)
            for place, (key, share) in enumerate(found.shares.items(), 1)
        ]
        table = pd.DataFrame(rows, columns=["hyperparameter", "share", "low", "high", "place"])
        return table.astype({"place": "Int64"})

    @property
    def best(self) -> TrainedRun:
        """The best trial: of the best configuration, the best seed.

        Raises:
            ConfigError: no trial has a value.
        """
        from lstm_lab.workflow import best_run

        return TrainedRun(best_run(self.path).path)

    @property
    def refit(self) -> TrainedRun | None:
        """The best configuration, trained on the training and the validation split (`refit: true`); None where it was
        not."""
        found = (self.summary or {}).get("refit")
        return TrainedRun(self.path / found["run"]) if found and found["state"] == "finished" else None

    @property
    def summary(self) -> Row | None:
        """summary.json; None where the sweep has not ended."""
        from lstm_lab.sweeps.store.record import read_summary

        return read_summary(self.path)

    def evaluate(
        self, *, accelerator: Accelerator | None = None, samples: int | None = None, top: int | None = None
    ) -> Scores:
        """Mean scores of the best configuration's seeds on the test split, recorded and counted.

        Args:
            accelerator, samples: as of `TrainedRun.evaluate`.
            top: how many of the best configurations are scored as an ensemble too, as of `predict`: in
                `details["ensembles"]`.

        Raises:
            ConfigError: the sweep has not ended, or every trial failed.
        """
        from lstm_lab.workflow import evaluate_folder

        return evaluate_folder(self.path, accelerator, samples, top)

    def predict(
        self,
        new: NewData,
        future: NewData | None = None,
        *,
        accelerator: Accelerator | None = None,
        samples: int | None = None,
        top: int | None = None,
    ) -> pd.DataFrame:
        """`TrainedRun.predict` of the best trial, or of an ensemble.

        Args:
            new, future, accelerator, samples: as there.
            top: so many of the best configurations predict together, all their seeds: the mean of their predictions,
                with weights chosen on the validation split by greedy selection with replacement (Caruana et al. 2004),
                which are recorded. None: the best trial alone.

        Raises:
            DataError: as there, or the data are not what the trials were trained on.
            ConfigError: there are fewer configurations, their predictions have no mean, or `samples` is given too.
        """
        if top is not None:
            from lstm_lab.deploy.ensemble import predict_together

            if samples is not None:
                raise ConfigError("samples: does not go with top, which has several predictions already")
            return predict_together(self.path, top, new, future, accelerator)[1].to_frame(new)
        return self.best.predict(new, future, accelerator=accelerator, samples=samples)

    def diagnose(self) -> list[Finding]:
        """What is wrong with the sweep by its record, the gravest first; `best.diagnose()` looks at its best trial."""
        from lstm_lab.diagnosis import diagnose_sweep
        from lstm_lab.sweeps.store.record import read_sweep

        return diagnose_sweep(read_sweep(self.path))

    def report(self, to: Literal["html", "markdown", "json"] = "html") -> Path:
        """Write the page of the sweep into its folder; its path."""
        from lstm_lab.report import write_report

        return write_report(self.path, to)


@dataclass(frozen=True)
class Comparison:
    """Runs and sweeps on one page. In a notebook, it shows the page."""

    path: Path
    """The page."""

    def _repr_html_(self) -> str:
        import html

        page = html.escape(self.path.read_text(encoding="utf-8"), quote=True)
        return f'<iframe srcdoc="{page}" style="width: 100%; height: 42rem; border: 0"></iframe>'
