"""Series that are the nodes of a graph: beside their values, which of them are neighbours."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from lstm_lab.data.kinds.series import SeriesInfo, WindowedDataset
from lstm_lab.data.readers.cache import digest
from lstm_lab.data.readers.edge_list import Edges


@dataclass(frozen=True)
class GraphInfo(SeriesInfo):
    """What a model and a task need to know of them; saved with a run, so that it can forecast without the data."""

    edges: tuple[tuple[int, int], ...] = ()
    """Numbers of the targets at both ends of each edge: from, to."""
    edge_weights: tuple[float, ...] = ()
    """Of each edge, above 0."""


class GraphSeries(WindowedDataset):
    """Base of the sources of series with edges between their targets: in front of another base, which reads the series.
    A source writes `read_edges`. A model that knows nothing of edges reads the series as any others."""

    Info = GraphInfo

    @abstractmethod
    def read_edges(self, nodes: Sequence[str]) -> Edges:
        """The edges between the targets, which are given by name."""

    @cached_property
    def edges(self) -> Edges:
        """The edges, read once and checked."""
        series = self.series
        return self.read_edges(series.columns[: series.num_targets])

    @property
    def notes(self) -> tuple[str, ...]:
        names = self.info.targets
        joined = {end for source, target in self.edges.pairs if source != target for end in (source, target)}
        alone = [name for i, name in enumerate(names) if i not in joined]
        note = f"{len(alone)} of {len(names)} series have no neighbour: {', '.join(alone[:6])}"
        return (*super().notes, *([note + (", ..." if len(alone) > 6 else "")] if alone else []))

    @cached_property
    def info(self) -> GraphInfo:
        return GraphInfo(**vars(super().info), edges=self.edges.pairs, edge_weights=self.edges.weights)

    @cached_property
    def digest(self) -> str:
        return digest(self.digest_of_series(), self.edges.pairs, self.edges.weights)
