"""The contract of an optimizer."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, TypeAlias

import torch
from pydantic import Field, WithJsonSchema, model_validator
from torch import nn
from torch.optim.optimizer import ParamsT

from lstm_lab.config.registry import Named, Registered
from lstm_lab.models.groups import DECAYED, Group, parameter_groups
from lstm_lab.models.layers import parameter_layers
from lstm_lab.optimizers.averaging import Averaging
from lstm_lab.records.files import Row

Rate = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Decay = Annotated[float, Field(gt=0.0, le=1.0)]
Beta = Annotated[float, Field(ge=0.0, lt=1.0)]
Betas = Annotated[tuple[Beta, Beta], Field(strict=False)]
Groups = Annotated[
    tuple[Annotated[Group, Field(strict=False), WithJsonSchema({"enum": [*Group]})], ...], Field(strict=False)
]
Parameters: TypeAlias = ParamsT
"""Parameters of a model, with or without their names, or torch's param_groups of them."""
UNDECAYED = tuple(group for group in Group if group not in DECAYED)
"""Groups without weight decay, unless a field says otherwise."""


class Optimizer(Registered, kind="optimizer"):
    """Parameters -> a torch optimizer.

    Args:
        no_weight_decay: groups of parameters without weight decay.
        layer_decay: factor of the learning rate from each layer of the model to the one below it.
        options: the other fields of its Config, `lr` among them: keyword arguments of torch's optimizer.
    """

    class Config(Named):
        lr: Rate = 1e-3
        """Learning rate that the schedule's factor is applied to."""
        weight_decay: NonNegative = 0.0
        """L2 penalty on the weights (decoupled in adamw and muon)."""
        no_weight_decay: Groups = UNDECAYED
        """Groups of parameters that weight decay leaves alone, among input, recurrent, embedding, head, bias, norm."""
        layer_decay: Decay = 1.0
        """Factor of the learning rate from each layer to the one below it, from the head down to the embedding; 1 / 2.6
        = 0.385 in Howard & Ruder (2018)."""

        @model_validator(mode="after")
        def _check_groups_have_an_effect(self) -> Optimizer.Config:
            if self.no_weight_decay != UNDECAYED and not self.weight_decay:
                groups = ", ".join(self.no_weight_decay)
                raise ValueError(
                    f"no_weight_decay=[{groups}] would do nothing: weight_decay is 0; set it above 0, or leave "
                    "no_weight_decay out"
                )
            return self

        def check_fits(self, schedule: Named, averaging: Named) -> None:
            """Raise ValueError where the optimizer does not go together with the schedule, or an averaging."""

    def __init__(
        self, no_weight_decay: tuple[Group, ...] = UNDECAYED, layer_decay: float = 1.0, **options: Any
    ) -> None:
        self.no_weight_decay, self.layer_decay, self.options = frozenset(no_weight_decay), layer_decay, options

    @property
    def lr(self) -> float:
        """The learning rate before the schedule's factor."""
        return float(self.options["lr"])

    def for_model(self, model: nn.Module) -> torch.optim.Optimizer:
        """The torch optimizer of a model's parameters: one param_group of torch's, or a second one without decay; with
        `layer_decay` these for each layer, that of the head first."""
        named, groups = list(model.named_parameters()), parameter_groups(model)
        without = {name for group in self.no_weight_decay for name in groups[group]}
        rest = [(name, parameter) for name, parameter in named if name in without]
        if not self.options.get("weight_decay") or not rest:
            return self.build_torch(self.by_layer([{"params": named}], model) if self.layer_decay < 1.0 else named)
        decayed = [(name, parameter) for name, parameter in named if name not in without]
        both: tuple[Row, Row] = ({"params": decayed}, {"params": rest, "weight_decay": 0.0})
        return self.build_torch(self.by_layer([group for group in both if group["params"]], model))

    def by_layer(self, groups: list[Row], model: nn.Module) -> list[Row]:
        """Param_groups with named parameters, split by layer where `layer_decay` gives each a rate of its own: the
        head's come first, and `lr_factor` is what the learning rate of the others is multiplied with."""
        if self.layer_decay == 1.0:
            return groups
        split: list[Row] = []
        for depth, names in enumerate(reversed(parameter_layers(model).values())):
            factor = self.layer_decay**depth
            for group in groups:
                members = [(name, parameter) for name, parameter in group["params"] if name in names]
                if members:
                    split.append({**group, "params": members, "lr": self.lr * factor, "lr_factor": factor})
        return split

    def restored(self, state: Row, model: nn.Module) -> Row:
        """A stored state of `for_model(model)`, as today's optimizer takes it.

        The param_groups may have been others, since weight decay may have been 0 then. What the fields say now holds,
        but for the learning rate, which stays until the schedule sets it in the next step.

        Args:
            state: what `state_dict()` of the torch optimizer returned.
        """
        now: list[Row] = self.for_model(model).state_dict()["param_groups"]
        names = [name for name, _ in model.named_parameters()]
        # Before the names were stored, there was one group, in the order of the model.
        before = {name: (group, index) for group in state["param_groups"]
                  for name, index in zip(group.get("param_names", names), group["params"], strict=True)}  # fmt: skip
        kept: Row = {}
        for group in now:
            old, _ = before[group["param_names"][0]]
            own = {*self.options, "lr_factor", "params", "param_names"}
            fields = {key: value for key, value in old.items() if key not in own}
            group.update({**fields, "lr": old["lr"]})
            for name, index in zip(group["param_names"], group["params"], strict=True):
                if before[name][1] in state["state"]:
                    kept[index] = state["state"][before[name][1]]
        return {**state, "state": kept, "param_groups": now}

    def averaging(self) -> Averaging | None:
        """The average of the weights that the optimizer itself keeps; None for most."""
        return None

    @abstractmethod
    def build_torch(self, parameters: Parameters) -> torch.optim.Optimizer:
        """The torch optimizer of these parameters."""
