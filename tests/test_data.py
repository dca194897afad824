"""Data sets: every sample once an epoch, an order that depends on (seed, epoch) alone, and splits without leaks."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import chain, islice

import numpy as np
import pytest
import torch
from hung import HUNG
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import wavfile

from lstm_lab.data import Batch, Dataset, SequenceDataModule
from lstm_lab.data.base import Split
from lstm_lab.data.kinds.labelled import LabelledData, LabelledSequences, LabelledSplit
from lstm_lab.data.loader import Loader
from lstm_lab.data.readers.cache import digest
from lstm_lab.data.sources.japanese_vowels import JapaneseVowels

small = st.integers(1, 12)


class Numbers(Split):
    """A split whose samples are their own number."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def take(self, index):
        return Batch(index.float().view(-1, 1, 1), torch.ones_like(index), index)


def order(loader, epoch=0):
    loader.sampler.set_epoch(epoch)
    return [batch.y.tolist() for batch in loader]


@given(n=st.integers(1, 40), batch_size=small, seed=st.none() | st.integers(0, 2**32 - 1), epoch=small)
def test_every_sample_exactly_once_an_epoch(n, batch_size, seed, epoch):
    loader = Loader(Numbers(n), batch_size, seed=seed)
    batches = order(loader, epoch)
    assert len(batches) == len(loader)
    assert sorted(chain(*batches)) == list(range(n))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    # Once more, and from another loader: nothing but (seed, epoch) decides.
    order(loader, epoch + 1)
    assert order(loader, epoch) == batches == order(Loader(Numbers(n), batch_size, seed=seed), epoch)


def test_epochs_and_seeds_differ_and_no_seed_keeps_the_order():
    orders = [order(Loader(Numbers(50), 5, seed=seed), epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert len({str(batches) for batches in orders}) == 4
    assert [*chain(*order(Loader(Numbers(50), 7)))] == list(range(50))


@given(n=st.integers(1, 40), batch_size=small, epoch=small, data=st.data())
def test_resuming_gives_exactly_the_remaining_batches(n, batch_size, epoch, data):
    whole = order(Loader(Numbers(n), batch_size, seed=3), epoch)
    k = data.draw(st.integers(0, len(whole)))
    cut = Loader(Numbers(n), batch_size, seed=3)
    cut.sampler.set_epoch(epoch)
    seen = [batch.y.tolist() for batch in islice(cut, k)]
    resumed = Loader(Numbers(n), batch_size, seed=3)
    resumed.load_state_dict(cut.state_dict())
    if k == len(whole):  # a whole epoch counts as none of the next
        assert order(resumed, epoch + 1) == order(Loader(Numbers(n), batch_size, seed=3), epoch + 1)
    else:
        assert seen + order(resumed, epoch) == whole
    assert order(resumed, epoch) == whole


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=8), data=st.data())
def test_sequences_of_different_lengths_are_padded_with_zeros(lengths, data):
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(length, 2)) + 9 for length in lengths]
    split = LabelledSplit(sequences, np.arange(len(lengths)))
    index = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=8))
    batch = split.take(torch.tensor(index))
    assert batch.lengths.tolist() == [lengths[i] for i in index]
    assert batch.y.tolist() == index
    assert batch.x.shape == (len(index), max(lengths[i] for i in index), 2)
    for x, i in zip(batch.x.numpy(), index, strict=True):
        np.testing.assert_array_equal(x[: lengths[i]], sequences[i].astype(np.float32))
        assert (x[lengths[i] :] == 0).all()


class Toy(LabelledSequences):
    """Noise in two classes with ratio 1:3; not registered."""

    name = "toy"

    def __init__(self, spoil=None):
        super().__init__(batch_size=4)
        self.spoil = spoil

    def read(self):
        rng = np.random.default_rng(1)
        sequences = [rng.normal(size=(3 + i % 4, 2)) for i in range(60)]
        labels = np.array(["b", "a", "b", "b"] * 15)
        if self.spoil is not None:
            self.spoil(sequences, labels)
        return LabelledData(train=(sequences[:40], labels[:40]), test=(sequences[40:], labels[40:]))


def values(split):
    return split.take(torch.arange(len(split))).x


def test_split_is_stratified_and_disjoint():
    data = Toy()
    train, validation = data._train_and_validation
    assert sorted([*train, *validation]) == list(range(40))
    assert Counter(data.validation.labels.tolist()) == {0: 2, 1: 6}
    assert (len(data.train), len(data.validation), len(data.test_split())) == (32, 8, 20)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_scale_is_fitted_on_the_training_split_alone(part):
    plain = Toy()
    victims = plain._train_and_validation[1] if part == "validation" else range(40, 60)

    def spoil(sequences, labels):
        for i in victims:
            sequences[i] += 1000.0

    other = Toy(spoil)
    assert torch.equal(values(plain.train), values(other.train))
    assert values(other.validation if part == "validation" else other.test_split()).max() > 100
    assert other.digest != plain.digest


