"""Encoder and decoder over tokens: laws of the model and of the search, and the way of a user's pairs of texts."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pytest
import torch

from lstm_lab.config import ConfigError
from lstm_lab.data.kinds.text_pairs import TextPairInfo
from lstm_lab.experiment import Experiment
from lstm_lab.models import Model
from lstm_lab.models.decoding import END, search
from lstm_lab.models.sites import StepKey, keyed_parts
from lstm_lab.tasks.translation.baselines import nearest_targets
from lstm_lab.tasks.translation.scores import text_scores

V_SOURCE, V_TARGET = 9, 7
X = torch.tensor([[2, 3, 4, 5, 6], [7, 8, 2, 0, 0], [4, 0, 0, 0, 0]])
LENGTHS = torch.tensor([5, 3, 1])
Y = torch.tensor([[2, 3, 4, 0], [5, 0, -1, -1], [6, 6, 0, -1]])
FORMS = {
    "general": {},
    "concat": {"attention": "concat"},
    "dot": {"attention": "dot", "bidirectional": False},
    "none": {"attention": None},
    "two layers": {"num_layers": 2},
    "gru": {"cell": "gru"},
    "tied": {"target_embedding": {"dim": 3, "tie_weights": True}},
}
STEPWISE = {
    "additive": {"attention": "additive"},
    "feeding": {"input_feeding": True},
    "coverage": {"attention": "concat", "coverage": True},
    "feeding and coverage": {"attention": "concat", "coverage": True, "input_feeding": True},
}


class Options(NamedTuple):
    beams: int = 1
    length_penalty: float = 1.0
    max_length: int = 6


class Target(NamedTuple):
    output_size: int = V_TARGET
    per_step: bool = False


def made(**choices):
    torch.manual_seed(0)
    content = {"name": "encoder_decoder", "embedding": {"dim": 4}, "target_embedding": {"dim": 3}, "hidden_size": 5}
    config = Model.members["encoder_decoder"].Config.model_validate({**content, **choices})
    model = config.build(TextPairInfo(V_SOURCE, "", ""), Target())
    with torch.no_grad():  # Larger weights than those of the start: a search must have something to choose.
        for parameter in model.parameters():
            parameter.mul_(3.0)
    return model.eval()


def stepwise(model, x, lengths, y):
    """`forward_target`, one step after another."""
    encoded, memory, start = model.read(x, lengths)
    tokens = torch.cat([torch.full_like(y[:, :1], END), y[:, :-1].clamp(min=0)], 1)
    return model._stepwise(tokens, None, encoded, memory, start)


def gradients(model, output, y):
    torch.nn.functional.cross_entropy(output.logits.flatten(0, 1), y.flatten(), ignore_index=-1).backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


# --- the model ---


@pytest.mark.parametrize("form", FORMS)
def test_all_steps_at_once_are_the_steps_one_by_one_with_gradients_as_in_float64(form):
    model, exact = made(**FORMS[form]), made(**FORMS[form]).double()
    assert model.is_parallel
    fast, slow = model.forward_target(X, LENGTHS, Y), stepwise(exact, X, LENGTHS, Y)
    valid = Y >= 0
    torch.testing.assert_close(fast.logits[valid].double(), slow.logits[valid], rtol=1e-4, atol=1e-5)
    found, wanted = gradients(model, fast, Y), gradients(exact, slow, Y)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name].double(), gradient, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("form", [*FORMS, *STEPWISE])
def test_padding_never_changes_an_answer(form):
    model = made(**{**FORMS, **STEPWISE}[form])
    together = model.forward_target(X, LENGTHS, Y)
    for row, (length, steps) in enumerate(zip(LENGTHS.tolist(), (Y >= 0).sum(1).tolist(), strict=True)):
        alone = model.forward_target(X[row : row + 1, :length], LENGTHS[row : row + 1], Y[row : row + 1, :steps])
        torch.testing.assert_close(together.logits[row, :steps], alone.logits[0], rtol=1e-4, atol=1e-5)
        if together.attention is not None:
            weights = together.attention[row, :steps]
            assert (weights[:, length:] == 0).all()
            torch.testing.assert_close(weights.sum(1), torch.ones(steps))


@pytest.mark.parametrize("form", ["general", *STEPWISE])
def test_a_search_of_width_1_takes_the_most_probable_token_of_each_step(form):
    model = made(**{**FORMS, **STEPWISE}[form])
    found = model.decode(X, LENGTHS, Options()).tokens
    for row, length in enumerate(LENGTHS.tolist()):
        written = torch.empty(1, 0, dtype=torch.int64)
        while written.shape[1] < 6 and END not in written:
            given = torch.cat([written, torch.zeros(1, 1, dtype=torch.int64)], 1)  # The last token is not read.
            logits = model.forward_target(X[row : row + 1, :length], LENGTHS[row : row + 1], given).logits[0, -1]
            logits[1] = -torch.inf
            written = torch.cat([written, logits.argmax().view(1, 1)], 1)
        assert found[row][found[row] >= 0].tolist() == written[0].tolist()


def test_a_wider_search_writes_no_less_probable_texts_whatever_is_beside_them():
    model = made()

    def likelihood(tokens):
        valid = tokens >= 0
        logits = model.forward_target(X, LENGTHS, tokens).logits
        logits[..., 1] = -torch.inf
        picked = logits.log_softmax(-1).gather(2, tokens.clamp(min=0).unsqueeze(2)).squeeze(2)
        return picked.where(valid, 0.0).sum(1)

    narrow, wide = (model.decode(X, LENGTHS, Options(beams, 0.0)).tokens for beams in (1, 40))
    assert (likelihood(wide) >= likelihood(narrow) - 1e-5).all()
    alone = model.decode(X[1:2, :3], LENGTHS[1:2], Options(40, 0.0)).tokens[0]
    assert alone.tolist() == wide[1][wide[1] >= 0].tolist()


def test_coverage_and_feeding_change_what_is_written_and_the_first_step_has_none():
    plain, covered = made(attention="concat"), made(attention="concat", coverage=True)
    covered.load_state_dict(plain.state_dict(), strict=False)
    a, b = (model.forward_target(X, LENGTHS, Y).logits for model in (plain, covered))
    torch.testing.assert_close(a[:, 0], b[:, 0])
    assert not torch.allclose(a[:, 2], b[:, 2])


def test_scheduled_sampling_reads_the_models_own_tokens_more_and_more_by_the_key_of_the_step():
    model = made(scheduled_sampling={"final": 0.8, "steps": 10}).train()

    def logits(step):
        for name, part in keyed_parts(model):
            part.begin_batch(StepKey(0, step), name)
        return model.forward_target(X, LENGTHS, Y).logits

    forced = logits(0)
    assert torch.equal(forced, model.eval().forward_target(X, LENGTHS, Y).logits)
    model.train()
    assert not torch.equal(logits(20), forced)
    assert torch.equal(logits(20), logits(20))
    for name, part in keyed_parts(model):
        part.begin_batch(StepKey(0, 5), name)
    read = torch.stack([model.sampling(torch.zeros(2000, 5)) for _ in range(2)]).float().mean()
    assert read == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"attention": "dot"}, "attention=dot compares outputs .* set bidirectional to false"),
        ({"coverage": True}, "coverage=true does nothing with attention=general: use additive or concat"),
        ({"attention": None, "input_feeding": True}, "input_feeding=true needs an attention"),
        ({"attention": "additive", "input_feeding": True}, "the cells read the context already"),
        ({"embedding": {"tie_weights": True}}, "set target_embedding.tie_weights"),
        ({"dropout": {"between": 0.1}}, "num_layers is 1"),
    ],
)
def test_choices_without_an_effect_are_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        made(**choices)


def test_task_and_model_must_both_write():
    data = {"name": "written_dates", "train_size": 20, "eval_size": 5}
    with pytest.raises(ConfigError, match=r"task 'translate' predicts texts, which model 'sequence' does not write"):
        Experiment.of({"data": data, "task": "translate"})
    with pytest.raises(ConfigError, match=r"'encoder_decoder' writes texts, which task 'next_step' does not predict"):
        Experiment.of({"data": {"name": "embedded_reber"}, "task": "next_step", "model": "encoder_decoder"})


# --- the search ---


class Table:
    """A model of 3 tokens after the beginning, with random probabilities for each."""

    def __init__(self, seed):
        self.seed, self.begun, self.is_first = seed, [[]], True

    def log_p(self, beginning):
        rng = np.random.default_rng((self.seed, len(beginning), *beginning))
        return torch.from_numpy(rng.normal(0, 1.5, 3)).log_softmax(0)

    def __call__(self, tokens, parents, kept):
        read = [self.begun[parent] for parent in parents.tolist()]
        last = [[] if self.is_first else [token] for token in tokens.flatten().tolist()]
        self.begun, self.is_first = [begun + token for begun, token in zip(read, last, strict=True)], False
        return torch.stack([self.log_p(each) for each in self.begun]).view(len(kept), -1, 3)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_wide_search_finds_what_trying_everything_finds(alpha, seed):
    length = 4

    def score(text):
        table = Table(seed)
        total = sum(float(table.log_p(list(text[:k]))[token]) for k, token in enumerate(text))
        return total / ((5 + len(text)) / 6) ** alpha

    texts = [text for k in range(1, length + 1) for text in itertools.product(range(3), repeat=k)
             if END not in text[:-1] and (text[-1] == END or k == length)]  # fmt: skip
    (found,) = search(Table(seed), 1, Options(100, alpha, length), torch.device("cpu"))
    assert tuple(found.tolist()) == max(texts, key=score)


# --- texts ---


def test_scores_of_texts_are_those_of_sacrebleu_with_its_signature():
    sacrebleu = pytest.importorskip("sacrebleu")
    written, targets = ["A man sits .", "Two dogs."], ["A man sits.", "Two dogs run."]
    scores, details = text_scores(written, targets)
    assert scores["bleu"] == pytest.approx(sacrebleu.corpus_bleu(written, [targets]).score)
    assert scores["chrf"] == pytest.approx(sacrebleu.corpus_chrf(written, [targets]).score)
    assert scores["exact_match"] == 0
    assert "nrefs:1|case:mixed" in details["notes"][0]


def test_without_sacrebleu_a_note_says_what_is_missing(monkeypatch):
    monkeypatch.setattr("lstm_lab.tasks.translation.scores.find_spec", lambda name: None)
    scores, details = text_scores(["a", "b"], ["a", "c"])
    assert scores == {"exact_match": 0.5}
    assert details["notes"] == ["BLEU and chrF need the package sacrebleu: pip install 'lstm-lab[translation]'"]


def test_the_nearest_source_lends_its_target():
    found = nearest_targets(["ein Hund", "eine Katze"], ["a dog", "a cat"], ["der Hund läuft", "Katzen"])
    assert found == ["a dog", "a cat"]


# --- the way of a user ---
