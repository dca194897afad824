"""Trained vectors of words, from a text file."""

from __future__ import annotations

from collections.abc import Set

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.readers.table import find_file, show


def read_vectors(path: str, wanted: Set[str], size: int) -> dict[str, np.ndarray]:
    """Word -> its vector (size,) float32, for the words that are wanted.

    Args:
        path: a word and its numbers a line, parted by spaces; a first line that counts both is passed over.

    Raises:
        DataError: a line that is not like that, vectors of another size, or none that is wanted.
    """
    place, found = find_file(path), {}
    try:
        with place.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                word, *cells = line.rstrip().rsplit(" ", size)
                if number == 1 and len(line.split()) == 2 and line.split()[0].isdigit():
                    continue
                if len(cells) != size or (number <= 2 and len(line.split()) != size + 1):
                    raise DataError(f"{place}: line {number}: a word and {len(line.split()) - 1} numbers, but "
                                    f"model.embedding.dim is {size}: set it to the size of the vectors")  # fmt: skip
                if word in wanted:
                    found[word] = vector(cells, f"{place}: line {number}, word {show(word)}")
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: not UTF-8 text (byte {error.start}): bring the vectors as a text file") from None
    except OSError as error:
        raise DataError(f"{place}: cannot be read ({error.strerror}): check its permissions") from None
    if not found:
        raise DataError(f"{place}: has a vector for none of the {len(wanted)} tokens: choose a tokenizer that takes "
                        "texts apart as it does, as data.tokenizer=word")  # fmt: skip
    return found


def vector(cells: list[str], where: str) -> np.ndarray:
    """The numbers of one line; a DataError where one is not finite."""
    try:
        values = np.array(cells, np.float32)
    except ValueError:
        values = np.array([np.nan], np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{where}: not all of it are finite numbers: take the line out")
    return values
