"""What format 1 of our files called things, and the one reader that brings them up to date.

Folders of runs and sweeps that were written in format 1 open as if written today: whoever reads a record hands it
through here first. A key of a configuration file that a person wrote is not translated: it is refused, and the line
names the new key (`successor`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, overload

FORMAT = 2
"""Of the records written today; run.json and about.json of format 1 say nothing."""

Section = Mapping[str, Any]
"""Of a file as JSON or YAML has it: they give no types, and what a value is, its key says."""
Content = dict[str, Any]
"""The same, translated."""

EXPERIMENT: dict[str, dict[str, str]] = {
    "data": {
        "longest": "max_length", "unheard": "test_speaker", "asked": "target_steps", "chunk": "chunk_length",
        "carry": "stateful", "sequences": "train_size", "held_out": "eval_size", "set": "subset",
    },
    "data.tokenizer": {"vocabulary": "vocab_size", "lower": "lowercase"},
    "task": {
        "decides": "monitor", "weights": "class_weights", "smoothing": "label_smoothing", "first": "predict_first",
    },
    "model": {
        "depth": "num_layers", "parameters": "max_parameters", "learn_state": "learn_initial_state",
        "segment": "segment_length",
    },
    "model.embedding": {"size": "dim", "tied": "tie_weights", "vectors": "pretrained"},
    "model.cell": {"heads": "num_heads", "forget": "forget_gate"},
    "schedule": {"back": "factor", "floor": "end_factor", "warmup": "warmup_fraction"},
    "trainer": {"gradient_clip": "gradient_clip_val", "threads": "num_threads"},
}  # fmt: skip
"""Section of an experiment -> key of format 1 -> key of today."""

SWEEP: dict[str, dict[str, str]] = {
    "": {"question": "title", "samples": "num_samples"},
    "scheduler": {
        "grace": "grace_period", "reduction": "reduction_factor", "least": "min_samples_required",
        "interval": "perturbation_interval", "share": "quantile_fraction", "resample": "resample_probability",
    },
    "searcher": {"startup": "n_startup_trials", "share": "gamma"},
}  # fmt: skip
"""The same of a sweep file."""

INFO: dict[str, str] = {"deviation": "std", "flags": "num_mask_channels", "series": "num_series"}
"""Of what run.json keeps of a data set."""

METRICS: dict[str, str] = {"calibration": "ece"}
"""Metric that was called otherwise, also in records of format 2 -> its name today."""

NAMES: dict[str, dict[str, str]] = {"model": {"segments": "segrnn"}, "schedule": {"decay": "exponential"}}
"""Section -> name of a member in format 1 -> its name today."""


def successor(section: str, key: str) -> str | None:
    """What a key of a section ("model.embedding"; of a sweep, "" or "scheduler") is called today, if renamed.

    >>> successor("model", "depth")
    'num_layers'
    """
    for table in (EXPERIMENT, SWEEP):
        if (found := table.get(section, {}).get(key)) is not None:
            return found
    return None


def dotted(key: str) -> str:
    """A dotted key of an experiment as it is written today.

    >>> dotted("model.depth")
    'model.num_layers'
    """
    section, _, last = key.rpartition(".")
    return f"{section}.{new}" if (new := EXPERIMENT.get(section, {}).get(last)) else key


def overrides(values: Section) -> Content:
    """Dotted key -> value, as a trial was given them."""
    return {dotted(key): _sections(value, key, EXPERIMENT) for key, value in values.items()}


def experiment(content: Section) -> Content:
    """experiment.yaml."""
    found = {key: _sections(value, key, EXPERIMENT) for key, value in content.items()}
    task = found.get("task")
    monitor = task.get("monitor") if isinstance(task, dict) else None
    if isinstance(task, dict) and isinstance(monitor, str) and monitor in METRICS:
        found["task"] = {**task, "monitor": METRICS[monitor]}
    optimizer = found.get("optimizer")
    if isinstance(optimizer, dict) and optimizer.get("weight_decay") and "no_weight_decay" not in optimizer:
        found["optimizer"] = {**optimizer, "no_weight_decay": []}  # Every parameter decayed then.
    return found


def sweep(content: Section) -> Content:
    """sweep.yaml, the experiment and the dotted keys of the space and of its conditions within it."""
    found: Content = _sections(
        {key: value for key, value in content.items() if key not in ("experiment", "space")}, "", SWEEP
    )
    if isinstance(content.get("experiment"), Mapping):
        found["experiment"] = experiment(content["experiment"])
    if isinstance(content.get("space"), Mapping):
        found["space"] = {dotted(key): _domain(key, domain) for key, domain in content["space"].items()}
    if "constraints" in found:
        found["constraints"] = _constraints(found["constraints"])
    # Sweeps had no other order before the key existed; a resumed one keeps it.
    found.setdefault("order", "arrival")
    return found


def run(about: Section) -> Content:
    """run.json."""
    found = _renamed(about, {"decides": "monitor", "vectors": "pretrained"})
    data = found.get("data")
    if isinstance(data, Mapping) and "facts" in data:
        found["data"] = _renamed(data, {"facts": "info"})
        facts = data["facts"]
        found["data"]["info"] = _renamed(facts, INFO) if isinstance(facts, Mapping) else facts
    if isinstance(found.get("validation"), Mapping):
        found["validation"] = evaluation(found["validation"])
    return found


def evaluation(row: Section) -> Content:
    """A row of tests.jsonl, or what run.json keeps of the validation."""
    found = _renamed(row, {"part": "split", "opened": "at", "openings": "test_evaluations"})
    if isinstance(found.get("scores"), Mapping):
        found["scores"] = _renamed(found["scores"], METRICS)
    if isinstance(found.get("baselines"), Mapping):
        found["baselines"] = {
            name: _renamed(scores, METRICS) if isinstance(scores, Mapping) else scores
            for name, scores in found["baselines"].items()
        }
    return found


def trial(row: Section) -> Content:
    """A row of trials.jsonl."""
    found = _renamed(row, {"point": "configuration"})
    return {**found, "overrides": overrides(row["overrides"])} if isinstance(row.get("overrides"), Mapping) else found


def lineage(row: Section) -> Content:
    """A row of lineage.jsonl."""
    found = _renamed(row, {"from": "source"})
    if isinstance(row.get("changes"), Mapping):
        found["changes"] = {
            dotted(key): _renamed(change, {"donor": "source"}) if isinstance(change, Mapping) else change
            for key, change in row["changes"].items()
        }
    return {**found, "overrides": overrides(row["overrides"])} if isinstance(row.get("overrides"), Mapping) else found


def population(row: Section) -> Content:
    """A row of population.jsonl."""
    found = _renamed(row, {"cloned": "source"})
    return {**found, "overrides": overrides(row["overrides"])} if isinstance(row.get("overrides"), Mapping) else found


def summary(content: Section) -> Content:
    """summary.json."""
    found = _renamed(content, {"question": "title", "points": "configurations"})
    if isinstance(found.get("trials"), Mapping):
        found["trials"] = _renamed(found["trials"], {"asked": "total"})
    if isinstance(found.get("configurations"), list):
        found["configurations"] = _each(found["configurations"], _configuration)
    winner = found.get("winner")
    if isinstance(winner, Mapping) and isinstance(winner.get("config"), Mapping):
        found["winner"] = {**winner, "config": overrides(winner["config"])}
    return found


def _configuration(row: Section) -> Content:
    found = trial(_renamed(row, {"spread": "std"}))
    if isinstance(row.get("lineage"), Mapping):
        found["lineage"] = {id: _each(rows, lineage) for id, rows in row["lineage"].items()}
    return found


def _each(rows: object, change: Callable[[Section], Content]) -> object:
    """Each row changed; what is none stays as it is, and whoever reads it refuses it."""
    return [change(row) if isinstance(row, Mapping) else row for row in rows] if isinstance(rows, list) else rows


def _renamed(content: Section, names: Mapping[str, str]) -> Content:
    """Keys under their new names, in the order they had; a key that is there under its new name stays as it is."""
    return {
        new if (new := names.get(key)) is not None and new not in content else key: value
        for key, value in content.items()
    }


@overload
def _sections(value: Section, section: str, table: Mapping[str, Mapping[str, str]]) -> Content: ...
@overload
def _sections(value: object, section: str, table: Mapping[str, Mapping[str, str]]) -> object: ...
def _sections(value: object, section: str, table: Mapping[str, Mapping[str, str]]) -> object:
    """A section and those inside it."""
    if isinstance(value, str):
        return NAMES.get(section, {}).get(value, value)
    if not isinstance(value, Mapping):
        return value
    names, head = table.get(section, {}), f"{section}." if section else ""
    found = {
        key: _sections(inside, f"{head}{key}", table) if isinstance(inside, Mapping) else inside
        for key, inside in _renamed(value, names).items()
    }
    if isinstance(name := found.get("name"), str):
        found["name"] = NAMES.get(section, {}).get(name, name)
    return found


def _domain(key: str, domain: object) -> object:
    """A domain of the space: its conditions, and sections that it chooses from."""
    if not isinstance(domain, Mapping):
        return domain
    change: Callable[[str, object], object] = lambda kind, value: (  # noqa: E731
        overrides(value) if kind == "when" and isinstance(value, Mapping)
        else [_sections(each, key, EXPERIMENT) for each in value] if isinstance(value, list) else value
    )  # fmt: skip
    return {kind: change(kind, value) for kind, value in domain.items()}


def _constraints(content: object) -> object:
    """The constraints, each with today's dotted keys in it."""
    if not isinstance(content, list):
        return content
    return [_constraint(text) if isinstance(text, str) else text for text in content]


