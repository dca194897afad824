"""Three shops whose sales differ a thousandfold: many series in one file."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from lstm_lab.data.sources.csv_series import CSV

T, HORIZON = 6, 3


def shop(number, rows=60, level=100.0):
    """A weekly season around a level, and a holiday every ninth day."""
    rng, t = np.random.default_rng(number), np.arange(rows)
    holiday = (t % 9 == number % 9).astype(float)
    sales = level * (1 + 0.2 * np.sin(2 * np.pi * t / 7) + 0.5 * holiday) + rng.normal(size=rows) * level / 50
    days = pd.date_range("2024-01-01", periods=rows, freq="D")
    return pd.DataFrame({"day": days, "store": f"s{number}", "sales": sales, "holiday": holiday, "size": number * 10.0})


SHOPS = pd.concat([shop(0), shop(1, 80, 5000.0), shop(2, 70, 3.0)], ignore_index=True)


def data(folder, frame=SHOPS, **choices) -> CSV:
    place = folder / f"shops-{len(list(folder.iterdir()))}.csv"  # Read when first asked for: one file for each.
    frame.to_csv(place, index=False)
    choices = {"time": "day", "targets": "sales", "window": T, "horizon": HORIZON, "seasons": [7], **choices}
    if "store" in frame:
        choices = {"id": "store", **choices}
    return CSV.Config.model_validate({"path": str(place), **choices}).build()


def everything(windows):
    return windows.take(torch.arange(len(windows)))


def splits(dataset):
    return {"train": dataset.train, "validation": dataset.validation, "test": dataset.test_split()}
