"""A text for a recording: speech recognition, and whatever else is a shorter sequence of symbols in the same order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lstm_lab.config import Count
from lstm_lab.data.base import Batch, PredictionRow
from lstm_lab.data.kinds.transcripts import TranscriptInfo, Transcripts, TranscriptSplit
from lstm_lab.kernels.lengths import length_mask
from lstm_lab.tasks.base import Predictor, Task
from lstm_lab.tasks.classification import mean_of_classes
from lstm_lab.tasks.transcription.alignments import BLANK, best_path, prefix_beam
from lstm_lab.tasks.transcription.error_rates import ErrorRates, scores_of

WRITTEN = ("token_error_rate", "word_error_rate", "exact_match")


class Transcribe(Task[TranscriptSplit], name="transcribe"):
    """Connectionist temporal classification (Graves et al. 2006): at each step a symbol or none, trained without
    knowing where each symbol is.

    The loss is the negative log-probability of the texts, the sum over all alignments, in nats per symbol. Metrics are
    of the most probable alignment; an evaluation adds those of a prefix beam search, which predictions use too.
    """

    accepts = Transcripts
    data_hint = ", or read WAV files and their texts by data.name=recordings"
    per_step = True
    written_metrics = frozenset(f"beam_{name}" for name in WRITTEN)
    maximised = frozenset({"exact_match", "beam_exact_match"})

    class Config(Task.Config):
        monitor: Literal["token_error_rate", "word_error_rate", "exact_match", "loss"] = "token_error_rate"
        """Metric that compares epochs and trials; `loss` is finer where the validation split is small."""
        beams: Count = 16
        """Beginnings that a prefix beam search keeps at each step, in evaluations and predictions; 1: the text of the
        most probable alignment is taken."""

    def __init__(self, info: TranscriptInfo, monitor: str, beams: int) -> None:
        self.info, self.monitor, self.beams = info, monitor, beams
        self.output_size = len(info.symbols)

    def num_targets(self, batch: Batch) -> Tensor:
        return (batch.y >= 0).sum()

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        # Logits of padding must not even reach the gradient: 0 * nan is nan.
        valid = length_mask(batch.lengths.to(logits.device), logits.shape[1]).unsqueeze(-1)
        log_probabilities = logits.masked_fill(~valid, 0.0).log_softmax(-1).transpose(0, 1)  # (T, B, K)
        given = batch.y >= 0
        nats = F.ctc_loss(
            log_probabilities, batch.y[given], batch.lengths, given.sum(1).cpu(), blank=BLANK, reduction="sum"
        )
        return nats / self.num_targets(batch).clamp(min=1)

    def metrics(self) -> ErrorRates:
        return ErrorRates(self.info)

    @property
    def logits_form(self) -> object:
        return self.info.symbols

    def mean_logits(self, samples: Tensor) -> Tensor:
        return mean_of_classes(samples)

    @property
    def prediction_columns(self) -> tuple[str, ...]:
        return ("transcript",)

    @property
    def text_columns(self) -> tuple[str, ...]:
        return self.prediction_columns

    def predictions(self, logits: Tensor, batch: Batch | None = None) -> list[list[PredictionRow]]:
        """The text of each recording."""
        lengths = torch.full((len(logits),), logits.shape[1]) if batch is None else batch.lengths
        return [[[self.info.text(text)]] for text in self.decoded(logits, lengths)]

    def decoded(self, logits: Tensor, lengths: Tensor) -> list[list[int]]:
        """Symbol numbers of the text of each recording, as predictions have it."""
        if self.beams == 1:
            return best_path(logits, lengths)
        steps = logits.double().log_softmax(-1).cpu().numpy()
        return [prefix_beam(row[:length], self.beams) for row, length in zip(steps, lengths.tolist(), strict=True)]

    def decoded_scores(
        self, model: Predictor, split: TranscriptSplit, batches: Iterable[Batch]
    ) -> tuple[dict[str, float], dict[str, object]]:
        if self.beams == 1:
            return {}, {}
        written = [text for batch in batches for text in self.decoded(model.logits(batch), batch.lengths)]
        return {f"beam_{name}": value for name, value in scores_of(self.info, written, split.texts_of()).items()}, {}

    def baselines(self, train: TranscriptSplit, split: TranscriptSplit) -> dict[str, dict[str, float]]:
        """The most frequent symbols, and the text of the nearest recording."""
        from lstm_lab.tasks.transcription.baselines import baselines

        return baselines(self.info, train, split)
