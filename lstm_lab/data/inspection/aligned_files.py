"""Two files of lines, of which line n of one belongs to line n of the other: train.de and train.en."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from lstm_lab.config import DataError
from lstm_lab.data.inspection.given_files import given_files
from lstm_lab.data.inspection.pair_names import LANGUAGES
from lstm_lab.data.inspection.result import Fields, Inspection
from lstm_lab.data.inspection.text_pairs import finish_pairs, read_with_given
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.table import COMPRESSED, read_text
from lstm_lab.data.sources.aligned_texts import AlignedTexts

SIDES = {"src": ("tgt", "trg"), "source": ("target",)}
"""Part of a name of sources -> that of targets."""
ENDINGS = ("txt", "tok", "bpe", "raw", "clean")
"""Endings of texts that say nothing of the language."""


def target_file(path: str, choices: Mapping[str, object]) -> str | None:
    """The file of the targets beside one of sources, or the chosen one; None where there is none.

    Raises:
        DataError: files in several languages are beside it; or an ending is that of a language, and no file beside it
            has as many lines.
    """
    if choices.get("name", "aligned_texts") != "aligned_texts":
        return None
    if "target_path" in choices:
        return str(choices["target_path"])
    named = _named_side(path)
    if named is None:
        return None
    try:
        file = find_file(path)
        count = _lines(file)
    except DataError:
        return None
    start, end, side = named
    name = file.name
    ours, others = side.lower(), []
    for other in sorted(file.parent.iterdir()):
        if not other.is_file() or len(other.name) <= len(name) - len(side):
            continue
        if other.name[:start] == name[:start] and other.name[len(other.name) - (len(name) - end) :] == name[end:]:
            theirs = other.name[start : len(other.name) - (len(name) - end)].lower()
            if theirs in SIDES.get(ours, ()) or (ours in LANGUAGES and theirs in LANGUAGES and theirs != ours):
                others.append(other)
    fits = [other for other in others if _may_be_lines(other) == count]
    is_certain = ours in SIDES or name.lower().removesuffix(".gz").endswith(f".{ours}")
    if not fits and is_certain:
        found = f"none of {', '.join(other.name for other in others)} has" if others else "no file beside it has"
        raise DataError(f"{path}: is named as one of two files of lines, but {found} its {count} lines in another "
                        "language: set target_path=FILE, or name=text_stream where it is one long text")  # fmt: skip
    if len(fits) > 1:
        raise DataError(f"{path}: {len(fits)} files beside it have its lines in other languages "
                        f"({', '.join(other.name for other in fits)}): choose one by target_path=FILE")  # fmt: skip
    return str(Path(path).with_name(fits[0].name)) if fits else None


def _named_side(path: str) -> tuple[int, int, str] | None:
    """Where the name of a file has the language or the side, from and to, and what it is there; None without any."""
    name = Path(path).name
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    parts = [(found.start(), found.end(), found[0]) for found in re.finditer(r"[^._-]+", name)]
    last = parts[-1][2].lower() if len(parts) > 1 else ""
    if last in LANGUAGES or last in SIDES:
        return parts[-1]
    if last not in ENDINGS:
        return None
    return next((part for part in reversed(parts) if part[2].lower() in LANGUAGES or part[2].lower() in SIDES), None)


def _lines(file: Path) -> int:
    return read_text(file, "text", "one text on each line").removesuffix("\n").count("\n") + 1


def _may_be_lines(file: Path) -> int | None:
    """Its lines; None where it cannot be read."""
    try:
        return _lines(file)
    except DataError:
        return None


def inspect_aligned(path: str, target: str, choices: Fields) -> Inspection:
    """Two files of lines, and those of the other splits beside them."""
    data: Fields = {"name": "aligned_texts", "path": path, "target_path": target, **choices}
    result = Inspection(str(find_file(path)), "pairs of texts", "")
    given: Fields = {}
    if not {"validation_path", "test_path", "validation", "test"} & set(choices):
        sources, targets = given_files(path), given_files(target)
        for split in sources.keys() & targets.keys():
            given |= {f"{split}_path": sources[split], f"{split}_target_path": targets[split]}
    found, data = read_with_given(result, data, AlignedTexts.Config, given)
    finish_pairs(result, found, data)
    return result
