"""`lstm-lab suggest`: which configurations to begin with."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstm_lab.config import ConfigError
from lstm_lab.verbs.options import Json, Overrides, check_target, echo, echo_json

if TYPE_CHECKING:
    from lstm_lab.atlas import Atlas
    from lstm_lab.experiment import Experiment

MAX_COUNT, MAX_CHOICES = 100, 8
"""Suggestions, and values of a hyperparameter that are listed, at most."""


def suggest(
    file: Annotated[str, typer.Argument(help="An experiment (.yaml), or data: a file or folder as of data inspect.")],
    overrides: Overrides = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=MAX_COUNT, help="Suggestions at most.")] = 8,
    write: Annotated[
        str | None, typer.Option(help="Sweep file to write that tries them all, such as sweeps/first.yaml.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file that --write names.")] = False,
    as_json: Json = False,
) -> None:
    """Name configurations to begin with: what did well on other data sets, in the order in which to try it."""
    from lstm_lab.atlas import read_atlas, suggestions

    check_target(write, force)
    experiment, command, content = _experiment(file, overrides or [], write)
    atlas = read_atlas()
    found = suggestions(experiment, atlas, count)
    lines = [" ".join(f"{key}={shlex.quote(_text(value))}" for key, value in each.overrides.items()) for each in found]
    if as_json:
        echo_json([
            {"overrides": each.overrides, "left_out": each.left_out, "mean_regret": round(each.regret, 4)}
            for each in found
        ])  # fmt: skip
    else:
        echo(f"learnt from {len(atlas.configurations)} configurations on {len(atlas.sets)} other data sets: "
             f"{', '.join(atlas.sets)}")  # fmt: skip
        for place, (each, line) in enumerate(zip(found, lines, strict=True), 1):
            echo(f"{place:>3}  {line}")
            if each.left_out:
                echo(f"     not taken by this experiment: {', '.join(each.left_out)}")
        echo(f"the first: {command} {lines[0]}")
    if write is not None:
        _write(write, content, space_of(experiment, atlas), len(found))
        echo(f"lstm-lab sweep {write}", err=as_json)


def _experiment(file: str, overrides: list[str], write: str | None) -> tuple[Experiment, str, dict[str, object]]:
    """The experiment, the command that trains it, and its keys in a sweep file."""
    from lstm_lab.config import merge, parse_overrides
    from lstm_lab.config.paths import paths_beside
    from lstm_lab.data.inspection import inspect
    from lstm_lab.experiment import Experiment, load_experiment

    folder = Path(write or "sweep.yaml").parent
    if file.lower().endswith((".yaml", ".yml")):
        experiment = load_experiment(file, overrides)
        content: dict[str, object] = {"experiment": file if os.path.isabs(file) else os.path.relpath(file, folder)}
        if overrides:
            content["overrides"] = dict(parse_overrides(overrides))
        return experiment, shlex.join(["lstm-lab", "train", file, *overrides]), content
    inspection = inspect(file, dict(parse_overrides(overrides)))
    experiment = Experiment.of(inspection.experiment, f"{file}: its experiment")
    experiment.data.build()  # What is wrong with the data is said now.
    command = shlex.join(["lstm-lab", "data", "inspect", file, *overrides, "--write", "first.yaml"])
    content = {"experiment": merge(inspection.experiment, paths_beside(experiment, folder))}
    return experiment, f"{command} && lstm-lab train first.yaml", content


def _text(value: object) -> str:
    """A value as an override writes it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def space_of(experiment: Experiment, atlas: Atlas) -> dict[str, dict[str, object]]:
    """What the atlas varies, as far as an experiment takes it."""
    from lstm_lab.atlas import fitting

    values: dict[str, list[object]] = {}
    for configuration in atlas.configurations:
        for key, value in fitting(experiment, configuration).items():
            values.setdefault(key, []).append(value)
    return {key: _domain(each) for key, each in values.items()}


def _domain(values: Sequence[object]) -> dict[str, object]:
    """The values of a hyperparameter: a list, or the range of what was drawn from one."""
    numbers = [value for value in values if isinstance(value, float)]
    if len(numbers) == len(values) and len(set(numbers)) > MAX_CHOICES:
        return {"loguniform": [min(numbers), max(numbers)]}
    return {"choice": [*{str(value): value for value in sorted(values, key=_order)}.values()]}


def _order(value: object) -> tuple[float, str]:
    return (float(value) if isinstance(value, int | float) else 0.0), str(value)


def _write(write: str, content: Mapping[str, object], space: Mapping[str, object], count: int) -> None:
    """A sweep whose searcher proposes the suggestions in their order."""
    from lstm_lab.config import to_yaml

    text = to_yaml({**content, "space": space, "num_samples": count, "searcher": "portfolio"})
    try:
        Path(write).parent.mkdir(parents=True, exist_ok=True)
        Path(write).write_text(f"# Which of the configurations that did well on other data?\n{text}", encoding="utf-8")
    except OSError as failed:
        raise ConfigError(f"--write {write}: cannot be written: {failed.strerror}; choose another name") from None
