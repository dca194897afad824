"""Few-shot classification by the encoder of a trained classifier: k examples of each class, and no training.

Snell et al. (2017): a class is the mean of its examples' embeddings, its prototype, and a query has the class of the
nearest one. Accuracies are means over episodes, each of which draws classes, examples and queries of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lstm_lab.config import ConfigError, DataError, parse_overrides
from lstm_lab.data.base import DataInfo
from lstm_lab.data.kinds.labelled import ClassificationDataset, ClassInfo
from lstm_lab.evaluation.embedding import check_inputs, embed, flat, whole_split
from lstm_lab.evaluation.evaluate import best_experiment, load_weights
from lstm_lab.experiment import Experiment
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run
from lstm_lab.training.train import build_from


@dataclass(frozen=True)
class Episodes:
    """What an episode is, and how many there are."""

    shots: tuple[int, ...] = (1, 5)
    """Examples of each class, k: one row of results for each."""
    ways: int | None = None
    """Classes of an episode; None: all."""
    queries: int = 15
    """Samples of each class that are classified, at most."""
    count: int = 600
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, least in (("--shots", min(self.shots), 1), ("--ways", self.ways, 2),
                                   ("--queries", self.queries, 1), ("--episodes", self.count, 2)):  # fmt: skip
            if value is not None and value < least:
                raise ConfigError(f"{name} {value}: must be at least {least}")


@dataclass(frozen=True)
class Accuracy:
    """Of one method, over all episodes."""

    method: str
    shots: int
    mean: float
    interval: float
    """Half of the 95 % interval of the mean, 1.96 std / sqrt(episodes): what is due to the draw of the episodes."""


@dataclass(frozen=True)
class FewShot:
    """What the encoder of a run makes of a few examples."""

    run: str
    data: str
    classes: tuple[str, ...]
    trained: tuple[str, ...]
    """Those of them that the run was trained on: of these it has seen many examples."""
    ways: int
    episodes: int
    seed: int
    rows: tuple[Accuracy, ...]

    def dump(self) -> Row:
        """Plain values."""
        return asdict(self)


Classify = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""Examples (n, D), their classes (n,), queries (m, D) and the number of classes -> (m,) class of each query."""


def by_prototype(examples: Tensor, classes: Tensor, queries: Tensor, ways: int) -> Tensor:
    """The class whose examples have the nearest mean."""
    sums = examples.new_zeros(ways, examples.shape[1]).index_add(0, classes, examples)
    return torch.cdist(queries, sums / torch.bincount(classes, minlength=ways).unsqueeze(1)).argmin(1)


def by_nearest_example(examples: Tensor, classes: Tensor, queries: Tensor, ways: int) -> Tensor:
    """The class of the nearest example."""
    return classes[torch.cdist(queries, examples).argmin(1)]


class Episode(NamedTuple):
    """Rows of the two splits, and the class of each, counted within the episode."""

    examples: Tensor
    """(n,) rows of the training split."""
    classes: Tensor
    """(n,)"""
    queries: Tensor
    """(m,) rows of the validation split."""
    truth: Tensor
    """(m,)"""


def draw(episodes: Episodes, shots: int, ways: int, train: np.ndarray, validation: np.ndarray) -> Iterator[Episode]:
    """The episodes, which depend on the seed, the shots and the classes of the samples alone.

    Args:
        train, validation: (N,) class of each sample of a split, -1 where it is in no episode.
    """
    rng = np.random.default_rng((episodes.seed, shots))
    rows = {k: (np.flatnonzero(train == k), np.flatnonzero(validation == k)) for k in np.unique(train[train >= 0])}
    for _ in range(episodes.count):
        chosen = rng.permutation(list(rows))[:ways]
        examples = [rng.choice(rows[k][0], shots, replace=False) for k in chosen]
        queries = [rng.permutation(rows[k][1])[: episodes.queries] for k in chosen]
        yield Episode(*_joined(examples), *_joined(queries))


