"""A trainable that trains nothing: what remains is the time of the driver."""

from __future__ import annotations

import json
from typing import Any

from ray import tune

from lstm_lab.records import files
from lstm_lab.records.run import Run
from lstm_lab.sweeps.execution.trial_spec import TrialSpec
from lstm_lab.sweeps.store.record import trial_folder


class TrivialTrainable(tune.Trainable):
    """Its folder is that of a finished trial with one row."""

    def setup(self, config: dict[str, Any]) -> None:
        self.spec = TrialSpec.of(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.spec = TrialSpec.of(new_config)
        return True

    def step(self) -> dict[str, Any]:
        run = Run(trial_folder(self.spec.sweep_folder, self.spec.trial))
        run.path.mkdir(parents=True, exist_ok=True)
        row = {"epoch": 0, "val/loss": self.spec.overrides["optimizer.lr"], "seconds": 0.01}
        (run.path / files.METRICS).write_text(json.dumps(row) + "\n")
        (run.path / files.RUN).write_text(json.dumps({"id": run.path.name, "monitor": "val/loss", "mode": "min"}))
        (run.path / files.STATUS).write_text(json.dumps({"state": "finished", "reason": None}))
        return {"done": True, "ended": "finished"}
