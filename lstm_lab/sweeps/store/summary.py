"""The result of a sweep: summary.json and best.yaml, from its record."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean, stdev

from lstm_lab import config, tracking
from lstm_lab.config import Fault
from lstm_lab.display import printable
from lstm_lab.evaluation.ensemble import score_together
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.evaluation.monte_carlo import mean_details
from lstm_lab.experiment import Accelerator, Experiment
from lstm_lab.records import files
from lstm_lab.records.files import Row
from lstm_lab.records.lineage import History, hyperparameter_history
from lstm_lab.records.scores import Scores
from lstm_lab.sweeps.objectives import describe_compromise
from lstm_lab.sweeps.spec import Sweep
from lstm_lab.sweeps.store import ensemble
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.leaderboard import Configuration, Trial, best_trial, why_no_best
from lstm_lab.sweeps.store.record import read_summary
from lstm_lab.sweeps.store.refit import evaluate_refit, known_refit
from lstm_lab.sweeps.store.retention import removed
from lstm_lab.tracking import Mode


def write(folder: SweepFolder, wandb: Mode) -> Row:
    """Write the summary of a sweep whose trials have all ended; the test split is not used.

    W&B runs that a killed process left open are written again from the record and ended. The best models are sent to
    W&B while the best trial is evaluated.
    """
    sweep, trials = folder.sweep, folder.trials()
    base, about = sweep.base, folder.about
    started = [run for trial in trials if (run := folder.run(trial.id)).exists()]
    tracking.complete_all(started, mode=wandb, group=folder.name)
    ranked = folder.leaderboard()
    won = best_trial(ranked, base.mode)
    sending = threading.Thread(target=publish, args=(folder, wandb), daemon=True)
    sending.start()
    content: Row = {
        "title": sweep.title,
        "metric": base.monitor,
        "mode": base.mode,
        "order": sweep.order,
        **objectives(sweep, ranked),
        "repeat": sweep.repeat_noun,
        "trials": {
            "total": len(trials),
            **{state: sum(t.state == state for t in trials) for state in ("finished", "stopped", "failed")},
        },
        # Why the search ended before all of its configurations were tried; null where it did not.
        "ended": about.get("ended"),
        "extensions": about.get("extensions") or [],
        "confirmed": about.get("confirmed") or [],
        "winner": None,
        "configurations": [row.dump() for row in ranked],
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
            "config": {**won.config, "seed": won.seed, **({} if won.fold is None else {"fold": won.fold})},
            "epoch": won.epoch,
            "validation": {},
            "test": None,
        }
        _keep_test_scores(folder, content)
        if folder.about.get("ask_tell"):  # Other code has trained it: there is no checkpoint to evaluate.
            content["winner"]["validation"] = {base.monitor.removeprefix("val/"): won.value}
        else:
            _enter(content, evaluate(folder.run(won.id), "validation"))
        write_best(folder, sweep, ranked[0], won)
        if found := known_refit(folder, ranked[0], won):
            content["refit"] = found
    else:  # One of an earlier version of the sweep, whose constraints were others.
        (folder.path / files.BEST_EXPERIMENT).unlink(missing_ok=True)
    sending.join()
    content["wandb"] = audit(folder, wandb)
    files.write_json(folder.path / files.SUMMARY, content)
    return content


def objectives(sweep: Sweep, ranked: Sequence[Configuration]) -> Row:
    """The objectives of a sweep that has several, and the configurations that no other one dominates, by number; its
    constraints on metrics.

    Args:
        ranked: best first.
    """
    found: Row = {}
    if limits := sweep.criteria.limits:
        found["constraints"] = [limit.text for limit in limits]
    if sweep.monitor is not None:
        front = [row.number for row in ranked if row.front == 1]
        found |= {"objectives": sweep.monitor, "compromise": sweep.compromise, "pareto_front": front}
    return found


def ranking(folder: SweepFolder) -> Row:
    """What of a summary is known before the sweep has ended: title, metric and configurations, best first."""
    sweep, ranked = folder.sweep, folder.leaderboard()
    return {
        "title": sweep.title, "metric": sweep.base.monitor, **objectives(sweep, ranked), "repeat": sweep.repeat_noun,
        "configurations": [row.dump() for row in ranked], "extensions": folder.about.get("extensions") or [],
    }  # fmt: skip


def audit(folder: SweepFolder, wandb: Mode) -> Row:
    """How many trials have a W&B run, and how many of those are ended and hold every row."""
    every = [folder.run(trial.id) for trial in folder.trials()]
    # A trial that was never started has no run.
    runs = [run for run in every if run.exists() and tracking.has_files(run)]
    return {"mode": wandb, "runs": len(runs), "ended": sum(map(tracking.is_complete, runs))}


def publish(folder: SweepFolder, wandb: Mode, top: int = 3) -> Row:
    """Send the models of the best configurations, and their predictions on samples, to W&B; then the audit."""
    mode = folder.sweep.base.mode
    best = [won for row in folder.leaderboard()[:top] if (won := best_trial([row], mode)) is not None]
    tracking.publish_best([folder.run(won.id) for won in best], mode=wandb, group=folder.name)
    return audit(folder, wandb)


def _keep_test_scores(folder: SweepFolder, content: Row) -> None:
    """Those that the summary has of the same best trial: a sweep that is resumed at its end evaluates it once."""
    before: Row = {}
    with contextlib.suppress(Fault):  # A damaged one is replaced.
        before = read_summary(folder.path) or {}
    won = before.get("winner") or {}
    if won.get("test") is not None and won.get("trial") == content["winner"]["trial"]:
        kept = ("test", "test_std", "test_trials", "test_ensemble")
        content["winner"] |= {key: won[key] for key in kept if key in won}
        for name in ("baselines", "skill"):
            content[name]["test"] = (before.get(name) or {}).get("test")


def _enter(content: Row, scores: Scores) -> None:
    content["winner"][scores.split] = scores.model
    if trials := scores.details.get("trials"):
        content["winner"] |= {f"{scores.split}_trials": trials, f"{scores.split}_std": scores.details["std"]}
        content["winner"][f"{scores.split}_ensemble"] = scores.details.get("ensemble")
    content["baselines"][scores.split] = scores.baselines
    content["skill"][scores.split] = scores.skill
    if notes := scores.details.get("notes"):
        content.setdefault("notes", {})[scores.split] = notes


def write_best(folder: SweepFolder, sweep: Sweep, best: Configuration, won: Trial) -> None:
    """Write best.yaml: the experiment of the best trial, with a note where training it again would differ.

    After a cross-validation, it is on the data set's own splits.
    """
    experiment, metric, note = sweep.experiment_for(won.config, won.seed), sweep.base.monitor, ""
    if won.lineage:
        history = hyperparameter_history(folder.run(won.id))
        if history.is_repeatable:
            experiment = with_history(sweep.experiment_for(history.changes[0][1], won.seed), history)
            note = (
                "# Its hyperparameters changed during training, when it continued from other trials: trained with this "
                "schedule,\n# the metrics are those of its weights at each epoch.\n"
            )
        else:
            note = (
                "# Its hyperparameters changed during training (lineage.jsonl); trained with the last ones alone, the "
                "result differs.\n"
            )
    if won.state == "stopped":
        # Trained to completion the result would differ; up to the epoch where it was stopped it is the same run.
        experiment = experiment.with_overrides({"trainer.max_epochs": won.epochs})
        note += f"# No configuration was trained to completion: this one was stopped after {won.epochs} epochs.\n"
    source = f"Trial {won.id}: {metric} {won.value!r} at epoch {won.epoch}."
    if won.fold is not None:
        spread = "" if best.std is None else f", standard deviation {best.std!r}"
        source = f"Mean {metric} over {best.n} {sweep.repeat_noun}s: {best.mean!r}{spread}."
        note += "# It has the data set's own training and validation split, which none of these trials had.\n"
    if best.front == 1:
        chosen = describe_compromise(sweep.compromise, metric)
        note += f"# Of the Pareto front, {chosen}: {sweep.criteria.text(best.objectives)}.\n"
    head = f"# {printable.message(sweep.title)}\n# {source}\n{note}"
    files.write_atomic(folder.path / files.BEST_EXPERIMENT, head + config.to_yaml(experiment.dump()))


def with_history(experiment: Experiment, history: History) -> Experiment:
    """The experiment that a history of hyperparameters began with, with its changes."""
    schedule, known = [], history.changes[0][1]
    for epoch, overrides in history.changes[1:]:
        changed = {key: value for key, value in overrides.items() if value != known[key]}
        if changed:
            schedule.append({"epoch": epoch, "overrides": changed})
        known = overrides
    return experiment.with_overrides({"hyperparameter_schedule": schedule})


def evaluate_best(
    folder: SweepFolder, accelerator: Accelerator | None = None, samples: int | None = None, top: int | None = None
) -> Scores:
    """Evaluate the best configuration on the test split, and enter the scores into summary.json.

    Of several seeds each is evaluated and the scores are their means: the best seed on the validation split alone would
    be the luckiest. Their std, the trials and the scores of their ensemble, the mean prediction, are in `details`.

    Args:
        accelerator: None: that of the trial's experiment, or the CPU where there is no GPU.
        samples: predictions with dropout, whose mean is scored; None: one without dropout.
        top: how many of the best configurations are scored as an ensemble too; None: none.

    Raises:
        ConfigError: the sweep has not ended, or every trial failed.
    """
    content = read_summary(folder.path)
    if content is None:
        raise config.ConfigError(f"{folder.path}: is not finished; resume with: lstm-lab resume {folder.path}")
    if content["winner"] is None:
        raise config.ConfigError(f"{folder.path}: has no best trial: {why_no_best(folder.leaderboard())}")
    if top is not None:
        ensemble.choose(folder, top, accelerator)  # What cannot be is refused before the test split is opened.
    row, best = content["configurations"][0], content["winner"]["trial"]
    seeds = [
        trial for trial, state in zip(row["trials"], row["states"], strict=True)
        if trial != best and state != "failed" and folder.run(trial).best_checkpoint.is_file()
    ]  # fmt: skip
    found = {
        trial: evaluate(folder.run(trial), "test", accelerator=accelerator, samples=samples) for trial in (best, *seeds)
    }
    scores = found[best]
    if seeds:
        scores = over_seeds(found, folder.sweep.repeat_noun)
        runs = [folder.run(trial) for trial in found]
        if len({config.canonical_json(run.experiment["data"]) for run in runs}) == 1:  # Not folds.
            scores.details["ensemble"] = score_together(runs, accelerator)
    _enter(content, scores)
    if found_refit := evaluate_refit(folder, content, accelerator):
        scores.details["refit"] = found_refit.model
    files.write_json(folder.path / files.SUMMARY, content)
    if top is not None:
        evaluated = ensemble.evaluate(folder, top, accelerator)
        scores.details["ensembles"] = {evaluated.label: evaluated.test}
    return scores


def over_seeds(scores: dict[str, Scores], noun: str = "seed") -> Scores:
    """Means of the scores of several trials of a configuration, the best trial first; `details` has their std.

    Args:
        noun: what the trials are called, seed or fold.
    """
    rows = [each.model for each in scores.values()]
    columns = {name: [row[name] for row in rows if name in row] for name in rows[0]}
    first = next(iter(scores.values()))
    details: Row = {
        "trials": [*scores],
        "repeat": noun,
        "std": {name: stdev(values) for name, values in columns.items() if len(values) > 1},
        **mean_details([each.details for each in scores.values()]),
    }
    if notes := first.details.get("notes"):
        details["notes"] = notes
    return replace(first, model={name: mean(values) for name, values in columns.items()}, details=details)
