"""A trained run as a folder to hand on: weights, facts, tokenizer, ONNX file and model card; no pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from torch import Tensor

from lstm_lab.config import ConfigError, to_yaml
from lstm_lab.deploy.facts import model_facts, tokenizer_of
from lstm_lab.deploy.reader_facts import output_facts, reader_facts
from lstm_lab.evaluation.predict import LoadedRun
from lstm_lab.records import files
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run
from lstm_lab.training.learner import Learner

PROGRAM = "predict.py"
FORMAT = 1
"""Of facts.json."""
WEIGHTS, FACTS, TOKENIZER, EXPERIMENT, CARD = (
    "model.safetensors", "facts.json", "tokenizer.json", files.EXPERIMENT, "README.md",
)  # fmt: skip


def write_folder(run: Run, loaded: LoadedRun, folder: Path) -> list[str]:
    """Write a run's best epoch into a folder.

    Args:
        run: that was loaded.
        loaded: on the CPU.
        folder: which is made.

    Returns:
        Names of the files, in the order in which they were written.

    Raises:
        ConfigError: the package safetensors is missing, or the path is a file.
    """
    try:
        from safetensors.torch import save
    except ImportError:
        raise ConfigError("export --to folder needs the package safetensors: pip install 'lstm-lab[export]'") from None
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file: choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizer_of(loaded.info)
    content: dict[str, str | bytes] = {
        WEIGHTS: save(dict(weights_of(loaded.learner)), {"format": "pt"}),
        FACTS: files.to_json(folder_facts(run, loaded), indent=1) + "\n",
        EXPERIMENT: to_yaml(loaded.experiment.dump()),
        **({TOKENIZER: tokenizer} if tokenizer else {}),
        CARD: model_card(run, loaded),
    }
    for name, each in content.items():
        files.write_atomic(folder / name, each)
    return list(content)


def write_program(folder: Path) -> str:
    """Write the program that predicts with the ONNX file of a folder; its name."""
    files.write_atomic(folder / PROGRAM, Path(__file__).with_name("runtime.py").read_bytes())
    return PROGRAM


def weights_of(learner: Learner) -> Iterator[tuple[str, Tensor]]:
    """Name -> weight of a model, in memory of its own; of weights that are shared, each name."""
    for name, tensor in learner.model.state_dict().items():
        yield name, tensor.detach().cpu().contiguous().clone()


def folder_facts(run: Run, loaded: LoadedRun) -> Row:
    """What a program must know beside the weights, as plain values."""
    return {
        "format": FORMAT,
        "lstm_lab": version("lstm-lab"),
        "run": run.path.resolve().name,
        **model_facts(loaded.learner.task, loaded.info),
        "data": {"name": loaded.dataset.name, "digest": run.data["digest"]},
        "calibration": run.about.get("calibration"),
        "output": output_facts(loaded.learner.task),
        "reader": reader_facts(loaded.experiment.data, loaded.info),
    }


def model_card(run: Run, loaded: LoadedRun) -> str:
    """What the model is, what it was trained on, how well it predicts, and for what it is meant, as Markdown."""
    experiment, about, release = loaded.experiment, run.about, version("lstm-lab")
    parts = [
        f"# {run.path.resolve().name}",
        f"A {experiment.model.name} model for the task `{experiment.task.name}` on data `{experiment.data.name}`: "
        f"{about['parameters']:,} parameters, seed {experiment.seed}, trained by lstm_lab {release}. The whole "
        f"experiment is in `{EXPERIMENT}`.",
        "## Data",
        f"`{json.dumps(experiment.data.model_dump(mode='json', exclude_defaults=True))}`, sha256 of all values and "
        f"splits {run.data['digest']}. What was fitted (scales, vocabulary) was fitted on the training split alone.",
        *(f"- {note}" for note in run.data.get("notes", ())),
        "## Scores",
        *_scores(run),
        "## Intended use",
        f"Predictions of {_listed(loaded.learner.task.prediction_columns)} for data like those it was trained on: the "
        "same columns in the same units, from the same source. The scores above are of data drawn as the training data "
        "were; nothing is known of others. Compare it with the baselines above before use: where one of them is as "
        "good, it is the better choice.",
        "## Files",
        f"`{WEIGHTS}`: weights, by name, read without executing anything. `{FACTS}`: names and order of the "
        f"predictions, scales of the data. `model.onnx`, where there is one: model and scales for onnxruntime; "
        f"`python {PROGRAM} new.csv` then predicts a file with numpy and onnxruntime alone.",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _scores(run: Run) -> Iterator[str]:
    """A table for the validation split, and for the test split where it was evaluated."""
    from lstm_lab.report import fmt

    rows = [("validation", run.about.get("validation"))]
    evaluated = [row for row in run.test_evaluations() if row.get("scores")]
    rows += [("test", evaluated[-1])] if evaluated else []
    for split, row in rows:
        if row is None:
            yield f"Not evaluated on the {split} split."
            continue
        metrics = [name for name in row["scores"] if name != "loss"]
        lines = [f"| {split} split | {' | '.join(metrics)} |", f"|---|{'---:|' * len(metrics)}"]
        for name, scores in {"**model**": row["scores"], **row["baselines"]}.items():
            lines.append(f"| {name} | {' | '.join(fmt.number(scores.get(metric)) for metric in metrics)} |")
        yield "\n".join(lines)
    if not evaluated:
        yield "The model was chosen by the validation split; it was not evaluated on the test split."


def _listed(names: tuple[str, ...], most: int = 8) -> str:
    return ", ".join(f"`{name}`" for name in names[:most]) + (", ..." if len(names) > most else "")
