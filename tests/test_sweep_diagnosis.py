"""A sweep with a planted fault is named, and one without is not accused; the page shows what was found."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from report_folders import page, write_json, write_sweep

from lstm_lab import config
from lstm_lab.diagnosis import SweepRule, diagnose_sweep
from lstm_lab.diagnosis.rules import sweeps
from lstm_lab.diagnosis.run import rule_types
from lstm_lab.experiment import Experiment
from lstm_lab.records.diagnosis import read_diagnosis
from lstm_lab.records.run_record import RunRecord
from lstm_lab.report.parts.importance import Importance
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.leaderboard import Trial, leaderboard
from lstm_lab.sweeps.store.record import SweepRecord, read_sweep

SPACE = {
    "optimizer.lr": ("loguniform", [1e-3, 1e-2]),
    "model.hidden_size": ("choice", [16, 32, 64]),
    "model.dropout.output": ("uniform", [0.0, 0.5]),
}
EXPERIMENT = {"data": "japanese_vowels", "task": {"name": "classify", "monitor": "loss"}}
ANNEALED = [0.01, 0.005, 0.0001]


def trial(number, overrides, value, *, seed=0, state="finished", losses=None, rates=ANNEALED, reason=None):
    curve = losses or [3 * value, value, 1.01 * value]
    rows = [
        {"epoch": n, "step": 100 * (n + 1), "val/loss": loss, "lr": rate}
        for n, (loss, rate) in enumerate(zip(curve, rates, strict=True))
    ]
    record = RunRecord(Path(f"t{number:04d}"), {"monitor": "val/loss", "mode": "min"}, state, reason, rows)
    return Trial(f"t{number:04d}", number, seed, overrides, state, reason, record)


def sweep(trials, tmp_path, space=SPACE):
    domains = {key: {name: values} for key, (name, values) in space.items()}
    spec = {
        "title": "t", "experiment": Experiment.of(EXPERIMENT).dump(), "space": domains, "num_samples": len(trials),
        "seeds": sorted({trial.seed for trial in trials}),
    }  # fmt: skip
    (tmp_path / "sweep.yaml").write_text(config.to_yaml(spec))
    ranked = leaderboard(trials, "min")
    return SweepRecord(tmp_path, spec, {}, "val/loss", "min", trials, ranked, ranked[0].trials[0], None, None)


def drawn(value, tmp_path, number=24, seeds=(0,), failed=lambda overrides: False, **more):
    """Random configurations with a loss of their hyperparameters."""
    rng, trials = random.Random(1), []
    for configuration in range(number):
        overrides = {
            "optimizer.lr": 10 ** rng.uniform(-3, -2),
            "model.hidden_size": rng.choice([16, 32, 64]),
            "model.dropout.output": rng.uniform(0.0, 0.5),
        }
        for seed in seeds:
            state = "failed" if failed(overrides) else "finished"
            trials.append(trial(configuration, overrides, value(overrides, rng), seed=seed, state=state, **more))
    return sweep(trials, tmp_path)


def healthy(overrides, rng):
    """Best in the middle of each range."""
    rate, size = overrides["optimizer.lr"] / 0.003, overrides["model.hidden_size"]
    return 1 + abs(rate - 1) + (size != 32) + 4 * abs(overrides["model.dropout.output"] - 0.2) + rng.gauss(0, 0.02)


def found(record):
    findings = diagnose_sweep(record)
    for finding in findings:  # What is proposed is a sweep that can be started.
        if finding.action:
            load_sweep(record.path / "sweep.yaml", finding.action)
    return [finding.rule for finding in findings]


def test_a_healthy_sweep_is_not_accused(tmp_path):
    assert found(drawn(healthy, tmp_path, number=28)) == []


def test_the_edge_of_a_range_is_named_and_a_wider_one_proposed(tmp_path):
    record = drawn(lambda overrides, rng: healthy({**overrides, "optimizer.lr": 3e-3}, rng) + 0.1
                   / overrides["optimizer.lr"], tmp_path)  # fmt: skip
    assert found(record) == ["best value at the edge of its range"]
    (finding,) = diagnose_sweep(record)
    assert finding.action == ("space.optimizer.lr={loguniform: [0.001, 0.0316]}",)


def test_the_edge_of_a_list_is_named(tmp_path):
    record = drawn(lambda o, rng: healthy({**o, "model.hidden_size": 32}, rng) + 64 / o["model.hidden_size"], tmp_path)
    assert diagnose_sweep(record)[0].action == ("space.model.hidden_size={choice: [16, 32, 64, 128]}",)


def test_an_edge_that_nothing_lies_behind_is_not_named(tmp_path):
    record = drawn(lambda o, rng: healthy({**o, "model.dropout.output": 0.2}, rng) + 9 * o["model.dropout.output"],
                   tmp_path)  # fmt: skip
    assert found(record) == []


def test_seeds_that_differ_more_than_configurations_are_named(tmp_path):
    record = drawn(lambda overrides, rng: 1 + rng.gauss(0, 0.1), tmp_path, number=8, seeds=(0, 1, 2))
    assert set(found(record)) == {"seeds differ more than configurations", "sweep decided by noise"}


@pytest.mark.parametrize(("std", "named"), [(0.005, True), (0.03, False)])
def test_a_hyperparameter_that_explains_nothing_is_named(tmp_path, monkeypatch, std, named):
    shares = {"optimizer.lr": 0.7, "model.hidden_size": 0.29, "model.dropout.output": 0.01}
    stds = dict.fromkeys(shares, std)
    known = Importance(
        shares, stds, {}, predicts=0.5, trials=40, configurations=40, epochs=3, max_epochs=3, left_out=[]
    )
    monkeypatch.setattr(sweeps, "importance", lambda sweep: known)
    findings = diagnose_sweep(drawn(healthy, tmp_path, number=40))
    assert [each.rule for each in findings] == ["hyperparameter that does not matter"] * named
    if named:
        assert "space.model.dropout.output" in findings[0].advice


def test_trials_that_still_improve_at_their_end_are_named(tmp_path):
    record = drawn(healthy, tmp_path, losses=[3.0, 2.0, 1.5], rates=[0.01] * 3)
    assert "trials end before they converge" in found(record)


@pytest.mark.parametrize(
    ("failed", "where"),
    [
        (lambda overrides: overrides["optimizer.lr"] > 6e-3, "learning rate from 0.00"),
        (lambda overrides: overrides["model.hidden_size"] == 64, "hidden size 64"),
    ],
)
def test_what_failed_trials_share_is_named(tmp_path, failed, where):
    (finding,) = diagnose_sweep(drawn(healthy, tmp_path, failed=failed))
    assert finding.rule == "failures clustered on one value"
    assert where in finding.evidence


def test_failures_at_random_are_not_clustered(tmp_path):
    rng = random.Random(3)
    assert found(drawn(healthy, tmp_path, failed=lambda overrides: rng.random() < 0.2)) == []


def test_the_page_shows_findings_with_the_command_and_a_picture(tmp_path):
    folder = write_sweep(tmp_path / "s", draws=2, seeds=(0,), tested=False)
    write_json(folder / "diagnosis.json", {"epoch": None, "probed": False, "findings": [{
        "rule": "best value at the edge of its range", "severity": 1, "evidence": "the best 3 of 9 have <lr> 0.1",
        "action": ["space.optimizer.lr={loguniform: [1e-3, 1.0]}"],
        "chart": {"x": "lr", "y": "loss", "kind": "points", "series": [{"name": "a", "x": [0.1], "y": [1.0]}]},
    }]})  # fmt: skip
    shown = page(folder)
    text = shown.text
    assert "The best 3 of 9 have <lr> 0.1." in text
    assert "space.optimizer.lr={loguniform: [1e-3, 1.0]}" in text
    assert "evidence-s-0" in shown.figures


def test_a_written_sweep_is_diagnosed_from_its_folder(tmp_path):
    folder = write_sweep(tmp_path / "s", draws=2, seeds=(0,), tested=False)
    diagnose_sweep(read_sweep(folder))
    assert read_diagnosis(folder).findings == []


def test_the_tuning_guide_lists_every_rule_over_sweeps():
    guide = (Path(__file__).parent.parent / "docs/tuning.md").read_text()
    assert rule_types()
    for name in SweepRule.registered:
        assert f"| {name} | sweep |" in guide
