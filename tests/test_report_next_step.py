"""Pages of models of the next step: their numbers are those of the record, for tokens and for frames."""

from __future__ import annotations

import json

import pytest
import torch
from browser import inspect_pages, needs_browser
from report_folders import page, write_sweep
from test_report_browser import check_layout, with_examples

from lstm_lab.data import Batch
from lstm_lab.data.kinds.next_step import FrameInfo, TokenInfo
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.examples import collect
from lstm_lab.experiment import Experiment
from lstm_lab.records.examples import parse_examples
from lstm_lab.records.run import Run
from lstm_lab.report import write_report
from lstm_lab.report.parts import next_step
from lstm_lab.report.sections.predictions import source
from lstm_lab.tasks.next_step import NextStep
from lstm_lab.training.train import train

TEXT = "the cat sat on the mat, and the dog sat on the log; " * 60


def trained(experiment, runs):
    run = Run.create(runs / "run", experiment.dump(), command="", job_type="train")
    train(experiment, run, wandb="disabled")
    return run


def content(form, batches, outputs, task):
    """As read from examples.json."""
    found = task.examples(zip(outputs, batches, strict=True))
    assert found["kind"] == form
    about = {"split": "validation", "epoch": 20, "samples": 8, "total": 8}
    return parse_examples({**about, **json.loads(json.dumps(found))})


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


def test_tokens_have_the_loss_of_the_record_and_its_shares(reber, runs):
    run = trained(reber, runs)
    found = collect.examples_of(run)
    best = run.rows()[run.status["best"]["epoch"]]
    assert (found.kind, found.samples) == ("tokens", 60)
    assert found.nll == pytest.approx(best["val/nll"], rel=1e-5)
    assert sum(row.share for row in found.largest_losses) == pytest.approx(1), "seven letters: all are listed"
    assert sum(row.n for row in found.largest_losses) == found.num_steps
    assert sum(row.n * row.nats for row in found.largest_losses) / found.num_steps == pytest.approx(found.nll)
    assert sum(row.correct for row in found.largest_losses) / found.num_steps == pytest.approx(best["val/accuracy"])
    assert found.loss_by_position[0] is None, "the first letter is no target"
    assert collect.examples_of(run) == found
    assert run.test_evaluations() == [], "the test split was not read"
    shown = page(run.path)
    assert {"loss-by-position", "excerpt-0", "excerpt-1"} <= set(shown.figures)
    assert f"Mean loss: {best['val/bits']:#.4g} bits per character over {found.num_steps:,} characters" in shown.text
    evaluate(run)
    assert "Test results" not in page(run.path).text, "there is nothing but the scores"
    assert "Predictions" in page(run.path).text


def test_continuations_go_from_the_median_loss_to_the_largest(reber, runs):
    found = collect.compute_examples(trained(reber, runs))
    rows = found.continuations
    assert [row.quantile for row in rows] == sorted(row.quantile for row in rows)
    assert [row.probability for row in rows] == sorted((row.probability for row in rows), reverse=True)
    follows = {("B", "T"), ("B", "P"), ("T", "B"), ("P", "B")}  # Of the outer string, at its beginning.
    for row in rows:
        probabilities = [probability for _, probability in row.predictions]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) <= 1 + 1e-3
        known = dict(row.predictions)
        if row.target in known:
            assert known[row.target] == pytest.approx(row.probability, abs=1e-4)
        else:
            assert row.probability <= min(probabilities)
        assert tuple(row.context[:2]) in follows or row.truncated
    (table,) = [t for t in next_step.token_tables(found) if t.caption.startswith("Continuations")]
    assert [row[1].text for row in table.rows] == [row.target for row in rows]


