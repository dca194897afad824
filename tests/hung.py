"""When a process of a test is taken for hung."""

from __future__ import annotations

HUNG = 1800.0
"""Seconds. A guard against waiting for ever, not a measure: on a busy machine a process takes many times as long."""
