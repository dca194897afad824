"""Laws of the noise inside the recurrence: the kernels equal the definition in torch, that the papers' equations."""

from __future__ import annotations

import dataclasses
import warnings

import pytest
import torch
from families import (
    FAMILIES,
    assert_agree,
    bitwise_equal,
    ragged,
    results,
    to_float32,
    with_nan_padding,
)
from torch.testing import assert_close

from lstm_lab import kernels
from lstm_lab.kernels import NoiseKey, RecurrentNoise, build, noise, reference

NOISES = {
    "state": {"state_dropout": 0.4},
    "update": {"update_dropout": 0.3},
    "update_locked": {"update_dropout": 0.3, "update_locked": True},
    "zoneout_h": {"zoneout_h": 0.3},
    "zoneout_c": {"zoneout_c": 0.4},
    "all": {"state_dropout": 0.3, "update_dropout": 0.2, "zoneout_h": 0.2, "zoneout_c": 0.5},
}
TRAINED = [
    (family, name)
    for family in FAMILIES
    for name, rates in NOISES.items()
    if not (family.startswith("rnn") and "update_dropout" in rates)
    and not (FAMILIES[family].states == 1 and name == "zoneout_c")
]
MAIN = ("lstm", "gru", "rnn", "peephole", "norm_lstm")


def training(B: int, name: str, first: int = 0, step: int = 5) -> RecurrentNoise:
    return RecurrentNoise(NoiseKey(1, step, torch.arange(first, first + B), "layer0"), **NOISES[name])


def fast(family, with_noise):
    return lambda lengths, leaves, reverse=False: family.fast(lengths, leaves, reverse, noise=with_noise)


def slow(family, with_noise):
    return lambda lengths, leaves, reverse=False: family.slow(lengths, leaves, reverse, noise=with_noise)


