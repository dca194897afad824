"""Examples of a model of the next step: loss by position and by token, excerpts, and continuations.

The plain values become the typed records of `lstm_lab.records.examples`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lstm_lab.records.files import Row
from lstm_lab.tasks.base import Outputs, plain_values
from lstm_lab.tasks.next_step import NextStep, Tokens, target_mask

MAX_FRAMES, MAX_TOKENS, MAX_POSITIONS, MAX_CONTEXT = 48, 32, 120, 24
"""Steps of an excerpt, positions with a loss of their own, tokens before a continuation."""
TOP, MAX_SHARES = 3, 12
"""Most probable tokens that are kept, and tokens or channels with the largest losses."""
QUANTILES = (0.5, 0.75, 0.9, 0.97, 0.995, 1.0)
"""Of the loss of a step: where the continuations are."""


@dataclass(frozen=True)
class Sequence:
    """What is kept of one sequence, T steps long."""

    nats: Tensor
    """(T,) negative log-likelihood of each step; NaN where it is no target."""
    target: Tensor
    """(T,) token indices, or (T, K) frames."""
    prediction: Tensor
    """(T, TOP) token indices, the most probable first; or (MAX_FRAMES, K) probability of each channel."""
    probability: Tensor
    """(T, TOP) of those tokens; empty for frames."""


def next_step_examples(task: NextStep, outputs: Outputs) -> Row:
    """`TokenExamples` or `FrameExamples` without what the run adds; losses are in nats."""
    form, has_tokens = task.form, task.form is Tokens
    sequences: list[Sequence] = []
    tally = Tally(task.output_size)
    for logits, batch in outputs:
        mask = target_mask(batch, task.predict_first)
        nats = form.nll(logits, batch.y).where(mask, math.nan)  # (B, T)
        if has_tokens:
            probability, prediction = logits.softmax(-1).topk(min(TOP, task.output_size))
            tally.add_tokens(logits[mask], batch.y[mask])
        else:
            probability, prediction = logits[:, :0], logits[:, :MAX_FRAMES].sigmoid()
            tally.add_frames(logits[mask], batch.y[mask])
        fields = (nats, batch.y, prediction, probability)
        for number, length in enumerate(batch.lengths.tolist()):
            sequences.append(Sequence(*(field[number, :length].clone() for field in fields)))
    longest = max(len(sequence.nats) for sequence in sequences)
    by_position = torch.full((len(sequences), min(longest, MAX_POSITIONS)), math.nan)
    for row, sequence in zip(by_position, sequences, strict=True):
        row[: len(sequence.nats)] = sequence.nats[:MAX_POSITIONS]
    all_nats = torch.cat([sequence.nats for sequence in sequences])
    names = task.names
    content = {
        "kind": "tokens" if has_tokens else "frames", "num_steps": int((~all_nats.isnan()).sum()),
        "nll": float(all_nats.nanmean(dtype=torch.float64)), "loss_by_position": plain_values(by_position.nanmean(0)),
        "largest_losses": tally.rows(names),
        "excerpts": [_excerpt(task, *chosen) for chosen in _chosen(sequences)],
    }  # fmt: skip
    if has_tokens:
        # Padding and the unknown token are no text.
        characters = all(len(name) == 1 for name in names if not (name.startswith(("<", "[")) and len(name) > 1))
        # Subword tokens include their spaces.
        separator = "" if characters or any(name.startswith("Ġ") for name in names) else " "
        content |= {"characters": characters, "continuations": _continuations(sequences, names, separator)}
    return content


class Tally:
    """Of each token or channel: how often it was the target, its loss, and how often it was predicted.

    Args:
        K: number of tokens, or of channels.
    """

    def __init__(self, K: int) -> None:
        self.n, self.nats, self.correct, self.predicted = torch.zeros(4, K, dtype=torch.float64).unbind()
        self.steps = 0

    def add_tokens(self, logits: Tensor, y: Tensor) -> None:
        """Logits (N, V) and targets (N,): the loss of a step counts for its target."""
        K, prediction = len(self.n), logits.argmax(-1)
        nats = torch.nn.functional.cross_entropy(logits, y, reduction="none").double()
        self._add(y.bincount(minlength=K), torch.bincount(y, nats, K), y[prediction == y].bincount(minlength=K),
                  prediction.bincount(minlength=K), len(y))  # fmt: skip

    def add_frames(self, logits: Tensor, y: Tensor) -> None:
        """Logits and targets (N, K): each channel has a share of the loss of a step, on or off."""
        nats = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="none").double()
        active, predicted = y > 0.5, logits > 0
        self._add(active.sum(0), nats.sum(0), (active & predicted).sum(0), predicted.sum(0), len(y))

    def _add(self, n: Tensor, nats: Tensor, correct: Tensor, predicted: Tensor, steps: int) -> None:
        totals = (self.n, self.nats, self.correct, self.predicted)
        for total, increment in zip(totals, (n, nats, correct, predicted), strict=True):
            total += increment
        self.steps += steps

    def rows(self, names: tuple[str, ...]) -> list[Row]:
        """Those with the largest shares of the loss, the largest first."""
        total = float(self.nats.sum())
        return [
            {
                "name": names[k], "n": int(self.n[k]), "steps": self.steps, "share": float(self.nats[k]) / total,
                "nats": float(self.nats[k]) / int(self.n[k]), "correct": int(self.correct[k]),
                "predicted": int(self.predicted[k]),
            }
            for k in self.nats.argsort(descending=True, stable=True)[:MAX_SHARES].tolist()
            if self.n[k] > 0 and total > 0
        ]  # fmt: skip


def _chosen(sequences: list[Sequence]) -> list[tuple[str, Sequence]]:
    """The median and the worst by mean loss, of the sequences long enough to show something, if there are any."""
    with_targets = [sequence for sequence in sequences if not sequence.nats.isnan().all()]
    longest = max((len(sequence.nats) for sequence in with_targets), default=0)
    long = [sequence for sequence in with_targets if len(sequence.nats) >= min(MAX_FRAMES, longest) / 2]
    long.sort(key=lambda sequence: float(sequence.nats.nanmean()))
    if not long:
        return []
    return [("median", long[(len(long) - 1) // 2]), *([("worst", long[-1])] if len(long) > 2 else [])]


def _excerpt(task: NextStep, name: str, sequence: Sequence) -> Row:
    """The first steps of a sequence."""
    has_tokens = task.form is Tokens
    names, most = task.names, MAX_TOKENS if has_tokens else MAX_FRAMES
    target = sequence.target[:most]
    content: Row = {
        "name": name, "length": len(sequence.nats), "nll": float(sequence.nats.nanmean()),
        "nats": plain_values(sequence.nats[:most]),
    }  # fmt: skip
    if has_tokens:
        likeliest = sequence.prediction[:most, 0].tolist()
        tokens, predictions = ([names[k] for k in indices] for indices in (target.tolist(), likeliest))
        return {**content, "tokens": tokens, "predictions": predictions}
    in_use = ((target > 0.5).any(0) | (sequence.prediction > 0.1).any(0)).nonzero().squeeze(1)
    low, high = (int(in_use[0]), int(in_use[-1]) + 1) if len(in_use) else (0, target.shape[1])
    return {
        **content, "channels": list(names[low:high]),
        "probabilities": [
            [None if nats != nats else value for value in row]
            for row, nats in zip(sequence.prediction[:, low:high].tolist(), sequence.nats[:most].tolist(), strict=True)
        ],
        "active": (target[:, low:high] > 0.5).nonzero().tolist(),
    }  # fmt: skip


def _continuations(sequences: list[Sequence], names: tuple[str, ...], separator: str) -> list[Row]:
    """Steps at the quantiles of the loss: context, target and most probable tokens."""
    owner = torch.cat([torch.full((len(sequence.nats),), number) for number, sequence in enumerate(sequences)])
    step = torch.cat([torch.arange(len(sequence.nats)) for sequence in sequences])
    nats = torch.cat([sequence.nats for sequence in sequences])
    # With some context at least; of short sequences with half of what there is.
    least = min(MAX_CONTEXT // 2, max(len(sequence.nats) for sequence in sequences) // 2)
    candidates = ((~nats.isnan()) & (step >= least)).nonzero().squeeze(1)
    order = candidates[nats[candidates].argsort(stable=True)]
    rows = []
    for quantile in QUANTILES if len(order) else ():
        at = int(order[round(quantile * (len(order) - 1))])
        sequence, t = sequences[int(owner[at])], int(step[at])
        context = [names[k] for k in sequence.target[max(t - MAX_CONTEXT, 0) : t].tolist()]
        likeliest = zip(sequence.prediction[t].tolist(), sequence.probability[t].tolist(), strict=True)
        rows.append({
            "quantile": quantile, "context": separator.join(context), "truncated": t > MAX_CONTEXT,
            "target": names[int(sequence.target[t])], "probability": math.exp(-float(nats[at])),
            "predictions": [(names[k], probability) for k, probability in likeliest],
        })  # fmt: skip
    return rows
