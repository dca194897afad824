"""Sequences continued by a model that predicts the next step: texts, tokens, frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lstm_lab.config import ConfigError
from lstm_lab.data.kinds.next_step import FrameInfo, NextStepSequences, TokenInfo
from lstm_lab.data.kinds.step_text import StepText
from lstm_lab.deploy.sampling import Sampling
from lstm_lab.evaluation.predict import load
from lstm_lab.experiment import Accelerator
from lstm_lab.models.base import StatefulModel
from lstm_lab.models.state import EncoderState, map_state
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run
from lstm_lab.tasks.next_step import NextStep, Tokens
from lstm_lab.training.learner import Learner


class Generation(NamedTuple):
    """What a model wrote behind a prompt."""

    prompt: str
    """As the model has read it."""
    continuation: str
    steps: int
    """Of the continuation; that of a text which a stop text has cut may be shorter."""
    log_likelihood: float
    """Of these steps after the prompt, in nats, at temperature 1."""
    stopped: bool
    """Whether a stop text ended it."""

    @property
    def text(self) -> str:
        """Prompt and continuation."""
        return self.prompt + self.continuation

    def to_record(self) -> Row:
        """As plain values, for JSON."""
        return {**self._asdict(), "text": self.text}


def generate(
    run: Run, prompt: str, sampling: Sampling | None = None, accelerator: Accelerator | None = None
) -> Generation:
    """Continue a prompt with the best epoch of a run.

    Args:
        run: of task `next_step`.
        prompt: the beginning: a text; names of tokens; or frames, each a line with the names of its channels.
        sampling: how steps are chosen; None: drawn, with its defaults.
        accelerator: None: that of the run's experiment, or the CPU where there is no GPU.

    Raises:
        ConfigError: the run has another task, an option would have no effect, or there is no checkpoint yet.
        DataError: the prompt names something that the model does not know.
    """
    sampling = sampling or Sampling()
    loaded = load(run, accelerator)
    learner, dataset = loaded.learner, loaded.dataset
    if not isinstance(learner.task, NextStep) or not isinstance(dataset, NextStepSequences):
        raise ConfigError(
            f"prompt: a run of task '{learner.task.name}' continues no sequences: it needs task next_step; give a file "
            "of new data instead"
        )
    assert isinstance(loaded.info, FrameInfo | TokenInfo)
    writer = dataset.step_text(loaded.info)
    steps = torch.from_numpy(writer.parse(prompt))
    if not len(steps) and not learner.task.predict_first:
        raise ConfigError("prompt: is empty, and the model was not trained to predict the first step: give at least one"
                          " token or frame, or train with task.predict_first=true")  # fmt: skip
    with torch.inference_mode():
        reader = StepReader(learner, writer.never)
        search = _draw if sampling.beams is None else _beam_search
        found = search(reader, reader.begin(steps), sampling, _stop_test(writer, steps, sampling.stop))
    start, text = writer.write(steps.numpy()), writer.write(torch.cat([steps, found.steps]).numpy())
    end = _stop_position(text, len(start), sampling.stop)
    return Generation(start, text[len(start) : end], len(found.steps), found.log_likelihood, end is not None)


class StepReader:
    """A next-step model that reads step by step, with the state carried.

    Args:
        learner: of task `next_step`, in evaluation mode.
        never: numbers of tokens that get probability 0.

    Raises:
        ConfigError: the model carries no state.
    """

    def __init__(self, learner: Learner, never: tuple[int, ...] = ()) -> None:
        model, task = learner.model, learner.task
        if not isinstance(model, StatefulModel):
            raise ConfigError(f"prompt: model '{model.name}' carries no state from step to step: use model: sequence")
        assert isinstance(task, NextStep)
        self.model, self.task, self.device, self.never = model, task, learner.device, list(never)
        self.state: EncoderState | None = None

    def begin(self, steps: Tensor) -> Tensor:
        """Read the beginning of one sequence, (T,) or (T, K): the logits (1, output_size) of what follows."""
        self.state = None
        first = steps.new_zeros(1, *steps.shape[1:])  # Before the first step the model reads 0, as in training.
        return self._read(torch.cat([first, steps]).unsqueeze(0))

    def read(self, steps: Tensor, continued: Tensor | None = None) -> Tensor:
        """Read the next step (B,) or (B, K) of each sequence: the logits (B, output_size) of what follows.

        Args:
            continued: (B,) number of the sequence that each continues; None: the same ones.
        """
        if continued is not None and self.state is not None:
            index = continued.to(self.device)
            self.state = map_state(lambda tensor: tensor[index], self.state)
        return self._read(steps.unsqueeze(1))

    def _read(self, x: Tensor) -> Tensor:
        lengths = torch.full((len(x),), x.shape[1], dtype=torch.int64)
        output, self.state = self.model.forward_stateful(x.to(self.device), lengths, self.state)
        logits = output.logits[:, -1].cpu().float()
        logits[:, self.never] = -torch.inf
        return logits


class _Found(NamedTuple):
    """(N,) tokens or (N, K) frames, and the logarithm of their probability."""

    steps: Tensor
    log_likelihood: float


StopTest = Callable[[Tensor], bool]
"""Whether the steps of a continuation contain a stop text."""


def _draw(reader: StepReader, logits: Tensor, sampling: Sampling, is_stopped: StopTest) -> _Found:
    """Steps that are drawn one by one, or the most likely ones."""
    tokens = reader.task.form is Tokens
    draw = sampling.draw_token if tokens else sampling.for_frames().draw_frame
    steps: list[Tensor] = []
    nats, generator = 0.0, sampling.generator
    while True:
        step = draw(logits, generator)  # (1,) or (1, K)
        nats += float(reader.task.form.nll(logits.unsqueeze(1), step.unsqueeze(1)))
        steps.append(step)
        found = torch.cat(steps)
        if len(steps) == sampling.length or is_stopped(found):
            return _Found(found, -nats)
        logits = reader.read(step)


def _beam_search(reader: StepReader, logits: Tensor, sampling: Sampling, is_stopped: StopTest) -> _Found:
    """The most probable continuation among those that keep the `beams` most probable beginnings at each step."""
    if reader.task.form is not Tokens:
        sampling.for_frames()
    width = sampling.beams or 1
    begun, scores = torch.empty(1, 0, dtype=torch.int64), torch.zeros(1, dtype=torch.float64)
    best: _Found | None = None
    for step in range(sampling.length):
        totals = scores.unsqueeze(1) + logits.double().log_softmax(-1)  # (beams, V)
        scores, flat = totals.flatten().topk(min(width, totals.numel()))
        scores, flat = scores[scores > -torch.inf], flat[scores > -torch.inf]
        parents, tokens = flat // logits.shape[1], flat % logits.shape[1]
        begun = torch.cat([begun[parents], tokens.unsqueeze(1)], 1)
        last = step == sampling.length - 1
        ended = torch.tensor([last or is_stopped(each) for each in begun])
        for row in ended.nonzero().squeeze(1).tolist():
            if best is None or float(scores[row]) > best.log_likelihood:
                best = _Found(begun[row], float(scores[row]))
        begun, scores, parents, tokens = begun[~ended], scores[~ended], parents[~ended], tokens[~ended]
        # A longer continuation is never more probable than its beginning.
        if not len(begun) or (best is not None and best.log_likelihood >= float(scores[0])):
            break
        logits = reader.read(tokens, parents)
    assert best is not None
    return best


def _stop_test(writer: StepText, prompt: Tensor, stop: tuple[str, ...]) -> StopTest:
    start = len(writer.write(prompt.numpy()))

    def is_stopped(steps: Tensor) -> bool:
        text = writer.write(np.concatenate([prompt.numpy(), steps.numpy()])) if stop else ""
        return _stop_position(text, start, stop) is not None

    return is_stopped


def _stop_position(text: str, start: int, stop: tuple[str, ...]) -> int | None:
    """Where the first of the stop texts begins in a text, from `start` on."""
    found = [place for each in stop if (place := text.find(each, start)) >= 0]
    return min(found, default=None)
