"""Laws of the Triton kernels: equal to the step in value and gradient, independent of padding, in the given dtype.

They hold on a GPU (`pytest -m gpu`) and, the same tests again, in Triton's interpreter on the CPU, where
`test_laws_hold_in_the_interpreter` runs this file once more with TRITON_INTERPRET=1. Without triton both groups skip.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from importlib import util
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from lstm_lab import kernels
from lstm_lab.kernels import Variant, gpu, gpu_layers, reference
from lstm_lab.kernels.lengths import length_mask

INTERPRETED = gpu.interpreted()
DEVICE = "cpu" if INTERPRETED else "cuda"
TOLERANCE = 1e-5  # of float32, against the step in float64
# The interpreter cannot multiply matrices of bfloat16.
HALVES = [torch.float16] if INTERPRETED else [torch.float16, torch.bfloat16]

VARIANTS = {
    "peephole": Variant(),
    "nig": Variant(input_gate=False),
    "nfg": Variant(forget_gate=False),
    "nog": Variant(output_gate=False),
    "niaf": Variant(input_activation=False),
    "noaf": Variant(output_activation=False),
    "cifg": Variant(coupled=True),
    "cifg_plain": Variant(coupled=True),
    "nfg_plain": Variant(forget_gate=False),
}
LAYERS = [*VARIANTS, "norm"]
SHAPES = [(1, 1, 1, 1), (3, 7, 2, 5), (17, 1, 3, 16), (3, 7, 4, 33), (17, 2, 3, 70), (5, 0, 3, 4), (0, 3, 2, 5)]


@pytest.fixture
def triton():
    if util.find_spec("triton") is None:
        pytest.skip("triton is not installed: torch for the CPU comes without it")


@pytest.fixture
def supported(triton, monkeypatch):
    if not INTERPRETED and not torch.cuda.is_available():
        pytest.skip("no GPU")
    if INTERPRETED:  # Tensors lie on the CPU, where the engine would compute them.
        monkeypatch.setattr("lstm_lab.kernels.native.supports", lambda *_: False)
    assert gpu._find_fault() is None, gpu.status()


def leaves(layer: str, B: int, T: int, I: int, H: int) -> list[Tensor]:  # noqa: E741
    """x, h0, c0, W, U, then b, b_h and peepholes, or b, gains and shift; float64 on the CPU."""
    draw = torch.Generator().manual_seed(0)
    G, scale = (4 if layer == "norm" else len(VARIANTS[layer].gates)), (I + H) ** -0.5
    sizes = [((B, T, I), 1.0), ((B, H), 1.0), ((B, H), 1.0), ((G * H, I), scale), ((G * H, H), scale), ((G * H,), 1.0)]
    if layer == "norm":
        sizes += [((4 * H,), 0.3), ((4 * H,), 0.3), ((H,), 0.3), ((H,), 1.0)]
    else:
        sizes += [((G * H,), 1.0), *([] if layer.endswith("plain") else [((3, H), 0.3)])]
    made = [torch.randn(size, generator=draw, dtype=torch.float64) * scale for size, scale in sizes]
    if layer == "norm":
        made[6:9] = [gain + 1 for gain in made[6:9]]
    return [leaf.requires_grad_() for leaf in made]


def fast(layer: str, lengths: Tensor, given: list[Tensor], reverse: bool = False):
    if layer == "norm":
        return kernels.norm_lstm(given[0], lengths, *given[1:], reverse=reverse)
    options = {} if layer.endswith("plain") else {"peephole": given[7]}
    return kernels.lstm(given[0], lengths, *given[1:7], variant=VARIANTS[layer], reverse=reverse, **options)


def slow(layer: str, lengths: Tensor, given: list[Tensor], reverse: bool = False):
    x, h0, c0, *weights = given
    if layer == "norm":
        names = ("W", "U", "b", "gain_x", "gain_h", "gain_c", "shift_c")
        step = partial(reference.norm_lstm_step, **dict(zip(names, weights, strict=True)))
    else:
        names = ("W", "U", "b", "b_h", "peephole")[: len(weights)]
        step = partial(reference.lstm_step, **dict(zip(names, weights, strict=True)), variant=VARIANTS[layer])
    return reference.unroll(step, x, lengths, (h0, c0), reverse)


def on_device(given: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    return [leaf.detach().to(DEVICE, dtype).requires_grad_() for leaf in given]


def results(run, lengths: Tensor, given: list[Tensor], reverse: bool = False) -> list[Tensor]:
    """Outputs, final states, then the gradient of a random sum of them for every leaf."""
    outputs = run(lengths, given, reverse)
    draw = torch.Generator().manual_seed(1)
    slopes = [torch.randn(o.shape, generator=draw, dtype=torch.float64).to(o.device, o.dtype) for o in outputs]
    total = sum((o * slope).sum() for o, slope in zip(outputs, slopes, strict=True))
    grads = torch.autograd.grad(total, given, allow_unused=True)
    return [*outputs, *(torch.zeros_like(leaf) if g is None else g for g, leaf in zip(grads, given, strict=True))]


def assert_agree(ours: list[Tensor], theirs: list[Tensor], tolerance: float) -> None:
    """Equal up to `tolerance` of each tensor's largest entry."""
    for a, b in zip(ours, theirs, strict=True):
        scale = max(1.0, b.abs().max().item()) if b.numel() else 1.0
        assert_close(a.detach().cpu().double(), b.detach(), rtol=0, atol=tolerance * scale)


