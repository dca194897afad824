"""Forward and backward of every cell with a kernel against torch's layers, interleaved, on one thread.

    python benchmarks/cells.py                     # prints the table
    python benchmarks/cells.py --write             # and keeps it in benchmarks/cells.md

Contestants take turns, each round in the same order, so that a busy machine slows all of them; what is printed is the
median time and, against torch's layer of the same round, the median ratio with its quartiles.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from lstm_lab import kernels
from lstm_lab.kernels import Variant

SHAPES = [(32, 50, 8, 32), (64, 100, 16, 64), (64, 100, 32, 128), (128, 200, 64, 256), (32, 400, 128, 512)]
TURN = 0.005
HEAD = ["B,T,I,H", "layer", "ms", "speed", "quartiles", "rounds"]

Run = tuple[Callable[[], Tensor], list[Tensor]]
"""A whole layer's outputs (B, T, H), and the weights whose gradients are wanted."""


def layer(kind: type[nn.RNNBase], x: Tensor, H: int) -> Run:
    made = kind(x.shape[2], H, batch_first=True)
    return lambda: made(x)[0], list(made.parameters())


def cell_loop(x: Tensor, H: int) -> Run:
    cell = nn.LSTMCell(x.shape[2], H)

    def run() -> Tensor:
        state, outputs = None, []
        for x_t in x.unbind(1):
            state = cell(x_t, state)
            outputs.append(state[0])
        return torch.stack(outputs, 1)

    return run, list(cell.parameters())


def engine(function: Callable, gates: int, states: int, x: Tensor, H: int, peephole: bool = False, **options) -> Run:
    B, T, I = x.shape  # noqa: E741
    shapes = [(gates * H, I), (gates * H, H), (gates * H,), (gates * H,)]
    weights = [torch.empty(shape).uniform_(-(H**-0.5), H**-0.5).requires_grad_() for shape in shapes]
    start, lengths = [torch.zeros(B, H)] * states, torch.full((B,), T)
    if peephole:
        options["peephole"] = torch.zeros(3, H, requires_grad=True)
        return lambda: function(x, lengths, *start, *weights, **options)[0], [*weights, options["peephole"]]
    return lambda: function(x, lengths, *start, *weights, **options)[0], weights


def engine_norm(x: Tensor, H: int) -> Run:
    B, T, I = x.shape  # noqa: E741
    weights = [torch.randn(4 * H, I) * I**-0.5, torch.randn(4 * H, H) * H**-0.5, torch.zeros(4 * H)]
    weights += [torch.ones(4 * H), torch.ones(4 * H), torch.ones(H), torch.zeros(H)]
    weights = [weight.requires_grad_() for weight in weights]
    start, lengths = torch.zeros(B, H), torch.full((B,), T)
    return lambda: kernels.norm_lstm(x, lengths, start, start, *weights)[0], weights


def contestants(x: Tensor, H: int) -> dict[str, tuple[str, Run]]:
    """Name -> against whom, and how."""
    return {
        "nn.LSTM": ("", layer(nn.LSTM, x, H)),
        "lstm": ("nn.LSTM", engine(kernels.lstm, 4, 2, x, H)),
        "peephole": ("nn.LSTM", engine(kernels.lstm, 4, 2, x, H, peephole=True)),
        "cifg": ("nn.LSTM", engine(kernels.lstm, 3, 2, x, H, variant=Variant(coupled=True))),
        "norm_lstm": ("nn.LSTM", engine_norm(x, H)),
        "LSTMCell loop": ("nn.LSTM", cell_loop(x, H)),
        "nn.GRU": ("", layer(nn.GRU, x, H)),
        "gru": ("nn.GRU", engine(kernels.gru, 3, 1, x, H)),
        "nn.RNN": ("", layer(nn.RNN, x, H)),
        "rnn": ("nn.RNN", engine(kernels.rnn, 1, 1, x, H)),
    }


def measure(
    shape: tuple[int, int, int, int],
    seconds: float,
    input_gradient: bool,
    who: Callable[[Tensor, int], dict[str, tuple[str, Run]]] = contestants,
    wait: Callable[[], None] = lambda: None,
) -> list[list[str]]:
    """Rows of the table; `wait` returns when the device has done what it was given."""
    B, T, I, H = shape  # noqa: E741
    x, slope = torch.randn(B, T, I, requires_grad=input_gradient), torch.randn(B, T, H)
    named = who(x, H)
    times: dict[str, list[float]] = {name: [] for name in named}
    began = time.perf_counter()
    while len(times["nn.LSTM"]) < 7 or time.perf_counter() - began < seconds:
        for name, (_, (run, weights)) in named.items():
            # A turn lasts some milliseconds: what is quick is not charged for the caches that the one before it left.
            turns = 1 + int(TURN / min(times[name])) if times[name] else 1
            wait()
            start = time.perf_counter()
            for _ in range(turns):
                for tensor in (x, *weights):
                    tensor.grad = None
                run().backward(slope)
            wait()
            times[name].append((time.perf_counter() - start) / turns)
    rows = []
    for name, (rival, _) in named.items():
        mine = times[name][2:]  # the first rounds fill caches
        ratios = [a / b for a, b in zip(times[rival][2:], mine, strict=True)] if rival else []
        quarters = statistics.quantiles(ratios, n=4) if ratios else []
        rows.append([
            f"{B},{T},{I},{H}",
            name,
            f"{statistics.median(mine) * 1e3:.3g}",
            f"{quarters[1]:.2f}x {rival}" if quarters else "",
            f"{quarters[0]:.2f}-{quarters[2]:.2f}" if quarters else "",
            str(len(mine)),
        ])  # fmt: skip
    return rows


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> int:
    parser = argparse.ArgumentParser(description="Speed of the recurrent kernels against torch's layers.")
    parser.add_argument("--seconds", type=float, default=8, help="for each shape, at least seven rounds [%(default)s]")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--input-gradient", action="store_true", help="x needs a gradient too, as above a first layer")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/cells.md")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    tuned = kernels.tune_memory()
    table = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    for shape in SHAPES:
        for row in measure(shape, chosen.seconds, chosen.input_gradient):
            table.append(f"| {' | '.join(row)} |")
            print(table[-1], flush=True)
    report = "\n".join([
        "# Recurrent cells, forward + backward, float32",
        "",
        f"`{shlex.join(['python', 'benchmarks/cells.py', *sys.argv[1:]])}`, {time.strftime('%Y-%m-%d')}.",
        f"{processor()}, {chosen.threads} thread(s), torch {torch.__version__}, engine: {kernels.status().engine}, "
        f"malloc {'tuned' if tuned else 'as it is'} for all.",
        "",
        "Medians of interleaved rounds; speed is torch's time over the layer's own in the same round.",
        "",
        *table,
        "",
    ])  # fmt: skip
    if chosen.write:
        Path(__file__).with_suffix(".md").write_text(report)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
