"""Pretrained word vectors from a text file."""

from __future__ import annotations

from collections.abc import Set

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.table import quoted


def read_vectors(path: str, wanted: Set[str], dim: int) -> dict[str, np.ndarray]:
    """Word -> its vector (dim,) float32, for those of the wanted words that the file has.

    Args:
        path: file with a word and its numbers on each line, separated by spaces; a first line with the number of words
            and of dimensions (word2vec's format) is skipped.

    Raises:
        DataError: a line of another form, vectors of another size, or none of the wanted words.
    """
    file_path, vectors = find_file(path), {}
    try:
        with file_path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                word, *cells = line.rstrip().rsplit(" ", dim)
                if number == 1 and len(line.split()) == 2 and line.split()[0].isdigit():
                    continue
                if len(cells) != dim or (number <= 2 and len(line.split()) != dim + 1):
                    raise DataError(f"{file_path}: line {number}: a word and {len(line.split()) - 1} numbers, but "
                                    f"model.embedding.dim is {dim}: set it to the size of the vectors")  # fmt: skip
                if word in wanted:
                    vectors[word] = _vector(cells, f"{file_path}: line {number}, word {quoted(word)}")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file_path}: not UTF-8 text (byte {error.start}): provide the vectors as a text file"
        ) from None
    except OSError as error:
        raise DataError(f"{file_path}: cannot be read ({error.strerror}): check its permissions") from None
    if not vectors:
        raise DataError(f"{file_path}: has a vector for none of the {len(wanted)} tokens: choose a tokenizer that "
                        "splits texts as the vectors' authors did, such as data.tokenizer=word")  # fmt: skip
    return vectors


def _vector(cells: list[str], where: str) -> np.ndarray:
    """The numbers of one line; a DataError where one is not finite."""
    try:
        values = np.array(cells, np.float32)
    except ValueError:
        values = np.array([np.nan], np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{where}: not all of it are finite numbers: remove the line")
    return values
