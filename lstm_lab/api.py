"""The Python API: what a notebook or a script does without the command line. `import lstm_lab as lab` exports it."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lstm_lab import files
from lstm_lab.config import ConfigError
from lstm_lab.files import Row
from lstm_lab.records import RunRecord, read_run
from lstm_lab.run import Run
from lstm_lab.scores import Scores

if TYPE_CHECKING:
    import pandas as pd

    from lstm_lab.data import SequenceDataModule
    from lstm_lab.experiment import Experiment
    from lstm_lab.learner import Learner
    from lstm_lab.sweeps.spec import Sweep

WandbMode = Literal["auto", "online", "offline", "disabled"]


class TrainedRun(Run):
    """A run of `lab.train` or `lab.load_run`, and what can be done with it.

    >>> import lstm_lab as lab
    >>> run = lab.train(DEMAND, "trainer.max_epochs=1", progress=False)
    >>> run.metrics.columns[:4].tolist()
    ['epoch', 'step', 'train/loss', 'train/grad_norm']
    >>> run.best["epoch"]
    0
    """

    @property
    def record(self) -> RunRecord:
        """The run as its folder describes it now."""
        return read_run(self.path)

    @property
    def metrics(self) -> pd.DataFrame:
        """The metric record: one row per epoch; losses and metrics, learning rate, speed, memory and seconds."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    @property
    def best(self) -> Row:
        """The row of the best epoch, by the monitored metric.

        Raises:
            ConfigError: no epoch was completed.
        """
        row = self.record.best
        if row is None:
            raise ConfigError(f"{self.path}: has no best epoch yet: train at least one epoch")
        return row

    @property
    def config(self) -> Experiment:
        """The experiment, typed and resolved."""
        from lstm_lab.workflow import load_run_experiment

        return load_run_experiment(self)

    def evaluate(self, split: Literal["validation", "test"] = "test") -> Scores:
        """Scores of the best epoch beside its baselines. An evaluation on the test split is recorded, and counted.

        Raises:
            DataError: the data is not what the run was trained on.
        """
        from lstm_lab.evaluate import evaluate

        return evaluate(self, split)

    def predict(self, new: Any) -> pd.DataFrame:
        """Predictions of the best epoch for new data, in the units of the data.

        Args:
            new: a path, a pandas DataFrame with the columns of the training data, or arrays, as the run was trained on.

        Returns:
            Of a forecaster, the `horizon` rows after the end of the data; else one row per sequence or text.

        Raises:
            DataError: the data cannot be read, lacks a column, or is too short.
            ConfigError: the run was trained on data that take no new samples.
        """
        import pandas as pd

        from lstm_lab.predict import predict

        header, rows = predict(self, new)
        return pd.DataFrame(rows, columns=header)

    def learner(self) -> Learner:
        """The LightningModule with the weights of the best epoch, in evaluation mode; without a checkpoint, untrained.

        It can be trained further by any `pytorch_lightning.Trainer` on `run.datamodule()`.
        """
        from lstm_lab.evaluate import load_weights
        from lstm_lab.training import build_from

        experiment = self.config
        dataset = experiment.data.build()
        known = (self.about.get("data") or {}).get("info")
        learner = build_from(experiment, dataset.restore_info(known) if known else dataset.info)
        if self.best_checkpoint.is_file():
            load_weights(learner, self)
        return learner

    def datamodule(self) -> SequenceDataModule:
        """The LightningDataModule of the run: its batches, in the order that its seed gives."""
        from lstm_lab.data import SequenceDataModule

        experiment = self.config
        return SequenceDataModule(
            experiment.data.build(), experiment.data.batch_size, experiment.seed, experiment.data.augment
        )

    def report(self, to: Literal["html", "markdown", "json"] = "html") -> Path:
        """Write the page of the run into its folder; its path."""
        from lstm_lab.report import write_report

        return write_report(self.path, to)

    def __repr__(self) -> str:
        return f"TrainedRun({str(self.path)!r})"


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
        parameters, states.
        """
        import pandas as pd

        from lstm_lab.sweeps.store.record import read_sweep

        record = read_sweep(self.path)
        keys = list(record.space)
        rows = [
            {
                "configuration": row.number,
                **{key: row.overrides.get(key) for key in keys},
                "mean": row.mean,
                "std": row.std,
                "n": row.n,
                "parameters": row.parameters,
                "states": ", ".join(trial.state for trial in row.trials),
            }
            for row in record.configurations
        ]
        columns = ["configuration", *keys, "mean", "std", "n", "parameters", "states"]
        return pd.DataFrame(rows, columns=columns)

    @property
    def best(self) -> TrainedRun:
        """The best trial: of the best configuration, the best seed.

        Raises:
            ConfigError: no trial has a value.
        """
        from lstm_lab.workflow import best_run

        return TrainedRun(best_run(self.path).path)

    @property
    def summary(self) -> Row | None:
        """summary.json; None where the sweep has not ended."""
        from lstm_lab.sweeps.store.record import read_summary

        return read_summary(self.path)

    def evaluate(self) -> Scores:
        """Scores of the best trial on the test split, recorded and counted.

        Raises:
            ConfigError: the sweep has not ended, or every trial failed.
        """
        from lstm_lab.workflow import evaluate_folder

        return evaluate_folder(self.path)

    def predict(self, new: Any) -> pd.DataFrame:
        """`TrainedRun.predict` of the best trial."""
        return self.best.predict(new)

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


def train(
    experiment: str | Path | Experiment,
    *overrides: str,
    name: str | None = None,
    wandb: WandbMode = "auto",
    progress: bool | Literal["auto"] = "auto",
) -> TrainedRun:
    """Train one experiment.

    Args:
        experiment: a file, as "conf/demand_lstm.yaml", or an `Experiment`.
        overrides: `key=value`, as "model.cell=gru".
        name: of its folder below `runs/` (`LSTM_LAB_RUNS`); without one, a free number.
        wandb: where its W&B run goes; auto is online with an account, else offline.
        progress: a progress bar; auto: in a notebook and on a terminal.

    Raises:
        ConfigError: a wrong file, key or value.
        DataError: the data cannot be read.
        Interrupted: after Ctrl-C, with everything saved; `lab.resume` continues.

    >>> import lstm_lab as lab
    >>> run = lab.train(DEMAND, "model.cell=gru", "trainer.max_epochs=1", progress=False)
    >>> sorted(run.evaluate("validation").baselines)[:2]
    ['last value', 'linear']
    """
    from lstm_lab.experiment import load_experiment
    from lstm_lab.provenance import command_line
    from lstm_lab.workflow import create_run, run_experiment

    if isinstance(experiment, str | Path):
        found, stem = load_experiment(experiment, overrides), Path(experiment).stem
    else:
        found, stem = _overridden(experiment, overrides), "_".join(experiment.tags[1:])
    run, dataset = create_run(found, name=name, stem=stem, command=command_line())
    run_experiment(found, run, dataset=dataset, wandb=_wandb(wandb), progress=_shows_progress(progress))
    return TrainedRun(run.path)


def resume(
    path: str | Path, *, wandb: WandbMode = "auto", progress: bool | Literal["auto"] = "auto"
) -> TrainedRun | SweepResult:
    """Resume an interrupted run or sweep; a damaged sweep is repaired first.

    Raises:
        ConfigError: neither a run nor a sweep.
    """
    from lstm_lab.sweeps.store.record import is_sweep
    from lstm_lab.workflow import load_run_experiment, run_experiment, run_sweep

    if is_sweep(Path(path)):
        from lstm_lab.sweeps.store.folder import SweepFolder
        from lstm_lab.sweeps.store.repair import repair

        repair(path)
        run_sweep(SweepFolder.open(path), wandb=_wandb(wandb), console=_console(progress))
        return SweepResult(Path(path))
    run = Run.open(path)
    if run.status["state"] != "finished":
        run_experiment(load_run_experiment(run), run, wandb=_wandb(wandb), progress=_shows_progress(progress))
    return TrainedRun(run.path)


def sweep(
    file: str | Path | Sweep,
    *overrides: str,
    name: str | None = None,
    wandb: WandbMode = "auto",
    address: str | None = None,
    test: bool = False,
    progress: bool | Literal["auto"] = "auto",
) -> SweepResult:
    """Run a sweep on Ray Tune.

    Args:
        file: a sweep file, as "sweeps/demand_cells.yaml", or a `Sweep`.
        overrides: `key=value` of the sweep, and `experiment.key=value` of its experiment.
        name: of its folder below `runs/`; without one, a free number.
        wandb: where the W&B runs of its trials go.
        address: of a Ray cluster, `host:port` or `auto`; without one, Ray runs here for as long as the sweep does.
        test: evaluate the best trial on the test split at the end.
        progress: a live table; auto: in a notebook and on a terminal.

    Raises:
        ConfigError: a wrong file, key or value, or an impossible corner of the space.
        Interrupted: after Ctrl-C, with everything saved; `lab.resume` continues.
    """
    from lstm_lab.provenance import command_line
    from lstm_lab.sweeps.spec import build_corners, load_sweep
    from lstm_lab.workflow import create_sweep, run_sweep

    if isinstance(file, str | Path):
        found, where = load_sweep(file, overrides), str(file)
    elif overrides:
        raise ConfigError(f"override '{overrides[0]}': goes with a sweep file; change the Sweep itself")
    else:
        found, where = file, "sweep"
    build_corners(found, where)
    stem = Path(file).stem if isinstance(file, str | Path) else "sweep"
    folder = create_sweep(found, name=name, stem=stem, command=command_line())
    run_sweep(folder, wandb=_wandb(wandb), console=_console(progress), address=address, test=test)
    return SweepResult(folder.path)


def load_run(path: str | Path) -> TrainedRun:
    """The run in a folder.

    Raises:
        ConfigError: there is none.
    """
    return TrainedRun(Run.open(path).path)


def load_sweep(path: str | Path) -> SweepResult:
    """The sweep in a folder, whether it has ended or not.

    Raises:
        ConfigError: there is none.
    """
    from lstm_lab.sweeps.store.record import is_sweep

    if not is_sweep(Path(path)):
        raise ConfigError(f"{path}: not a sweep: there is no sweep.yaml in it{files.similar_run(Path(path))}")
    return SweepResult(Path(path))


def compare(
    *runs: Run | SweepResult | str | Path,
    metric: str | None = None,
    mode: Literal["min", "max"] | None = None,
    to: Literal["html", "markdown", "json"] = "html",
    out: str | Path | None = None,
) -> Comparison:
    """Compare runs and sweeps on one page, with paired statistics over shared seeds.

    Args:
        runs: runs, sweeps, or their folders; of a sweep its best configuration is compared.
        metric: by which; without one, the monitored metric that all have.
        mode: min or max; without it, as the record says.
        out: the file to write; without one, a temporary file.

    Raises:
        ConfigError: nothing to compare, or no metric to do it by.
    """
    from lstm_lab.report import write_comparison

    folders: Sequence[Path] = [Path(run) if isinstance(run, str | Path) else run.path for run in runs]
    suffix = {"html": "html", "markdown": "md", "json": "json"}[to]
    path = Path(out) if out else Path(tempfile.mkdtemp(prefix="lstm-lab-")) / f"compare.{suffix}"
    return Comparison(write_comparison(folders, path, metric=metric, mode=mode, to=to))


def _overridden(experiment: Experiment, overrides: Sequence[str]) -> Experiment:
    from lstm_lab.config import parse_overrides

    return experiment.with_overrides(dict(parse_overrides(overrides))) if overrides else experiment


def _wandb(mode: WandbMode) -> Any:
    """The mode resolved, without importing wandb where it is switched off."""
    if mode == "disabled":
        return mode
    from lstm_lab.tracking import resolve

    return resolve(mode)[0]


def _shows_progress(progress: bool | Literal["auto"]) -> bool:
    if progress != "auto":
        return progress
    return threading.current_thread() is threading.main_thread() and (_in_notebook() or _on_terminal())


def _console(progress: bool | Literal["auto"]) -> Any:
    from rich.console import Console

    return Console(highlight=False) if _shows_progress(progress) else None


def _in_notebook() -> bool:
    import sys

    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


def _on_terminal() -> bool:
    import sys

    return sys.stdout.isatty()
