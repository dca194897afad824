"""The contract of a section, and how sections are found."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from typing import ClassVar

from lstm_lab.config.registry import import_all
from lstm_lab.records.examples import AnyExamples
from lstm_lab.records.run_record import RunRecord
from lstm_lab.report.parts.content import Section, Subsection
from lstm_lab.report.records.experiments import ComparisonGroup
from lstm_lab.sweeps.store.record import SweepRecord

Subsections = list[Subsection]


class ReportSection(ABC):
    """A section of the pages of runs, sweeps and comparisons. A method that returns nothing leaves the section out.

    A new section is a new file in this folder:

        class Notes(ReportSection):
            title, order = "Notes", 45

            def of_run(self, run, examples):
                return [Subsection(items=list(run.about["notes"].items()))]
    """

    title: ClassVar[str]
    """Its heading."""
    order: ClassVar[int]
    """Its position on the page, ascending."""
    wandb_panels: ClassVar[Sequence[str]] = ()
    """Panels below it in a W&B Report: names of methods of `wandb_report.Panels`."""
    registered: ClassVar[dict[str, type[ReportSection]]] = {}
    """Qualified name -> section, filled by defining it."""

    def __init_subclass__(cls) -> None:
        ReportSection.registered[f"{cls.__module__}.{cls.__qualname__}"] = cls

    @classmethod
    def id(cls) -> str:
        """Anchor on the page: the title in lower case, with hyphens."""
        return "-".join(cls.title.lower().split())

    def of_run(self, run: RunRecord, examples: AnyExamples | None) -> Subsections:
        """For the page of a run.

        Args:
            examples: predictions of its best epoch on samples of the validation split; None where there are none.
        """
        return []

    def of_sweep(self, sweep: SweepRecord, examples: AnyExamples | None) -> Subsections:
        """For the page of a sweep.

        Args:
            examples: as in `of_run`, of the best trial.
        """
        return []

    def of_comparison(self, groups: list[ComparisonGroup]) -> Subsections:
        """For the page that compares experiments, grouped by their data."""
        return []


def section_types() -> list[type[ReportSection]]:
    """Every section, in the order of the page."""
    import_all(__package__)
    return sorted(ReportSection.registered.values(), key=lambda section: section.order)


def build_sections(subsections: Callable[[ReportSection], Subsections]) -> list[Section]:
    """Every section with its content.

    Args:
        subsections: content of a section; which of its methods that is depends on the page.
    """
    return [Section(section.id(), section.title, subsections(section())) for section in section_types()]
