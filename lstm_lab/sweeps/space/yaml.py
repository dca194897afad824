"""Reading and writing a domain as a sweep file writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from lstm_lab import config
from lstm_lab.config import Config, ConfigError
from lstm_lab.sweeps.space.domains import Domain

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue


class DomainInYaml:
    """Annotation of a config field: `{loguniform: [1e-4, 1e-2]}` <-> `LogUniform([1e-4, 1e-2])`."""

    @staticmethod
    def read(value: object) -> Domain:
        """The domain that a mapping describes.

        Raises:
            PydanticCustomError: it is not a mapping with the name of one domain.
            ValueError: the arguments or the condition of the domain are invalid.
        """
        if isinstance(value, Domain):
            return value
        content: dict[str, object] = value if isinstance(value, dict) else {}
        names = [key for key in content if key != "when"]
        if len(names) != 1 or names[0] not in Domain.members:
            raise PydanticCustomError(
                "value_error",
                "must be one domain, as in {example}, got {got}; there are: {names}",
                {
                    "example": "{loguniform: [1e-4, 1e-2]}",
                    "got": repr(value),
                    "names": ", ".join(sorted(Domain.members)),
                },
            )
        domain: Domain = Domain.members[names[0]](content[names[0]], content.get("when"))
        return domain

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read, serialization=core_schema.plain_serializer_function_ser_schema(lambda domain: domain.to_yaml())
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        condition = {
            "type": "object",
            "description": "Active only where other keys have these values: {model.cell: lstm}.",
        }
        domains = [
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
        return {"anyOf": domains}


class SpaceInYaml(Config):
    """The search space alone, which is read before anything that an experiment needs is imported."""

    space: dict[str, Annotated[Domain, DomainInYaml()]]


def flatten_space(space: object, where: str) -> dict[str, object]:
    """Nested keys of a search space joined by dots, down to the domains.

    Args:
        where: the sweep file, for the message.

    Raises:
        ConfigError: it is no mapping.
    """
    if not isinstance(space, dict):
        raise ConfigError(f"{where}: space: must be a mapping of dotted keys to domains, got {space!r}")

    def section(key: str, value: object) -> dict[str, object] | None:
        if not (isinstance(value, dict) and value and all(isinstance(inner, dict) for inner in value.values())):
            return None
        return value

    return config.flatten(space, section)
