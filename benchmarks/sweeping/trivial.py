"""A trial that trains nothing: what remains is the driver."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ray import tune

from lstm_lab.run import Run


class Trivial(tune.Trainable):
    """Its folder is a trial's, with one row."""

    def setup(self, config: dict[str, Any]) -> None:
        self.spec = config

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.spec = new_config
        return True

    def step(self) -> dict[str, Any]:
        run = Run(Path(self.spec["folder"]) / "trials" / self.spec["trial"])
        run.path.mkdir(parents=True, exist_ok=True)
        value = json.loads(self.spec["overrides"])["optimizer.lr"]
        row = {"epoch": 0, "val/loss": value, "seconds": 0.01}
        (run.path / "metrics.jsonl").write_text(json.dumps(row) + "\n")
        (run.path / "run.json").write_text(json.dumps({"id": run.path.name, "monitor": "val/loss", "mode": "min"}))
        (run.path / "status.json").write_text(json.dumps({"state": "finished", "reason": None}))
        return {"done": True, "ended": "finished"}
