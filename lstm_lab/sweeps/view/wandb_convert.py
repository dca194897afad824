"""Sweep files of W&B <-> sweep files of this package; what is lost is noted in their first comment lines.

What would change the search is refused; what only one of the two can do is left out and noted. Each domain, searcher
and scheduler is converted by its own class.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.experiment import Experiment
from lstm_lab.sweeps.schedulers import Scheduler
from lstm_lab.sweeps.searchers import Searcher
from lstm_lab.sweeps.space.domains import Domain
from lstm_lab.sweeps.space.domains.choice import Choice, Grid
from lstm_lab.sweeps.spec import Sweep, load_sweep
from lstm_lab.sweeps.wandb_format import NoWandbEquivalent, WandbSection

Content = dict[str, Any]
"""Of a file as YAML has it, which gives no types."""
DEFAULT_NUM_SAMPLES = 20
"""Configurations of a W&B sweep without `run_cap`, which never ends by itself."""


def is_wandb(content: Mapping[str, object]) -> bool:
    """Whether the content is a sweep file of W&B."""
    return "parameters" in content


# --- to W&B -----------------------------------------------------------------------------------------------------------


def to_wandb(path: str | Path) -> str:
    """A sweep file of this package as one for `wandb sweep`, whose agents run `lstm-lab train`.

    Raises:
        ConfigError: the file is invalid, or uses what W&B has no equivalent of.
    """
    sweep = load_sweep(path, must_exist=False)
    written: Content = config.load(path)
    if not isinstance(written.get("experiment"), str):
        raise ConfigError(f"{path}: experiment: must name a file, so that W&B's agents can train it")
    _refuse_unsupported(sweep, path)
    overrides = [f"{key}={value}" for key, value in (written.get("overrides") or {}).items()]
    key = "searcher"
    try:
        search = sweep.build_searcher().to_wandb(sweep.search_space)
        key = "scheduler"
        stopping = sweep.build_scheduler().to_wandb()
        parameters: Content = {}
        for name, domain in sweep.space.items():
            key = f"space.{name}"
            parameters[name] = domain.to_wandb()
    except NoWandbEquivalent as error:
        raise ConfigError(f"{path}: {key}: {error}") from None
    parameters["seed"] = {"values": list(sweep.seeds)}
    content: Content = {
        "name": Path(path).stem,
        "description": sweep.title,
        "method": search.method,
        "metric": {"name": sweep.base.monitor, "goal": f"{sweep.base.mode}imize"},
        "run_cap": sweep.num_configurations * len(sweep.seeds),
        "parameters": parameters,
        # W&B passes hyperparameters as key=value, which are overrides of `lstm-lab train`.
        "command": ["lstm-lab", "train", written["experiment"], *overrides, "${args_no_hyphens}"],
    }
    if stopping.early_terminate is not None:
        content["early_terminate"] = stopping.early_terminate
    notes = [*search.notes, *stopping.notes, *_lost(sweep, search.method)]
    return _text(sweep.title, notes, content)


def _refuse_unsupported(sweep: Sweep, path: str | Path) -> None:
    if sweep.constraints:
        raise ConfigError(f"{path}: constraints: W&B samples all of the space; leave them out, or narrow the space")
    conditional = [key for key, domain in sweep.space.items() if domain.when]
    if conditional:
        raise ConfigError(f"{path}: space.{conditional[0]}: W&B has no `when`; make a sweep for each case")
    if sweep.monitor is not None:
        raise ConfigError(
            f"{path}: monitor: W&B optimises one metric; leave it out, to keep {sweep.base.monitor} alone"
        )
    if sweep.cross_validation is not None:
        raise ConfigError(f"{path}: cross_validation: W&B has none; leave it out, or make a sweep for each data.fold")


def _lost(sweep: Sweep, method: str) -> list[str]:
    """Notes on the sweep's own fields that W&B has no equivalent of."""
    fields = {"confirm": sweep.confirm, "warm_start": sweep.warm_start, "patience_trials": sweep.patience_trials,
              "stop_sick": sweep.stop_sick}  # fmt: skip
    notes = [f"{name} is left out: W&B has no equivalent" for name, value in fields.items() if value]
    notes += [f"{key}: {domain.wandb_note}" for key, domain in sweep.space.items() if domain.wandb_note]
    if sweep.budget and (sweep.budget.epochs or sweep.budget.minutes):
        notes.append("budget.epochs and budget.minutes are left out: W&B limits the number of runs only")
    if len(sweep.seeds) > 1 and method != "grid":
        notes.append("seeds are sampled: W&B trains a configuration with one of them, not with each")
    return notes


