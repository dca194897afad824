"""Muon."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import model_validator
from torch import nn

from lstm_lab.config import Count
from lstm_lab.models.groups import Group, parameter_groups
from lstm_lab.optimizers.base import Betas, Fraction, NonNegative, Optimizer, Parameters, Rate

ORTHOGONALISED = frozenset({Group.INPUT, Group.RECURRENT})
"""Groups whose matrices Muon updates; Jordan (2024) leaves embeddings and the head to AdamW."""


class Muon(Optimizer, name="muon"):
    """Jordan (2024): the momentum of each matrix in the recurrent layers, orthogonalised; AdamW for other parameters.

    The update of a matrix is scaled to the size of AdamW's (Liu et al. 2025), so that one learning rate serves both.
    """

    class Config(Optimizer.Config):
        weight_decay: NonNegative = 0.01
        """Decoupled weight decay."""
        momentum: Fraction = 0.95
        """Momentum factor, of matrices."""
        nesterov: bool = True
        """Whether the momentum is Nesterov's."""
        ns_steps: Count = 5
        """Newton-Schulz iterations that orthogonalise an update."""
        betas: Betas = (0.9, 0.999)
        """Of AdamW."""
        eps: Rate = 1e-8
        """Added to the denominator of AdamW."""

        @model_validator(mode="after")
        def _check_torch_has_it(self) -> Muon.Config:
            if "Muon" not in vars(torch.optim):
                raise ValueError(f"needs torch 2.9 or newer, and this is {torch.__version__}: choose adamw")
            return self

    def for_model(self, model: nn.Module) -> torch.optim.Optimizer:
        groups = {name: group for group, members in parameter_groups(model).items() for name in members}
        made: list[dict[str, Any]] = []
        for orthogonal in (True, False):
            for decayed in (True, False):
                parameters = [
                    (name, parameter)
                    for name, parameter in model.named_parameters()
                    if (parameter.dim() == 2 and groups[name] in ORTHOGONALISED) == orthogonal
                    and (groups[name] not in self.no_weight_decay) == decayed
                ]
                decay = self.options["weight_decay"] if decayed else 0.0
                if parameters:
                    made.append({"params": parameters, "orthogonal": orthogonal, "weight_decay": decay})
        return self.build_torch(self.by_layer(made, model))

    def build_torch(self, parameters: Parameters) -> torch.optim.Optimizer:
        return MuonWithAdamW(parameters, **self.options)


class MuonWithAdamW(torch.optim.Optimizer):
    """One optimizer of which torch's Muon and AdamW each take the steps of some param_groups.

    Args:
        parameters: a param_group with `orthogonal: True` is Muon's; parameters without groups are AdamW's.
        momentum, nesterov, ns_steps: of Muon.
        betas, eps: of AdamW.
    """

    def __init__(
        self, parameters: Parameters, *, lr: float, weight_decay: float, momentum: float, nesterov: bool, ns_steps: int,
        betas: tuple[float, float], eps: float,
    ) -> None:  # fmt: skip
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
                    "ns_steps": ns_steps, "betas": betas, "eps": eps, "orthogonal": False}  # fmt: skip
        super().__init__(parameters, defaults)
        scratch = [nn.Parameter(torch.zeros(1, 1))]  # torch builds no optimizer without parameters.
        self.muon: torch.optim.Optimizer = torch.optim.Muon(scratch, adjust_lr_fn="match_rms_adamw")
        self.adamw: torch.optim.Optimizer = torch.optim.AdamW(scratch, foreach=True)
        for group in self.param_groups:
            own = self.muon.defaults if group["orthogonal"] else self.adamw.defaults
            group.update({key: value for key, value in own.items() if key not in defaults})
            if group["orthogonal"]:
                group["eps"] = self.muon.defaults["eps"]  # Of a norm, not of a denominator.

    def step(self, closure: Any = None) -> Any:
        """One step; the state of every parameter is this optimizer's own."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer, orthogonal in ((self.muon, True), (self.adamw, False)):
            optimizer.state = self.state
            optimizer.param_groups = [group for group in self.param_groups if group["orthogonal"] is orthogonal]
            if optimizer.param_groups:
                optimizer.step()
        return loss
