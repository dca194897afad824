"""Commands that look at a training before it starts: find-lr, find-batch-size, --overfit-batches; a batch too large."""

from __future__ import annotations

import json
import math
import re

import pytest
import torch
from conftest import VOWELS

from lstm_lab import workflow
from lstm_lab.config import to_yaml
from lstm_lab.display.svg import line_chart
from lstm_lab.experiment import Experiment
from lstm_lab.preflight import batch_size
from lstm_lab.preflight.bare_loop import BareLoop
from lstm_lab.preflight.batch_size import batch_sizes
from lstm_lab.preflight.lr_finder import range_test, suggest
from lstm_lab.records.run import Run
from lstm_lab.system.out_of_memory import OutOfMemory


@pytest.fixture
def conf(tmp_path):
    (tmp_path / "vowels.yaml").write_text(to_yaml(VOWELS))
    return tmp_path / "vowels.yaml"


def test_the_suggestion_is_where_the_loss_falls_fastest():
    lrs = [10 ** (i / 20 - 5) for i in range(100)]
    losses = [2 - math.tanh(2 * (math.log10(lr) + 2)) for lr in lrs]  # steepest at 1e-2
    assert suggest(lrs, losses, 100) == pytest.approx(1e-2, rel=0.07)
    assert suggest(lrs, losses[::-1], 100) is None
    assert suggest(lrs[:2], losses[:2], 100) is None


def test_a_range_test_trains_at_each_rate_and_ends_where_the_loss_explodes(vowels):
    vowels = vowels.with_overrides({"optimizer": {"name": "sgd", "lr": 0.1}, "trainer.gradient_clip_val": None})
    dataset = vowels.data.build()
    test = range_test(vowels, dataset, min_lr=1e-3, max_lr=1e3, num_training=40)
    assert test.lrs == pytest.approx([1e-3 * 10 ** (6 * i / 39) for i in range(len(test.lrs))])
    assert len(test.lrs) == len(test.losses) == len(test.smoothed) < 40
    assert test.smoothed[-1] > 4 * min(test.smoothed)
    assert test.suggestion is not None
    # The first losses are those of the experiment's own first batches.
    loop = BareLoop(vowels, dataset)
    batches = loop.batches()
    assert [loop.step(next(batches), rate) for rate in test.lrs[:3]] == test.losses[:3]


def test_find_lr_writes_a_page_without_a_script_and_its_numbers(lab, conf, runs):
    code, out, _ = lab("find-lr", conf, "--num-training", 30, "--name", "rates")
    assert code == 0
    assert re.search(r"suggestion: optimizer\.lr=[\d.e-]+|no suggestion", out)
    content = json.loads((runs / "rates" / "find_lr.json").read_text())
    assert content["current"] == 0.01
    assert len(content["lrs"]) == len(content["smoothed"]) <= 30
    page = (runs / "rates" / "find_lr.html").read_text()
    assert "polyline" in page
    assert not re.search(r"<script|https?://|src=", page)
    assert lab("find-lr", conf, "--min-lr", 1, "--max-lr", 0.1)[0] == 2
    assert lab("find-lr", conf, "optimizer.lrr=1")[0] == 2


def test_a_chart_escapes_its_texts_and_takes_a_flat_line():
    page = line_chart([(1e-3, 2.0), (1e-3, 2.0)], title="<b>", x="x & y", y="y", marks={"<i>": 1e-3, "none": 0.0})
    assert "<b>" not in page.replace("&lt;b&gt;", "")
    assert "x &amp; y" in page
    assert "&lt;i&gt;" in page


def test_batch_sizes_double_until_one_does_not_fit(vowels, monkeypatch):
    monkeypatch.setattr(batch_size, "SECONDS", 0.0)
    step = BareLoop.step

    def limited(self, batch, lr=None):
        if len(batch.x) > 32:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")
        return step(self, batch, lr)

    monkeypatch.setattr(BareLoop, "step", limited)
    rows = list(batch_sizes(vowels, vowels.data.build()))
    assert [row.batch_size for row in rows] == [8, 16, 32, 64]
    assert all(row.samples_per_second > 0 and row.memory_mib > 0 for row in rows[:3])
    assert rows[3].samples_per_second is rows[3].memory_mib is None
    # A size that the machine has no memory for is not tried: the operating system would end the process.
    monkeypatch.setattr(batch_size, "free_memory", lambda: -1)
    assert [row.batch_size for row in batch_sizes(vowels, vowels.data.build(), start=4)] == [4, 8]


def test_batch_sizes_end_with_all_samples(vowels, monkeypatch):
    monkeypatch.setattr(batch_size, "SECONDS", 0.0)
    dataset = vowels.data.build()
    rows = list(batch_sizes(vowels, dataset, start=150))
    assert [row.batch_size for row in rows] == [150, len(dataset.train)]


def test_find_batch_size_prints_what_fits(lab, conf, monkeypatch):
    monkeypatch.setattr(batch_size, "SECONDS", 0.0)
    monkeypatch.setattr(batch_size, "free_memory", lambda: -1)
    code, out, _ = lab("find-batch-size", conf)
    assert code == 0
    assert "16  does not fit into memory" in out
    assert "largest that fits: data.batch_size=8; most samples a second: data.batch_size=8" in out


def test_overfitting_a_batch(lab, conf, runs):
    code, out, _ = lab("train", conf, "--overfit-batches", 1, "trainer.max_epochs=20", "optimizer.lr=0.03")
    assert code == 0
    first, last = (float(number) for number in re.search(r"fell from ([\d.]+) to ([\d.]+)", out).groups())
    assert last < 0.7 * first
    assert "1 of 7 batches, 32 samples" in out
    assert not runs.exists()
    code, _, err = lab("train", conf, "--overfit-batches", 1, "--dry-run")
    assert (code, err.count("\n")) == (2, 1)


def test_a_batch_that_does_not_fit_is_one_line(lab, conf, runs, monkeypatch):
    def fit(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80 GiB\nmore lines")

    monkeypatch.setattr("lstm_lab.training.train.fit", fit)
    code, _, err = lab("train", conf, "--name", "big")
    assert code == OutOfMemory.exit_code == 4
    assert err.strip().count("\n") == 0
    assert "data.batch_size 32 does not fit into memory (CUDA out of memory" in err
    assert "find-batch-size" in err
    assert Run(runs / "big").status["reason"].startswith("OutOfMemory: data.batch_size 32")
    run = Run.create(runs / "other", VOWELS)
    monkeypatch.setattr(
        "lstm_lab.training.train.fit", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("another fault"))
    )
    with pytest.raises(RuntimeError, match="another fault"):
        workflow.run_experiment(Experiment.of(VOWELS), run)