def _joined(parts: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    numbers = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return torch.from_numpy(np.concatenate(parts)), torch.from_numpy(numbers)


def few_shot(run: Run, overrides: Sequence[str] = (), episodes: Episodes | None = None) -> FewShot:
    """Classify by prototypes in the embedding of a run's best epoch, and by methods without it.

    Examples come from the training split and queries from the validation split of the data; the test split stays
    closed. Inputs are on the scale of the data that the run was trained on.

    Args:
        overrides: of `data` in the run's experiment, such as data.only_classes=[8,9] for others than it was trained on.

    Raises:
        ConfigError: the run is no classifier, overrides of other sections, or too few classes.
        DataError: too few examples of a class, or data that do not fit the model.
    """
    episodes = episodes or Episodes()
    experiment = best_experiment(run, needs_data=False)
    info: DataInfo = experiment.data.dataset.restore_info(run.data["info"])
    dataset = _with_data(experiment, overrides).data.build()
    if not isinstance(dataset, ClassificationDataset):
        raise ConfigError(f"{run.path}: task '{experiment.task.name}' on data '{dataset.name}': few-shot needs one "
                          "class for each sample (task: classify)")  # fmt: skip
    check_inputs(info, dataset)
    trained, random = build_from(experiment, info), build_from(experiment, info).eval()
    load_weights(trained, run)
    splits = [whole_split(split, info, dataset.info) for split in (dataset.train, dataset.validation)]
    raw = flat([split.x for split in splits])
    methods: dict[str, tuple[Sequence[Tensor], Classify]] = {
        "prototypes": ([embed(trained, split) for split in splits], by_prototype),
        "prototypes, untrained": ([embed(random, split) for split in splits], by_prototype),
        "nearest example, raw inputs": (raw, by_nearest_example),
        "prototypes, raw inputs": (raw, by_prototype),
    }
    names, labels = dataset.info.classes, [split.y.numpy() for split in splits]
    ways = _ways(episodes, names, labels, dataset.name)
    rows = [
        _accuracy(name, shots, [_score(classify, examples, queries, each, ways) for each in drawn])
        for shots in episodes.shots
        for drawn in ([*draw(episodes, shots, ways, *labels)],)
        for name, ((examples, queries), classify) in methods.items()
    ]
    known = frozenset(info.classes) if isinstance(info, ClassInfo) else frozenset()
    seen = tuple(name for name in names if name in known)
    return FewShot(str(run.path), dataset.name, names, seen, ways, episodes.count, episodes.seed, tuple(rows))


def _with_data(experiment: Experiment, overrides: Sequence[str]) -> Experiment:
    """The experiment with other data."""
    parsed = dict(parse_overrides(overrides))
    for key in parsed:
        if key != "data" and not key.startswith("data."):
            raise ConfigError(f"override '{key}={parsed[key]}': few-shot takes overrides of data alone: the model is "
                              "trained already")  # fmt: skip
    return experiment.with_overrides(parsed).with_absolute_paths(typed=parsed)


def _ways(episodes: Episodes, names: Sequence[str], labels: Sequence[np.ndarray], data: str) -> int:
    """Classes of an episode.

    Raises:
        ConfigError: there are not as many.
        DataError: a class with too few samples.
    """
    ways = len(names) if episodes.ways is None else episodes.ways
    if not 2 <= ways <= len(names):
        raise ConfigError(f"--ways {ways}: data '{data}' has {len(names)} classes here: {', '.join(names)}")
    needed = (
        ("training", max(episodes.shots), "lower --shots"),
        ("validation", 1, "leave it out by data.only_classes"),
    )
    for (split, least, way_out), own in zip(needed, labels, strict=True):
        for k, name in enumerate(names):
            found = int((own == k).sum())
            if found < least:
                raise DataError(f"data '{data}': class {name!r} has {found} samples in the {split} split, but {least} "
                                f"are needed: {way_out}, or provide more")  # fmt: skip
    return ways


def _score(classify: Classify, examples: Tensor, queries: Tensor, episode: Episode, ways: int) -> float:
    """Share of the queries of an episode whose class is found."""
    found = classify(examples[episode.examples], episode.classes, queries[episode.queries], ways)
    return float((found == episode.truth).double().mean())


def _accuracy(method: str, shots: int, scores: Sequence[float]) -> Accuracy:
    values = np.array(scores)
    return Accuracy(method, shots, float(values.mean()), 1.96 * float(values.std(ddof=1)) / math.sqrt(len(values)))
