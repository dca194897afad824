"""Hidden units kept against the metric: pruned models beside the whole one, and beside small ones trained from scratch.

    python benchmarks/pruning.py --write

For each conf and seed the conf is trained, once as it is and once with the group lasso; then `lstm-lab prune` takes
units away and trains 5 epochs further. Epochs are chosen by the validation split, whose value stands first; the test
split is beside. Every training is added to --results, so that an interrupted benchmark resumes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cells import processor

from lstm_lab.data import Dataset
from lstm_lab.deploy.prune import pruned_experiment, record_before
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.experiment import Experiment, load_experiment
from lstm_lab.records.files import Row, read_jsonl
from lstm_lab.records.run import Run
from lstm_lab.training.train import train

ROOT = Path(__file__).parent.parent
CONFS = {"vowels_lstm": 1e-3, "jsb_lstm": 3e-3, "demand_lstm": 1e-4}
"""Conf -> strength of the group lasso."""
SHARES = (0.5, 0.25, 0.125)
FINETUNE = 5
WHOLE, LASSO, PRUNED, SPARSE, SCRATCH = "whole", "whole, group lasso", "pruned", "group lasso, pruned", "from scratch"


def trained(experiment: Experiment, dataset: Dataset, folder: Path, source: Run | None = None) -> tuple[Run, Row]:
    """A run of an experiment, and its scores; before fine-tuning too, where it is pruned."""
    run = Run.create(folder, experiment.dump())
    before = {} if source is None else record_before(run, experiment, dataset, source)
    result = train(experiment, run, dataset=dataset)
    metric = experiment.task.monitor
    return run, {
        "units": run.about["hidden_size"], "parameters": run.about["parameters"], "metric": metric,
        "before": before.get(metric), "validation": evaluate(run, "validation", dataset).model[metric],
        "test": evaluate(run, "test", dataset).model, "epochs": result.epochs,
    }  # fmt: skip


def rows_of(conf: str, seed: int, folder: Path) -> Iterator[Row]:
    """A row for each model."""
    plain = load_experiment(ROOT / "conf" / f"{conf}.yaml", [f"seed={seed}"])
    dataset = plain.data.build()
    lasso = plain.with_overrides({"regularizers": [{"name": "group_lasso", "strength": CONFS[conf]}]})
    for kind, pruned, experiment in ((WHOLE, PRUNED, plain), (LASSO, SPARSE, lasso)):
        source, row = trained(experiment, dataset, folder / kind)
        yield {"kind": kind, "share": 1.0, **row}
        for share in SHARES:
            smaller = pruned_experiment(source, share, FINETUNE)
            yield {"kind": pruned, "share": share, **trained(smaller, dataset, folder / f"{pruned} {share}", source)[1]}
            if kind == WHOLE:
                alone = plain.with_overrides({"model.hidden_size": smaller.dump()["model"]["hidden_size"]})  # type: ignore[index]
                yield {"kind": SCRATCH, "share": share, **trained(alone, dataset, folder / f"{SCRATCH} {share}")[1]}


def run_all(confs: Sequence[str], seeds: Sequence[int], results: Path) -> list[Row]:
    """Every conf and seed that is not in `results` yet is trained and added to it."""
    rows = read_jsonl(results) if results.is_file() else []
    known = {(row["conf"], row["seed"]) for row in rows}
    for conf, seed in ((conf, seed) for conf in confs for seed in seeds if (conf, seed) not in known):
        with tempfile.TemporaryDirectory() as scratch:
            found = [{"conf": conf, "seed": seed, **row} for row in rows_of(conf, seed, Path(scratch))]
        rows += found
        with results.open("a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(row) + "\n" for row in found)
        print(conf, seed, flush=True)
    return rows


def spread(values: Sequence[float | None]) -> str:
    """Mean and standard deviation over seeds."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    return f"{statistics.mean(known):.4g} ± {statistics.stdev(known):.2g}" if len(known) > 1 else f"{known[0]:.4g}"


def table(rows: Sequence[Row], conf: str) -> list[str]:
    """Markdown: a row for each kind and share."""
    own = [row for row in rows if row["conf"] == conf]
    metric, seeds = own[0]["metric"], len({row["seed"] for row in own})
    also = "accuracy" if metric == "loss" else None
    head = ["model", "units", "parameters", f"{metric} before fine-tuning", f"{metric}, validation", f"{metric}, test"]
    head += [f"{also}, test"] if also else []
    lines = [f"## {conf}", "", f"{seeds} seed{'s' * (seeds > 1)}.", ""]
    lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for kind, share in sorted({(row["kind"], row["share"]) for row in own}, key=lambda pair: (-pair[1], pair[0])):
        group = [row for row in own if (row["kind"], row["share"]) == (kind, share)]
        cells = [kind, f"{group[0]['units']}", f"{group[0]['parameters']:,}"]
        cells += [spread([row[key] for row in group]) for key in ("before", "validation")]
        cells.append(spread([row["test"][metric] for row in group]))
        lines.append(f"| {' | '.join(cells + ([spread([row['test'][also] for row in group])] if also else []))} |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--confs", nargs="+", choices=list(CONFS), default=list(CONFS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=Path("runs/pruning.jsonl"))
    parser.add_argument("--write", action="store_true", help="write benchmarks/pruning.md")
    options = parser.parse_args()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    rows = run_all(options.confs, options.seeds, options.results)
    missing = [conf for conf in CONFS if all(row["conf"] != conf for row in rows)]
    text = "\n".join([
        "# How many hidden units are needed?", "",
        f"`python benchmarks/pruning.py`, {time.strftime('%Y-%m-%d')}, {processor()}. Mean ± standard deviation over "
        f"seeds. `pruned` keeps the units whose weights have the largest norm and is trained for {FINETUNE} epochs; "
        "`from scratch` is the conf with as many units, trained as the whole model is. The strength of the group lasso "
        f"({', '.join(f'{value:g} for {conf}' for conf, value in CONFS.items())}) is not tuned.", "",
        *(line for conf in CONFS if any(row["conf"] == conf for row in rows) for line in table(rows, conf)),
        *([f"Not trained: {', '.join(missing)}."] if missing else []),
    ])  # fmt: skip
    print(text)
    if options.write:
        (ROOT / "benchmarks" / "pruning.md").write_text(text.rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
