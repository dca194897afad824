"""Predictions of a trained run on samples of its validation split, collected once for the page, W&B and the API.

The test split is never read here. Of a large split at most `MAX_SAMPLES` samples are taken, evenly spread over it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lstm_lab.config import DataError, Fault
from lstm_lab.data.base import Dataset, Split
from lstm_lab.evaluation.evaluate import load_weights
from lstm_lab.evaluation.predictor import LearnerPredictor
from lstm_lab.experiment import recorded_experiment
from lstm_lab.records.examples import AnyExamples, parse_examples, read_examples, write_examples
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run
from lstm_lab.training.learner import Learner
from lstm_lab.training.train import build

MAX_SAMPLES, BATCH_SIZE, MAX_TEXT = 2048, 64, 400
"""Samples predicted at most and at once, and characters that are kept of a text."""


def examples_of(run: Run) -> AnyExamples | None:
    """Examples of the best epoch, from examples.json, or computed and written where that is of another epoch.

    Returns:
        None where the task has no examples.

    Raises:
        Fault: there is no checkpoint, or the data are missing or not those it was trained on.
    """
    best = (run.status.get("best") or {}).get("epoch")
    examples = read_examples(run.path)
    if examples is not None and examples.epoch == best:
        return examples
    examples = compute_examples(run)
    if examples is not None:
        write_examples(run.path, examples)
    return examples


def compute_examples(run: Run) -> AnyExamples | None:
    """Predict samples of the validation split with the weights of the best epoch.

    Raises:
        Fault: as `examples_of`.
    """
    experiment = recorded_experiment(run)
    dataset = experiment.data.build()
    if dataset.digest != run.data["digest"]:
        raise DataError(f"{run.path}: its data are no longer those it was trained on")
    learner = build(experiment, dataset)
    epoch = load_weights(learner, run)
    learner.to(experiment.trainer.device())
    split = dataset.validation
    indices = _sample_indices(split, 4 * experiment.data.batch_size)

    with torch.inference_mode():
        content = learner.task.collect_examples(LearnerPredictor(learner), map(split.take, indices))
        content |= _future(dataset, learner, run)
    if not content:
        return None
    if "worst" in content:
        _name_samples(content["worst"], split, torch.cat(indices))
    samples = sum(map(len, indices))
    return parse_examples({
        "split": "validation", "epoch": epoch, "samples": samples, "total": len(split),
        "first_samples": split.stateful, **content,
    })  # fmt: skip


def _future(dataset: Dataset, learner: Learner, run: Run) -> Row:
    """A forecast for the rows after the end of the data, with the intervals that `predict` gives."""
    try:
        samples = dataset.latest()
    except Fault:  # As where columns that are known in advance end with the data: `predict --future` is for those.
        return {}
    if samples is None:
        return {}
    if (calibration := run.about.get("calibration")) is not None:
        learner.task.load_calibration(calibration)
    batch = next(iter(samples.batches))
    found = learner.task.future_example(learner.logits(batch), batch, samples)
    return {"future": found} if found else {}


def _sample_indices(split: Split, batch_size: int) -> list[Tensor]:
    """Indices of the samples to predict, batch by batch."""
    if split.stateful:
        # The prediction of a chunk depends on the chunks before it: read in the order of validation, from the start.
        batches = [torch.from_numpy(rows) for rows in split.plan(batch_size).batches(None)]
        so_far = torch.tensor([len(rows) for rows in batches]).cumsum(0)
        return batches[: max(int((so_far <= MAX_SAMPLES).sum()), 1)]
    evenly = sorted(set(torch.linspace(0, len(split) - 1, min(len(split), MAX_SAMPLES)).round().long().tolist()))
    return [torch.tensor(evenly[start : start + BATCH_SIZE]) for start in range(0, len(evenly), BATCH_SIZE)]


def _name_samples(rows: list[Row], split: Split, index: Tensor) -> None:
    """Replace the positions among the predicted samples by indices in the split, and add the texts."""
    texts = split.texts()
    for row in rows:
        row["sample"] = int(index[row["sample"]])
        if len(texts):
            row["text"] = texts[row["sample"]][:MAX_TEXT]
