"""Texts with one class each, and texts with any number of labels each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lstm_lab.data.kinds.labelled import ClassificationDataset
from lstm_lab.data.kinds.multi_label import MultiLabelDataset
from lstm_lab.data.kinds.text_split import MultiLabelTextSplit, TextSplit
from lstm_lab.data.kinds.tokenized_texts import FittedTokenizer, TokenizedTexts
from lstm_lab.data.preprocessing.label_codes import CodedLabels, coded_labels, unlearnable_labels
from lstm_lab.data.preprocessing.splits import Texts, class_indices, unlearnable_classes


@dataclass(frozen=True)
class TextInfo(FittedTokenizer):
    """What a model and a task need to know of texts; saved with a run, so that it can read new texts."""

    input_size: int
    """Size of the vocabulary, padding and the unknown token included."""
    classes: tuple[str, ...]
    tokenizer: str
    """The fitted tokenizer as JSON text."""
    counts: tuple[int, ...] = ()
    """Texts of each class in the training split."""


@dataclass(frozen=True)
class MultiLabelTextInfo(FittedTokenizer):
    """The same of texts with several labels."""

    input_size: int
    """Size of the vocabulary, padding and the unknown token included."""
    labels: tuple[str, ...]
    tokenizer: str
    """The fitted tokenizer as JSON text."""
    counts: tuple[int, ...]
    """Texts with each label in the training split."""
    num_samples: int
    """Texts of the training split."""


class TextDataset(TokenizedTexts[TextInfo, TextSplit], ClassificationDataset[TextInfo]):
    """Base of the sources of texts with one class each: those of the training split."""

    Info = TextInfo
    split_type = TextSplit
    folds_by = frozenset({"samples", "classes"})

    @cached_property
    def info(self) -> TextInfo:
        metadata = self._prepared.metadata
        counts = np.bincount(self._train_labels, minlength=len(metadata["classes"]))
        return TextInfo(
            self._vocabulary_size, tuple(metadata["classes"]), metadata["tokenizer"], tuple(counts.tolist())
        )

    def code_labels(self, found: Texts) -> CodedLabels:
        classes, labels = class_indices(found.labels, found.splits, found.path)
        return CodedLabels(classes, labels, labels)

    def label_notes(self) -> tuple[str, ...]:
        return unlearnable_classes(self.info.classes, self.info.counts)

    def no_labels(self, texts: int, info: TextInfo) -> np.ndarray:
        return np.full(texts, -1)


class MultiLabelTextDataset(
    TokenizedTexts[MultiLabelTextInfo, MultiLabelTextSplit], MultiLabelDataset[MultiLabelTextInfo]
):
    """Base of the sources of texts with any number of labels each."""

    Info = MultiLabelTextInfo
    split_type = MultiLabelTextSplit

    @cached_property
    def info(self) -> MultiLabelTextInfo:
        metadata, train = self._prepared.metadata, self._train_labels
        counts = tuple(train.sum(0, dtype=np.int64).tolist())
        names = tuple(metadata["classes"])
        return MultiLabelTextInfo(self._vocabulary_size, names, metadata["tokenizer"], counts, len(train))

    def code_labels(self, found: Texts) -> CodedLabels:
        return coded_labels(found.labels.tolist(), found.label_names, found.path)

    def label_notes(self) -> tuple[str, ...]:
        return unlearnable_labels(self.info.labels, self.info.counts)

    def no_labels(self, texts: int, info: MultiLabelTextInfo) -> np.ndarray:
        return np.zeros((texts, len(info.labels)), np.float32)
