"""What a sweep file holds in other places: the experiment that it names, and its title in the first comment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.config.registry import expand_choices
from lstm_lab.config.validation import validate
from lstm_lab.experiment import Experiment


def load_experiment_of(written: object, overrides: Mapping[str, object], path: Path) -> tuple[dict[str, object], Path]:
    """The experiment of a sweep file as plain content, and the folder of the file that has it."""
    folder = path.parent
    if isinstance(written, str):
        places = [Path(written), path.parent / written, path.parent.parent / written]
        found = next((place for place in places if place.is_file()), places[0])
        content, where, folder = config.load(found), str(found), found.parent
    elif isinstance(written, dict):
        content, where = written, f"{path}: experiment"
    else:
        raise ConfigError(
            f"{path}: experiment: must be an experiment or the name of its file, as conf/vowels_lstm.yaml"
        )
    content = config.merge(expand_choices(Experiment, content), overrides)
    return validate(Experiment, content, where, overrides.items()).dump(), folder


def first_comment(path: Path) -> str:
    """The first comment line of a sweep file, which is its title."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            return line.lstrip("# ").strip()
        if line.strip():
            break
    raise ConfigError(f"{path}: title: missing; give the sweep a title, or write one as its first comment line")
