"""A `SequenceModel` in training, forward and backward, without autograd's graph.

    embedding -> each layer: site, cells in each direction -> pooling -> site -> head

Every operation is the one that autograd would call, so that logits and gradients are the same to the last bit. For a
small model it takes less than half of the time, most of which autograd spends around the engine.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from lstm_lab.kernels import EngineLayer, LayerPass, native
from lstm_lab.models.base import Model
from lstm_lab.models.embedding import TokenEmbedding
from lstm_lab.models.encoder import Encoded
from lstm_lab.models.recurrence import recurrences
from lstm_lab.models.sequence import SequenceModel
from lstm_lab.models.sites import MaskNoise, Site


def obstacle(model: Model) -> str | None:
    """Why a model cannot be trained without autograd's graph; None where it can be."""
    if type(model) is not SequenceModel:
        return f"model '{model.name}' has no backward pass of its own"
    parts = _parts_without_backward(model)
    if parts is not None:
        return parts
    parameters = list(model.parameters())
    if not native.supports(*parameters):
        return "the engine does not compute weights on this device, or of this type"
    if not all(parameter.requires_grad and parameter.is_contiguous() for parameter in parameters):
        return "some weights are not trained"
    if any(_has_hooks(module) for module in model.modules()):
        return "a module of the model has hooks"
    return None


def _parts_without_backward(model: SequenceModel) -> str | None:
    encoder = model.encoder
    if not encoder.plain or encoder.starts is not None:
        return "dilation, skips and a learned initial state have no backward pass of their own"
    for cell in (cell for layer in range(len(encoder.layers)) for cell in encoder.cells(layer)):
        layer = cell.engine_layer()
        if layer is None or not all(isinstance(parameter, nn.Parameter) for parameter in layer.weights):
            return f"cell '{cell.name}' is not computed by one layer of the engine"
    if any(recurrence.noise.kinds or recurrence.weight_drop for recurrence in recurrences(model)):
        return "there is noise in the recurrence"
    if model.pooling is not None and not model.pooling.has_backward:
        return f"pooling '{model.pooling.name}' has no backward pass of its own"
    if type(model.head) is not nn.Linear:
        return "the head is not linear"
    for site in (module for module in model.modules() if isinstance(module, Site)):
        if not all(isinstance(noise, MaskNoise) for noise in site.noises):
            return f"noise at the {site.place} is not a mask"
    return None


def _has_hooks(module: nn.Module) -> bool:
    """Whether torch calls something else around a module, as `register_forward_hook` asks it to."""
    return any(bool(hooks) for name, hooks in vars(module).items() if name.endswith(("_hooks", "_pre_hooks"))
               and name.startswith(("_forward", "_backward")))  # fmt: skip


