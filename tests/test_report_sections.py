"""What the sections of a page say: importance finds what mattered, tests are the textbook's."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from scipy.stats import chi2, kendalltau
from test_report import opening, page, write_json, write_rows, write_run, write_sweep
from test_report_browser import CLASSES, FORECAST, answered, bred

from lstm_lab.evaluate import evaluate
from lstm_lab.report import budget, costs, evidence, examples, importance, learned, shows, write_report
from lstm_lab.report.read import Point, Record, SweepRecord, Trial, read

# --- what mattered ----------------------------------------------------------------------------------------------------


def synthetic(count, stop=False, seed=0, noise=0.02):
    """A sweep whose truth is known: `a` decides most, then the cell, then `b`; `c` does nothing.

    Stopped trials are the worse half, cut after 4 of 20 epochs: at their end they stand far above the others.
    """
    dice = random.Random(seed)
    drawn = []
    for number in range(count):
        over = {
            "a": 10 ** dice.uniform(-4, -1), "cell": dice.choice(["lstm", "gru"]), "b": dice.uniform(0, 1),
            "c": dice.uniform(0, 1),
        }  # fmt: skip
        level = 1.6 * (math.log10(over["a"]) + 2.5) ** 2 / 1.5**2 + 0.6 * (over["cell"] == "gru") + 0.5 * over["b"]
        drawn.append((level + dice.gauss(0, noise), number, over))
    middle = sorted(level for level, _, _ in drawn)[count // 2]
    trials = []
    for level, number, over in drawn:
        cut = stop and level > middle
        rows = [
            {"epoch": epoch, "val/loss": level + 3 * math.exp(-epoch / 3), "seconds": float(epoch + 1)}
            for epoch in range(4 if cut else 20)
        ]
        record = Record(Path(f"t{number:04}"), {"decides": "val/loss", "mode": "min"}, "finished", None, rows, [])
        state = "stopped" if cut else "finished"
        trials.append(Trial(f"t{number:04}", number, 0, over, state, None, record))
    space = {"a": {"loguniform": [1e-4, 0.1]}, "cell": {"grid": ["lstm", "gru"]}, "b": {"uniform": [0, 1]},
             "c": {"uniform": [0, 1]}}  # fmt: skip
    points = [Point(t.point, t.overrides, [t], t.value, None, 1) for t in trials]
    points.sort(key=lambda point: (not point.through, point.mean))
    return SweepRecord(
        Path("s"), {"space": space}, {}, "val/loss", "min", trials, points, points[0].trials[0], None, None
    )


@pytest.mark.parametrize(("stop", "seed"), [(False, 0), (True, 1), (True, 2)])
def test_importance_recovers_the_order_of_what_mattered(stop, seed):
    found = importance.importance(synthetic(120, stop, seed))
    assert list(found.shares) == ["a", "cell", "b", "c"]
    assert sum(found.shares.values()) == pytest.approx(1)
    # What each part of the sum varies by is known: u^2 of u in -1..1 by 4/45, a coin by 1/4, u of u in 0..1 by 1/12.
    known = [1.6**2 * 4 / 45, 0.6**2 / 4, 0.5**2 / 12, 0.0]
    for share, truth in zip(found.shares.values(), known, strict=True):
        assert share == pytest.approx(truth / sum(known), abs=0.16)
    assert (found.trials, found.epochs) == (120, 4 if stop else 20)


RUNGS = (4, 12, 36)


def raced(count, seed):
    """A sweep as asynchronous halving leaves it; `strong` decides most, `weak` some, `none` nothing.

    Every trial learns at a speed of its own, so that curves cross: some that would have ended well are stopped.
    Returned beside it: where each would have ended.
    """
    dice = random.Random(seed)
    trials, ends, seen = [], [], {rung: [] for rung in RUNGS[:-1]}
    for number in range(count):
        over = {"strong": 10 ** dice.uniform(-4, -1), "weak": dice.choice(["lstm", "gru"]), "none": dice.uniform(0, 1)}
        end = 2.0 * (math.log10(over["strong"]) + 2.5) ** 2 / 1.5**2 + 0.6 * (over["weak"] == "gru")
        speed = math.exp(dice.uniform(math.log(1.5), math.log(6.0)))
        losses = [end + 2 * math.exp(-(epoch + 1) / speed) + dice.gauss(0, 0.03) for epoch in range(RUNGS[-1])]
        length = RUNGS[-1]
        for rung, others in seen.items():
            others.append(min(losses[:rung]))
            if len(others) > 2 and others[-1] > sorted(others)[max(len(others) // 3 - 1, 0)]:
                length = rung
                break
        rows = [{"epoch": epoch, "val/loss": losses[epoch], "seconds": epoch + 1.0} for epoch in range(length)]
        state = "finished" if length == RUNGS[-1] else "stopped"
        record = Record(Path(f"t{number:04}"), {"decides": "val/loss", "mode": "min"}, state, None, rows, [])
        trials.append(Trial(f"t{number:04}", number, 0, over, state, None, record))
        ends.append(end)
    space = {"strong": {"loguniform": [1e-4, 0.1]}, "weak": {"grid": ["lstm", "gru"]}, "none": {"uniform": [0, 1]}}
    points = [Point(t.point, t.overrides, [t], t.value, None, 1) for t in trials]
    points.sort(key=lambda point: (not point.through, point.mean))
    won = points[0].trials[0]
    return SweepRecord(Path("s"), {"space": space}, {}, "val/loss", "min", trials, points, won, None, None), ends


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_importance_recovers_the_order_where_curves_cross_and_halving_stopped_the_worse(seed):
    """Of 20 such sweeps 19 come out so; in the other one the weak and the useless one are level."""
    sweep, ends = raced(120, seed)
    lengths = [len(trial.record.rows) for trial in sweep.trials]
    assert [lengths.count(rung) > 0 for rung in RUNGS] == [True, True, True]
    assert lengths.count(RUNGS[0]) > 60, "most were stopped at the first rung"
    # The curves cross: some that were stopped would have ended better than some that were trained through.
    through = [end for end, length in zip(ends, lengths, strict=True) if length == RUNGS[-1]]
    assert sum(end < max(through) for end, length in zip(ends, lengths, strict=True) if length == RUNGS[0]) > 5
    early = [trial.record.best_of(RUNGS[0]) for trial in sweep.trials]
    assert kendalltau(early, ends).statistic < 0.8
    found = importance.importance(sweep)
    assert list(found.shares) == ["strong", "weak", "none"]
    assert found.shares["strong"] > 2 * found.shares["weak"]
    assert (found.trials, found.epochs, found.longest) == (120, 4, 36)
    assert "what makes learning fast counts" in importance.figure(found, "val/loss").caption


def test_importance_with_few_trials_names_the_first_and_the_last_and_says_how_sure():
    found = importance.importance(synthetic(24, stop=True))
    assert set(list(found.shares)[:2]) == {"a", "cell"}
    assert all(spread >= 0 for spread in found.spreads.values())


def test_one_trial_that_went_wrong_does_not_explain_everything():
    sweep = synthetic(60)
    before = importance.importance(sweep)
    for row in sweep.trials[7].record.rows:
        row["val/loss"] = 1e6
    after = importance.importance(sweep)
    assert list(after.shares)[:2] == list(before.shares)[:2]
    assert all(abs(after.shares[key] - before.shares[key]) < 0.15 for key in before.shares)


def test_values_at_the_end_would_name_the_wrong_one_where_trials_were_stopped():
    """Why a common rung is needed: where stopped trials ended says when they were stopped, not how good they are."""
    sweep = synthetic(60, stop=True)
    assert importance.rung(sweep.trials) == 4
    for trial in sweep.trials:
        assert len(trial.record.rows[:4]) == 4
        assert trial.record.best_of(4) == pytest.approx(min(row["val/loss"] for row in trial.record.rows[:4]))
    stopped = [trial for trial in sweep.trials if trial.state == "stopped"]
    finished = [trial for trial in sweep.trials if trial.state == "finished"]
    assert min(t.value for t in stopped) > max(t.value for t in finished), "the ends are two worlds"
    assert min(t.record.best_of(4) for t in stopped) > min(t.record.best_of(4) for t in finished)


def test_importance_is_shown_from_20_trials_on_and_never_of_a_population():
    assert importance.importance(synthetic(19)) is None
    assert importance.importance(synthetic(20)) is not None
    sweep = synthetic(30)
    sweep.trials[3].lineage.append({"from": "t0001", "epoch": 4})
    assert importance.importance(sweep) is None


def test_what_only_some_trials_have_is_left_out_and_named():
    sweep = synthetic(40)
    for trial in sweep.trials[::2]:
        trial.overrides["d"] = trial.point
    found = importance.importance(sweep)
    assert found.left_out == ["d"]
    assert "Left out, for not every trial has them: d." in importance.figure(found, "val/loss").caption


# --- how sure ---------------------------------------------------------------------------------------------------------


def test_signed_ranks_are_exact_and_need_six_pairs():
    assert evidence.signed_rank([1.0, 2.0, 3.0, 4.0, 5.0]) is None
    assert evidence.signed_rank([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == pytest.approx(2 / 2**6)
    assert evidence.signed_rank([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0]) == pytest.approx(2 / 2**6)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    dice = random.Random(3)
    for size in (3, 12):
        held = 0
        for _ in range(200):
            low, high = evidence.interval([dice.gauss(0, 1) for _ in range(size)])
            held += low <= 0 <= high
        assert 0.88 <= held / 200 <= 0.99, size
    assert evidence.interval([1.0]) == (None, None)
    assert evidence.interval([2.0, 2.0]) == (2.0, 2.0)


def test_holm_is_that_of_the_textbook():
    assert evidence.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_ranks_and_critical_difference_are_those_of_demsar():
    """His table 6: four classifiers on 14 data sets, mean ranks 3.143, 2.000, 2.893, 1.964; CD 1.25 at 5 %."""
    table = [
        (0.763, 0.768, 0.771, 0.798), (0.599, 0.591, 0.590, 0.569), (0.954, 0.971, 0.968, 0.967),
        (0.628, 0.661, 0.654, 0.657), (0.882, 0.888, 0.886, 0.898), (0.936, 0.931, 0.916, 0.931),
        (0.661, 0.668, 0.609, 0.685), (0.583, 0.583, 0.563, 0.625), (0.775, 0.838, 0.866, 0.875),
        (1.000, 1.000, 1.000, 1.000), (0.940, 0.962, 0.965, 0.962), (0.619, 0.666, 0.614, 0.669),
        (0.972, 0.981, 0.9751, 0.975), (0.957, 0.978, 0.946, 0.970),
    ]  # fmt: skip
    found = evidence.ranks(["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"], table, "max")
    assert found.names == ["C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"]
    assert dict(zip(found.names, found.ranks, strict=True))["C4.5"] == pytest.approx(3.143, abs=5e-4)
    assert found.critical == pytest.approx(1.25, abs=0.006)
    # He gives 9.28; corrected for ties (one of four, three of two) it is 9.28 / (1 - 78 / 840), chi-squared with 3.
    assert found.p == pytest.approx(chi2.sf(9.28 / (1 - 78 / 840), 3), abs=3e-4)
    assert evidence.ranks(["a", "b"], [[1, 2]] * 5, "min") is None
    assert evidence.ranks(["a", "b", "c"], [[1, 1, 1]] * 5, "min") is None


def test_the_answer_says_by_how_much_and_how_sure(tmp_path):
    shown = page(write_sweep(tmp_path / "sure", draws=12, seeds=(0, 1, 2)))
    assert "Over the 3 seeds that both have it is" in shown.text
    assert "Cell: at equal epochs (each pair cut to its shortest trial) gru comes out" in shown.text
    assert "above lstm on average over 11 pairs, 95 % interval of the difference" in shown.text
    assert "Wilcoxon's signed ranks: p < 0.001" in shown.text or "Wilcoxon's signed ranks: p = 0.0" in shown.text
    heads = [head for head, _ in shown.tables[0][0]]
    assert "95 % interval" in heads


# --- at equal budget --------------------------------------------------------------------------------------------------


def test_the_best_to_be_expected_only_gets_better_and_ends_at_the_best():
    sweep = synthetic(30)
    traces = json.loads(budget.equal_budget(sweep).content)["data"]
    lines = {trace["name"]: trace for trace in traces if "fill" not in trace}
    assert set(lines) == {"lstm", "gru"}
    for cell, line in lines.items():
        trials = [trial for trial in sweep.trials if trial.overrides["cell"] == cell]
        assert all(after <= before + 1e-12 for before, after in zip(line["y"], line["y"][1:], strict=False))
        assert line["y"][-1] == pytest.approx(min(trial.value for trial in trials))
        assert line["x"][-1] == pytest.approx(sum(trial.record.seconds for trial in trials))


# --- how it learned ---------------------------------------------------------------------------------------------------


def test_lineage_draws_each_member_in_the_colour_of_its_weights(tmp_path):
    folder = bred(write_sweep(tmp_path / "population", draws=3))
    figure, table = learned.lineage(read(folder))
    drawn = json.loads(figure.content)
    arrows = drawn["layout"]["annotations"]
    assert [(a["ax"], a["ay"], a["x"], a["y"]) for a in arrows] == [(5, 0, 4, 2), (13, 1, 12, 2), (9, 1, 8, 3)]
    epochs = len((folder / "trials" / "t0002" / "metrics.jsonl").read_text().splitlines())
    member = [trace for trace in drawn["data"] if trace["y"] == [2, 2]]
    assert [trace["x"] for trace in member] == [[0, 4], [4, 12], [12, epochs]]
    first = [next(t for t in drawn["data"] if t["y"] == [row, row])["line"]["color"] for row in range(3)]
    assert [trace["line"]["color"] for trace in member] == [first[2], first[0], first[1]]
    assert [row[0].text for row in table.rows] == ["t0002", "t0003", "t0002"]
    assert table.rows[0][3].text == "0.002 → 0.0024"
    text = page(folder).text
    assert "went on from t0001" in text
    assert "Importance" not in text


def test_the_learning_rate_is_drawn_where_it_moves(tmp_path):
    folder = write_sweep(tmp_path / "rates", draws=3)
    assert "rates" in page(folder).figures
    for path in folder.glob("trials/*/metrics.jsonl"):
        rows = [{**json.loads(line), "lr": 0.01} for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "rates" not in page(folder).figures


# --- what it does -----------------------------------------------------------------------------------------------------


def trained(experiment, runs):
    from lstm_lab.run import Run
    from lstm_lab.train import train

    run = Run.create(runs / "run", experiment.dump(), command="", job_type="train")
    train(experiment, run, wandb="disabled")
    return run


def test_the_confusion_matrix_is_that_of_the_best_epoch(vowels, runs):
    run = trained(vowels, runs)
    found = examples.keep(run)
    best = run.rows()[run.status["best"]["epoch"]]
    counts = torch.tensor(found["confusion"])
    assert counts.sum() == found["samples"] == found["of"]
    assert counts.diagonal().sum() / counts.sum() == pytest.approx(best["val/accuracy"], abs=1e-6)
    right = sum(row["right"] * row["n"] for row in found["calibration"]) / sum(row["n"] for row in found["calibration"])
    assert right == pytest.approx(best["val/accuracy"], abs=1e-6)
    assert [row["chance"] for row in found["worst"]] == sorted(row["chance"] for row in found["worst"])
    assert all(row["truth"] != row["answer"] for row in found["worst"])
    assert examples.keep(run) == found
    shown = page(run.path)
    assert {"confusion", "calibration"} <= set(shown.figures)
    assert any(table[0][0][0] == "sample" for table in shown.tables)
    assert run.openings() == [], "the test part stays sealed"


def test_drawn_forecasts_have_the_error_that_the_record_says(demand, runs):
    run = trained(demand, runs)
    found = examples.keep(run)
    best = run.rows()[run.status["best"]["epoch"]]
    assert len(found["steps"]) == 8
    assert sum(found["steps"]) / 8 == pytest.approx(best["val/mae"], rel=1e-4)
    for window in found["windows"]:
        said, truth = window["said"][0], window["truth"]
        assert sum(abs(a - b) for a, b in zip(said, truth, strict=True)) / 8 == pytest.approx(window["error"], rel=1e-3)
    assert found["windows"][0]["error"] <= found["windows"][1]["error"] <= found["windows"][2]["error"]
    assert {"window-0", "window-1", "window-2", "steps"} <= set(page(run.path).figures)


def test_a_page_is_written_without_answers_where_the_data_are_gone_or_others(vowels, runs):
    run = trained(vowels, runs)
    run.describe(data={**run.about["data"], "digest": "another"})
    assert "confusion" not in page(run.path).figures
    run.best.unlink()
    assert "What it does" not in page(run.path).text


def test_labels_of_each_step_are_counted_where_they_are_asked():
    task = SimpleNamespace(classes=("a", "b"))
    y = torch.tensor([[0, 1, -1], [1, 1, 0]])
    output = torch.nn.functional.one_hot(torch.tensor([[0, 0, 1], [1, 1, 0]]), 2).float() * 9
    batch = SimpleNamespace(y=y, lengths=torch.tensor([3, 2]))
    from lstm_lab.tasks.tag import Tag

    found = examples.shown.dispatch(Tag)(task, [(batch, output)])
    assert found["confusion"] == [[2, 0], [1, 2]]
    assert [strip["right"] for strip in found["strips"]] == [0.5, 1.0]


def test_the_confusion_of_the_test_part_is_the_one_that_the_record_kept(vowels, runs):
    """Nothing is opened for the page: it comes with the evaluation's record, and says which part it is of."""
    run = trained(vowels, runs)
    assert "confusion-test" not in page(run.path).figures
    evaluate(run)
    (opening,) = run.openings()
    counts = opening["confusion"]["counts"]
    shown = page(run.path)
    (trace,) = shown.figures["confusion-test"]["data"]
    assert trace["customdata"] == counts != shown.figures["confusion"]["data"][0]["customdata"]
    assert trace["y"] == opening["confusion"]["classes"]
    right = sum(row[place] for place, row in enumerate(counts))
    assert right / sum(map(sum, counts)) == pytest.approx(opening["scores"]["accuracy"])
    told = f"Counts of the test part, coloured by the share of the true class; {right:,} of {sum(map(sum, counts)):,}"
    assert told in shown.text
    assert "Counts of the validation part, coloured" in shown.text
    table = next(t for t in shown.tables if t[0][0][0] == "class")
    assert [int(row[1][1]) for row in table[1:]] == [sum(row) for row in counts]
    found = [row[place] / sum(row) for place, row in enumerate(counts)]
    assert [float(row[2][1]) for row in table[1:]] == pytest.approx(found)
    assert len(run.openings()) == 1
    run.best.unlink()
    alone = page(run.path)
    assert "confusion-test" in alone.figures, "the record is enough: no checkpoint, no data"
    assert "confusion" not in alone.figures
    assert told in write_report(run.path, "markdown").read_text().replace("\\", "")
    parts = json.loads(write_report(run.path, "json").read_text())["sections"]
    does = next(section for section in parts if section["id"] == "does")
    assert [figure["id"] for part in does["parts"] for figure in part["figures"]] == ["confusion-test"]


