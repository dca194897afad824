"""A domain as a sweep file writes it."""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticCustomError, core_schema

import lstm_lab.sweeps.space.ranges  # noqa: F401 - fills the registry
from lstm_lab.sweeps.space.domains import Domain


class InYaml:
    """Annotation: `{loguniform: [1e-4, 1e-2]}` <-> `LogUniform([1e-4, 1e-2])`."""

    @staticmethod
    def read(value: Any) -> Domain:
        if isinstance(value, Domain):
            return value
        members = Domain.members
        names = [key for key in value if key != "when"] if isinstance(value, dict) else []
        if len(names) != 1 or names[0] not in members:
            raise PydanticCustomError(
                "value_error",
                "must be one domain, as in {example}, got {got}; there are: {names}",
                {"example": "{loguniform: [1e-4, 1e-2]}", "got": repr(value), "names": ", ".join(sorted(members))},
            )
        return members[names[0]](value[names[0]], value.get("when"))

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read, serialization=core_schema.plain_serializer_function_ser_schema(lambda d: d.to_yaml())
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        condition = {"type": "object", "description": "Only where other keys have these values: {model.cell: lstm}."}
        arms = [
            {
                "type": "object",
                "additionalProperties": False,
                "required": [name],
                "properties": {
                    name: {"type": "array", "description": (member.__doc__ or "").strip()},
                    "when": condition,
                },
            }
            for name, member in Domain.members.items()
        ]
        return {"anyOf": arms}
