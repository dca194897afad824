"""The Python API: what a notebook or a script does without the command line. `import lstm_lab as lab` exports it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lstm_lab.config import ConfigError
from lstm_lab.display.progress import Progress, bar_or_lines, is_shown
from lstm_lab.records.run import Run, no_record
from lstm_lab.results import Comparison, SweepResult
from lstm_lab.trained_run import TrainedRun

if TYPE_CHECKING:
    from lstm_lab.experiment import Experiment
    from lstm_lab.sweeps.ask_tell import AskTell
    from lstm_lab.sweeps.spec import Sweep

WandbMode = Literal["auto", "online", "offline", "disabled"]


def train(
    experiment: str | Path | Experiment | Mapping[str, object],
    *overrides: str,
    from_run: Run | SweepResult | str | Path | None = None,
    teachers: Sequence[Run | SweepResult | str | Path] = (),
    name: str | None = None,
    wandb: WandbMode = "auto",
    progress: Progress = "auto",
) -> TrainedRun:
    """Train one experiment.

    Args:
        experiment: a file, as "conf/demand_lstm.yaml", an `Experiment`, or a mapping of what such a file holds.
        overrides: `key=value`, as "model.cell=gru".
        from_run: run or sweep, or its folder, whose best weights it starts from (`transfer.run`).
        teachers: runs or sweeps, or their folders, whose predictions it learns from (`distillation.teachers`).
        name: of its folder below `runs/` (`LSTM_LAB_RUNS`); without one, a free number.
        wandb: where its W&B run goes; auto is online with an account, else offline.
        progress: whether it is shown, as a bar in a notebook and on a terminal, as one line per epoch elsewhere; auto:
            in the main thread.

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
    from lstm_lab.records.provenance import command_line
    from lstm_lab.workflow import best_run, create_run, run_experiment

    if from_run is not None:
        overrides = (*overrides, f"transfer.run={best_run(_folder(from_run)).path.resolve()}")
    if teachers:
        folders = [str(best_run(_folder(teacher)).path.resolve()) for teacher in teachers]
        overrides = (*overrides, f"distillation.teachers={json.dumps(folders)}")
    if isinstance(experiment, str | Path):
        found, stem = load_experiment(experiment, overrides), Path(experiment).stem
    else:
        found = _overridden(_experiment(experiment), overrides)
        stem = "_".join(found.tags[1:])
    run, dataset = create_run(found, name=name, stem=stem, command=command_line())
    bar, on_epoch = bar_or_lines(progress, found.monitor)
    run_experiment(found, run, dataset=dataset, wandb=_wandb(wandb), progress=bar, on_epoch=on_epoch)
    return TrainedRun(run.path)


def resume(
    path: str | Path,
    *,
    wandb: WandbMode = "auto",
    address: str | None = None,
    storage: str | None = None,
    progress: Progress = "auto",
) -> TrainedRun | SweepResult:
    """Resume an interrupted run or sweep; a damaged sweep is repaired first.

    Args:
        address: of a Ray cluster, as of `sweep`.
        storage: URI that the trials of a sweep write to, if it was started with `--storage`.

    Raises:
        ConfigError: neither a run nor a sweep, or `storage` is not where the trials are.
    """
    from lstm_lab.experiment import recorded_experiment
    from lstm_lab.sweeps.store.record import is_sweep
    from lstm_lab.workflow import run_experiment, run_sweep

    if is_sweep(Path(path)):
        from lstm_lab.sweeps.store.folder import SweepFolder
        from lstm_lab.sweeps.store.repair import repair

        repair(path)
        run_sweep(
            SweepFolder.open(path), wandb=_wandb(wandb), console=_console(progress), address=address, storage=storage
        )
        return SweepResult(Path(path))
    run = Run(path)
    if not run.exists():
        raise no_record(run.path)
    if run.status["state"] != "finished":
        found = recorded_experiment(run)
        bar, on_epoch = bar_or_lines(progress, found.monitor)
        run_experiment(found, run, wandb=_wandb(wandb), progress=bar, on_epoch=on_epoch)
    return TrainedRun(run.path)


