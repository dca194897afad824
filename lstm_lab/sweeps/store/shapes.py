"""What the files of a sweep's folder must hold, as `record_shapes` says it of a run's."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from lstm_lab.records.shapes import Content, Git, Index, LineageRow, Metrics, Mode, Shape, State, Time, TrialId
from lstm_lab.sweeps.objectives import Compromise, Criteria


class TrialRow(Shape):
    """A row of trials.jsonl."""

    trial: TrialId
    configuration: Annotated[int, Field(ge=0)]
    seed: Annotated[int, Field(ge=0)]
    overrides: Content
    phase: str = "search"
    fold: Annotated[int, Field(ge=0)] | None = None
    told: list[int] | None = None
    version: Annotated[int, Field(ge=0)] = 0
    """Which extension of the sweep added it; 0: it is of the sweep as it was started."""


class EventRow(Shape):
    """A row of events.jsonl."""

    trial: TrialId
    state: State
    reason: str | None
    epochs: Index | None = None


class PopulationRow(Shape):
    """A row of population.jsonl."""

    trial: TrialId
    epochs: Index
    score: float | None = None
    gain: float | None = None
    overrides: Content | None = None
    source: str | None = None
    at: Index | None = None


class RemovedRow(Shape):
    """A row of removed.jsonl."""

    trial: TrialId
    bytes: Annotated[int, Field(ge=0)]


class EnsembleRow(Shape):
    """A row of ensembles.jsonl: the best configurations of a sweep, predicting together."""

    top: Annotated[int, Field(ge=1)]
    """How many configurations."""
    trials: Annotated[list[TrialId], Field(min_length=1)]
    """All of theirs, the best first."""
    weights: list[Index]
    """How often the prediction of each trial counts; 0: not at all."""
    validation: Metrics
    test: Metrics | None = None
    test_evaluations: Index = 0
    """How often it was evaluated on the test split."""
    calibration: object = None
    """Of the mean prediction."""

    @property
    def label(self) -> str:
        """What a table calls it."""
        best = "the best configuration" if self.top == 1 else f"the best {self.top} configurations"
        return f"ensemble of {best}: {sum(weight > 0 for weight in self.weights)} of {len(self.trials)} trials"

    @property
    def described(self) -> str:
        """Its trials with their weights, and its validation scores, for a message."""
        pairs = zip(self.trials, self.weights, strict=True)
        used = ", ".join(f"{trial} x {weight}" if weight > 1 else trial for trial, weight in pairs if weight)
        scores = ", ".join(f"{name} {value:.4g}" for name, value in self.validation.items() if value is not None)
        return f"{self.label} ({used}); validation split: {scores}"

    @model_validator(mode="after")
    def _a_weight_for_each(self) -> EnsembleRow:
        if len(self.weights) != len(self.trials) or not any(self.weights):
            raise ValueError("weights must hold a number for each trial, not all of them 0")
        return self


class WarmRow(Shape):
    """A row of warm.jsonl."""

    overrides: Content
    value: float
    objectives: list[float] = []
    violations: list[float] = []


class WarmStart(Shape):
    """How many earlier results a sweep was given."""

    told: int
    outside: int


class StoppedBy(Shape):
    """Who ended a sweep."""

    action: str
    by: str
    at: Time


class Change(Shape):
    """What a key of a sweep was, and what it is."""

    old: object
    new: object


class NewSearch(Shape):
    """A search that an extension has begun."""

    configuration: Index
    """Number of its first configuration."""
    told: int | None = None
    """Earlier results that its searcher was told; None: it does not learn."""
    outside: int | None = None
    """Those that lie outside of its space."""


class Extension(Shape):
    """How a sweep was extended."""

    version: Annotated[int, Field(ge=1)]
    at: Time
    command: str = ""
    changes: dict[str, Change]
    search: NewSearch | None = None


class SweepAbout(Shape):
    """about.json."""

    name: str | None = None
    created: Time | None = None
    git: Git | None = None
    versions: dict[str, str] | None = None
    command: str | None = None
    seconds: float | None = None
    sweep: Content | None = None
    storage: str | None = None
    scratch: str | None = None
    ended: str | None = None
    stopped: StoppedBy | None = None
    ask_tell: bool | None = None
    confirmed: list[int] | None = None
    warm_start: WarmStart | None = None
    extensions: list[Extension] = []


class ConfirmSection(Shape):
    """`confirm` of sweep.yaml."""

    top: int
    seeds: list[int]


class Named(Shape):
    """A section that is chosen by its name."""

    name: str


class SweepFile(Shape):
    """sweep.yaml, as far as pages read it."""

    title: str | None = None
    experiment: Content
    space: dict[str, Annotated[Content, Field(min_length=1)]]
    seeds: list[int] | None = None
    cross_validation: Named | None = None
    monitor: dict[str, Mode] | None = None
    constraints: list[str] = []
    compromise: Compromise = "first"
    searcher: Named | None = None
    scheduler: Named | None = None
    stop_sick: bool = False
    resources: Content | None = None
    confirm: ConfirmSection | None = None

    @field_validator("constraints")
    @classmethod
    def _are_constraints(cls, texts: list[str]) -> list[str]:
        Criteria.of(None, texts)
        return texts


class ConfigurationRow(Shape):
    """A row of the leaderboard in summary.json."""

    configuration: int
    overrides: Content
    trials: Annotated[list[TrialId], Field(min_length=1)]
    mean: float | None
    std: float | None = None
    n: int
    states: list[str] = []
    parameters: int | None = None
    version: int = 0
    objectives: dict[str, float | None] = {}
    """Objective, where there are several, or metric with a constraint -> its mean."""
    front: int | None = None
    """1: on the Pareto front."""
    broken: list[str] = []
    """Constraints on metrics that it does not keep."""
    lineage: dict[str, list[LineageRow]] = {}


class Winner(Shape):
    """The best trial in summary.json."""

    trial: TrialId
    config: Content
    epoch: Index | None = None
    validation: Metrics | None = None
    test: Metrics | None = None
    """Of several seeds of its configuration the mean."""
    test_std: Metrics | None = None
    test_ensemble: Metrics | None = None
    """Scores of the mean prediction of the seeds."""
    test_trials: list[TrialId] | None = None


class Refit(Shape):
    """The best configuration, trained once more on the training and the validation split."""

    run: str
    """Its folder, in that of the sweep."""
    trial: TrialId
    """Whose hyperparameters and seed it has."""
    epochs: int
    best_epochs: dict[str, int]
    """Trial -> epochs that it was trained for when it was best; `epochs` is their median."""
    state: str | None = None
    reason: str | None = None
    test: Metrics | None = None


class TrialCount(Shape):
    """How many trials ended how."""

    total: int
    finished: int
    stopped: int
    failed: int


class Failure(Shape):
    """A trial that failed."""

    trial: TrialId
    reason: str | None


class SummaryFile(Shape):
    """summary.json."""

    title: str
    metric: str
    mode: Mode
    trials: TrialCount
    winner: Winner | None
    refit: Refit | None = None
    configurations: list[ConfigurationRow]
    objectives: dict[str, Mode] = {}
    """Objective -> which of its values are better; empty where the metric is the only one."""
    constraints: list[str] = []
    """Those on metrics."""
    pareto_front: list[int] = []
    """Numbers of the configurations that no other one dominates."""
    baselines: dict[str, dict[str, Metrics] | None]
    skill: dict[str, Metrics | None]
    failures: list[Failure]
    confirmed: list[int] | None = None
    order: str | None = None
    repeat: str = "seed"
    """What a trial of a configuration is called: seed, fold or trial."""
    seconds: float | None = None
    command: str | None = None
    extensions: list[Extension] = []
    wandb: Content | None = None
    removed: dict[str, int] | None = None
