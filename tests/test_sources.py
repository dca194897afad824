"""Sources with three splits: no group in two of them, synthetic problems recomputed, published sets as published."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from lstm_lab.config import DataError
from lstm_lab.config.fields import fields
from lstm_lab.data import Dataset
from lstm_lab.data.kinds.pre_split import RawSplit, RawSplits
from lstm_lab.data.kinds.tagged import TaggedSequences
from lstm_lab.data.readers.locate import locate
from lstm_lab.data.sources.fsdd_strings import FSDDStrings
from lstm_lab.data.sources.hapt import TEST_USERS, VALIDATION_USERS
from lstm_lab.data.sources.moving_digits import MovingDigits
from lstm_lab.data.sources.protein_ss import one_hot
from lstm_lab.data.sources.reber import END, GRAMMAR


def made(name, **choices):
    return Dataset.members[name].Config(train_size=200, eval_size=50, **choices).build()


@pytest.fixture
def real(readable):
    """A published set, where it is available."""
    return lambda name, **choices: readable(Dataset.members[name].Config(**choices).build())


def all_of(split):
    return split.take(torch.arange(len(split)))


# --- three splits ---


class Toy(TaggedSequences):
    """Two channels on different scales; not registered."""

    name, classes = "toy", ("a", "b")

    def __init__(self, groups=("p", "q", "r"), spoil=None, label=1):
        super().__init__(batch_size=4)
        self.groups, self.spoil, self.label = groups, spoil, label

    def read(self):
        rng = np.random.default_rng(0)
        parts = []
        for number, group in enumerate(self.groups):
            x = [rng.normal([5, -3], [2, 9], size=(3 + i, 2)).astype(np.float32) for i in range(4)]
            y = [rng.integers(-1, 2, size=len(row)).astype(np.int8) for row in x]
            y[0][0] = self.label
            if number == self.spoil:
                x[0][0, 0] += 1000.0
            parts.append(RawSplit(x, [group] * 4, y))
        return RawSplits(*parts)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (("p", "p", "r"), "toy: 'p' is in both the training and the validation split"),
        (("p", "q", "q"), "toy: 'q' is in both the validation and the test split"),
        (("p", "q", "p"), "toy: 'p' is in both the training and the test split"),
    ],
)
def test_a_group_in_two_splits_is_refused(groups, message):
    with pytest.raises(DataError, match=message):
        _ = Toy(groups).train
    assert len(Toy().train) == 4


def test_copies_are_removed_from_the_earlier_split():
    def part(*groups):
        return RawSplit([np.full(2, ord(group)) for group in groups], list(groups), np.arange(len(groups))[:, None])

    parts = RawSplits(part("a", "b", "c", "d"), part("b", "e", "f"), part("c", "e", "g")).without_copies()
    assert [list(kept.groups) for kept in (parts.train, parts.validation, parts.test)] == [
        ["a", "d"], ["b", "f"], ["c", "e", "g"],
    ]  # fmt: skip
    assert parts.train.targets.ravel().tolist() == [0, 3]
    assert [row[0] for row in parts.validation.sequences] == [ord("b"), ord("f")]


@pytest.mark.parametrize("part", [1, 2])
def test_scale_is_fitted_on_the_training_split_alone(part):
    plain, spoiled = Toy(), Toy(spoil=part)
    assert torch.equal(all_of(plain.train).x, all_of(spoiled.train).x)
    values = plain.train.inputs.values
    torch.testing.assert_close(values.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(values.std(0, correction=0), torch.ones(2), atol=1e-5, rtol=0)
    assert plain.digest == Toy().digest != spoiled.digest


def test_padding_is_zero_and_has_no_target():
    batch = all_of(Toy().train)
    behind = torch.arange(batch.x.shape[1]) >= batch.lengths.unsqueeze(1)
    assert behind.any()
    assert (batch.x[behind] == 0).all()
    assert (batch.y[behind] == -1).all()


@pytest.mark.parametrize("label", [2, -2])
def test_a_label_without_a_class_is_refused(label):
    with pytest.raises(DataError, match=r"toy: .*2 classes"):
        _ = Toy(label=label).info


def test_a_missing_file_names_its_origin(tmp_path, monkeypatch):
    monkeypatch.delenv("LSTM_LAB_DATA", raising=False)
    with pytest.raises(
        DataError, match=r"^polyphonic/jsb_chorales.parquet: not found.*github.com/locuslab.*set LSTM_LAB_DATA"
    ):
        _ = Dataset.members["jsb_chorales"].Config().build().info
    monkeypatch.setenv("LSTM_LAB_DATA", str(tmp_path))
    with pytest.raises(DataError, match=f"^{tmp_path}/a/b: no such file; it holds there"):
        locate("a/b", "there")
    (tmp_path / "c").write_text("x")
    assert locate("c", "there") == locate(
        "c", "there", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    )
    with pytest.raises(DataError, match="is not the published file"):
        locate("c", "there", "0" * 64)


# --- synthetic problems  ---

MADE = sorted(
    name for name, member in Dataset.members.items() if "eval_size" in {row.path for row in fields(member.Config)}
)


@pytest.mark.parametrize("name", MADE)
def test_synthetic_problems_are_reproducible_and_their_splits_differ(name, readable):
    data = readable(made(name))
    parts = [data.train, data.validation, data.test_split()]
    assert [len(part) for part in parts] == [200, 50, 50]
    assert data.digest == made(name).digest != made(name, seed=1).digest
    first = [part.take(torch.arange(50)).x for part in parts]
    assert not any(torch.equal(a, b) for a, b in [first[:2], first[1:], first[::2]])
    # Another number of training sequences does not change the other splits.
    longer = Dataset.members[name].Config(train_size=300, eval_size=50).build()
    if parts[2].texts():  # Their tokens are numbered by the training split.
        assert longer.test_split().texts() == parts[2].texts()
    elif isinstance(longer, FSDDStrings):  # They are scaled by the training split.
        assert all(map(np.array_equal, longer.raw.test.sequences, data.raw.test.sequences))
    elif isinstance(longer, MovingDigits):
        assert all(map(np.array_equal, longer.read().test[0], data.read().test[0]))
    else:
        assert torch.equal(all_of(longer.test_split()).x, first[2])


@pytest.mark.parametrize("length", [2, 7, 100])
def test_adding_is_the_sum_of_one_marked_number_in_each_half(length):
    for part in (made("adding", length=length).train, made("adding", length=length).test_split()):
        batch = all_of(part)
        assert batch.x.shape[1:] == (length, 2)
        marks = batch.x[..., 1]
        assert marks[:, : length // 2].sum(1).tolist() == marks[:, length // 2 :].sum(1).tolist() == [1] * len(part)
        torch.testing.assert_close(batch.y, (batch.x[..., 0] * marks).sum(1, keepdim=True))
        assert (batch.x[..., 0] >= 0).all()
        assert (batch.x[..., 0] < 1).all()


def test_copy_memory_has_the_first_ten_as_targets_at_the_end():
    batch = all_of(made("copy_memory", length=13).train)
    assert batch.x.shape == (200, 33, 10)
    symbol = batch.x.argmax(-1)
    assert (batch.x.sum(-1) == 1).all()
    assert symbol[:, :10].max() == 7
    assert torch.equal(batch.y[:, -10:], symbol[:, :10])
    assert (batch.y[:, :-10] == -1).all()
    assert (symbol[:, 23] == 9).all()
    assert (symbol[:, 10:23] == 8).all()
    assert (symbol[:, 24:] == 8).all()


@pytest.mark.parametrize("target_steps", ["every", "last"])
def test_parity_equals_a_count(target_steps):
    batch = all_of(made("parity", length=9, target_steps=target_steps).train)
    for bits, labels in zip(batch.x[..., 0].tolist(), batch.y.tolist(), strict=True):
        for t, label in enumerate(labels):
            assert label == (sum(bits[: t + 1]) % 2 if target_steps == "every" or t == 8 else -1)


def test_embedded_reber_strings_obey_the_grammar():
    data = made("embedded_reber")
    lengths, outer = set(), Counter()
    for row in all_of(data.train).x.tolist():
        text = "".join(data.info.tokens[token] for token in row if token)
        assert text[0] + text[2] + text[-3] + text[-1] == "BBEE"
        assert text[1] == text[-2]
        outer[text[1]] += 1
        state = 0
        for letter in text[3:-3]:
            state = dict(GRAMMAR[state])[letter]
        assert state == END
        lengths.add(len(text))
    assert set(outer) == {"T", "P"}
    assert min(outer.values()) > 60
    assert min(lengths) == 9 < max(lengths)


# --- published sets ---


@pytest.mark.parametrize(
    ("name", "pieces", "frames"),
    [("jsb_chorales", (229, 76, 77), (13807, 4602, 4725)), ("nottingham", (692, 173, 170), (None, 45513, 44463))],
)
def test_piano_rolls_are_as_published(real, name, pieces, frames):
    data = real(name)
    parts = [data.train, data.validation, data.test_split()]
    assert tuple(len(part) for part in parts) == pieces
    assert all(int(part.lengths.sum()) == n for part, n in zip((p.inputs for p in parts), frames, strict=True) if n)
    assert data.info.input_size == 88 == len(data.info.channels)
    assert (data.info.channels[0], data.info.channels[39], data.info.channels[87]) == ("A0", "C4", "C8")
    assert set(torch.unique(parts[0].inputs.values).tolist()) == {0, 1}


def test_proteins_are_as_published(real):
    data = real("protein_ss")
    parts = [data.train, data.validation, data.test_split()]
    assert [len(part) for part in parts] == [9711, 1079, 511]
    assert not {*data.raw.train.groups, *data.raw.validation.groups} & {*data.raw.test.groups}
    assert int((parts[2].labels.values >= 0).sum()) == 83427
    counts = torch.bincount(parts[0].labels.values[parts[0].labels.values >= 0].long())
    torch.testing.assert_close(counts / counts.sum(), torch.tensor([0.387, 0.227, 0.386]), atol=5e-4, rtol=0)
    assert one_hot("AYX").tolist() == [[1] + [0] * 20, [0] * 19 + [1, 0], [0] * 20 + [1]]


def test_activities_are_as_published_and_split_by_person(real):
    data = real("hapt")
    users = [set(part.groups) for part in (data.raw.train, data.raw.validation, data.raw.test)]
    assert users[2] == set(TEST_USERS)
    assert users[1] == set(VALIDATION_USERS)
    assert set.union(*users) == set(range(1, 31))
    counts = sum(int((part.labels.values >= 0).sum()) for part in (data.train, data.validation, data.test_split()))
    assert counts == 815_614
    windows = real("hapt_windows")
    train, validation = windows._train_and_validation
    own = windows._windows[2][~np.isin(windows._windows[2], TEST_USERS)]
    assert set(own[validation]) == set(VALIDATION_USERS)
    assert not set(own[train]) & set(VALIDATION_USERS)
    assert len(train) + len(validation) == len(own)
    assert set(windows.train.inputs.lengths.tolist()) == {128}


@pytest.mark.parametrize("test_speaker", [None, "theo", "yweweler"])
def test_digits_are_split_by_recording_or_by_speaker(real, test_speaker):
    data = real("fsdd", test_speaker=test_speaker)
    sizes = [len(part) for part in (data.train, data.validation, data.test_split())]
    assert sizes == ([2400, 300, 300] if test_speaker is None else [2000, 500, 500])
    table = data._table
    if test_speaker:
        assert set(table.loc[table["split"] == 2, "speaker"]) == {test_speaker}
        assert not set(table.loc[table["split"] == 0, "speaker"]) & set(table.loc[table["split"] > 0, "speaker"])
    else:
        assert set(table.loc[table["split"] == 2, "index"]) == set(range(5))
        assert set(table.loc[table["split"] == 1, "index"]) == set(range(5, 10))
    assert Counter(data.validation.labels.tolist()) == dict.fromkeys(range(10), sizes[1] // 10)
