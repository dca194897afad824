"""A training that is killed at random moments and resumed ends with the weights of one that was not."""

from __future__ import annotations

import multiprocessing
import os
import random
import time

import pytest
from conftest import VOWELS
from test_averaging import BACKTRACKING, CHOICES
from test_blocks import assert_same
from test_training import start

from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.training.train import train

KILLS = int(os.environ.get("LSTM_LAB_KILLS", "3"))
"""Of each case."""
SHORT = {"trainer.max_epochs": 8}
CASES = {
    "ema": {**SHORT, "averaging": CHOICES["ema"]},
    "nt_asgd": {**SHORT, "averaging": CHOICES["nt_asgd"], "optimizer.lr": 0.3},
    "backtracking": {**BACKTRACKING, **SHORT},
    "accumulation, truncated BPTT, noise": {
        **SHORT, "trainer.accumulate_grad_batches": 2, "trainer.truncated_bptt_steps": 5,
        "regularizers": [{"name": "zoneout", "h": 0.1}, "weight_noise", "gradient_noise"],
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_killed_at_random_and_resumed(tmp_path, case):
    experiment = Experiment.of(VOWELS).with_overrides(CASES[case])
    dataset = experiment.data.build()
    _ = dataset.train, dataset.validation
    whole, begun = start(tmp_path / "whole", experiment), time.perf_counter()
    train(experiment, whole, dataset=dataset)
    seconds, rng, kills, tries = time.perf_counter() - begun, random.Random(case), 0, 0
    run = start(tmp_path / "killed", experiment)
    process = multiprocessing.get_context("fork").Process
    while Run(run.path).status.get("state") != "finished":
        child = process(target=train, args=(experiment, Run(run.path)), kwargs={"dataset": dataset})
        child.start()
        child.join(rng.uniform(0, seconds) if kills < KILLS else None)
        tries += 1
        if child.is_alive():
            child.kill()
            kills += 1
            child.join()
        else:
            assert child.exitcode == 0
        if kills < KILLS and Run(run.path).status.get("state") == "finished" and tries < 3 * KILLS:
            assert_same(run, whole)
            run = start(tmp_path / f"killed-{tries}", experiment)
    assert kills  # How many fit into so many tries depends on the machine.
    assert_same(run, whole)