def test_digest_changes_with_every_value_label_and_length():
    def value(sequences, labels):
        sequences[50][0, 1] = np.nextafter(sequences[50][0, 1], 9.0)

    def label(sequences, labels):
        labels[50] = "a" if labels[50] == "b" else "b"

    def border(sequences, labels):
        sequences[1], sequences[2] = np.vstack([sequences[1], sequences[2][:1]]), sequences[2][1:]

    digests = [Toy(spoil).digest for spoil in (None, value, label, border)]
    assert len(set(digests)) == 4
    assert Toy().digest == digests[0]
    assert digest(np.zeros(2)) != digest(np.zeros((1, 2))) != digest(np.zeros(2, np.float32))


def test_a_class_that_only_the_test_split_has_is_said_and_counts_as_an_error():
    def spoil(sequences, labels):
        labels[55] = "c"

    data = Toy(spoil)
    assert data.info.classes[-1] == "c"
    assert data.info.counts[-1] == 0
    assert data.notes == ("class 'c' is not in the training split: samples of it count as errors",)
    assert (data.test_split().labels == 2).sum() == 1


def test_japanese_vowels_is_as_published():
    data = JapaneseVowels(batch_size=16)
    test = data.test_split()
    assert (len(data.train) + len(data.validation), len(test)) == (270, 370)
    assert data.info.classes == tuple("123456789")
    assert Counter(torch.cat([data.train.labels, data.validation.labels]).tolist()) == dict.fromkeys(range(9), 30)
    assert Counter(test.labels.tolist()) == dict(enumerate([31, 35, 88, 44, 29, 24, 40, 50, 29]))
    lengths = torch.cat([part.inputs.lengths for part in (data.train, data.validation, test)])
    assert (int(lengths.min()), int(lengths.max())) == (7, 29)
    rows = data.train.inputs.values  # (sum of T, 12): every frame counts the same
    torch.testing.assert_close(rows.mean(0), torch.zeros(12), atol=1e-5, rtol=0)
    torch.testing.assert_close(rows.std(0, correction=0), torch.ones(12), atol=1e-5, rtol=0)