def ragged(B: int, T: int) -> Tensor:
    """Lengths from 0 to T; both are included where there are enough samples."""
    lengths = torch.randint(0, T + 1, (B,), generator=torch.Generator().manual_seed(0))
    lengths[-1:] = T
    lengths[1:2] = 0 if B > 2 else lengths[1:2]
    return lengths


def with_nan_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """The same batch with NaN in its padding."""
    return x.detach().masked_fill(~length_mask(lengths, x.shape[1]).unsqueeze(-1), torch.nan).requires_grad_()


@pytest.fixture
def launches(monkeypatch):
    """One element for each launch of a kernel, to assert that these tests test one."""
    started, launch = [], gpu_layers._launch
    monkeypatch.setattr(gpu_layers, "_launch", lambda *given, **options: (started.append(1), launch(*given, **options)))
    return started


@pytest.mark.gpu
@pytest.mark.usefixtures("supported")
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        *(pytest.param(layer, (3, 7, 2, 5), id=layer) for layer in LAYERS),
        *((layer, shape) for layer in ("peephole", "cifg_plain", "norm") for shape in SHAPES if shape != (3, 7, 2, 5)),
    ],
)
def test_layer_is_the_step_repeated(layer, shape, launches):
    B, T = shape[:2]
    for lengths, reverse in ((ragged(B, T), False), (ragged(B, T), True)):
        exact = leaves(layer, *shape)
        exact[0] = with_nan_padding(exact[0], lengths)
        truth = results(partial(slow, layer), lengths, exact, reverse)
        assert_agree(results(partial(fast, layer), lengths, on_device(exact, torch.float32), reverse), truth, TOLERANCE)
    assert len(launches) == 4


@pytest.mark.gpu
@pytest.mark.usefixtures("supported")
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("layer", ["peephole", "cifg_plain", "norm"])
def test_half_precision(layer, dtype, launches):
    exact, lengths = leaves(layer, 3, 7, 4, 20), ragged(3, 7)
    given = on_device(exact, dtype)
    ours = results(partial(fast, layer), lengths, given)
    assert all(tensor.dtype is dtype for tensor in ours)
    rounded = [leaf.detach().cpu().double().requires_grad_() for leaf in given]
    assert_agree(ours, results(partial(slow, layer), lengths, rounded), 8 * torch.finfo(dtype).eps)
    # Single precision under autocast is the same.
    single = [leaf.detach().float().requires_grad_() for leaf in given]
    with torch.autocast(DEVICE, dtype):
        outputs = fast(layer, lengths, single)
    assert_agree([*outputs], [o.cpu().double() for o in ours[:3]], 0)
    assert outputs[0].dtype is dtype
    torch.autograd.backward(sum(o.float().sum() for o in outputs))
    assert all(leaf.grad is not None and leaf.grad.dtype is torch.float32 for leaf in single)
    assert len(launches) == 4


@pytest.mark.gpu
@pytest.mark.usefixtures("supported")
@pytest.mark.parametrize("layer", ["cifg", "norm"])
def test_only_the_needed_gradients(layer):
    """The gradient of one leaf alone is the same as together with the others; without any, the outputs are the same."""
    given, lengths = on_device(leaves(layer, 3, 3, 2, 5), torch.float32), ragged(3, 3)
    outputs = fast(layer, lengths, given)
    truth = torch.autograd.grad(outputs[0].square().sum(), given)
    for i, leaf in list(enumerate(given))[::3]:
        alone = [leaf if k == i else other.detach() for k, other in enumerate(given)]
        (grad,) = torch.autograd.grad(fast(layer, lengths, alone)[0].square().sum(), [leaf])
        assert_close(grad, truth[i], rtol=0, atol=0)
    with torch.no_grad():
        assert_close(fast(layer, lengths, given), outputs, rtol=0, atol=0)


