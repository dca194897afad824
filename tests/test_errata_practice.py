"""Errata 3, 4, 6, 7, 8 and 10 of docs/lstm.md, on data, code and training: what is printed fails, what we say holds."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from reference_lstm import DOC, EXACT, as_cell, draw, some_weights
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from lstm_lab import kernels
from lstm_lab.cells.base import unroll as step_by_step
from lstm_lab.cells.lstm import LSTM
from lstm_lab.config import ConfigError
from lstm_lab.data.kinds.labelled import LabelledData
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.models.encoder import Encoder
from lstm_lab.records.run import MEASURED, Run
from lstm_lab.training.train import train

# ---- 3. Batch size and speed ----


def test_3_smaller_batches_take_more_steps_for_the_same_arithmetic(tmp_path, vowels):
    steps = {}
    for size in (64, 16):
        experiment = vowels.with_overrides({"data.batch_size": size, "trainer.max_epochs": 1})
        run = Run.create(tmp_path / str(size), experiment.dump(), command="test", job_type="train")
        train(experiment, run)
        steps[size] = run.rows()[-1]["step"]
    n = len(vowels.data.build().train)
    assert steps == {64: -(-n // 64), 16: -(-n // 16)}
    assert steps[16] > 3 * steps[64]

    def cost(size):
        """Multiplications of matrices in one epoch of 64 samples: how many, and their operations in all."""
        cell, x = as_cell(some_weights()), draw(64, 5, 3)
        with FlopCounterMode(display=False) as counter, CountCalls() as calls:
            for part in x.split(size):
                step_by_step(cell.step, part, torch.full((size,), 5), cell.initial_state(part))[0].sum().backward()
        return calls.mm, counter.get_total_flops()

    (few, work), (many, same_work) = cost(64), cost(8)
    assert same_work == work
    assert many == 8 * few


class CountCalls(torch.utils._python_dispatch.TorchDispatchMode):
    mm = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.mm += func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm)
        return func(*args, **(kwargs or {}))


# ---- 4. Validation on the test part ----


def rows_with(experiment, run_path, noise, validate_on_test):
    """The record of a short training, with the test part as it is or replaced by noise."""
    data = experiment.data.build()
    (sequences, labels), parts = data.data.test, data.data
    if noise:
        chance = np.random.default_rng(0)
        sequences = [chance.normal(size=s.shape).astype(np.float32) for s in sequences]
        data.__dict__["data"] = LabelledData(train=parts.train, test=(sequences, labels))
    if validate_on_test:
        data.__dict__["validation"] = data.test_split()
    run = Run.create(run_path, experiment.dump(), command="test", job_type="train")
    train(experiment, run, dataset=data)
    return [{k: v for k, v in row.items() if k not in MEASURED} for row in run.rows()]


def test_4_validating_on_test_leaks_and_a_run_here_never_opens_it(tmp_path, vowels, monkeypatch):
    short = vowels.with_overrides({"trainer.max_epochs": 2})
    leaky = [rows_with(short, tmp_path / f"leaky{noise}", noise, True) for noise in (False, True)]
    assert leaky[0] != leaky[1]  # what decides the checkpoint knows the test part
    sealed = [rows_with(short, tmp_path / f"sealed{noise}", noise, False) for noise in (False, True)]
    assert sealed[0] == sealed[1]

    owner, opened = type(short.data.build()), []
    test_split = owner.test_split
    monkeypatch.setattr(owner, "test_split", lambda data: opened.append(data) or test_split(data))
    run = Run.create(tmp_path / "run", short.dump(), command="test", job_type="train")
    train(short, run)
    assert (len(opened), len(run.test_evaluations())) == (0, 0)
    evaluate(run)
    assert (len(opened), len(run.test_evaluations())) == (1, 1)


def test_4_the_best_of_many_on_test_promises_what_nothing_can_keep():
    """200 models that toss coins, 100 questions: the best of them has no skill at all."""
    coins = np.random.default_rng(0)
    answers, guesses = coins.integers(0, 2, 200), coins.integers(0, 2, (200, 200))
    right = guesses == answers
    validation, test = right[:, :100].mean(1), right[:, 100:].mean(1)
    assert test.max() > 0.6  # chosen and reported on the same part
    assert abs(test[validation.argmax()] - 0.5) < 0.1  # chosen on one part, reported on another


# ---- 6. Code that does not run, dropout that does nothing ----

AS_PRINTED = """
import torch.nn as nn

