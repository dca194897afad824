"""A population through W&B: trained offline, sent to a server on loopback, and there as the record tells it."""

from __future__ import annotations

import json

import pytest
from rich.console import Console
from wandb_stub import KEY, Stub

from lstm_lab import config
from lstm_lab.files import read_jsonl
from lstm_lab.sweeps.execution import execute_sweep
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.tracking import client, upload

SPACE = {"optimizer.lr": {"loguniform": [1e-3, 0.1]}, "model.dropout.output": {"uniform": [0.0, 0.4]}}


def bred(path, experiment):
    """A sweep by population-based training on a Ray of its own, W&B offline."""
    content = {
        "experiment": experiment.dump(), "space": SPACE, "num_samples": 3, "resources": {"cpus": 0.25},
        "scheduler": {"name": "pbt", "perturbation_interval": 2, "quantile_fraction": 0.34},
    }  # fmt: skip
    path.write_text(f"# Which numbers, and when?\n{config.to_yaml(content)}")
    folder = SweepFolder.create(path.with_suffix(""), load_sweep(path), command=f"lstm-lab sweep {path.name}")
    return folder, execute_sweep(folder, wandb="offline", console=Console(quiet=True))


def table(copy, name):
    """A table that the server was sent, as rows."""
    (body,) = [body for file, body in copy.files.items() if f"/{name}_" in file and file.endswith(".table.json")]
    content = json.loads(body)
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


@pytest.mark.slow
def test_a_population_arrives_with_its_lineage_and_every_row(runs, vowels, monkeypatch):
    runs.mkdir()
    folder, content = bred(runs / "bred.yaml", vowels.with_overrides({"trainer.max_epochs": 8}))
    assert content["wandb"] == {"mode": "offline", "runs": 3, "ended": 3}
    cloned = {}
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
        # Beside the record stand only the numbers that change while it trains, and what is drawn below the last row.
        told = [
            {k: v for k, v in row.items() if not k.startswith(("hp/", "examples/", "lineage"))} for row in copy.rows
        ]
        assert told == run.rows()
        assert [row["epoch"] for row in told] == list(range(8))
        rows = cloned[trial.id] = read_jsonl(run.path / "lineage.jsonl")
        for row in copy.rows:
            numbers = {key: value for key, value in row.items() if key.startswith("hp/")}
            # The configuration of one that was never cloned says them; of a clone they are those of its weights.
            assert set(numbers) == ({f"hp/{key}" for key in SPACE} if rows else set())
            assert row["lr"] == pytest.approx(numbers.get("hp/optimizer.lr", trial.overrides["optimizer.lr"]), rel=1e-6)
        if rows:
            expected = [
                {"epoch": row["epoch"], "source": row["source"], "from_epoch": row["from_epoch"], "hyperparameter": key}
                for row in rows
                for key in row["changes"]
            ]
            arrived = table(copy, "lineage")
            assert [{key: row[key] for key in expected[0]} for row in arrived] == expected
            for row, change in zip(arrived, [c for r in rows for c in r["changes"].values()], strict=True):
                assert [row[name] for name in ("old", "source_value", "new")] == [
                    str(change[n]) for n in ("old", "source", "new")
                ]
        else:
            assert not any("lineage" in file for file in copy.files)
    assert any(cloned.values()), "somebody went on as a clone"
