"""Noise in the recurrence of every cell: the whole-sequence form equals the noisy step repeated."""

from __future__ import annotations

import pytest
import torch
from families import assert_agree, ragged, with_nan_padding

from lstm_lab.cells import Cell
from lstm_lab.cells.base import Hidden, unroll
from lstm_lab.cells.noise import join_masks
from lstm_lab.cells.odyssey import OdysseyLSTM
from lstm_lab.cells.peephole import PeepholeLSTM
from lstm_lab.kernels import NoiseKey, RecurrentNoise
from lstm_lab.kernels.noise import Kind

RATES: dict[Kind, float] = {"state_dropout": 0.3, "update_dropout": 0.2, "zoneout_h": 0.25, "zoneout_c": 0.4}
OPTIONS = {"peephole full": (PeepholeLSTM, {"full": True}), "odyssey fgr": (OdysseyLSTM, {"variant": "fgr"})}
CELLS = {**{name: (cell, {}) for name, cell in Cell.members.items() if cell.noises}, **OPTIONS}
B, T, INPUTS, H = 5, 7, 3, 8


def made(name: str) -> Cell:
    torch.manual_seed(0)
    kind, options = CELLS[name]
    return kind(INPUTS, H, **options).double()


def noise_of(cell: Cell, key: NoiseKey | None = None) -> RecurrentNoise:
    rates = {kind: RATES[kind] for kind in cell.noises}
    return RecurrentNoise(key, **rates)


def training(cell: Cell) -> RecurrentNoise:
    return noise_of(cell, NoiseKey(3, 1, torch.arange(B)))


def gradients(cell: Cell, x, run) -> list:
    outputs, state = run()
    weights = [torch.linspace(0.5, 1.5, part.numel()).view(part.shape).double() for part in (outputs, *state)]
    total = sum((part * weight).sum() for part, weight in zip((outputs, *state), weights, strict=True))
    return [outputs, *state, *torch.autograd.grad(total, [x, *cell.parameters()])]


def repeated(cell: Cell, x, lengths, noise):
    joined, step, _ = join_masks(cell.noisy_step, x, noise, H)
    return unroll(step, joined, lengths, cell.initial_state(x))


@pytest.mark.parametrize("when", ["training", "evaluation"])
@pytest.mark.parametrize("name", CELLS)
def test_sequence_is_the_noisy_step_repeated(name, when):
    cell, lengths = made(name), ragged(B, T)
    noise = training(cell) if when == "training" else noise_of(cell)
    x = with_nan_padding(torch.randn(B, T, INPUTS, dtype=torch.float64), lengths)
    truth = gradients(cell, x, lambda: repeated(cell, x, lengths, noise))
    assert_agree(gradients(cell, x, lambda: cell(x, lengths, noise=noise)), truth, 1e-9)
    assert cell.masks is None


@pytest.mark.usefixtures("needs_engine")
@pytest.mark.parametrize("name", CELLS)
def test_every_cell_runs_noise_in_the_engine(name, monkeypatch):
    cell, lengths = made(name), ragged(B, T)

    def refuse(*_):
        raise AssertionError("the Python loop")

    monkeypatch.setattr("lstm_lab.cells.base.unroll", refuse)
    monkeypatch.setattr("lstm_lab.kernels.unroll_with_noise", refuse)
    cell(torch.randn(B, T, INPUTS, dtype=torch.float64), lengths, noise=training(cell))


@pytest.mark.parametrize("kind", RATES)
@pytest.mark.parametrize("name", CELLS)
def test_each_kind_changes_training_alone(name, kind):
    cell = made(name)
    if kind not in cell.noises:
        pytest.skip(f"{name} takes no {kind}")
    x, lengths = torch.randn(B, T, INPUTS, dtype=torch.float64), torch.full((B,), T)
    plain = cell(x, lengths)[0]
    key = NoiseKey(3, 1, torch.arange(B))
    assert not torch.allclose(cell(x, lengths, noise=RecurrentNoise(key, **{kind: 0.5}))[0], plain)
    evaluated = cell(x, lengths, noise=RecurrentNoise(None, **{kind: 0.5}))[0]
    assert torch.equal(evaluated, plain) == kind.endswith("dropout")


def test_reverse_and_cells_without_reverse_agree():
    cell = made("mgu")
    x, lengths, noise = torch.randn(B, T, INPUTS, dtype=torch.float64), torch.full((B,), T), training(made("mgu"))
    outputs, _ = cell(x, lengths, reverse=True, noise=noise)
    assert torch.equal(outputs, cell(x.flip(1), lengths, noise=noise)[0].flip(1))


class Leaky(Cell):
    """A cell as a user writes it: one step and no word of noise."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.W = torch.nn.Linear(input_size, hidden_size)

    def step(self, x, state):
        h = 0.5 * state.h + torch.tanh(self.W(x))
        return h, Hidden(h)


def test_a_new_cell_has_zoneout_without_a_word_of_it():
    cell, lengths = Leaky(INPUTS, H), torch.full((B,), T)
    x, noise = torch.randn(B, T, INPUTS), RecurrentNoise(NoiseKey(0, 0, torch.arange(B)), zoneout_h=0.5)
    outputs, _ = cell(x, lengths, noise=noise)
    kept = outputs[:, 1:].eq(outputs[:, :-1]).double().mean().item()
    assert abs(kept - 0.5) < 5 * 0.5 / (B * (T - 1) * H) ** 0.5
