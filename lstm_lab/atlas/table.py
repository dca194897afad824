"""The atlas as it is shipped: one Parquet file, a row for each configuration on each data set."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from lstm_lab.atlas.portfolio import relative_regret

FILE = Path(__file__).with_name("atlas.parquet")

Overrides = dict[str, object]


@dataclass(frozen=True)
class Atlas:
    """Results of N configurations on S data sets."""

    sets: tuple[str, ...]
    tasks: tuple[str, ...]
    """Of each set."""
    configurations: tuple[Overrides, ...]
    costs: np.ndarray
    """(S, N) best monitored metric on the validation split, negative where more of it is better; NaN: it failed."""

    @property
    def regret(self) -> np.ndarray:
        """(S, N): 0, the best on its set; 1, no better than the median there."""
        return relative_regret(self.costs)

    def without(self, name: str) -> Atlas:
        """The atlas as it would be without a data set."""
        kept = [index for index, each in enumerate(self.sets) if each != name]
        return Atlas(tuple(self.sets[n] for n in kept), tuple(self.tasks[n] for n in kept), self.configurations,
                     self.costs[kept])  # fmt: skip


@cache
def read_atlas(path: Path = FILE) -> Atlas:
    """The atlas of a file, by default that of the package; configurations that some set lacks are left out."""
    import pandas as pd

    frame = pd.read_parquet(path, columns=["set", "task", "configuration", "overrides", "mode", "value"])
    frame["cost"] = [_cost(values, mode) for values, mode in zip(frame["value"], frame["mode"], strict=True)]
    costs = frame.pivot(index="set", columns="configuration", values="cost")
    counts = frame.groupby("configuration")["set"].count()
    complete = sorted(int(number) for number in counts[counts == len(costs)].index)
    texts = frame.drop_duplicates("configuration").set_index("configuration")["overrides"]
    tasks = frame.drop_duplicates("set").set_index("set")["task"]
    sets = tuple(str(name) for name in costs.index)
    return Atlas(
        sets, tuple(str(tasks[name]) for name in sets), tuple(json.loads(texts[number]) for number in complete),
        costs[complete].to_numpy(float),
    )  # fmt: skip


def _cost(values: np.ndarray, mode: str) -> float:
    curve = np.asarray(values, float)
    curve = curve[np.isfinite(curve)]
    if not len(curve):
        return float("nan")
    return float(-curve.max() if mode == "max" else curve.min())
