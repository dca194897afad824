"""What small numbers cost: gradients that reach far back and states that decay, beside the same with larger numbers.

    python benchmarks/subnormals.py --write

The gradient of a step long before the only output that counts becomes smaller than the smallest normal number of its
type. The engine makes such results 0 (`FlushResults` in lstm_lab/kernels/csrc/vectors.h). Times are of one layer on
one thread, medians of interleaved rounds; nn.LSTM does the same work in the same rounds.
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

B, I, H = 4, 8, 32  # noqa: E741
STEPS = (100, 400, 1000, 4000)


def backward_seconds(run: Callable[[Tensor], Tensor], T: int, last: bool) -> float:
    """Of a backward pass from the last output, or from all."""
    outputs = run(torch.randn(B, T, I, requires_grad=True))
    gradient = torch.randn_like(outputs)
    if last:
        gradient[:, :-1] = 0
    began = time.perf_counter()
    outputs.backward(gradient)
    return time.perf_counter() - began


def forward_seconds(run: Callable[[Tensor], Tensor], T: int, decays: bool) -> float:
    """Of a forward pass whose state decays (no input, no bias), or does not."""
    x = torch.zeros(B, T, I) if decays else torch.randn(B, T, I)
    began = time.perf_counter()
    with torch.no_grad():
        run(x)
    return time.perf_counter() - began


def measure(T: int, rounds: int) -> list[str]:
    theirs = nn.LSTM(I, H, batch_first=True)
    quiet = nn.LSTM(I, H, bias=False, batch_first=True)
    lengths, state = torch.full((B,), T), torch.randn(B, H)

    def engine(layer: nn.LSTM) -> Callable[[Tensor], Tensor]:
        return lambda x: kernels.lstm(x, lengths, state, state, *layer._flat_weights)[0]

    def peer(layer: nn.LSTM) -> Callable[[Tensor], Tensor]:
        return lambda x: layer(x, (state[None], state[None]))[0]

    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, wrap in (("engine", engine), ("torch", peer)):
            for kind, seconds, layer in (("backward", backward_seconds, theirs), ("forward", forward_seconds, quiet)):
                small, large = (seconds(wrap(layer), T, on) for on in (True, False))
                found.setdefault(f"{name} {kind}", []).append(small / large)
                found.setdefault(f"{name} {kind} ms", []).append(1e3 * small)
    middle = {name: statistics.median(values) for name, values in found.items()}
    return [f"{T:,}"] + [
        f"{middle[f'{name} {kind} ms']:.2f} ({middle[f'{name} {kind}']:.2f}x)"
        for kind in ("backward", "forward")
        for name in ("engine", "torch")
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="What small numbers cost.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/subnormals.md")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    kernels.tune_memory()
    head = ["steps", "backward, engine", "backward, torch", "forward, engine", "forward, torch"]
    report = [
        "# What numbers near zero cost",
        "",
        f"`{shlex.join(['python', 'benchmarks/subnormals.py', *sys.argv[1:]])}`, {time.strftime('%Y-%m-%d')}, "
        f"{platform.machine()}, {kernels.status().engine}, torch {torch.__version__}, one thread, "
        f"(B, I, H) = ({B}, {I}, {H}), {chosen.rounds} interleaved rounds.",
        "",
        "Median milliseconds of an LSTM layer; in brackets the median of their ratio, within a round, to the same pass",
        "over larger numbers: backward from the last output against from all, forward over a state that decays to 0",
        "against one that does not. Torch is nn.LSTM; `torch.set_flush_denormal(True)` changes a whole process.",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
    ]  # fmt: skip
    for T in STEPS:
        report.append(f"| {' | '.join(measure(T, chosen.rounds))} |")
        print(report[-1], flush=True)
    if chosen.write:
        Path(__file__).with_suffix(".md").write_text("\n".join([*report, ""]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
