"""Paths in an experiment: which fields hold one, and which file or folder each of them means.

A relative path is looked up once, when a file is read: beside that file, then in the current folder, then below the
folder that LSTM_LAB_DATA names. From then on the experiment has the absolute path, because the trials of a sweep and
later commands run in other folders; what was written is kept beside it.
"""

from __future__ import annotations

import difflib
import filecmp
import os
import typing
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.fields import FieldInfo

from lstm_lab.config import Config, DataError, Notice

DATA_FOLDER = "LSTM_LAB_DATA"
_FOLDERS = (DATA_FOLDER, "LSTM_LAB_CACHE", "LSTM_LAB_RUNS")
"""Environment variables that name a folder."""


def cache_folder() -> Path:
    """The folder that `LSTM_LAB_CACHE` names, else ~/.cache/lstm_lab: what is in it may be deleted at any time."""
    return Path(os.environ.get("LSTM_LAB_CACHE") or Path.home() / ".cache" / "lstm_lab")


class PathField:
    """Annotation of a configuration field that holds a path of the user.

    Args:
        required: whether it must exist; what may also be a name, as on a hub, need not.
        after_training: whether that holds for a trained run too; what a model only starts from is in its checkpoint.
    """

    def __init__(self, required: bool = True, after_training: bool = True) -> None:
        self.required, self.after_training = required, after_training


FilePath = Annotated[str, Field(min_length=1), PathField()]
"""A path; a relative one is looked up beside the experiment's file, in the current folder, then below LSTM_LAB_DATA."""
InitialFilePath = Annotated[str, Field(min_length=1), PathField(after_training=False)]
"""The same, of a file that is read when training begins."""
FilePathOrName = Annotated[str, Field(min_length=1), PathField(required=False)]
"""The same, or a name where no such path exists."""


def path_fields(config: Config, prefix: str = "") -> Iterator[tuple[str, str, PathField]]:
    """Dotted key, value and annotation of each path in a configuration."""
    for name, info in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Config):
            yield from path_fields(value, f"{prefix}{name}.")
        elif isinstance(value, str) and (found := _annotation(info)) is not None:
            yield f"{prefix}{name}", value, found


def _annotation(info: FieldInfo) -> PathField | None:
    """The `PathField` of a field's type, or of a member of its union."""
    members = [member for argument in typing.get_args(info.annotation) for member in typing.get_args(argument)]
    return next((each for each in (*info.metadata, *members) if isinstance(each, PathField)), None)


def search_folders(*first: Path) -> tuple[Path, ...]:
    """Where a relative path is looked up, in this order: the given folders, the current one, that of LSTM_LAB_DATA."""
    data = os.environ.get(DATA_FOLDER)
    folders = [*first, Path.cwd(), *([Path(data)] if data else [])]
    return tuple(dict.fromkeys(Path(os.path.abspath(folder)) for folder in folders))


def environment_elsewhere() -> dict[str, str]:
    """The LSTM_LAB_ variables of the environment, folders as absolute paths: as a process elsewhere needs them."""
    return {
        name: os.path.abspath(value) if value and name in _FOLDERS else value
        for name, value in os.environ.items()
        if name.startswith("LSTM_LAB_")
    }


def find_path(key: str, written: str, folders: Sequence[Path]) -> Path | None:
    """What a relative path means: the first that exists, as an absolute path; None where there is none.

    A `Notice` says so where a later folder has other content under the same path.

    Args:
        key: of the field, for the message.
        folders: absolute, in order.
    """
    found = [_normalised(folder / written) for folder in folders if os.path.exists(folder / written)]
    if not found:
        return None
    other = next((path for path in found[1:] if _differ(found[0], path)), None)
    if other is not None:
        warnings.warn(f"{key}: {written} means {found[0]}, not {other}, which has other content: write an absolute "
                      "path to choose", Notice, stacklevel=2)  # fmt: skip
    return found[0]


def paths_beside(config: Config, folder: Path) -> dict[str, str]:
    """Dotted key -> how a file in `folder` writes a relative path that exists in the current folder."""
    return {
        key: os.path.relpath(value, folder)
        for key, value, _ in path_fields(config)
        if not os.path.isabs(value) and os.path.exists(value)
    }


def missing_path(key: str, value: str, written: str, folders: Sequence[Path]) -> DataError:
    """The error to raise where a path does not exist.

    Args:
        key: of the field.
        value: of the field.
        written: the relative path that was looked up; equal to `value` where the field has that.
        folders: where.
    """
    near = near_name(written, folders)
    if not folders:
        return DataError(f"{value}: no such file{near or f': set {key}'}")
    where = ", ".join(map(str, folders))
    if value == written:
        return DataError(f"{value}: no such file or folder in {where}{near or f': set {key}'}")
    return DataError(f"{value}: no such file or folder any more, nor {written} in {where}: put it back, change to the "
                     f"folder that has {written}, or set {DATA_FOLDER} to it ({key})")  # fmt: skip


def near_name(path: str, folders: Sequence[Path]) -> str:
    """End of a message about a path that does not exist: one of a similar name, or nothing."""
    for folder in folders:
        parent = (folder / path).parent
        if os.path.isdir(parent) and os.access(parent, os.R_OK | os.X_OK):
            near = difflib.get_close_matches(Path(path).name, os.listdir(parent), n=1)
            if near:
                return f"; did you mean '{parent / near[0]}'?"
    return ""


def _normalised(path: Path) -> Path:
    """Without `..`, unless a symbolic link gives that another meaning."""
    short = Path(os.path.normpath(path))
    return short if os.path.exists(short) and short.samefile(path) else path


def _differ(one: Path, other: Path) -> bool:
    """Whether two paths lead to different content; two folders do, unless they are the same one."""
    try:
        if one.samefile(other):
            return False
        return not (one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False))
    except OSError:
        return True
