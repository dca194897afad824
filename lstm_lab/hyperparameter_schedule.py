"""Hyperparameters that change during training, and which of them may."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field

from lstm_lab.config import Config
from lstm_lab.optimizers import Optimizer
from lstm_lab.records.files import Row
from lstm_lab.regularizers import Regularizer

MUTABLE = "numbers of the optimizer and of regularizers, model.dropout.* and trainer.gradient_clip_val"
"""What may change during training, for messages."""


class HyperparameterChange(Config):
    """Values that hold from an epoch on, until they are changed again."""

    epoch: Annotated[int, Field(ge=1)]
    """First epoch that is trained with them, counted from 0."""
    overrides: Annotated[dict[str, object], Field(min_length=1)]
    """Dotted key -> new value: numbers of the optimizer and of regularizers, model.dropout.* and
    trainer.gradient_clip_val."""


HyperparameterSchedule = Annotated[tuple[HyperparameterChange, ...], Field(strict=False)]


def check_schedule(
    schedule: HyperparameterSchedule, optimizer: Optimizer.Config, regularizers: Iterable[Regularizer.Config]
) -> None:
    """Refuse changes in another order than that of their epochs, and those of hyperparameters that cannot change.

    Args:
        optimizer, regularizers: of the experiment.

    Raises:
        ValueError: with the key, and what may change.
    """
    epochs, known = [change.epoch for change in schedule], {each.name for each in regularizers}
    if epochs != sorted(set(epochs)):
        raise ValueError(f"hyperparameter_schedule: epochs must increase from change to change, got {epochs}")
    for change in schedule:
        for key in change.overrides:
            if not is_mutable(optimizer, key):
                raise ValueError(f"hyperparameter_schedule: {key}: cannot change during training; {MUTABLE} can")
            section, _, name = key.rpartition(".")[0].partition(".")
            if section == "regularizers" and name not in known:
                raise ValueError(
                    f"hyperparameter_schedule: {key}: the experiment has none of that name: list it under regularizers"
                )


def optimizer_param_group(optimizer: Optimizer.Config) -> Row:
    """The param_group of torch's optimizer, without its parameters."""
    built = optimizer.build().build_torch([torch.nn.Parameter(torch.zeros(1))])
    return {key: value for key, value in built.param_groups[0].items() if key != "params"}


def is_mutable(optimizer: Optimizer.Config, key: str) -> bool:
    """Whether a hyperparameter may change during training: no shape depends on it, and the next step uses it.

    Args:
        optimizer: of the experiment.
    """
    if key == "trainer.gradient_clip_val" or key.startswith("model.dropout."):
        return True
    section, _, name = key.partition(".")
    if section == "regularizers":
        return _is_number_of_regularizer(*name.partition(".")[::2])
    value = optimizer.options().get(name) if section == "optimizer" else None
    return isinstance(value, float) and optimizer_param_group(optimizer).get(name) == value


def _is_number_of_regularizer(name: str, field: str) -> bool:
    """Whether a field of a regularizer is a number: rates, strengths and limits, which the next step uses."""
    if name not in Regularizer.members:
        return False
    schema = Regularizer.members[name].Config.model_json_schema()["properties"].get(field, {})
    return "number" in {schema.get("type"), *(each.get("type") for each in schema.get("anyOf", ()))}
