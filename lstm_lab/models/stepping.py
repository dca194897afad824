"""A `SequenceModel` over one sequence, step by step, its state carried: by one call of the engine, or by its modules.

Both read a step and return the same logits to the last bit. The engine's way is embedding -> all cells -> head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lstm_lab.cells import Cell
from lstm_lab.kernels import EngineLayer, StackStep, native
from lstm_lab.kernels.stack_step import LayerState
from lstm_lab.models.direct import has_hooks
from lstm_lab.models.pooling import Last
from lstm_lab.models.recurrence import recurrences
from lstm_lab.models.sequence import SequenceModel
from lstm_lab.models.state import EncoderState, restore_state, state_tensors


def obstacle(model: SequenceModel) -> str | None:
    """Why one call of the engine cannot compute a step of the cells in evaluation; None where it can."""
    encoder = model.encoder
    if type(model) is not SequenceModel:
        return f"model '{model.name}' has a forward pass of its own"
    if any(module.training for module in model.modules()):
        return "the model, or its dropout, is in training"
    if encoder.bidirectional:
        return "the model reads backward too"
    if not encoder.plain:
        return "dilation and skips go through the model"
    if model.pooling is not None and type(model.pooling) is not Last:
        return f"pooling '{model.pooling.name}' reads the steps of the whole sequence again"
    for cell in _cells(model):
        if cell.engine_layer() is None:
            return f"cell '{cell.name}' is not computed by one layer of the engine"
    if any(recurrence.noise.zoneout_h or recurrence.noise.zoneout_c for recurrence in recurrences(model)):
        return "zoneout acts in evaluation too, by its expectation"
    parameters = list(model.parameters())
    if not native.supports(*parameters) or any(parameter.is_inference() for parameter in parameters):
        return "the engine does not compute weights on this device, or of this type"
    if any(has_hooks(module) for module in model.modules()):
        return "a module of the model has hooks"
    return None


class EngineSteps:
    """One call of the engine computes the cells of a step, from weights that it has packed.

    Args:
        model: without an `obstacle`. Weights that change afterwards are packed again by the next step where torch
            counts the change, as of `load_state_dict`; else, as with its fused optimizers or `parameter.data`, by
            `reset`.
        int8: with weights of 8 bits (`StackStep`), but for embedding and head.
    """

    def __init__(self, model: SequenceModel, int8: bool = False) -> None:
        # Attributes of this object: those of a module take longer to look up.
        self.model, self.embedding, self.head, self.per_step = model, model.embedding, model.head, model.pooling is None
        cells = _cells(model)
        self.stack = StackStep(lambda: _layers(cells), (p for cell in cells for p in cell.parameters()), int8)
        self.form = model.initial_state(1)
        self.reset()

    def reset(self) -> None:
        """Begin another sequence."""
        self.stack.pack()
        self.load(self.model.initial_state(1))

    def read(self, x: Tensor) -> Tensor:
        """Read one step, (1, I) or (1,) of a token -> logits as `forward` has them, (1, 1, K) or (1, K)."""
        outputs = self.stack.step(x[0] if self.embedding is None else self.embedding(x)[0])
        logits: Tensor = self.head(outputs[None, None] if self.per_step else outputs[None])
        return logits

    def state(self) -> EncoderState:
        """A copy of the state, as `forward_stateful` returns it."""
        tensors = [part for layer in self.stack.state() for part in layer if part.shape[1]]
        return restore_state(tensors, self.form)

    def load(self, state: EncoderState) -> None:
        """Go on from a state."""
        parts = [state_tensors((layer,)) for layer in state]
        self.stack.load([LayerState(h, *(c or [h[:, :0]])) for h, *c in parts])


class ModuleSteps:
    """The model's modules compute each step: for any model that carries a state."""

    def __init__(self, model: SequenceModel) -> None:
        self.model, self.one = model, torch.ones(1, dtype=torch.int64)
        self.reset()

    def reset(self) -> None:
        """Begin another sequence."""
        self.carried = self.model.initial_state(1)

    def read(self, x: Tensor) -> Tensor:
        """As `EngineSteps.read`."""
        output, self.carried = self.model.forward_stateful(x[None], self.one, self.carried)
        return output.logits

    def state(self) -> EncoderState:
        """As `EngineSteps.state`."""
        return self.carried

    def load(self, state: EncoderState) -> None:
        """Go on from a state."""
        self.carried = state


def _cells(model: SequenceModel) -> list[Cell]:
    encoder = model.encoder
    return [cell for layer in range(len(encoder.layers)) for cell in encoder.cells(layer)]


def _layers(cells: Sequence[Cell]) -> list[EngineLayer]:
    found = [cell.engine_layer() for cell in cells]
    return [layer for layer in found if layer is not None]
