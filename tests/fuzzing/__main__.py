"""`python -m fuzzing --number 5000 --seed 0`, or `--only 17` to try one input again and keep its files."""

from __future__ import annotations

import argparse
import faulthandler
import sys
import time

from fuzzing.inputs import fuzz


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzzing", description=__doc__)
    parser.add_argument("--number", type=int, default=5000, help="inputs to try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="index of the one input to try")
    parser.add_argument("--kinds", nargs="*", default=(), help="names of generators; default: all")
    choices = parser.parse_args()
    indices = range(choices.number) if choices.only is None else [choices.only]
    faulthandler.enable()
    started, found = time.monotonic(), 0
    for failure in fuzz(choices.seed, indices, choices.kinds):
        found += 1
        print(f"{failure}\n", flush=True)
    print(f"{len(indices)} inputs, {found} failures, {time.monotonic() - started:.0f} s")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