def _constraint(text: str) -> str:
    import re

    return re.sub(r"[A-Za-z_]+(?:\.[A-Za-z_]+)+", lambda found: dotted(found[0]), text)


EXAMPLE_NAMES = {"one in the middle": "median", "worse than nine in ten": "90th percentile", "the worst": "worst"}
"""Names of chosen windows and sequences in examples.json."""


def examples(content: Section) -> Content:
    """examples.json."""
    if "part" not in content:
        return dict(content)
    found = _renamed(content, {"part": "split", "of": "total", "first": "first_samples"})
    kinds: dict[str, Callable[[Section], Content]] = {
        "classes": _classification, "tags": _classification, "forecasts": _forecasts, "numbers": _values,
        "next_step": _next_step,
    }  # fmt: skip
    kind = content.get("kind")
    return kinds[kind](found) if kind in kinds else found


def _classification(content: Section) -> Content:
    sample = {"truth": "target", "answer": "prediction", "right": "accuracy"}
    found = _renamed(content, {"strips": "sequences"})
    found["calibration"] = _rows(content["calibration"], {"sure": "confidence", "right": "accuracy"})
    found["worst"] = _rows(content.get("worst") or [], {**sample, "chance": "probability"})
    if "sequences" in found:
        found["sequences"] = _rows(found["sequences"], sample)
    return found


