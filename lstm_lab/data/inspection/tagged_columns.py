"""Files with a word and its tag on each line, as of CoNLL's shared tasks: whether a file is one, and its columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from lstm_lab.config import DataError
from lstm_lab.data.inspection.result import Fields, Inspection
from lstm_lab.data.inspection.sequence_tables import TAG_NAMES, WORD_NAMES
from lstm_lab.data.inspection.sequences import inspect_sequences
from lstm_lab.data.kinds.span_tags import mark_spans
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.table import TYPED, ending_of, read_text
from lstm_lab.data.sources.conll import DOCUMENT

LINES = 5000
"""Lines that a file is recognised by."""
MAX_TAGS = 1000
"""Different tags at most; those of CoNLL-U with their features are some hundreds."""
OTHER_KINDS = {"time", "targets", "channels", "id", "text", "label", "labels", "source", "separator", "words"}
"""Fields of `data` that a file of tagged words does not have."""
CONLLU_COLUMNS = 10
"""Number, form, lemma, universal and own part of speech, features, head, relation, and two more."""

Rows = list[list[str]]


def is_conll(path: str, choices: Mapping[str, object]) -> bool:
    """Whether a file has words and tags in columns, with an empty line after each sentence."""
    if choices.get("name", "conll") != "conll" or OTHER_KINDS & set(choices):
        return False
    if "name" in choices:
        return True
    try:
        file = find_file(path)
        if ending_of(file) in (*TYPED, ".csv", ".ts", ".npy", ".npz", ".h5", ".hdf5"):
            return False
        sentences = _sentences(read_text(file, "text"))
    except DataError:
        return False
    return _columns_of(sentences) is not None


def inspect_conll(path: str, choices: Fields) -> Inspection:
    """A file of tagged words, and those of the other splits beside it."""
    file = find_file(path)
    sentences = _sentences(read_text(file, "columns of words and tags", "a word and its tag on each line"))
    word, tag = _columns_of(sentences) or (0, -1)
    width = _usual_width(sentences)
    data: Fields = {"name": "conll", "path": path}
    data |= {"word_column": word + 1} if word else {}
    data |= {"tag_column": tag + 1} if tag not in (-1, width - 1) else {}
    data |= choices
    result = inspect_sequences(Inspection(str(file), "sentences with a tag for each word", ""), data, of_words=True)
    if mark_spans(result.classes):
        # Most words are outside of all spans, which a model that finds none has right.
        result.experiment["task"] = {"name": "tag", "monitor": "span_f1"}
        result.title = "Names and other spans of sentences, by a tag for each word"
    first = sentences[0][0] if sentences else []
    names = [cell.lower() for cell in first]
    if len(first) > 1 and (names[word] in WORD_NAMES and names[tag] in (*TAG_NAMES, "upos")):
        result.warnings.append(f"the first line, {' '.join(first)!r}, looks like names of columns, but is read as a "
                               "word and its tag: remove it")  # fmt: skip
    return result


def _sentences(text: str) -> list[Rows]:
    """The columns of the lines between empty ones, of the first lines; comments and marks of documents left out."""
    found: list[Rows] = [[]]
    for line in text.split("\n", LINES)[:LINES]:
        line = line.rstrip()
        row = line.split("\t") if "\t" in line else line.split()
        if not row:
            found.append([])
        elif row[0] != DOCUMENT and not line.startswith(("# ", "#\t")):
            found[-1].append(row)
    return [rows for rows in found if rows]


def _usual_width(sentences: Sequence[Rows]) -> int:
    """Columns of most lines."""
    return Counter(len(row) for rows in sentences for row in rows).most_common(1)[0][0] if sentences else 0


def _columns_of(sentences: Sequence[Rows]) -> tuple[int, int] | None:
    """Columns of words and of tags, from 0; None where the lines are not those of tagged words.

    They are if nine of ten lines have equally many columns, one column has words, another a few tags that occur again
    and again, and sentences have more than one word. A column of numbers, which is not one that counts the words,
    says that the file is a table.
    """
    width = _usual_width(sentences)
    rows = [row for sentence in sentences for row in sentence]
    usual = [row for row in rows if len(row) == width]
    if width < 2 or len(usual) * 10 < len(rows) * 9 or len(sentences) < 2 or len(rows) < 2 * len(sentences):
        return None
    sentences = [[row for row in sentence if len(row) == width] for sentence in sentences]
    counts = [number for number in range(width) if _counts_words(sentences, number)]
    if width == CONLLU_COLUMNS and counts[:1] == [0]:
        return 1, 3
    numbers = [number for number in range(width) if number not in counts and _share(usual, number, _NUMBER) > 0.9]
    words = next((number for number in range(width)
                  if number not in counts and _share(usual, number, _LETTER) > 0.4
                  and not _is_constant(sentences, number)), None)  # fmt: skip
    if words is None or numbers:
        return None
    tags = [number for number in range(width - 1, words, -1) if _are_tags(usual, number, words)]
    return (words, tags[0]) if tags else None


_NUMBER = re.compile(r"[+-]?\d*[.,]?\d+([eE][+-]?\d+)?")
_LETTER = re.compile(r"\S*[^\W\d_]\S*")
_MULTIWORD = re.compile(r"\d+[-.]\d+")
"""Matches the number of a line of CoNLL-U for several words at once, or for none."""


def _share(rows: Rows, number: int, pattern: re.Pattern[str]) -> float:
    """Of the rows, those whose cell matches."""
    return sum(pattern.fullmatch(row[number]) is not None for row in rows) / len(rows)


def _counts_words(sentences: Sequence[Rows], number: int) -> bool:
    """Whether a column counts the words of each sentence, from 0 or 1."""
    for sentence in sentences:
        cells = [row[number] for row in sentence if not _MULTIWORD.fullmatch(row[number])]
        if not any(cells == [*map(str, range(start, start + len(cells)))] for start in (0, 1)):
            return False
    return True


def _is_constant(sentences: Sequence[Rows], number: int) -> bool:
    """Whether a column is the same in all words of each sentence, as the name of a document is."""
    return all(len({row[number] for row in sentence}) < 2 for sentence in sentences)


def _are_tags(rows: Rows, number: int, words: int) -> bool:
    """Whether a column has at least two tags, without blanks, far fewer than words. Those in small letters, which may
    be words, are fewer still."""
    tags, distinct_words = {row[number] for row in rows}, len({row[words] for row in rows})
    plain = all(tag and not re.search(r"\s", tag) for tag in tags)
    small = sum(tag.islower() for tag in tags) * 2 > len(tags)
    return plain and 2 <= len(tags) <= min(MAX_TAGS, len(rows) // 2, distinct_words // (4 if small else 2))
