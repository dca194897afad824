"""Sweep files of W&B <-> sweep files of ours, with what is lost on the way said in their first lines.

What would ask another question is refused; what only W&B or only this package can do is left out and noted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.sweeps.space.domains import Domain
from lstm_lab.sweeps.spec import Sweep, load_sweep

Content = dict[str, Any]
SAMPLES = 20
"""Points of a W&B sweep that is not told when to end."""


def read(path: str | Path) -> Content:
    """A sweep file of either kind. W&B's `${args}` is a word of its own, not a reference to be followed.

    Raises:
        ConfigError: no such file, or not YAML.
    """
    from omegaconf import OmegaConf

    path = Path(path)
    if not path.is_file() or "${" not in (text := path.read_text(encoding="utf-8")):
        return config.load(path)
    found: Any = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    return found


def is_wandb(content: Mapping[str, Any]) -> bool:
    """Whether the content is a sweep of W&B, and not one of ours."""
    return "parameters" in content


# --- to W&B -----------------------------------------------------------------------------------------------------------


def to_wandb(path: str | Path) -> str:
    """A sweep file of ours as one for `wandb sweep`, whose agents run `lstm-lab train`.

    Raises:
        ConfigError: the file is faulty, or asks what W&B cannot.
    """
    sweep, written = load_sweep(path), config.load(path)
    if not isinstance(written.get("experiment"), str):
        raise ConfigError(f"{path}: experiment: must name a file, so that W&B's agents can train it")
    notes = _lost(sweep, path)
    fixed = [f"{key}={value}" for key, value in (written.get("overrides") or {}).items()]
    content: Content = {
        "name": Path(path).stem,
        "description": sweep.title,
        "method": _method(sweep, notes),
        "metric": {"name": sweep.base.monitor, "goal": f"{sweep.base.mode}imize"},
        "run_cap": sweep.num_configurations * len(sweep.seeds),
        "parameters": {key: _parameter(domain, f"{path}: space.{key}") for key, domain in sweep.space.items()},
        # W&B puts the hyperparameters as key=value: what an override is here.
        "command": ["lstm-lab", "train", written["experiment"], *fixed, "${args_no_hyphens}"],
    }
    content["parameters"]["seed"] = {"values": list(sweep.seeds)}
    if sweep.scheduler.name in ("asha", "hyperband"):
        told = sweep.scheduler.model_dump()
        content["early_terminate"] = {
            "type": "hyperband",
            "min_iter": told["grace_period"],
            "eta": told["reduction_factor"],
        }
    return _text(sweep.title, notes, content)


def _lost(sweep: Sweep, path: str | Path) -> list[str]:
    if sweep.constraints:
        raise ConfigError(f"{path}: constraints: W&B draws from all of the space; leave them out, or narrow the space")
    if sweep.scheduler.name == "pbt":
        raise ConfigError(f"{path}: scheduler: W&B knows no population-based training; leave it out")
    conditional = [key for key, domain in sweep.space.items() if domain.when]
    if conditional:
        raise ConfigError(f"{path}: space.{conditional[0]}: W&B knows no `when`; make a sweep for each case")
    notes = []
    if sweep.scheduler.name == "median":
        notes.append("scheduler median is left out: W&B stops by hyperband alone")
    for name in ("confirm", "warm_start", "patience_trials"):
        if getattr(sweep, name):
            notes.append(f"{name} is left out: W&B has nothing like it")
    if sweep.budget and (sweep.budget.epochs or sweep.budget.minutes):
        notes.append("budget.epochs and budget.minutes are left out: W&B counts runs alone")
    return notes


def _method(sweep: Sweep, notes: list[str]) -> str:
    grids = [domain.exhaustive for domain in sweep.space.values()]
    if sweep.searcher.name not in ("random", "optuna"):
        notes.append(f"searcher {sweep.searcher.name} became bayes")
    if sweep.searcher.name != "random":
        return "bayes"
    if all(grids):
        return "grid"
    if any(grids) or len(sweep.seeds) > 1:
        notes.append("grids and seeds are drawn from: W&B walks through all of the space or through nothing of it")
    return "random"


def _parameter(domain: Domain, where: str) -> Content:
    """A domain in W&B's words."""
    given = domain.arguments
    if domain.name in ("choice", "grid", "quniform"):
        values = [domain.value(n) for n in range(domain.steps + 1)] if domain.name == "quniform" else list(given)  # type: ignore[attr-defined]
        if any(isinstance(value, dict | list) for value in values):
            raise ConfigError(f"{where}: W&B hands over single values; give whole sections names of their own")
        return {"values": values}
    if domain.name == "normal":
        return {"distribution": "normal", "mu": given[0], "sigma": given[1]}
    spelled = {"uniform": "uniform", "loguniform": "log_uniform_values", "randint": "int_uniform",
               "qloguniform": "q_log_uniform_values"}  # fmt: skip
    if domain.name not in spelled:
        raise ConfigError(f"{where}: W&B knows no '{domain.name}'; it has {', '.join(['choice', 'normal', *spelled])}")
    found = {"distribution": spelled[domain.name], "min": given[0], "max": given[1]}
    return {**found, "q": given[2]} if domain.name == "qloguniform" else found


