"""Conditional random fields over tags: sums and maxima against enumeration, padding, unknown tags, and a run."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from lstm_lab.config import ConfigError
from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.evaluation.predict import predict
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.tasks.chains import log_likelihood, log_marginals, log_partition, viterbi
from lstm_lab.tasks.tag_crf import TagCRF
from lstm_lab.training.train import train


def chain(T, K, seed, B=1):
    draw = torch.Generator().manual_seed(seed)
    sizes = (B, T, K), (B, T, K, K)
    return [2 * torch.randn(size, generator=draw, dtype=torch.float64) for size in sizes]


def by_enumeration(e, a):
    """Score of each sequence of tags (T,) of one chain (T, K), (T, K, K)."""
    T, K = e.shape
    return {
        y: float(sum(e[t, y[t]] for t in range(T)) + sum(a[t, y[t - 1], y[t]] for t in range(1, T)))
        for y in itertools.product(range(K), repeat=T)
    }


@given(T=st.integers(1, 4), K=st.integers(1, 3), seed=st.integers(0, 1000), data=st.data())
def test_sums_marginals_and_the_best_sequence_are_those_of_all_sequences(T, K, seed, data):
    e, a = chain(T, K, seed)
    lengths = torch.tensor([T])
    scores = by_enumeration(e[0], a[0])
    total = torch.tensor([*scores.values()], dtype=torch.float64).logsumexp(0)
    assert_close(log_partition(e, a, lengths)[0], total)
    assert tuple(viterbi(e, a, lengths)[0].tolist()) == max(scores, key=scores.get)
    marginals = torch.zeros(T, K, dtype=torch.float64)
    for y, score in scores.items():
        marginals[range(T), list(y)] += float(np.exp(score - float(total)))
    assert_close(log_marginals(e, a, lengths)[0].exp(), marginals)
    y = torch.tensor([data.draw(st.lists(st.integers(-1, K - 1), min_size=T, max_size=T))])
    agree = [s for z, s in scores.items() if all(k in (-1, j) for k, j in zip(y[0].tolist(), z, strict=True))]
    expected = torch.tensor(agree, dtype=torch.float64).logsumexp(0) - total
    assert_close(log_likelihood(e, a, lengths, y)[0], expected)


def test_the_gradient_is_marginals_minus_tags():
    e, a = chain(5, 3, 3)
    e.requires_grad_()
    y = torch.tensor([[0, 2, 1, 1, 0]])
    (gradient,) = torch.autograd.grad(-log_likelihood(e, a, torch.tensor([5]), y).sum(), e)
    marginals = log_marginals(e, a, torch.tensor([5])).exp()
    assert_close(gradient, marginals - torch.nn.functional.one_hot(y, 3))


def test_padding_changes_nothing_and_large_scores_stay_finite():
    task = TagCRF(LabelledInfo(1, ("O", "B-X", "I-X")), "span_f1")
    short, long = torch.randn(3, 12) * 300, torch.randn(6, 12) * 300
    padded = torch.full((2, 6, 12), float("nan"))
    padded[0, :3], padded[1] = short, long
    padded.requires_grad_()
    y = torch.tensor([[0, 1, 2, -1, -1, -1], [1, 2, 0, -1, 1, 1]])
    batch = Batch(torch.empty(0), torch.tensor([3, 6]), y)
    loss = task.loss(padded, batch)
    (gradient,) = torch.autograd.grad(loss, padded)
    assert loss.isfinite()
    assert (gradient[0, 3:] == 0).all()
    one, two = (Batch(torch.empty(0), torch.tensor([n]), row) for n, row in ((3, y[:1, :3]), (6, y[1:])))
    assert_close(loss * 8, task.loss(short[None], one) * 3 + task.loss(long[None], two) * 5)
    rows = task.predictions(padded.detach().nan_to_num(7.0), batch)
    assert [row[0] for row in rows[0]] == [row[0] for row in task.predictions(short[None])[0]]
    assert all(sum(row[1:]) == pytest.approx(1) for row in rows[0] + rows[1])
    whole, apart = task.metrics(), task.metrics()
    whole.update(padded.detach().nan_to_num(7.0), batch)
    for logits, part in ((short, one), (long, two)):
        apart.update(logits[None], part)
    for name, value in whole.compute().items():
        assert_close(value, apart.compute()[name])


NAMES = ["ada", "kurt", "emmy", "alan"]


def write_names(n=80, seed=0):
    """Names of two words, people and places alike: the word before tells which."""
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(n):
        first, second = rng.choice(NAMES, 2)
        kind = str(rng.choice(["PER", "LOC"]))
        lines += [f"{'mr' if kind == 'PER' else 'in'} O", f"{first} B-{kind}", f"{second} I-{kind}", "said O", ""]
    Path("names.conll").write_text("\n".join(lines))


def test_a_run_finds_spans_that_begin_and_end_as_they_must(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_names()
    content = {"data": {"name": "conll", "path": "names.conll"}, "task": {"name": "tag_crf", "monitor": "loss"},
               "model": {"hidden_size": 8, "embedding": {"dim": 8}}, "optimizer": {"lr": 0.05},
               "trainer": {"max_epochs": 15}}  # fmt: skip
    experiment = Experiment.of(content)
    run = Run.create(tmp_path / "run", experiment.dump())
    train(experiment, run)
    scores = evaluate(run, "test")
    assert scores.model["span_f1"] == 1.0
    assert scores.baselines["most frequent label"]["span_f1"] == 0
    Path("new.conll").write_text("in\nemmy\nada\nsaid\n")
    assert [row[3] for row in predict(run, "new.conll").rows] == ["O", "B-LOC", "I-LOC", "O"]


def test_spans_need_tags_of_spans():
    with pytest.raises(ConfigError, match="span_f1 needs tags of spans"):
        TagCRF(LabelledInfo(1, ("NOUN", "VERB")), "span_f1")
