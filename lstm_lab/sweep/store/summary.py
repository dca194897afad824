"""The answer of a sweep: summary.json and best.yaml, from its record."""

from __future__ import annotations

import json
import threading
from typing import Any, Literal

from lstm_lab import config, tracking
from lstm_lab.evaluate import Scores, evaluate
from lstm_lab.run import read_json, write_atomic
from lstm_lab.sweep.spec import Sweep
from lstm_lab.sweep.store.folder import SweepFolder
from lstm_lab.sweep.store.leaderboard import Trial, winner
from lstm_lab.sweep.store.retention import removed
from lstm_lab.tracking import Mode


def write(folder: SweepFolder, wandb: Mode) -> dict[str, Any]:
    """Summary of a sweep whose trials have all ended; opens nothing that is sealed.

    W&B runs that a killed process left open are written again from the record and ended. W&B is shown the best models
    while the winner is scored here.
    """
    sweep, trials = folder.sweep, folder.trials()
    base, about = sweep.base, folder.about
    begun = [run for trial in trials if ((run := folder.run(trial.id)).path / "run.json").is_file()]
    tracking.complete_all(begun, mode=wandb, group=folder.name)
    ranked = folder.ranked()
    won = winner(ranked, base.mode)
    showing = threading.Thread(target=publish, args=(folder, wandb), daemon=True)
    showing.start()
    content: dict[str, Any] = {
        "question": sweep.title,
        "metric": base.monitor,
        "mode": base.mode,
        "trials": {
            "asked": len(trials),
            **{state: sum(t.state == state for t in trials) for state in ("finished", "stopped", "failed")},
        },
        # Why the search ended before all of its points were tried; null where it did not.
        "ended": about.get("ended"),
        "confirmed": about.get("confirmed") or [],
        "winner": None,
        "points": [row.dump() for row in ranked],
        "baselines": {"validation": {}, "test": None},
        "skill": {"validation": {}, "test": None},
        "failures": [{"trial": t.id, "reason": t.reason} for t in trials if t.state == "failed"],
        "removed": removed(folder),
        "seconds": about.get("seconds", 0.0),
        "command": about.get("command", ""),
    }  # fmt: skip
    if won is not None:
        content["winner"] = {
            "trial": won.id,
            "config": {**won.settings, "seed": won.seed},
            "epoch": won.epoch,
            "validation": {},
            "test": None,
        }
        _put(content, evaluate(folder.run(won.id), "validation"))
        write_best(folder, sweep, won, base.monitor)
    showing.join()
    content["wandb"] = audit(folder, wandb)
    write_atomic(folder.path / "summary.json", json.dumps(content, indent=1))
    return content


def audit(folder: SweepFolder, wandb: Mode) -> dict[str, Any]:
    """How many trials have a W&B run, and how many of those are ended and hold every row."""
    runs = [run for trial in folder.trials() if any(((run := folder.run(trial.id)).path / "wandb").glob("*run-*"))]
    return {"mode": wandb, "runs": len(runs), "ended": sum(map(tracking.is_complete, runs))}


def publish(folder: SweepFolder, wandb: Mode, top: int = 3) -> dict[str, Any]:
    """Tell W&B what the models of the best points do, and hand them over; the audit after that."""
    mode = folder.sweep.base.mode
    best = [won for row in folder.ranked()[:top] if (won := winner([row], mode)) is not None]
    tracking.publish_best([folder.run(won.id) for won in best], mode=wandb, group=folder.name)
    return audit(folder, wandb)


def _put(content: dict[str, Any], scores: Scores) -> None:
    content["winner"][scores.part] = scores.model
    content["baselines"][scores.part] = scores.baselines
    content["skill"][scores.part] = scores.skill


def write_best(folder: SweepFolder, sweep: Sweep, won: Trial, metric: str) -> None:
    """best.yaml: the experiment that won, with a note where running it again would differ."""
    experiment = sweep.experiment_for(won.settings, won.seed)
    note = ""
    if won.lineage:
        note = "# Its numbers changed while it trained: see its lineage.jsonl; with the last ones alone it differs.\n"
    if won.state == "stopped":
        # Trained through it would come out otherwise; up to where it was stopped it is the same run.
        experiment = experiment.with_overrides({"trainer.max_epochs": won.epochs})
        note += f"# No point was trained through: this one was stopped after {won.epochs} epochs.\n"
    head = f"# {sweep.title}\n# Trial {won.id}: {metric} {won.value!r} at epoch {won.epoch}.\n{note}"
    write_atomic(folder.path / "best.yaml", head + config.to_yaml(experiment.dump()))


def open_test(folder: SweepFolder) -> Scores:
    """Open the test part for the winner alone, and enter it into summary.json."""
    path = folder.path / "summary.json"
    if not path.is_file():
        raise config.ConfigError(f"{folder.path}: is not finished; go on with: lstm-lab resume {folder.path}")
    content = read_json(path)
    if content["winner"] is None:
        raise config.ConfigError(f"{folder.path}: has no winner: every trial failed")
    part: Literal["test"] = "test"
    scores = evaluate(folder.run(content["winner"]["trial"]), part)
    _put(content, scores)
    write_atomic(path, json.dumps(content, indent=1))
    return scores
