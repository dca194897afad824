"""A sweep file becomes a Sweep: checked at every corner before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, model_validator

import lstm_lab.sweeps.searchers.hyperopt  # noqa: F401 - fills the registry
from lstm_lab import config
from lstm_lab.config import Config, ConfigError, Count
from lstm_lab.experiment import Experiment
from lstm_lab.registry import Choice, Named, spell_out
from lstm_lab.sweeps.schedulers.base import FIFO, Scheduler
from lstm_lab.sweeps.searchers.base import Random, Searcher
from lstm_lab.sweeps.space.constraints import Constraint
from lstm_lab.sweeps.space.domains import Domain, Overrides
from lstm_lab.sweeps.space.search_space import SearchSpace, said
from lstm_lab.sweeps.space.yaml import InYaml

Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False, min_length=1)]


class Resources(Config):
    """What one trial holds while it runs."""

    cpus: Annotated[float, Field(gt=0.0)] = 1
    """CPU cores of each worker."""
    gpus: Annotated[float, Field(ge=0.0, le=1.0)] = 0
    """GPU of each worker; 0.25 packs four trials on one, each held to its quarter of the memory."""
    workers: Count = 1
    """Processes that train one trial together, each on its share of every batch; on several nodes where one is full."""
    halve_batch: bool = False
    """Begin a trial that runs out of memory again with half its batch; otherwise it fails."""

    @model_validator(mode="after")
    def _one_gpu_each(self) -> Resources:
        if self.workers > 1 and self.halve_batch:
            raise ValueError(
                f"halve_batch with {self.workers} workers: one that runs out of memory ends them all; set "
                "halve_batch: false, or workers: 1"
            )
        if self.workers > 1 and 0 < self.gpus < 1:
            raise ValueError(
                f"gpus: {self.gpus:g} with {self.workers} workers: workers of one trial cannot share a GPU; write "
                "gpus: 1, or workers: 1"
            )
        return self


class Budget(Config):
    """What the search may cost; whatever is used up first ends it. Confirming comes on top."""

    trials: Count | None = None
    """Trials, rounded down to whole points: a point is trained with all of its seeds."""
    epochs: Count | None = None
    """Epochs over all trials; those that run finish the epoch in hand."""
    minutes: Annotated[float, Field(gt=0.0)] | None = None
    """Wall clock, over interruptions."""

    @model_validator(mode="after")
    def _says_something(self) -> Budget:
        if self.trials is self.epochs is self.minutes is None:
            raise ValueError("give trials, epochs or minutes, or leave budget out")
        return self


class Confirm(Config):
    """Seeds for the best points of the search, trained through, before one of them is the winner."""

    top: Count = 3
    """How many points."""
    seeds: Seeds = (0, 1, 2)
    """What each is trained with; a trial of the search that was trained through with one of them counts."""


class Sweep(Config):
    """A question over experiments."""

    title: str
    """What the sweep is to answer: the first comment line of its file."""
    experiment: dict[str, Any]
    """The experiment that every trial starts from."""
    space: dict[str, Annotated[Domain, InYaml()]]
    """Dotted key -> domain: `optimizer.lr: {loguniform: [1e-4, 1e-2]}`."""
    constraints: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """What must hold at every point: `model.hidden_size * model.num_layers <= 256`."""
    num_samples: Annotated[int, Field(ge=1)] = 1
    """Points drawn for each combination of the grids."""
    seeds: Seeds = (0,)
    """Every point is trained once with each: rows of the result, not a dimension of the search."""
    searcher: Annotated[Named, Choice(Searcher, default="random")] = Random.Config()  # type: ignore[call-arg]
    """Where points come from."""
    scheduler: Annotated[Named, Choice(Scheduler, default="fifo")] = FIFO.Config()  # type: ignore[call-arg]
    """Which trials are stopped early."""
    budget: Budget | None = None
    """What ends the search before all of its points are tried."""
    patience_trials: Count | None = None
    """Trials without a better one before the search ends; null: never."""
    confirm: Confirm | None = None
    """How the best points are trained again before one of them wins; null: the search decides."""
    warm_start: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Earlier sweeps over the same space whose points the searcher is told first."""
    keep_checkpoints: Count | None = None
    """Best points whose checkpoints stay when the disk is small; null: all."""
    resources: Resources = Resources()
    """What one trial holds."""
    timeout: Annotated[float, Field(gt=0.0)] | None = None
    """Seconds without a new epoch after which a trial is ended as hung; null: never."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the draws from the space."""

    @model_validator(mode="after")
    def _searcher_fits_space(self) -> Sweep:
        if not self.space:
            raise ValueError("space is empty: give at least one key a domain, or use lstm-lab train")
        if "seed" in self.space:
            raise ValueError("space.seed: seeds are rows, not a search dimension; write seeds: [0, 1, 2]")
        grids = [key for key, domain in self.space.items() if domain.exhaustive]
        owner: Any = self.searcher.owner
        if grids and not owner.supports_grid:
            raise ValueError(
                f"space.{grids[0]}: a grid is walked through, searcher '{self.searcher.name}' decides for itself; "
                "write choice instead of grid, or searcher: random"
            )
        if len(grids) == len(self.space) and self.num_samples > 1:
            raise ValueError(
                f"num_samples: {self.num_samples} would repeat every point, for the space is all grid; "
                "write seeds to repeat with other seeds"
            )
        if self.warm_start and not owner.learns(self.searcher):
            raise ValueError(
                f"warm_start: searcher '{self.searcher.name}' does not learn from what it is told; "
                "write searcher: optuna"
            )
        self.search_space.grid()
        return self

    @model_validator(mode="after")
    def _seeds_and_budget_fit(self) -> Sweep:
        for where, seeds in (("seeds", self.seeds), ("confirm.seeds", self.confirm.seeds if self.confirm else ())):
            if len(set(seeds)) < len(seeds):
                raise ValueError(f"{where}: {list(seeds)} holds one twice")
        limit = self.budget.trials if self.budget else None
        if limit is not None and limit < len(self.seeds):
            raise ValueError(f"budget.trials: {limit} is less than the {len(self.seeds)} seeds of one point")
        scheduler: Any = self.scheduler.owner
        scheduler.check(self.scheduler, self)
        if self.confirm and not scheduler.stops and set(self.confirm.seeds) <= set(self.seeds):
            raise ValueError(
                f"confirm.seeds: {list(self.confirm.seeds)} are all trained through in the search; "
                "give others, or leave confirm out"
            )
        return self

    @property
    def num_configurations(self) -> int:
        """How many the search tries at most."""
        points = self.num_samples * len(self.search_space.grid())
        limit = self.budget.trials if self.budget else None
        return points if limit is None else min(points, limit // len(self.seeds))

    @property
    def num_kept_configurations(self) -> int | None:
        """Points whose checkpoints stay: no fewer than are yet to be confirmed."""
        return self.keep_checkpoints and max(self.keep_checkpoints, self.confirm.top if self.confirm else 1)

    @property
    def search_space(self) -> SearchSpace:
        """The space with its conditions and constraints."""
        return SearchSpace(self.space, [Constraint(text) for text in self.constraints], self._content)

    def _content(self, point: Overrides) -> dict[str, Any]:
        """The experiment at a point, with every default in it; where there can be none, what was written."""
        try:
            return self.experiment_for(point, 0).dump()
        except ConfigError:
            return config.merge(self.experiment, point)

    @property
    def base(self) -> Experiment:
        """The experiment that every point changes."""
        return Experiment.of(self.experiment)

    def dump(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def experiment_for(self, point: Overrides, seed: int) -> Experiment:
        """The experiment of one trial."""
        return self.base.with_overrides({**point, "seed": seed}, "space")


def load_sweep(path: str | Path, overrides: Iterable[str] = ()) -> Sweep:
    """`sweeps/x.yaml` and overrides of its keys -> a checked sweep.

    `experiment` names a file, found beside the working directory or beside the sweep file, or is written out in place;
    `overrides` in the file change it for every trial, and so does `experiment.optimizer.lr=3e-4` on the command line.

    Raises:
        ConfigError: in one line, with the corner where a combination of values is impossible.
    """
    path = Path(path)
    content = config.load(path)
    if "title" not in content:
        content["title"] = _first_comment(path)
    pairs = config.parse_overrides(overrides)
    inside = {key.removeprefix("experiment."): value for key, value in pairs if key.startswith("experiment.")}
    content = config.merge(content, {key: value for key, value in pairs if not key.startswith("experiment.")})
    changes = content.pop("overrides", None) or {}
    if not isinstance(changes, Mapping):
        raise ConfigError(f"{path}: overrides: must be a mapping of dotted keys, got {changes!r}")
    content["experiment"] = _experiment(content.get("experiment"), {**changes, **inside}, path)
    content["space"] = _flat(content.get("space"), path)
    sweep = config.validate(Sweep, content, str(path), pairs)
    check_corners(sweep, str(path))
    return sweep


def check_corners(sweep: Sweep, where: str) -> list[Experiment]:
    """Every corner of the space as an experiment, so that a typo costs a tenth of a second and not a queue slot."""
    base, built, region = sweep.base.dump(), [], sweep.search_space
    try:
        points = list(region.corners())
        if not points:
            raise ValueError(f"constraints: none of the points of the space keeps {', '.join(sweep.constraints)}")
        region.check_constraints(points)
    except (ValueError, ConfigError) as error:
        raise ConfigError(f"{where}: {error}") from None
    for point in points:
        built.append(config.validate(Experiment, config.merge(base, point), f"{where}: at the corner {said(point)}"))
    return built


def build_corners(sweep: Sweep, where: str) -> None:
    """Build the model of every corner, without memory for its weights, against the data it will see."""
    datasets: dict[Any, Any] = {}
    for experiment in check_corners(sweep, where):
        info = datasets.setdefault(experiment.data, experiment.data.build()).info
        task = experiment.task.build(info)
        with torch.device("meta"):
            experiment.model.build(info, task)


def _experiment(written: Any, overrides: Mapping[str, Any], path: Path) -> dict[str, Any]:
    if isinstance(written, str):
        places = [Path(written), path.parent / written, path.parent.parent / written]
        found = next((place for place in places if place.is_file()), places[0])
        content, where = config.load(found), str(found)
    elif isinstance(written, dict):
        content, where = written, f"{path}: experiment"
    else:
        raise ConfigError(f"{path}: experiment: must name an experiment file, as in conf/vowels_lstm.yaml, or hold one")
    content = config.merge(spell_out(Experiment, content), overrides)
    return config.validate(Experiment, content, where, overrides.items()).dump()


def _flat(space: Any, path: Path) -> Any:
    """Nested keys joined by dots, down to the domains."""
    if not isinstance(space, dict):
        raise ConfigError(f"{path}: space: must be a mapping of dotted keys to domains, got {space!r}")
    flat: dict[str, Any] = {}
    for key, value in space.items():
        if isinstance(value, dict) and value and all(isinstance(inner, dict) for inner in value.values()):
            flat.update({f"{key}.{inner}": domain for inner, domain in _flat(value, path).items()})
        else:
            flat[str(key)] = value
    return flat


def _first_comment(path: Path) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            return line.lstrip("# ").strip()
        if line.strip():
            break
    raise ConfigError(f"{path}: title: give the sweep a title, or write one as its first comment line")


def file_schema(of: str) -> dict[str, Any]:
    """JSON schema of an experiment file or a sweep file, as a person writes it."""
    experiment = Experiment.model_json_schema()
    if of == "experiment":
        return experiment
    schema = Sweep.model_json_schema()
    written = schema["properties"]
    written["experiment"] = {"anyOf": [{"type": "string"}, {"type": "object"}], "description": "File, or in place."}
    written["overrides"] = {"type": "object", "description": "Dotted keys that change the experiment for every trial."}
    schema["required"] = ["experiment", "space"]
    return schema