@pytest.mark.parametrize("stateful", [True, False])
def test_a_stream_is_read_in_the_order_of_validation(stateful, reber, runs, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    data = {
        "name": "text_stream",
        "path": str(tmp_path / "text.txt"),
        "chunk_length": 8,
        "batch_size": 2,
        "stateful": stateful,
    }
    run = trained(Experiment.of({**reber.dump(), "data": data}), runs)
    found = collect.examples_of(run)
    best = run.rows()[run.status["best"]["epoch"]]
    assert found.samples == found.total
    assert found.nll == pytest.approx(best["val/nll"], rel=1e-5)
    text = page(run.path)
    assert "␣" in text.text, "a space that can be measured"
    line = next(row for t in text.tables for row in t if row[0][0].strip("…") and row[0][0].strip("…") in TEXT)
    assert line


def test_of_a_long_stateful_stream_the_first_samples_are_predicted_and_the_page_says_so(
    reber, runs, tmp_path, monkeypatch
):
    (tmp_path / "text.txt").write_text(TEXT)
    data = {"name": "text_stream", "path": str(tmp_path / "text.txt"), "chunk_length": 8, "batch_size": 1}
    run = trained(Experiment.of({**reber.dump(), "data": data}), runs)
    monkeypatch.setattr(collect, "MAX_SAMPLES", 9)
    found = collect.compute_examples(run)
    assert (found.samples, found.first_samples) == (8, True), "two batches of four lanes"
    assert f"for the first 8 of {found.total:,} samples of the validation split" in source(found, "best", "")


def test_frames_are_a_piano_roll_of_probabilities_with_active_channels():
    found, batch, output = frames()
    nats = torch.nn.functional.binary_cross_entropy_with_logits(output, batch.y.double(), reduction="none").sum(-1)
    targets = [nats[number, 1:length] for number, length in enumerate(batch.lengths.tolist())]
    assert found.nll == pytest.approx(float(torch.cat(targets).mean()))
    # Of sequences long enough to show something: the shortest is not drawn, whatever its loss.
    order = sorted((0, 2, 3), key=lambda number: float(targets[number].mean()))
    for excerpt, number in zip(found.excerpts, (order[1], order[2]), strict=True):
        steps = min(int(batch.lengths[number]), 48)
        assert excerpt.length == batch.lengths[number]
        low, high = (tuple("CDEFG").index(excerpt.channels[end]) for end in (0, -1))
        active = (batch.y[number, :steps, low : high + 1] > 0.5).nonzero().tolist()
        assert list(map(list, excerpt.active)) == active
        probability = output[number, :steps].sigmoid()[1:, low : high + 1]
        shown = torch.tensor(excerpt.probabilities[1:], dtype=torch.float64)
        torch.testing.assert_close(shown, probability, rtol=0, atol=6e-4)
        assert excerpt.nats[1:] == pytest.approx(nats[number, 1:steps].tolist(), rel=1e-4)
        assert excerpt.nats[0] is None, "the first step is no target"
        assert excerpt.probabilities[0] == [None] * len(excerpt.channels)
    roll = json.loads(next_step.frame_figures(found)[0].content)["data"]
    assert roll[0]["z"][0][1] == found.excerpts[0].probabilities[1][0]
    assert list(zip(roll[1]["x"], roll[1]["y"], strict=True)) == [(t + 1, k) for t, k in found.excerpts[0].active]
    assert sum(row.share for row in found.largest_losses) == pytest.approx(1)
    active = sum(batch.y[number, 1:length].sum() for number, length in enumerate(batch.lengths.tolist()))
    assert sum(row.n for row in found.largest_losses) == int(active)


def test_a_silent_model_and_one_short_sequence_still_make_a_page():
    y = torch.zeros(1, 2, 5)
    batch = Batch(y, torch.tensor([2]), y)
    task = NextStep(FrameInfo(5, tuple("CDEFG")), "nll", False)
    found = content("frames", [batch], [torch.full_like(y, -9.0)], task)
    assert [figure.id for figure in next_step.frame_figures(found)] == ["excerpt-0"]
    assert next_step.frame_tables(found) == []
    tokens = torch.tensor([[2]])
    found = content("tokens", [Batch(tokens, torch.tensor([1]), tokens)], [torch.randn(1, 1, 3)],
                    NextStep(TokenInfo(3, ("[PAD]", "[UNK]", "x")), "nll", True))  # fmt: skip
    assert found.nll == pytest.approx(found.largest_losses[0].nats)
    assert [[cell.text for cell in table.rows[0][:2]] for table in next_step.token_tables(found)] == [
        ["x", "100.0 %"],
        ["", "x"],
    ]


@needs_browser
@pytest.mark.slow
def test_both_at_desktop_and_phone_width(tmp_path):
    roll = frames((60, 50, 30, 90), K=5)[0]
    torch.manual_seed(0)
    y = torch.randint(1, 6, (6, 60))
    names = ("[PAD]", "[UNK]", "the", "something", "Ġlonger", "x")
    task = NextStep(TokenInfo(6, names), "nll", True)
    text = content("tokens", [Batch(y, torch.full((6,), 60), y)], [torch.randn(6, 60, 6)], task)
    single = {**text.model_dump(), "characters": True}
    for excerpt in single["excerpts"]:
        for field in ("tokens", "predictions"):
            excerpt[field] = [token[0] for token in excerpt[field]]
    pages = {
        name: write_report(with_examples(write_sweep(tmp_path / name, draws=3), found))
        for name, found in {"roll": roll.model_dump(), "text": text.model_dump(), "single": single}.items()
    }
    found = inspect_pages(tmp_path, pages)
    check_layout(found)
    for measured in found.values():
        assert {"excerpt-0", "excerpt-1", "loss-by-position"} <= {plot["id"] for plot in measured["plots"]}
