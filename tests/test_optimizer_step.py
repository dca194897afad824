"""Clipping and Adam in the engine: torch's results to the last bit, or torch's own."""

from __future__ import annotations

import pytest
import torch

from lstm_lab.kernels import native, optimizer_step
from lstm_lab.kernels.optimizer_step import AdamOptions, AdamState, AdamStep
from lstm_lab.optimizers import clipping
from lstm_lab.optimizers.quick_step import fused_adam

pytestmark = pytest.mark.usefixtures("needs_engine")
SHAPES = [(64, 8), (64, 16), (64,), (3, 5), (1,), (7,), (33,)]


@pytest.fixture(autouse=True)
def no_earlier_comparison(monkeypatch):
    if not native.require_engine().has_optimizer_step:
        pytest.skip("this engine leaves them to torch")
    monkeypatch.setattr(optimizer_step, "_clips", optimizer_step._Clips())


def tensors(seed: int, scale: float = 1.0) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=draw) * scale for shape in SHAPES]


def equal(ours, theirs) -> bool:
    return all(map(torch.equal, ours, theirs))


@pytest.mark.parametrize("limit", [0.5, 1e6, float("inf")])
def test_clipping_rounds_as_torch_does(limit, monkeypatch):
    monkeypatch.setattr(optimizer_step, "COMPARISONS", 0)  # So that nothing is corrected.
    for seed in range(50):
        ours, theirs = tensors(seed), tensors(seed)
        norm = optimizer_step.clip_norm(ours, limit, clipping._clip_norm)
        assert torch.equal(norm, clipping._clip_norm(theirs, limit))
        assert equal(ours, theirs)


def fresh_state() -> AdamState:
    parameters = [torch.nn.Parameter(tensor) for tensor in tensors(0)]
    return AdamState(parameters, tensors(1, 0.0), tensors(2, 0.0), [torch.tensor(0.0) for _ in SHAPES])


@pytest.mark.parametrize("decay", [(0.0, False), (0.1, False), (0.1, True)], ids=str)
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.6, 0.9), (0.3, 0.9)], ids=str)
def test_adam_rounds_as_torch_does(decay, betas, monkeypatch):
    monkeypatch.setattr(optimizer_step, "COMPARISONS", 0)
    ours, theirs = fresh_state(), fresh_state()
    adam = AdamStep(ours, fused_adam)
    with torch.no_grad():
        for step in range(30):
            options = AdamOptions(0.01 * (step + 1), *betas, decay[0], 1e-8, decay[1])
            adam(tensors(step), options)
            fused_adam(tensors(step), theirs, options)
            assert all(map(equal, ours, theirs))
            if step == 9:  # Somebody gives a parameter another place.
                ours.parameters[0].data = ours.parameters[0].data.clone()
    if betas[0] > 0.5:
        assert ours.parameters[1]._version == 30


def test_where_torch_rounds_otherwise_its_results_are_taken():
    def doubled(gradients, limit):
        for gradient in gradients:
            gradient.mul_(2.0)
        return torch.tensor(7.0)

    for seed in range(3):
        gradients = tensors(seed)
        assert optimizer_step.clip_norm(gradients, 1.0, doubled) == 7
        assert equal(gradients, [tensor * 2 for tensor in tensors(seed)])

    def added(gradients, state, options):
        for parameter, gradient in zip(state.parameters, gradients, strict=True):
            parameter.add_(gradient)

    state = fresh_state()
    adam = AdamStep(state, added)
    with torch.no_grad():
        for _ in range(3):
            adam(tensors(5), AdamOptions(0.1, 0.9, 0.99, 0.0, 1e-8, False))
    assert equal(state.parameters, [a + b + b + b for a, b in zip(tensors(0), tensors(5), strict=True)])
    assert not state.means[0].any()
    assert float(state.steps[0]) == 0


def test_what_the_engine_does_not_take_is_left_to_torch():
    def refuse(gradients, limit):
        return torch.tensor(float("nan"))

    for gradients in (
        [torch.ones(3, dtype=torch.float64)],
        [torch.ones(4, 3).T],
        [torch.ones(optimizer_step.MAX_ELEMENTS + 1)],
        [torch.ones(2)] * (optimizer_step.MAX_TENSORS + 1),
    ):
        assert optimizer_step.clip_norm(gradients, 1.0, refuse).isnan()
    with native.disabled():
        assert optimizer_step.clip_norm([torch.ones(3)], 1.0, refuse).isnan()
