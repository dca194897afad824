"""A searcher, a scheduler and a domain in one file each: found, validated, converted or refused, swept with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lstm_lab

SEARCHER = '''
"""Van der Corput's sequence instead of random numbers."""

from typing import Annotated

from pydantic import Field

from lstm_lab.config.registry import Named
from lstm_lab.sweeps.searchers.base import Searcher


class VanDerCorput(Searcher, name="van_der_corput"):
    """Low-discrepancy values of every range."""

    supports_grid = False

    class Config(Named):
        base: Annotated[int, Field(ge=2)] = 2
        """Of the digits."""

    def __init__(self, base):
        self.base = base

    def ask(self, number):
        fraction, scale, rest = 0.0, 1.0, number + 1
        while rest:
            rest, digit = divmod(rest, self.base)
            scale /= self.base
            fraction += digit * scale
        ends = {key: domain.corner_values() for key, domain in self.search_space.domains.items()}
        return {key: low * (high / low) ** fraction for key, (low, high) in ends.items()}
'''

SCHEDULER = '''
"""A limit on the metric."""

from lstm_lab.config import Count
from lstm_lab.config.registry import Named
from lstm_lab.sweeps.schedulers.base import Scheduler


class Limit(Scheduler, name="limit"):
    """Stops a trial whose metric is above a limit after so many epochs."""

    class Config(Named):
        epochs: Count = 2
        """After which the metric is compared."""
        limit: float = 1.0
        """Highest value that may continue."""

    def __init__(self, epochs, limit):
        self.epochs, self.limit = epochs, limit

    def check(self, sweep):
        if self.epochs > sweep.base.trainer.max_epochs:
            raise ValueError(f"scheduler.epochs: {self.epochs} is above trainer.max_epochs")

    def decision_epochs(self, max_epochs):
        return [self.epochs]

    def tune_scheduler(self, max_epochs, metric, mode):
        from ray.tune.schedulers import FIFOScheduler

        epochs, limit = self.epochs, self.limit

        class TuneLimit(FIFOScheduler):
            def on_trial_result(self, controller, trial, result):
                stop = result["epochs"] == epochs and result[metric] > limit
                return self.STOP if stop else self.CONTINUE

        return TuneLimit()
'''

DOMAIN = '''
"""A constant times powers of two."""

from lstm_lab.sweeps.space.domains.choice import Choice


class Powers(Choice, name="powers"):
    """Powers of two from one to another."""

    def check(self):
        low, high = self.arguments
        self.values = [2**n for n in range(low, high + 1)]

    def sample(self, rng):
        return self.values[int(rng.integers(len(self.values)))]

    def corner_values(self):
        return list(self.values)

    def contains(self, value):
        return value in self.values
'''

SCRIPT = """
import sys

assert "ray" not in sys.modules
import lstm_lab
from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.config.registry import all_kinds
from lstm_lab.config.fields import fields
from lstm_lab.sweeps.spec import Sweep, load_sweep
from lstm_lab.sweeps.view.wandb_convert import to_wandb

assert lstm_lab.__file__.startswith(sys.argv[1]), lstm_lab.__file__
for kind, name in (("searcher", "van_der_corput"), ("scheduler", "limit"), ("domain", "powers")):
    assert name in all_kinds()[kind].members
assert {row.path for row in fields(Sweep) if row.of == "limit"} == {"scheduler.epochs", "scheduler.limit"}

drawn = load_sweep("random.yaml")
searcher = drawn.build_searcher()
searcher.setup(drawn.search_space, drawn.num_samples, drawn.seed, drawn.base.mode)
assert {searcher.ask(number)["model.hidden_size"] for number in range(30)} == {2, 4, 8}

for overrides, message in {
    "scheduler.limitt=2": "no such field in Limit; did you mean 'limit'?",
    "scheduler.epochs=9": "scheduler.epochs: 9 is above trainer.max_epochs",
    "space.model.cell={grid: [lstm, gru]}": "searcher 'van_der_corput' chooses the values",
}.items():
    try:
        load_sweep("sweep.yaml", [overrides])
    except ConfigError as error:
        assert message in str(error), error
    else:
        raise AssertionError(message)
for key in ("searcher", "scheduler"):
    kept = {**config.load("sweep.yaml"), "experiment": "experiment.yaml"}
    del kept["scheduler" if key == "searcher" else "searcher"]
    open("one.yaml", "w").write("# Which rate?\\n" + config.to_yaml(kept))
    try:
        to_wandb("one.yaml")
    except ConfigError as error:
        assert f"one.yaml: {key}: W&B has no {key} like" in str(error), error
    else:
        raise AssertionError("converted without a word")
assert "ray" not in sys.modules

from sweeping import run_trials

from lstm_lab.sweeps.store.folder import SweepFolder

folder = SweepFolder.create(lstm_lab.sweeps.store.folder.Path("runs/rates"), load_sweep("sweep.yaml"), command="")
assert len(run_trials(folder)) == 3
rates = [trial.overrides["optimizer.lr"] for trial in folder.trials()]
assert rates == [0.001 * 100**0.5, 0.001 * 100**0.25, 0.001 * 100**0.75], rates
assert all(trial.state == "finished" for trial in folder.trials())

from ray.tune.schedulers import TrialScheduler

scheduler = load_sweep("sweep.yaml").build_scheduler().tune_scheduler(4, "val/loss", "min")
decisions = [scheduler.on_trial_result(None, None, {"epochs": n, "val/loss": 2.0}) for n in (1, 2, 3)]
assert decisions == [TrialScheduler.CONTINUE, TrialScheduler.STOP, TrialScheduler.CONTINUE]
print("swept")
"""


@pytest.mark.slow
def test_a_searcher_a_scheduler_and_a_domain_are_one_file_each(tmp_path, vowels):
    from lstm_lab import config

    tests, package = Path(__file__).parent, tmp_path / "lstm_lab"
    shutil.copytree(Path(lstm_lab.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(tests / "sweeping.py", tmp_path)
    (package / "sweeps" / "searchers" / "van_der_corput.py").write_text(SEARCHER)
    (package / "sweeps" / "schedulers" / "limit.py").write_text(SCHEDULER)
    (package / "sweeps" / "space" / "domains" / "powers.py").write_text(DOMAIN)
    experiment = vowels.with_overrides({"trainer.max_epochs": 2})
    (tmp_path / "experiment.yaml").write_text(config.to_yaml(experiment.dump()))
    content = {
        "experiment": experiment.dump(), "space": {"optimizer.lr": {"loguniform": [1e-3, 1e-1]}}, "num_samples": 3,
        "searcher": "van_der_corput", "scheduler": {"name": "limit", "epochs": 2},
    }  # fmt: skip
    (tmp_path / "sweep.yaml").write_text(f"# Which rate?\n{config.to_yaml(content)}")
    content = {"experiment": experiment.dump(), "space": {"model.hidden_size": {"powers": [1, 3]}}, "num_samples": 30}
    (tmp_path / "random.yaml").write_text(f"# Which size?\n{config.to_yaml(content)}")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("swept\n")