# --- from W&B ---------------------------------------------------------------------------------------------------------


def from_wandb(path: str | Path, experiment: str | None, names: Mapping[str, str]) -> str:
    """A sweep file of W&B as one of ours, checked at every corner of its space.

    Args:
        experiment: the file that its trials start from; where it runs `lstm-lab train FILE`, that file is found.
        names: its names of hyperparameters -> our dotted keys, where they differ.

    Raises:
        ConfigError: it asks what cannot be asked here, or names what no experiment has.
    """
    theirs = read(path)
    flat = _flat(theirs["parameters"], str(path))
    unknown = [name for name in names if name not in flat]
    if unknown:
        raise ConfigError(f"{path}: parameters: there is no '{unknown[0]}' to rename; there are: {', '.join(flat)}")
    flat = {names.get(key, key): value for key, value in flat.items()}
    experiment, fixed = _experiment(theirs, experiment, path)
    notes: list[str] = []
    content: Content = {"experiment": experiment, "space": {}}
    overrides: Content = dict(config.parse_overrides(fixed))
    for key, parameter in flat.items():
        if key == "seed":
            content["seeds"] = _seeds(parameter, f"{path}: parameters.seed")
        elif "value" in parameter:
            overrides[key] = parameter["value"]
        else:
            content["space"][key] = _domain(parameter, theirs.get("method"), f"{path}: parameters.{key}", notes)
    if overrides:
        content["overrides"] = overrides
    content.update(_search(theirs, len(content.get("seeds", [0])), notes, str(path)))
    question = " ".join(str(theirs.get("description") or theirs.get("name") or Path(path).stem).split())
    text = _text(question, notes, content)
    _check(text, theirs, path)
    return text


def _flat(parameters: Any, where: str, before: str = "") -> dict[str, Content]:
    if not isinstance(parameters, dict):
        raise ConfigError(f"{where}: parameters: must be a mapping of names to what they may be, got {parameters!r}")
    flat: dict[str, Content] = {}
    for key, value in parameters.items():
        if not isinstance(value, dict):
            raise ConfigError(
                f"{where}: parameters.{before}{key}: must be a mapping, as in {{value: 3}}, got {value!r}"
            )
        inner = value.get("parameters")
        flat.update(_flat(inner, where, f"{before}{key}.") if inner else {f"{before}{key}": value})
    return flat


def _experiment(theirs: Content, experiment: str | None, path: str | Path) -> tuple[str, list[str]]:
    """The experiment's file and what its command overrides."""
    command = [str(word) for word in theirs.get("command") or ()]
    ours = command[:2] == ["lstm-lab", "train"] and len(command) > 2
    if experiment is None and not ours:
        raise ConfigError(f"{path}: which experiment its trials start from: give --experiment conf/vowels_lstm.yaml")
    fixed = [word for word in command[3:] if "=" in word and not word.startswith("$")] if ours else []
    return experiment or command[2], fixed


def _seeds(parameter: Content, where: str) -> list[int]:
    seeds = parameter.get("values", [parameter["value"]] if "value" in parameter else None)
    if seeds is None:
        raise ConfigError(f"{where}: seeds are rows, not drawn; write values: [0, 1, 2]")
    return list(seeds)


