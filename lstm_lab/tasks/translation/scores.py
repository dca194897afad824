"""Scores of texts against the texts that they should be."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec


def text_scores(written: Sequence[str], targets: Sequence[str]) -> tuple[dict[str, float], dict[str, object]]:
    """Share of exact matches, and of all texts together BLEU (Papineni et al. 2002) and chrF (Popović 2015) as
    sacrebleu computes them (Post 2018), from 0 to 100.

    Args:
        written: by a model.
        targets: one for each of them.

    Returns:
        The scores, and notes: the signatures that make them comparable. Without sacrebleu exact matches alone.
    """
    scores = {"exact_match": sum(map(str.__eq__, written, targets)) / len(targets)}
    if find_spec("sacrebleu") is None:
        return scores, {"notes": ["BLEU and chrF need the package sacrebleu: pip install 'lstm-lab[translation]'"]}
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    notes = []
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        found = metric.corpus_score(list(written), [list(targets)])
        scores[name] = float(found.score)
        notes.append(f"{name} is sacrebleu's {metric.get_signature()}")
    return scores, {"notes": notes}
