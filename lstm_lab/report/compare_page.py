"""The page that compares runs and sweeps: the best on each data set, the uncertainty, and what they differ in."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from lstm_lab.records.run_record import RunRecord
from lstm_lab.report import fmt
from lstm_lab.report.parts.content import Page
from lstm_lab.report.parts.critical_difference import ranked, treatments
from lstm_lab.report.records.experiments import ComparisonGroup, ExperimentRecord, comparison_groups
from lstm_lab.report.records.read import shown_path
from lstm_lab.report.sections.base import build_sections
from lstm_lab.report.summary import comparison_summary
from lstm_lab.sweeps.store.record import SweepRecord

MAX_NAMES = 4
"""Experiments that a title names."""


def compare_page(
    records: Sequence[RunRecord | SweepRecord], wandb_runs: Sequence[RunRecord] = (), metric: str | None = None,
    mode: str | None = None, command: str = "",
) -> Page:  # fmt: skip
    """The page that compares runs and sweeps.

    Args:
        wandb_runs: of other code, compared with them.
        metric, mode: as in `comparison_groups`.
        command: that makes this page.

    Raises:
        ConfigError: there is nothing to compare, or no metric to compare by.
    """
    groups = comparison_groups(records, wandb_runs, metric, mode)
    experiments = [experiment for group in groups for experiment in group.experiments]
    noun, scores = treatments(groups) if len(groups) > 1 else ("", {})
    ranks = ranked(groups, scores) if len(groups) > 2 else None
    kinds = [experiment.kind for experiment in experiments]
    counts = [fmt.plural(kinds.count(kind), kind) for kind in ("run", "sweep", "W&B run") if kind in kinds]
    return Page(
        title=_title(experiments, groups),
        subtitle=" · ".join(["Comparison", *counts]),
        notice="",
        summary=comparison_summary(groups, ranks, noun),
        commands=[("Compare them again", command)] if command else [],
        sections=build_sections(lambda section: section.of_comparison(groups)),
    ).without_empty()


def _title(experiments: list[ExperimentRecord], groups: list[ComparisonGroup]) -> str:
    names = [experiment.name for experiment in experiments]
    if len(names) <= MAX_NAMES:
        return f"Comparison of {fmt.join(names)}" if len(names) > 1 else names[0]
    return f"{len(names)} experiments on {fmt.plural(len(groups), 'data set') if len(groups) > 1 else groups[0].data}"


def compare_command(folders: Sequence[Path], wandb: Path | None) -> str:
    """The command line that makes the page."""
    more = ["--from-wandb", shown_path(wandb)] if wandb else []
    return shlex.join(["lstm-lab", "compare", *map(shown_path, folders), *more])
