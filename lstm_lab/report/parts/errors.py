"""Tables of where a model is wrong."""

from __future__ import annotations

from lstm_lab.records.explanation import Errors, Slice
from lstm_lab.report import fmt
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned, number_cell

MAX_SLICES = 12
CERTAIN = 2.0
"""Standard errors from which on a slice is worse than all samples."""


def slices_table(found: Errors) -> Table | None:
    """Groups of samples, the largest loss first; those that are certainly worse than all samples are emphasised."""
    rows = sorted(found.slices, key=lambda each: -each.loss)[:MAX_SLICES]
    if not rows:
        return None
    more = f", the worst {len(rows)} of {len(found.slices)}" if len(found.slices) > len(rows) else ""
    return Table.of_columns(
        f"Loss by group of samples{more}",
        [
            Column("group"),
            Column("by"),
            Column("samples", True),
            Column("loss", True, "mean over the samples"),
            Column("standard error", True),
            Column("of all", True, "loss over that of all samples"),
        ],
        [
            [Cell(row.name) for row in rows],
            [Cell(row.by) for row in rows],
            [number_cell(row.n) for row in rows],
            aligned([row.loss for row in rows]),
            aligned([row.error for row in rows]),
            aligned([row.loss / found.loss if found.loss > 0 else None for row in rows], _ratio),
        ],
        sortable=True,
        highlighted=[number for number, row in enumerate(rows) if is_worse(row, found)],
        id="loss-by-group",
    )


def is_worse(slice: Slice, found: Errors) -> bool:
    """Whether a group has a larger loss than all samples, beyond two standard errors."""
    return slice.loss - CERTAIN * slice.error > found.loss


def _ratio(value: float | None) -> str:
    return fmt.MISSING if value is None else f"{value:.2f}"


def worst_groups(found: Errors) -> str:
    """The groups that are certainly worse, as a sentence."""
    worse = sorted((each for each in found.slices if is_worse(each, found)), key=lambda each: -each.loss)[:3]
    if not worse:
        return "No group of samples is certainly worse than all samples together." if found.slices else ""
    named = fmt.join([f"{each.by} {each.name} ({fmt.number(each.loss)})" for each in worse])
    return f"The loss is {fmt.number(found.loss)} over {found.samples} samples; it is larger for {named}."


def calibration_note(found: Errors) -> str:
    """What temperature scaling would do, as a sentence; empty where no classes are predicted."""
    if found.calibration is None:
        return ""
    fit = found.calibration
    before, after = fmt.number(fit.ece_before), fmt.number(fit.ece_after)
    too = "too sure" if fit.temperature > 1 else "not sure enough"
    if fit.ece_after >= fit.ece_before:
        return (
            f"The expected calibration error is {before}; temperature scaling (T = {fit.temperature:.2f}) does not "
            f"lower it: {after}."
        )
    return (
        f"The model is {too}: the expected calibration error is {before}, and {after} with the logits divided by "
        f"{fit.temperature:.2f} (each half of {fit.targets} targets by the temperature of the other half). Train with "
        "task.temperature_scaling=true for predictions so scaled."
    )


def suspects_table(found: Errors) -> Table | None:
    """Labels that are probably wrong; None where there are none."""
    rows = found.suspects
    if not rows:
        return None
    has_text = rows[0].text is not None
    columns = [
        Column("sample", title="number in the validation split"),
        Column("label"),
        Column("probability", True, "of the label"),
        Column("suggestion", title="class that it is as surely as the samples labelled so"),
        Column("probability of it", True),
    ]
    cells = [
        [Cell(str(row.sample), row.sample, "ids") for row in rows],
        [Cell(row.label) for row in rows],
        aligned([row.probability for row in rows], lambda value: f"{value:.3f}"),
        [Cell(row.suggestion) for row in rows],
        aligned([row.suggested_probability for row in rows], lambda value: f"{value:.3f}"),
    ]
    if has_text:
        columns.append(Column("text"))
        cells.append([Cell(row.text or "", None, "wide") for row in rows])
    return Table.of_columns("Labels that are probably wrong", columns, cells, id="suspected-labels")