@pytest.mark.gpu
@pytest.mark.usefixtures("supported")
@pytest.mark.parametrize("layer", ["peephole", "norm"])
def test_second_backward_pass(layer):
    """Over a retained graph it gives the same; of a gradient it raises an error with the way out."""
    given, lengths = on_device(leaves(layer, 3, 3, 2, 5), torch.float32), ragged(3, 3)
    total = fast(layer, lengths, given)[0].square().sum()
    first = torch.autograd.grad(total, given, retain_graph=True)
    assert_close(torch.autograd.grad(total, given, retain_graph=True), first, rtol=0, atol=0)
    (slope,) = torch.autograd.grad(total, given[:1], create_graph=True)
    with pytest.raises(RuntimeError, match=r"second derivatives.*kernels\.disabled"):
        slope.sum().backward()
    with kernels.disabled():
        (slope,) = torch.autograd.grad(fast(layer, lengths, given)[0].square().sum(), given[:1], create_graph=True)
        slope.sum().backward()
    assert given[0].grad is not None


@pytest.mark.gpu
@pytest.mark.usefixtures("supported")
def test_unsupported_tensors_go_through_torch(launches, monkeypatch):
    exact, lengths = leaves("peephole", 3, 2, 2, 5), ragged(3, 2)
    given, truth = on_device(exact, torch.float32), results(partial(slow, "peephole"), lengths, exact)
    with kernels.disabled():
        assert_agree(results(partial(fast, "peephole"), lengths, given), truth, 1e-5)
    monkeypatch.setattr(gpu, "MAX_HIDDEN_SIZE", 4)
    assert_agree(results(partial(fast, "peephole"), lengths, given), truth, 1e-5)
    assert not launches
    monkeypatch.undo()
    assert gpu.supports(given[0], given[4], *given)
    assert not gpu.supports(given[0], given[4].double(), *given)
    assert not gpu.supports(given[0].to("meta"), given[4], *given)


@pytest.mark.skipif(INTERPRETED, reason="this is the interpreter that the test starts")
def test_laws_hold_in_the_interpreter(triton):
    command = [sys.executable, "-m", "pytest", __file__, "-m", "gpu", "-q", "-rs", "-p", "no:cacheprovider"]
    done = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "[100%]" in done.stdout
    assert "SKIPPED" not in done.stdout


SHARED = {86: 99, 90: 227}
"""Compute capability -> KiB of shared memory per program; 8.6 has the least of the supported GPUs."""
SINGLE = {"cs", "dc", "a", "stats", "dn"}
"""Arguments that are float32 whatever the dtype of the layer."""


@pytest.mark.skipif(INTERPRETED, reason="nothing is compiled in the interpreter")
@pytest.mark.parametrize("capability", SHARED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "name", [f"triton_{layer}.{way}" for layer in ("lstm", "norm") for way in ("forward", "backward")]
)
def test_compiles_within_the_shared_memory_of_a_gpu(triton, name, dtype, capability):
    """No GPU is needed for it."""
    from importlib import import_module

    import triton as compiler
    from triton.backends.compiler import GPUTarget

    module, function = name.split(".")
    kernel = getattr(import_module(f"lstm_lab.kernels.{module}"), function)
    compiled = {**gpu_layers.options(dtype, 512), **gpu_layers.variant_options(Variant(), torch.empty(3, 512))}
    options = {key: compiled.pop(key) for key in ("num_warps", "num_stages")}
    compiled = {key: value for key, value in {**compiled, "SAVE": True}.items() if key in kernel.arg_names}
    plain = {torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16"}[dtype]
    kinds = {"lengths": "*i64", "B": "i32", "T": "i32", **dict.fromkeys(SINGLE, "*fp32")}
    signature = {n: "constexpr" if n in compiled else kinds.get(n, plain) for n in kernel.arg_names}
    places = {(kernel.arg_names.index(key),): value for key, value in compiled.items()}
    source = compiler.compiler.ASTSource(kernel, signature, places)
    done = compiler.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    assert done.metadata.shared <= SHARED[capability] * 1024


def test_the_benchmark_runs_all_layers_it_measures(monkeypatch):
    folder = Path(__file__).parent.parent / "benchmarks"
    monkeypatch.syspath_prepend(folder)
    spec = util.spec_from_file_location("gpu_benchmark", folder / "gpu.py")
    benchmark = util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    layers = benchmark.contestants(torch.randn(2, 3, 4), 5)
    assert {"nn.LSTM", "lstm", "peephole", "norm_lstm"} <= layers.keys()
    for baseline, (run, weights) in layers.values():
        assert baseline in {"", *layers}
        run().sum().backward()
        assert all(weight.grad is not None for weight in weights)


@pytest.mark.skipif(INTERPRETED, reason="this is about a process without the interpreter")
def test_triton_is_imported_when_it_is_needed():
    code = "import sys, lstm_lab.cells, lstm_lab.kernels as k; print(k.gpu.status()); print('triton' in sys.modules)"
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 2
    assert "Triton" in lines[0]
    assert lines[1] == "False"
    x = torch.zeros(1, 1, 1)
    assert not gpu.supports(x, x)