@pytest.fixture(autouse=True)
def one_thread():
    """Matrices this small gain nothing from several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("needs_engine")
@pytest.mark.parametrize(("name", "noise_name"), TRAINED)
def test_kernel_equals_the_definition(name, noise_name):
    family = FAMILIES[name]
    for B, T, I, H in [(7, 6, 3, 17), (5, 5, 2, 40)]:  # noqa: E741
        lengths, drawn = ragged(B, T), training(B, noise_name)
        exact = family.leaves(B, T, I, H, torch.float64)
        exact[0] = with_nan_padding(exact[0], lengths)
        for reverse in (False, True):
            truth = results(slow(family, drawn), lengths, exact, reverse)
            assert_agree(results(fast(family, drawn), lengths, exact, reverse), truth, 1e-10)
            assert_agree(results(fast(family, drawn), lengths, to_float32(exact), reverse), truth, 1e-5)


@pytest.mark.usefixtures("needs_engine")
@pytest.mark.parametrize("name", MAIN)
def test_evaluation_is_the_expectation_of_zoneout_and_has_no_dropout(name):
    family = FAMILIES[name]
    leaves, lengths = family.leaves(6, 5, 3, 17, torch.float64), ragged(6, 5)
    shares = RecurrentNoise(zoneout_h=0.2, zoneout_c=0.5)
    truth = results(slow(family, shares), lengths, leaves)
    assert_agree(results(fast(family, shares), lengths, leaves), truth, 1e-10)
    dropout = RecurrentNoise(state_dropout=0.5, update_dropout=0.0 if name == "rnn" else 0.5)
    assert bitwise_equal(family.fast(lengths, leaves, noise=dropout), family.fast(lengths, leaves))


@pytest.mark.usefixtures("needs_engine")
@pytest.mark.parametrize("name", MAIN)
def test_rates_of_zero_change_no_bit(name):
    family = FAMILIES[name]
    leaves, lengths = family.leaves(6, 5, 3, 17, torch.float32), ragged(6, 5)
    nothing = RecurrentNoise(NoiseKey(1, 0, torch.arange(6)))
    assert bitwise_equal(results(fast(family, nothing), lengths, leaves), results(family.fast, lengths, leaves))


@pytest.mark.usefixtures("needs_engine")
@pytest.mark.parametrize("noise_name", ["state", "all"])
@pytest.mark.parametrize("name", MAIN)
def test_gradcheck(name, noise_name):
    if name == "rnn" and noise_name == "all":
        pytest.skip("no update in an Elman network")
    family, lengths = FAMILIES[name], torch.tensor([2, 4, 3])
    drawn = training(3, noise_name)
    leaves = family.leaves(3, 4, 2, 3, torch.float64)
    assert torch.autograd.gradcheck(lambda *leaves: family.fast(lengths, leaves, noise=drawn), leaves)


@pytest.mark.usefixtures("needs_engine")
@pytest.mark.parametrize("isa", list(build.instruction_sets()))
@pytest.mark.parametrize("name", MAIN)
def test_every_instruction_set_computes_the_same(name, isa, monkeypatch):
    monkeypatch.setenv("LSTM_LAB_KERNELS", isa)
    try:
        if not kernels.reload().active:
            pytest.skip(kernels.status().reason)
        family, lengths = FAMILIES[name], ragged(7, 6)
        drawn = training(7, "zoneout_h" if name == "rnn" else "all")
        leaves = family.leaves(7, 6, 3, 37, torch.float64)
        truth = results(slow(family, drawn), lengths, leaves)
        assert_agree(results(fast(family, drawn), lengths, leaves), truth, 1e-10)
        assert_agree(results(fast(family, drawn), lengths, to_float32(leaves)), truth, 1e-5)
    finally:
        monkeypatch.delenv("LSTM_LAB_KERNELS")
        kernels.reload()


@pytest.mark.usefixtures("needs_engine")
@pytest.mark.parametrize("name", ["lstm", "gru", "norm_lstm"])
def test_threads_neighbours_and_padding_change_nothing(name):
    family = FAMILIES[name]
    leaves, lengths = family.leaves(24, 30, 16, 64, torch.float32), ragged(24, 30)
    whole = results(fast(family, training(24, "all")), lengths, leaves)
    samples = 2 * (1 + family.states)
    torch.set_num_threads(5)
    assert bitwise_equal(results(fast(family, training(24, "all")), lengths, leaves)[:samples], whole[:samples])
    torch.set_num_threads(1)
    for b in (0, 5):
        n = int(lengths[b])
        x, *state = (leaf[b : b + 1] for leaf in leaves[: family.states + 1])
        alone = family.fast(
            lengths[b : b + 1], [x[:, :n], *state, *leaves[family.states + 1 :]], noise=training(1, "all", first=b)
        )
        assert torch.equal(alone[0], whole[0][b : b + 1, :n])


@pytest.mark.usefixtures("needs_engine")
def test_a_second_backward_pass_has_the_same_masks():
    family, drawn = FAMILIES["gru"], training(4, "all")
    leaves, lengths = family.leaves(4, 6, 3, 9, torch.float64), ragged(4, 6)
    total = family.fast(lengths, leaves, noise=drawn)[0].square().sum()
    first = torch.autograd.grad(total, leaves, retain_graph=True)
    assert bitwise_equal(first, torch.autograd.grad(total, leaves))


def lstm_by_hand(x, h, c, W, U, b, b_h, weights):
    """Equations 6 and 7 of Krueger et al., g as in Semeniuta et al., h in the products as in Gal & Ghahramani."""
    found = []
    for t in range(x.shape[1]):
        now = weights.at(t)
        i, f, g, o = (x[:, t] @ W.T + b + (h * now.state) @ U.T + b_h).chunk(4, 1)
        candidate = torch.sigmoid(f) * c + torch.sigmoid(i) * (torch.tanh(g) * now.update)
        k_h, k_c = now.zoneout
        h, c = (
            k_h * h + (1 - k_h) * torch.sigmoid(o) * torch.tanh(candidate),
            k_c * c + (1 - k_c) * candidate,
        )
        found.append(h)
    return torch.stack(found, 1), h, c


def test_definition_is_that_of_the_papers():
    family, drawn = FAMILIES["lstm"], training(4, "all")
    leaves = family.leaves(4, 6, 3, 8, torch.float64)
    weights = noise.draw_weights(drawn, 6, leaves[1])
    assert_close(family.slow(torch.full((4,), 6), leaves, noise=drawn), lstm_by_hand(*leaves, weights))


def test_masks_have_their_law_and_their_place():
    B, T, H = 64, 40, 64
    drawn, like = training(B, "all"), torch.zeros(B, H)
    weights = noise.draw_weights(drawn, T, like)
    assert weights.state.shape == (B, 1, H)  # the same at all steps
    for factor, rate in ((weights.state, 0.3), (weights.update, 0.2)):
        assert set(factor.unique().tolist()) == {0.0, torch.tensor(1 / (1 - rate)).item()}
        assert abs(factor.mean().item() - 1) < 5 * (rate / (1 - rate) / factor.numel()) ** 0.5
    for share, rate in zip(weights.zoneout, (0.2, 0.5), strict=True):
        assert abs(share.mean().item() - rate) < 5 * (rate * (1 - rate) / share.numel()) ** 0.5
    assert not torch.equal(*(share[:, :, :] for share in weights.zoneout))
    locked = noise.draw_weights(dataclasses.replace(drawn, update_locked=True), T, like)
    assert locked.update.shape == (B, 1, H)
    assert not torch.equal(noise.draw_weights(training(B, "all", step=6), T, like).update, weights.update)


@pytest.mark.usefixtures("needs_engine")
def test_zoneout_keeps_whole_values_of_the_step_before():
    family, drawn = FAMILIES["lstm"], training(8, "zoneout_h")
    outputs = family.fast(torch.full((8,), 12), family.leaves(8, 12, 3, 32, torch.float32), noise=drawn)[0]
    kept = noise.draw_weights(drawn, 12, outputs[:, 0]).zoneout[0].bool()
    assert torch.equal(outputs[:, 1:].eq(outputs[:, :-1]), kept[:, 1:])


@pytest.mark.usefixtures("needs_engine")
def test_mean_gradient_over_masks_approaches_that_of_the_linear_layer():
    """One linear step: the expectation of dropout's gradient is the gradient without it."""
    torch.manual_seed(0)
    h, U = torch.randn(1, 6), torch.randn(6, 6)
    x, lengths = torch.full((4000, 1, 1), 30.0), torch.ones(4000, dtype=torch.int64)  # relu stays linear
    W = torch.ones(6, 1)
    h0 = h.expand(4000, 6).clone().requires_grad_()
    drawn = RecurrentNoise(NoiseKey(3, 0, torch.arange(4000)), state_dropout=0.5)
    outputs, _ = kernels.rnn(x, lengths, h0, W, U, relu=True, noise=drawn)
    (gradient,) = torch.autograd.grad(outputs.sum(), h0)
    assert_close(gradient.mean(0), U.sum(0), atol=0.25, rtol=0)
    assert gradient.eq(0).double().mean().sub(0.5).abs() < 0.02


