"""A sweep on one thread, without Ray; folders of sweeps as tests need them."""

from __future__ import annotations

import json
import threading

from lstm_lab import config
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.sweeps.ask_tell import AskTell
from lstm_lab.sweeps.execution.search_phase import SearchPhase
from lstm_lab.sweeps.sections import Repeat
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.training.train import train


def write(path, experiment, **more):
    space = {"optimizer.lr": {"loguniform": [1e-3, 3e-2]}}
    content = {"experiment": experiment.dump(), "space": space, "num_samples": 4, **more}
    path.write_text(f"# Which rate?\n{config.to_yaml(content)}")
    return SweepFolder.create(path.with_suffix(""), load_sweep(path), command="lstm-lab sweep rates.yaml")


def run_trials(folder, limit=99):
    """The trials of a search one after another, without Ray: (id, epochs before) of each that was trained."""
    source = SearchPhase(folder, "disabled", threading.Event(), lambda: 0.0)
    trained = []
    for number in range(limit):
        spec = source.suggest(f"tune-{number}")
        if not isinstance(spec, dict):
            break
        run = folder.run(spec["trial"])
        if not (run.path / "run.json").is_file():
            Run.create(run.path, json.loads(spec["experiment_json"]), command="", job_type="trial")
        before = len(run.rows())
        train(Experiment.of(run.experiment), run)
        trained.append((spec["trial"], before))
        source.trial_ended(spec["trial"])
    return trained


class RayFolder:
    """As much of a sweep's folder as `cluster` needs."""

    def __init__(self, path):
        self.path, self.about = path, {}

    def describe(self, **info):
        self.about.update(info)


def ended_sweep(path, experiment, values):
    """A sweep over learning rates, as if its trials had ended with these values."""
    file = path.with_suffix(".yaml")
    content = {"experiment": experiment.dump(), "space": {"optimizer.lr": {"choice": list(values)}}}
    file.write_text(f"# Which rate?\n{config.to_yaml(content)}")
    folder = SweepFolder.create(path, load_sweep(file))
    for number, (rate, value) in enumerate(values.items()):
        overrides = {"optimizer.lr": rate}
        run = Run.create(
            folder.run(folder.add_trial(number, Repeat(0), overrides)).path,
            folder.sweep.experiment_for(overrides, 0).dump(),
        )
        run.describe(monitor=experiment.monitor, mode=experiment.mode)
        run.append({"epoch": 0, experiment.monitor: value, "seconds": 1.0})
        run.mark("finished")
    return folder


def tell_all(sweep, answer):
    """Ask until there is nothing left, and tell what `answer` says of each trial."""
    while trial := sweep.ask():
        sweep.tell(trial, answer(trial))
    return sweep


def tell_all_after_kills(folder, answer):
    """The same in four processes, of which three are killed after two trials each."""
    for _ in range(3):
        sweep = AskTell(SweepFolder(folder.path))  # Not closed: killed.
        for _ in range(2):
            trial = sweep.ask()
            sweep.tell(trial, answer(trial))
        sweep._stack.close()
    tell_all(AskTell(SweepFolder(folder.path)), answer).close()