class DirectModel:
    """The passes of one model, with memory that is kept from batch to batch.

    Args:
        model: without an `obstacle`. It stays in training mode while this is used.
    """

    def __init__(self, model: Model) -> None:
        assert isinstance(model, SequenceModel)
        self.model, self.encoder = model, model.encoder
        self.head = cast("nn.Linear", model.head)
        self.layers = [
            [LayerPass(cast("EngineLayer", cell.engine_layer()), bool(direction))
             for direction, cell in enumerate(self.encoder.cells(layer))]
            for layer in range(len(self.encoder.layers))
        ]  # fmt: skip
        self.sites = [cast("Site", site) for site in self.encoder.sites]
        self.masks: list[list[Tensor]] = [[] for _ in self.sites]
        """Factors at each site, of the batch in progress."""
        self.embedding_masks: list[Tensor] = []
        self.output_masks: list[Tensor] = []

    @torch.no_grad()
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Logits, as `Model.forward` computes them from a zero state.

        Args:
            x: (B, T, I), or token numbers (B, T).
            lengths: (B,) valid steps, on the CPU.
        """
        if self.model.embedding is not None:
            self.tokens = x
            x = self._embedded(self.model.embedding, x)
        ends: list[Tensor] = []
        for i, (site, directions) in enumerate(zip(self.sites, self.layers, strict=True)):
            x, self.masks[i] = site.masked(x)
            passed = [layer.forward(x, lengths) for layer in directions]
            outputs, ends = [output for output, _ in passed], [end for _, end in passed]
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
        self.encoded = Encoded(x, ends[0] if len(ends) == 1 else torch.cat(ends, -1), (), lengths)
        pooling = self.model.pooling
        self.pooled = x if pooling is None else pooling(self.encoded, lengths)[0]
        self.features, self.output_masks = self.model.output_site.masked(self.pooled)
        return nn.functional.linear(self.features, self.head.weight, self.head.bias)

    tokens: Tensor
    encoded: Encoded
    pooled: Tensor
    features: Tensor

    def _embedded(self, embedding: TokenEmbedding, tokens: Tensor) -> Tensor:
        vectors, self.embedding_masks = embedding.site.masked(embedding.weight)
        return nn.functional.embedding(tokens, vectors, embedding.padding_idx)

    @torch.no_grad()
    def backward(self, gradient: Tensor) -> None:
        """Write the gradient of every parameter into its `.grad`, in place where there is one.

        Args:
            gradient: of the logits that `forward` returned last.
        """
        d = self._head_backward(gradient)
        d_outputs, d_final = self._pooling_backward(d)
        for i in reversed(range(len(self.layers))):
            needs_dx = i > 0 or self.model.embedding is not None
            dx = self._layer_backward(self.layers[i], d_outputs, d_final, needs_dx)
            d_outputs, d_final = None if dx is None else _times(dx, self.masks[i]), None
        if self.model.embedding is not None and d_outputs is not None:
            self._embedding_backward(self.model.embedding, d_outputs)

    def _head_backward(self, gradient: Tensor) -> Tensor:
        """The gradient of what the pooling returned."""
        weight, bias = self.head.weight, self.head.bias
        flat, features = gradient.reshape(-1, len(weight)), self.features.reshape(-1, weight.shape[1])
        torch.mm(flat.t(), features, out=gradient_of(weight))
        torch.sum(flat, 0, out=gradient_of(bias))
        return _times((flat @ weight).view(self.features.shape), self.output_masks)

    def _pooling_backward(self, d: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The gradients of `Encoded.outputs` and `Encoded.final`."""
        pooling = self.model.pooling
        return (d, None) if pooling is None else pooling.backward(d, self.encoded, self.pooled)

    def _layer_backward(
        self, directions: list[LayerPass], d_outputs: Tensor | None, d_final: Tensor | None, needs_dx: bool
    ) -> Tensor | None:
        """The gradient of a layer's input; None where it is not needed."""
        H, total = self.encoder.hidden_size, None
        for k, layer in enumerate(directions):
            own_outputs, own_final = (None if d is None else d.narrow(-1, k * H, H) for d in (d_outputs, d_final))
            for parameter in layer.layer.weights:
                gradient_of(parameter)
            dx = layer.backward(own_outputs, own_final, needs_dx)
            total = dx if total is None or dx is None else total + dx
        return total

    def _embedding_backward(self, embedding: TokenEmbedding, d: Tensor) -> None:
        count, padding = embedding.num_embeddings, embedding.padding_idx
        vectors = torch.ops.aten.embedding_dense_backward(d, self.tokens, count, padding, False)
        embedding.weight.grad = _times(vectors, self.embedding_masks)


def gradient_of(parameter: Tensor) -> Tensor:
    """The `.grad` of a parameter, allocated where there is none."""
    if parameter.grad is None:
        parameter.grad = torch.empty_like(parameter)
    return parameter.grad


def _times(d: Tensor, masks: list[Tensor]) -> Tensor:
    """The gradient in front of masks, of that behind them."""
    for mask in reversed(masks):
        d = d * mask
    return d