def test_a_sweep_shows_what_was_opened_of_its_winner(tmp_path):
    folder = write_sweep(tmp_path / "swept", draws=2)
    trial = json.loads((folder / "summary.json").read_text())["winner"]["trial"]
    held = {"classes": ["a", "b"], "counts": [[7, 3], [0, 0]]}
    steps = [{"mae": 1.0, "scaled_mse": 1.0}, {"mae": 2.5, "scaled_mse": 2.0}]
    write_rows(folder / "trials" / trial / "tests.jsonl", [{**opening(), "confusion": held, "steps": steps}])
    shown = page(folder)
    assert shown.figures["confusion-test"]["data"][0]["customdata"] == [[7, 3], [0, 0]]
    assert shown.figures["steps-test"]["data"][0]["y"] == [1.0, 2.5]
    assert f"Of trial {trial}. From its opening of 2026-11-21 05:40 UTC" in shown.text
    rows = next(t for t in shown.tables if t[0][0][0] == "class")[1:]
    assert [[text for text, _ in row] for row in rows] == [
        ["a", "10", "70.0 %", "100.0 %", "b, 3 times"], ["b", "0", "–", "0.0 %", "–"],
    ]  # fmt: skip


def test_intervals_and_worst_examples_are_tables(tmp_path):
    covered = shows.covered(FORECAST)
    assert [[cell.text for cell in row] for row in covered.rows] == [["90 %", "88.0 %"], ["80 %", "81.0 %"]]
    shown = page(answered(write_sweep(tmp_path / "classes", draws=2), CLASSES))
    assert "9 of 54" not in shown.text
    assert "45 of 53 lie on the diagonal" in shown.text
    assert "Most often confused: 7 taken for 8, once." in shown.text


