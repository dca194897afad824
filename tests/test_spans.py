"""CoNLL files, and spans of tags by the rules of conlleval and seqeval."""

from __future__ import annotations

import pytest
import torch

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.span_tags import mark_spans
from lstm_lab.experiment import Experiment
from lstm_lab.tasks.spans import SpanF1, spans_of
from lstm_lab.workflow import read_splits

# Expected by get_entities of seqeval 1.2.2, whose types and ends these are.
TAGGED = {
    "B-PER I-PER O B-LOC": {(0, 1, "PER"), (3, 3, "LOC")},
    "I-PER I-PER O": {(0, 1, "PER")},
    "B-PER B-PER I-LOC": {(0, 0, "PER"), (1, 1, "PER"), (2, 2, "LOC")},
    "B-A I-A E-A S-A": {(0, 2, "A"), (3, 3, "A")},
    "E-A I-A O S-A E-A": {(0, 0, "A"), (1, 1, "A"), (3, 3, "A"), (4, 4, "A")},
    "O O": set(),
    "B-x-y I-x-y": {(0, 1, "x-y")},
}


@pytest.mark.parametrize(("tags", "spans"), TAGGED.items())
def test_spans(tags, spans):
    assert spans_of(tags.split()) == spans


def test_f1_over_a_batch_leaves_out_steps_without_a_target():
    classes = ("B-A", "I-A", "O")
    y = torch.tensor([[0, 1, 2, 0], [0, -1, 1, -1]])
    predicted = torch.tensor([[0, 1, 0, 2], [0, 0, 1, 0]])
    metric = SpanF1(classes)
    metric.update(torch.nn.functional.one_hot(predicted, 3).float(), Batch(y, torch.tensor([4, 3]), y))
    assert float(metric.compute()) == pytest.approx(2 * 2 / (3 + 3))
    assert not mark_spans(["N", "O"])
    assert not mark_spans(["O"])


CONLL = "-DOCSTART- -X- O\n\nAnn NNP B-PER\nsees VB O\n\nBob NNP B-PER\nHill NNP I-PER\n.  . O\n\n"


def conll(path, text, **more):
    path.write_text(text)
    return Experiment.of({"data": {"name": "conll", "path": str(path), **more}, "task": "tag"})


def test_conll_files(tmp_path):
    experiment = conll(tmp_path / "train.txt", CONLL * 10, validation_path=str(tmp_path / "v.txt"),
                       test_path=str(tmp_path / "v.txt"))  # fmt: skip
    (tmp_path / "v.txt").write_text(CONLL)
    data = experiment.data.build()
    assert [words.tolist() for words in data.sequences[:2]] == [["Ann", "sees"], ["Bob", "Hill", "."]]
    assert data.classes == ("B-PER", "I-PER", "O")
    assert (len(data.train), len(data.validation)) == (20, 2)
    new = tmp_path / "new.txt"
    new.write_text("# a comment of some words\nAnn\nruns\n\nBob\n")
    keys = data.read_new(str(new), data.info).keys
    assert [[word for _, _, word in sentence] for sentence in keys] == [["Ann", "runs"], ["Bob"]]
    tabs = "1\tNew York\tNNP\tB-LOC\n2\tis\tVBZ\tO\n\n" * 10
    data = conll(tmp_path / "tabs.txt", "# text = New York is\n" + tabs, word_column=2, tag_column=4).data.build()
    assert data.sequences[0].tolist() == ["New York", "is"]


def test_what_is_wrong_in_a_conll_file_is_one_line(tmp_path):
    with pytest.raises(DataError, match="line 4: has 2 columns, where 3 are needed"):
        read_splits(conll(tmp_path / "a.txt", "Ann NNP B-PER\nsees VB O\nit PRP O\nwell O\n").data.build())
    with pytest.raises(DataError, match="has no sentence"):
        read_splits(conll(tmp_path / "b.txt", "-DOCSTART- O\n").data.build())
    with pytest.raises(DataError, match="line 1: column 1, that of the words, is empty"):
        read_splits(conll(tmp_path / "b.txt", "\tB-PER\n").data.build())
    with pytest.raises(ConfigError, match="tag_column=1 is the column of the words"):
        conll(tmp_path / "b.txt", CONLL, tag_column=1)


def test_span_f1_is_a_metric_where_tags_mark_spans(tmp_path):
    names = "".join(f"n{i} NNP {tag}\n{'and' if i % 3 else 'or'} CC O\n\n" for i in range(20) for tag in ["B-PER"])
    experiment = conll(tmp_path / "train.txt", CONLL * 4 + names)
    data = experiment.data.build()
    task = experiment.task.build(data.info)
    batch = data.train.take(torch.arange(4))
    metrics = task.metrics()
    right = torch.nn.functional.one_hot(batch.y.clamp(min=0), len(data.classes)).float()
    metrics.update(right, batch)
    assert float(metrics.compute()["span_f1"]) == 1.0
    assert metrics.details()["confusion"]["classes"] == ["B-PER", "I-PER", "O"]
    scores = task.baselines(data.train, data.validation)
    # Unknown words are names here. Spans that ran on over the ends of sentences would not count.
    assert scores["logistic regression, 3 steps"]["span_f1"] > 0.8
    chosen = experiment.with_overrides({"task.monitor": "span_f1"})
    assert (chosen.monitor, chosen.mode) == ("val/span_f1", "max")
    plain = conll(tmp_path / "pos.txt", CONLL * 4 + names, tag_column=2).with_overrides({"task.monitor": "span_f1"})
    with pytest.raises(ConfigError, match=r"task\.monitor: span_f1 needs tags of spans"):
        plain.task.build(plain.data.build().info)
