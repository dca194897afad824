"""The section `transfer` of an experiment: a training that starts from the weights of another run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from torch import nn

from lstm_lab.config import Config, ConfigError, Count
from lstm_lab.config.paths import InitialFilePath
from lstm_lab.models.layers import parameter_layers, select_layers


class Transfer(Config):
    """A training that starts from the weights of another run, and which layers keep them."""

    run: InitialFilePath | None = None
    """Folder of the run whose best weights are taken where name and shape are the same; null: random weights."""
    new_head: bool = False
    """Whether the head starts from random weights even where the source's fits."""
    prune: bool = False
    """Whether a model with fewer units takes those units of the source whose weights, rows and columns, have the
    largest norm (Wen et al. 2018); `lstm-lab prune` sets it."""
    freeze: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)] = ()
    """Layers whose weights stay as they are, as embedding, encoder, or encoder.0 of a stack."""
    unfreeze_every: Count | None = None
    """Epochs after which one more of these layers is trained, the one nearest to the head first (gradual unfreezing,
    Howard & Ruder 2018); null: they stay frozen."""

    @model_validator(mode="after")
    def _check_fields_have_an_effect(self) -> Transfer:
        if self.new_head and self.run is None:
            raise ValueError("new_head=true would do nothing: run is null; name the run that training starts from")
        if self.prune and self.run is None:
            raise ValueError("prune=true would do nothing: run is null; name the run whose units are pruned")
        if self.unfreeze_every is not None and not self.freeze:
            raise ValueError(f"unfreeze_every={self.unfreeze_every} would do nothing: freeze names no layer")
        return self

    def frozen_layers(self, model: nn.Module) -> tuple[str, ...]:
        """The layers of a model that `freeze` names, from the input to the head.

        Raises:
            ConfigError: it has no such layer, or no other.
        """
        frozen = select_layers(model, self.freeze, "transfer.freeze")
        if len(frozen) == len(parameter_layers(model)):
            raise ConfigError("transfer.freeze: names every layer of the model: nothing would be trained; leave out "
                              f"{frozen[-1]}, or evaluate the source run")  # fmt: skip
        return frozen
