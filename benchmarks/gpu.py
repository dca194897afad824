"""The Triton kernels against cuDNN's LSTM and against torch step by step, on a GPU; protocol of benchmarks/cells.py.

python benchmarks/gpu.py                       # prints the table
"""

from __future__ import annotations

import argparse
import sys

import torch
from cells import HEAD, SHAPES, Run, engine, engine_norm, layer, measure
from torch import Tensor, nn

from lstm_lab import kernels
from lstm_lab.kernels import Variant, gpu


def steps(run: Run) -> Run:
    """The same without kernels."""
    fast, weights = run

    def slow() -> Tensor:
        with kernels.disabled():
            return fast()

    return slow, weights


def contestants(x: Tensor, H: int) -> dict[str, tuple[str, Run]]:
    """Name -> against whom, and how."""
    ours = {
        "peephole": engine(kernels.lstm, 4, 2, x, H, peephole=True),
        "cifg": engine(kernels.lstm, 3, 2, x, H, variant=Variant(coupled=True)),
        "nog": engine(kernels.lstm, 3, 2, x, H, variant=Variant(output_gate=False)),
        "norm_lstm": engine_norm(x, H),
    }
    named = {"nn.LSTM": ("", layer(nn.LSTM, x, H))}
    for name, run in ours.items():
        named |= {name: ("nn.LSTM", run), f"{name} in steps": ("nn.LSTM", steps(run))}
    return named


def main() -> int:
    parser = argparse.ArgumentParser(description="Speed of the Triton kernels against cuDNN and against torch's steps.")
    parser.add_argument("--seconds", type=float, default=8, help="for each shape, at least seven rounds [%(default)s]")
    parser.add_argument("--input-gradient", action="store_true", help="x needs a gradient too, as above a first layer")
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        print("benchmarks/gpu.py: no GPU here, so nothing to measure", file=sys.stderr)
        return 2
    torch.set_default_device("cuda")
    torch.manual_seed(0)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {gpu.status()}, float32\n")
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for shape in SHAPES:
        for row in measure(shape, chosen.seconds, chosen.input_gradient, contestants, torch.cuda.synchronize):
            print(f"| {' | '.join(row)} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
