"""A `SequenceModel` in training, forward and backward, without autograd's graph.

    embedding -> each layer: site, cells in each direction -> pooling -> site -> head

Every operation is the one that autograd would call, so that logits and gradients are the same to the last bit. For a
small model it takes less than half of the time, most of which autograd spends around the engine.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from lstm_lab.kernels import EngineLayer, LayerPass, native
from lstm_lab.models.base import Model
from lstm_lab.models.embedding import TokenEmbedding
from lstm_lab.models.encoder import Encoded
from lstm_lab.models.recurrence import recurrences
from lstm_lab.models.segments import Segments
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
    if any(has_hooks(module) for module in model.modules()):
        return "a module of the model has hooks"
    return None


def _parts_without_backward(model: SequenceModel) -> str | None:
    encoder = model.encoder
    if not encoder.plain or encoder.starts is not None:
        return "dilation, skips and a learned initial state have no backward pass of their own"
    for cell in (cell for layer in range(len(encoder.layers)) for cell in encoder.cells(layer)):
        layer = cell.engine_layer()
        if layer is None:
            return f"cell '{cell.name}' is not computed by one layer of the engine"
        if not all(isinstance(tensor, nn.Parameter) for tensor in layer.tensors):
            return f"cell '{cell.name}' computes the weights of its layer from its parameters"
    if any(recurrence.noise.kinds or recurrence.weight_drop for recurrence in recurrences(model)):
        return "there is noise in the recurrence"
    if any(recurrence.segments != Segments() for recurrence in recurrences(model)):
        return "long sequences are read in segments"
    if model.pooling is not None and not model.pooling.has_backward:
        return f"pooling '{model.pooling.name}' has no backward pass of its own"
    if type(model.head) is not nn.Linear:
        return "the head is not linear"
    for site in (module for module in model.modules() if isinstance(module, Site)):
        if not all(isinstance(noise, MaskNoise) for noise in site.noises):
            return f"noise at the {site.place} is not a mask"
    return None


def has_hooks(module: nn.Module) -> bool:
    """Whether torch calls something else around a module, as `register_forward_hook` asks it to."""
    return any(bool(hooks) for name, hooks in vars(module).items() if name.endswith(("_hooks", "_pre_hooks"))
               and name.startswith(("_forward", "_backward")))  # fmt: skip


class DirectModel:
    """The passes of one model, with memory that is kept from batch to batch; to be called under `torch.no_grad()`.

    Args:
        model: without an `obstacle`. It stays in training mode while this is used.
    """

    def __init__(self, model: Model) -> None:
        assert isinstance(model, SequenceModel)
        # Attributes of this object: those of a module take longer to look up than some operations to run.
        self.embedding, self.pooling, self.hidden_size = model.embedding, model.pooling, model.encoder.hidden_size
        head, encoder = cast("nn.Linear", model.head), model.encoder
        self.weight, self.bias = head.weight, head.bias
        self.layers = [
            [LayerPass(cast("EngineLayer", cell.engine_layer()), bool(k)) for k, cell in enumerate(encoder.cells(i))]
            for i in range(len(encoder.layers))
        ]
        sites = [*cast("Iterable[Site]", encoder.sites), model.output_site]
        *self.sites, self.output_site = (site if len(site.noises) else None for site in sites)
        self.masks: list[list[Tensor]] = [[] for _ in self.sites]
        """Factors at each site, of the batch in progress."""
        self.embedding_masks: list[Tensor] = []
        self.output_masks: list[Tensor] = []

    def begin_block(self) -> None:
        """Before batches between which nobody else gives parameters or gradients another place in memory."""
        for layer in (layer for directions in self.layers for layer in directions):
            for tensor in layer.layer.tensors:
                gradient_of(tensor)
            layer.bind()
        self.weight_gradient, self.bias_gradient = gradient_of(self.weight), gradient_of(self.bias)

    weight_gradient: Tensor
    bias_gradient: Tensor

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Logits, as `Model.forward` computes them from a zero state.

        Args:
            x: (B, T, I), or token numbers (B, T).
            lengths: (B,) valid steps, on the CPU.
        """
        if self.embedding is not None:
            self.tokens = x
            x = self._embedded(self.embedding, x)
        ends: list[Tensor] = []
        for i, directions in enumerate(self.layers):
            site = self.sites[i]
            if site is not None:
                x, self.masks[i] = site.masked(x)
            passed = [layer.forward(x, lengths) for layer in directions]
            outputs, ends = [output for output, _ in passed], [end for _, end in passed]
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
        self.encoded = Encoded(x, ends[0] if len(ends) == 1 else torch.cat(ends, -1), (), lengths)
        self.pooled = self.features = x if self.pooling is None else self.pooling.forward(self.encoded, lengths)[0]
        if self.output_site is not None:
            self.features, self.output_masks = self.output_site.masked(self.pooled)
        return nn.functional.linear(self.features, self.weight, self.bias)

    tokens: Tensor
    encoded: Encoded
    pooled: Tensor
    features: Tensor

    def _embedded(self, embedding: TokenEmbedding, tokens: Tensor) -> Tensor:
        vectors, self.embedding_masks = embedding.site.masked(embedding.weight)
        return nn.functional.embedding(tokens, vectors, embedding.padding_idx)

    def backward(self, gradient: Tensor) -> None:
        """Write the gradient of every parameter into its `.grad`, in place but for that of the embedding.

        Args:
            gradient: of the logits that `forward` returned last.
        """
        d = self._head_backward(gradient)
        d_outputs, d_final = (d, None) if self.pooling is None else self.pooling.backward(d, self.encoded, self.pooled)
        for i in reversed(range(len(self.layers))):
            needs_dx = i > 0 or self.embedding is not None
            dx = self._layer_backward(self.layers[i], d_outputs, d_final, needs_dx)
            d_outputs, d_final = None if dx is None else _times(dx, self.masks[i]), None
        if self.embedding is not None and d_outputs is not None:
            self._embedding_backward(self.embedding, d_outputs)

    def _head_backward(self, gradient: Tensor) -> Tensor:
        """The gradient of what the pooling returned."""
        features = self.features
        if features.dim() == 3:  # A target at each step.
            gradient, features = gradient.flatten(0, 1), features.flatten(0, 1)
        torch.mm(gradient.t(), features, out=self.weight_gradient)
        torch.sum(gradient, 0, out=self.bias_gradient)
        d = torch.mm(gradient, self.weight)
        return _times(d if features is self.features else d.view_as(self.features), self.output_masks)

    def _layer_backward(
        self, directions: list[LayerPass], d_outputs: Tensor | None, d_final: Tensor | None, needs_dx: bool
    ) -> Tensor | None:
        """The gradient of a layer's input; None where it is not needed."""
        if len(directions) == 1:
            return directions[0].backward(d_outputs, d_final, needs_dx)
        H, parts = self.hidden_size, []
        for k, layer in enumerate(directions):
            own = [None if d is None else d.narrow(-1, k * H, H) for d in (d_outputs, d_final)]
            parts.append(layer.backward(own[0], own[1], needs_dx))
        first, second = parts
        return None if first is None or second is None else first + second

    def _embedding_backward(self, embedding: TokenEmbedding, d: Tensor) -> None:
        count, padding = embedding.num_embeddings, embedding.padding_idx
        vectors = torch.ops.aten.embedding_dense_backward.default(d, self.tokens, count, padding, False)
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
