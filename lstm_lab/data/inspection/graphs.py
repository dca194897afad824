"""Series that are the nodes of a graph: a table of them beside a list of edges."""

from __future__ import annotations

from lstm_lab.config import ConfigError
from lstm_lab.data.inspection.columns import Columns
from lstm_lab.data.inspection.result import Fields, Inspection
from lstm_lab.data.inspection.series import inspect_series
from lstm_lab.data.readers.edge_list import EdgeFile

EDGE_FIELDS = ("edges", "edge_from", "edge_to", "edge_weight")


def is_graph(choices: Fields) -> bool:
    """Whether the choices name a file of edges, or the data set that needs one."""
    return "edges" in choices or choices.get("name") == "csv_graph"


def inspect_graph(columns: Columns, choices: Fields) -> Inspection:
    """A table whose columns are the nodes that a list of edges names."""
    if "edges" not in choices:
        raise ConfigError("name=csv_graph: needs a list of edges too: edges=FILE, with the columns from and to")
    others = {key: value for key, value in choices.items() if key not in (*EDGE_FIELDS, "name")}
    file = EdgeFile.guessed(**{field: str(choices[field]) for field in EDGE_FIELDS if field in choices})
    ends = file.names()
    if "targets" not in others:
        others["targets"] = [name for name in columns.names if name in ends] or list(columns.of_kind("number"))
    result = inspect_series(columns, others)
    targets = result.experiment["data"]["targets"]
    edges = [pair for pair in file.read(targets).pairs if pair[0] != pair[1]]
    joined = {end for pair in edges for end in pair}
    result.statistics |= {"edges": len(edges), "series without a neighbour": len(targets) - len(joined)}
    data = {**result.experiment.pop("data"), "name": "csv_graph", **file.fields()}
    result.experiment = {"data": data, "task": result.experiment.pop("task"), "model": "graph", **result.experiment}
    return result
