"""Max-norm."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from torch import nn

from lstm_lab.models.base import Model
from lstm_lab.models.groups import Group, parameter_groups
from lstm_lab.models.sites import Place
from lstm_lab.regularizers.base import Regularizer

Limit = Annotated[float, Field(gt=0.0)]


class MaxNorm(Regularizer, name="max_norm"):
    """After each step, the weights into a unit are scaled down to a norm of at most c (Srivastava et al. 2014).

    Of each matrix on its own, a row; of a vector that multiplies the state, as in `indrnn`, each number.
    """

    class Config(Regularizer.Config):
        input: Limit | None = 3.0
        """c of what multiplies a layer's input; null: no limit."""
        recurrent: Limit | None = 3.0
        """c of what multiplies a cell's state; null: no limit."""
        head: Limit | None = 3.0
        """c of the matrix that makes the outputs; null: no limit."""

        @model_validator(mode="after")
        def _has_a_limit(self) -> MaxNorm.Config:
            if self.input is self.recurrent is self.head is None:
                raise ValueError("has no limit: give at least one of input, recurrent, head")
            return self

    acts_at = frozenset({Place.UPDATED_WEIGHTS})

    def __init__(self, input: float | None, recurrent: float | None, head: float | None) -> None:
        super().__init__()
        self.limits = {Group.INPUT: input, Group.RECURRENT: recurrent, Group.HEAD: head}
        self.parameters: list[tuple[float, nn.Parameter]] = []

    def attach(self, model: Model) -> None:
        groups = parameter_groups(model)
        self.parameters = [
            (limit, parameter)
            for group, limit in self.limits.items()
            if limit is not None
            for parameter in groups[group].values()
        ]

    def limit_weights(self, model: Model) -> None:
        for limit, parameter in self.parameters:
            if not parameter.requires_grad:  # Frozen: it stays as it is.
                continue
            rows = parameter if parameter.dim() > 1 else parameter.unsqueeze(-1)
            norms = rows.norm(dim=-1, keepdim=True)
            rows.mul_((limit / norms).clamp(max=1.0))