# --- what it cost -----------------------------------------------------------------------------------------------------


def test_costs_add_up(tmp_path):
    folder = write_sweep(tmp_path / "costs", draws=3)
    spec = (folder / "sweep.yaml").read_text().replace("cpus: 1.0", "cpus: 2.0").replace("gpus: 0.0", "gpus: 0.5")
    (folder / "sweep.yaml").write_text(spec)
    sweep = read(folder)
    spent = sum(trial.record.seconds for trial in sweep.trials)
    facts = dict(costs.of_sweep(sweep))
    hours = spent / 3600
    assert facts["device time"].startswith(f"{hours * 2:.4f}"[:6])
    assert f"{hours * 0.5:.4f}"[:6] in facts["device time"]
    assert facts["energy"].startswith("an estimate, not measured: ")
    assert float(facts["energy"].split(": ")[1].split()[0]) == pytest.approx(hours * (2 * 12 + 0.5 * 400), rel=1e-3)
    assert "peak memory" not in facts


def test_peak_memory_is_the_most_that_a_run_held(tmp_path):
    write_run(tmp_path / "run", epochs=3)
    path = tmp_path / "run" / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**row, "memory_mib": 300.4 + row["epoch"]}) + "\n" for row in rows))
    assert dict(costs.of_run(read(tmp_path / "run")))["peak memory"].startswith("302 MiB")


def test_overhead_is_the_share_of_the_held_time_outside_epochs(tmp_path):
    write_run(tmp_path / "run", epochs=100)  # 31 s of epochs
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    write_json(tmp_path / "run" / "status.json", {**status, "at": "2026-11-21T05:29:00+00:00"})  # held 40 s
    assert dict(costs.of_run(read(tmp_path / "run")))["overhead"].startswith("22 %")
