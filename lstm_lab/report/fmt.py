"""Numbers, settings and times as a person reads them."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable
from typing import Any

from lstm_lab.config import canonical_json

NONE = "–"


def number(value: Any) -> str:
    """Four significant digits, trailing zeros kept so that columns align; a dash for what is not there."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if isinstance(value, int):
        return _minus(f"{value:,}")
    size = abs(value)
    if size == 0:
        return "0"
    if size < 1e-5 or size >= 1e9:
        digits, _, power = f"{value:.3e}".partition("e")
        return _minus(f"{digits}e{int(power)}")
    if size < 1e-3:
        return _minus(f"{value:.{3 - math.floor(math.log10(size))}f}")
    return _minus(f"{value:,.0f}" if size >= 9999.5 else f"{value:#.4g}".rstrip("."))


def signed(value: float | None) -> str:
    """A skill: three decimals and always a sign."""
    return NONE if value is None else _minus(f"{value:+.3f}")


def _minus(text: str) -> str:
    return text.replace("-", "−", 1) if text.startswith("-") else text


def with_spread(mean: float | None, spread: float | None) -> str:
    """`0.09210 ± 0.00423`: the spread to the digits of the mean, or to its own where those would hide it."""
    text = number(mean)
    if spread is None:
        return text
    decimals = len(text.partition(".")[2])
    short = f"{spread:.{decimals}f}"
    return f"{text} ± {short if 'e' not in text and float(short) > 0 else number(spread)}"


def setting(value: Any) -> str:
    """The value of a hyperparameter; a whole section as its name and what stands beside it."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float):
        return _minus(f"{value:.4g}")
    if isinstance(value, dict):
        inside = [f"{key} {setting(inner)}" for key, inner in value.items() if key != "name"]
        return ", ".join([str(value["name"]), *inside] if "name" in value else inside)
    if isinstance(value, list):
        return ", ".join(setting(inner) for inner in value)
    return _minus(str(value)) if isinstance(value, int) else str(value)


same = canonical_json
"""The identity of a value of a hyperparameter."""


def short(keys: Collection[str]) -> dict[str, str]:
    """Dotted key -> what is left without its section, where that is still its own: `optimizer.lr` -> `lr`."""
    tails = {key: key.split(".", 1)[-1] for key in keys}
    counts = list(tails.values())
    return {key: (tail if counts.count(tail) == 1 else key).replace("_", " ") for key, tail in tails.items()}


def settings(overrides: dict[str, Any], names: dict[str, str]) -> str:
    """A point in words, in the order of the names: `cell gru, hidden size 64, lr 0.003121`."""
    order = [*(key for key in names if key in overrides), *(key for key in overrides if key not in names)]
    return ", ".join(f"{names.get(key, key)} {setting(overrides[key])}" for key in order)


def metric(name: str) -> str:
    """`val/macro_f1` -> `validation macro F1`."""
    part, _, rest = name.rpartition("/")
    words = {"nll": "NLL", "mse": "MSE", "mae": "MAE", "mase": "MASE", "f1": "F1", "lr": "learning rate"}
    spelled = " ".join(words.get(word, word) for word in rest.split("_"))
    return f"{ {'val': 'validation', 'train': 'training'}.get(part, part) } {spelled}".strip()


def duration(seconds: float | None) -> str:
    if seconds is None:
        return NONE
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 100:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def when(iso: Any) -> str:
    """`2026-11-21T05:28:10+00:00` -> `2026-11-21 05:28 UTC`; anything else as it stands."""
    text = str(iso or NONE)
    if len(text) >= 16 and text[10] == "T":
        return f"{text[:10]} {text[11:16]}" + (" UTC" if text.endswith(("+00:00", "Z")) else "")
    return text


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def sentence(text: str) -> str:
    """With a capital first letter, and the rest as it is."""
    return text[:1].upper() + text[1:]


def listed(items: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    words = list(items)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def span(values: Iterable[int]) -> str:
    """`40`, or `12–40` where they differ."""
    found = list(values)
    if not found:
        return NONE
    low, high = min(found), max(found)
    return f"{low}" if low == high else f"{low}–{high}"


def times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
