"""How a model of what comes next does, as plain values: where its loss lies, and stretches of what it was asked."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.next_step import FrameInfo
from lstm_lab.tasks.next_step import NextStep, Tokens, target_mask

STRETCH, LETTERS, POSITIONS, CONTEXT = 48, 32, 120, 24
"""Frames and tokens that are drawn one by one, places that are told apart, tokens shown of what stood before."""
LIKELIEST, MOST = 3, 12
"""Tokens named as what the model expected, and tokens or channels told apart by their loss."""
SHARES = (0.5, 0.75, 0.9, 0.97, 0.995, 1.0)
"""Of all steps asked about, ordered by surprise: where the steps stand that are shown with what was expected."""


@dataclass(frozen=True)
class Sequence:
    """What is kept of one sequence, T steps long."""

    nats: Tensor
    """(T,) negative log likelihood of each step; nan where nothing was asked."""
    truth: Tensor
    """(T,) token numbers, or (T, K) frames."""
    said: Tensor
    """(T, LIKELIEST) token numbers, the likeliest first; or (STRETCH, K) chance of each channel."""
    chances: Tensor
    """(T, LIKELIEST) of those tokens; nothing of frames."""


def next_steps(task: NextStep, answers: Iterable[tuple[Batch, Tensor]]) -> dict[str, Any]:
    """What there is to see, in nats; of tokens and of frames alike, but for what a step is."""
    form, tokens = task.form, task.form is Tokens
    kept: list[Sequence] = []
    tally = Tally(task.output_size)
    for batch, output in answers:
        asked = target_mask(batch, task.predict_first)
        nats = form.nll(output, batch.y).where(asked, math.nan)  # (B, T)
        if task.form is Tokens:
            chances, said = output.softmax(-1).topk(min(LIKELIEST, task.output_size))
            tally.tokens(output[asked], batch.y[asked])
        else:
            chances, said = output[:, :0], output[:, :STRETCH].sigmoid()
            tally.frames(output[asked], batch.y[asked])
        parts = (nats, batch.y, said, chances)
        for number, length in enumerate(batch.lengths.tolist()):
            kept.append(Sequence(*(part[number, :length].clone() for part in parts)))
    longest = max(len(sequence.nats) for sequence in kept)
    places = torch.full((len(kept), min(longest, POSITIONS)), math.nan)
    for row, sequence in zip(places, kept, strict=True):
        row[: len(sequence.nats)] = sequence.nats[:POSITIONS]
    every = torch.cat([sequence.nats for sequence in kept])
    found = {
        "kind": "next_step", "form": "tokens" if tokens else "frames", "steps": int((~every.isnan()).sum()),
        "nll": float(every.nanmean(dtype=torch.float64)), "places": _plain(places.nanmean(0)),
        "parts": tally.rows(_names(task)), "stretches": [_stretch(task, *chosen) for chosen in _chosen(kept)],
    }  # fmt: skip
    if task.form is Tokens:
        names = _names(task)
        # Padding and what stands for the unknown are no text.
        single = all(len(name) == 1 for name in names if not (name.startswith(("<", "[")) and len(name) > 1))
        # Pieces of words bring their spaces along.
        between = "" if single or any(name.startswith("Ġ") for name in names) else " "
        found |= {"single": single, "continuations": _continuations(kept, names, between)}
    return found


class Tally:
    """Of each token or channel: how often it stood there, what it cost, how often it was foreseen.

    Args:
        K: tokens, or channels.
    """

    def __init__(self, K: int) -> None:
        self.n, self.nats, self.found, self.said = torch.zeros(4, K, dtype=torch.float64).unbind()
        self.steps = 0

    def tokens(self, output: Tensor, y: Tensor) -> None:
        """(N, V) and (N,): the loss of a step is its token's."""
        K, answer = len(self.n), output.argmax(-1)
        nats = torch.nn.functional.cross_entropy(output, y, reduction="none").double()
        self._add(y.bincount(minlength=K), torch.bincount(y, nats, K), y[answer == y].bincount(minlength=K),
                  answer.bincount(minlength=K), len(y))  # fmt: skip

    def frames(self, output: Tensor, y: Tensor) -> None:
        """(N, K) twice: each channel has a share of the loss of a step, on or off."""
        nats = torch.nn.functional.binary_cross_entropy_with_logits(output, y, reduction="none").double()
        was, said = y > 0.5, output > 0
        self._add(was.sum(0), nats.sum(0), (was & said).sum(0), said.sum(0), len(y))

    def _add(self, n: Tensor, nats: Tensor, found: Tensor, said: Tensor, steps: int) -> None:
        for total, part in zip((self.n, self.nats, self.found, self.said), (n, nats, found, said), strict=True):
            total += part
        self.steps += steps

    def rows(self, names: tuple[str, ...]) -> list[dict[str, Any]]:
        """Those that the loss lies with, the largest share first."""
        whole = float(self.nats.sum())
        return [
            {
                "name": names[k], "n": int(self.n[k]), "steps": self.steps, "loss": float(self.nats[k]) / whole,
                "nats": float(self.nats[k]) / (int(self.n[k]) if int(self.n[k]) else 1),
                "found": int(self.found[k]), "said": int(self.said[k]),
            }
            for k in self.nats.argsort(descending=True, stable=True)[:MOST].tolist()
            if self.n[k] > 0 and whole > 0
        ]  # fmt: skip


