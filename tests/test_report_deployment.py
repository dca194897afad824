"""The page's section on deployment shows what was measured, and nothing of a run that was not exported."""

from __future__ import annotations

import pytest
from test_training import uninterrupted

from lstm_lab.deploy.export import export
from lstm_lab.deploy.prune import pruned_experiment, record_before
from lstm_lab.records.run import Run
from lstm_lab.records.run_record import read_run
from lstm_lab.report.sections.deployment import Deployment
from lstm_lab.training.train import train

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def shown(run: Run):
    return Deployment().of_run(read_run(run.path), None)


def test_exports_and_the_model_before_pruning_are_shown(reber, tmp_path):
    source, _ = uninterrupted(tmp_path, reber.with_overrides({"trainer.max_epochs": 1}))
    assert shown(source) == []
    export(source, "onnx")
    (first,) = shown(source)
    assert [row[0].text for row in first.tables[0].rows] == ["torch, float32", "ONNX, float32"]
    found = export(source, "onnx", int8=True)
    assert any("ONNX, 8 bits: " in note and "val/nll" in note for note in found.notes)
    (both,) = shown(source)
    rows = {row[0].text: row for row in both.tables[0].rows}
    assert list(rows) == ["torch, float32", "ONNX, float32", "ONNX, 8 bits"]
    assert rows["ONNX, float32"][3].value == pytest.approx(rows["torch, float32"][3].value, rel=1e-5)
    export(source, "onnx")  # What was scored stays.
    assert {row[0].text: row[3].value for row in shown(source)[0].tables[0].rows} == {
        name: row[3].value for name, row in rows.items()
    }
    source.describe(validation={"scores": {"nll": 1.5, "loss": 1.5}})
    experiment = pruned_experiment(source, 2, 1)
    dataset, run = experiment.data.build(), Run.create(tmp_path / "pruned", experiment.dump())
    before = record_before(run, experiment, dataset, source)
    train(experiment, run, dataset=dataset)
    (origin,) = shown(run)
    assert [row[1].value for row in origin.tables[0].rows] == [6, 2, 2]
    assert [row[3].value for row in origin.tables[0].rows][:2] == [1.5, before["nll"]]
