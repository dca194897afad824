"""Activities of people with a smartphone at the waist: acceleration (g) and rotation (rad/s) in three axes, 50 Hz."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lstm_lab.config import Count
from lstm_lab.data.base import Dataset
from lstm_lab.data.kinds.labelled import LabelledData, LabelledSequences
from lstm_lab.data.kinds.pre_split import RawSplit, RawSplits
from lstm_lab.data.kinds.tagged import TaggedSequences
from lstm_lab.data.readers.locate import locate

if TYPE_CHECKING:
    import pandas as pd

CHANNELS = ["acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z"]
ACTIVITIES = (
    "walking", "upstairs", "downstairs", "sitting", "standing", "laying", "stand to sit", "sit to stand",
    "sit to lie", "lie to sit", "stand to lie", "lie to stand",
)  # fmt: skip
STATIC = 6
"""The first six are activities, the others the transitions between postures."""
TEST_USERS = (2, 4, 9, 10, 12, 13, 18, 20, 24)
VALIDATION_USERS = (7, 16, 23, 29)
"""Every fifth of the other 21."""


def read_table() -> pd.DataFrame:
    """Columns user (1-30), recording, the channels, and label: 1-12 as in ACTIVITIES, -1 unlabelled."""
    import pandas as pd

    origin = "archive.ics.uci.edu, set 341 (Reyes-Ortiz et al. 2016, CC BY 4.0): user, recording, six channels, label"
    return pd.read_parquet(locate("hapt/hapt.parquet", origin))


class HAPT(TaggedSequences, name="hapt"):
    """An activity or a postural transition for each sample, 12 in total; unlabelled samples have no target.

    Reyes-Ortiz et al. (2016), UCI, CC BY 4.0: 30 people, 61 recordings. The nine people of the original test split
    are the test split, four others the validation split. Recordings are cut into pieces of `window` samples.
    """

    class Config(Dataset.Config):
        window: Count = 500
        """Samples in a piece, 50 per second."""

    classes = ACTIVITIES

    def __init__(self, batch_size: int, window: int) -> None:
        super().__init__(batch_size)
        self.window = window

    def read(self) -> RawSplits[list[np.ndarray]]:
        pieces: dict[str, list[tuple[np.ndarray, Hashable, np.ndarray]]] = {"train": [], "validation": [], "test": []}
        for (user, _), rows in read_table().groupby(["user", "recording"], sort=True):
            split = "test" if user in TEST_USERS else "validation" if user in VALIDATION_USERS else "train"
            values, labels = rows[CHANNELS].to_numpy(), rows["label"].to_numpy()
            labels = np.where(labels > 0, labels - 1, -1).astype(np.int8)
            for start in range(0, len(rows), self.window):
                targets = labels[start : start + self.window]
                if (targets >= 0).any():
                    pieces[split].append((values[start : start + self.window], user, targets))
        train, validation, test = (
            RawSplit([x for x, _, _ in split], [user for _, user, _ in split], [y for _, _, y in split])
            for split in pieces.values()
        )
        return RawSplits(train, validation, test)


class HAPTWindows(LabelledSequences, name="hapt_windows"):
    """One of the six activities for each window of 128 samples (2.56 s), overlapping the next by half.

    The convention of UCI HAR (Anguita et al. 2013), whose recordings these are, on six raw channels. Split by person as
    `hapt`; all samples of a window are of one activity.
    """

    window, stride = 128, 64

    def read(self) -> LabelledData:
        test = np.isin(self._windows[2], TEST_USERS)
        values, labels, _ = self._windows
        names = np.array(ACTIVITIES)[labels]
        return LabelledData(train=(list(values[~test]), names[~test]), test=(list(values[test]), names[test]))

    @cached_property
    def _windows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values (N, window, 6), labels (N,) from 0, users (N,)."""
        table = read_table()
        values, label = table[CHANNELS].to_numpy(), table["label"].to_numpy()
        section = table[["user", "recording", "label"]].to_numpy()
        borders = np.flatnonzero(np.any(section[1:] != section[:-1], 1)) + 1
        starts = np.concatenate([
            np.arange(first, last - self.window + 1, self.stride)
            for first, last in zip([0, *borders], [*borders, len(table)], strict=True)
            if 1 <= label[first] <= STATIC
        ])  # fmt: skip
        windows = values[starts[:, None] + np.arange(self.window)]
        return windows, label[starts] - 1, table["user"].to_numpy()[starts]

    @property
    def _train_groups(self) -> list[int]:
        users = self._windows[2]
        people: list[int] = users[~np.isin(users, TEST_USERS)].tolist()
        return people

    def _own_split(self) -> tuple[np.ndarray, np.ndarray]:
        validation = np.isin(self._train_groups, VALIDATION_USERS)
        return np.flatnonzero(~validation), np.flatnonzero(validation)