def _quantised(p: Content) -> list[Any]:
    """W&B draws and rounds to multiples of q: the steps that come of it."""
    q = p.get("q", 1)
    return [round(p["min"] / q) * q, round(p["max"] / q) * q, q]


DOMAINS: dict[str, Callable[[Content], Content]] = {
    "uniform": lambda p: {"uniform": [p["min"], p["max"]]},
    "int_uniform": lambda p: {"randint": [p["min"], p["max"]]},
    "q_uniform": lambda p: {"quniform": _quantised(p)},
    "log_uniform": lambda p: {"loguniform": [math.exp(p["min"]), math.exp(p["max"])]},
    "log_uniform_values": lambda p: {"loguniform": [p["min"], p["max"]]},
    "q_log_uniform_values": lambda p: {"qloguniform": _quantised(p)},
    "normal": lambda p: {"normal": [p.get("mu", 0.0), p.get("sigma", 1.0)]},
}
"""Distribution of W&B -> our domain."""


def _domain(p: Content, method: Any, where: str, notes: list[str]) -> Content:
    if "values" in p:
        chances = p.get("probabilities")
        if chances and len(set(chances)) > 1:
            raise ConfigError(f"{where}: probabilities: values are equally likely here; repeat a value to favour it")
        return {"grid" if method == "grid" else "choice": list(p["values"])}
    kind = p.get("distribution")
    if kind is None and {"min", "max"} <= p.keys():
        kind = "int_uniform" if isinstance(p["min"], int) and isinstance(p["max"], int) else "uniform"
    if kind not in DOMAINS:
        known = ", ".join(sorted(DOMAINS))
        raise ConfigError(f"{where}: distribution {kind!r} has nothing like it here; there are: {known}")
    if kind == "normal":
        notes.append(f"{where.rpartition('parameters.')[2]}: the normal is cut at three deviations here")
    try:
        return DOMAINS[kind](p)
    except KeyError as error:
        raise ConfigError(f"{where}: distribution {kind} needs {error.args[0]}") from None


def _search(theirs: Content, seeds: int, notes: list[str], where: str) -> Content:
    """Searcher, number of points, and early stopping."""
    method, cap = theirs.get("method"), theirs.get("run_cap")
    found: Content = {}
    if method not in ("grid", "random", "bayes"):
        raise ConfigError(f"{where}: method: must be grid, random or bayes, got {method!r}")
    if method == "bayes":
        found["searcher"] = "optuna"
    if method == "grid" and cap:
        found["budget"] = {"trials": cap}
    if method != "grid":
        found["num_samples"] = max(1, cap // seeds) if cap else SAMPLES
        if not cap:
            notes.append(f"num_samples: {SAMPLES} is a choice: the W&B sweep has no run_cap and never ends")
    stop = theirs.get("early_terminate")
    if stop:
        eta = stop.get("eta", 3)
        grace = stop.get("min_iter") or max(1, int(stop.get("max_iter", 1) / eta ** stop.get("s", 0)))
        found["scheduler"] = {"name": "asha", "grace_period": grace, "reduction_factor": eta}
        notes.append("early_terminate became asha, which stops by the same rungs; an iteration is an epoch")
    left = sorted(set(theirs) & {"program", "controller", "imageuri", "job", "entity", "project"})
    if left:
        notes.append(f"left out: {', '.join(left)}: every trial here is lstm-lab train")
    return found


def _check(text: str, theirs: Content, path: str | Path) -> None:
    """Every corner of the space, and whether the metric is the one that decides here."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / Path(path).name
        written.write_text(text, encoding="utf-8")
        try:
            base = load_sweep(written).base
        except ConfigError as error:
            raise ConfigError(str(error).replace(str(written), str(path))) from None
    metric = theirs.get("metric") or {}
    asked = (metric.get("name"), metric.get("goal"))
    if metric and asked != (base.monitor, f"{base.mode}imize"):
        raise ConfigError(
            f"{path}: metric: it asks for {asked[0]} ({asked[1]}), the experiment decides by {base.monitor} "
            f"({base.mode}imize): change one of them, as with task.monitor"
        )


def _text(question: str, notes: list[str], content: Content) -> str:
    return "".join([f"# {question}\n", *(f"# Note: {note}.\n" for note in notes), config.to_yaml(content)])
