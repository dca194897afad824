"""Folders of runs and sweeps, read for a page."""
