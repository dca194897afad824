"""Strings of formal languages: the strings, what the steps before determine, and a score of whole strings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from lstm_lab.config import ConfigError
from lstm_lab.data import Dataset
from lstm_lab.data.sources.formal_language import language_of
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.training.train import train


def made(**fields):
    return (
        Dataset.members["formal_language"].Config.model_validate({"train_size": 60, "eval_size": 30, **fields}).build()
    )


def written(data, row):
    return [data.info.tokens[number] for number in row.tolist()]


@pytest.mark.parametrize(("language", "letters"), [("anbn", "ab"), ("anbncn", "abc")])
def test_counting_strings_have_as_many_of_each_letter_in_order(language, letters):
    data = made(language=language, max_n=6, test_n=9)
    for split, sizes in (
        (data.raw.train, range(1, 7)),
        (data.raw.validation, range(1, 7)),
        (data.raw.test, range(7, 10)),
    ):
        found = set()
        for row in split.sequences:
            n = (len(row) - 1) // len(letters)
            assert "".join(written(data, row)) == "".join(letter * n for letter in letters) + "$"
            found.add(n)
        assert found == set(sizes)


def test_dyck_strings_are_balanced_and_use_every_kind():
    data = made(language="dyck", brackets=3, max_n=8, test_n=12)
    kinds = set()
    for row in (*data.raw.train.sequences, *data.raw.test.sequences):
        stack = []
        for mark, kind in written(data, row):
            kinds.add(kind)
            if mark == "(":
                stack.append(kind)
            else:
                assert stack.pop() == kind
        assert not stack
    assert kinds == {"a", "b", "c"}


@pytest.mark.parametrize(("language", "brackets"), [("anbn", 1), ("anbncn", 1), ("dyck", 1), ("dyck", 2)])
def test_what_is_determined_is_what_all_strings_with_the_same_beginning_agree_on(language, brackets):
    """By enumeration of all strings of up to four (Dyck: three) pairs: of the choices, one alone occurs."""
    rules = language_of(language, brackets)
    rng = np.random.default_rng(0)
    strings = {
        tuple(rules.string(n, rng).tolist()) for n in range(1, 5 if language != "dyck" else 4) for _ in range(400)
    }
    following = {}
    for string in strings:
        for t, symbol in enumerate(string):
            following.setdefault(string[:t], set()).add(symbol)
    for string in strings:
        choices = rules.choices(np.array(string))
        for t, symbol in enumerate(string):
            allowed = {int(k) for k in np.flatnonzero(choices[t])}
            if allowed:
                assert following[string[:t]] & allowed == {symbol}
            elif language != "dyck" and len(string) < max(map(len, strings)):
                assert t == 0 or len(following[string[:t]]) > 1


def test_a_string_counts_where_every_determined_symbol_is_right():
    data = made(language="dyck", brackets=2, max_n=4, test_n=5)
    task = Experiment.of({"data": {"name": "formal_language", "language": "dyck"}, "task": "next_symbol"}).task.build(
        data.info
    )
    batch = data.train.take(torch.arange(20))
    right = torch.nn.functional.one_hot(batch.y.clamp(min=0), 5).float()
    metrics = task.metrics()
    metrics.update(right, batch)
    assert metrics.compute()["whole_string"] == 1
    one_wrong = right.clone()
    step = int((batch.y[3] > 2).nonzero()[-1])  # The last closing bracket of a string becomes the other one.
    one_wrong[3, step] = torch.nn.functional.one_hot(7 - batch.y[3, step], 5).float()
    always_open = right.clone()
    always_open[..., 1] += 2  # An opening bracket is no wrong answer to which one closes.
    for logits, expected in ((one_wrong, 19 / 20), (always_open, 1.0)):
        metrics.reset()
        metrics.update(logits, batch)
        assert float(metrics.compute()["whole_string"]) == pytest.approx(expected)
    alone = [data.train.take(torch.tensor([i])) for i in range(20)]
    metrics.reset()
    for i, sample in enumerate(alone):
        metrics.update(one_wrong[i : i + 1, : int(sample.lengths)], sample)
    assert float(metrics.compute()["whole_string"]) == pytest.approx(19 / 20)


def test_a_run_scores_beside_baselines_that_cannot_count(tmp_path):
    data = {"name": "formal_language", "max_n": 8, "test_n": 10, "train_size": 60, "eval_size": 20}
    content = {"data": data, "task": "next_symbol", "model": {"hidden_size": 8}, "trainer": {"max_epochs": 1}}
    experiment = Experiment.of(content)
    train(experiment, Run.create(tmp_path / "run", experiment.dump()))
    dataset = experiment.data.build()
    task = experiment.task.build(dataset.info)
    baselines = task.baselines(dataset.train, dataset.test_split())
    assert {"unigram", "bigram", "5-gram"} <= set(baselines)
    assert all(scores["whole_string"] == 0 for scores in baselines.values())
    plain = Experiment.of({**content, "task": "next_step"}).task.build(dataset.info)
    others = plain.baselines(dataset.train, dataset.test_split())
    for name, scores in baselines.items():
        assert scores["nll"] == pytest.approx(others[name]["nll"], rel=1e-5)


def test_fields_without_effect_are_refused():
    for fields, message in (({"test_n": 50}, "not beyond max_n"), ({"brackets": 3}, "would do nothing")):
        with pytest.raises(ConfigError, match=message):
            Experiment.of({"data": {"name": "formal_language", **fields}, "task": "next_symbol"})


def test_strings_are_the_same_for_a_seed_and_differ_between_splits():
    first, again, other = made(seed=1), made(seed=1), made(seed=2)
    assert first.digest == again.digest != other.digest
    pairs = itertools.combinations([len(split) for split in (first.train, first.validation)], 2)
    assert [*pairs] == [(60, 30)]