class LSTMModel(nn.Module):
    def __init__(self, input_size, hidden_size, num_layers, dropout=0.5):
        super(LSTMModel, self).__init__()
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.lstm = nn.LSTM(input_size, hidden_size, num_layers, batch_first=True, dropout=dropout)
        self.fc = nn.Linear(hidden_size, output_size)

    def forward(self, x):
        h0 = torch.zeros(self.num_layers, x.size(0), self.hidden_size).to(x.device)
        c0 = torch.zeros(self.num_layers, x.size(0), self.hidden_size).to(x.device)
        out, _ = self.lstm(x, (h0, c0))
        out = self.fc(out[:, -1, :])
        return out
"""


def test_6_printed_model_has_two_undefined_names():
    def model(source):
        room = {"__name__": "printed"}
        exec(source, room)
        return room["LSTMModel"](3, 4, 2)

    with pytest.raises(NameError, match="output_size"):
        model(AS_PRINTED)
    with_size = AS_PRINTED.replace("dropout=0.5):", "dropout=0.5, output_size=1):")
    with pytest.raises(NameError, match="torch"):
        model(with_size)(torch.zeros(5, 7, 3))
    assert model("import torch\n" + with_size)(torch.zeros(5, 7, 3)).shape == (5, 1)


def test_6_dropout_between_layers_needs_two_of_them(vowels):
    x = draw(4, 7, 3)

    def differ(layer):
        torch.manual_seed(0)
        return float((layer(x)[0] - layer(x)[0]).detach().abs().max())

    with pytest.warns(UserWarning, match="num_layers greater than 1"):
        single = nn.LSTM(3, 4, 1, batch_first=True, dropout=0.5).double().train()
    assert differ(single) == 0.0
    assert differ(nn.LSTM(3, 4, 2, batch_first=True, dropout=0.5).double().train()) > 1e-3
    with pytest.raises(ConfigError, match="would do nothing"):
        vowels.with_overrides({"model.dropout": {"between": 0.5}})
    live = vowels.with_overrides({"model.dropout": {"output": 0.5}})
    model = (
        live.model.build(SimpleNamespace(input_size=3), SimpleNamespace(output_size=5, per_step=False)).double().train()
    )
    assert live.model.num_layers == 1
    assert (model(x, torch.full((4,), 7)).logits - model(x, torch.full((4,), 7)).logits).abs().max() > 1e-3


# ---- 7. The last column is not the last step ----


def both_ways(layer):
    """An encoder of the house with the weights of a one-layer, two-way nn.LSTM."""
    encoder = Encoder(LSTM.Config(), input_size=3, hidden_size=4, bidirectional=True).double()
    for cell, suffix in zip(encoder.layers[0], ("", "_reverse"), strict=True):
        cell.layer.load_state_dict({name: getattr(layer, name + suffix) for name in cell.layer.state_dict()})
    return encoder


def test_7_last_column_reads_padding():
    torch.manual_seed(0)
    layer = nn.LSTM(3, 4, batch_first=True).double()
    samples = [draw(n, 3, seed=n) for n in (2, 7, 4)]
    lengths = torch.tensor([2, 7, 4])
    x = pad_sequence(samples, batch_first=True)
    alone = torch.stack([layer(sample)[0][-1] for sample in samples])
    wrong = (layer(x)[0][:, -1] - alone).abs().amax(1)
    assert bool((wrong[[0, 2]] > 1e-2).all())
    assert wrong[1] < 1e-10  # the longest sample has no padding
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    assert_close(layer(packed)[1][0][0], alone, **EXACT)
    encoder = Encoder(LSTM.Config(), input_size=3, hidden_size=4).double()
    encoder.layers[0][0].layer.load_state_dict(layer.state_dict())
    assert_close(encoder(x, lengths).final, alone, **EXACT)


def test_7_last_column_of_two_directions_holds_half_of_the_answer():
    torch.manual_seed(0)
    layer, x = nn.LSTM(3, 4, batch_first=True, bidirectional=True).double(), draw(2, 7, 3).requires_grad_()
    out, (h_n, _) = layer(x)
    (read,) = torch.autograd.grad(out[:, -1, 4:].sum(), x, retain_graph=True)
    assert torch.count_nonzero(read[:, :-1]) == 0  # the backward direction has read one step of seven
    (read,) = torch.autograd.grad(h_n[1].sum(), x)
    assert bool((read.abs().amax(2) > 0).all())
    assert_close(h_n[1], out[:, 0, 4:], **EXACT)
    assert_close(both_ways(layer)(x, torch.tensor([7, 7])).final, torch.cat([h_n[0], h_n[1]], 1), **EXACT)


# ---- 8. A vocabulary from (label, text) pairs ----

REVIEWS = [(1, "A fine film"), (2, "A dull , dull film indeed")]


def basic_english(line):
    return line.lower().split()


def build_vocabulary(token_lists, specials):
    """What the printed library call does: specials first, then words by falling count."""
    counts = Counter(token for tokens in token_lists for token in tokens)
    return {word: k for k, word in enumerate([*specials, *sorted(counts, key=lambda w: (-counts[w], w))])}


def test_8_vocabulary_over_pairs_crashes_and_lacks_a_padding_word():
    with pytest.raises(AttributeError, match="'tuple' object has no attribute 'lower'"):
        build_vocabulary(map(basic_english, REVIEWS), ["<unk>"])
    texts = [basic_english(text) for _, text in REVIEWS]
    vocabulary = build_vocabulary(texts, ["<unk>"])
    ids = [torch.tensor([vocabulary.get(word, vocabulary["<unk>"]) for word in text]) for text in texts]
    with pytest.raises(RuntimeError, match="equal size"):
        torch.stack(ids)
    # Padded with 0 all the same, three unknown words and three steps of padding are one and the same.
    unknown = torch.cat([ids[0], torch.tensor([vocabulary["<unk>"]] * 3)])
    assert torch.equal(pad_sequence(ids, batch_first=True)[0], unknown)
    vocabulary = build_vocabulary(texts, ["<pad>", "<unk>"])
    ids = [torch.tensor([vocabulary.get(word, vocabulary["<unk>"]) for word in [*text, "unheard"]]) for text in texts]
    padded = pad_sequence(ids, batch_first=True, padding_value=vocabulary["<pad>"])
    assert torch.equal((padded != vocabulary["<pad>"]).sum(1), torch.tensor([4, 7]))


# ---- 10. The order of the gates ----


class PrintedCell(nn.Module):
    """The cell as printed: gates in the order f, i, g, o, and a bias in each of two linear maps."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.W_x, self.W_h = nn.Linear(input_size, 4 * hidden_size), nn.Linear(hidden_size, 4 * hidden_size)

    def forward(self, x, hidden_state):
        h_prev, c_prev = hidden_state
        f, i, g, o = torch.chunk(self.W_x(x) + self.W_h(h_prev), 4, dim=1)
        c = torch.sigmoid(f) * c_prev + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)


