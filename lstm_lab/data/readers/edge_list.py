"""Lists of edges: which series of a table are neighbours, one pair on each row."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lstm_lab.config import DataError
from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.formats import read_number_rows, table_names
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.table import Table, ending_of, list_names, read_numbers

EDGES = "data.edges"
"""Field of a configuration that names the file."""


@dataclass(frozen=True)
class Edges:
    """Directed edges between nodes."""

    pairs: tuple[tuple[int, int], ...]
    """Numbers of the nodes at both ends of each: from, to."""
    weights: tuple[float, ...]
    """Of each edge, above 0."""


@dataclass(frozen=True)
class EdgeFile:
    """A table with a row for each edge, and its columns."""

    path: str
    source: str = "from"
    target: str = "to"
    weight: str | None = None
    """None: every edge has weight 1."""

    @classmethod
    def guessed(
        cls, edges: str, edge_from: str | None = None, edge_to: str | None = None, edge_weight: str | None = None
    ) -> EdgeFile:
        """The columns that are not given: from and to, or else the first two; a column named weight."""
        names = table_names(find_file(edges, EDGES), _format(edges))
        first = ("from", "to") if {"from", "to"} <= set(names) else (*names, "from", "to")[:2]
        return cls(edges, edge_from or first[0], edge_to or first[1],
                   edge_weight or ("weight" if "weight" in names else None))  # fmt: skip

    def names(self) -> set[str]:
        """Of all nodes that have an edge."""
        columns = read_number_rows(find_file(self.path, EDGES), (self.source, self.target), _format(self.path)).columns
        return {name for cells in columns.values() for name in cells}

    def fields(self) -> dict[str, str]:
        """Those of a configuration that differ from their defaults."""
        chosen = {"edge_from": self.source, "edge_to": self.target, "edge_weight": self.weight}
        defaults = {"edge_from": "from", "edge_to": "to", "edge_weight": None}
        return {"edges": self.path, **{key: value for key, value in chosen.items()
                                       if value is not None and value != defaults[key]}}  # fmt: skip

    def read(self, nodes: Sequence[str]) -> Edges:
        """The edges between nodes that are given by name.

        Raises:
            DataError: no such file or column, another name, an edge that is there twice, a weight that is not above 0,
                or no edge between two nodes.
        """
        path = find_file(self.path, EDGES)
        wanted = (self.source, self.target, *([self.weight] if self.weight is not None else []))
        table = read_number_rows(path, wanted, _format(self.path))
        ends = [self._numbers(table, column, nodes) for column in (self.source, self.target)]
        pairs = list(zip(*ends, strict=True))
        self._check_distinct(table, pairs)
        if all(source == target for source, target in pairs):
            raise DataError(f"{path}: has no edge between two series: write one on each row, in columns "
                            f"{self.source!r} and {self.target!r}")  # fmt: skip
        return Edges(tuple(pairs), self._weights(table))

    def _numbers(self, table: Table, column: str, nodes: Sequence[str]) -> list[int]:
        """Number of the node that each cell of a column names."""
        number = {name: i for i, name in enumerate(nodes)}
        for row, name in enumerate(table.columns[column]):
            if name not in number:
                near = difflib.get_close_matches(name, nodes, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {list_names(nodes)}"
                raise table.error(row, column, f"{name!r} is none of the series that are predicted (data.targets); "
                                  f"{hint}")  # fmt: skip
        return [number[name] for name in table.columns[column]]

    def _check_distinct(self, table: Table, pairs: Sequence[tuple[int, int]]) -> None:
        first: dict[tuple[int, int], int] = {}
        for row, pair in enumerate(pairs):
            other = first.setdefault(pair, row)
            if other != row:
                raise table.error(row, self.target, f"the edge from {table.columns[self.source][row]!r} to "
                                  f"{table.columns[self.target][row]!r} is on {table.unit} {table.lines[other]} "
                                  "already: keep one")  # fmt: skip

    def _weights(self, table: Table) -> tuple[float, ...]:
        if self.weight is None:
            return (1.0,) * len(table.lines)
        weights: list[float] = read_numbers(table, (self.weight,), ".")[:, 0].tolist()
        for row, weight in enumerate(weights):
            if not weight > 0:
                raise table.error(row, self.weight, f"{weight:g} is no weight of an edge: it must be above 0; leave "
                                  "the row out where there is no edge")  # fmt: skip
        return tuple(weights)


def _format(path: str) -> CSVFormat:
    return CSVFormat(separator="\t" if ending_of(Path(path)) == ".tsv" else ",")
