"""A trained run with fewer hidden units: the experiment of a run that starts from the largest ones."""

from __future__ import annotations

from collections.abc import Iterable

from lstm_lab.config import ConfigError, parse_overrides
from lstm_lab.data import Dataset
from lstm_lab.evaluation.evaluate import best_experiment, scores_of
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.training.first_weights import build_first


def pruned_experiment(run: Run, units: float, finetune: int, overrides: Iterable[str] = ()) -> Experiment:
    """The experiment of a run, with fewer units and their weights of it, trained further.

    Args:
        run: that is trained.
        units: share of the units of each layer and direction that remains, below 1; or their number.
        finetune: epochs.
        overrides: `key=value`, of the new experiment.

    Raises:
        ConfigError: no such share or number, or the model has no number of units.
    """
    if finetune < 1:
        raise ConfigError(f"--finetune {finetune}: must be at least 1 epoch; the score before it is recorded too")
    best, has = best_experiment(run), run.about.get("hidden_size")
    if not isinstance(has, int):
        raise ConfigError(
            f"prune: {run.path}: model '{best.model.name}' has no hidden units of one number for all layers"
        )
    count = round(units * has) if 0 < units < 1 else units
    if not 0 < units < has or count != int(count) or not 1 <= count < has:
        raise ConfigError(f"--units {units:g}: must be a share between 0 and 1, or a whole number of units from 1 to "
                          f"{has - 1}, of {has}")  # fmt: skip
    sized = {"model.hidden_size": int(count), "model.max_parameters": None}
    trained = {"trainer.max_epochs": finetune, "trainer.schedule_epochs": None}
    transfer = {"transfer": {"run": str(run.path.resolve()), "prune": True}}
    changes: dict[str, object] = {**sized, **trained, **transfer}
    chosen = dict(parse_overrides(overrides))
    for key in chosen:
        if any(f"{known}.".startswith(f"{key}.") or f"{key}.".startswith("transfer.") for known in changes):
            raise ConfigError(
                f"prune: override '{key}': is set by prune itself, by --units and --finetune; leave it out"
            )
    changes |= chosen
    return best.with_overrides(changes, "prune").with_known_paths(best.known_paths)


def record_before(run: Run, experiment: Experiment, dataset: Dataset, source: Run) -> dict[str, float]:
    """Score a pruned model on the validation split before it is trained further, and record that in its run.

    Args:
        source: that it is made of, whose scores are recorded beside.

    Returns:
        Loss and metrics.
    """
    learner = build_first(experiment, dataset).eval()
    scores, _ = scores_of(learner, dataset.validation, 4 * experiment.data.batch_size)
    whole = {
        "parameters": source.about.get("parameters"),
        "scores": (source.about.get("validation") or {}).get("scores", {}),
    }
    run.describe(before_finetuning=scores, pruned_from=whole)
    return scores
