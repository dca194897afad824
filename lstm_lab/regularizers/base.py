"""The contract of a regularizer: where it acts, and what it does there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from lstm_lab.cells import Cell
from lstm_lab.config.registry import Named, Registered
from lstm_lab.data.base import Dataset
from lstm_lab.kernels import draws
from lstm_lab.kernels.noise import Kind
from lstm_lab.kernels.philox import NoiseKey
from lstm_lab.models.base import Model, Output
from lstm_lab.models.sites import Place, StepKey

NonNegative = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
"""Of values that are zeroed."""


MISSING: dict[Place, str] = {
    Place.BETWEEN: "has one layer; set model.num_layers to 2, or leave it out",
    Place.EMBEDDING: "reads numbers here, not tokens; leave it out",
}
"""What a message says of a place that a model has not."""


_READS: dict[Kind, str] = {
    "state_dropout": "weights that multiply its state",
    "update_dropout": "candidate that it adds to its state",
    "zoneout_h": "state h whose units can keep their old values",
    "zoneout_c": "part c of its state whose units can keep their old values",
}


def check_recurrence(name: str, model: Model.Config, rates: Mapping[str, tuple[Kind, float]]) -> None:
    """Refuse noise that the cell of a model does not take.

    Args:
        name: of the regularizer.
        rates: field -> the noise it is for, and its rate.

    Raises:
        ValueError: a rate that would have no effect.
    """
    cell = model.recurrent_cell()
    takes = frozenset[Kind]() if cell is None else Cell.members[cell.name].noises
    for field, (kind, rate) in rates.items():
        if rate and kind not in takes:
            others = [f"{name}.{other}" for other, (its_kind, _) in rates.items() if its_kind in takes]
            way = f"set {' or '.join(others)}" if others else "leave it out, or choose another cell"
            raise ValueError(
                f"regularizers.{name}.{field} would do nothing: cell '{'' if cell is None else cell.name}' has no "
                f"{_READS[kind]}; {way}"
            )


class Activations(NamedTuple):
    """What a penalty on activations is computed from."""

    raw: Tensor
    """(B, T, D) outputs of the top layer, zero on padding."""
    dropped: Tensor
    """(B, T, D) the same after dropout where the head reads each step; else `raw`."""
    lengths: Tensor
    """(B,) valid steps, on the device of the outputs."""
    per_step: bool
    """Whether the loss is a mean over steps; else over samples."""

    @classmethod
    def of(cls, output: Output) -> Activations | None:
        """Of what a model returned; None where it returned no outputs of an encoder."""
        if output.encoded is None:
            return None
        raw, per_step = output.encoded.outputs, output.dropped is not None
        dropped, lengths = raw if output.dropped is None else output.dropped, output.encoded.lengths
        return cls(raw, dropped, lengths.to(raw.device), per_step)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over units and valid steps; where the loss is a mean over samples, the mean over them of each one's.

        So shares of a batch, weighted as their losses are, give the mean of the whole batch.

        Args:
            values: (B, T, D), zero on padding; steps at the start may be left out, and count as 0.
        """
        steps = self.lengths.to(values.dtype)
        if self.per_step:
            return values.sum() / (steps.sum().clamp(min=1) * values.shape[-1])
        return (values.sum((1, 2)) / (steps.clamp(min=1) * values.shape[-1])).mean()


class Regularizer(Registered, kind="regularizer"):
    """Built from the fields of its Config. It acts in training alone.

    A new one says in `acts_at` where it acts, and defines the method of each place there:

    - `activations`: `activation_penalty`; `loss`: `weight_penalty`; both are added to the loss;
    - `weights`: `weight_changes`, before the forward pass of a step; after its backward pass they are put back;
    - `gradient`: `change_gradients`, after clipping;
    - `updated_weights`: `limit_weights`, after the optimizer's step;
    - any other: `attach` adds noise to the sites of the model.

    An experiment whose model has no such place is refused.
    """

    class Config(Named):
        """Base of every regularizer's Config."""

        owner: ClassVar[type[Regularizer]]

        def places(self) -> frozenset[Place]:
            """Where it acts with these fields."""
            return self.owner.acts_at

        def check(self, model: Model.Config, data: Dataset.Config) -> None:
            """Raise ValueError where it would have no effect on a model that has its places."""

        def check_fits(self, model: Model.Config, data: Dataset.Config) -> None:
            """Raise ValueError where it would have no effect."""
            for place in sorted(self.places() - model.places(data)):
                raise ValueError(
                    f"regularizers.{self.name} would do nothing at its place '{place}': model '{model.name}' "
                    f"{MISSING.get(place, 'has no such place; leave it out, or choose another model')}"
                )
            self.check(model, data)

    acts_at: ClassVar[frozenset[Place]]
    """Where it may act."""

    def attach(self, model: Model) -> None:
        """Called once, before training: add noise to the sites of a model, or look up its parameters."""

    def activation_penalty(self, activations: Activations) -> Tensor:
        """A scalar that is added to the loss."""
        raise NotImplementedError

    def weight_penalty(self, model: Model) -> Tensor:
        """A scalar that is added to the loss."""
        raise NotImplementedError

    def weight_changes(self, model: Model, key: StepKey) -> Iterable[tuple[nn.Parameter, Tensor]]:
        """What is added to parameters for one step: pairs of a parameter and its change, in the same shape."""
        raise NotImplementedError

    def change_gradients(self, model: Model, key: StepKey) -> None:
        """Change the gradients of the parameters in place."""
        raise NotImplementedError

    def limit_weights(self, model: Model) -> None:
        """Change the parameters in place."""
        raise NotImplementedError


def normal_like(parameter: Tensor, key: StepKey, site: str) -> Tensor:
    """Standard normal numbers in the shape of a parameter, the same in every worker."""
    whole = NoiseKey(key.seed, key.step, torch.zeros(1, dtype=torch.int64, device=parameter.device), site)
    return draws.normal(whole, parameter.numel(), 1, parameter.dtype).view(parameter.shape)