def test_a_process_that_finds_the_vowels_in_the_cache_imports_no_reader_and_has_the_same_data(runs):
    first = JapaneseVowels(batch_size=16)
    known = (first.info, first.digest)
    code = (
        "import sys; from lstm_lab.data.sources.japanese_vowels import JapaneseVowels as J; d = J(batch_size=16); "
        "print((d.info, d.digest)); sys.exit(bool({'aeon', 'sklearn'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=HUNG)
    assert done.stdout.strip() == str(known)


@pytest.fixture
def dataset(request, tmp_path, readable):
    path = tmp_path / "rows.csv"
    path.write_text("t,a,b\n" + "".join(f"{i},{i % 7},{i % 3}\n" for i in range(300)))
    (tmp_path / "rows.jsonl").write_text(
        "".join(f'{{"text": "word{i % 9} {i}", "label": {i % 2}}}\n' for i in range(60))
    )
    (tmp_path / "rows.txt").write_text("all work and no play " * 90)
    (tmp_path / "rows.conll").write_text("".join(f"word{i % 9} B-X\n{i} O\n\n" for i in range(60)))
    (tmp_path / "long.csv").write_text(
        "s,kind,a,b\n" + "".join(f"{i},k{i % 2},{i % 7},{t}\n" for i in range(40) for t in range(2 + i % 5))
    )
    (tmp_path / "rows.ts").write_text(
        "@equalLength false\n@classLabel true x y\n@data\n"
        + "".join(f"{','.join(str(i + t) for t in range(2 + i % 5))}:{'xy'[i % 2]}\n" for i in range(40))
    )
    for i in range(60):
        (tmp_path / "texts" / str(i % 2)).mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / str(i % 2) / f"{i}.txt").write_text(f"word{i % 9} {i}")
    (tmp_path / "wide.csv").write_text(
        "kind,a,b,c\n" + "".join(f"k{i % 2},{i % 7},{i},{'' if i % 3 else i}\n" for i in range(40))
    )
    steps = [[t % (7 + s) for t in range(60)] for s in range(2)]
    lines = [["s", *range(60)], *([f"k{s}", *values] for s, values in enumerate(steps))]
    (tmp_path / "series.csv").write_text("\n".join(",".join(map(str, line)) for line in lines))
    (tmp_path / "lists.jsonl").write_text(
        "".join(f'{{"kind": "k{i % 2}", "a": {[i + t for t in range(2 + i % 5)]}}}\n' for i in range(40))
    )
    for i in range(40):
        (tmp_path / "tables" / f"k{i % 2}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "tables" / f"k{i % 2}" / f"{i}.csv").write_text("a\n" + f"{i}\n" * (1 + i % 5))
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "rows.npz", X=rng.normal(size=(40, 5, 3)), lengths=rng.integers(1, 6, 40), y=np.arange(40) % 2)
    (tmp_path / "sounds").mkdir()
    for i in range(20):
        wavfile.write(tmp_path / "sounds" / f"{i}.wav", 8000, rng.normal(size=1600 + 80 * i).astype(np.float32))
    (tmp_path / "said.csv").write_text("file,text\n" + "".join(f"{i},{'ab'[i % 2] * (1 + i % 5)}\n" for i in range(20)))
    np.savez(tmp_path / "clips.npz", X=rng.integers(0, 9, (40, 5, 4, 6)), y=np.arange(40) % 2)
    (tmp_path / "edges.csv").write_text("from,to\na,b\n")
    np.savez(tmp_path / "images.npz", X=rng.integers(0, 9, (40, 4, 3)), y=np.arange(40) % 2)
    required = {
        "images": {"path": str(tmp_path / "images.npz")},
        "clips": {"path": str(tmp_path / "clips.npz")},
        "csv_graph": {
            "path": str(path),
            "time": "t",
            "targets": ["a", "b"],
            "edges": str(tmp_path / "edges.csv"),
            "window": 9,
            "horizon": 3,
        },
        "recordings": {"path": str(tmp_path / "sounds"), "texts": str(tmp_path / "said.csv")},
        "arrays": {"path": str(tmp_path / "rows.npz")},
        "csv": {"path": str(path), "time": "t", "targets": ["a"], "features": ["b"], "window": 9, "horizon": 3},
        "csv_text": {"path": str(tmp_path / "rows.jsonl")},
        "text_folder": {"path": str(tmp_path / "texts")},
        "csv_sequences": {"path": str(tmp_path / "long.csv"), "id": "s", "label": "kind", "channels": ["a", "b"]},
        "csv_wide": {"path": str(tmp_path / "wide.csv"), "label": "kind"},
        "csv_wide_series": {"path": str(tmp_path / "series.csv"), "id": "s", "window": 9, "horizon": 3},
        "list_columns": {"path": str(tmp_path / "lists.jsonl"), "label": "kind", "channels": ["a"]},
        "csv_folder": {"path": str(tmp_path / "tables"), "channels": ["a"]},
        "conll": {"path": str(tmp_path / "rows.conll")},
        "ts": {"path": str(tmp_path / "rows.ts")},
        "text_stream": {"path": str(tmp_path / "rows.jsonl").replace(".jsonl", ".txt")},
        "huggingface": {"path": str(tmp_path / "none")},
        "csv_events": {"path": str(tmp_path / "long.csv"), "id": "s", "label": "kind", "events": ["a"]},
        "csv_text_pairs": {"path": str(tmp_path / "rows.jsonl"), "source": "text", "target": "label"},
        "aligned_texts": {"path": str(tmp_path / "rows.jsonl"), "target_path": str(tmp_path / "rows.jsonl")},
    }
    return readable(Dataset.members[request.param].Config.model_validate(required.get(request.param, {})).build())


@pytest.mark.parametrize(
    "dataset",
    [pytest.param(name, marks=[pytest.mark.slow] if name == "imdb" else []) for name in sorted(Dataset.members)],
    indirect=True,
)
def test_every_data_set_fulfils_the_contract(dataset):
    parts = [dataset.train, dataset.validation, dataset.test_split()]
    for part in parts:
        assert len(part) > 0
        batch = part.take(torch.tensor([len(part) - 1, 0]))
        assert batch.x.dtype == (torch.int64 if dataset.tokens else torch.float32)
        assert batch.lengths.dtype == torch.int64
        assert batch.lengths.min() >= 1
        channels = [] if dataset.tokens else [dataset.info.input_size]
        assert list(batch.x.shape) == [2, int(batch.lengths.max()), *channels]
        assert batch.x.isfinite().all()
        assert not dataset.tokens or batch.x.max() < dataset.info.input_size == len(dataset.info.tokens)
        alone = part.take(torch.tensor([0]))
        assert torch.equal(alone.x[0], batch.x[1, : alone.x.shape[1]])
        assert torch.equal(alone.y[0], batch.y[1] if batch.y.dim() == 1 else batch.y[1, : alone.y.shape[1]])
    assert dataset.digest == type(dataset).digest.func(dataset)
    hash(dataset.info)


def test_the_data_module_shuffles_training_batches_alone():
    module = SequenceDataModule(Toy(), batch_size=4, seed=5)
    train, validation = module.train_dataloader(), module.val_dataloader()
    assert (train.seed, train.batch_size, validation.seed) == (5, 4, None)
    batch = next(iter(validation))
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(batch, batch.to(torch.device("cpu")), strict=True))
