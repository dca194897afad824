"""A population in W&B: trained offline, uploaded to a server on loopback, where it equals the record."""

from __future__ import annotations

import json

import pytest
from rich.console import Console
from wandb_stub import KEY, Stub

from lstm_lab import config
from lstm_lab.records.files import read_jsonl
from lstm_lab.sweeps.execution import execute_sweep
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.tracking import client, upload

SPACE = {"optimizer.lr": {"loguniform": [1e-3, 0.1]}, "model.dropout.output": {"uniform": [0.0, 0.4]}}


def population_sweep(path, experiment):
    """A sweep by population-based training on a Ray of its own, W&B offline."""
    content = {
        "experiment": experiment.dump(), "space": SPACE, "num_samples": 3, "resources": {"cpus": 0.25},
        "scheduler": {"name": "pbt", "perturbation_interval": 2, "quantile_fraction": 0.34},
    }  # fmt: skip
    path.write_text(f"# Which numbers, and when?\n{config.to_yaml(content)}")
    folder = SweepFolder.create(path.with_suffix(""), load_sweep(path), command=f"lstm-lab sweep {path.name}")
    return folder, execute_sweep(folder, wandb="offline", console=Console(quiet=True))


def table(copy, name):
    """A table that was uploaded, as rows."""
    (body,) = [body for file, body in copy.files.items() if f"/{name}_" in file and file.endswith(".table.json")]
    content = json.loads(body)
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


@pytest.mark.slow
def test_a_population_is_uploaded_with_its_lineage_and_every_row(runs, vowels, monkeypatch):
    runs.mkdir()
    folder, content = population_sweep(runs / "bred.yaml", vowels.with_overrides({"trainer.max_epochs": 8}))
    assert content["wandb"] == {"mode": "offline", "runs": 3, "ended": 3}
    lineages = {}
    with Stub() as stub:
        monkeypatch.setenv("WANDB_BASE_URL", stub.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        assert [each.outcome for each in upload.sync()] == ["uploaded"] * 3
        assert [each.outcome for each in upload.sync()] == ["unchanged"] * 3
        client.close_idle_clients()
        assert stub.unknown == []
    assert len(stub.runs) == 3, "segments of one trial are one run"
    for trial in folder.trials():
        run = folder.run(trial.id)
        copy = stub.runs[run.about["wandb"]["id"]]
        assert copy.ended
        assert copy.group == folder.name
        # Besides the record there are only the hyperparameters that change, and the charts in the last row.
        rows_without_charts = [
            {k: v for k, v in row.items() if not k.startswith(("hp/", "examples/", "lineage"))} for row in copy.rows
        ]
        assert rows_without_charts == run.rows()
        assert [row["epoch"] for row in rows_without_charts] == list(range(8))
        rows = lineages[trial.id] = read_jsonl(run.path / "lineage.jsonl")
        for row in copy.rows:
            numbers = {key: value for key, value in row.items() if key.startswith("hp/")}
            # They are logged only where they change during a run; after an exploit they are those of the weights.
            assert set(numbers) == ({f"hp/{key}" for key in SPACE} if rows else set())
            assert row["lr"] == pytest.approx(numbers.get("hp/optimizer.lr", trial.overrides["optimizer.lr"]), rel=1e-6)
        if rows:
            expected = [
                {"epoch": row["epoch"], "source": row["source"], "from_epoch": row["from_epoch"], "hyperparameter": key}
                for row in rows
                for key in row["changes"]
            ]
            uploaded = table(copy, "lineage")
            assert [{key: row[key] for key in expected[0]} for row in uploaded] == expected
            for row, change in zip(uploaded, [c for r in rows for c in r["changes"].values()], strict=True):
                assert [row[name] for name in ("old", "source_value", "new")] == [
                    str(change[n]) for n in ("old", "source", "new")
                ]
        else:
            assert not any("lineage" in file for file in copy.files)
    assert any(lineages.values()), "no trial was exploited"
