"""Files of the validation and the test split beside one of the training split, by their names."""

from __future__ import annotations

import re
from pathlib import Path

from lstm_lab.config import DataError
from lstm_lab.data.inspection.result import Fields
from lstm_lab.data.readers.locate import candidates

TRAIN = re.compile(r"(?<![A-Za-z])(?i:train(ing)?)(?![A-Za-z])|(?<=[a-z])Train(ing)?(?![a-z])")
"""What names a file or a folder of the training split."""
_OTHERS = {"validation": ("validation", "valid", "val", "dev", "testa"), "test": ("test", "testing", "testb")}


def given_files(path: str) -> dict[str, str]:
    """Split -> file or folder of it: test.csv beside train.csv, X_val.npy beside X_train.npy."""
    folder, name = Path(path).parent, Path(path).name
    found = TRAIN.search(name)
    if found is None:
        return {}
    given = {}
    for split, words in _OTHERS.items():
        for word in words:
            other = folder / (name[: found.start()] + _in_case_of(found[0], word) + name[found.end() :])
            if any(candidate.exists() for candidate in candidates(str(other))):
                given[split] = str(other)
                break
    return given


def _in_case_of(pattern: str, word: str) -> str:
    return word.upper() if pattern.isupper() else word.capitalize() if pattern[0].isupper() else word


def given_fields(data: Fields) -> Fields:
    """Fields of the files of other splits beside the one at `path`, unless splits were chosen."""
    chosen = {"split", "test_path", "validation_path", "validation", "test"}
    if chosen & set(data):
        return {}
    given: Fields = {}
    for split, path in given_files(str(data["path"])).items():
        y = targets_beside(path) if "y_path" in data else None
        if y is None and "y_path" in data:
            continue
        given |= {f"{split}_path": path} | ({f"{split}_y_path": y} if y else {})
    return given


def targets_beside(path: str) -> str | None:
    """The file of y beside an .npy file of X: y.npy beside X.npy, y_train.npy beside X_train.npy; None without any."""
    name = Path(path).name
    for pattern, new in ((r"^[xX](?=[_.])", "y"), (r"(?<=_)[xX](?=\.)", "y"), (r"(?i)data", "labels")):
        other = str(Path(path).with_name(re.sub(pattern, new, name)))
        if other != str(Path(path)) and any(candidate.is_file() for candidate in candidates(other)):
            return other
    return None


def not_used(given: Fields, error: DataError) -> str:
    """The warning about a file beside the training split that cannot be read as one like it.

    Args:
        given: of `given_fields`.
    """
    split, path = next((key.removesuffix("_path"), path) for key, path in given.items() if key.count("_") == 1)
    return f"{path} looks like the {split} split and is not used: {error}"
