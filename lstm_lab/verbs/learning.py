"""Verbs of learning beyond one training: from a few examples of each class, and one stage after the other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstm_lab.verbs import early
from lstm_lab.verbs.options import Json, Name, Overrides, echo, echo_json

if TYPE_CHECKING:
    from lstm_lab.evaluation.few_shot import FewShot
    from lstm_lab.records.files import Row


def few_shot(
    folder: Annotated[str, typer.Argument(help="A run of a classifier, or a sweep: then its best trial.")],
    overrides: Overrides = None,
    shots: Annotated[
        list[int] | None, typer.Option(help="Examples of each class; may be given again. 1 and 5.")
    ] = None,
    ways: Annotated[int | None, typer.Option(help="Classes of an episode; without it, all.")] = None,
    queries: Annotated[int, typer.Option(help="Samples of each class that are classified, at most.")] = 15,
    episodes: Annotated[int, typer.Option(help="Draws of classes, examples and queries.")] = 600,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    as_json: Json = False,
) -> None:
    """Classify from a few examples of each class, by the encoder of a trained classifier and without training: of other
    data, or of classes that it has not seen (data.only_classes=[7,8,9])."""
    early.require_record(folder)
    from lstm_lab.display.console import plain_console
    from lstm_lab.evaluation.few_shot import Episodes
    from lstm_lab.evaluation.few_shot import few_shot as found
    from lstm_lab.workflow import best_run

    chosen = Episodes(tuple(shots or (1, 5)), ways, queries, episodes, seed)
    result = found(best_run(Path(folder)), overrides or (), chosen)
    if as_json:
        return echo_json(result.dump())
    out = plain_console()
    out.print(_table(result))
    known = f"{len(result.trained)} of its {len(result.classes)} classes" if result.trained else "none of its classes"
    return echo(f"The model was trained on {known}. Chance: {1 / result.ways:.3f}. After ±: half of the 95 % "
                f"interval of the mean over {result.episodes} episodes.")  # fmt: skip


def _table(result: FewShot) -> object:
    from rich.table import Table

    shots = list(dict.fromkeys(row.shots for row in result.rows))
    table = Table(title=f"Accuracy on {result.data}, {result.ways} classes, validation split", title_justify="left",
                  box=None, pad_edge=False)  # fmt: skip
    table.add_column("")
    for k in shots:
        table.add_column(f"{k} example{'s' if k > 1 else ''}", justify="right")
    for method in dict.fromkeys(row.method for row in result.rows):
        cells = [f"{row.mean:.3f} ± {row.interval:.3f}" for row in result.rows if row.method == method]
        table.add_row(method, *cells)
    return table


def continual(
    file: Annotated[str, typer.Argument(help="File with an experiment and its stages, as conf/continual/digits.yaml.")],
    overrides: Overrides = None,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Train an experiment on stages one after the other, by fine-tuning alone, replay and elastic weight consolidation,
    and show what is forgotten of the earlier ones."""
    from lstm_lab.continual.plan import load_plan
    from lstm_lab.continual.sequence import check_alike, run_plan
    from lstm_lab.display.console import plain_console
    from lstm_lab.workflow import new_folder

    plan = load_plan(file, overrides or ())
    experiments = plan.experiments(Path(file))
    datasets = [experiment.data.build() for experiment in experiments]
    check_alike(plan, experiments, datasets)
    folder = new_folder(name, Path(file).stem)
    result = run_plan(plan, experiments, datasets, folder, on_stage=lambda text: echo(text, err=as_json))
    if as_json:
        return echo_json(result)
    plain_console().print(_summary(result))
    return echo(f"{folder}/continual.json")


def _summary(result: Row) -> object:
    """Of each method, the mean over seeds, and the standard deviation where there are several."""
    from rich.table import Table

    table = Table(title=f"{result['metric']} of {len(result['stages'])} stages, {result['split']} split",
                  title_justify="left", box=None, pad_edge=False)  # fmt: skip
    table.add_column("")
    names = {"final": "after the last", "forgetting": "forgetting", "backward_transfer": "backward transfer",
             "forward_transfer": "forward transfer"}  # fmt: skip
    for title in names.values():
        table.add_column(title, justify="right")
    for method, row in result["methods"].items():
        cells = [f"{row[name]['mean']:.3f}" + (f" ± {row[name]['std']:.3f}" if row[name]["std"] is not None else "")
                 for name in names]  # fmt: skip
        table.add_row(method, *cells)
    return table
