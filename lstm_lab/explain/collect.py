"""The explanation of a run, from its folder alone."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from statistics import mean, median, stdev
from typing import NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor

from lstm_lab.config import ConfigError, Notice
from lstm_lab.data.base import Batch, Dataset, NamedChannels, Split
from lstm_lab.evaluation.evaluate import load_weights
from lstm_lab.experiment import Experiment, recorded_experiment
from lstm_lab.explain.attribution import Attribution, Occlusion, integrated_gradients, occlusion, permutation_importance
from lstm_lab.explain.errors import observe_errors
from lstm_lab.explain.gates import dead_units, gate_statistics
from lstm_lab.explain.memory import Layer as ObservedLayer
from lstm_lab.explain.memory import by_lag, half_lives, lag_profile, observe_layers
from lstm_lab.explain.sampling import evenly
from lstm_lab.models.base import Model, TokenDataInfo
from lstm_lab.records.explanation import Channel, Explanation, Layer, TokenAttribution, write_explanation
from lstm_lab.records.run import Run
from lstm_lab.training.first_weights import build_first
from lstm_lab.training.learner import Learner
from lstm_lab.training.train import build, check_same_data

SAMPLES, PERMUTED = 48, 512
"""Sequences that are looked into, and over which channels are permuted, at most."""
REPEATS, MAX_CHANNELS = 3, 32
"""Permutations of a channel, and channels that are permuted, those of the largest attribution."""
MAX_STEPS, MAX_UNITS, MAX_SHOWN = 1024, 64, 200
"""Steps of a sequence that are looked into, and units and steps of the one that is shown."""


def explain(run: Run, *, sample: int | None = None, num_samples: int = SAMPLES) -> Explanation:
    """What the network of a run does, on the CPU; written to its explanation.json.

    Args:
        sample: number of the sequence that is shown, in the validation split; None: one of median length.
        num_samples: sequences that are looked into, evenly spread over the validation split.

    Raises:
        ConfigError: there is no such sequence, or the run has no checkpoint yet.
        DataError: the data are missing or not those it was trained on, or the model has no recurrent encoder.
    """
    experiment = recorded_experiment(run)
    dataset = experiment.data.build()
    check_same_data(run, dataset)
    torch.set_num_threads(experiment.trainer.num_threads)
    pl.seed_everything(experiment.seed, verbose=False)  # The weights before the first step, as `train` drew them.
    start = _first_weights(experiment, dataset, run)
    learner = build(experiment, dataset).eval()
    epoch = load_weights(learner, run)
    split = dataset.validation
    if sample is not None and not 0 <= sample < len(split):
        raise ConfigError(f"--sample {sample}: the validation split has samples 0 to {len(split) - 1}")
    chosen = _chosen(split, num_samples, sample)
    x, lengths = _inputs(learner, chosen.batch)
    layers = observe_layers(learner.model, x, lengths)
    initial = None if start is None else observe_layers(start.model, x, lengths)
    attribution = integrated_gradients(learner.model, x, lengths)
    occluded = occlusion(learner.model, x, lengths, MAX_CHANNELS)
    channels, loss = _channels(learner, dataset, attribution, occluded, split)
    found = Explanation(
        epoch=epoch,
        split="validation",
        samples=len(x),
        sample=chosen.number,
        steps=int(lengths[chosen.row]),
        median_length=median(lengths.tolist()),
        layers=[_layer(layer, None if initial is None else initial[i], chosen.row) for i, layer in enumerate(layers)],
        channels=channels,
        lags=_lags(attribution, lengths),
        tokens=_tokens(dataset.info, x[chosen.row, : lengths[chosen.row]], attribution.values[chosen.row]),
        occlusion=occluded.windows,
        attention=attention_by_lag(learner.model, x, lengths),
        integration_error=attribution.error,
        loss=loss,
        errors=observe_errors(learner, dataset),
    )
    write_explanation(run.path, found)
    return found


class Chosen(NamedTuple):
    """Samples that are looked into, and the one that is shown."""

    batch: Batch
    row: int
    """Of the shown one in the batch."""
    number: int
    """Of the shown one in the split."""


def _chosen(split: Split, number: int, sample: int | None) -> Chosen:
    index = evenly(len(split), number)
    if sample is not None and sample not in index:
        index = sorted([*index[:-1], sample])
    batch = split.take(torch.tensor(index))
    if sample is None:
        lengths = batch.lengths.tolist()
        row = sorted(range(len(index)), key=lambda each: (lengths[each], each))[len(index) // 2]
    else:
        row = index.index(sample)
    return Chosen(batch, row, index[row])


def _inputs(learner: Learner, batch: Batch) -> tuple[Tensor, Tensor]:
    """What the model reads of a batch, no more than the first `MAX_STEPS` steps."""
    x, lengths = learner.task.model_inputs(batch)
    return x[:, :MAX_STEPS], lengths.clamp(max=MAX_STEPS)


def _first_weights(experiment: Experiment, dataset: Dataset, run: Run) -> Learner | None:
    """The network before its first step; None where the run that it started from is gone, which is said."""
    try:
        return build_first(experiment, dataset, run).eval().requires_grad_(True)
    except ConfigError as error:
        warnings.warn(f"nothing is shown of the network before its first step: {error}", Notice, stacklevel=2)
        return None


def _layer(layer: ObservedLayer, before: ObservedLayer | None, row: int) -> Layer:
    cell = layer.cell
    steps = int(cell.lengths[row]) if row < len(cell.lengths) else cell.outputs().shape[1]
    outputs = cell.outputs()[row, :steps].T  # (H, T)
    units, shown = evenly(len(outputs), MAX_UNITS), evenly(outputs.shape[1], MAX_SHOWN)
    return Layer(
        name=cell.name,
        cell=cell.cell.name,
        units=len(outputs),
        gates=gate_statistics(cell),
        dead=dead_units(cell),
        gradient=lag_profile(layer.h, cell),
        gradient_at_start=None if before is None else lag_profile(before.h, before.cell),
        half_lives=half_lives(layer),
        sequence=outputs[units][:, shown].tolist(),
    )


def _channels(
    learner: Learner, dataset: Dataset, attribution: Attribution, occluded: Occlusion, split: Split
) -> tuple[list[Channel], float | None]:
    """Every channel, and the loss that permuting is compared with; none for tokens and streams."""
    size = attribution.values.shape[2]
    if dataset.tokens or split.stateful:
        return [], None
    sums = attribution.values.abs().sum((0, 1))
    shares = (sums / sums.sum().clamp(min=torch.finfo(sums.dtype).tiny)).tolist()
    info = dataset.info
    names = info.channels if isinstance(info, NamedChannels) else tuple(f"channel {n + 1}" for n in range(size))
    batch = split.take(torch.tensor(evenly(len(split), PERMUTED)))
    with torch.inference_mode():
        loss = float(learner.task.loss(learner.logits(batch), batch))
    order = sorted(range(size), key=lambda each: (-shares[each], each))
    channels = []
    for rank, channel in enumerate(order):
        increases = permutation_importance(learner, batch, channel, REPEATS) if rank < MAX_CHANNELS else []
        channels.append(
            Channel(
                name=names[channel],
                attribution=shares[channel],
                permuted=mean(increases) if increases else None,
                std=stdev(increases) if increases else None,
                occluded=occluded.channels[channel] if occluded.channels else None,
            )
        )
    return channels, loss


def _lags(attribution: Attribution, lengths: Tensor) -> list[float]:
    """Share of the absolute attributions by lag from the last step."""
    by_step = torch.from_numpy(by_lag(attribution.values.abs().sum(2), lengths)).nansum(0)
    return (by_step / by_step.sum().clamp(min=1e-12)).tolist()


def attention_by_lag(model: Model, x: Tensor, lengths: Tensor) -> list[float]:
    """Mean weight by lag from the last step that is weighted, over samples and, of a decoder, over the steps ahead."""
    with torch.no_grad():
        weights = model(x, lengths).attention
    if weights is None:
        return []
    weights = weights.mean(1) if weights.dim() == 3 else weights
    steps = (lengths - (x.shape[1] - weights.shape[1])).clamp(min=1)
    by_step = torch.from_numpy(by_lag(weights, steps)).nanmean(0)
    return (by_step / by_step.nansum().clamp(min=1e-12)).nan_to_num(0.0).tolist()


def _tokens(info: object, tokens: Tensor, values: Tensor) -> Sequence[TokenAttribution]:
    """The shown text, token by token; nothing for numbers."""
    if not isinstance(info, TokenDataInfo) or tokens.is_floating_point():
        return []
    shares = values[: len(tokens), 0] / values.abs().sum().clamp(min=torch.finfo(values.dtype).tiny)
    return [
        # Where a model reads the token before each step, number 0 stands before the first one.
        TokenAttribution(token=info.tokens[token] if token else "(start)", value=share)
        for token, share in zip(tokens.tolist(), shares.tolist(), strict=True)
    ]