def permuted(value):
    """f, i, g, o <-> i, f, g, o: the swap of the first two blocks is its own inverse."""
    first, second, g, o = value.chunk(4)
    return torch.cat([second, first, g, o])


def test_10_gate_order_needs_a_permutation_both_ways():
    torch.manual_seed(0)
    cell, x = PrintedCell(3, 4).double(), draw(2, 6, 3)
    theirs = (cell.W_x.weight, cell.W_h.weight, cell.W_x.bias, cell.W_h.bias)

    def printed_outputs(cell):
        state = (torch.zeros(2, 4).double(), torch.zeros(2, 4).double())
        outputs = []
        for x_t in x.unbind(1):
            h, state = cell(x_t, state)
            outputs.append(h)
        return torch.stack(outputs, 1)

    def torch_outputs(values):
        layer = nn.LSTM(3, 4, batch_first=True).double()
        with torch.no_grad():
            for parameter, value in zip(layer.parameters(), values, strict=True):
                parameter.copy_(value)
        return layer(x)[0]

    truth = printed_outputs(cell)
    assert (torch_outputs(theirs) - truth).abs().max() > 1e-2
    ours = [permuted(value) for value in theirs]
    assert_close(torch_outputs(ours), truth, **EXACT)
    merged = [*ours[:2], ours[2] + ours[3], torch.zeros_like(ours[3])]
    assert_close(torch_outputs(merged), truth, **EXACT)  # only the sum of the two biases acts
    outputs, _, _ = kernels.lstm(x, torch.tensor([6, 6]), None, None, *ours)
    assert_close(outputs, truth, **EXACT)
    back = PrintedCell(3, 4).double()
    names = ("W_x.weight", "W_h.weight", "W_x.bias", "W_h.bias")
    back.load_state_dict(dict(zip(names, map(permuted, ours), strict=True)))
    assert torch.equal(printed_outputs(back), truth)


# ---- The document itself ----


def test_every_erratum_in_the_document_names_tests_that_exist():
    sections = re.split(r"^### Erratum (\d+)", DOC, flags=re.M)[1:]
    numbers, texts = sections[::2], sections[1::2]
    assert numbers == [str(k) for k in range(1, 11)]
    sources = (path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_errata_*.py"))
    tests = {name for source in sources for name in re.findall(r"^def (test_\d+_\w+)", source, re.M)}
    named = {number: set(re.findall(r"`(test_\d+_\w+)`", text)) for number, text in zip(numbers, texts, strict=True)}
    assert all(name.startswith(f"test_{number}_") for number, names in named.items() for name in names)
    assert set().union(*named.values()) == tests
    assert all(named.values())
