"""Pairs of texts, a source and its target: two columns of a table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from lstm_lab.config import ConfigError, DataError
from lstm_lab.config.validation import validate
from lstm_lab.data.inspection.columns import Columns
from lstm_lab.data.inspection.copies import copy_statistics, group_numbers
from lstm_lab.data.inspection.given_files import given_fields, not_used
from lstm_lab.data.inspection.labels import several_labels
from lstm_lab.data.inspection.languages import without_spaces
from lstm_lab.data.inspection.pair_names import CERTAIN, LANGUAGES, USUAL
from lstm_lab.data.inspection.result import Fields, Inspection, length_statistics
from lstm_lab.data.inspection.texts import find_label, row_format
from lstm_lab.data.kinds.text_pairs import TextPairs
from lstm_lab.data.kinds.user_text import UserTextFiles
from lstm_lab.data.preprocessing.splits import Texts
from lstm_lab.data.sources.csv_text_pairs import CSVTextPairs

LARGE = 10_000
"""Pairs from which on sub-words and a larger model are proposed, as conf/multi30k_lstm.yaml has them."""
MAX_WORDS = 500
"""Different words at most of texts that are read word by word."""
OTHER_KINDS = {"text", "label", "labels", "time", "targets", "channels", "features", "words"}
"""Fields of `data` that pairs do not have."""
MIN_PREFIX = 8
"""Characters that all cells of a column of remarks begin with."""


def pair_columns(columns: Columns, choices: Mapping[str, object]) -> tuple[str, str] | None:
    """The columns of sources and targets; None where the table does not hold pairs of texts.

    They are chosen, or have names that say so, or are the only two columns of texts beside no column of classes.
    """
    chosen = choices.get("name") == "csv_text_pairs"
    if not chosen and ("name" in choices or OTHER_KINDS & set(choices)):
        return None
    given = [choices.get(key) if choices.get(key) in columns.names else None for key in ("source", "target")]
    if given[0] is None and "source" in choices:
        columns.check("source", str(choices["source"]))
    if given[0] is not None and given[1] is not None:
        return str(given[0]), str(given[1])
    split = choices.get("split") or columns.split_column()
    free = [name for name in columns.names if name != split and name != choices.get("group")]
    texts = [name for name in free if _may_be_texts(columns, name)]
    found = _named(CERTAIN, texts) or _languages(columns, texts, given[0])
    if found is None and (chosen or not _has_classes(columns, dict(choices), texts, str(split) if split else None)):
        found = _named(USUAL, texts) or _only_two(columns, texts)
    if found is None and (chosen or given[0] is not None):
        raise DataError(f"{columns.path}: it is not plain which columns have the texts: set them by source=COLUMN "
                        "target=COLUMN")  # fmt: skip
    return found


def _may_be_texts(columns: Columns, name: str) -> bool:
    """Whether a column has texts or words, most of which are different, and which are not ids or remarks."""
    cells = columns.cells(name)
    distinct = {*cells}
    if columns.kinds[name] not in ("text", "category") or len(distinct) * 2 <= len(cells) or columns.ids([name]):
        return False
    filled = [cell for cell in cells if cell]
    if len(filled) * 2 <= len(cells) or len({cell[:MIN_PREFIX] for cell in filled}) == 1:
        return False
    return not all(re.fullmatch(r"\S*\d\S*", cell) for cell in filled)  # P1000 is an id.


def _named(names: Sequence[tuple[str, str]], texts: Sequence[str]) -> tuple[str, str] | None:
    """The first pair of names that columns have, whatever their case."""
    lower = {name.lower(): name for name in texts}
    return next(((lower[a], lower[b]) for a, b in names if a in lower and b in lower), None)


def _languages(columns: Columns, texts: Sequence[str], source: object) -> tuple[str, str] | None:
    """Two columns that are named after languages.

    Raises:
        DataError: there are more.
    """
    named = [name for name in texts if name.lower() in LANGUAGES]
    if len(named) > 2 and source is None:
        raise DataError(f"{columns.path}: has texts in {len(named)} languages ({', '.join(named)}): choose two by "
                        f"source={named[0]} target={named[1]}")  # fmt: skip
    if source in named:
        named = [str(source), *(name for name in named if name != source)][:2]
    return (named[0], named[1]) if len(named) == 2 else None


def _has_classes(columns: Columns, choices: Fields, texts: Sequence[str], split: str | None) -> bool:
    """Whether a column has the class or the labels of a text."""
    taken = {*texts, split}
    others = [name for name in columns.of_kind("category", "number") if name not in taken]
    return find_label(columns, others) is not None or several_labels(columns, choices, taken) is not None


def _only_two(columns: Columns, texts: Sequence[str]) -> tuple[str, str] | None:
    """The two columns of texts, where there are no more; words alone only of a file without names of columns."""
    long = [name for name in texts if columns.kinds[name] == "text"]
    between_tabs = not columns.format.header and columns.format.separator == "\t"
    two = texts if between_tabs and len(texts) == 2 and len(columns.names) <= 3 else long
    return (two[0], two[1]) if len(two) == 2 else None


def inspect_pairs(columns: Columns, choices: Fields, source: str, target: str) -> Inspection:
    """A table with a row for each pair of texts."""
    for key in ("split", "group", "id"):
        columns.check(key, choices.get(key))
    split = choices.get("split") or columns.split_column()
    data: Fields = {"name": "csv_text_pairs", "path": columns.path, "source": source, "target": target}
    data |= {"split": split} if split else {}
    ids = [name for name in columns.ids(columns.names) if len({*columns.cells(name)}) == len(columns.table.lines)]
    data |= {"id": ids[0]} if ids and "id" not in choices else {}
    data |= row_format(columns) | choices
    result = Inspection(str(columns.table.path), "pairs of texts", "", warnings=[*columns.remarks])
    found, data = read_with_given(result, data, CSVTextPairs.Config, given_fields(data))
    finish_pairs(result, found, data)
    used = {source: "source", target: "target", **({split: "split"} if split else {})}
    used |= {data[key]: key for key in ("id", "group") if data.get(key)}
    result.columns = columns.describe(used)
    return result


def read_with_given(
    result: Inspection, data: Fields, config: type[UserTextFiles.Config], given: Fields
) -> tuple[Texts, Fields]:
    """All pairs, and the fields with those of the files of other splits beside the one at `path`, if they are read."""
    if given:
        try:
            return validate(config, {**data, **given}, result.path).build().read(), {**data, **given}
        except (DataError, ConfigError) as error:
            result.warnings.append(not_used(given, DataError(str(error))))
    return validate(config, data, result.path).build().read(), data


def finish_pairs(result: Inspection, found: Texts, data: Fields) -> None:
    """Statistics and warnings of pairs, and the experiment that trains on them."""
    sources, targets = list(found.texts), [str(target) for target in found.labels.tolist()]
    tokenizers = [_tokenizer(texts) for texts in (sources, targets)]
    result.statistics["pairs"] = len(sources)
    longest = 0
    for side, texts, tokenizer in zip(("source", "target"), (sources, targets), tokenizers, strict=True):
        unit = "characters" if tokenizer["name"] == "character" else "words"
        counts = [len(text) if unit == "characters" else len(re.findall(r"\w+|[^\w\s]+", text)) for text in texts]
        result.statistics |= length_statistics(counts, f"{side} {unit}")
        longest = max(longest, int(np.percentile(counts, 99)) * (2 if tokenizer["name"] == "bpe" else 1))
    empty = sum(not text.strip() for text in (*sources, *targets))
    result.statistics["empty texts"] = empty
    equal = sum(a == b for a, b in zip(sources, targets, strict=True))
    result.statistics["pairs with equal texts"] = equal
    if empty:
        result.warnings.append(f"{empty} texts are empty: fill them in or remove the pairs")
    if 2 * equal > len(sources):
        result.warnings.append(f"in {equal} of {len(sources)} pairs both texts are equal: a copy is right there")
    several = len({*sources}) < len({*zip(sources, targets, strict=True)})
    if several:
        result.warnings.append("some sources have several targets: of equal sources all stay in one split, and exact "
                               "matches are then no full measure")  # fmt: skip
    statistics, warnings = copy_statistics(group_numbers(sources), [], [""] * len(sources), found.splits, "sources")
    result.statistics |= statistics
    result.warnings += warnings
    if "tokenizer" not in data:
        data["tokenizer"] = tokenizers[0]
        if tokenizers[1] != tokenizers[0]:
            data.setdefault("target_tokenizer", tokenizers[1])
    default = TextPairs.Config.model_fields["max_length"].default
    if longest > default:
        data.setdefault("max_length", min(400, -(-longest // 50) * 50))
    data.setdefault("batch_size", 64 if len(sources) > 1000 else 16)
    result.title = "A text written for a text, from pairs of them"
    result.experiment = {
        "data": data,
        **_proposal(sources, any(tokenizer["name"] == "character" for tokenizer in tokenizers)),
    }


def _is_large(sources: Sequence[str]) -> bool:
    return len(sources) >= LARGE


def _tokenizer(texts: Sequence[str]) -> Fields:
    """Tokens from which texts can be written as they are: characters for texts of a word or two, or without blanks;
    what stands between blanks, where that are few different words; else sub-words, more of them for many texts."""
    sample = texts[:: max(1, len(texts) // 1000)]
    words = [text.split() for text in sample]
    if without_spaces(sample) or np.mean([*map(len, words)]) <= 2:
        return {"name": "character", "lowercase": False}
    counts = Counter(word for own in words for word in own)
    if len(counts) <= MAX_WORDS and counts.total() >= 10 * len(counts):
        return {"name": "whitespace"}
    return {"name": "bpe", "vocab_size": 6000 if _is_large(texts) else 2000, "lowercase": False}


def _proposal(sources: Sequence[str], of_characters: bool) -> Fields:
    """Sections of the experiment besides `data`: those of conf/multi30k_lstm.yaml for many texts, those of
    conf/dates_lstm.yaml for characters, and between them for a few texts in words."""
    if _is_large(sources) and not of_characters:
        return {
            "task": {"name": "translate", "label_smoothing": 0.1},
            "model": {
                "name": "encoder_decoder", "embedding": {"dim": 256},
                "target_embedding": {"dim": 256, "tie_weights": True}, "hidden_size": 320,
                "dropout": {"input": 0.3, "output": 0.5},
            },
            "optimizer": {"lr": 2e-3}, "schedule": "cosine", "trainer": {"max_epochs": 12, "patience": None},
        }  # fmt: skip
    dim, hidden_size, dropout = (32, 64, {}) if of_characters else (128, 128, {"input": 0.2, "output": 0.3})
    return {
        "task": "translate",
        "model": {
            "name": "encoder_decoder", "embedding": {"dim": dim}, "target_embedding": {"dim": dim},
            "hidden_size": hidden_size, **({"dropout": dropout} if dropout else {}),
        },
        "optimizer": {"lr": 3e-3}, "schedule": "cosine",
        "trainer": {"max_epochs": 15 if len(sources) > 5000 else 60, "patience": None},
    }  # fmt: skip
