"""Several runs and sweeps -> one page: who is best on which data, how sure that is, and what they differ in."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from lstm_lab.records import RunRecord
from lstm_lab.report import fmt, statistics
from lstm_lab.report.parts.spec import Answer, Page, Part, Section, Stat
from lstm_lab.report.records.entries import Arena, Entry, arenas
from lstm_lab.report.sections import critical_difference, provenance
from lstm_lab.report.sections import side_by_side as side
from lstm_lab.sweeps.store.record import SweepRecord


def compare_page(
    found: Sequence[RunRecord | SweepRecord], foreign: Sequence[RunRecord] = (), metric: str | None = None,
    mode: str | None = None, command: str = "",
) -> Page:  # fmt: skip
    """The page of what was read.

    Raises:
        ConfigError: there is nothing to compare, or no metric to do it by.
    """
    grounds = arenas(found, foreign, metric, mode)
    entries = [entry for arena in grounds for entry in arena.entries]
    what, scores = critical_difference.treatments(grounds) if len(grounds) > 1 else ("", {})
    ranked = critical_difference.ranked(grounds, scores) if len(grounds) > 2 else None
    over = Part(
        "Over data sets", (), [critical_difference.table(grounds, what, scores)] if len(scores) > 1 else [],
        figures=[critical_difference.diagram(ranked)] if ranked else [],
    )  # fmt: skip
    curves = [side.curves(arena, f"curves-{place}") for place, arena in enumerate(grounds)]
    named = len(grounds) > 1
    kinds = [fmt.plural(sum(e.kind == kind for e in entries), kind) for kind in ("run", "sweep") if any(
        e.kind == kind for e in entries)]  # fmt: skip
    theirs = sum(entry.kind == "W&B" for entry in entries)
    return Page.of(
        title=_title(entries, grounds),
        about=" · ".join(["Comparison", *kinds, *([f"{theirs} from W&B"] if theirs else [])]),
        notice="",
        answer=_answer(grounds, entries, ranked, what),
        commands=[("Compare them again", command)] if command else [],
        sections=[
            Section("comparison", "Comparison", [
                over, *(Part(_head(arena), arena.notes, [side.table(arena, place)], side.tests(arena))
                        for place, arena in enumerate(grounds)),
            ]),
            Section("mattered", "What they differ in", [
                Part(arena.data if named else "", (), [t]) for arena in grounds if (t := side.differences(arena))
            ]),
            Section("learned", "How they learned", [Part(figures=[figure for figure in curves if figure])]),
            Section("cost", "Cost", [Part("", (), [side.costs(entries)])]),
            Section("provenance", "Provenance", [Part("", side.warnings(grounds), [side.sources(entries)])]),
        ],
    )  # fmt: skip


def _title(entries: list[Entry], grounds: list[Arena]) -> str:
    names = [entry.name for entry in entries]
    if len(names) <= 4:
        return f"{fmt.listed(names)} compared" if len(names) > 1 else names[0]
    on = f" on {fmt.plural(len(grounds), 'data set')}" if len(grounds) > 1 else f" on {grounds[0].data}"
    return f"{len(names)} experiments compared{on}"


def _head(arena: Arena) -> str:
    return f"{fmt.sentence(fmt.metric(arena.metric))} on {arena.data}"


def _answer(grounds: list[Arena], entries: list[Entry], ranked: statistics.Ranks | None, what: str) -> Answer:
    won = [(arena, arena.entries[0]) for arena in grounds if arena.entries[0].mean is not None]
    if not won:
        return Answer("There is no answer: nothing has a value.")
    stats = [Stat("experiments", str(len(entries))), Stat("data sets", str(len(grounds)))] if len(grounds) > 1 else []
    stats += [
        Stat(
            f"{fmt.metric(arena.metric)}" + (f" on {arena.data}" if len(grounds) > 1 else ""),
            fmt.number(best.mean), f"{best.name}, {fmt.plural(len(best.values), 'seed')}",
        )
        for arena, best in won[:6]
    ]  # fmt: skip
    if len(grounds) == 1:
        stats += [Stat("experiments", str(len(entries)))]
    stats.append(Stat("training", fmt.duration(sum(entry.seconds for entry in entries)), "of all that is compared"))
    if ranked:
        top = [name for name, rank in zip(ranked.names, ranked.ranks, strict=True) if rank == ranked.ranks[0]]
        best = f"{fmt.listed(top)} {'ranks' if len(top) == 1 else 'rank'} best"
        lede = f"{fmt.sentence(what)} {best} over {ranked.blocks} data sets: {ranked.ranks[0]:.2f} on "
        lede += "average."
        told = f"Friedman's test of all alike: {statistics.chance(ranked.p)}."
        return Answer(lede, stats, sure=[told])
    said = [
        f"{best.name} is best{f' on {arena.data}' if len(grounds) > 1 else ''}: {fmt.metric(arena.metric)} "
        f"{fmt.with_spread(best.mean, best.spread)} ({fmt.plural(len(best.values), 'seed')})."
        for arena, best in won
    ]
    return Answer(" ".join(said[:3]), stats, sure=[text for arena in grounds[:3] for text in _ahead(arena)])


def _ahead(arena: Arena) -> list[str]:
    """How far the best is ahead of the second, over the seeds that both have."""
    scored = [entry for entry in arena.entries if entry.mean is not None]
    if len(scored) < 2:
        return []
    best, second = scored[:2]
    difference = side.differ(arena, best, second)
    if not difference:
        gap = abs((best.mean or 0.0) - (second.mean or 0.0))
        return [f"{best.name} is {fmt.number(gap)} ahead of {second.name}; they share no seed, so nothing is paired."]
    found = statistics.paired(difference)
    ahead = (
        f"{fmt.number(abs(found.mean))} {'ahead of' if found.mean > 0 else 'behind'}" if found.mean else "level with"
    )
    text = f"Over {fmt.plural(found.n, 'shared seed')} {best.name} is {ahead} {second.name}"
    if found.low is not None:
        text += f", 95 % interval {statistics.between(found.low, found.high)}"
        text += ": not certain" if found.low <= 0 <= (found.high or 0.0) else ""
    else:
        text += ": how much of that is luck, more seeds would show"
    return [text + (f"; Wilcoxon's signed ranks: {statistics.chance(found.p)}." if found.p is not None else ".")]


def command_of(folders: Sequence[Path], foreign: Path | None) -> str:
    more = ["--from-wandb", provenance.shown(foreign)] if foreign else []
    return shlex.join(["lstm-lab", "compare", *(provenance.shown(folder) for folder in folders), *more])
