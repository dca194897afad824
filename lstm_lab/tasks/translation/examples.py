"""Examples of a model that writes texts: translations from the smallest loss to the largest, and where it looked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch

from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.text_pairs import END
from lstm_lab.data.preprocessing.tokenizer import Vocabulary
from lstm_lab.records.files import Row
from lstm_lab.tasks.base import Predictor
from lstm_lab.tasks.next_step import Tokens

if TYPE_CHECKING:
    from lstm_lab.tasks.translate import Translate

QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
"""Of the mean loss of a sample: which are shown."""
MAPPED = (0.25, 0.5, 0.75)
"""Those whose attention is shown."""
MAX_MAPPED = 30
"""Tokens of either side of a map."""
END_MARK = "∎"


def translation_examples(task: Translate, model: Predictor, batches: Iterable[Batch]) -> Row:
    """`TranslationExamples` without what the run adds."""
    kept = list(batches)
    losses, places = [], []
    for number, batch in enumerate(kept):
        mask = batch.y >= 0
        nats = Tokens.nll(model.logits(batch), batch.y).where(mask, 0.0).sum(1) / mask.sum(1)
        losses += nats.tolist()
        places += [(number, row) for row in range(len(nats))]
    order = sorted(range(len(losses)), key=losses.__getitem__)
    at = {quantile: order[round(quantile * (len(order) - 1))] for quantile in QUANTILES}
    translations, maps = [], []
    for quantile, sample in at.items():
        number, row = places[sample]
        content, attention = _written(task, model, kept[number].select(torch.tensor([row])))
        translations.append({"quantile": quantile, "nll": losses[sample], **content})
        if attention and quantile in MAPPED:
            maps.append({"quantile": quantile, **attention})
    return {"kind": "translations", "translations": translations, "attention": maps}


def _written(task: Translate, model: Predictor, batch: Batch) -> tuple[Row, Row]:
    """The texts of one sample, and its attention; the latter empty for a model without."""
    found, info = model.decode(batch, task.search), task.info
    source = batch.x[0, : int(batch.lengths[0])].tolist()
    (target,), (text,) = task.texts(batch.y), task.texts(found.tokens)
    content: Row = {"source": info.vocabulary.decode(source), "target": target, "written": text}
    if found.attention is None:
        return content, {}
    written = found.tokens[0].tolist()
    weights = found.attention[0, :MAX_MAPPED, : min(len(source), MAX_MAPPED)].tolist()
    return content, {
        "source": token_texts(info.vocabulary, source[:MAX_MAPPED]),
        "written": token_texts(info.target_vocabulary, written[:MAX_MAPPED]), "weights": weights,
    }  # fmt: skip


def token_texts(vocabulary: Vocabulary, tokens: Sequence[int]) -> list[str]:
    """The text of each token on its own; the name of one that is part of a character."""
    texts = [END_MARK if number == END else vocabulary.decode([number]) for number in tokens]
    return [vocabulary.tokens[number] if "\ufffd" in text else text.strip() or "␣"
            for number, text in zip(tokens, texts, strict=True)]  # fmt: skip
