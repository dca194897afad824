"""Cells on a GPU: the Triton kernels against cuDNN's LSTM and against their own step in a loop; as benchmarks/cells.py.

    python benchmarks/gpu.py                            # prints the tables
    python benchmarks/gpu.py --write                    # and keeps them in benchmarks/gpu.md
    python benchmarks/gpu.py --precision bf16-mixed     # under autocast

Above `gpu.MAX_HIDDEN_SIZE` units there is no kernel and a cell steps; the last shape shows what that costs.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from cells import HEAD, SHAPES, Run, cell, layer, measure, ours
from torch import Tensor, nn

from lstm_lab import kernels
from lstm_lab.kernels import gpu

CELLS = {
    "lstm": cell("lstm"),
    "peephole": cell("peephole"),
    "odyssey cifg": cell("odyssey", variant="cifg"),
    "norm_lstm": cell("norm_lstm"),
}
LARGE = (32, 100, 128, gpu.MAX_HIDDEN_SIZE + 128)
TYPES = {"32": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def steps(run: Run) -> Run:
    """The same without kernels: torch, step by step."""
    fast, weights = run

    def slow() -> Tensor:
        with kernels.disabled():
            return fast()

    return slow, weights


def contestants(x: Tensor, H: int) -> dict[str, tuple[str, Run]]:
    """Name -> against whom, and how: cuDNN for all; a cell that has a kernel against its own steps too."""
    named = {"nn.LSTM": ("", layer(nn.LSTM, x, H))}
    for name, config in CELLS.items():
        run = ours(config, x, H)
        named[name] = ("nn.LSTM", run)
        if name != "lstm":
            named[f"{name}, steps"] = (name, steps(run))
    return named


def in_precision(precision: str) -> Callable[[Tensor, int], dict[str, tuple[str, Run]]]:
    """`contestants`, each under autocast where the precision is a mixed one; outputs in float32."""

    def cast(run: Run) -> Run:
        whole, weights = run

        def mixed() -> Tensor:
            with torch.autocast("cuda", TYPES[precision]):
                return whole().float()

        return mixed, weights

    if TYPES[precision] is None:
        return contestants
    return lambda x, H: {name: (rival, cast(run)) for name, (rival, run) in contestants(x, H).items()}


def main() -> int:
    parser = argparse.ArgumentParser(description="Speed of the Triton kernels against cuDNN and against torch's steps.")
    parser.add_argument("--seconds", type=float, default=8, help="for each shape, at least seven rounds [%(default)s]")
    parser.add_argument("--precision", choices=TYPES, action="append", help="may be given again [32 and bf16-mixed]")
    parser.add_argument("--input-gradient", action="store_true", help="x needs a gradient too, as above a first layer")
    parser.add_argument("--write", action="store_true", help="keep the tables in benchmarks/gpu.md")
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        print("benchmarks/gpu.py: no GPU here, so nothing to measure", file=sys.stderr)
        return 2
    torch.set_default_device("cuda")
    torch.manual_seed(0)
    report = [
        "# Recurrent cells on a GPU, forward + backward",
        "",
        f"`{shlex.join(['python', 'benchmarks/gpu.py', *sys.argv[1:]])}`, {time.strftime('%Y-%m-%d')}.",
        f"One {torch.cuda.get_device_name()}, torch {torch.__version__}; {gpu.status()}.",
        "",
        "Medians of interleaved rounds; speed is the baseline's time over the layer's in the same round.",
        f"nn.LSTM is cuDNN's. Above {gpu.MAX_HIDDEN_SIZE} units a variant has no kernel: the last shape.",
    ]
    print("\n".join(report))
    for precision in chosen.precision or ["32", "bf16-mixed"]:
        heading = ["", f"## {precision}", "", f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
        print("\n".join(heading), flush=True)
        report += heading
        for shape in (*SHAPES, LARGE):
            who = in_precision(precision)
            for row in measure(shape, chosen.seconds, chosen.input_gradient, who, torch.cuda.synchronize):
                report.append(f"| {' | '.join(row)} |")
                print(report[-1], flush=True)
    if chosen.write:
        Path(__file__).with_suffix(".md").write_text("\n".join([*report, ""]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
