"""Attention alone: equal to its definition, blind to padding and, where causal, to the future."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from lstm_lab.config import ConfigError
from lstm_lab.config.validation import validate
from lstm_lab.experiment import Experiment
from lstm_lab.models.transformer import Transformer, rotated, rotations

B, T, IN, D, OUT = 3, 7, 4, 8, 5
LENGTHS = torch.tensor([7, 3, 1])
X = torch.randn(B, T, IN, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def build(per_step=True, **fields):
    torch.manual_seed(0)
    chosen = {"d_model": D, "nhead": 2, "num_layers": 2, "dim_feedforward": 6, "dropout": 0.0, **fields}
    config = validate(Transformer.Config, chosen, "test")
    return config.build(SimpleNamespace(input_size=IN), SimpleNamespace(output_size=OUT, per_step=per_step)).double()


@pytest.mark.parametrize("causal", [False, True])
def test_equals_torchs_layer_without_positions(causal):
    model = build(causal=causal, positions="none")
    theirs = nn.TransformerEncoderLayer(D, 2, 6, 0.0, "gelu", batch_first=True, norm_first=True).double()
    layer = model.layers[0]
    own = {"self_attn.in_proj": layer.qkv, "self_attn.out_proj": layer.out, "linear1": layer.widen,
           "linear2": layer.narrow, "norm1": layer.norm_attention, "norm2": layer.norm_feedforward}  # fmt: skip
    state = {f"{name}{'_' if name.endswith('in_proj') else '.'}{part}": getattr(module, part).detach()
             for name, module in own.items() for part in ("weight", "bias")}  # fmt: skip
    theirs.load_state_dict(state)
    x = torch.randn(B, T, D, dtype=torch.float64)
    mask = nn.Transformer.generate_square_subsequent_mask(T, dtype=torch.float64) if causal else None
    expected = theirs(x, src_mask=mask, is_causal=causal)
    assert_close(layer(x, model._seen(torch.full((B,), T), T), None), expected)


@pytest.mark.parametrize("per_step", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_padding_is_never_read(per_step, causal):
    model = build(per_step, causal=causal, **({} if per_step else {"pooling": "mean"}))
    dirty = X.clone()
    for row, length in enumerate(LENGTHS):
        dirty[row, length:] = float("nan")
    logits = model(dirty, LENGTHS).logits
    for row, length in enumerate(LENGTHS):
        alone = model(X[row : row + 1, :length], LENGTHS[row : row + 1]).logits[0]
        assert_close(logits[row, :length] if per_step else logits[row], alone)
    assert_close(model(dirty, LENGTHS).encoded.outputs[1, 3:], torch.zeros(T - 3, D, dtype=torch.float64))


def test_the_future_is_not_read_and_positions_are_distances():
    model, lengths = build(causal=True), torch.full((B,), T)
    before, changed = model(X, lengths).logits, X.clone()
    changed[:, 4:] += 1.0
    after = model(changed, lengths).logits
    assert_close(after[:, :4], before[:, :4])
    assert not torch.allclose(after[:, 4:], before[:, 4:])
    cosine, sine = rotations(T, 4, X)
    q = rotated(X[:1, :1].expand(1, T, IN)[None], cosine, sine)[0, 0]
    assert_close((q @ q.T).diagonal(2), (q @ q.T)[0, 2].expand(T - 2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"name": "transformer", "d_model": 12}}, r"d_model=12 .*multiple of 8"),
        ({"task": "next_step", "data": "python_docs", "model": "transformer"}, r"model\.causal: .*set it to true"),
        ({"task": "next_step", "data": "python_docs", "model": {"name": "transformer", "causal": True}},
         r"data\.stateful: .*set it to false"),
        ({"model": "transformer", "trainer": {"truncated_bptt_steps": 5}}, r"truncated_bptt_steps=5 would do nothing"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        Experiment.of({"data": "japanese_vowels", "task": "classify", **changes})
