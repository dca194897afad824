"""Forward and backward of every cell against torch's layers and against its own step in a Python loop.

    python benchmarks/cells.py                     # prints the tables
    python benchmarks/cells.py --write             # and writes them to benchmarks/cells.md

One thread, interleaved. With `pip install torchrecurrent` its layers are measured too.

All layers run in turn, each round in the same order, so that a busy machine slows down all of them. Printed are the
median time and the median ratio to the baseline's time in the same round, with its quartiles.
"""

from __future__ import annotations

import argparse
import importlib.util
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
from lstm_lab.cells import Cell
from lstm_lab.cells.base import unroll
from lstm_lab.config.registry import Named

SHAPES = [(32, 50, 8, 32), (64, 100, 16, 64), (64, 100, 32, 128), (128, 200, 64, 256), (32, 400, 128, 512)]
MIN_TURN = 0.005
"""Seconds of one turn: with less, a fast layer would pay for the caches that the previous one has filled."""
HEAD = ["B,T,I,H", "layer", "ms", "speed", "quartiles", "rounds"]

Run = tuple[Callable[[], Tensor], list[Tensor]]
"""A layer's outputs (B, T, H), and the weights whose gradients are computed."""


def layer(kind: type[nn.RNNBase], x: Tensor, H: int) -> Run:
    module = kind(x.shape[2], H, batch_first=True)
    return lambda: module(x)[0], list(module.parameters())


def cell_loop(x: Tensor, H: int) -> Run:
    cell = nn.LSTMCell(x.shape[2], H)

    def run() -> Tensor:
        state, outputs = None, []
        for x_t in x.unbind(1):
            state = cell(x_t, state)
            outputs.append(state[0])
        return torch.stack(outputs, 1)

    return run, list(cell.parameters())


class Scripted(nn.Module):
    """An LSTM as a loop, for torch.jit.script."""

    def __init__(self, I: int, H: int) -> None:  # noqa: E741
        super().__init__()
        self.x2z, self.h2z = nn.Linear(I, 4 * H), nn.Linear(H, 4 * H)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[0], self.h2z.in_features)
        c, outputs = h, []
        for x_t in x.unbind(1):
            i, f, g, o = (self.x2z(x_t) + self.h2z(h)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs, 1)


def scripted(x: Tensor, H: int) -> Run:
    module = torch.jit.script(Scripted(x.shape[2], H))
    return lambda: module(x), list(module.parameters())


def other(name: str, x: Tensor, H: int) -> Run:
    """A layer of torchrecurrent."""
    import torchrecurrent

    module = vars(torchrecurrent)[name](x.shape[2], H, batch_first=True)
    return lambda: module(x)[0], list(module.parameters())


def ours(config: Named, x: Tensor, H: int) -> Run:
    """A cell as an encoder runs it."""
    cell, lengths = config.build(x.shape[2], H), torch.full((x.shape[0],), x.shape[1])
    return lambda: cell(x, lengths)[0], list(cell.parameters())


def loop(config: Named, x: Tensor, H: int) -> Run:
    """The same cell, step by step in Python."""
    cell, lengths = config.build(x.shape[2], H), torch.full((x.shape[0],), x.shape[1])
    return lambda: unroll(cell.step, x, lengths, cell.initial_state(x))[0], list(cell.parameters())


def cell(name: str, **choices) -> Named:
    return Cell.members[name].Config(**choices)


def contestants(x: Tensor, H: int) -> dict[str, tuple[str, Run]]:
    """Name -> name of its baseline, and how to run it."""
    found = {
        "nn.LSTM": ("", layer(nn.LSTM, x, H)),
        "lstm": ("nn.LSTM", ours(cell("lstm"), x, H)),
        "peephole": ("nn.LSTM", ours(cell("peephole"), x, H)),
        "odyssey cifg": ("nn.LSTM", ours(cell("odyssey", variant="cifg"), x, H)),
        "norm_lstm": ("nn.LSTM", ours(cell("norm_lstm"), x, H)),
        "LSTMCell loop": ("nn.LSTM", cell_loop(x, H)),
        "jit.script loop": ("nn.LSTM", scripted(x, H)),
        "nn.GRU": ("", layer(nn.GRU, x, H)),
        "gru": ("nn.GRU", ours(cell("gru"), x, H)),
        "nn.RNN": ("", layer(nn.RNN, x, H)),
        "rnn": ("nn.RNN", ours(cell("rnn"), x, H)),
    }
    if importlib.util.find_spec("torchrecurrent"):
        found["torchrecurrent PeepholeLSTM"] = ("nn.LSTM", other("PeepholeLSTM", x, H))
    return found


