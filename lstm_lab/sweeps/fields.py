"""What a sweep file holds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from lstm_lab.config import Config, Count
from lstm_lab.config.registry import Named, OneOf
from lstm_lab.data.preprocessing.cross_validation import CrossValidation
from lstm_lab.sweeps.objectives import Compromise, Monitor
from lstm_lab.sweeps.schedulers import Scheduler
from lstm_lab.sweeps.searchers import Searcher
from lstm_lab.sweeps.sections import Budget, Confirm, Resources, Seeds
from lstm_lab.sweeps.space.domains import Domain
from lstm_lab.sweeps.space.yaml import DomainInYaml


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class SweepFields(Config):
    """The keys of a sweep file; `Sweep` has what follows from them."""

    title: str
    """Title of the sweep; by default the first comment line of its file."""
    experiment: dict[str, object]
    """The experiment that the configurations change."""
    space: dict[str, Annotated[Domain, DomainInYaml()]]
    """Dotted key -> domain: `optimizer.lr: {loguniform: [1e-4, 1e-2]}`."""
    constraints: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """What every configuration must satisfy: `model.hidden_size * model.num_layers <= 256`; or what its result must,
    `latency <= 5 ms`: one that breaks it is trained and is never the best."""
    monitor: Monitor | None = None
    """Several objectives: `{val/loss: min, parameters: min, latency: min}`, what the experiment monitors first; null:
    that alone."""
    compromise: Compromise = "first"
    """Of several objectives, which configuration of the Pareto front is the best: `first`, the best by the first
    objective; `knee`, the one with the smallest sum of objectives, each scaled to 0 at its best and 1 at its worst
    value on the front; weights, `{val/loss: 2, latency: 1}`, the same with a weighted sum."""
    num_samples: Annotated[int, Field(ge=1)] = 1
    """Configurations sampled for each combination of the grids."""
    seeds: Seeds = (0,)
    """Every configuration is trained once with each seed, by default that of the experiment; no dimension of the
    search."""
    cross_validation: Annotated[Named | None, OneOf(CrossValidation, default="k_fold", optional=True)] = None
    """Every configuration is trained once on each fold, with each seed; their mean decides. The test split is in no
    fold. null: on the data set's own splits."""
    searcher: Annotated[Named, OneOf(Searcher, default="random")] = Searcher.members["random"].Config()
    """Where configurations come from."""
    scheduler: Annotated[Named, OneOf(Scheduler, default="fifo")] = Scheduler.members["fifo"].Config()
    """Which trials are stopped early."""
    stop_sick: bool = False
    """Whether trials that a rule calls hopeless (dead, diverging, at chance where others are not) are ended before the
    scheduler compares them; what is ended counts there with the value that it had."""
    budget: Budget | None = None
    """Limits of the search; null: every configuration is tried."""
    patience_trials: Count | None = None
    """Trials without improvement before the search ends; null: no limit."""
    confirm: Confirm | None = None
    """More seeds for the best configurations before the winner is chosen; null: the search decides."""
    refit: bool = False
    """Whether the best configuration is trained once more, on the training and the validation split together, for the
    median of its trials' best epochs."""
    warm_start: Annotated[tuple[str, ...], BeforeValidator(_listed), Field(strict=False)] = ()
    """Earlier sweeps over the same space whose results the searcher is told first; `atlas`: it begins with what did
    well on other data (`lstm-lab suggest`)."""
    keep_checkpoints: Count | None = None
    """Best configurations whose checkpoints are kept; null: all."""
    resources: Resources = Resources()
    """What each trial is given."""
    timeout: Annotated[float, Field(gt=0.0)] | None = None
    """Seconds without a new epoch after which a trial is ended as hung; null: no limit."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the samples from the space."""
    order: Literal["virtual", "arrival"] = "virtual"
    """Of suggestions and decisions: that of a virtual clock, the same on any machine; or as results arrive, which no
    trial waits for."""
    max_concurrent_trials: Count = 4
    """Trials that the searcher is asked for before it knows the result of the first; on the virtual clock, at once."""
