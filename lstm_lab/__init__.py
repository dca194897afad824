"""Tune recurrent networks: typed experiments, distributed sweeps, local records, one-page reports."""

__version__ = "0.1.0"
