"""Chickenpox in Hungary: weekly cases of 20 counties, and which of them are neighbours (Rozemberczki et al., 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from lstm_lab.data.kinds.graph_series import GraphSeries
from lstm_lab.data.kinds.published_series import PublishedSeries
from lstm_lab.data.kinds.series import Series, Steps
from lstm_lab.data.kinds.series_values import frame_values
from lstm_lab.data.kinds.split_series import SeriesDataset
from lstm_lab.data.readers.edge_list import EdgeFile, Edges
from lstm_lab.data.readers.locate import locate

ORIGIN = "dataset/chickenpox.json of github.com/benedekrozemberczki/pytorch_geometric_temporal, MIT licence, as CSV"


class Chickenpox(GraphSeries, PublishedSeries, SeriesDataset, name="chickenpox"):
    """521 weeks from 2005 to 2014, standardised by the authors; the edges join counties that share a border.

    The next week from the last four, as in the authors' examples.
    """

    class Config(SeriesDataset.Config):
        window: Steps = 4
        """Past weeks that are read."""
        horizon: Steps = 1
        """Future weeks that are predicted."""
        seasons: Annotated[tuple[Steps, ...], Field(strict=False)] = (52,)
        """A year."""

    time_column = "week"

    def read(self) -> Series:
        import pandas as pd

        path = locate(
            "graph_series/chickenpox_hungary.csv",
            ORIGIN,
            "8189f0443bbb27ca573d66e84aa3f52d975e9189a198bc145c1e09c7de296a02",
        )
        values, columns = frame_values(pd.read_csv(path).drop(columns="week"))
        return Series(values, columns, len(columns), str(path))

    def read_edges(self, nodes: Sequence[str]) -> Edges:
        path = locate(
            "graph_series/chickenpox_hungary_edges.csv",
            ORIGIN,
            "fd474f47b5a5f3bbd5fcd584269f384e2ef76c7759553d9f50dbe4ca685314a3",
        )
        return EdgeFile(str(path)).read(nodes)
