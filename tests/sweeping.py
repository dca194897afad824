"""A sweep on one thread, without Ray."""

from __future__ import annotations

import json
import threading

from lstm_lab import config
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.sweeps.execution.search_phase import SearchPhase
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
