"""W&B beside a training: a failure costs nothing, a run left open is uploaded again."""

from __future__ import annotations

import os

import pytest
from test_training import start

from lstm_lab import tracking
from lstm_lab.tracking import client
from lstm_lab.training.train import train


def test_a_failing_wandb_does_not_stop_training(tmp_path, vowels, monkeypatch):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "wandb.py").write_text("raise RuntimeError('out of order')")
    monkeypatch.setattr(client, "_environment", lambda: {**os.environ, "PYTHONPATH": str(tmp_path / "broken")})
    run = start(tmp_path / "run", vowels)
    with pytest.warns(UserWarning, match="out of order"):
        assert train(vowels, run, wandb="offline").state == "finished"
    assert run.about["wandb"]["ended"] is False
    assert len(run.rows()) == 4


def test_a_wandb_run_left_open_by_a_kill_is_uploaded_again(tmp_path, vowels, monkeypatch):
    monkeypatch.delenv("WANDB_SERVICE", raising=False)
    run = start(tmp_path / "run", vowels)
    train(vowels, run, wandb="offline")
    run.describe(wandb={**run.about["wandb"], "ended": False})
    tracking.rewrite(run, mode="offline")
    assert tracking.is_complete(run)
    assert len(list((run.path / "wandb").glob("offline-run-*"))) == 1
    # Processes started from here must not share a service: a run killed in one would block its id in all.
    assert "WANDB_SERVICE" not in os.environ
