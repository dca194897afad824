"""Texts as a data set: splits without leaks, and that buckets, cache and truncation change no result."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import corpus, same

from lstm_lab.data.kinds.text_split import TextSplit
from lstm_lab.data.preprocessing.batching import LengthBuckets
from lstm_lab.data.preprocessing.splits import stratified_group_mask
from lstm_lab.data.preprocessing.tokenizer import UNKNOWN, Tokenizer
from lstm_lab.data.readers.cache import FORMAT, CacheEntry, cached, read_entry

each_tokenizer = pytest.mark.parametrize("name", sorted(Tokenizer.members))


# ---- truncation, padding, buckets ----

ragged = st.lists(st.integers(1, 30), min_size=1, max_size=60)


@given(lengths=ragged, max_length=st.integers(2, 12), keep=st.sampled_from(["head", "tail", "both"]), data=st.data())
def test_truncation_keeps_head_tail_or_both(lengths, max_length, keep, data):
    texts = [np.arange(1, length + 1) + 100 * i for i, length in enumerate(lengths)]
    sizes = np.array(lengths)
    split = TextSplit(
        torch.from_numpy(np.concatenate(texts).astype(np.int32)), sizes.cumsum() - sizes, sizes, np.arange(len(sizes)),
        max_length=max_length, keep=keep,
    )  # fmt: skip
    index = data.draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=8))
    batch = split.take(torch.tensor(index))
    head = {"head": max_length, "tail": 0, "both": max_length // 2}[keep]
    assert batch.x.dtype == torch.int64
    for x, length, label, i in zip(batch.x, batch.lengths.tolist(), batch.y.tolist(), index, strict=True):
        text = texts[i].tolist()
        kept_ = text if len(text) <= max_length else text[:head] + text[len(text) - (max_length - head) :]
        assert x[:length].tolist() == kept_
        assert (x[length:] == 0).all()
        assert label == i


@given(
    lengths=ragged, size=st.integers(1, 9), budget=st.none() | st.integers(1, 90), seed=st.none() | st.integers(0, 9)
)
def test_buckets_contain_every_sample_once_below_the_token_limit(lengths, size, budget, seed):
    plan, lengths = LengthBuckets(np.array(lengths), size, budget), np.array(lengths)
    for epoch in range(3):
        shuffle = None if seed is None else np.random.default_rng((seed, epoch))
        batches = plan.batches(shuffle)
        assert len(batches) == len(plan), "every epoch has as many batches"
        assert sorted(chain(*map(list, batches))) == list(range(len(lengths)))
        for index in batches:
            assert 1 <= len(index) <= size
            assert budget is None or len(index) == 1 or len(index) * lengths[index].max() <= budget


def test_buckets_reduce_padding_and_still_shuffle():
    lengths = np.random.default_rng(0).integers(1, 400, 5000)
    plan = LengthBuckets(lengths, 32)
    shuffled = np.random.default_rng(0).permutation(5000)
    padded = sum(len(index) * lengths[index].max() for index in np.array_split(shuffled, 157))
    assert plan.padding() < 0.1 < 1 - lengths.sum() / padded
    first, second = (plan.batches(np.random.default_rng((0, epoch))) for epoch in (0, 1))
    together = [frozenset(index.tolist()) for index in first]
    assert not set(together) & {frozenset(index.tolist()) for index in second}
    max_length = np.array([lengths[index].max() for index in first])
    assert abs(np.corrcoef(max_length[:-1], max_length[1:])[0, 1]) < 0.2, "short and long batches take turns"


# ---- a data set ----


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@each_tokenizer
def test_a_cache_hit_equals_a_miss(own_texts, cache, name):
    data = own_texts(tokenizer=name).data
    first = data.build()
    _ = first.info
    (place,) = cache.iterdir()
    made = place.stat().st_mtime_ns
    same(data.build(), first)
    assert place.stat().st_mtime_ns == made
    place.unlink()
    same(data.build(), first)


def test_every_configuration_and_every_content_has_its_own_cache_entry(own_texts, cache, tmp_path):
    for change in ({}, {"tokenizer": "bpe"}, {"tokenizer": {"name": "word", "vocab_size": 9}}, {"test": 0.3}):
        _ = own_texts(**change).data.build().info
    assert len(list(cache.iterdir())) == 4
    for change in ({"max_length": 5}, {"keep": "head"}, {"batch_size": 3}):  # texts are truncated after the cache
        _ = own_texts(**change).data.build().info
    assert len(list(cache.iterdir())) == 4
    before = own_texts().data.build().digest
    path = tmp_path / "own.jsonl"
    path.write_text(path.read_text().replace("great", "grand", 1))
    assert own_texts().data.build().digest != before
    assert len(list(cache.iterdir())) == 5


LAYOUT = {
    "csv_text": {"labels", "lengths", "splits", "tokens", "classes", "digest", "leaks", "tokenizer"},
    "japanese_vowels": {f"{part} {what}" for part in ("train", "test") for what in ("labels", "lengths", "values")},
    "split": {"train", "validation"},
}
"""Kind of entry -> names of its arrays and metadata. Where one of them changes, `cache.FORMAT` goes up by one."""


def test_an_entry_of_the_cache_has_the_layout_of_its_format(own_texts, cache, vowels):
    _ = own_texts().data.build().info, vowels.data.build().train
    found = {}
    for path in cache.iterdir():
        key, _, number = path.name.rpartition("-")
        assert number == str(FORMAT) == "3"
        entry = read_entry(path)
        found[key.partition("-")[0]] = {*entry.arrays, *entry.metadata}
    assert found == LAYOUT


@settings(max_examples=60)
@given(at=st.integers(0, 10**6), how=st.sampled_from(["cut", "flip", "empty", "junk"]))
def test_a_damaged_cache_entry_is_computed_again(tmp_path, at, how):
    made = []

    def make():
        made.append(1)
        return CacheEntry({"tokens": np.arange(50, dtype=np.int32)}, {"classes": ["a", "b"]})

    def read():
        arrays, metadata = cached("key", make)
        assert arrays["tokens"].tolist() == list(range(50))
        assert metadata == {"classes": ["a", "b"]}

    place = tmp_path / "cache" / f"key-{FORMAT}"
    read()
    content, count = place.read_bytes(), len(made)
    at %= len(content)
    torn = {"cut": content[:at], "flip": content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], "empty": b"",
            "junk": b"\x93NUMPY" + content}  # fmt: skip
    place.write_bytes(torn[how])
    read()
    assert len(made) == count + 1
    read()
    assert len(made) == count + 1
    assert [entry.name for entry in place.parent.iterdir()] == [place.name]


def test_a_cache_that_cannot_be_written_is_a_warning(own_texts, cache):
    cache.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="not cached .*set LSTM_LAB_CACHE"):
        assert own_texts().data.build().info.classes == ("no", "yes")


def test_the_vocabulary_is_fitted_on_the_training_split_alone(own_texts):
    data = own_texts().data.build()
    tokens = set(data.info.tokens)
    for split, seen in ((data.train, True), (data.validation, False), (data.test_split(), False)):
        own_words = [word for text in split.features() for word in text.split() if word.startswith("only")]
        assert all((word in tokens) == seen for word in own_words)
        batch = split.take(torch.arange(len(split)))
        assert bool((batch.x == UNKNOWN).any()) != seen


def test_splits_are_disjoint_stratified_and_cover_all(own_texts):
    data = own_texts().data.build()
    parts = [data.train, data.validation, data.test_split()]
    texts = [text for part in parts for text in part.features()]
    assert Counter(texts) == Counter(text for text, _ in corpus())
    assert [len(part) for part in parts] == [84, 12, 24]
    for part in parts:
        assert Counter(part.labels.tolist()) == {0: len(part) // 2, 1: len(part) // 2}
    for text, label in zip(data.train.features(), data.train.labels.tolist(), strict=True):
        assert dict(corpus())[text] == data.info.classes[label]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 25)), min_size=1, max_size=80), st.floats(0.05, 0.6))
def test_a_drawn_split_separates_no_group_and_has_its_fraction(rows, share):
    labels, groups = (np.array(column) for column in zip(*rows, strict=True))
    held = stratified_group_mask(labels, groups.tolist(), share)
    assert not set(groups[held]) & set(groups[~held])
    assert held.tolist() == stratified_group_mask(labels, groups.tolist(), share).tolist()
    alone = stratified_group_mask(np.repeat([0, 1, 2], [40, 20, 2]), range(62), 0.25)
    assert np.add.reduceat(alone, [0, 40, 60]).tolist() == [10, 5, 0]


def test_equal_texts_stay_in_one_split_and_leaks_are_noted(tmp_path, own_texts):
    twice = [(text, label) for text, label in corpus(40) for _ in range(3)]
    lines = [json.dumps({"text": t, "label": y, "split": "train"}) + "\n" for t, y in twice]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(lines))
    data = own_texts().data.build()
    assert not set(data.train.features()) & set(data.test_split().features())
    assert not [note for note in data.notes if "in the training split too" in note]
    path.write_text("".join(lines) + "".join(line.replace("train", "test") for line in lines[:9]))
    notes = own_texts(split="split").data.build().notes
    assert any(note.startswith("9 of the 9 test texts are in the training split too") for note in notes)


def test_groups_stay_in_one_split(tmp_path, own_texts):
    rows = [{"text": t, "label": y, "film": str(i // 6)} for i, (t, y) in enumerate(corpus())]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    film = {row["text"]: row["film"] for row in rows}
    data = own_texts(group="film").data.build()
    films = [{film[text] for text in part.features()} for part in (data.train, data.validation, data.test_split())]
    assert all(films)
    assert len(films[0] | films[1] | films[2]) == sum(map(len, films)) == 20
