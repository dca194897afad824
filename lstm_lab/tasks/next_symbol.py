"""The next symbol of a string of a formal language, and whether a whole string is understood."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torchmetrics import Metric

from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.next_step import NextStepSequences, NextStepSplit
from lstm_lab.data.sources.formal_language import FormalLanguage, LanguageInfo
from lstm_lab.tasks import next_step_baselines
from lstm_lab.tasks.base import TaskMetrics, score
from lstm_lab.tasks.next_step import NextStep, NextStepMetrics, Tokens
from lstm_lab.tasks.step_losses import Reduction


class WholeStrings(Metric):
    """Of the symbols that the steps before determine, the share that is right, and the share of strings in which all of
    them are. Right is the most likely one of those that the language lets be chosen from.

    Args:
        info: of the language.
    """

    counts: Tensor

    def __init__(self, info: LanguageInfo) -> None:
        super().__init__()
        self.rules = info.rules
        # Steps that are right, steps, strings that are right, strings.
        self.add_state("counts", torch.zeros(4, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, batch: Batch) -> None:
        """Add logits (B, T, V) of a batch."""
        for z, y, length in zip(logits.cpu(), batch.y.cpu(), batch.lengths.tolist(), strict=True):
            choices = torch.from_numpy(self.rules.choices(y[:length].numpy()))  # (T, V)
            determined = choices.any(1)
            right = (z[:length].masked_fill(~choices, -torch.inf).argmax(1) == y[:length])[determined]
            found = [right.sum(), len(right), bool(right.all()), 1]
            self.counts += self.counts.new_tensor([float(value) for value in found])

    def compute(self) -> dict[str, Tensor]:
        right, steps, strings, count = self.counts
        return {"whole_string": strings / count, "determined": right / steps.clamp(min=1)}


class NextSymbolMetrics(nn.Module, TaskMetrics):
    """The metrics of `next_step`, and those of strings."""

    def __init__(self, info: LanguageInfo, predict_first: bool) -> None:
        super().__init__()
        self.of_steps, self.of_strings = NextStepMetrics(Tokens, predict_first), WholeStrings(info)

    def update(self, logits: Tensor, batch: Batch) -> None:
        self.of_steps.update(logits, batch)
        self.of_strings.update(logits, batch)

    def compute(self) -> dict[str, Tensor]:
        return {**self.of_steps.compute(), **self.of_strings.compute()}

    def reset(self) -> None:
        self.of_steps.reset()
        self.of_strings.reset()


class NextSymbol(NextStep, name="next_symbol"):
    """`next_step` of the strings of a formal language: of a string counts whether every symbol that the language
    determines is predicted."""

    accepts: ClassVar[type[NextStepSequences]] = FormalLanguage
    maximised = NextStep.maximised | {"whole_string", "determined"}

    class Config(NextStep.Config):
        monitor: Literal["nll", "accuracy", "whole_string", "determined"] = "nll"  # type: ignore[assignment]
        """Metric that compares epochs and trials: whole_string, the share of strings in which all symbols that the
        steps before determine are right; determined, the share of those symbols."""

    info: LanguageInfo

    def __init__(self, info: LanguageInfo, monitor: str, predict_first: bool, reduction: Reduction = "mean") -> None:
        super().__init__(info, monitor, predict_first, reduction)

    def metrics(self) -> NextSymbolMetrics:  # type: ignore[override]
        return NextSymbolMetrics(self.info, self.predict_first)

    def baselines(self, train: NextStepSplit, split: NextStepSplit) -> dict[str, dict[str, float]]:
        """Models of the few symbols before, which can neither count nor remember a bracket."""
        previous, target = self._pairs(train)
        before, _ = self._pairs(split)
        lengths = split.inputs.lengths.tolist()
        batch = split.take(torch.arange(len(split)))
        skipped = 0 if self.predict_first else 1
        scores = {}
        for name, predict in next_step_baselines.of_tokens(previous, target, self.output_size).items():
            steps = predict(before).split([length - skipped for length in lengths])
            unknown = torch.zeros(skipped, self.output_size, dtype=steps[0].dtype)
            logits = pad_sequence([torch.cat([unknown, part]) for part in steps], batch_first=True)
            scores[name] = score(self.metrics(), logits, batch)
        return scores
