"""A W&B Report: saved on a local server, its specification unchanged, every accessor in what is logged."""

from __future__ import annotations

import json
import os
import re
from itertools import groupby
from pathlib import Path

import pytest
from wandb_stub import ENTITY, KEY, Stub

from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.records.files import append_jsonl
from lstm_lab.records.run import Run
from lstm_lab.report import wandb_report
from lstm_lab.report.page import build_page
from lstm_lab.report.records.read import read
from lstm_lab.tracking import client
from lstm_lab.tracking.tracker import wandb_config
from lstm_lab.tracking.upload import Unreachable

pytest.importorskip("wandb_workspaces")
GOLDEN = Path(__file__).parent / "golden" / "wandb_report.json"
SPACE = {
    "model.cell": {"grid": ["lstm", "gru"]}, "optimizer.lr": {"loguniform": [1e-3, 1e-1]},
    "model.dropout.output": {"uniform": [0.0, 0.4]},
}  # fmt: skip


@pytest.fixture
def stub(monkeypatch):
    with Stub() as found:
        monkeypatch.setenv("WANDB_BASE_URL", found.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield found
        assert found.unknown == []
    client.close_idle_clients()


@pytest.fixture
def swept(runs, vowels):
    """A sweep as its producers leave it, without training: two cells, two draws, two seeds."""
    folder = runs / "cells"
    spec = {"title": "Which cell?", "experiment": vowels.dump(), "space": SPACE, "seeds": [0, 1], "num_samples": 2}
    folder.mkdir(parents=True)
    (folder / "sweep.yaml").write_text(config.to_yaml(spec))
    (folder / "about.json").write_text(json.dumps({"name": "cells", "created": "2026-01-01T00:00:00+00:00"}))
    for number in range(8):
        configuration, seed = divmod(number, 2)
        overrides = {
            "model.cell": ["lstm", "gru"][configuration % 2], "optimizer.lr": 0.01 * (1 + configuration),
            "model.dropout.output": 0.1 * (1 + configuration // 2),
        }  # fmt: skip
        trial = f"t{number:04d}"
        row = {"trial": trial, "configuration": configuration, "seed": seed, "overrides": overrides}
        append_jsonl(folder / "trials.jsonl", row)
        experiment = vowels.with_overrides({**overrides, "seed": seed})
        run = Run.create(folder / "trials" / trial, experiment.dump(), command="", job_type="trial")
        data = {"digest": "abc", "info": {}, "notes": []}
        run.describe(
            monitor="val/loss", mode="min", parameters=100, data=data, group="cells", git=None, versions={},
            created="2026-01-01T00:00:00+00:00", wandb={"id": f"fixed-{trial}"},
        )  # fmt: skip
        rows = [1 / (1 + epoch) + 0.01 * configuration + 0.001 * seed for epoch in range(3)]
        for epoch, loss in enumerate(rows):
            run.append({
                "epoch": epoch, "step": epoch, "train/loss": loss, "val/loss": loss, "lr": 0.01,
                "memory_mib": 300.0, "seconds": epoch + 1.0,
            })  # fmt: skip
        run.mark("finished", best={"epoch": 2, "value": rows[-1]}, at="2026-01-01T00:00:00+00:00")
    return folder


def spec_of(folder):
    record = read(folder)
    report = wandb_report.report_of(record, build_page(record), "")
    return json.loads(report._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))


def values(content, key):
    """Every value that stands below a key, anywhere."""
    if isinstance(content, dict):
        for name, inner in content.items():
            if name == key:
                yield inner
            yield from values(inner, key)
    elif isinstance(content, list):
        for inner in content:
            yield from values(inner, key)


def resolved(accessor, run):
    """What stands at `config:optimizer.value.lr` in the configuration that W&B has; KeyError where nothing does."""
    wrapped = {key: {"value": value} for key, value in wandb_config(run).items()}
    for part in accessor.split("."):
        wrapped = wrapped[part]
    return wrapped


def test_the_report_has_the_test_results_of_the_best_trial(swept):
    confusion = {"classes": ["a", "b"], "counts": [[7, 3], [0, 9]]}
    evaluation = {"at": "2026-01-01T00:00:00+00:00", "epoch": 2, "scores": {"loss": 0.5}, "confusion": confusion}
    assert "Classes of the test split" not in json.dumps(spec_of(swept))
    append_jsonl(swept / "trials" / "t0000" / "tests.jsonl", evaluation)
    text = json.dumps(spec_of(swept), ensure_ascii=False)
    assert "Classes of the test split" in text
    assert re.search(r"\| a \| 10 \| 70.0 % \| 100.0 % \| 0.8235\S* \| b, 3 times \|", text)


def test_every_accessor_is_in_what_the_runs_log(swept):
    spec, run = spec_of(swept), Run(swept / "trials" / "t0000")
    columns = list(values(spec, "accessor"))
    assert columns == [
        "config:model.value.cell.name", "config:optimizer.value.lr", "config:model.value.dropout.output",
        "summary:best",
    ]  # fmt: skip
    groups = [row["name"] for grouping in values(spec, "grouping") for row in grouping]
    assert sorted(groups) == sorted(column.removeprefix("config:") for column in columns[:-1])
    pinned = {name for found in values(spec, "columnPinned") for name in found if name.startswith("config:")}
    for accessor in {*columns[:-1], *pinned}:
        assert not isinstance(resolved(accessor.removeprefix("config:"), run), dict)
    metrics = {name for found in values(spec, "metrics") for name in found if isinstance(name, str)}
    assert metrics == {"val/loss", "train/loss", "lr", "memory_mib"} <= set(run.rows()[0])
    assert set(values(spec, "targetKey")) == {"best"}


def test_parallel_coordinates_show_runs_and_curves_show_configurations(swept):
    grids = [block for block in spec_of(swept)["blocks"] if block["type"] == "panel-grid"]
    kinds = {
        panel["viewType"]: bool(grid["metadata"]["runSets"][0]["grouping"])
        for grid in grids
        for panel in grid["metadata"]["panelBankSectionConfig"]["panels"]
    }
    assert kinds == {
        "Run Comparer": False, "Parallel Coordinates Plot": False, "Parameter Importance": False,
        "Run History Line Plot": True,
    }  # fmt: skip
    for grid in grids:
        (found,) = grid["metadata"]["runSets"][0]["filters"]["filters"]
        assert found["key"] == {"section": "run", "name": "name"}
        assert found["value"] == [f"fixed-t{number:04d}" for number in range(8)]


def test_the_specification_is_as_it_was(swept):
    """The classes are private: a change of what they send must not go unnoticed. LSTM_LAB_GOLDEN=1 writes it again.

    The panels completely; of the text, which is that of the page, the kinds of blocks in order.
    """
    blocks = spec_of(swept)["blocks"]
    content = {
        "kinds": [kind for kind, _ in groupby(block["type"] for block in blocks)],
        "panels": [block for block in blocks if block["type"] == "panel-grid"],
    }
    text = re.sub(r'"(id|__id__)": "[a-z0-9]+"', r'"\1": "random"', json.dumps(content, indent=1)) + "\n"
    if os.environ.get("LSTM_LAB_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text)
    assert json.loads(text) == json.loads(GOLDEN.read_text())


@pytest.mark.slow
def test_it_is_saved_as_a_draft_over_runs_that_are_there(stub, swept):
    address = wandb_report.publish(swept)
    (saved,) = stub.reports
    assert address.startswith(f"{stub.url}/{ENTITY}/lstm-lab/reports/Which-cell?--")
    assert saved["type"] == "runs/draft"
    assert saved["displayName"] == "Which cell?"
    spec = json.loads(saved["spec"])
    ids = {found for filters in values(spec, "filters") if isinstance(filters, list) for found in filters[0]["value"]}
    assert ids == set(stub.runs)
    best = {run_id: copy.summary["best"] for run_id, copy in stub.runs.items()}
    assert min(best, key=best.get) == "fixed-t0000"
    for accessor in values(spec, "accessor"):
        section, _, path = accessor.partition(":")
        for copy in stub.runs.values():
            found = copy.summary if section == "summary" else copy.config
            for part in path.split(".") if section == "config" else [path]:
                found = found[part]
    assert "Best configuration" in saved["spec"]
    assert "Leaderboard" in saved["spec"]


def test_what_keeps_it_from_being_saved_is_one_line(stub, swept, monkeypatch):
    with pytest.raises(ConfigError, match="is made of a sweep"):
        wandb_report.publish(swept / "trials" / "t0000")
    stub.key = "6" * 40
    with pytest.raises(
        Unreachable, match="refuses the key; the HTML page needs no account and no network: lstm-lab report"
    ):
        wandb_report.publish(swept)
    assert stub.reports == []


def test_a_server_that_does_not_answer_is_not_waited_for(stub, swept, monkeypatch):
    monkeypatch.setattr(wandb_report, "TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(wandb_report, "sync", lambda folders: iter(()))
    with pytest.raises(Unreachable, match=r"did not answer within 0\.2 s"):
        wandb_report.publish(swept)
