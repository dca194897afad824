"""A sweep file becomes a Sweep, checked at every corner of its search space before anything starts."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import model_validator

from lstm_lab import config
from lstm_lab.config import ConfigError, Notice
from lstm_lab.config.paths import search_folders
from lstm_lab.config.validation import validate
from lstm_lab.data.preprocessing.cross_validation import Fold
from lstm_lab.experiment import Experiment
from lstm_lab.sweeps.fields import SweepFields
from lstm_lab.sweeps.hopeless.refusals import check_stop_sick
from lstm_lab.sweeps.objectives import Criteria, check_criteria, is_limit
from lstm_lab.sweeps.schedulers import PopulationScheduler, Scheduler
from lstm_lab.sweeps.searchers import Searcher, from_atlas
from lstm_lab.sweeps.sections import Repeat, repeat_noun
from lstm_lab.sweeps.space.constraints import Constraint
from lstm_lab.sweeps.space.corner_experiments import corner_experiments
from lstm_lab.sweeps.space.domains import Overrides
from lstm_lab.sweeps.space.search_space import SearchSpace
from lstm_lab.sweeps.space.yaml import flatten_space
from lstm_lab.sweeps.sweep_file import first_comment, load_experiment_of


class Sweep(SweepFields):
    """A hyperparameter sweep over an experiment."""

    @model_validator(mode="before")
    @classmethod
    def _seed_of_the_experiment(cls, data: object) -> object:
        experiment = data.get("experiment") if isinstance(data, Mapping) else None
        if isinstance(data, Mapping) and isinstance(experiment, Mapping) and "seeds" not in data:
            return {**data, "seeds": (experiment.get("seed", 0),)}
        return data

    @model_validator(mode="after")
    def _searcher_fits_space(self) -> Sweep:
        if not self.space and self.cross_validation is None:
            raise ValueError("space is empty: give at least one key a domain, or use lstm-lab train")
        if "seed" in self.space:
            raise ValueError("space.seed: seeds are not a dimension of the search; write seeds: [0, 1, 2]")
        grids = [key for key, domain in self.space.items() if domain.exhaustive]
        searcher = self.build_searcher()
        searcher.check(grids, is_warm_started=bool(self.earlier_sweeps))
        searcher.check_space(self.search_space)
        if from_atlas.KEY in self.warm_start:
            from_atlas.check_warm_start(searcher, self.search_space)
        if len(grids) == len(self.space) and self.num_samples > 1:
            raise ValueError(
                f"num_samples: {self.num_samples} would repeat every configuration, as all domains are grids; "
                "write seeds to repeat with other seeds"
            )
        self.search_space.grid()
        return self

    @model_validator(mode="after")
    def _seeds_and_budget_fit(self) -> Sweep:
        for key, seeds in (("seeds", self.seeds), ("confirm.seeds", self.confirm.seeds if self.confirm else ())):
            if len(set(seeds)) < len(seeds):
                raise ValueError(f"{key}: {list(seeds)} contains a seed twice")
        limit = self.budget.trials if self.budget else None
        if limit is not None and limit < len(self.repeats):
            raise ValueError(f"budget.trials: {limit} is less than the {len(self.repeats)} {self.repeat_noun}s of one "
                             "configuration")  # fmt: skip
        scheduler = self.build_scheduler()
        scheduler.check(self)
        self.resources.check(self.base)
        if self.stop_sick:
            check_stop_sick(self)
        check_criteria(self, scheduler, is_population=self.is_population_based)
        self.build_searcher().check_criteria(self.criteria, self.num_configurations)
        if self.refit and self.is_population_based:
            raise ValueError(f"refit: scheduler '{scheduler.name}': its winner continued from other trials, so that "
                             "its best epoch says little of a training of its own; leave refit out")  # fmt: skip
        if self.cross_validation is not None:
            self._check_folds()
        if self.confirm and not self.stops_trials and set(self.confirm.seeds) <= set(self.seeds):
            raise ValueError(
                f"confirm.seeds: {list(self.confirm.seeds)} are all trained to completion in the search; "
                "give others, or leave confirm out"
            )
        return self

    @property
    def stops_trials(self) -> bool:
        """Whether trials are stopped before they are trained to completion."""
        return self.stop_sick or self.build_scheduler().stops_trials

    def _check_folds(self) -> None:
        if self.order == "arrival" and self.build_scheduler().stops_trials:
            raise ValueError(
                f"order: arrival with cross_validation and scheduler {self.scheduler.name}: each fold is compared with "
                "the same fold of earlier configurations; write order: virtual, or scheduler: fifo"
            )
        if self.base.data.fold is not None:
            raise ValueError("experiment.data.fold has no effect beside cross_validation: leave one of them out")
        self.base.data.check_folds(self.fold(0))

    def fold(self, number: int) -> Fold:
        """A fold of the cross-validation, which there must be."""
        assert self.cross_validation is not None
        return Fold(cross_validation=self.cross_validation, number=number)

    @property
    def repeats(self) -> tuple[Repeat, ...]:
        """What the trials of a configuration differ in: the seeds, each with every fold of the cross-validation."""
        return self.repeats_of(self.seeds)

    def repeats_of(self, seeds: Iterable[int]) -> tuple[Repeat, ...]:
        """The same for other seeds."""
        folds = range(self.fold(0).num_folds) if self.cross_validation is not None else (None,)
        return tuple(Repeat(seed, fold) for seed in seeds for fold in folds)

    @property
    def repeat_noun(self) -> str:
        """What a trial of a configuration is called, for messages."""
        return repeat_noun(len(self.seeds), has_folds=self.cross_validation is not None)

    @property
    def num_configurations(self) -> int:
        """How many configurations the search tries at most."""
        count = self.num_samples * len(self.search_space.grid())
        limit = self.budget.trials if self.budget else None
        return count if limit is None else min(count, limit // len(self.repeats))

    @property
    def num_kept_configurations(self) -> int | None:
        """Configurations whose checkpoints are kept, at least those to be confirmed; None: all."""
        return self.keep_checkpoints and max(self.keep_checkpoints, self.confirm.top if self.confirm else 1)

    @property
    def search_space(self) -> SearchSpace:
        """The space with its conditions and constraints."""
        rules = [Constraint(text) for text in self.constraints if not is_limit(text)]
        return SearchSpace(self.space, rules, self._resolve)

    def _resolve(self, overrides: Overrides) -> dict[str, object]:
        """The experiment of a configuration with every default; where it is invalid, as written."""
        try:
            return self.experiment_for(overrides, 0).dump()
        except ConfigError:
            return config.merge(self.experiment, overrides)

    @property
    def base(self) -> Experiment:
        """The experiment that every configuration changes."""
        return Experiment.of(self.experiment)

    @property
    def criteria(self) -> Criteria:
        """What configurations are compared by besides the monitored metric."""
        return Criteria.of(self.monitor, self.constraints, self.compromise)

    def build_searcher(self) -> Searcher:
        """A new searcher, before its `setup`."""
        searcher: Searcher = self.searcher.build()
        searcher.criteria = self.criteria
        return searcher

    def start_searcher(self) -> Searcher:
        """A new searcher, ready to be asked."""
        searcher = self.build_searcher()
        searcher.setup(self.search_space, self.num_samples, self.seed, self.base.mode)
        if from_atlas.KEY in self.warm_start:
            searcher.first = from_atlas.portfolio(self.search_space, self.seed, {})[: from_atlas.FIRST]
        return searcher

    @property
    def earlier_sweeps(self) -> tuple[str, ...]:
        """Those of `warm_start`."""
        return tuple(path for path in self.warm_start if path != from_atlas.KEY)

    def build_scheduler(self) -> Scheduler:
        """A new scheduler."""
        scheduler: Scheduler = self.scheduler.build()
        return scheduler

    @property
    def learns_from_results(self) -> bool:
        """Whether the searcher uses the results of earlier configurations."""
        return self.build_searcher().learns_from_results

    @property
    def is_population_based(self) -> bool:
        """Whether all trials run at the same time and copy one another."""
        return isinstance(self.build_scheduler(), PopulationScheduler)

    def dump(self) -> dict[str, object]:
        """Plain content, as in sweep.yaml."""
        return self.model_dump(mode="json")

    def experiment_for(self, overrides: Overrides, seed: int, fold: int | None = None) -> Experiment:
        """The experiment of one trial.

        Args:
            fold: number of the fold; None: on the data set's own splits.

        Raises:
            ConfigError: the configuration is invalid.
        """
        base = self.base
        changes: Overrides = {**overrides, "seed": seed}
        if fold is not None:
            changes["data.fold"] = self.fold(fold).model_dump(mode="json")
        return base.with_overrides(changes, "space").with_known_paths(base.known_paths)

    def corners(self, where: str) -> list[Experiment]:
        """The experiment of every corner of the search space, so that an error is found before the sweep starts.

        Raises:
            ConfigError: a corner is invalid, or the constraints are.
        """
        fold = {} if self.cross_validation is None else {"data.fold": self.fold(0).model_dump(mode="json")}
        found = corner_experiments(self.base, self.search_space, fold, where)
        if self.refit:
            self._check_refit(found, where)
        return found

    def _check_refit(self, corners: Iterable[Experiment], where: str) -> None:
        for corner in corners:
            try:
                corner.with_overrides({"data.fold": None}).refit(1)
            except ConfigError as error:
                raise ConfigError(f"{where}: {error}; or write refit: false") from None

    def with_absolute_paths(
        self,
        where: str = "sweep",
        folders: Sequence[Path] | None = None,
        *,
        typed: Iterable[str] = (),
        must_exist: bool = True,
    ) -> Sweep:
        """The sweep, its corners checked, the paths of its experiment absolute, those in its space known to it.

        Args:
            where: what the sweep came from, for messages.
            folders, typed, must_exist: as `Experiment.with_absolute_paths` has them.

        Raises:
            ConfigError: as `corners`.
            DataError: there is no such file or folder.
        """
        corners = self.corners(where)
        base = self.base.with_absolute_paths(folders, typed=typed, must_exist=must_exist)
        known = base.known_paths
        for experiment in corners:
            located = experiment.with_known_paths(known).with_absolute_paths(folders, must_exist=must_exist)
            known |= located.known_paths
        return self.with_base(base.with_written_paths(known))

    def with_base(self, experiment: Experiment) -> Sweep:
        """The sweep over another experiment, which fits its space."""
        return self.model_copy(update={"experiment": experiment.dump()})


def load_sweep(
    path: str | Path, overrides: Iterable[str] = (), *, must_exist: bool = True, data: object = None
) -> Sweep:
    """`sweeps/x.yaml` and overrides of its keys -> a checked sweep.

    `experiment` names a file, relative to the working directory or to the sweep file, or contains the experiment;
    `overrides` in the file change it for every trial, and so do `experiment.optimizer.lr=3e-4` and, shorter,
    `optimizer.lr=3e-4` on the command line: a key that begins with a section of an experiment is the experiment's. Only
    `seed` is a field of both, and the sweep's.
    A relative path is looked up beside the experiment's file, beside the sweep's, in the current folder, then below
    LSTM_LAB_DATA.

    Args:
        must_exist: whether the experiment's files and folders must exist.
        data: one of the data sets in its `data: {grid: [...]}`; None: it has none.

    Raises:
        ConfigError: in one line, with the configuration where a combination of values is impossible.
        DataError: a path in it does not exist.
    """
    path = Path(path)
    content = config.load(path)
    if "title" not in content:
        content["title"] = first_comment(path)
    pairs = config.parse_overrides(overrides)
    inside = {key.removeprefix("experiment."): value for key, value in pairs if _is_of_experiment(key)}
    content = config.merge(content, {key: value for key, value in pairs if not _is_of_experiment(key)})
    changes, grid = content.pop("overrides", None) or {}, content.pop("data", None)
    if not isinstance(changes, Mapping):
        raise ConfigError(f"{path}: overrides: must be a mapping of dotted keys, got {changes!r}")
    if grid is not None and data is None and "data" not in inside:
        raise ConfigError(f"{path}: data: several data sets make several sweeps: run them by lstm-lab sweep, or choose "
                          "one, as data=NAME")  # fmt: skip
    if data is not None:
        changes = {"data": data, **changes}
    if "seeds" in content and "seed" in {**changes, **inside}:
        raise ConfigError(
            f"{path}: experiment.seed: has no effect beside seeds: {content['seeds']}; change seeds instead"
        )
    content["experiment"], folder = load_experiment_of(content.get("experiment"), {**changes, **inside}, path)
    content["space"] = flatten_space(content.get("space", {} if "cross_validation" in content else None), str(path))
    sweep = validate(Sweep, content, str(path), pairs)
    if sweep.base.seed and sweep.base.seed not in sweep.seeds:
        warnings.warn(f"{path}: the experiment has seed {sweep.base.seed}, its trials have seeds: {list(sweep.seeds)}",
                      Notice, stacklevel=2)  # fmt: skip
    folders = search_folders(folder, path.parent)
    return sweep.with_absolute_paths(str(path), folders, typed=inside, must_exist=must_exist)


def _is_of_experiment(key: str) -> bool:
    """Whether an override after a sweep file changes its experiment."""
    first, dot, _ = key.partition(".")
    if first == "experiment":
        return bool(dot)
    return first in Experiment.model_fields and first not in Sweep.model_fields