def test_what_cannot_be_is_refused():
    family = FAMILIES["rnn"]
    leaves, lengths = family.leaves(3, 4, 2, 3, torch.float32), ragged(3, 4)
    with pytest.raises(ValueError, match="Elman network adds no candidate"):
        family.fast(lengths, leaves, noise=training(3, "update"))
    with pytest.raises(ValueError, match="a key of 5 samples for a batch of 3"):
        family.fast(lengths, leaves, noise=training(5, "state"))
    with pytest.raises(ValueError, match=r"zoneout_c: expected 0 <= rate < 1, got 1\.0"):
        RecurrentNoise(zoneout_c=1.0)


def test_torch_computes_the_same_without_the_engine_and_says_so():
    family, drawn = FAMILIES["gru"], training(4, "all")
    leaves, lengths = family.leaves(4, 6, 3, 9, torch.float64), ragged(4, 6)
    truth = family.slow(lengths, leaves, noise=drawn)
    noise.say_slow.cache_clear()
    with kernels.disabled(), pytest.warns(UserWarning, match="step by step in torch, which is slow: switched off"):
        ours = family.fast(lengths, leaves, noise=drawn)
    with kernels.disabled(), warnings.catch_warnings():
        warnings.simplefilter("error")
        family.fast(lengths, leaves, noise=drawn)  # once
    assert_agree(list(ours), list(truth), 1e-12)
    assert reference.NO_UPDATE.startswith("update_dropout")
