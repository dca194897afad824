"""`data inspect` knows tagged words, pairs of texts, texts with a class and one long text apart, and reads what it
proposes."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.inspection import inspect
from lstm_lab.experiment import Experiment
from lstm_lab.workflow import read_splits

ROOTS = {
    "DET": ["the", "a"], "NOUN": ["dog", "cat", "bird", "horse", "house"], "VERB": ["runs", "sees", "eats", "finds"],
    "ADJ": ["big", "old", "red"], "ADV": ["quickly", "never"], "PROPN": ["Anna", "Bob"],
}  # fmt: skip
LEXICON = {root + end: tag for tag, roots in ROOTS.items() for root in roots for end in ("", "ish", "let")}
SPANS = {"Anna": "B-PER", "Bob": "I-PER"}
GERMAN = {word: word[::-1].capitalize() for word in LEXICON}
NAMES = [None, ("english", "german"), ("Source", "Target"), ("question", "answer")]
few = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))


def sentences(seed, n=60):
    rng = random.Random(seed)
    return [rng.choices([*LEXICON], k=rng.randint(3, 8)) for _ in range(n)]


def tagged(form, seed=0, n=60):
    """A file of tagged words in one of its forms; the tags of its words."""
    columns = {
        "words and tags": lambda i, word: (word, LEXICON[word]),
        "names": lambda i, word: (word, SPANS.get(word, "O")),
        "four columns": lambda i, word: (word, LEXICON[word], "B-NP", SPANS.get(word, "O")),
        "small tags": lambda i, word: (word, LEXICON[word].lower()),
        "counted": lambda i, word: (str(i), word, LEXICON[word]),
        "CoNLL-U": lambda i, word: (str(i), word, word, LEXICON[word], "_", "Number=Sing", "0", "root", "_", "_"),
    }[form]
    rows = [[columns(i, word) for i, word in enumerate(words, 1)] for words in sentences(seed, n)]
    return rows, [[row[3 if form == "CoNLL-U" else -1] for row in sentence] for sentence in rows]


def pair_lines(seed, n=60):
    pairs = dict.fromkeys(" ".join(words) for words in sentences(seed, n))
    return [(source, " ".join(GERMAN[word] for word in source.split())) for source in pairs]


FORMS = ["words and tags", "names", "four columns", "small tags", "counted", "CoNLL-U"]


@few
@given(st.integers(0, 10**6), st.sampled_from(FORMS), st.sampled_from("\t "), st.booleans(), st.booleans(),
       st.sampled_from(["a.txt", "train.conll", "a.tsv", "ner.bio", "tags"]))  # fmt: skip
def test_tagged_words_are_recognised_and_read(tmp_path, seed, form, mark, documents, blank_end, name):
    rows, tags = tagged(form, seed)
    text = "-DOCSTART- -X- O\n\n" * documents + ("# text = a remark\n" if form == "CoNLL-U" else "")
    text += "\n".join("".join(mark.join(row) + "\n" for row in sentence) for sentence in rows) + "\n" * blank_end
    (tmp_path / name).write_text(text)
    found = inspect(str(tmp_path / name))
    assert found.experiment["data"]["name"] == "conll"
    dataset = Experiment.of(found.experiment, name).data.build()
    assert [own.tolist() for own in dataset.step_labels] == tags
    assert [own.tolist() for own in dataset.sequences] == sentences(seed)
    monitor = "span_f1" if form in ("names", "four columns") else None
    assert (found.experiment["task"] == "tag") if monitor is None else found.experiment["task"]["monitor"] == monitor


@few
@given(st.integers(0, 10**6), st.sampled_from(NAMES),
       st.sampled_from(["p.csv", "p.tsv", "p.txt", "p.parquet", "p.jsonl"]), st.booleans())  # fmt: skip
def test_pairs_are_recognised_and_read(tmp_path, seed, names, name, remark):
    pairs, path = pair_lines(seed), tmp_path / name
    frame = pd.DataFrame(pairs, columns=list(names or "01"))
    if remark:
        frame["2"] = [f"CC-BY 2.0 attribution: #{i}" for i in range(len(frame))]
    header = names is not None
    if name.endswith(".parquet"):
        frame.to_parquet(path)
    elif name.endswith(".jsonl"):
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        frame.to_csv(path, index=False, sep="," if name.endswith(".csv") else "\t", header=header)
    found = inspect(str(path))
    assert found.experiment["data"]["name"] == "csv_text_pairs"
    read = Experiment.of(found.experiment, name).data.build().read()
    assert [*zip(read.texts, read.labels.tolist(), strict=True)] == pairs


@few
@given(st.integers(0, 10**6), st.sampled_from(["csv", "tsv", "txt"]), st.sampled_from(["one text", "two texts"]))
def test_texts_with_a_class_are_neither(tmp_path, seed, ending, texts):
    rng, mark = random.Random(seed), "," if ending == "csv" else "\t"
    pairs = pair_lines(seed)
    shown = [("label", "text")] if texts == "one text" or ending != "txt" else []
    rows = [(rng.choice(["good", "bad"]), *(pair if texts == "two texts" and ending != "txt" else pair[:1]))
            for pair in pairs]  # fmt: skip
    header = [(*shown[0], "title")[: len(rows[0])]] if shown else []
    (tmp_path / f"t.{ending}").write_text("".join(mark.join(row) + "\n" for row in [*header, *rows]))
    assert inspect(str(tmp_path / f"t.{ending}")).experiment["data"]["name"] == "csv_text"


@few
@given(st.integers(0, 10**6), st.integers(1, 6), st.booleans())
def test_a_long_text_is_neither(tmp_path, seed, stanza, even):
    lines = [" ".join(words[:3] if even else words) for words in sentences(seed)]
    text = "\n".join(line + "\n" * ((i + 1) % stanza == 0) for i, line in enumerate(lines))
    (tmp_path / "book.txt").write_text(text)
    assert inspect(str(tmp_path / "book.txt")).experiment["data"]["name"] == "text_stream"


def test_tables_of_numbers_and_of_names_are_neither(tmp_path):
    blocks = "\n".join("".join(f"{i} {np.sin(i / 4 + k):.3f}\n" for i in range(30 * k, 30 * k + 30)) for k in range(5))
    (tmp_path / "plot.txt").write_text(blocks)
    assert inspect(str(tmp_path / "plot.txt")).experiment["data"]["name"] == "csv"
    (tmp_path / "stations.txt").write_text("\n".join(f"north {i} {i * 1.5}\nsouth {i} {i * 2.5}\n" for i in range(40)))
    with pytest.raises(DataError, match="no column of times"):
        inspect(str(tmp_path / "stations.txt"))
    names = "".join(
        f"N{chr(97 + i % 26)}{chr(97 + i // 26)},City {chr(97 + i // 26)}{chr(97 + i % 26)}\n" for i in range(99)
    )
    (tmp_path / "people.csv").write_text(f"name,city\n{names}")
    with pytest.raises(DataError, match="neither numbers nor texts"):
        inspect(str(tmp_path / "people.csv"))


def write_sides(folder, names, seed=3, cut=(40, 50, 60)):
    pairs, start = pair_lines(seed, 80), 0
    for (one, other), end in zip(names, cut, strict=False):
        for side, name in enumerate((one, other)):
            (folder / name).write_text("".join(pair[side] + "\n" for pair in pairs[start:end]))
        start = end


@pytest.mark.parametrize(("one", "other"), [
    ("{}.en", "{}.de"), ("src-{}.txt", "tgt-{}.txt"), ("corpus.de-en.{}.en", "corpus.de-en.{}.de"),
    ("{}.source", "{}.target"), ("en.{}.txt", "de.{}.txt"),
])  # fmt: skip
def test_two_files_of_lines_are_pairs(tmp_path, one, other):
    write_sides(tmp_path, [(one.format(split), other.format(split)) for split in ("train", "val", "test")])
    found = inspect(str(tmp_path / one.format("train")))
    data = found.experiment["data"]
    assert (data["name"], Path(data["target_path"]).name) == ("aligned_texts", other.format("train"))
    assert Path(data["test_target_path"]).name == other.format("test")
    dataset = Experiment.of(found.experiment).data.build()
    assert [len(dataset.train), len(dataset.validation), len(dataset.test_split())] == [40, 10, 10]


def test_files_without_their_other_side(tmp_path):
    write_sides(tmp_path, [("train.en", "train.de")])
    (tmp_path / "train.fr").write_text("un chat\n")
    with pytest.raises(DataError, match=r"none of train.de, train.en has its 1 lines"):
        inspect(str(tmp_path / "train.fr"))
    (tmp_path / "train.fr").write_text((tmp_path / "train.de").read_text())
    with pytest.raises(DataError, match=r"2 files beside it have its lines.*train.de, train.fr.*target_path"):
        inspect(str(tmp_path / "train.en"))
    found = inspect(str(tmp_path / "train.en"), {"target_path": str(tmp_path / "train.fr")})
    assert found.experiment["data"]["target_path"].endswith("train.fr")


def test_a_folder_of_such_files_names_the_one_to_inspect(tmp_path):
    write_sides(tmp_path, [("train.en", "train.de")])
    with pytest.raises(DataError, match=r"train.de in it has one side of pairs of texts: inspect that file"):
        inspect(str(tmp_path))
    (tmp_path / "ner").mkdir()
    rows, _ = tagged("names")
    text = "\n".join("".join(" ".join(row) + "\n" for row in sentence) for sentence in rows)
    for split in ("train", "valid", "test"):
        (tmp_path / "ner" / f"{split}.txt").write_text(text)
    with pytest.raises(DataError, match=r"train.txt in it has tagged words: inspect that file"):
        inspect(str(tmp_path / "ner"))


def test_questions_that_only_a_person_can_answer_are_one_line(tmp_path):
    pairs = pair_lines(5)
    frame = pd.DataFrame(pairs, columns=["en", "de"]).assign(fr=[target for _, target in pairs])
    frame.to_csv(tmp_path / "three.csv", index=False)
    with pytest.raises(DataError, match=r"3 languages \(en, de, fr\): choose two by source=en target=de"):
        inspect(str(tmp_path / "three.csv"))
    data = inspect(str(tmp_path / "three.csv"), {"source": "fr", "target": "en"}).experiment["data"]
    assert (data["source"], data["target"]) == ("fr", "en")
    with pytest.raises(ConfigError, match="source=dutch"):
        inspect(str(tmp_path / "three.csv"), {"source": "dutch"})


def test_damaged_tagged_words_are_one_line(tmp_path):
    rows, _ = tagged("names")
    lines = "\n".join("".join(" ".join(row) + "\n" for row in sentence) for sentence in rows).split("\n")
    lines[7] = "word"
    (tmp_path / "a.conll").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"line 8: has 1 columns, where 2 are needed"):
        inspect(str(tmp_path / "a.conll"))
    (tmp_path / "b.conll").write_text("token ner\n" + "\n".join(lines[:7] + lines[8:]))
    assert "looks like names of columns" in " ".join(inspect(str(tmp_path / "b.conll")).warnings)


def test_proposed_tokens_of_targets_write_them_as_they_are(tmp_path):
    from lstm_lab.data.preprocessing.tokenizer import Vocabulary

    pairs = [(source, f"{target.capitalize()}, Anna! Ω{i}") for i, (source, target) in enumerate(pair_lines(7))]
    pd.DataFrame(pairs, columns=["source", "target"]).to_csv(tmp_path / "p.csv", index=False)
    data = Experiment.of(inspect(str(tmp_path / "p.csv")).experiment).data.build()
    read_splits(data)
    vocabulary = Vocabulary(data.info.target_tokenizer)
    for _, target in pairs:
        assert vocabulary.decode(vocabulary.encode([target])[0].tolist()) == target