def _forecasts(content: Section) -> Content:
    found = _renamed(content, {
        "target": "target_name", "targets": "num_targets", "steps": "error_by_step", "parts": "columns",
        "inside": "coverage",
    })  # fmt: skip
    found["windows"] = _rows(content["windows"], {"truth": "target", "said": "predictions"})
    found["coverage"] = _rows(found.get("coverage") or [], {"share": "coverage"})
    return found


def _values(content: Section) -> Content:
    names = {"target": "target_name", "truth": "target", "said": "prediction"}
    return {**{names.get(key, key): value for key, value in content.items()}, "kind": "values"}


def _next_step(content: Section) -> Content:
    found = _renamed(content, {
        "steps": "num_steps", "places": "loss_by_position", "parts": "largest_losses", "stretches": "excerpts",
        "single": "characters",
    })  # fmt: skip
    found["kind"] = found.pop("form")
    found["largest_losses"] = _rows(found["largest_losses"], {"loss": "share", "found": "correct", "said": "predicted"})
    names = {"expected": "predictions", "chances": "probabilities", "played": "active"}
    found["excerpts"] = _rows(found["excerpts"], names)
    found["continuations"] = _rows(found.get("continuations") or [], {
        "share": "quantile", "before": "context", "cut": "truncated", "truth": "target", "chance": "probability",
        "expected": "predictions",
    })  # fmt: skip
    return found


def _rows(rows: list[Section], names: Mapping[str, str]) -> list[Content]:
    """Rows with their keys, and the name of what they show, as of today."""
    return [
        {
            key: EXAMPLE_NAMES.get(value, value) if key == "name" and isinstance(value, str) else value
            for key, value in ((names.get(key, key), value) for key, value in row.items())
        }
        for row in rows
    ]
