"""Pairs of texts of a user, from two files of lines: line n of one belongs to line n of the other."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import numpy as np
from pydantic import model_validator

from lstm_lab.config import DataError
from lstm_lab.config.paths import FilePath
from lstm_lab.config.registry import Named
from lstm_lab.data.kinds.sample_fields import SAMPLE_FIELDS, SampleFields, check_given_groups
from lstm_lab.data.kinds.text_pairs import TextPairInfo, TextPairs, TextPairSplit
from lstm_lab.data.kinds.user_text import UserTextFileOptions, UserTextFiles
from lstm_lab.data.preprocessing.splits import Texts
from lstm_lab.data.readers.cells import texts_of
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.sample_table import SampleTable
from lstm_lab.data.readers.table import Table, read_text


class AlignedTexts(UserTextFiles[TextPairInfo, TextPairSplit], TextPairs, name="aligned_texts"):
    """Two files with a text on each line, as train.de and train.en, and where there are any two more for each split."""

    class Config(SampleFields, TextPairs.Config, UserTextFiles.Config):
        target_path: FilePath
        """File with the target of each line of `path`."""
        validation_target_path: FilePath | None = None
        """That of `validation_path`."""
        test_target_path: FilePath | None = None
        """That of `test_path`."""

        @model_validator(mode="after")
        def _files_come_in_pairs(self) -> AlignedTexts.Config:
            for split, source, target in (
                ("validation", self.validation_path, self.validation_target_path),
                ("test", self.test_path, self.test_target_path),
            ):
                if (source is None) != (target is None):
                    given, other = ("target_path", "path") if source is None else ("path", "target_path")
                    raise ValueError(f"{split}_{given} needs {split}_{other}, the file of the other side")
            check_given_groups(self.group, self.validation_path or self.test_path)
            return self

        def options(self) -> dict[str, object]:
            plain = {key: value for key, value in super().options().items() if key not in SAMPLE_FIELDS}
            return {**plain, "samples": self.sample_table()}

    def __init__(
        self, *, target_path: str, validation_target_path: str | None, test_target_path: str | None,
        target_tokenizer: Named | None, samples: SampleTable | None = None, **options: Unpack[UserTextFileOptions],
    ) -> None:  # fmt: skip
        super().__init__(
            **options, target_tokenizer=target_tokenizer, target_path=target_path,
            validation_target_path=validation_target_path, test_target_path=test_target_path, samples=samples,
        )  # fmt: skip
        self.samples = samples
        targets = {None: target_path, "validation": validation_target_path, "test": test_target_path}
        #: Path of a file of sources -> that of its targets.
        self.targets = {path: targets[split] or target_path for split, path in ((None, self.path), *self.given.items())}

    def files(self) -> list[Path]:
        return [*super().files(), *([find_file(self.samples.path)] if self.samples is not None else [])]

    def files_at(self, path: str) -> list[Path]:
        return [find_file(path), find_file(self.targets[path])]

    def read_at(self, path: str, split: str | None) -> Texts:
        files = self.files_at(path)
        source, target = (line_table(file, self.column) for file in files)
        if len(source.lines) != len(target.lines):
            raise DataError(f"{files[0]} has {len(source.lines)} lines and {files[1]} has {len(target.lines)}: line n "
                            "of one must belong to line n of the other")  # fmt: skip
        targets = np.array(texts_of(target, self.column), object)
        splits = groups = None
        if self.samples is not None and split is None:
            splits, groups = self.samples.read(len(targets), path)
        return Texts(texts_of(source, self.column), targets, str(files[0]), splits, groups)


def line_table(path: Path, column: str) -> Table:
    """Every line of a file, empty ones among them."""
    lines = read_text(path, "text", "one text on each line").removesuffix("\n").split("\n")
    return Table(path, {column: [line.strip() for line in lines]}, [*range(1, len(lines) + 1)])
