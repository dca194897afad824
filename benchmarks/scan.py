"""Cells without products of the state over long sequences: steps in Python, the parallel scan, the engine.

    python benchmarks/scan.py

CPU time of forward and backward on one thread, medians of interleaved rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from lstm_lab import kernels
from lstm_lab.cells import Cell
from lstm_lab.cells.base import unroll

B, I, H = 8, 32, 64  # noqa: E741
STEPS, CELLS, ROUNDS = (100, 1000, 4000), ("min_gru", "min_lstm", "qrnn"), 5


def forms(name: str, T: int) -> dict[str, Callable[[], Tensor]]:
    """Name -> outputs (B, T, H)."""
    cell, x, lengths = Cell.members[name].Config().build(I, H), torch.randn(B, T, I), torch.full((B,), T)

    def scan() -> Tensor:
        with kernels.disabled():
            return cell(x, lengths)[0]

    return {
        "steps": lambda: unroll(cell.step, x, lengths, cell.initial_state(x))[0],
        "scan": scan,
        "engine": lambda: cell(x, lengths)[0],
    }


def main() -> int:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    kernels.tune_memory()
    print("T, cell: milliseconds of steps, scan, engine; steps over scan, scan over engine")
    for T in STEPS:
        for name in CELLS:
            found = forms(name, T)
            times: dict[str, list[float]] = {form: [] for form in found}
            for _ in range(ROUNDS):
                for form, run in found.items():
                    start = time.process_time()
                    run().sum().backward()
                    times[form].append(time.process_time() - start)
            steps, scan, engine = (1e3 * statistics.median(taken[1:]) for taken in times.values())
            print(f"{T}, {name}: {steps:.0f}, {scan:.1f}, {engine:.1f}; {steps / scan:.1f}, {scan / engine:.1f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
