"""Pairs of texts of a user, from their files to what is written for new ones."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
import torch

from lstm_lab.config import DataError
from lstm_lab.data import Dataset

WORDS = {"eins": "one", "zwei": "two", "drei": "three", "vier": "four", "fünf": "five"}


@pytest.fixture
def pairs(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["de\ten"]
    for _ in range(60):
        words = rng.choice([*WORDS], size=rng.integers(1, 4))
        lines.append(f"{' '.join(words)}\t{' '.join(WORDS[word] for word in words)}")
    (tmp_path / "numbers.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    (tmp_path / "numbers.yaml").write_text(
        "data: {name: csv_text_pairs, path: numbers.tsv, source: de, target: en, batch_size: 16}\n"
        "task: {name: translate, search: {beams: 2, max_length: 8}}\n"
        "model: {name: encoder_decoder, embedding: {dim: 8}, target_embedding: {dim: 8}, hidden_size: 16}\n"
        "optimizer: {lr: 0.02}\ntrainer: {max_epochs: 2, patience: null}\n"
    )
    return tmp_path


def test_a_run_translates_the_lines_of_a_file_a_table_and_standard_input(pairs, lab, monkeypatch):
    code, out, err = lab("train", "numbers.yaml")
    assert code == 0, err
    assert "target of the nearest training source (TF-IDF)" in out
    run = next((pairs / "runs").iterdir())
    (pairs / "new.txt").write_text("zwei eins\nfünf\n", "utf-8")
    code, out, _ = lab("predict", str(run), "new.txt")
    assert code == 0
    header, *rows = out.splitlines()
    assert header == "text,translation"
    assert [row.split(",")[0] for row in rows] == ["1", "2"]
    monkeypatch.setattr("sys.stdin", io.StringIO("zwei eins\n\nfünf\n"))
    assert lab("predict", str(run), "-")[1] == out
    (pairs / "new.csv").write_text("de\nzwei eins\nfünf\n", "utf-8")
    assert lab("predict", str(run), "new.csv")[1] == out
    examples = json.loads((run / "examples.json").read_text())
    assert examples["kind"] == "translations"
    assert len(examples["translations"]) == 7
    first = examples["attention"][0]
    assert all(math.isclose(sum(row), 1, abs_tol=1e-4) for row in first["weights"])
    assert "Attention while the text" in (run / "report.html").read_text()
    code, _, err = lab("predict", str(run), "new.txt", "--samples", "5")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "of which there is no mean" in err


def test_targets_are_fitted_on_the_training_split_and_end_where_they_are_whole(pairs):
    config = Dataset.members["csv_text_pairs"].Config(path=str(pairs / "numbers.tsv"), source="de", target="en",
                                                      max_length=2)  # fmt: skip
    data = config.build()
    batch, texts = data.train.take(torch.arange(len(data.train))), data.train.target_texts()
    for row, text in zip(batch.y.tolist(), texts, strict=True):
        words = text.split()
        kept = [number for number in row if number > 0]
        assert data.info.target_vocabulary.decode(kept).split() == words[:2]
        assert (0 in row) == (len(words) <= 2)
        assert row[len(kept) :] == ([0] if len(words) <= 2 else []) + [-1] * (len(row) - len(kept) - (len(words) <= 2))
    assert any("training targets are longer than max_length=2" in note for note in data.notes)
    other = (pairs / "numbers.tsv").read_text("utf-8").replace("one", "uno")
    (pairs / "other.tsv").write_text(other, "utf-8")
    assert config.model_copy(update={"path": str(pairs / "other.tsv")}).build().digest != data.digest


def test_targets_that_their_tokens_cannot_write_are_noted_before_exact_matches_are_counted(pairs):
    path = pairs / "numbers.tsv"
    config = Dataset.members["csv_text_pairs"].Config(path=str(path), source="de", target="en")
    assert not any("cannot be written" in note for note in config.build().notes)
    path.write_text(path.read_text("utf-8").replace("one", "One"), "utf-8")
    data = config.build()
    cased = sum("One" in text for text in data.validation.target_texts()) / len(data.validation)
    found = [note for note in data.notes if "cannot be written" in note]
    assert len(found) == 1
    assert found[0].startswith(f"{cased:.1%} of the validation targets cannot be written with their tokens: '")
    assert "choose another data.target_tokenizer" in found[0]


def test_two_aligned_files_are_the_two_columns_of_a_table(pairs):
    rows = [line.split("\t") for line in (pairs / "numbers.tsv").read_text("utf-8").splitlines()[1:]]
    for number, name in enumerate(("text.de", "text.en")):
        (pairs / name).write_text("\n".join(row[number] for row in rows) + "\n", "utf-8")
    members = Dataset.members
    aligned_files = {"path": str(pairs / "text.de"), "target_path": str(pairs / "text.en")}
    aligned = members["aligned_texts"].Config(**aligned_files).build()
    table = members["csv_text_pairs"].Config(path=str(pairs / "numbers.tsv"), source="de", target="en").build()
    assert (aligned.train.texts(), aligned.train.target_texts()) == (table.train.texts(), table.train.target_texts())
    (pairs / "text.en").write_text("one\n")
    with pytest.raises(DataError, match=r"text.de has 60 lines and .*text.en has 1: line n of one must belong"):
        _ = members["aligned_texts"].Config(**aligned_files).build().train
    with pytest.raises(ValueError, match="validation_path needs validation_target_path"):
        members["aligned_texts"].Config(path="a", target_path="b", validation_path="c")