# --- from W&B ---------------------------------------------------------------------------------------------------------


def from_wandb(path: str | Path, experiment: str | None, names: Mapping[str, str]) -> str:
    """A sweep file of W&B as one of this package, checked at every corner of its space.

    Args:
        experiment: the file of the experiment; found without it if W&B's agents run `lstm-lab train FILE`.
        names: W&B's names of hyperparameters -> dotted keys, where they differ.

    Raises:
        ConfigError: it uses what this package has no equivalent of, or a key that no experiment has.
    """
    wandb = config.load(path)
    parameters = _flatten_parameters(wandb["parameters"], str(path))
    unknown = [name for name in names if name not in parameters]
    if unknown:
        raise ConfigError(
            f"{path}: parameters: there is no '{unknown[0]}' to rename; there are: {', '.join(parameters)}"
        )
    experiment, fixed = _experiment_of(wandb, experiment, path)
    notes: list[str] = []
    content: Content = {"experiment": experiment, "space": {}}
    overrides: Content = dict(config.parse_overrides(fixed))
    for name, parameter in parameters.items():
        key, where = names.get(name, name), f"{path}: parameters.{name}"
        if key == "seed":
            content["seeds"] = _seeds(parameter, where)
        elif "value" in parameter:
            overrides[key] = parameter["value"]
        else:
            domain, arguments = _domain(parameter, wandb.get("method"), where)
            content["space"][key] = {domain.name: arguments}
            notes += [f"{key}: {domain.wandb_note}"] if domain.wandb_note else []
    if overrides:
        content["overrides"] = overrides
    content.update(_search(wandb, len(content.get("seeds", [0])), notes, str(path)))
    content.update(_early_stopping(wandb, notes, str(path)))
    ignored = sorted(set(wandb) & {"program", "controller", "imageuri", "job", "entity", "project"})
    if ignored:
        notes.append(f"left out: {', '.join(ignored)}: every trial is lstm-lab train")
    title = " ".join(str(wandb.get("description") or wandb.get("name") or Path(path).stem).split())
    base = _check(_text(title, notes, content), wandb, path)
    metric = wandb.get("metric")
    if isinstance(metric, dict) and metric.get("name") != base.monitor:
        notes.append(f"metric: {metric.get('name')} is called {base.monitor}")
    return _text(title, notes, content)


def _flatten_parameters(parameters: object, path: str) -> dict[str, WandbSection]:
    """W&B's parameters, the nested ones with dotted names."""
    if not isinstance(parameters, dict):
        raise ConfigError(f"{path}: parameters: must be a mapping of names to parameters, got {parameters!r}")

    def nested(key: str, value: object) -> Content | None:
        if not isinstance(value, dict):
            raise ConfigError(f"{path}: parameters.{key}: must be a mapping, as in {{value: 3}}, got {value!r}")
        return value.get("parameters")

    return {key: value for key, value in config.flatten(parameters, nested).items() if isinstance(value, Mapping)}


def _experiment_of(wandb: Content, experiment: str | None, path: str | Path) -> tuple[str, list[str]]:
    """The experiment's file, and what W&B's command overrides."""
    command = [str(word) for word in wandb.get("command") or ()]
    is_train = command[:2] == ["lstm-lab", "train"] and len(command) > 2
    if experiment is None and not is_train:
        raise ConfigError(f"{path}: the experiment of its trials is missing: give --experiment conf/vowels_lstm.yaml")
    fixed = [word for word in command[3:] if "=" in word and not word.startswith("$")] if is_train else []
    return experiment or command[2], fixed


def _seeds(parameter: WandbSection, where: str) -> list[int]:
    seeds = parameter.get("values", [parameter["value"]] if "value" in parameter else None)
    if seeds is None:
        raise ConfigError(f"{where}: seeds cannot be sampled; write values: [0, 1, 2]")
    return list(seeds)


