"""A text for a text: translation, and whatever else is learned from pairs of texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from lstm_lab import config
from lstm_lab.config import Count
from lstm_lab.data.base import Batch, PredictionRow
from lstm_lab.data.kinds.text_pairs import END, TextPairInfo, TextPairs, TextPairSplit
from lstm_lab.records.files import Row
from lstm_lab.tasks.base import Predictor, Task
from lstm_lab.tasks.classification import mean_of_classes
from lstm_lab.tasks.next_step import NextStepMetrics, Tokens


class Search(config.Config):
    """How the text of a new source is searched for."""

    beams: Count = 5
    """Beginnings that are kept at each step (beam search); 1: the most probable token of each step is taken."""
    length_penalty: Annotated[float, Field(ge=0.0)] = 1.0
    """Log-probabilities are divided by ((5 + length) / 6) to this power (Wu et al. 2016): more favours longer texts."""
    max_length: Count = 100
    """Tokens that are written at most, the end included."""


class TargetMetrics(NextStepMetrics):
    """Over all tokens of the targets, each after the true ones before it: `nll` in nats, `perplexity`, `bits`, and
    `accuracy`, the share that was most likely."""

    def __init__(self) -> None:
        super().__init__(Tokens, predict_first=True)

    def update(self, logits: Tensor, batch: Batch) -> None:
        """Add logits (B, U, V) of a batch."""
        super().update(logits, batch._replace(lengths=(batch.y >= 0).sum(1)))


class Translate(Task[TextPairSplit], name="translate"):
    """Each token of a target, after its source and the tokens before it; predictions are texts.

    The loss is the cross-entropy of a token in nats, averaged over all tokens of all targets, the end of each among
    them. An evaluation adds BLEU and chrF of the texts that the model writes, and the share that is the target.
    """

    accepts = TextPairs
    data_hint = ", or read pairs of texts by data.name=csv_text_pairs"
    written_metrics = frozenset({"bleu", "chrf", "exact_match"})
    maximised = frozenset({"accuracy"}) | written_metrics
    decodes = True

    class Config(Task.Config):
        monitor: Literal["nll", "accuracy"] = "nll"
        """Metric that compares epochs and trials, of each token after the true ones before it."""
        label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
        """Share of the target probability that is spread over all tokens (Szegedy et al. 2016), in training."""
        search: Search = Search()
        """How the text of a new source is searched for."""

    def __init__(self, info: TextPairInfo, monitor: str, label_smoothing: float, search: Search) -> None:
        self.info, self.monitor, self.label_smoothing, self.search = info, monitor, label_smoothing, search
        self.output_size = len(info.target_vocabulary.tokens)

    def num_targets(self, batch: Batch) -> Tensor:
        return (batch.y >= 0).sum()

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        sums = F.cross_entropy(
            logits.flatten(0, 1), batch.y.flatten(), ignore_index=-1, reduction="sum",
            label_smoothing=self.label_smoothing,
        )  # fmt: skip
        return sums / self.num_targets(batch).clamp(min=1)

    def metrics(self) -> TargetMetrics:
        return TargetMetrics()

    @property
    def logits_form(self) -> object:
        return self.info.target_tokenizer

    def mean_logits(self, samples: Tensor) -> Tensor:
        return mean_of_classes(samples)

    @property
    def prediction_columns(self) -> tuple[str, ...]:
        return ("translation",)

    @property
    def text_columns(self) -> tuple[str, ...]:
        return self.prediction_columns

    def predictions(self, logits: Tensor, batch: Batch | None = None) -> list[list[PredictionRow]]:
        """The most likely token of each step, each after the true ones before it."""
        return [[[text]] for text in self.texts(logits.argmax(-1))]

    def predict(self, model: Predictor, batch: Batch) -> list[list[PredictionRow]]:
        return [[[text]] for text in self.texts(model.decode(batch, self.search).tokens)]

    def texts(self, tokens: Tensor) -> list[str]:
        """The text of each row (B, U) of token numbers, up to its end."""
        return [self.info.target_vocabulary.decode(row) for row in text_tokens(tokens)]

    def decoded_scores(
        self, model: Predictor, split: TextPairSplit, batches: Iterable[Batch]
    ) -> tuple[dict[str, float], dict[str, object]]:
        from lstm_lab.tasks.translation.scores import text_scores

        written = [text for batch in batches for text in self.texts(model.decode(batch, self.search).tokens)]
        return text_scores(written, split.target_texts())

    def baselines(self, train: TextPairSplit, split: TextPairSplit) -> dict[str, dict[str, float]]:
        """The target of the most similar source of the training split, the source itself, and n-grams of targets."""
        from lstm_lab.tasks.translation.baselines import baselines

        return baselines(train, split, self.output_size)

    def collect_examples(self, model: Predictor, batches: Iterable[Batch]) -> Row:
        from lstm_lab.tasks.translation.examples import translation_examples

        return translation_examples(self, model, batches)


def text_tokens(tokens: Tensor) -> list[list[int]]:
    """Token numbers (B, U) without the end of each row, and what is behind it."""
    rows = tokens.tolist()
    return [row[: row.index(END)] if END in row else [number for number in row if number > END] for row in rows]
