"""Noise in the recurrence against the same kernel without it: forward and backward pass, interleaved, one thread.

    python benchmarks/noise.py [--write] [--rounds N]

`--write` writes the table to benchmarks/noise.md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lstm_lab import kernels
from lstm_lab.kernels import NoiseKey, RecurrentNoise

B, T, INPUTS = 64, 100, 16
SIZES = (16, 64, 128)
NOISES = {
    "state dropout": {"state_dropout": 0.3},
    "update dropout": {"update_dropout": 0.3},
    "zoneout h": {"zoneout_h": 0.1},
    "zoneout h, c": {"zoneout_h": 0.1, "zoneout_c": 0.1},
    "all": {"state_dropout": 0.3, "update_dropout": 0.3, "zoneout_h": 0.1, "zoneout_c": 0.1},
}
GATES = {"lstm": 4, "gru": 3, "rnn": 1, "norm_lstm": 4}
Layer = Callable[[RecurrentNoise | None], Tensor]


def build(family: str, H: int) -> tuple[Layer, list[Tensor]]:
    """A layer that takes noise and returns its outputs, and what it has gradients for."""
    G = GATES[family]
    x, lengths = torch.randn(B, T, INPUTS), torch.full((B,), T)
    W, U, b = torch.randn(G * H, INPUTS) * 0.1, torch.randn(G * H, H) * 0.1, torch.zeros(G * H)
    leaves = [tensor.requires_grad_() for tensor in (x, W, U, b)]
    gains = [torch.ones(4 * H), torch.ones(4 * H), torch.ones(H), torch.zeros(H)]
    layers: dict[str, Layer] = {
        "lstm": lambda noise: kernels.lstm(x, lengths, None, None, W, U, b, noise=noise)[0],
        "gru": lambda noise: kernels.gru(x, lengths, None, W, U, b, noise=noise)[0],
        "rnn": lambda noise: kernels.rnn(x, lengths, None, W, U, b, noise=noise)[0],
        "norm_lstm": lambda noise: kernels.norm_lstm(x, lengths, None, None, W, U, b, *gains, noise=noise)[0],
    }
    return layers[family], leaves


def seconds(layer: Layer, leaves: list[Tensor], noise: RecurrentNoise | None) -> float:
    """Of the processor, for one forward and backward pass."""
    start = time.thread_time()
    torch.autograd.grad(layer(noise).sum(), leaves)
    return time.thread_time() - start


def measure(family: str, H: int, rounds: int) -> dict[str, str]:
    """Speed of each noise, as a share of the plain kernel's: median and quartiles over rounds."""
    layer, leaves = build(family, H)
    key = NoiseKey(0, 0, torch.arange(B))
    noises = {
        name: RecurrentNoise(key, **rates)
        for name, rates in NOISES.items()
        if not (family == "rnn" and "update_dropout" in rates) and not (GATES[family] < 4 and name == "zoneout h, c")
    }
    shares: dict[str, list[float]] = {name: [] for name in noises}
    for noise in (None, *noises.values()):
        seconds(layer, leaves, noise)
    for _ in range(rounds):
        for name, noise in noises.items():
            plain = seconds(layer, leaves, None)
            shares[name].append(plain / seconds(layer, leaves, noise))
    found = {}
    for name, values in shares.items():
        low, median, high = statistics.quantiles(values, n=4)
        found[name] = f"{median:.2f}x ({low:.2f}-{high:.2f})"
    return found


def main() -> None:
    """Measure, print, and perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    kernels.tune_memory()
    lines = [
        "# Noise in the recurrence against the plain kernel",
        "",
        f"Speed of forward and backward pass as a share of the plain kernel's, B,T,I = {B},{T},{INPUTS}, by processor",
        "time of one thread; medians (quartiles) of interleaved rounds. `python benchmarks/noise.py --write`.",
        f"Engine: {kernels.status().engine}.",
        "",
        "| layer, H | " + " | ".join(NOISES) + " |",
        "|---|" + "---|" * len(NOISES),
    ]
    for family in GATES:
        for H in SIZES:
            found = measure(family, H, options.rounds)
            lines.append(f"| {family}, {H} | " + " | ".join(found.get(name, "-") for name in NOISES) + " |")
            print(lines[-1], flush=True)
    if options.write:
        Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