def _domain(parameter: WandbSection, method: object, where: str) -> tuple[type[Domain], object]:
    """The domain that stands for a parameter, and its arguments."""
    if "values" in parameter:
        probabilities = parameter.get("probabilities")
        if probabilities and len(set(probabilities)) > 1:
            raise ConfigError(f"{where}: probabilities: the values of choice are equally likely; repeat the likelier")
        return Grid if method == "grid" else Choice, list(parameter["values"])
    distribution = parameter.get("distribution")
    if distribution is None and {"min", "max"} <= parameter.keys():
        whole = isinstance(parameter["min"], int) and isinstance(parameter["max"], int)
        distribution = "int_uniform" if whole else "uniform"
    domain: type[Domain] = _member_for(Domain.members, distribution, f"{where}: distribution")
    try:
        return domain, domain.from_wandb[str(distribution)](parameter)
    except KeyError as error:
        raise ConfigError(f"{where}: distribution {distribution} needs {error.args[0]}") from None


def _search(wandb: Content, num_seeds: int, notes: list[str], path: str) -> Content:
    """Searcher and number of configurations."""
    method, cap = wandb.get("method"), wandb.get("run_cap")
    searcher: type[Searcher] = _member_for(Searcher.members, method, f"{path}: method")
    found: Content = {"searcher": searcher.name}
    if method == "grid":
        return {**found, "budget": {"trials": cap}} if cap else found
    found["num_samples"] = max(1, cap // num_seeds) if cap else DEFAULT_NUM_SAMPLES
    if not cap:
        notes.append(f"num_samples: {DEFAULT_NUM_SAMPLES} is a default: the W&B sweep has no run_cap and never ends")
    return found


def _early_stopping(wandb: Content, notes: list[str], path: str) -> Content:
    section = wandb.get("early_terminate")
    if not section:
        return {}
    kind = section.get("type", "hyperband")
    scheduler: type[Scheduler] = _member_for(Scheduler.members, kind, f"{path}: early_terminate.type")
    notes.append(f"early_terminate became {scheduler.name}, which has the same rungs; an iteration is an epoch")
    return {"scheduler": {"name": scheduler.name, **scheduler.from_wandb[kind](section)}}


M = TypeVar("M", Domain, Searcher, Scheduler)


def _member_for(members: Mapping[str, type[M]], name: object, where: str) -> type[M]:
    """The domain, searcher or scheduler that stands for a name of W&B's."""
    found = next((member for member in members.values() if name in list(member.from_wandb)), None)
    if found is None:
        known = ", ".join(sorted(theirs for member in members.values() for theirs in member.from_wandb))
        raise ConfigError(f"{where}: {name!r} has no equivalent; there are: {known}")
    return found


def _check(text: str, wandb: Content, path: str | Path) -> Experiment:
    """Check every corner of the space, and that W&B's metric is the monitored one; the experiment of the trials."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / Path(path).name
        written.write_text(text, encoding="utf-8")
        try:
            base = load_sweep(written, must_exist=False).base
        except ConfigError as error:
            raise ConfigError(str(error).replace(str(written), str(path))) from None
    metric = wandb.get("metric") or {}
    name, goal = metric.get("name"), metric.get("goal", "minimize")  # W&B's own default.
    if metric and (_our_name(name), goal) != (base.monitor, f"{base.mode}imize"):
        raise ConfigError(
            f"{path}: metric: {name} ({goal}) is not what the experiment monitors, {base.monitor} "
            f"({base.mode}imize): change one of them, as with task.monitor"
        )
    return base


def _our_name(metric: object) -> str:
    """A metric's name as other training code writes it, as ours.

    >>> _our_name("val_loss"), _our_name("validation/accuracy"), _our_name("val.macro_f1"), _our_name("loss")
    ('val/loss', 'val/accuracy', 'val/macro_f1', 'loss')
    """
    return re.sub(r"^(val|valid|validation|eval|dev)[_./-]", "val/", str(metric))


def _text(title: str, notes: Sequence[str], content: Content) -> str:
    return "".join([f"# {title}\n", *(f"# Note: {note}.\n" for note in notes), config.to_yaml(content)])
