"""Faults, by where they lie."""
