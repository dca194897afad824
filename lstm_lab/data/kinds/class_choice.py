"""Classes that are left out: the field of a configuration that names those whose samples are used."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from lstm_lab.data.base import Dataset


def _names(given: object) -> object:
    """Names of classes; a number is the name of one."""
    names = [given] if isinstance(given, str | int) and not isinstance(given, bool) else given
    if not isinstance(names, list | tuple):
        return given
    return tuple(str(name) if type(name) is int else name for name in names)


class ClassChoice(Dataset.Config):
    """Base of the configurations of sequences with one class each."""

    only_classes: Annotated[tuple[str, ...], Field(strict=False), BeforeValidator(_names)] = ()
    """Classes whose samples are used, in every split; empty: all."""

    @model_validator(mode="after")
    def _classes_are_distinct(self) -> ClassChoice:
        names = self.only_classes
        if len(names) == 1 or len(set(names)) < len(names):
            raise ValueError(f"only_classes={list(names)}: name two classes or more, each once")
        return self

    def options(self) -> dict[str, object]:
        return {key: value for key, value in super().options().items() if key != "only_classes"}

    def build(self, *info: Any, **more: Any) -> Any:
        dataset = super().build(*info, **more)
        if self.only_classes:
            dataset.classes_used = self.only_classes
        return dataset
