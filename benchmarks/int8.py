"""What weights of 8 bits cost and save, for confs with an LSTM: ours beside torch.ao and onnxruntime on torch's export.

    python benchmarks/int8.py --write

Each conf is trained once and its best epoch taken. Ours is `lstm-lab export --to onnx`, with and without --int8. The
peers have the same weights in nn.LSTM and nn.Linear: torch as it is, `torch.ao.quantization.quantize_dynamic` of both
layers, and onnxruntime on what torch.onnx exports, as it is and after its own quantize_dynamic. All score sequences one
by one, and are timed in turn for one sequence, on one core.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import cast

import numpy as np
import onnx
import torch
from cells import processor
from torch import Tensor, nn

from lstm_lab.cells.lstm import LSTM
from lstm_lab.data.base import Batch, Split
from lstm_lab.deploy.graph_scores import graph_inputs
from lstm_lab.deploy.quantized import WITHOUT_INTEGERS, quantized
from lstm_lab.deploy.to_onnx import run_session, session_of, write_onnx
from lstm_lab.evaluation.evaluate import scores_of_outputs
from lstm_lab.evaluation.latency import typical_sample
from lstm_lab.evaluation.predict import LoadedRun, load
from lstm_lab.experiment import load_experiment
from lstm_lab.models import SequenceModel
from lstm_lab.models.pooling import Max, Mean
from lstm_lab.records.run import Run
from lstm_lab.training.train import train

ROOT = Path(__file__).parent.parent
CONFS = {"vowels_lstm": [], "reber_lstm": [], "demand_lstm": ["data.stride=16", "data.window=384"], "jsb_lstm": []}
"""Conf -> overrides."""
REPEATS, MAX_SCORED = 200, 300
Logits = Callable[[Tensor], Tensor]
"""x (1, T, I) or (1, T) -> logits (1, ...)."""


class Plain(nn.Module):
    """A `SequenceModel` of `lstm` cells in torch's own layers, for sequences without padding."""

    def __init__(self, model: SequenceModel) -> None:
        super().__init__()
        encoder = model.encoder
        cells = [[cast("LSTM", cell) for cell in encoder.cells(k)] for k in range(len(encoder.layers))]
        self.embedding, self.head, self.pooling = (
            model.embedding,
            nn.Linear(*reversed(model.head.weight.shape)),
            model.pooling,
        )
        self.lstm = nn.LSTM(cells[0][0].input_size, encoder.hidden_size, len(cells), batch_first=True,
                            bidirectional=encoder.bidirectional)  # fmt: skip
        with torch.no_grad():
            for ours, theirs in zip((c for layer in cells for c in layer), self.lstm.all_weights, strict=True):
                for weight, other in zip(theirs, ours.layer.all_weights[0], strict=True):
                    weight.copy_(other)
            self.head.weight.copy_(model.head.weight)
            self.head.bias.copy_(model.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        outputs, (h, _) = self.lstm(x if self.embedding is None else nn.functional.embedding(x, self.embedding.weight))
        if self.pooling is None:
            features = outputs
        elif isinstance(self.pooling, (Mean, Max)):
            features = outputs.mean(1) if isinstance(self.pooling, Mean) else outputs.amax(1)
        else:
            features = torch.cat([h[-2], h[-1]], 1) if self.lstm.bidirectional else h[-1]
        logits: Tensor = self.head(features)
        return logits


def peers(model: SequenceModel, x: Tensor) -> Iterator[tuple[str, int, Logits]]:
    """Name, bytes, logits of each."""
    plain = Plain(model).eval()
    yield "torch, nn.LSTM", sum(p.numel() for p in plain.parameters()) * 4, plain
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small = torch.ao.quantization.quantize_dynamic(plain, {nn.LSTM, nn.Linear}, torch.qint8)
        stored = io.BytesIO()
        torch.save(small.state_dict(), stored)
        yield "torch.ao, 8 bits", stored.tell(), small
        exported = io.BytesIO()
        axes = {"x": {1: "length"}}
        torch.onnx.export(plain, (x,), exported, input_names=["x"], dynamic_axes=axes, dynamo=False)
    theirs = onnx.load_from_string(exported.getvalue())
    for name, graph in (("onnxruntime on torch's export", theirs), ("the same, quantize_dynamic", quantized(theirs))):
        session = session_of(graph)
        yield (
            name,
            graph.ByteSize(),
            lambda x, session=session: torch.from_numpy(session.run(None, {"x": x.numpy()})[0]),
        )


def contestants(loaded: LoadedRun, x: Tensor) -> Iterator[tuple[str, int, Callable[[Batch], Tensor]]]:
    """Name, bytes, and the task's logits of a batch of one."""
    learner, info = loaded.learner, loaded.info
    task = learner.task
    size = sum(parameter.numel() for parameter in learner.model.parameters()) * 4
    yield "ours in torch", size, learner.logits
    whole = write_onnx(learner, info)
    for name, graph in (("ours, ONNX", whole), ("ours, ONNX, 8 bits",
                         quantized(write_onnx(learner, info, as_loops=WITHOUT_INTEGERS)))):  # fmt: skip
        session = session_of(graph)

        def ours(batch: Batch, session: object = session) -> Tensor:
            found = run_session(session, graph_inputs(task, info, batch))[0]  # type: ignore[arg-type]
            return task.postprocess(torch.from_numpy(found), batch)

        yield name, graph.ByteSize(), ours
    assert isinstance(learner.model, SequenceModel)
    for name, size, logits in peers(learner.model, x):
        yield name, size, lambda batch, f=logits: task.postprocess(f(task.model_inputs(batch)[0]), batch)


def singles(split: Split) -> Iterator[Batch]:
    """Samples one by one, at equal distances where there are many."""
    for index in torch.linspace(0, len(split) - 1, min(len(split), MAX_SCORED), dtype=torch.float64).long():
        yield split.take(index.reshape(1))


def table(conf: str, folder: Path) -> list[str]:
    """Markdown: a row for each contestant."""
    experiment = load_experiment(ROOT / "conf" / f"{conf}.yaml", CONFS[conf])
    run = Run(folder / conf)
    if not run.exists():
        run = Run.create(folder / conf, experiment.dump())
        train(experiment, run)
    loaded = load(run, "cpu")
    dataset, task = loaded.dataset, loaded.learner.task
    batch = typical_sample(dataset.validation)
    found = list(contestants(loaded, task.model_inputs(batch)[0]))
    with torch.inference_mode():
        times: dict[str, list[float]] = {name: [] for name, _, _ in found}
        for number in range(REPEATS + 10):
            for name, _, logits in found:
                begun = time.perf_counter()
                logits(batch)
                if number >= 10:
                    times[name].append(time.perf_counter() - begun)
        values = {
            name: [scores_of_outputs(task, [(logits(each), each) for each in singles(split)])[0][task.monitor]
                   for split in (dataset.validation, dataset.test_split())]
            for name, _, logits in found
        }  # fmt: skip
    metric, (valid, test) = task.monitor, values["ours in torch"]
    lines = [f"## {conf}", "", f"A sequence of {int(batch.lengths[0])} steps is timed."
             f"{' Overrides: `' + ' '.join(CONFS[conf]) + '`.' if CONFS[conf] else ''}", "",
             f"| form | KB | p50, ms | p99, ms | {metric}, validation | change | {metric}, test | change |",
             "|---" * 8 + "|"]  # fmt: skip
    for name, size, _ in found:
        own = values[name]
        change = [f"{100 * (value / whole - 1):+.2f} %" for value, whole in zip(own, (valid, test), strict=True)]
        p50, p99 = median(times[name]) * 1e3, float(np.percentile(times[name], 99)) * 1e3
        cells = [name, f"{size / 1000:.1f}", f"{p50:.3f}", f"{p99:.3f}", f"{own[0]:.4g}", change[0], f"{own[1]:.4g}"]
        lines.append(f"| {' | '.join([*cells, change[1]])} |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--confs", nargs="+", choices=list(CONFS), default=list(CONFS))
    parser.add_argument("--runs", type=Path, default=None, help="folder that keeps the runs")
    parser.add_argument("--write", action="store_true", help="write benchmarks/int8.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.runs or Path(scratch)
        tables = [line for conf in options.confs for line in table(conf, folder)]
    text = "\n".join([
        "# What do 8 bits cost?", "",
        f"`python benchmarks/int8.py --confs {' '.join(options.confs)}`, {time.strftime('%Y-%m-%d')}, {processor()}, "
        "one thread on a shared machine, one seed. The change is that of the metric beside ours in torch; up to "
        f"{MAX_SCORED} sequences of each split are scored.", "", *tables,
    ])  # fmt: skip
    print(text)
    if options.write:
        (ROOT / "benchmarks" / "int8.md").write_text(text.rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
