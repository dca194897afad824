"""Laws of the sequence kernels: equal to the step in value and gradient, independent of padding, deterministic."""

from __future__ import annotations

import pytest
import torch
from families import FAMILIES, SHAPES, assert_agree, bitwise_equal, ragged, results, to_float32, with_nan_padding
from torch import nn
from torch.testing import assert_close

from lstm_lab import kernels
from lstm_lab.kernels import Variant, build, native

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture(autouse=True)
def one_thread():
    """Matrices this small gain nothing from several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_layer_is_the_step_repeated(family, shape, reverse):
    law, B, T = FAMILIES[family], shape[0], shape[1]
    for lengths in (torch.full((B,), T), ragged(B, T)):
        exact = law.leaves(*shape, torch.float64)
        exact[0] = with_nan_padding(exact[0], lengths)
        truth = results(law.slow, lengths, exact, reverse)
        assert_agree(results(law.fast, lengths, exact, reverse), truth, 1e-10)
        assert_agree(results(law.fast, lengths, to_float32(exact), reverse), truth, 1e-5)


@pytest.mark.usefixtures("needs_engine")
@pytest.mark.parametrize("isa", list(build.instruction_sets()))
@pytest.mark.parametrize("family", ["lstm", "gru", "rnn", "peephole", "cifg", "norm_lstm"])
def test_every_instruction_set_computes_the_same(family, isa, monkeypatch):
    monkeypatch.setenv("LSTM_LAB_KERNELS", isa)
    try:
        if not kernels.reload().active:
            pytest.skip(kernels.status().reason)
        assert kernels.status().engine == isa
        law = FAMILIES[family]
        for shape in [(7, 6, 3, 17), (11, 4, 70, 67), (40, 3, 8, 32)]:
            lengths = ragged(shape[0], shape[1])
            leaves = law.leaves(*shape, torch.float64)
            truth = results(law.slow, lengths, leaves)
            assert_agree(results(law.fast, lengths, leaves), truth, 1e-10)
            assert_agree(results(law.fast, lengths, to_float32(leaves)), truth, 1e-5)
    finally:
        monkeypatch.delenv("LSTM_LAB_KERNELS")
        kernels.reload()


@pytest.mark.usefixtures("needs_engine")
@pytest.mark.parametrize("family", FAMILIES)
def test_gradcheck(family):
    law = FAMILIES[family]
    leaves = law.leaves(3, 4, 2, 3, torch.float64)
    lengths = torch.tensor([2, 4, 3])
    assert torch.autograd.gradcheck(lambda *leaves: law.fast(lengths, leaves), leaves)


@pytest.mark.parametrize(("name", "layer"), [("lstm", nn.LSTM), ("gru", nn.GRU), ("rnn", nn.RNN)])
def test_step_is_torchs_cell(name, layer):
    torch.manual_seed(0)
    theirs = layer(3, 5, batch_first=True).double()
    x, lengths = torch.randn(4, 6, 3, dtype=torch.float64), torch.full((4,), 6)
    state = [torch.randn(4, 5, dtype=torch.float64) for _ in range(FAMILIES[name].states)]
    outputs, end = theirs(x, tuple(s.unsqueeze(0) for s in state) if len(state) == 2 else state[0].unsqueeze(0))
    ours = FAMILIES[name].slow(lengths, [x, *state, *theirs._flat_weights])
    assert_close(ours, (outputs, *(part.squeeze(0) for part in (end if isinstance(end, tuple) else (end,)))))


@pytest.mark.usefixtures("needs_engine")
@pytest.mark.parametrize("family", ["lstm", "gru", "rnn", "peephole", "norm_lstm"])
def test_samples_are_independent(family):
    law = FAMILIES[family]
    leaves = law.leaves(9, 12, 4, 20, torch.float32)
    lengths = ragged(9, 12)
    batch = law.fast(lengths, leaves)
    for b in range(9):
        n = int(lengths[b])
        x, *state = (leaf[b : b + 1] for leaf in leaves[: law.states + 1])
        alone = law.fast(lengths[b : b + 1], [x[:, :n], *state, *leaves[law.states + 1 :]])
        assert torch.equal(alone[0], batch[0][b : b + 1, :n])
        assert bitwise_equal(alone[1:], [end[b : b + 1] for end in batch[1:]])
        assert batch[0][b, n:].eq(0).all()


@pytest.mark.usefixtures("needs_engine")
@pytest.mark.parametrize("family", ["lstm", "gru", "rnn", "peephole", "norm_lstm"])
def test_threads_change_nothing(family):
    law = FAMILIES[family]
    leaves, lengths = law.leaves(50, 30, 16, 64, torch.float32), ragged(50, 30)
    alone = results(law.fast, lengths, leaves)
    # What belongs to one sample is bitwise equal: outputs, states, gradients of x and of initial states.
    samples = 2 * (1 + law.states)
    for threads in (2, 3, 7):
        torch.set_num_threads(threads)
        first, again = results(law.fast, lengths, leaves), results(law.fast, lengths, leaves)
        assert bitwise_equal(first, again)
        assert bitwise_equal(first[:samples], alone[:samples])
        assert_agree(first[samples:], alone[samples:], 1e-5)


@pytest.mark.usefixtures("needs_engine")
@pytest.mark.parametrize("family", ["lstm", "gru"])
def test_layout_in_memory_does_not_matter(family):
    law = FAMILIES[family]
    leaves, lengths = law.leaves(6, 5, 4, 7, torch.float64), ragged(6, 5)
    truth = results(law.fast, lengths, leaves)
    time_first = leaves[0].detach().transpose(0, 1).contiguous().transpose(0, 1)
    wide = torch.randn(6, 5, 8, dtype=torch.float64)
    wide[..., ::2] = leaves[0].detach()
    for x in (time_first, wide[..., ::2]):
        others = [leaf.detach().t().contiguous().t() if leaf.dim() == 2 else leaf.detach() for leaf in leaves[1:]]
        assert not x.is_contiguous()
        assert_agree(results(law.fast, lengths, [leaf.requires_grad_() for leaf in (x, *others)]), truth, 1e-14)
    for reduce in (lambda out: out.sum(), lambda out: out[:, -1].sum(), lambda out: out.transpose(1, 2)[:, 1:].sum()):
        ours = torch.autograd.grad(reduce(law.fast(lengths, leaves)[0]), leaves)
        theirs = torch.autograd.grad(reduce(law.slow(lengths, leaves)[0]), leaves)
        assert_agree(list(ours), list(theirs), 1e-12)


@pytest.mark.usefixtures("needs_engine")
@pytest.mark.parametrize("family", ["lstm", "gru", "rnn", "peephole", "norm_lstm"])
def test_only_the_needed_gradients(family):
    """The gradient of one leaf alone is the same as together with the others; without any, the outputs are the same."""
    law = FAMILIES[family]
    leaves, lengths = law.leaves(5, 6, 3, 9, torch.float64), ragged(5, 6)
    outputs = law.fast(lengths, leaves)
    truth = torch.autograd.grad(outputs[0].square().sum(), leaves)
    for i, leaf in enumerate(leaves):
        alone = [leaf if k == i else other.detach() for k, other in enumerate(leaves)]
        (grad,) = torch.autograd.grad(law.fast(lengths, alone)[0].square().sum(), [leaf])
        assert torch.equal(grad, truth[i])
    with torch.no_grad():
        assert bitwise_equal(law.fast(lengths, leaves), outputs)


@pytest.mark.usefixtures("needs_engine")
@pytest.mark.parametrize("family", ["lstm", "gru", "rnn", "cifg", "norm_lstm"])
def test_second_backward_pass_over_a_retained_graph(family):
    law = FAMILIES[family]
    leaves, lengths = law.leaves(5, 6, 3, 9, torch.float64), ragged(5, 6)
    total = sum(out.square().sum() for out in law.fast(lengths, leaves))
    first = torch.autograd.grad(total, leaves, retain_graph=True)
    assert bitwise_equal(torch.autograd.grad(total, leaves, retain_graph=True), first)


@pytest.mark.usefixtures("needs_engine")
@pytest.mark.parametrize("loss", [lambda out: out.square().sum(), lambda out: out.sum()], ids=["square", "sum"])
def test_second_derivatives_raise_an_error_and_the_reference_computes_them(loss):
    law = FAMILIES["lstm"]
    leaves, lengths = law.leaves(2, 3, 2, 3, torch.float64), torch.tensor([3, 2])
    (slope,) = torch.autograd.grad(loss(law.fast(lengths, leaves)[0]), leaves[:1], create_graph=True)
    with pytest.raises(RuntimeError, match=r"second derivatives.*kernels\.disabled"):
        slope.sum().backward()
    with kernels.disabled():
        (slope,) = torch.autograd.grad(loss(law.fast(lengths, leaves)[0]), leaves[:1], create_graph=True)
        slope.sum().backward()
    assert leaves[0].grad is not None


@pytest.mark.parametrize("family", FAMILIES)
def test_without_the_engine_torch_computes_the_layer(family):
    law = FAMILIES[family]
    leaves = law.leaves(5, 6, 3, 9, torch.float64)
    for lengths in (torch.full((5,), 6), torch.tensor([6, 1, 4, 2, 3]), ragged(5, 6)):
        for reverse in (False, True):
            truth = results(law.slow, lengths, leaves, reverse)
            with kernels.disabled():
                assert not kernels.status().active
                assert_agree(results(law.fast, lengths, leaves, reverse), truth, 1e-10)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_other_types_go_through_torch(dtype):
    law = FAMILIES["peephole"]
    leaves = [leaf.detach().to(dtype) for leaf in law.leaves(2, 3, 2, 3, torch.float64)]
    assert not native.supports(*leaves)
    assert law.fast(torch.tensor([3, 2]), leaves)[0].dtype == dtype


def test_errors_name_the_argument():
    x, h, c, W, U, b, b_h = FAMILIES["lstm"].leaves(2, 3, 4, 5, torch.float32)
    lengths = torch.tensor([3, 2])
    with pytest.raises(ValueError, match=r"W: expected \(20, 4\), got \(20, 5\)"):
        kernels.lstm(x, lengths, h, c, U, U, b, b_h)
    with pytest.raises(ValueError, match=r"initial state: expected \(2, 5\), got \(1, 5\)"):
        kernels.lstm(x, lengths, h[:1], c, W, U, b, b_h)
    with pytest.raises(ValueError, match=r"lengths: expected \(2,\)"):
        kernels.lstm(x, lengths[:1], h, c, W, U, b, b_h)
    with pytest.raises(ValueError, match="f = 1 - i"):
        kernels.lstm(x, lengths, h, c, W, U, variant=Variant(coupled=True, input_gate=False))
    if kernels.status().active:
        for wrong in ([4, 2], [3, -1]):
            with pytest.raises(ValueError, match=r"every length must lie in 0\.\.3"):
                kernels.lstm(x, torch.tensor(wrong), h, c, W, U, b, b_h)


@pytest.mark.usefixtures("needs_engine")
def test_no_samples():
    law = FAMILIES["gru"]
    leaves = law.leaves(0, 4, 3, 5, torch.float32)
    shapes = [r.shape for r in results(law.fast, torch.zeros(0, dtype=torch.int64), leaves)]
    assert shapes == [(0, 4, 5), (0, 5), *(leaf.shape for leaf in leaves)]


@pytest.mark.usefixtures("needs_engine")
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 2e-7), (torch.float64, 1e-15)])
def test_sigmoid_and_tanh(dtype, most):
    x = torch.cat([torch.linspace(-40, 40, 1_000_003), torch.linspace(-1e-3, 1e-3, 10_001)]).to(dtype)
    s, t = torch.empty_like(x), torch.empty_like(x)
    both = native.engine().activations[dtype]
    both(x.data_ptr(), len(x), s.data_ptr(), t.data_ptr())
    assert (s.double() - torch.sigmoid(x.double())).abs().max() < most
    assert (t.double() - torch.tanh(x.double())).abs().max() < most
    assert t.abs().max() <= 1
    assert (t.sign() == x.sign()).all()
    special = torch.tensor([0.0, 1e4, -1e4, torch.inf, -torch.inf, torch.nan], dtype=dtype)
    s, t = torch.empty_like(special), torch.empty_like(special)
    both(special.data_ptr(), len(special), s.data_ptr(), t.data_ptr())
    assert_close(s, torch.sigmoid(special), equal_nan=True)
    assert_close(t, torch.tanh(special), equal_nan=True)
