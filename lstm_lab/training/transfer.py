"""The first weights of a training, taken from the best epoch of another run by name and shape."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lstm_lab.config import ConfigError, Notice
from lstm_lab.data.base import DataInfo, NamedChannels, Standardized
from lstm_lab.experiment import Experiment, recorded_experiment
from lstm_lab.models import Model
from lstm_lab.models.base import TokenDataInfo
from lstm_lab.models.embedding import TokenEmbedding
from lstm_lab.models.layers import parameter_layers
from lstm_lab.models.units import largest_units, obstacle, without_others
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run
from lstm_lab.tasks import Task
from lstm_lab.training.checkpointing import epochs_in, read_checkpoint

HEAD = "head"
SHOWN = 6
"""Names that a line of the report lists."""


@dataclass(frozen=True)
class Source:
    """The best epoch of a run that is trained already."""

    run: Run
    experiment: Experiment
    info: DataInfo
    task: Task
    weights: dict[str, Tensor]
    """By name, as `Model.state_dict` has them."""
    epoch: int

    @classmethod
    def read(cls, path: str, key: str = "transfer.run") -> Source:
        """From a run's folder. Records are read as data: nothing is unpickled, and every checksum is compared.

        Args:
            key: of the configuration that names the folder, for messages.

        Raises:
            ConfigError: there is no run, or none with a checkpoint.
            DataError: its records are damaged.
        """
        try:
            run = Run.open(path)
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}") from None
        if not run.best_checkpoint.is_file():
            raise ConfigError(f"{key}: {path}: has no best.ckpt: train it for at least one epoch")
        experiment = recorded_experiment(run, needs_data=False)
        info = experiment.data.dataset.restore_info(run.data["info"])
        content, prefix = read_checkpoint(run.best_checkpoint), "model."
        weights = {key.removeprefix(prefix): value for key, value in content["state_dict"].items()
                   if key.startswith(prefix)}  # fmt: skip
        return cls(run, experiment, info, experiment.task.build(info), weights, epochs_in(content) - 1)

    def pruned(self, count: int | None) -> tuple[Source, Row]:
        """The same with the `count` units of each layer and direction whose weights have the largest norm, and which.

        Raises:
            ConfigError: units cannot be taken away from its model, or are not to be.
        """
        with torch.device("meta"):  # Its weights are not drawn: what is random after this stays as it was.
            model: Model = self.experiment.model.build(self.info, self.task)
        reason, has = obstacle(model), model.hidden_size
        if reason is not None:
            raise ConfigError(f"transfer.prune: {self.run.path}: its units cannot be pruned: {reason}")
        if has is None or count is None or count >= has:
            raise ConfigError(f"transfer.prune: the model has {count} units, and the one of {self.run.path} {has}: "
                              "make model.hidden_size smaller, or leave prune out")  # fmt: skip
        kept = largest_units(model, self.weights, count)
        pruned = replace(self, weights=without_others(model, self.weights, kept))
        return pruned, {"of": has, "kept": [[units.tolist() for units in layer] for layer in kept]}


def start_from(experiment: Experiment, model: Model, task: Task, info: DataInfo) -> Row:
    """Take weights of the run that `experiment.transfer` names into a model, in place.

    Returns:
        What run.json records: what was taken, what was merged by token, and why the rest was not; empty without a run.

    Raises:
        ConfigError: none of its weights fit.
    """
    frozen = experiment.transfer.frozen_layers(model)
    if experiment.transfer.run is None:
        return {}
    source = Source.read(experiment.transfer.run)
    units: Row = {}
    if experiment.transfer.prune:
        source, units = source.pruned(model.hidden_size)
    found = _Match(source, model, task, info, experiment.transfer.new_head).copy()
    if not found["taken"] and not found["merged"]:
        raise ConfigError(f"transfer.run: {source.run.path}: none of its weights fit this model: "
                          f"{'; '.join(dict.fromkeys(found['left'].values()))}: choose the same model")  # fmt: skip
    layers = parameter_layers(model)
    random = [layer for layer in frozen if all(name in found["left"] for name in layers[layer])]
    if random:
        warnings.warn(f"transfer.freeze: {', '.join(random)} took no weights of the run", Notice, stacklevel=2)
    before = {"run": str(source.run.path), "id": source.run.id, "epoch": source.epoch,
              "task": source.experiment.task.name, "data": source.experiment.data.name}  # fmt: skip
    pruned = {"units": units} if units else {}
    return {"transfer": {**before, **pruned, **found, "notes": list(_notes(source.info, info))}}


class _Match:
    """Weights of a source beside those of a model.

    Args:
        source: whose weights are taken.
        model, task, info: of the training that begins.
        new_head: whether the head is left as it is.
    """

    def __init__(self, source: Source, model: Model, task: Task, info: DataInfo, new_head: bool) -> None:
        self.source, self.model, self.new_head = source, model, new_head
        self.tokens: tuple[str, ...] = info.tokens if isinstance(info, TokenDataInfo) else ()
        self.old_tokens: tuple[str, ...] = source.info.tokens if isinstance(source.info, TokenDataInfo) else ()
        self.heads_differ = self._why_heads_differ(task)
        by_token = [name for name, module in model.named_modules() if isinstance(module, TokenEmbedding)]
        predicts_tokens = task.causal and source.task.causal and self.tokens and self.old_tokens
        self.by_token = (*by_token, *((HEAD,) if predicts_tokens else ()))
        """Modules whose parameters have a row for each token."""

    def _why_heads_differ(self, task: Task) -> str | None:
        if self.new_head:
            return "transfer.new_head is true"
        if task.name != self.source.task.name:
            return f"the source's task is {self.source.task.name}, not {task.name}"
        if task.prediction_columns != self.source.task.prediction_columns:
            return "the source predicts other names"
        return None

    def copy(self) -> Row:
        """Copy what fits, and say what did not."""
        taken: list[str] = []
        merged: dict[str, int] = {}
        left: dict[str, str] = {}
        with torch.no_grad():
            for name, weight in _weights(self.model):
                reason = self._obstacle(name, weight)
                if reason is not None:
                    left[name] = reason
                elif name.rpartition(".")[0] in self.by_token and self.tokens != self.old_tokens:
                    merged[name] = self._merge(weight, self.source.weights[name])
                else:
                    weight.copy_(self.source.weights[name])
                    taken.append(name)
        tokens = {"tokens": len(self.tokens) - 1} if merged else {}  # Number 0 is padding.
        return {"taken": taken, "merged": merged, "left": left, **tokens}

    def _obstacle(self, name: str, weight: Tensor) -> str | None:
        """Why a weight is not taken; None where it is."""
        module = name.rpartition(".")[0]
        if name.partition(".")[0] == HEAD and self.heads_differ is not None:
            return self.heads_differ
        old = self.source.weights.get(name)
        if old is None:
            return "the source has none of that name"
        by_token = module in self.by_token
        if old.shape[by_token:] != weight.shape[by_token:] or (by_token and len(old) != len(self.old_tokens)):
            return f"the source's is {_shape(old)}, not {_shape(weight)}"
        return None

    def _merge(self, weight: Tensor, old: Tensor) -> int:
        """Rows of the same token; a new token starts as the mean of the source's. Returns how many were taken."""
        numbers = {token: i for i, token in enumerate(self.old_tokens) if i}
        rows = [(i, numbers[token]) for i, token in enumerate(self.tokens) if token in numbers]
        weight[1:] = old[1:].mean(0)  # Number 0 is padding.
        weight[0] = old[0]
        if rows:
            # The model may be one without memory, in whose context every new tensor is.
            here, there = torch.tensor(rows, device="cpu").unbind(1)
            weight[here] = old[there].to(weight)
        return len(rows)


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, each once, and the statistics of normalisation layers."""
    yield from model.named_parameters()
    stored = model.state_dict()
    yield from ((name, buffer) for name, buffer in model.named_buffers() if name in stored)


def _shape(weight: Tensor) -> str:
    return " x ".join(map(str, weight.shape)) or "one number"


def _notes(old: DataInfo, new: DataInfo) -> Iterator[str]:
    """What the records of both data sets say about their inputs."""
    if isinstance(new, Standardized) and new.mean:
        yield "inputs are standardised with mean and standard deviation of the new training split, not the source's"
    if isinstance(old, NamedChannels) and isinstance(new, NamedChannels) and old.channels != new.channels:
        pairs = list(zip(old.channels, new.channels, strict=False))
        differing = [f"{before} -> {now}" for before, now in pairs if before != now][:SHOWN]
        names = ", ".join(differing) or f"{len(old.channels)} -> {len(new.channels)}"
        yield f"input channels have other names than the source's: {names}"


def report_lines(record: Row) -> Iterator[str]:
    """What was taken from a run, for a terminal.

    Args:
        record: `transfer` of run.json.
    """
    yield f"weights of {record['run']}, epoch {record['epoch']} ({record['task']} on {record['data']})"
    if "units" in record:
        kept, cells = len(record["units"]["kept"][0][0]), sum(map(len, record["units"]["kept"]))
        yield f"  pruned  to {kept} of {record['units']['of']} units{f' in each of {cells} cells' if cells > 1 else ''}"
    if record["taken"]:
        yield f"  taken   {_listed(record['taken'])}"
    for name, count in record["merged"].items():
        tokens = record["tokens"]
        others = "" if count == tokens else "; the others start as the mean of the source's"
        yield f"  merged  {name}: {count:,} of {tokens:,} tokens{others}"
    reasons: dict[str, list[str]] = {}
    for name, reason in record["left"].items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        yield f"  random  {_listed(names)}: {reason}"
    yield from (f"  note    {note}" for note in record["notes"])


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