def against_loops(x: Tensor, H: int) -> dict[str, tuple[str, Run]]:
    """Every registered cell against its own step, and torchrecurrent's layer where it has the cell."""
    kinds = {name: cell(name) for name in sorted(Cell.members)}
    kinds |= {"peephole full": cell("peephole", full=True), "odyssey fgr": cell("odyssey", variant="fgr")}
    found = {}
    for name, config in kinds.items():
        found[f"{name}, loop"] = ("", loop(config, x, H))
        found[name] = (f"{name}, loop", ours(config, x, H))
    if importlib.util.find_spec("torchrecurrent"):
        for name, theirs in {"mgu": "MGU", "indrnn": "IndRNN", "peephole": "PeepholeLSTM"}.items():
            found[f"torchrecurrent {theirs}"] = (f"{name}, loop", other(theirs, x, H))
    return found


def measure(
    shape: tuple[int, int, int, int],
    seconds: float,
    input_gradient: bool,
    who: Callable[[Tensor, int], dict[str, tuple[str, Run]]] = contestants,
    wait: Callable[[], None] = lambda: None,
) -> list[list[str]]:
    """Rows of the table; `wait` returns when the device has finished its work."""
    B, T, I, H = shape  # noqa: E741
    x, slope = torch.randn(B, T, I, requires_grad=input_gradient), torch.randn(B, T, H)
    named = who(x, H)
    times: dict[str, list[float]] = {name: [] for name in named}
    started = time.perf_counter()
    while min(map(len, times.values())) < 7 or time.perf_counter() - started < seconds:
        for name, (_, (run, weights)) in named.items():
            repeats = 1 + int(MIN_TURN / min(times[name])) if times[name] else 1
            wait()
            start = time.perf_counter()
            for _ in range(repeats):
                for tensor in (x, *weights):
                    tensor.grad = None
                run().backward(slope)
            wait()
            times[name].append((time.perf_counter() - start) / repeats)
    rows = []
    for name, (baseline, _) in named.items():
        own = times[name][2:]  # the first rounds fill caches
        ratios = [a / b for a, b in zip(times[baseline][2:], own, strict=True)] if baseline else []
        quarters = statistics.quantiles(ratios, n=4) if ratios else []
        rows.append([
            f"{B},{T},{I},{H}",
            name,
            f"{statistics.median(own) * 1e3:.3g}",
            f"{quarters[1]:.2f}x {baseline}" if quarters else "",
            f"{quarters[0]:.2f}-{quarters[2]:.2f}" if quarters else "",
            str(len(own)),
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
    parser.add_argument(
        "--input-gradient", action="store_true", help="x needs a gradient too, as above the first layer"
    )
    parser.add_argument("--write", action="store_true", help="write the tables to benchmarks/cells.md")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    tuned = kernels.tune_memory()
    tables = {}
    for layers, shapes in ((contestants, SHAPES), (against_loops, SHAPES[:2])):
        table = tables[layers] = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
        for shape in shapes:
            for row in measure(shape, chosen.seconds, chosen.input_gradient, layers):
                table.append(f"| {' | '.join(row)} |")
                print(table[-1], flush=True)
    report = "\n".join([
        "# Recurrent cells, forward + backward, float32",
        "",
        f"`{shlex.join(['python', 'benchmarks/cells.py', *sys.argv[1:]])}`, {time.strftime('%Y-%m-%d')}.",
        f"{processor()}, {chosen.threads} thread(s), torch {torch.__version__}, engine: {kernels.status().engine}, "
        f"malloc {'tuned' if tuned else 'not tuned'} for all.",
        "",
        "Medians of interleaved rounds; speed is the baseline's time over the layer's in the same round.",
        "",
        *tables[contestants],
        "",
        "## Every cell against its own step in a Python loop",
        "",
        *tables[against_loops],
        "",
    ])  # fmt: skip
    if chosen.write:
        Path(__file__).with_suffix(".md").write_text(report)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
