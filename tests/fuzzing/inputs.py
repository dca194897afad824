"""All generators with their weights, and the loop over inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from fuzzing import commands, configurations, data_files, folders
from fuzzing.engine import Failure, Generator, surroundings, try_input

GENERATORS: dict[Generator, int] = {
    data_files.table: 30,
    data_files.sequences_ts: 4,
    data_files.text_folder: 3,
    data_files.arrays: 5,
    data_files.binary: 6,
    data_files.parquet: 8,
    data_files.new_data: 6,
    configurations.experiment: 16,
    configurations.sweep: 10,
    configurations.raw_yaml: 6,
    folders.run: 22,
    folders.sweep: 24,
    folders.checkpoint: 5,
    commands.overrides: 10,
    commands.words: 8,
}
"""Generator -> how often it is drawn."""


def fuzz(
    seed: int,
    indices: Iterable[int],
    kinds: Collection[str] = (),
    on_input: Callable[[int], None] = lambda position: None,
) -> Iterator[Failure]:
    """Try inputs, in this process.

    Args:
        kinds: names of generators; none: all.
        on_input: called with the position of each input before it is tried.

    Yields:
        Those that fail.
    """
    chosen = {generator: n for generator, n in GENERATORS.items() if not kinds or generator.__name__ in kinds}
    with tempfile.TemporaryDirectory(prefix="fuzz-shared-") as folder, surroundings(Path(folder)):
        folders.make_shared(Path(folder))
        for position, index in enumerate(indices):
            on_input(position)
            failure = try_input(seed, index, chosen, Path(folder))
            if failure is not None:
                yield failure
