"""W&B's own variables in the environment are read as W&B reads them."""

from __future__ import annotations

import pytest

from lstm_lab import tracking
from lstm_lab.config import ConfigError


@pytest.mark.parametrize(
    ("variables", "mode"),
    [({"WANDB_MODE": "Offline"}, "offline"), ({"WANDB_MODE": "dryrun"}, "offline"), ({"WANDB_MODE": " DISABLED "},
    "disabled"),
     ({"WANDB_DISABLED": "true"}, "disabled")],
)  # fmt: skip
def test_the_mode_of_the_environment_is_read_as_wandb_reads_it(variables, mode, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    assert tracking.resolve_mode("auto") == (mode, "set by the environment")


def test_a_mode_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "later")
    with pytest.raises(ConfigError, match="WANDB_MODE=later: must be online, offline or disabled"):
        tracking.resolve_mode("auto")


def test_the_project_is_that_of_the_environment(monkeypatch):
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    assert tracking.project() == "lstm-lab"
    monkeypatch.setenv("WANDB_PROJECT", "my-team-project")
    assert tracking.project() == "my-team-project"
