"""JSON schemas of the files that a person writes."""

from __future__ import annotations

from lstm_lab.experiment import Experiment
from lstm_lab.sweeps.spec import Sweep


def file_schema(of: str) -> dict[str, object]:
    """JSON schema of an experiment file or a sweep file, as a person writes it."""
    experiment = Experiment.model_json_schema()
    if of == "experiment":
        return experiment
    schema = Sweep.model_json_schema()
    properties = schema["properties"]
    properties["experiment"] = {"anyOf": [{"type": "string"}, {"type": "object"}], "description": "File, or in place."}
    properties["overrides"] = {
        "type": "object",
        "description": "Dotted keys that change the experiment for every trial.",
    }
    properties["data"] = {
        "type": "object",
        "properties": {"grid": {"type": "array", "minItems": 2, "items": {"type": ["string", "object"]}}},
        "required": ["grid"],
        "additionalProperties": False,
        "description": "Data sets, on each of which the sweep is run.",
    }
    schema["required"] = ["experiment", "space"]
    return schema
