"""`python -m fuzzing --number 5000 --seed 0`, or `--only 17` to try one input again."""

from __future__ import annotations

import argparse
import multiprocessing
import signal
import sys
import time
from multiprocessing.sharedctypes import Synchronized

from fuzzing.inputs import fuzz


def try_inputs(
    seed: int, indices: list[int], kinds: list[str], place: Synchronized[int], found: Synchronized[int]
) -> None:
    """Try inputs and print the failures.

    Args:
        place: set to the position of the input that is being tried.
        found: number of failures.
    """
    for failure in fuzz(seed, indices, kinds, lambda position: setattr(place, "value", position)):
        found.value += 1
        print(f"{failure}\n", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzzing", description=__doc__)
    parser.add_argument("--number", type=int, default=5000, help="inputs to try")
    parser.add_argument("--first", type=int, default=0, help="index of the first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="index of the one input to try")
    parser.add_argument("--kinds", nargs="*", default=[], help="names of generators; default: all")
    choices = parser.parse_args()
    first, number = (choices.first, choices.number) if choices.only is None else (choices.only, 1)
    indices, started = list(range(first, first + number)), time.monotonic()
    # In a child, because an input may end the process itself: a stack overflow in a library written in C.
    context = multiprocessing.get_context("fork")
    place, found = context.Value("i", 0), context.Value("i", 0)
    rest = indices
    while rest:
        child = context.Process(target=try_inputs, args=(choices.seed, rest, choices.kinds, place, found))
        child.start()
        child.join()
        if child.exitcode == 0:
            break
        found.value += 1
        how = signal.Signals(-child.exitcode).name if child.exitcode and child.exitcode < 0 else "an error"
        print(f"seed {choices.seed}, input {rest[place.value]}: the process ended by {how}\n", flush=True)
        rest = rest[place.value + 1 :]
    print(f"{number} inputs, {found.value} failures, {time.monotonic() - started:.0f} s")
    return 1 if found.value else 0


if __name__ == "__main__":
    sys.exit(main())