def _names(task: NextStep) -> tuple[str, ...]:
    return task.info.channels if isinstance(task.info, FrameInfo) else task.info.tokens


def _chosen(kept: list[Sequence]) -> list[tuple[str, Sequence]]:
    """One in the middle and the worst, by the loss of a step; of those long enough to show something, if there are."""
    whole = [sequence for sequence in kept if not sequence.nats.isnan().all()]
    longest = max((len(sequence.nats) for sequence in whole), default=0)
    long = [sequence for sequence in whole if len(sequence.nats) >= min(STRETCH, longest) / 2]
    long.sort(key=lambda sequence: float(sequence.nats.nanmean()))
    middle = long[(len(long) - 1) // 2 : (len(long) + 1) // 2]
    return [("one in the middle", middle[0]), *([("the worst", long[-1])] if len(long) > 2 else [])] if long else []


def _stretch(task: NextStep, name: str, sequence: Sequence) -> dict[str, Any]:
    """The first steps of a sequence, one by one."""
    names, most = _names(task), LETTERS if (task.form is Tokens) else STRETCH
    truth = sequence.truth[:most]
    found: dict[str, Any] = {
        "name": name, "length": len(sequence.nats), "nll": float(sequence.nats.nanmean()),
        "nats": _plain(sequence.nats[:most]),
    }  # fmt: skip
    if task.form is Tokens:
        expected = sequence.said[:most, 0].tolist()
        return {**found, "tokens": [names[k] for k in truth.tolist()], "expected": [names[k] for k in expected]}
    heard = (truth > 0.5).any(0) | (sequence.said > 0.1).any(0)
    keys = heard.nonzero().squeeze(1)
    low, high = (int(keys[0]), int(keys[-1]) + 1) if len(keys) else (0, truth.shape[1])
    return {
        **found, "channels": list(names[low:high]),
        "chances": [
            [None if nats != nats else round(value, 3) for value in row]
            for row, nats in zip(sequence.said[:, low:high].tolist(), sequence.nats[:most].tolist(), strict=True)
        ],
        "played": (truth[:, low:high] > 0.5).nonzero().tolist(),
    }  # fmt: skip


def _continuations(kept: list[Sequence], names: tuple[str, ...], between: str) -> list[dict[str, Any]]:
    """Steps from the middle of all to the most surprising one: what stood before, what came, what was expected."""
    owner = torch.cat([torch.full((len(sequence.nats),), number) for number, sequence in enumerate(kept)])
    step = torch.cat([torch.arange(len(sequence.nats)) for sequence in kept])
    nats = torch.cat([sequence.nats for sequence in kept])
    # Behind a few tokens at least, or there would be nothing to go on from; of short sequences behind what there is.
    far = min(CONTEXT // 2, max(len(sequence.nats) for sequence in kept) // 2)
    places = ((~nats.isnan()) & (step >= far)).nonzero().squeeze(1)
    order = places[nats[places].argsort(stable=True)]
    rows = []
    for share in SHARES if len(order) else ():
        at = int(order[round(share * (len(order) - 1))])
        sequence, t = kept[int(owner[at])], int(step[at])
        before = [names[k] for k in sequence.truth[max(t - CONTEXT, 0) : t].tolist()]
        expected = zip(sequence.said[t].tolist(), sequence.chances[t].tolist(), strict=True)
        rows.append({
            "share": share, "before": between.join(before), "cut": t > CONTEXT, "truth": names[int(sequence.truth[t])],
            "chance": math.exp(-float(nats[at])), "expected": [[names[k], round(chance, 4)] for k, chance in expected],
        })  # fmt: skip
    return rows


def _plain(values: Tensor) -> list[float | None]:
    return [float(f"{value:.5g}") if value == value else None for value in values.tolist()]
