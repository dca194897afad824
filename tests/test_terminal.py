"""The leaderboard of the terminal: it fits, the best is first, and what was stopped is marked."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from lstm_lab.display.console import PlainConsole
from lstm_lab.kernels.native import Status
from lstm_lab.records.scores import Scores
from lstm_lab.sweeps.store.summary import over_seeds
from lstm_lab.verbs import terminal


def printed(table, width):
    out = io.StringIO()
    PlainConsole(file=out, width=width).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def row(number, states, mean, **more):
    overrides = {
        "model.cell": "gru" if number else "lstm", "optimizer.lr": 0.001 * (number + 1),
        "model.hidden_size": 16, **more,
    }  # fmt: skip
    return {"overrides": overrides, "mean": mean, "std": 0.01, "n": 2, "states": states, "parameters": 12_345,
            "trials": ["t0", "t1"]}  # fmt: skip


def summary(*rows):
    return {"title": "LSTM or GRU?", "metric": "val/scaled_mse", "configurations": list(rows)}


DONE, HALF = ["finished", "finished"], ["finished", "stopped"]


def test_a_leaderboard_says_who_was_stopped_and_what_is_the_same_in_all():
    lines = printed(terminal.leaderboard(summary(row(0, DONE, 0.5), row(1, HALF, 0.4)), 80), 80)
    assert lines[1].split() == ["rank", "cell", "learning", "rate", "val/scaled_mse", "n", "parameters", "state"]
    assert lines[2].split() == ["1", "lstm", "0.001", "0.5000", "±", "0.0100", "2", "12,345", "finished"]
    assert lines[3].split()[:3] + lines[3].split()[-4:] == ["2*", "gru", "0.002", "1", "of", "2", "stopped"]
    note = "* Not trained to completion with every seed: ranked behind those that were."
    assert " ".join(lines[4:]) == f"{note} Same in all: hidden size 16."


def test_a_stopped_configuration_is_not_first_in_silence():
    lines = printed(terminal.leaderboard(summary(row(0, HALF, 0.5), row(1, HALF, 0.6)), 80), 80)
    assert lines[2].startswith("1* ")
    assert "No configuration was trained to completion" in " ".join(lines)


@pytest.mark.parametrize("width", [60, 80])
def test_columns_that_do_not_fit_are_named(width):
    more = [{f"model.dropout.site_{n}": 0.123 * number for n in range(6)} for number in (1, 2)]
    lines = printed(
        terminal.leaderboard(summary(row(0, DONE, 0.5, **more[0]), row(1, HALF, 0.4, **more[1])), width), width
    )
    assert max(map(len, lines)) <= width
    assert lines[1].split()[-1] == "state"
    assert "Left out, for a width of" in " ".join(lines)
    assert "parameters" in " ".join(lines[4:])


def test_test_scores_of_several_seeds_are_their_mean():
    found = {
        trial: Scores("test", "accuracy", "max", {"loss": 1.0, "accuracy": value}, {"naive": {"accuracy": 0.75}}, 1,
                      details={"dropout_samples": 50, "dropout_coverage_90": value}, maximised=frozenset({"accuracy"}))
        for trial, value in (("t1", 0.9), ("t0", 0.7), ("t2", 0.5))
    }  # fmt: skip
    scores = over_seeds(found)
    assert (scores.details["dropout_samples"], scores.details["dropout_coverage_90"]) == (50, pytest.approx(0.7))
    assert scores.model["accuracy"] == pytest.approx(0.7)
    assert scores.winner == "naive", "the luckiest seed would have won"
    assert scores.details["trials"] == ["t1", "t0", "t2"]
    assert scores.details["std"]["accuracy"] == pytest.approx(0.2)
    lines = printed(terminal.scores(scores.dump(), "Test split"), 80)
    assert lines[2].split()[:5] == ["mean", "of", "3", "seeds", "0.7000"]
    assert lines[3].split() == ["std", "over", "seeds", "0.2000"]


def test_a_choice_that_does_not_exist_is_one_plain_line(lab):
    code, _, err = lab("report", "runs/none", "--to", "xyz")
    said = "Invalid value for '--to': 'xyz' is not one of 'html', 'markdown', 'json', 'wandb'"
    assert (code, err.strip()) == (2, f"lstm-lab: {said}; see lstm-lab --help")


def test_a_missing_engine_is_named_with_the_way_to_build_it_and_a_chosen_one_is_not(monkeypatch):
    line = "no native CPU engine: not built; using torch. Build it: python -m lstm_lab.kernels.build"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("lstm_lab.kernels.status", lambda: Status(False, "torch", line, missing=True))
    assert terminal.start(Path("runs/a-1"), "4 trials") == f"runs/a-1  4 trials\n{line}"
    monkeypatch.setattr("lstm_lab.kernels.status", lambda: Status(False, "torch", "switched off; using torch"))
    assert terminal.start(Path("runs/a-1"), "4 trials") == "runs/a-1  4 trials"
