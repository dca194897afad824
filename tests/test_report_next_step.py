"""What a page shows of a model of the next step: its numbers are those of the record, of tokens and of frames."""

from __future__ import annotations

import json

import pytest
import torch
from browser import looked_at, needs_browser
from report_folders import page, write_sweep
from test_report_browser import answered, sound

from lstm_lab.data import Batch
from lstm_lab.data.kinds.next_step import FrameInfo, TokenInfo
from lstm_lab.evaluate import evaluate
from lstm_lab.examples import collect
from lstm_lab.experiment import Experiment
from lstm_lab.report import write_report
from lstm_lab.report.sections import next_step, predictions
from lstm_lab.run import Run
from lstm_lab.tasks.next_step import NextStep
from lstm_lab.training import train

TEXT = "the cat sat on the mat, and the dog sat on the log; " * 60


def trained(experiment, runs):
    run = Run.create(runs / "run", experiment.dump(), command="", job_type="train")
    train(experiment, run, wandb="disabled")
    return run


def content(form, batches, outputs, task):
    """As examples.json holds it."""
    found = collect.shown.dispatch(NextStep)(task, zip(batches, outputs, strict=True))
    assert found["form"] == form
    return {"part": "validation", "epoch": 20, "samples": 8, "of": 8, **json.loads(json.dumps(found))}


def frames(lengths=(60, 7, 30, 90), K=5, seed=0):
    torch.manual_seed(seed)
    y = (torch.rand(len(lengths), max(lengths), K) < 0.3).float()
    batch = Batch(y, torch.tensor(lengths), y)
    output = torch.randn(*y.shape, dtype=torch.float64) + 2 * y - 1
    return (
        content("frames", [batch], [output], NextStep(FrameInfo(K, tuple("CDEFG")[:K]), "nll", False)),
        batch,
        output,
    )


def test_tokens_tell_the_loss_of_the_record_and_where_it_lies(reber, runs):
    run = trained(reber, runs)
    found = collect.keep(run)
    best = run.rows()[run.status["best"]["epoch"]]
    assert (found["kind"], found["form"], found["samples"]) == ("next_step", "tokens", 60)
    assert found["nll"] == pytest.approx(best["val/nll"], rel=1e-5)
    assert sum(row["loss"] for row in found["parts"]) == pytest.approx(1), "seven letters: all of them are listed"
    assert sum(row["n"] for row in found["parts"]) == found["steps"]
    assert sum(row["n"] * row["nats"] for row in found["parts"]) / found["steps"] == pytest.approx(found["nll"])
    assert sum(row["found"] for row in found["parts"]) / found["steps"] == pytest.approx(best["val/accuracy"])
    assert found["places"][0] is None, "the first letter is not asked about"
    assert collect.keep(run) == found
    assert run.test_evaluations() == [], "the test part stays sealed"
    shown = page(run.path)
    assert {"places", "stretch-0", "stretch-1"} <= set(shown.figures)
    assert f"A character costs {best['val/bits']:#.4g} bits on average, over {found['steps']:,} of them" in shown.text
    evaluate(run)
    assert "What it does" in page(run.path).text


def test_continuations_go_from_the_middle_to_the_most_surprising_and_say_what_came(reber, runs):
    found = collect.examples_of(trained(reber, runs))
    rows = found["continuations"]
    assert [row["share"] for row in rows] == sorted(row["share"] for row in rows)
    assert [row["chance"] for row in rows] == sorted((row["chance"] for row in rows), reverse=True)
    follows = {("B", "T"), ("B", "P"), ("T", "B"), ("P", "B")}  # Of the outer string, at its beginning.
    for row in rows:
        chances = [chance for _, chance in row["expected"]]
        assert chances == sorted(chances, reverse=True)
        assert sum(chances) <= 1 + 1e-3
        known = dict(map(tuple, row["expected"]))
        if row["truth"] in known:
            assert known[row["truth"]] == pytest.approx(row["chance"], abs=1e-4)
        else:
            assert row["chance"] <= min(chances)
        assert tuple(row["before"][:2]) in follows or row["cut"]
    (table,) = [t for t in predictions.tables_of(found) if t.caption == "Continuations"]
    assert [row[1].text for row in table.rows] == [row["truth"] for row in rows]


