"""Deployment: size, latency and score of what the model was exported to, and of what it was made from."""

from __future__ import annotations

from lstm_lab.records.examples import AnyExamples
from lstm_lab.records.files import Row
from lstm_lab.records.run_record import RunRecord
from lstm_lab.report import fmt
from lstm_lab.report.parts.content import Subsection
from lstm_lab.report.parts.tables import Cell, Column, Table
from lstm_lab.report.sections.base import ReportSection, Subsections


class Deployment(ReportSection):
    """What `lstm-lab export` and `lstm-lab prune` measured, and whose predictions were learned."""

    title, order = "Deployment", 75

    def of_run(self, run: RunRecord, examples: AnyExamples | None) -> Subsections:
        exports, origin = run.about.get("exports"), _origin(run)
        found = [Subsection("Smaller than before", tables=[origin])] if origin else []
        found += [Subsection("Exported", tables=[_exports(exports)])] if exports else []
        teachers = (run.about.get("distillation") or {}).get("teachers", ())
        items = [(f"teacher {number}", f"{row['run']}, epoch {row['epoch']}") for number, row in enumerate(teachers, 1)]
        return [*found, *([Subsection("Teachers", items=items)] if items else [])]


def _exports(exports: Row) -> Table:
    """A row for each form."""
    metric = f"val/{exports['metric']}"
    columns = [Column("form"), Column("KB", True), Column("ms", True), Column(fmt.metric(metric), True)]
    rows = [
        [Cell(row["form"], row["form"]), Cell(f"{row['bytes'] / 1000:,.1f}", row["bytes"]),
         Cell(fmt.number(row["ms"]), row["ms"]), Cell(fmt.number(row["value"]), row["value"])]
        for row in exports["rows"]
    ]  # fmt: skip
    caption = (
        f"Size, median time of one sequence of {exports['steps']} steps on one core in the same run, and the metric on "
        "the validation split, where it was scored"
    )
    return Table(caption, columns, rows)


def _origin(run: RunRecord) -> Table | None:
    """A pruned model beside the one that it was made from; None of any other."""
    source, before = run.about.get("pruned_from"), run.about.get("before_finetuning")
    units = (run.about.get("transfer") or {}).get("units")
    if source is None or before is None or units is None or run.monitor is None:
        return None
    metric, kept = run.monitor.partition("/")[2], len(units["kept"][0][0])
    columns = [
        Column("model"),
        Column("units", True),
        Column("parameters", True),
        Column(fmt.metric(run.monitor), True),
    ]

    def row(name: str, count: int, parameters: int | None, value: float | None) -> list[Cell]:
        numbers = [Cell(fmt.number(each), each) for each in (count, parameters, value)]
        return [Cell(name, name), *numbers]

    parameters = run.about.get("parameters")
    rows = [
        row("whole", units["of"], source["parameters"], source["scores"].get(metric)),
        row("pruned, before fine-tuning", kept, parameters, before.get(metric)),
        row("pruned", kept, parameters, run.value),
    ]
    return Table("The model beside the one whose largest units it has, on the validation split", columns, rows)
