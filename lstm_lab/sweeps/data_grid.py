"""A sweep file over several data sets, `data: {grid: [...]}`: the same sweep on each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lstm_lab import config
from lstm_lab.config import ConfigError, DataError, canonical_json
from lstm_lab.sweeps.spec import Sweep, load_sweep


def load_sweeps(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Sweep]:
    """The sweeps of a file: label of a data set -> the sweep on it; without a grid of them, one without a label.

    Raises:
        ConfigError: in one line, with the data set that something does not go with.
        DataError: a path does not exist.
    """
    chosen = any(key in ("data", "experiment.data") for key, _ in config.parse_overrides(overrides))
    section = config.load(path).get("data")
    if section is None or chosen:
        return {"": load_sweep(path, overrides)}
    found: dict[str, Sweep] = {}
    for label, data in label_data(section, str(path)).items():
        with on_data(path, label):
            sweep = load_sweep(path, overrides, data=data)
        found[label] = sweep.model_copy(update={"title": f"{sweep.title} ({label})"})
    return found


@contextmanager
def on_data(path: str | Path, label: str) -> Iterator[None]:
    """Inside, an error names the data set that it was met on.

    Args:
        path: of the sweep file.
        label: of the data set; empty: the file has no grid of them.
    """
    try:
        yield
    except (ConfigError, DataError) as error:
        if not label:
            raise
        raise type(error)(f"{path}: on data {label}: {str(error).removeprefix(f'{path}: ')}") from None


def label_data(section: object, where: str) -> dict[str, object]:
    """Label -> section of each data set of a grid: its name, with that of its file where there are several of one name.

    Args:
        section: `data` of a sweep file.
        where: the file, for messages.

    Raises:
        ConfigError: no grid, or one that has a data set twice.
    """
    sets = section.get("grid") if isinstance(section, Mapping) and len(section) == 1 else None
    if not isinstance(sets, list) or len(sets) < 2:
        raise ConfigError(f"{where}: data: must be a grid of at least two data sets, as {{grid: [japanese_vowels, "
                          "fsdd]}; one alone is the experiment's; lstm-lab train takes an experiment")  # fmt: skip
    names = [str(each.get("name", "data")) if isinstance(each, Mapping) else str(each) for each in sets]
    found: dict[str, object] = {}
    for name, each in zip(names, sets, strict=True):
        path = each.get("path") if isinstance(each, Mapping) and names.count(name) > 1 else None
        label = f"{name}-{Path(path).stem}" if isinstance(path, str) else name
        if any(canonical_json(each) == canonical_json(other) for other in found.values()):
            raise ConfigError(f"{where}: data.grid: has {label} twice: leave one of them out")
        found[label if label not in found else f"{label}-{len(found) + 1}"] = each
    return found


def folder_stems(path: str | Path, labels: Iterable[str], name: str | None) -> dict[str, str]:
    """Label -> name of the folder of its sweep, or what it begins with."""
    stem = name or Path(path).stem
    return {label: f"{stem}-{label}" if label else stem for label in labels}
