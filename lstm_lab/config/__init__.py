"""Configurations: typed, frozen, registered by name, read from YAML; every error is one line."""

from lstm_lab.config.base import (
    Config,
    ConfigError,
    Count,
    DataError,
    Fault,
    Interrupted,
    Notice,
    by_name,
    canonical_json,
    docs,
    flatten,
    load,
    merge,
    parse_overrides,
    to_yaml,
)

__all__ = [
    "Config",
    "ConfigError",
    "Count",
    "DataError",
    "Fault",
    "Interrupted",
    "Notice",
    "by_name",
    "canonical_json",
    "docs",
    "flatten",
    "load",
    "merge",
    "parse_overrides",
    "to_yaml",
]