@pytest.mark.parametrize("carry", [True, False])
def test_a_stream_is_read_as_validation_reads_it(carry, reber, runs, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    data = {
        "name": "text_stream",
        "path": str(tmp_path / "text.txt"),
        "chunk_length": 8,
        "batch_size": 2,
        "stateful": carry,
    }
    run = trained(Experiment.of({**reber.dump(), "data": data}), runs)
    found = collect.keep(run)
    best = run.rows()[run.status["best"]["epoch"]]
    assert found["samples"] == found["of"]
    assert found["nll"] == pytest.approx(best["val/nll"], rel=1e-5)
    text = page(run.path)
    assert "␣" in text.text, "a space that can be seen"
    line = next(row for t in text.tables for row in t if row[0][0].strip("…") and row[0][0].strip("…") in TEXT)
    assert line


def test_of_a_long_carried_stream_the_beginning_is_shown_and_said_so(reber, runs, tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text(TEXT)
    data = {"name": "text_stream", "path": str(tmp_path / "text.txt"), "chunk_length": 8, "batch_size": 1}
    run = trained(Experiment.of({**reber.dump(), "data": data}), runs)
    monkeypatch.setattr(collect, "SAMPLES", 9)
    found = collect.examples_of(run)
    assert (found["samples"], found["first"]) == (8, True), "two batches of four lanes"
    assert f"to the first 8 of {found['of']:,} samples of the validation part" in predictions.about(found)


def test_frames_are_a_roll_of_chances_with_what_was_on():
    found, batch, output = frames()
    nats = torch.nn.functional.binary_cross_entropy_with_logits(output, batch.y.double(), reduction="none").sum(-1)
    asked = [nats[number, 1:length] for number, length in enumerate(batch.lengths.tolist())]
    assert found["nll"] == pytest.approx(float(torch.cat(asked).mean()))
    # Of sequences long enough to show something: the shortest is not drawn, however dear it is.
    order = sorted((0, 2, 3), key=lambda number: float(asked[number].mean()))
    for stretch, number in zip(found["stretches"], (order[1], order[2]), strict=True):
        steps = min(int(batch.lengths[number]), 48)
        assert stretch["length"] == batch.lengths[number]
        low, high = (tuple("CDEFG").index(stretch["channels"][end]) for end in (0, -1))
        assert stretch["played"] == (batch.y[number, :steps, low : high + 1] > 0.5).nonzero().tolist()
        chance = output[number, :steps].sigmoid()[1:, low : high + 1]
        torch.testing.assert_close(torch.tensor(stretch["chances"][1:], dtype=torch.float64), chance, rtol=0, atol=6e-4)
        assert stretch["nats"][1:] == pytest.approx(nats[number, 1:steps].tolist(), rel=1e-4)
        assert stretch["nats"][0] is None, "the first is not asked about"
        assert stretch["chances"][0] == [None] * len(stretch["channels"])
    roll = json.loads(next_step.figures_of(found)[0].content)["data"]
    assert roll[0]["z"][0][1] == found["stretches"][0]["chances"][1][0]
    assert list(zip(roll[1]["x"], roll[1]["y"], strict=True)) == [
        (t + 1, k) for t, k in found["stretches"][0]["played"]
    ]
    assert sum(row["loss"] for row in found["parts"]) == pytest.approx(1)
    on = sum(batch.y[number, 1:length].sum() for number, length in enumerate(batch.lengths.tolist()))
    assert sum(row["n"] for row in found["parts"]) == int(on)


def test_a_silent_model_and_one_short_sequence_still_make_a_page():
    y = torch.zeros(1, 2, 5)
    batch = Batch(y, torch.tensor([2]), y)
    task = NextStep(FrameInfo(5, tuple("CDEFG")), "nll", False)
    found = content("frames", [batch], [torch.full_like(y, -9.0)], task)
    assert [figure.id for figure in next_step.figures_of(found)] == ["stretch-0"]
    assert predictions.tables_of(found) == []
    tokens = torch.tensor([[2]])
    found = content("tokens", [Batch(tokens, torch.tensor([1]), tokens)], [torch.randn(1, 1, 3)],
                    NextStep(TokenInfo(3, ("[PAD]", "[UNK]", "x")), "nll", True))  # fmt: skip
    assert found["nll"] == pytest.approx(found["parts"][0]["nats"])
    assert [[cell.text for cell in table.rows[0][:2]] for table in predictions.tables_of(found)] == [
        ["x", "100.0 %"],
        ["", "x"],
    ]


@needs_browser
@pytest.mark.slow
def test_both_can_be_read_on_a_desk_and_on_a_phone(tmp_path):
    roll = frames((60, 50, 30, 90), K=5)[0]
    torch.manual_seed(0)
    y = torch.randint(1, 6, (6, 60))
    names = ("[PAD]", "[UNK]", "the", "something", "Ġlonger", "x")
    task = NextStep(TokenInfo(6, names), "nll", True)
    text = content("tokens", [Batch(y, torch.full((6,), 60), y)], [torch.randn(6, 60, 6)], task)
    single = {**text, "single": True}
    for stretch in single["stretches"]:
        stretch["tokens"] = [token[0] for token in stretch["tokens"]]
        stretch["expected"] = [token[0] for token in stretch["expected"]]
    pages = {
        name: write_report(answered(write_sweep(tmp_path / name, draws=3), found))
        for name, found in {"roll": roll, "text": text, "single": single}.items()
    }
    found = looked_at(tmp_path, pages)
    sound(found)
    for seen in found.values():
        assert {"stretch-0", "stretch-1", "places"} <= {plot["id"] for plot in seen["plots"]}
