"""Translations without a network, and models of the target that do not read the source."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.text_pairs import END, TextPairSplit
from lstm_lab.tasks import next_step_baselines
from lstm_lab.tasks.next_step import NextStepMetrics, Tokens
from lstm_lab.tasks.translation.scores import text_scores


def baselines(train: TextPairSplit, split: TextPairSplit, num_tokens: int) -> dict[str, dict[str, float]]:
    """Name -> metric -> value: scores of texts, or the loss of tokens."""
    sources, targets = split.texts(), split.target_texts()
    nearest = nearest_targets(train.texts(), train.target_texts(), sources)
    texts = {"target of the nearest training source (TF-IDF)": nearest, "copy of the source": sources}
    scores = {name: text_scores(written, targets)[0] for name, written in texts.items()}
    return scores | ngrams(train, split, num_tokens)


def nearest_targets(train_sources: list[str], train_targets: list[str], sources: list[str]) -> list[str]:
    """The target of that training source whose TF-IDF vector has the largest cosine with a source's own."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    # Characters too: a text may have no spaces.
    tf_idf = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, max_features=50_000)
    known = tf_idf.fit_transform(train_sources).T.tocsr()
    rows = tf_idf.transform(sources)
    found: list[int] = []
    for start in range(0, rows.shape[0], 256):
        found += np.asarray((rows[start : start + 256] @ known).argmax(1)).ravel().tolist()
    return [train_targets[row] for row in found]


def ngrams(train: TextPairSplit, split: TextPairSplit, num_tokens: int) -> dict[str, dict[str, float]]:
    """Models of a token after the few before it in the target."""
    previous, target = _pairs(train, num_tokens)
    scores = {}
    for name, predict in next_step_baselines.of_tokens(previous, target, num_tokens + 1).items():
        metrics, size = NextStepMetrics(Tokens, predict_first=True), 2**22 // num_tokens + 1
        for before, y in zip(*(values.split(size) for values in _pairs(split, num_tokens)), strict=True):
            metrics.update(predict(before).unsqueeze(0), Batch(before, torch.tensor([len(y)]), y.unsqueeze(0)))
        scores[f"{name} of targets"] = {key: float(value) for key, value in metrics.compute().items()}
    return scores


def _pairs(split: TextPairSplit, num_tokens: int) -> tuple[Tensor, Tensor]:
    """Of each token of the targets those before it, (N, MAX_CONTEXT), the last one first and 0 for none, and itself.

    The end has the number V here: to these models 0 is no token.
    """
    y = split.target_tokens.take(split.targets)  # (N, U)
    valid, y = y >= 0, y.masked_fill(y == END, num_tokens)
    before = [pad(y, (k, 0))[:, : y.shape[1]] for k in range(1, next_step_baselines.MAX_CONTEXT + 1)]
    return torch.stack(before, 2)[valid], y[valid]
