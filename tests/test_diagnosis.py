"""A planted fault is named, a healthy run is not accused, and what is proposed is a valid override."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import VOWELS

import lstm_lab as lab
from lstm_lab import config
from lstm_lab.diagnosis import Evidence, diagnose
from lstm_lab.diagnosis.rules.data import LeakingSplit, ShiftedSplit, UnscaledInputs
from lstm_lab.diagnosis.rules.fit import Overfitting
from lstm_lab.diagnosis.rules.memory import DeadUnits, SaturatedGates, nothing_learned
from lstm_lab.diagnosis.run import rule_types
from lstm_lab.experiment import Experiment
from lstm_lab.records.explanation import Explanation, GateStatistics, LagProfile, Layer
from lstm_lab.records.run import Run
from lstm_lab.records.run_record import RunRecord
from lstm_lab.training.train import build

COUNTS = [50, 50, 50]


def told(rows, counts=COUNTS, state="finished", reason=None, validation=None, **overrides):
    """Evidence of a run that was never trained: its metric record and its settings."""
    evidence = Evidence(Run(Path("nowhere")))
    about = {"monitor": "val/loss", "mode": "min", "data": {"info": {"counts": counts}}, "device": "cpu",
             "validation": validation, "code": {"engine": "avx2"}}  # fmt: skip
    vars(evidence)["record"] = RunRecord(Path("nowhere"), about, state, reason, rows)
    vars(evidence)["experiment"] = Experiment.of(VOWELS).with_overrides(overrides)
    return evidence


def epochs(train, validation, steps=20, norms=None, lr=0.01):
    norms = norms or [1.0] * len(train)
    return [
        {"epoch": n, "step": steps * (n + 1), "train/loss": t, "val/loss": v, "train/grad_norm": g, "lr": lr}
        for n, (t, v, g) in enumerate(zip(train, validation, norms, strict=True))
    ]


def found(evidence):
    """Names of what the rules that read the record alone find."""
    findings = [rule().check(evidence) for rule in rule_types() if rule.reads == "record"]
    for finding in findings:
        if finding is not None and finding.action:
            evidence.experiment.with_overrides(dict(config.parse_overrides(finding.action)))
    return {finding.rule for finding in findings if finding is not None}


FALLING = [1.0, 0.6, 0.4, 0.3, 0.25, 0.22, 0.2, 0.19, 0.18, 0.18]
HEALTHY = [1.0, 0.6, 0.45, 0.38, 0.36, 0.35, 0.34, 0.345, 0.35, 0.36]


def test_a_healthy_record_is_not_accused():
    assert found(told(epochs(FALLING, HEALTHY))) == set()


@pytest.mark.parametrize(
    ("name", "evidence"),
    [
        (
            "overfitting",
            told(epochs([1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.01], [1, 0.7, 0.6, 0.7, 0.9, 1.1, 1.3, 1.5])),
        ),
        ("stopped too early", told(epochs([1.0, 0.7, 0.5], [1.0, 0.8, 0.6]))),
        ("loss at its entropy floor", told(epochs([1.10] * 5, [1.10, 1.098, 1.099, 1.1, 1.1]))),
        (
            "labels that the inputs do not explain",
            told(epochs([1.1, 0.9, 0.6, 0.3, 0.1], [1.1, 1.2, 1.3, 1.6, 2.0])),
        ),
        (
            "exploding gradients without clipping",
            told(epochs([1.0] * 5, [1.0] * 5, norms=[1, 1, 1, 1, 90]), **{"trainer.gradient_clip_val": None}),
        ),
        (
            "exploding gradients without clipping",
            told([], state="failed", reason="train/loss is nan", **{"trainer.gradient_clip_val": None}),
        ),
        (
            "imbalanced classes",
            told(
                epochs(FALLING, HEALTHY), counts=[950, 50], validation={"scores": {"accuracy": 0.95, "macro_f1": 0.49}}
            ),
        ),
        ("batch too large", told(epochs(FALLING, HEALTHY, steps=1), **{"data.batch_size": 4096})),
        ("batch too small", told(epochs(FALLING, HEALTHY, steps=300), **{"data.batch_size": 1})),
        (
            "a baseline wins",
            told(epochs(FALLING, HEALTHY), validation={"scores": {}, "skill": {"majority class": -0.3}}),
        ),
    ],
)
def test_a_fault_in_the_record_is_named(name, evidence):
    assert name in found(evidence)


def test_a_short_annealed_run_was_not_stopped_too_early():
    rows = epochs([1.0, 0.7, 0.5], [1.0, 0.8, 0.6], steps=200)
    rows[-1]["lr"] = 0.0001
    assert found(told(rows)) == set()


def waves(number=240, shift=0.0):
    """Two frequencies in noise, and a channel of zeros."""
    rng = np.random.default_rng(int(shift) + number)
    y = rng.integers(2, size=number)
    steps = np.arange(16)
    x = np.sin(2 * np.pi * (2 * y[:, None] + 1) * steps / 16) + rng.normal(0, 0.2, (number, 16)) + shift
    return np.stack([x, rng.normal(0, 1, (number, 16))], 2).astype(np.float32), y


def trained(overrides, train=None, validation=None):
    X, y = train or waves()
    experiment = Experiment(
        data=lab.data.arrays(X, y.tolist(), validation=validation or waves(80), test=0),
        task="classify", model={"hidden_size": 8}, optimizer={"lr": 0.01}, trainer={"max_epochs": 10},
    )  # fmt: skip
    return lab.train(experiment.with_overrides(overrides), progress=False)


def names(run):
    return [finding.rule for finding in diagnose(run) if finding.severity > 1]


@pytest.mark.slow
def test_a_healthy_run_is_not_accused():
    assert names(trained({})) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("learning rate too high", {"optimizer.lr": 5.0}),
        ("learning rate too low", {"optimizer.lr": 1e-6}),
        ("too strongly regularized", {"model.dropout.output": 0.99}),
    ],
)
def test_a_wrong_setting_is_named_and_the_action_mends_it(name, overrides):
    run = trained(overrides)
    finding = next(finding for finding in diagnose(run) if finding.rule == name)
    mended = trained({**overrides, **dict(config.parse_overrides(finding.action))})
    assert mended.best["val/loss"] < 0.6 * min(run.metrics["val/loss"])


def untrained(validation, train=None, losses=(0.5, 1.0)):
    """Evidence of data, with a network that was never trained, and the losses of an epoch."""
    X, y = train or waves()
    data = lab.data.arrays(X, y.tolist(), validation=validation, test=0)
    experiment = Experiment(data=data, task="classify", model={"hidden_size": 8})
    evidence = Evidence(Run(Path("nowhere")))
    vars(evidence)["experiment"], vars(evidence)["dataset"] = experiment, experiment.data.build()
    vars(evidence)["learner"] = build(experiment, evidence.dataset)
    rows = epochs([losses[0]], [losses[1]])
    vars(evidence)["record"] = RunRecord(
        Path("nowhere"), {"monitor": "val/loss", "mode": "min"}, "finished", None, rows
    )
    return evidence


def in_data(evidence):
    rules = (LeakingSplit, ShiftedSplit, UnscaledInputs)
    return [finding.rule for rule in rules if (finding := rule().check(evidence)) is not None]


def test_a_shifted_and_a_leaking_validation_split_are_named():
    X, y = waves()
    assert in_data(untrained(waves(80))) == []
    leaking = np.concatenate((X[:40], waves(40)[0])), np.concatenate((y[:40], waves(40)[1])).tolist()
    assert in_data(untrained(leaking)) == ["training samples in the validation split"]
    assert in_data(untrained(waves(80, shift=3.0))) == ["validation split from another distribution"]


def test_a_shift_that_costs_nothing_is_no_fault():
    """As of a series whose level moves, and whose forecasts start from the last value."""
    assert in_data(untrained(waves(80, shift=3.0), losses=(0.5, 0.55))) == []


def test_data_that_repeat_themselves_leak_no_more_than_they_repeat():
    X, y = waves(40)
    often = np.concatenate([X] * 4), np.concatenate([y] * 4)
    finding = LeakingSplit().check(untrained((X, y.tolist()), train=often))
    assert finding.severity == 1
    assert LeakingSplit().check(untrained((X, y.tolist()), train=(X, y))).severity == 3


def test_sequences_without_any_change_are_no_copies():
    still = np.zeros((40, 16, 2), np.float32), np.zeros(40, int)
    X, y = waves(40)
    mixed = np.concatenate((X, still[0])), np.concatenate((y, still[1]))
    assert LeakingSplit().check(untrained((still[0], still[1].tolist()), train=mixed)) is None


def network(evidence, closed=0.1, open=0.8, dead=()):
    """The same evidence, with a layer of 8 units whose forget gate is nearly always on one side."""
    gate = GateStatistics(symbol="f", mean=0.9, closed=closed, open=open, unit_means=[0.9], always_closed=[],
                          always_open=[0])  # fmt: skip
    lags = LagProfile(lags=[0, 1], low=[1, 1], median=[1, 1], high=[1, 1], look_back=None)
    layer = Layer(name="layer 1", cell="lstm", units=8, gates=[gate], dead=list(dead), gradient=lags,
                  gradient_at_start=None, half_lives=None, sequence=[])  # fmt: skip
    vars(evidence)["explanation"] = Explanation(
        epoch=0, split="validation", samples=1, sample=0, steps=2, median_length=2, layers=[layer], channels=[],
        lags=[], tokens=[], integration_error=0, loss=None,
    )  # fmt: skip
    return evidence


@pytest.mark.parametrize(("skill", "severity"), [(0.6, None), (0.01, 2)])
def test_open_gates_of_a_network_that_learns_are_its_memory(skill, severity):
    told_of = told(epochs(FALLING, HEALTHY), validation={"skill": {"majority class": skill}})
    finding = SaturatedGates().check(network(told_of))
    assert (finding and finding.severity) == severity


@pytest.mark.parametrize(("skill", "severity"), [(0.6, 1), (0.01, 2)])
def test_dead_units_weigh_less_in_a_network_that_learns(skill, severity):
    told_of = told(epochs(FALLING, HEALTHY), validation={"skill": {"majority class": skill}})
    assert DeadUnits().check(network(told_of, dead=(0, 1, 2))).severity == severity


def test_norms_that_fall_as_a_run_converges_do_not_explode():
    norms = [50.0, 8.0, 1.0, 0.3, 0.1, 0.05, 0.02, 0.01, 0.01, 0.01]
    evidence = told(epochs(FALLING, HEALTHY, norms=norms), **{"trainer.gradient_clip_val": None})
    assert "exploding gradients without clipping" not in found(evidence)


def test_overfitting_after_a_best_epoch_that_beats_every_baseline_weighs_less():
    rows = epochs([1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.01], [1, 0.7, 0.6, 0.7, 0.9, 1.1, 1.3, 1.5])
    assert Overfitting().check(told(rows, validation={"skill": {"linear": 0.4}})).severity == 1
    assert Overfitting().check(told(rows, validation={"skill": {"linear": -0.4}})).severity == 2


@pytest.mark.parametrize(
    ("skills", "accused"), [({"last value": 0.6, "linear": -0.8}, False), ({"majority class": 0.01}, True), ({}, False)]
)
def test_only_a_network_that_learned_nothing_forgets_too_soon(skills, accused):
    assert nothing_learned(told(epochs(FALLING, HEALTHY), validation={"skill": skills})) is accused


def test_the_command_prints_what_to_do_next(lab, tmp_path):
    (tmp_path / "vowels.yaml").write_text(config.to_yaml(VOWELS))
    assert lab("train", "vowels.yaml", "--name", "v", "trainer.max_epochs=1")[0] == 0
    code, out, _ = lab("diagnose", "runs/v", "--quick")
    assert code == 0
    assert "stopped too early" in out
    assert "trainer.max_epochs=4" in out
    code, out, _ = lab("diagnose", "runs/v", "--quick", "--json")
    assert json.loads(out)[0]["action"] == ["trainer.max_epochs=4"]
    assert lab("diagnose", "nowhere")[0] == 2


def test_a_first_epoch_that_learned_all_there_is_is_not_stuck():
    rows = epochs([0.3, 0.29, 0.28], [0.3, 0.295, 0.291])
    assert not nothing_learned(told(rows, validation={"skill": {"majority class": 0.7}}))
    assert nothing_learned(told(rows))


def test_the_tuning_guide_lists_every_rule():
    guide = (Path(__file__).parent.parent / "docs/tuning.md").read_text()
    listed = {
        line.split(" | ")[0].removeprefix("| "): line.split(" | ")[1] for line in guide.splitlines() if "| " in line
    }
    assert {rule.name: rule.reads for rule in rule_types()}.items() <= listed.items()
