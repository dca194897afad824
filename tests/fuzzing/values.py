"""Plain values and bytes that programs stumble over, and changes to trees, texts and files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

LONG_NAME = "n" * 300
WORDS = (
    "", " ", "a", "NaN", "null", "~", "true", "1e5", "-1", "lstm", "loss", "val/loss", "data.path", "..", "/",
    "\\", "%s",
    "{}", "[b]x[/b]", "${oc.env:HOME}", "${seed}", "a\0b", "a\nb", "\t", "\u202eabc", "\U0001f600", "é" * 80,
    "\ud800",
    "1_000", "0x1f", "1e400", "2024-01-01", "x" * 300, "a=b", "a.b.c", "*", "'", '"', "\x1b[31m", "__class__",
)  # fmt: skip
"""Texts."""
NUMBERS = (
    0, 1, 2, -1, 3, 7, 255, 10**9, 2**31, -(2**63), 10**30, 10**400, 0.0, -0.0, 0.5, 1.5, -2.5, 1e-320, 1e308, -1e300,
    float("nan"), float("inf"), float("-inf"),
)  # fmt: skip


def nested(rng: Random, depth: int) -> Any:
    """Lists and mappings in each other."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def plain(rng: Random) -> Any:
    """Any plain value."""
    kinds: list[Callable[[], Any]] = [
        lambda: None, lambda: rng.random() < 0.5, lambda: rng.choice(NUMBERS), lambda: rng.choice(NUMBERS),
        lambda: rng.choice(WORDS), lambda: rng.choice(WORDS), list, dict, lambda: [rng.choice(NUMBERS), None],
        lambda: [rng.choice(WORDS)] * 3, lambda: {rng.choice(WORDS): rng.choice(NUMBERS)}, lambda: [[1, 2], [3]],
        lambda: {"name": rng.choice(WORDS)}, lambda: nested(rng, rng.choice([3, 60])), lambda: {"1": {"2": "3"}},
    ]  # fmt: skip
    return rng.choice(kinds)()


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a tree of mappings and lists."""
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in children:
        yield (*path, key)
        yield from places(value, (*path, key))


def mutate(rng: Random, tree: Any) -> Any:
    """A tree with one to three places changed: another value, none, a key more, or a part of the tree itself."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        found = list(places(tree))
        if not found or rng.random() < 0.03:
            return plain(rng)
        *above, key = rng.choice(found)
        parent = tree
        for each in above:
            parent = parent[each]
        match rng.randrange(6):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent[rng.choice(WORDS)] = plain(rng)
            case 2:
                parent[key] = [parent[key]]
            case 3:
                parent[key] = str(parent[key])
            case _:
                parent[key] = plain(rng)
    return tree


def damage(rng: Random, content: bytes) -> bytes:
    """Bytes cut, changed, zeroed, doubled, or with others among them."""
    at = rng.randrange(len(content) + 1)
    strange = rng.choice(
        [b"\xff\xfe", b"\0", b"\x1f\x8b", b'"', b"\r", b"[" * 9, b"\xed\xa0\x80", b",", b"\xe2\x80\xa8"]
    )
    match rng.randrange(9):
        case 0:
            return content[:at]
        case 1:
            return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
        case 2:
            return content[:at] + strange + content[at:]
        case 3:
            return content[:at] + bytes(min(512, len(content) - at)) + content[at + 512 :]
        case 4:
            return content + content
        case 5:
            return content[at:]
        case 6:
            return b""
        case 7:
            deep = rng.choice([b"[", b'{"a":', b"- ", b"("])
            return deep * 20_000
        case _:
            lines = content.splitlines(keepends=True)
            rng.shuffle(lines)
            return b"".join(lines)


def misplace(rng: Random, path: Path) -> None:
    """A file that is gone, a folder, a link to itself, a link to nowhere, or another file's content."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    match rng.randrange(5):
        case 0:
            path.mkdir()
        case 1:
            os.symlink(path.name, path)
        case 2:
            os.symlink("nowhere", path)
        case 3:
            path.write_text("not what it was\n")
        case _:
            pass
