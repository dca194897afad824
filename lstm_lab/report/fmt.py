"""Numbers, hyperparameters and durations as text. The page and the command line use the same."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping

MISSING = "–"
WORDS = {
    "nll": "NLL", "mse": "MSE", "mae": "MAE", "mase": "MASE", "f1": "F1", "auroc": "AUROC", "crps": "CRPS",
    "ece": "ECE", "lr": "learning rate",
}  # fmt: skip
"""Words of metric and hyperparameter names that are written otherwise in text."""


def number(value: float | None) -> str:
    """Four significant digits, trailing zeros kept so that columns align; a dash for a missing value."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
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
    return MISSING if value is None else _minus(f"{value:+.3f}")


def percent(share: float) -> str:
    """`47 %`; two significant digits of what is below one percent."""
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.2g} %"


def _minus(text: str) -> str:
    return text.replace("-", "−", 1) if text.startswith("-") else text


def mean_std(mean: float | None, std: float | None) -> str:
    """`0.09210 ± 0.00423`: std to the digits of the mean, or with digits of its own where it would round to 0."""
    text = number(mean)
    if std is None:
        return text
    decimals = len(text.partition(".")[2])
    short = f"{std:.{decimals}f}"
    return f"{text} ± {short if 'e' not in text and float(short) > 0 else number(std)}"


def value(content: object) -> str:
    """The value of a hyperparameter; of a whole section, its name and its fields."""
    if content is None or isinstance(content, bool):
        return json.dumps(content)
    if isinstance(content, float):
        return _minus(f"{content:.4g}")
    if isinstance(content, dict):
        fields = ", ".join(f"{key} {value(inner)}" for key, inner in content.items() if key != "name")
        return ", ".join(text for text in (str(content.get("name", "")), fields) if text)
    if isinstance(content, list):
        return ", ".join(value(inner) for inner in content)
    return _minus(str(content)) if isinstance(content, int) else str(content)


def short_names(keys: Collection[str]) -> dict[str, str]:
    """Dotted key -> its name without the section, where that is unique: `optimizer.lr` -> `learning rate`."""
    tails = {key: key.split(".", 1)[-1] for key in keys}
    counts = list(tails.values())
    return {
        key: WORDS.get(tail, tail.replace("_", " ")) if counts.count(tail) == 1 else key.replace("_", " ")
        for key, tail in tails.items()
    }


def configuration(overrides: Mapping[str, object], names: Mapping[str, str]) -> str:
    """A configuration in the order of the names: `cell gru, hidden size 64, learning rate 0.003121`."""
    order = [*(key for key in names if key in overrides), *(key for key in overrides if key not in names)]
    known = {**short_names(order), **names}
    return ", ".join(f"{known[key]} {value(overrides[key])}" for key in order)


def metric(name: str) -> str:
    """`val/macro_f1` -> `validation macro F1`."""
    split, _, rest = name.rpartition("/")
    words = " ".join(WORDS.get(word, word) for word in rest.split("_"))
    return f"{ {'val': 'validation', 'train': 'training'}.get(split, split) } {words}".strip()


def duration(seconds: float | None) -> str:
    """`9.5 s`, `12 min 3 s`, `2 h 5 min`."""
    if seconds is None:
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 100:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def timestamp(iso: object) -> str:
    """`2026-11-21T05:28:10+00:00` -> `2026-11-21 05:28 UTC`; anything else unchanged."""
    text = str(iso or MISSING)
    if len(text) >= 16 and text[10] == "T":
        return f"{text[:10]} {text[11:16]}" + (" UTC" if text.endswith(("+00:00", "Z")) else "")
    return text


def plural(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def capitalized(text: str) -> str:
    """With a capital first letter; the rest unchanged."""
    return text[:1].upper() + text[1:]


def join(items: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    words = list(items)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def number_range(values: Iterable[int]) -> str:
    """`40`, or `12–40` where they differ."""
    found = list(values)
    if not found:
        return MISSING
    low, high = min(found), max(found)
    return f"{low}" if low == high else f"{low}–{high}"


def times(count: int) -> str:
    """`once`, or `2 times`."""
    return "once" if count == 1 else f"{count:,} times"
