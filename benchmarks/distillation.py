"""A small model alone, beside the same one with teachers, and beside the teachers.

    python benchmarks/distillation.py --write

For each conf and seed the conf is the teacher; the student has fewer units and another cell. It is trained alone, with
the teacher of its seed, and with the teachers of all seeds together. Epochs are chosen by the validation split, whose
value stands first; the test split is beside. Every training is kept in --runs, so that an interrupted one resumes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from cells import processor
from pruning import spread

from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.experiment import Experiment, load_experiment
from lstm_lab.records.files import Row, read_jsonl
from lstm_lab.records.run import Run
from lstm_lab.training.train import train

ROOT = Path(__file__).parent.parent
STUDENTS = {
    "vowels_lstm": (["model.cell=gru", "model.hidden_size=6"], "accuracy"),
    "demand_lstm": (["model.cell=gru", "model.hidden_size=6", "data.stride=16", "data.window=384"], "mase"),
    "reber_lstm": (["model.cell=gru", "model.hidden_size=6"], "accuracy"),
}
"""Conf -> overrides of the student, and a further metric of the test split."""
OF_TEACHER = {"demand_lstm": ["data.stride=16", "data.window=384"]}
ALONE, ONE, ALL, TEACHER = "student alone", "one teacher", "teachers of all seeds", "teacher"


def trained(experiment: Experiment, folder: Path) -> Row:
    """A run of an experiment, where there is none yet, and its scores."""
    dataset = experiment.data.build()
    run = Run(folder)
    if not run.exists():
        run = Run.create(folder, experiment.dump())
        train(experiment, run, dataset=dataset)
    metric = experiment.task.monitor
    return {"metric": metric, "parameters": run.about["parameters"],
            "validation": evaluate(run, "validation", dataset).model[metric],
            "test": evaluate(run, "test", dataset).model}  # fmt: skip


def run_all(confs: Sequence[str], seeds: Sequence[int], folder: Path, results: Path) -> list[Row]:
    """Every training that is not in `results` yet is done and added to it."""
    rows = read_jsonl(results) if results.is_file() else []
    known = {(row["conf"], row["kind"], row["seed"]) for row in rows}

    def add(conf: str, kind: str, seed: int, overrides: Sequence[str]) -> None:
        if (conf, kind, seed) in known:
            return
        experiment = load_experiment(ROOT / "conf" / f"{conf}.yaml", [*overrides, f"seed={seed}"])
        row = {"conf": conf, "kind": kind, "seed": seed, **trained(experiment, folder / f"{conf}-{kind}-{seed}")}
        rows.append(row)
        with results.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        print(conf, kind, seed, row["validation"], flush=True)

    for conf in confs:
        teachers = [str((folder / f"{conf}-{TEACHER}-{seed}").resolve()) for seed in seeds]
        for seed in seeds:
            add(conf, TEACHER, seed, OF_TEACHER.get(conf, []))
        for seed, teacher in zip(seeds, teachers, strict=True):
            small = STUDENTS[conf][0]
            add(conf, ALONE, seed, small)
            add(conf, ONE, seed, [*small, f"distillation.teachers={json.dumps([teacher])}"])
            add(conf, ALL, seed, [*small, f"distillation.teachers={json.dumps(teachers)}"])
    return rows


def table(rows: Sequence[Row], conf: str) -> list[str]:
    """Markdown: a row for each kind."""
    own = [row for row in rows if row["conf"] == conf]
    metric, (small, also) = own[0]["metric"], STUDENTS[conf]
    lines = [f"## {conf}", "", f"Student: `{' '.join(small)}`. {len({row['seed'] for row in own})} seeds.", ""]
    lines += [f"| model | parameters | {metric}, validation | {metric}, test | {also}, test |", "|---" * 5 + "|"]
    for kind in (ALONE, ONE, ALL, TEACHER):
        group = [row for row in own if row["kind"] == kind]
        if group:
            cells = [kind, f"{group[0]['parameters']:,}", spread([row["validation"] for row in group])]
            cells += [spread([row["test"][name] for row in group]) for name in (metric, also)]
            lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--confs", nargs="+", choices=list(STUDENTS), default=list(STUDENTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/distillation"))
    parser.add_argument("--write", action="store_true", help="write benchmarks/distillation.md")
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    rows = run_all(options.confs, options.seeds, options.runs, options.runs / "results.jsonl")
    text = "\n".join([
        "# What does a small model learn from a large one?", "",
        f"`python benchmarks/distillation.py`, {time.strftime('%Y-%m-%d')}, {processor()}. Mean ± standard deviation "
        "over seeds. `distillation.weight` 1 and `temperature` 2, which are not tuned.", "",
        *(line for conf in STUDENTS if any(row["conf"] == conf for row in rows) for line in table(rows, conf)),
    ])  # fmt: skip
    print(text)
    if options.write:
        (ROOT / "benchmarks" / "distillation.md").write_text(text.rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
