"""Series of a user that are the nodes of a graph: a table of them, and a list of edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import model_validator

from lstm_lab.config.paths import FilePath
from lstm_lab.data.kinds.graph_series import GraphSeries
from lstm_lab.data.readers.columns import Column
from lstm_lab.data.readers.edge_list import EdgeFile, Edges
from lstm_lab.data.sources.csv_series import CSV


class CSVGraph(GraphSeries, CSV, name="csv_graph"):
    """A table as `csv` reads it, whose targets are the nodes of a graph, and a file with an edge on each row, for
    `model: graph`. Features and what is known in advance are read by every node."""

    class Config(CSV.Config):
        edges: FilePath
        """CSV, TSV, JSONL or Parquet file with a row for each edge, whose ends are names of targets."""
        edge_from: Column = "from"
        """Column of the node that an edge begins at."""
        edge_to: Column = "to"
        """Column of the node that it leads to."""
        edge_weight: Column | None = None
        """Column of its weight, above 0; null: every edge has weight 1."""

        @model_validator(mode="after")
        def _there_are_nodes(self) -> CSVGraph.Config:
            if len(self.targets) < 2:
                raise ValueError(f"targets={list(self.targets)}: a graph has two nodes or more; name the columns of "
                                 "all series")  # fmt: skip
            return self

        def options(self) -> dict[str, object]:
            others = ("edges", "edge_from", "edge_to", "edge_weight")
            file = EdgeFile(self.edges, self.edge_from, self.edge_to, self.edge_weight)
            return {**{key: value for key, value in super().options().items() if key not in others}, "edge_file": file}

    def __init__(self, *, edge_file: EdgeFile, **options: Any) -> None:
        super().__init__(**options)
        self.edge_file = edge_file

    def read_edges(self, nodes: Sequence[str]) -> Edges:
        return self.edge_file.read(nodes)