def sweep(
    file: str | Path | Sweep | Mapping[str, object],
    *overrides: str,
    name: str | None = None,
    wandb: WandbMode = "auto",
    address: str | None = None,
    test: bool = False,
    progress: Progress = "auto",
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> SweepResult:
    """Run a sweep on Ray Tune.

    Args:
        file: a sweep file, as "sweeps/demand_cells.yaml", a `Sweep`, or a mapping of what such a file holds, whose
            `experiment` may be an `Experiment`.
        overrides: `key=value` of the sweep, and `experiment.key=value` of its experiment.
        name: of its folder below `runs/`; without one, a free number.
        wandb: where the W&B runs of its trials go.
        address: of a Ray cluster, `host:port` or `auto`; without one, Ray runs here for as long as the sweep does.
        test: evaluate the best trial on the test split at the end.
        progress: whether it is shown, as a live table on a terminal, as one line per trial elsewhere; auto: in the main
            thread.
        on_event: called with each event, as `lstm-lab sweep --json` prints them; then no progress is shown.

    Raises:
        ConfigError: a wrong file, key or value, or an impossible corner of the space.
        Interrupted: after Ctrl-C, with everything saved; `lab.resume` continues.
    """
    from lstm_lab.records.provenance import command_line
    from lstm_lab.sweeps.corners import build_corners
    from lstm_lab.sweeps.spec import load_sweep
    from lstm_lab.workflow import create_sweep, removed_if_not_started, run_sweep

    if isinstance(file, str | Path):
        found, where = load_sweep(file, overrides), str(file)
    elif overrides:
        raise ConfigError(f"override '{overrides[0]}': goes with a sweep file; change the Sweep itself")
    else:
        found, where = _sweep(file).with_absolute_paths(), "sweep"
    build_corners(found, where)
    stem = Path(file).stem if isinstance(file, str | Path) else "sweep"
    folder = create_sweep(found, name=name, stem=stem, command=command_line())
    with removed_if_not_started([folder]):
        run_sweep(folder, wandb=_wandb(wandb), console=_console(progress), address=address, test=test,
                  on_event=on_event)  # fmt: skip
    return SweepResult(folder.path)


def ask_tell(file: str | Path | Sweep, *overrides: str, name: str | None = None) -> AskTell:
    """A sweep for your own training code: it is asked for experiments, and told what came of them. Ray takes no part.

    Searchers, seeds, constraints, `budget.trials` and `warm_start` work as in any sweep, and so do records, leaderboard
    and page; schedulers, which look at epochs, do not. Given the folder of such a sweep, it goes on where it was.

    Args:
        file: a sweep file, a `Sweep`, or the folder of a sweep that was begun so.
        overrides: as of `sweep`.
        name: of its folder below `runs/`; without one, a free number.

    Raises:
        ConfigError: a wrong file, key or value, a section that ask and tell do not serve, or a sweep that another
            process works on.

    >>> import lstm_lab as lab
    >>> rates = lab.Sweep(title="Rates", experiment=DEMAND.dump(), space={"optimizer.lr": {"grid": [0.001, 0.01]}})
    >>> with lab.ask_tell(rates) as sweep:
    ...     while trial := sweep.ask():
    ...         sweep.tell(trial, abs(trial.experiment.optimizer.lr - 0.01))
    >>> sweep.best.overrides
    {'optimizer.lr': 0.01}
    """
    from lstm_lab.records.provenance import command_line
    from lstm_lab.sweeps.ask_tell import AskTell, check
    from lstm_lab.sweeps.spec import load_sweep as read_sweep_file
    from lstm_lab.sweeps.store.folder import SweepFolder
    from lstm_lab.sweeps.store.record import is_sweep
    from lstm_lab.workflow import create_sweep

    if isinstance(file, str | Path) and is_sweep(Path(file)):
        if overrides:
            raise ConfigError(f"override '{overrides[0]}': a sweep that was begun keeps its file")
        return AskTell(SweepFolder.open(file))
    found = read_sweep_file(file, overrides) if isinstance(file, str | Path) else file.with_absolute_paths()
    check(found)
    stem = Path(file).stem if isinstance(file, str | Path) else "sweep"
    return AskTell(create_sweep(found, name=name, stem=stem, command=command_line()))


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
    from lstm_lab.sweeps.store.record import is_sweep, no_sweep

    if not is_sweep(Path(path)):
        raise no_sweep(Path(path))
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


def _experiment(given: object) -> Experiment:
    """An experiment as a script writes it.

    Raises:
        ConfigError: it is of another type, or a key or value is wrong.
    """
    from lstm_lab.experiment import Experiment

    if isinstance(given, Experiment):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError(f"experiment: must be a file, an Experiment or a mapping, got {type(given).__name__}")
    return Experiment.of(given)


def _sweep(given: object) -> Sweep:
    """A sweep as a script writes it: its experiment in any form, its space nested or with dotted keys.

    Raises:
        ConfigError: it is of another type, or a key or value is wrong.
    """
    from lstm_lab.config.validation import validate
    from lstm_lab.experiment import load_experiment
    from lstm_lab.sweeps.space.yaml import flatten_space
    from lstm_lab.sweeps.spec import Sweep

    if isinstance(given, Sweep):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError(f"sweep: must be a file, a Sweep or a mapping, got {type(given).__name__}")
    no_space: dict[str, object] | None = {} if "cross_validation" in given else None
    written, space = given.get("experiment", {}), flatten_space(given.get("space", no_space), "sweep")
    experiment = load_experiment(written) if isinstance(written, str | Path) else _experiment(written)
    titled = {"title": f"Sweep over {', '.join(space)}" if space else "Cross-validation", **given}
    return validate(Sweep, {**titled, "experiment": experiment.dump(), "space": space}, "sweep")


def _overridden(experiment: Experiment, overrides: Sequence[str]) -> Experiment:
    from lstm_lab.config import parse_overrides

    changed = experiment.with_overrides(dict(parse_overrides(overrides))) if overrides else experiment
    return changed.with_absolute_paths()


def _folder(of: Run | SweepResult | str | Path) -> Path:
    return Path(of) if isinstance(of, str | Path) else of.path


def _wandb(mode: WandbMode) -> Any:
    """The mode resolved, without importing wandb where it is switched off."""
    if mode == "disabled":
        return mode
    from lstm_lab.tracking import resolve_mode

    return resolve_mode(mode)[0]


def _console(progress: Progress) -> Any:
    """Where a sweep shows its progress; None: nowhere."""
    from lstm_lab.display.console import plain_console

    return plain_console() if is_shown(progress) else None
