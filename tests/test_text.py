"""Texts: what a tokenizer keeps, who may look at which part, and that buckets, cache and cuts change no answer."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from itertools import chain, islice

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import lstm_lab.__main__ as cli
from lstm_lab.config import ConfigError, DataError, Interrupted
from lstm_lab.data import Dataset
from lstm_lab.data.base import Loader
from lstm_lab.data.buckets import Buckets
from lstm_lab.data.cache import Kept, kept
from lstm_lab.data.files import locate
from lstm_lab.data.parts import cut, sort_out
from lstm_lab.data.sst import phrases_of
from lstm_lab.data.text import TextSplit
from lstm_lab.data.tokenizer import SPECIAL, UNKNOWN, Tokenizer, Vocabulary
from lstm_lab.data.vectors import read_vectors
from lstm_lab.evaluate import evaluate
from lstm_lab.experiment import Experiment
from lstm_lab.predict import predict
from lstm_lab.run import Run
from lstm_lab.train import train

CORPUS = ["The film was good, very good.", "A bad film!", "don't see this film", "see it; it was good fun"] * 2
LETTERS = st.text(st.sampled_from("abc ABC.,!é<>[]PADUNK0\n\t"), max_size=30)
without_clock = settings(deadline=None)  # a busy machine is no fault
each_tokenizer = pytest.mark.parametrize("name", sorted(Tokenizer.members))


def fit(name, texts=CORPUS, **choices):
    return Vocabulary(Tokenizer.members[name].Config(**choices).build().fit(texts))


FITTED = {name: fit(name, [*CORPUS, "abc ABC .,!é [ ] < > PADUNK0"] * 2) for name in sorted(Tokenizer.members)}

# ---- tokens ----


@each_tokenizer
@without_clock
@given(text=LETTERS)
@example(text="<A<A>>")
@example(text="a b, c!")
def test_encoding_is_one_to_one_up_to_the_normal_form(name, text):
    vocabulary = FITTED[name]
    tokens, lengths = vocabulary.encode([text])
    assert len(tokens) == lengths[0] >= 1
    assert tokens.min() > 0, "padding never comes out of a text"
    if name != "word":  # of words, only the spaces between them are lost
        assert vocabulary.decode(tokens) == vocabulary.normalise(text) or UNKNOWN in tokens
    decoded = vocabulary.decode(tokens)
    if UNKNOWN not in tokens and vocabulary.normalise(decoded) == decoded:  # <a<b>> leaves <a >, markup once more
        assert vocabulary.encode([decoded])[0].tolist() == tokens.tolist()


@without_clock
@given(texts=st.lists(st.text(max_size=20), max_size=6))
def test_byte_pairs_know_every_text_and_samples_never_see_each_other(texts):
    for name, vocabulary in FITTED.items():
        tokens, lengths = vocabulary.encode(texts)
        alone = [vocabulary.encode([text])[0] for text in texts]
        assert tokens.tolist() == [*chain(*alone)]
        assert lengths.tolist() == [*map(len, alone)]
        if name == "bpe":
            for text, numbers in zip(texts, alone, strict=True):
                normal = vocabulary.normalise(text)
                assert normal == "" or (UNKNOWN not in numbers and vocabulary.decode(numbers) == normal)


@each_tokenizer
def test_padding_and_unknown_come_first_and_no_text_spells_them(name):
    vocabulary = FITTED[name]
    assert vocabulary.tokens[:2] == SPECIAL
    assert len(set(vocabulary.tokens)) == len(vocabulary.tokens)
    tokens, _ = vocabulary.encode(["[PAD] good [PAD] [pad]"])
    assert 0 not in tokens
    assert len(tokens) > 4
    assert vocabulary.encode(["", " <br />\n"])[0].tolist() == [UNKNOWN, UNKNOWN]


@each_tokenizer
@pytest.mark.parametrize("size", [300, 305])
def test_the_vocabulary_is_no_larger_than_asked(name, size):
    texts = [" ".join(f"{chr(200 + i % 500)}{i % 700}" for i in range(3000))] * 2
    assert len(fit(name, texts, vocabulary=size).tokens) == size


def test_words_seen_once_are_unknown_and_the_most_frequent_stay():
    vocabulary = fit("word", ["a a a b b c c d"], vocabulary=4)
    assert vocabulary.tokens == (*SPECIAL, "a", "b")
    assert vocabulary.encode(["a b c d"])[0].tolist() == [2, 3, UNKNOWN, UNKNOWN]


def test_capitals_markup_and_forms_of_characters():
    texts = ["The <b>film</b><br />was", "THE ﬁlm   was"] * 2
    lower, upper = fit("word", texts), fit("word", texts, lower=False)
    assert lower.encode(texts[:1])[0].tolist() == lower.encode(texts[1:2])[0].tolist()
    assert upper.encode(["The"])[0].tolist() != upper.encode(["THE"])[0].tolist()
    assert lower.normalise("1 < 2 > 0, I <3 you") == "1 < 2 > 0, i <3 you"


# ---- length: cut, padded, in buckets ----

ragged = st.lists(st.integers(1, 30), min_size=1, max_size=60)


@without_clock
@given(lengths=ragged, longest=st.integers(2, 12), keep=st.sampled_from(["head", "tail", "both"]), data=st.data())
def test_cut_law(lengths, longest, keep, data):
    texts = [np.arange(1, length + 1) + 100 * i for i, length in enumerate(lengths)]
    sizes = np.array(lengths)
    split = TextSplit(
        torch.from_numpy(np.concatenate(texts).astype(np.int32)), sizes.cumsum() - sizes, sizes, np.arange(len(sizes)),
        longest=longest, keep=keep,
    )  # fmt: skip
    index = data.draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=8))
    batch = split.take(torch.tensor(index))
    head = {"head": longest, "tail": 0, "both": longest // 2}[keep]
    assert batch.x.dtype == torch.int64
    for x, length, label, i in zip(batch.x, batch.lengths.tolist(), batch.y.tolist(), index, strict=True):
        text = texts[i].tolist()
        kept_ = text if len(text) <= longest else text[:head] + text[len(text) - (longest - head) :]
        assert x[:length].tolist() == kept_
        assert (x[length:] == 0).all()
        assert label == i


@without_clock
@given(
    lengths=ragged, size=st.integers(1, 9), budget=st.none() | st.integers(1, 90), seed=st.none() | st.integers(0, 9)
)
def test_buckets_hold_every_sample_once_under_the_budget(lengths, size, budget, seed):
    plan, lengths = Buckets(np.array(lengths), size, budget), np.array(lengths)
    for epoch in range(3):
        shuffle = None if seed is None else np.random.default_rng((seed, epoch))
        batches = plan.batches(shuffle)
        assert len(batches) == len(plan), "every epoch has as many batches"
        assert sorted(chain(*map(list, batches))) == list(range(len(lengths)))
        for index in batches:
            assert 1 <= len(index) <= size
            assert budget is None or len(index) == 1 or len(index) * lengths[index].max() <= budget


def test_buckets_save_padding_and_still_mix():
    lengths = np.random.default_rng(0).integers(1, 400, 5000)
    plan = Buckets(lengths, 32)
    shuffled = np.random.default_rng(0).permutation(5000)
    padded = sum(len(index) * lengths[index].max() for index in np.array_split(shuffled, 157))
    assert plan.padding() < 0.1 < 1 - lengths.sum() / padded
    first, second = (plan.batches(np.random.default_rng((0, epoch))) for epoch in (0, 1))
    together = [frozenset(index.tolist()) for index in first]
    assert not set(together) & {frozenset(index.tolist()) for index in second}
    longest = np.array([lengths[index].max() for index in first])
    assert abs(np.corrcoef(longest[:-1], longest[1:])[0, 1]) < 0.2, "short and long batches take turns"


# ---- a data set ----


def corpus(n=120, seed=0):
    """Texts whose label is which of two words they hold; some words stand in one part only."""
    rng = np.random.default_rng(seed)
    words = np.array([f"w{i}" for i in range(40)])
    rows = []
    for i in range(n):
        label = ("no", "yes")[i % 2]
        filler = rng.choice(words, rng.integers(1, 20)).tolist()
        filler.insert(int(rng.integers(len(filler) + 1)), {"no": "awful", "yes": "great"}[label])
        rows.append((" ".join(filler) + f" only{i} only{i}", label))
    return rows


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A file of one's own, and what reads it: `own(tokenizer="bpe")`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.jsonl").write_text("".join(json.dumps({"text": t, "label": y}) + "\n" for t, y in corpus()))

    def experiment(**choices):
        return Experiment.of({
            "data": {"name": "csv_text", "path": "own.jsonl", "batch_size": 8, **choices},
            "task": "classify",
            "model": {"hidden_size": 6, "embedding": {"size": 8}, "pooling": "max"},
            "optimizer": {"lr": 0.03},
            "trainer": {"max_epochs": 3, "patience": None},
        })  # fmt: skip

    return experiment


def same(one, other):
    assert one.facts == other.facts
    assert one.digest == other.digest
    for part in ("train", "validation"):
        ours, theirs = (getattr(data, part).take(torch.arange(len(getattr(data, part)))) for data in (one, other))
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@each_tokenizer
def test_a_cache_hit_equals_a_miss(own, cache, name):
    data = own(tokenizer=name).data
    first = data.build()
    _ = first.facts
    (place,) = cache.iterdir()
    made = place.stat().st_mtime_ns
    same(data.build(), first)
    assert place.stat().st_mtime_ns == made
    place.unlink()
    same(data.build(), first)


def test_every_choice_and_every_byte_has_its_own_cache(own, cache, tmp_path):
    for change in ({}, {"tokenizer": "bpe"}, {"tokenizer": {"name": "word", "vocabulary": 9}}, {"test": 0.3}):
        _ = own(**change).data.build().facts
    assert len(list(cache.iterdir())) == 4
    for change in ({"longest": 5}, {"keep": "head"}, {"batch_size": 3}):  # what is cut is cut when it is read
        _ = own(**change).data.build().facts
    assert len(list(cache.iterdir())) == 4
    before = own().data.build().digest
    path = tmp_path / "own.jsonl"
    path.write_text(path.read_text().replace("great", "grand", 1))
    assert own().data.build().digest != before
    assert len(list(cache.iterdir())) == 5


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10**6), how=st.sampled_from(["cut", "flip", "empty", "junk"]))
def test_a_torn_cache_is_made_again(tmp_path, at, how):
    made = []

    def make():
        made.append(1)
        return Kept({"tokens": np.arange(50, dtype=np.int32)}, {"classes": ["a", "b"]})

    def read():
        arrays, plain = kept("key", make)
        assert arrays["tokens"].tolist() == list(range(50))
        assert plain == {"classes": ["a", "b"]}

    place = tmp_path / "cache" / "key"
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
    assert [entry.name for entry in place.parent.iterdir()] == ["key"]


def test_without_room_for_a_cache_it_works_and_says_so(own, cache):
    cache.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="not kept .*set LSTM_LAB_CACHE"):
        assert own().data.build().facts.classes == ("no", "yes")


def test_the_vocabulary_has_seen_the_training_part_alone(own):
    data = own().data.build()
    tokens = set(data.facts.tokens)
    for split, seen in ((data.train, True), (data.validation, False), (data.open_test(), False)):
        own_words = [word for text in split.features() for word in text.split() if word.startswith("only")]
        assert all((word in tokens) == seen for word in own_words)
        batch = split.take(torch.arange(len(split)))
        assert bool((batch.x == UNKNOWN).any()) != seen


def test_parts_are_disjoint_stratified_and_cover_all(own):
    data = own().data.build()
    parts = [data.train, data.validation, data.open_test()]
    texts = [text for part in parts for text in part.features()]
    assert Counter(texts) == Counter(text for text, _ in corpus())
    assert [len(part) for part in parts] == [84, 12, 24]
    for part in parts:
        assert Counter(part.labels.tolist()) == {0: len(part) // 2, 1: len(part) // 2}
    for text, label in zip(data.train.features(), data.train.labels.tolist(), strict=True):
        assert dict(corpus())[text] == data.facts.classes[label]


@without_clock
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 25)), min_size=1, max_size=80), st.floats(0.05, 0.6))
def test_a_cut_tears_no_group_apart_and_takes_its_share(rows, share):
    labels, groups = (np.array(column) for column in zip(*rows, strict=True))
    held = cut(labels, groups.tolist(), share)
    assert not set(groups[held]) & set(groups[~held])
    assert held.tolist() == cut(labels, groups.tolist(), share).tolist()
    alone = cut(np.repeat([0, 1, 2], [40, 20, 2]), range(62), 0.25)
    assert np.add.reduceat(alone, [0, 40, 60]).tolist() == [10, 5, 0]


def test_equal_texts_stay_together_and_what_leaks_is_said(tmp_path, own):
    twice = [(text, label) for text, label in corpus(40) for _ in range(3)]
    lines = [json.dumps({"text": t, "label": y, "split": "train"}) + "\n" for t, y in twice]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(lines))
    data = own().data.build()
    assert not set(data.train.features()) & set(data.open_test().features())
    assert not [note for note in data.notes if "stand in the training part" in note]
    path.write_text("".join(lines) + "".join(line.replace("train", "test") for line in lines[:9]))
    assert any(note.startswith("9 of the 9 test texts stand in the training") or "of the 9 test" in note
               for note in own(split="split").data.build().notes)  # fmt: skip


def test_groups_stay_together(tmp_path, own):
    rows = [{"text": t, "label": y, "film": str(i // 6)} for i, (t, y) in enumerate(corpus())]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    film = {row["text"]: row["film"] for row in rows}
    data = own(group="film").data.build()
    films = [{film[text] for text in part.features()} for part in (data.train, data.validation, data.open_test())]
    assert all(films)
    assert len(films[0] | films[1] | films[2]) == sum(map(len, films)) == 20


# ---- through model and training ----


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_neighbours_and_padding_never_change_the_answer_to_a_text(own, pooling):
    experiment = own().with_overrides({"model.pooling": pooling, "model.bidirectional": True})
    data = experiment.data.build()
    task = experiment.task.build(data.facts)
    torch.manual_seed(0)
    model = experiment.model.build(data.facts, task).double().eval()
    batch = data.train.take(torch.arange(12))
    together = model(batch.x, batch.lengths)
    longer = torch.cat([batch.x, torch.full((12, 9), 7)], 1)  # what stands in the padding is read by nobody
    longer[:, : batch.x.shape[1]][batch.x == 0] = 5
    torch.testing.assert_close(model(longer, batch.lengths), together, rtol=1e-9, atol=1e-12)
    for i in range(12):
        alone = data.train.take(torch.tensor([i]))
        torch.testing.assert_close(model(alone.x, alone.lengths), together[i : i + 1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("budget", [None, 80])
def test_resuming_inside_an_epoch_gives_the_remaining_batches(own, budget):
    split = own(longest=20, tokens_per_batch=budget).data.build().train
    order = lambda loader: [batch.x.tolist() for batch in loader]  # noqa: E731
    whole = order(Loader(split, 8, seed=3))
    assert len(whole) == len(Loader(split, 8, seed=3))
    for k in range(len(whole)):
        first, rest = Loader(split, 8, seed=3), Loader(split, 8, seed=3)
        seen = [batch.x.tolist() for batch in islice(first, k)]
        rest.load_state_dict(first.state_dict())
        assert seen + order(rest) == whole


class StopAt(threading.Event):
    def __init__(self, looks):
        self.looks = looks

    def is_set(self):
        self.looks -= 1
        return self.looks < 0


def test_a_resumed_run_equals_the_uninterrupted_one(own, tmp_path):
    experiment = own(tokens_per_batch=400).with_overrides({"model.embedding.dropout": 0.2})
    runs = [Run.create(tmp_path / name, experiment.dump(), command="", job_type="") for name in ("whole", "cut")]
    train(experiment, runs[0])
    with pytest.raises(Interrupted):
        train(experiment, runs[1], stop=StopAt(15))
    train(experiment, runs[1])
    rows = [[{key: row[key] for key in row if key != "seconds"} for row in run.rows()] for run in runs]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 3


@pytest.fixture
def trained(own, tmp_path):
    experiment = own(keep="both", longest=30).with_overrides({"trainer.max_epochs": 8})
    run = Run.create(tmp_path / "run", experiment.dump(), command="", job_type="")
    train(experiment, run)
    return run


def test_a_run_answers_new_texts_without_its_data(trained, tmp_path):
    scores = evaluate(trained, "test")
    assert scores.model["accuracy"] > 0.9
    assert set(scores.baselines) == {"majority class", "TF-IDF + logistic regression"}
    assert scores.baselines["majority class"]["accuracy"] == 0.5
    assert scores.baselines["TF-IDF + logistic regression"]["accuracy"] > 0.8
    (tmp_path / "own.jsonl").unlink()
    texts, labels = zip(*corpus(30, seed=9), strict=True)
    files = {
        "new.csv": "text,other\n" + "".join(f'"{text}",1\n' for text in texts),
        "new.jsonl": "".join(json.dumps({"text": text}) + "\n" for text in texts),
        "new.txt": "".join(f"{text}\n\n" for text in texts),
    }
    answers = []
    for name, content in files.items():
        (tmp_path / name).write_text(content)
        header, rows = predict(trained, tmp_path / name)
        assert header == ["text", "label"]
        assert [number for number, _ in rows] == list(range(1, 31))
        answers.append([label for _, label in rows])
    assert answers[0] == answers[1] == answers[2]
    assert np.mean(np.array(answers[0]) == labels) > 0.9


def test_a_run_on_shipped_numbers_takes_no_file(vowels, tmp_path):
    run = Run.create(tmp_path / "run", vowels.dump(), command="", job_type="")
    run.describe(data={"facts": {"input_size": 12, "classes": ["a"]}})
    with pytest.raises(
        ConfigError, match=r"japanese_vowels' takes no new samples.*csv, csv_sequences, csv_text, huggingface, imdb"
    ):
        predict(run, "new.csv")


# ---- a person's own files ----

ROWS = "".join(f"{text},{label}\n" for text, label in corpus(20))
LINES = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in corpus(20))
MALFORMED = {
    "no such file": ("none.csv", None, {}, "none.csv: no such file"),
    "empty": ("a.csv", "", {}, "is empty: it needs a header and one row for each text"),
    "header only": ("a.csv", "text,label\n", {}, "has a header but no rows"),
    "no text column": ("a.csv", "txt,label\na,b\n", {}, "line 1: no column 'text'; did you mean 'txt'?"),
    "two text columns": ("a.csv", "text,text,label\na,b,c\n", {}, "2 columns are named 'text'"),
    "ragged row": ("a.csv", "text,label\n" + ROWS + "oh, well,no\n", {}, "line 22, column 'label': the row has 3"),
    "open quote": ("a.csv", 'text,label\n"good,no\n', {}, "quotes do not close"),
    "empty text": ("a.csv", "text,label\n" + ROWS + ",no\n", {}, "line 22, column 'text': the text is empty (1 such"),
    "empty label": ("a.csv", "text,label\ngood,\n" + ROWS, {}, "line 2, column 'label': the label is empty"),
    "one class": ("a.csv", "text,label\n" + ROWS.replace(",no", ",yes"), {}, "has 1 class ('yes')"),
    "texts as labels": ("a.csv", "text,label\n" + ROWS, {"text": "label", "label": "text"}, "holds 20 classes for 20"),
    "too few": ("a.csv", "text,label\ngood,yes\nbad,no\n", {}, "2 texts leave none to the test"),
    "Latin-1": ("a.csv", b"text,label\ncaf\xe9,no\n", {}, "line 2: not UTF-8 text (byte 14 is 0xe9"),
    "Excel": ("a.csv", b"PK\x03\x04abc", {}, "a zip archive or an Excel sheet"),
    "no ending": ("a", "text,label\n" + ROWS, {}, "no ending says nothing of what is inside"),
    "text without labels": ("a.txt", "good\nbad\n", {}, "no column 'label'"),
    "no JSON": ("a.jsonl", LINES + "{'text': 1}\n", {}, "line 21: not JSON"),
    "JSON list": ("a.jsonl", LINES + '["a", "b"]\n', {}, "line 21: '[\"a\", \"b\"]' is not a JSON object"),
    "missing field": ("a.jsonl", LINES + '{"text": "a", "lab": 1}\n', {}, "line 21: no field 'label'; it has 'text'"),
    "null text": ("a.jsonl", LINES + '{"text": null, "label": 1}\n', {}, "line 21, column 'text': the text is empty"),
    "list for a text": ("a.jsonl", LINES + '{"text": ["a"], "label": 1}\n', {}, "is neither text nor a whole number"),
    "half a character": ("a.jsonl", LINES + '{"text": "\\ud800", "label": "no"}\n', {}, "half of a pair (\\ud800)"),
    "empty JSONL": ("a.jsonl", "\n\n", {}, "is empty: it needs one object a line"),
    "torn Parquet": ("a.parquet", b"PAR1torn", {}, "not a whole Parquet file"),
    "odd part": ("a.csv", "text,label,s\ngood,y,train\nbad,n,tset\n", {"split": "s"}, "column 's': 'tset' is no part"),
    "dead share": ("a.csv", "text,label,s\na,x,train\nb,y,test\n", {"split": "s", "test": 0.5}, "would do nothing"),
    "unlearnt class": ("a.csv", "text,label,s\na,x,train\nb,y,train\nc,z,test\n", {"split": "s"}, "class 'z' does not"),
    "a folder": ("folder.csv", {}, {}, "is a folder"),
}  # fmt: skip


def write(place, content):
    if isinstance(content, dict):
        place.mkdir()
        for name, inside in content.items():
            write(place / name, inside)
    elif content is not None:
        place.write_bytes(content if isinstance(content, bytes) else content.encode())


def fault_of(monkeypatch, capsys, tmp_path, data):
    """What the command line says to it: one line, exit code 3, nothing left behind."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    words = ["data=" + json.dumps(data), "task=classify"]
    (conf := tmp_path / "x.yaml").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["lstm-lab", "train", "x.yaml", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    conf.unlink()
    said = capsys.readouterr()
    assert ended.value.code == 3, said.err
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
    return said.err


@pytest.mark.parametrize(("name", "content", "choices", "said"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_file_is_one_line_with_place_value_and_way_out(
    monkeypatch, capsys, tmp_path, name, content, choices, said
):
    write(tmp_path / name, content)
    fault = fault_of(monkeypatch, capsys, tmp_path, {"name": "csv_text", "path": name, **choices})
    assert said in fault
    assert name in fault


FOLDERS = {
    "no such folder": (None, "no such folder: set data.path"),
    "a file": ("good", "is a file"),
    "nothing inside": ({}, "has no folders inside"),
    "a class without texts": ({"no": {"1.txt": "bad"}, "yes": {}}, "yes: holds no .txt file"),
    "an empty text": ({"no": {"1.txt": "bad"}, "yes": {"1.txt": " "}}, "1.txt: is empty: it needs the text"),
    "not UTF-8": ({"no": {"1.txt": b"\xe9"}, "yes": {"1.txt": "good"}}, "no/1.txt: line 1: not UTF-8"),
    "a test part alone": ({"test": {"no": {"1.txt": "bad"}, "yes": {"1.txt": "good"}}}, "none for train"),
}


@pytest.mark.parametrize(("content", "said"), FOLDERS.values(), ids=FOLDERS)
def test_a_malformed_folder_is_one_line(monkeypatch, capsys, tmp_path, content, said):
    write(tmp_path / "texts", content)
    assert said in fault_of(monkeypatch, capsys, tmp_path, {"name": "text_folder", "path": "texts"})


def test_every_form_of_the_same_texts_is_the_same_data(tmp_path, monkeypatch):
    import pandas as pd

    monkeypatch.chdir(tmp_path)
    rows = corpus(40)
    frame = pd.DataFrame(rows, columns=["text", "label"])
    frame.to_csv("a.csv", index=False)
    frame.to_csv("a.tsv", index=False, sep="\t")
    frame.to_csv("b.csv", index=False, sep=";")
    frame.to_json("a.jsonl", orient="records", lines=True)
    frame.to_parquet("a.parquet")
    build = lambda path, **choices: Dataset.members["csv_text"].Config(path=path, **choices).build()  # noqa: E731
    data = [build(path) for path in ("a.csv", "a.tsv", "a.jsonl", "a.parquet")] + [build("b.csv", separator=";")]
    for other in data[1:]:
        same(other, data[0])
    folder = {
        name: {f"{i:03}.txt": text for i, (text, label) in enumerate(rows) if label == name} for name in ("no", "yes")
    }
    write(tmp_path / "texts", folder)
    found = Dataset.members["text_folder"].Config(path="texts").build()
    assert found.facts.classes == data[0].facts.classes
    assert (len(found.train), len(found.validation)) == (len(data[0].train), len(data[0].validation))
    write(tmp_path / "parts", {"train": folder, "test": {"no": {"1.txt": "w1 awful"}, "yes": {"1.txt": "w1 great"}}})
    found = Dataset.members["text_folder"].Config(path="parts").build()
    assert (len(found.train), len(found.validation), len(found.open_test())) == (36, 4, 2)


def test_sets_of_hugging_face(tmp_path, monkeypatch):
    data = Dataset.members["huggingface"].Config(path=str(tmp_path / "set")).build()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "datasets", None)
        with pytest.raises(DataError, match="needs the package 'datasets': pip install datasets, or bring"):
            _ = data.facts
    hub = pytest.importorskip("datasets", reason="the package 'datasets' of Hugging Face is not installed")
    hub.disable_progress_bars()
    texts, labels = zip(*corpus(40), strict=True)
    kinds = hub.Features({"text": hub.Value("string"), "label": hub.ClassLabel(names=["no", "yes"])})
    rows = {"text": list(texts), "label": [["no", "yes"].index(label) for label in labels]}
    train = hub.Dataset.from_dict(rows, features=kinds)
    hub.DatasetDict({"train": train, "test": train.select(range(6)), "extra": train}).save_to_disk(tmp_path / "set")
    data = Dataset.members["huggingface"].Config(path=str(tmp_path / "set")).build()
    assert (len(data.train), len(data.validation), len(data.open_test())) == (36, 4, 6)
    known = dict(corpus(40))
    names = [data.facts.classes[label] for label in data.train.labels.tolist()]
    assert names == [known[text] for text in data.train.features()]
    train.save_to_disk(tmp_path / "alone")
    data = Dataset.members["huggingface"].Config(path=str(tmp_path / "alone")).build()
    assert (len(data.train), len(data.validation), len(data.open_test())) == (28, 4, 8)


DEAD = [
    ({"data": {"name": "csv_text", "path": "a.jsonl", "separator": ";"}}, "separator would do nothing"),
    ({"data": {"name": "csv_text", "path": "a.csv", "label": "text"}}, "'text' stands twice"),
    ({"data": {"name": "csv_text", "path": "a.csv", "test": 0.95}}, "leave nothing to train on"),
    ({"data": {"name": "csv_text", "path": "a.csv", "tokens_per_batch": 300}}, "no room for a text of longest=400"),
    ({"data": {"name": "sst", "tokenizer": "wrod"}}, "did you mean 'word'?"),
    ({"data": {"name": "sst", "tokenizer": {"name": "bpe", "vocabulary": 100}}}, "greater than or equal to 258"),
    ({"data": {"name": "sst", "longest": 1, "keep": "both"}}, "keep=both needs longest"),
    ({"data": {"name": "sst"}, "task": "forecast"}, "cannot be asked of data 'sst'"),
]


@pytest.mark.parametrize(("content", "said"), DEAD)
def test_choices_that_would_do_nothing_are_refused(content, said):
    with pytest.raises(ConfigError) as fault:
        Experiment.of({"task": "classify", **content})
    assert said in str(fault.value)


# ---- trained vectors ----


def test_vectors_are_where_training_begins_and_are_never_needed_again(own, tmp_path):
    rng = np.random.default_rng(0)
    known = {word: rng.normal(size=8).round(3) for word in ("great", "awful", "w1", "absent")}
    lines = ["4 8", *(f"{word} {' '.join(map(str, vector))}" for word, vector in known.items())]
    (tmp_path / "vectors.txt").write_text("\n".join(lines))
    experiment = own().with_overrides({"model.embedding.vectors": "vectors.txt", "optimizer.lr": 1e-9})
    run = Run.create(tmp_path / "run", experiment.dump(), command="", job_type="")
    train(experiment, run)
    assert run.about["vectors"] == {"file": "vectors.txt", "tokens": 3}
    weight = torch.load(run.best, weights_only=True)["state_dict"]["model.embedding.weight"]
    tokens = experiment.data.build().facts.tokens
    for number, token in enumerate(tokens):
        if token in known:
            np.testing.assert_allclose(weight[number], known[token], atol=1e-6)
    assert weight[0].abs().max() == 0
    others = [number for number, token in enumerate(tokens) if token not in known and number]
    assert 0 < weight[others].abs().max() <= 0.11
    (tmp_path / "vectors.txt").unlink()
    (tmp_path / "new.txt").write_text("w1 great\n")
    assert predict(run, "new.txt")[1][0][1] in ("no", "yes")
    assert evaluate(run, "validation").model


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("great 1 2 3\n", "line 1: a word and 3 numbers, but model.embedding.size is 2"),
        ("great 1 two\n", "line 1, word 'great': not all of it are finite numbers"),
        ("great 1 nan\n", "not all of it are finite"),
        ("other 1 2\n", "has a vector for none of the 2 tokens"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_malformed_vectors_are_one_line(tmp_path, content, said):
    write(tmp_path / "v.txt", content)
    with pytest.raises(DataError) as fault:
        read_vectors(str(tmp_path / "v.txt"), {"great", "bad"}, 2)
    assert said in str(fault.value)


# ---- real sets ----


def test_what_is_absent_says_where_it_comes_from(tmp_path, monkeypatch):
    monkeypatch.delenv("LSTM_LAB_DATA", raising=False)
    with pytest.raises(DataError, match=r"imdb.parquet.*Maas et al. 2011.*set LSTM_LAB_DATA"):
        _ = Dataset.members["imdb"].Config().build().facts
    monkeypatch.setenv("LSTM_LAB_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"sst_sentences.parquet: no such file.*Socher"):
        _ = Dataset.members["sst"].Config().build().facts
    (tmp_path / "a").write_text("a")
    assert locate("a", "x", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb") == tmp_path / "a"
    with pytest.raises(DataError, match="is not the published file"):
        locate("a", "x", "0" * 64)


def test_every_phrase_of_a_tree():
    tree = "(3 (2 It) (4 (2 's) (3 (2 2) (4 good))))"
    assert [*phrases_of(tree)] == [(2, "It"), (2, "'s"), (2, "2"), (4, "good"), (3, "2 good"), (4, "'s 2 good"),
                                  (3, "It 's 2 good")]  # fmt: skip


@pytest.mark.parametrize("phrases", [False, True])
@pytest.mark.parametrize("classes", [2, 5])
def test_a_treebank_judges_whole_sentences(tmp_path, monkeypatch, phrases, classes):
    import pandas as pd

    trees = [f"({i % 5} (4 great) ({i % 2} (2 film) (2 {name}{i})))" for i, name in enumerate(["a", "b"] * 30)]
    parts = ["train"] * 40 + ["validation"] * 10 + ["test"] * 10
    (tmp_path / "sst").mkdir()
    pd.DataFrame({"split": parts, "tree": trees}).to_parquet(tmp_path / "sst" / "sst_sentences.parquet")
    monkeypatch.setenv("LSTM_LAB_DATA", str(tmp_path))
    data = Dataset.members["sst"].Config(classes=classes, phrases=phrases).build()
    whole = [i for i in range(60) if classes == 5 or i % 5 != 2]
    assert data.validation.features() == [f"great film {'ab'[i % 2]}{i}" for i in whole if 40 <= i < 50]
    assert data.open_test().features() == [f"great film {'ab'[i % 2]}{i}" for i in whole if i >= 50]
    learnt = [f"great film {'ab'[i % 2]}{i}" for i in whole if i < 40]
    if phrases:
        assert set(learnt) < set(data.train.features())
        assert data.train.features().count("great") == 1
        assert "film b39" in data.train.features()
    else:
        assert data.train.features() == learnt
    labels = [data.facts.classes[label] for label in data.validation.labels.tolist()]
    degrees = ["very negative", "negative", "neutral", "positive", "very positive"]
    names = degrees if classes == 5 else ["negative", "negative", "", "positive", "positive"]
    assert [label.lstrip("01234 ") for label in labels] == [names[i % 5] for i in whole if 40 <= i < 50]


def published(name, **choices):
    data = Dataset.members[name].Config(**choices).build()
    try:
        data.files()
    except DataError as error:
        pytest.skip(str(error))
    return data


@pytest.mark.parametrize(
    ("name", "choices", "sizes", "classes"),
    [
        ("sst", {}, (6920, 872, 1821), 2),
        ("sst", {"classes": 5}, (8544, 1101, 2210), 5),
        ("sms_spam", {"tokenizer": "character"}, (3897, 553, 1124), 2),
        ("mr", {"tokenizer": "bpe"}, (7464, 1066, 2132), 2),
    ],
    ids=["sst", "sst five", "sms_spam", "mr"],
)
def test_published_sets_are_as_published(name, choices, sizes, classes):
    if isinstance(choices.get("tokenizer"), str):
        choices = {**choices, "tokenizer": Tokenizer.members[choices["tokenizer"]].Config()}
    data = published(name, **choices)
    assert (len(data.train), len(data.validation), len(data.open_test())) == sizes
    assert len(data.facts.classes) == classes
    assert set(data.train.labels.tolist()) == set(range(classes))


def test_films_stay_together():
    data = published("imdb")
    found = data.read()
    names, labels, parts = sort_out(found, data.shares)
    assert names == ["against", "for"]
    assert np.bincount(labels[parts == 2]).tolist() == [12500, 12500]
    assert not set(found.groups[parts == 0]) & set(found.groups[parts == 1])
    share = np.bincount(labels[parts == 1]) / 12500
    assert np.abs(share - 0.1).max() < 0.01
