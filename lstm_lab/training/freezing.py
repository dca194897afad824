"""Layers whose weights stay as they are, for all epochs or until their turn comes."""

from __future__ import annotations

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import nn

from lstm_lab.models import Model
from lstm_lab.models.layers import parameter_layers
from lstm_lab.transfer_config import Transfer


class Freezing(Callback):
    """Which layers are frozen in an epoch depends on its number alone, so that a resumed run equals a whole one.

    Gradients of frozen weights are not computed, and count neither in the clipping nor in the optimizer.

    Args:
        model: whose layers.
        transfer: names them, and says when each is trained.

    Raises:
        ConfigError: the model has no such layer, or no other.
    """

    def __init__(self, model: Model, transfer: Transfer) -> None:
        self.layers, self.unfreeze_every = transfer.frozen_layers(model), transfer.unfreeze_every
        self.parameters = parameter_layers(model)
        self.model = model

    def frozen(self, epoch: int) -> tuple[str, ...]:
        """The layers that are frozen in an epoch, counted from 0, from the input to the head."""
        trained = 0 if self.unfreeze_every is None else epoch // self.unfreeze_every
        return self.layers[: max(len(self.layers) - trained, 0)]

    def apply(self, epoch: int) -> None:
        """Freeze the layers of an epoch, and train the others."""
        names = {name for layer in self.frozen(epoch) for name in self.parameters[layer]}
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name not in names)
            if name in names:
                parameter.grad = None
        for module in self.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
                module.train(module.weight.requires_grad)  # Its running statistics are kept too.

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.on_train_epoch_start(trainer, pl_module)  # Lightning leaves it out where it resumes inside an epoch.

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.layers:
            self.apply(trainer.current_epoch)
