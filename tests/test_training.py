"""train(): a resumed run equals the uninterrupted one, and everything that matters is on disk."""

from __future__ import annotations

import functools
import resource
import threading

import pytest
import torch
from conftest import VOWELS
from interruption import StopAt
from packaging.version import Version

from lstm_lab.config import ConfigError, DataError, Interrupted
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import MEASURED, Run
from lstm_lab.training.checkpointing import newest_checkpoint
from lstm_lab.training.learner import Diverged
from lstm_lab.training.train import train


def start(path, experiment):
    return Run.create(path, experiment.dump(), command="test", job_type="train")


def without_clock(rows):
    return [{key: value for key, value in row.items() if key not in MEASURED} for row in rows]


def weights(run):
    return torch.load(run.checkpoints / "last.ckpt", weights_only=True)["state_dict"]


def assert_same(run, other):
    assert without_clock(run.rows()) == without_clock(other.rows())
    ours, theirs = weights(run), weights(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def uninterrupted(tmp_path, experiment):
    run = start(tmp_path / "whole", experiment)
    return run, train(experiment, run)


REGULARIZERS = [
    {"name": "locked_dropout", "input": 0.2}, {"name": "gaussian_noise", "output": 0.1}, "ar", "tar", "l1", "l2",
    {"name": "weight_noise", "std": 0.01}, "gradient_noise", "max_norm",
]  # fmt: skip
VARIANTS = {
    "plain": {},
    "gru, cosine, regularizers": {
        "model.cell": "gru",
        "schedule": {"name": "cosine", "warmup_fraction": 0.3},
        "regularizers": REGULARIZERS,
    },
    "plateau, sgd": {"schedule": {"name": "plateau", "patience": 1}, "optimizer": {"name": "sgd", "lr": 0.5}},
    "early stopping": {"trainer": {"max_epochs": 12, "patience": 1}, "optimizer.lr": 0.1},
}


@pytest.fixture(scope="module")
def whole_runs(tmp_path_factory):
    """Variant -> its uninterrupted run and result, each trained once."""
    return functools.cache(
        lambda variant: uninterrupted(
            tmp_path_factory.mktemp("whole"), Experiment.of(VOWELS).with_overrides(VARIANTS[variant])
        )
    )


# Seven batches an epoch: the looks fall before, inside, at the end of and between epochs.
@pytest.mark.parametrize(("variant", "looks"), [
    *(("plain", looks) for looks in (0, 3, 6, 7, 9, 13, 16)),
    *((variant, looks) for variant in VARIANTS if variant != "plain" for looks in (3, 7, 13)),
])  # fmt: skip
def test_resumed_equals_uninterrupted(tmp_path, whole_runs, variant, looks):
    whole, result = whole_runs(variant)
    experiment = Experiment.of(whole.experiment)
    run = start(tmp_path / "cut", experiment)
    with pytest.raises(Interrupted, match=f"--resume {run.path}"):
        train(experiment, run, stop=StopAt(looks))
    assert run.status["state"] == "interrupted"
    resumed = train(experiment, run)
    assert resumed.state == run.status["state"] == "finished"
    assert (resumed.value, resumed.epoch, resumed.epochs) == (result.value, result.epoch, result.epochs)
    assert_same(run, whole)


def test_a_run_interrupted_several_times(tmp_path, vowels):
    whole, _ = uninterrupted(tmp_path, vowels)
    run = start(tmp_path / "cut", vowels)
    for _ in range(100):
        try:
            train(vowels, run, stop=StopAt(2))
        except Interrupted:
            continue
        break
    assert_same(run, whole)


def test_an_incomplete_checkpoint_falls_back_to_the_previous_one(tmp_path, vowels):
    whole, _ = uninterrupted(tmp_path, vowels)
    run = start(tmp_path / "cut", vowels)
    with pytest.raises(Interrupted):
        train(vowels, run, stop=StopAt(23))
    last = run.checkpoints / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.warns(UserWarning, match=r"last\.ckpt: incomplete"):
        path, _ = newest_checkpoint(run)
    assert path == run.checkpoints / "previous.ckpt"
    with pytest.warns(UserWarning, match="incomplete"):
        train(vowels, run)
    assert_same(run, whole)


def test_with_every_checkpoint_incomplete_it_starts_anew(tmp_path, vowels):
    whole, _ = uninterrupted(tmp_path, vowels)
    run = start(tmp_path / "cut", vowels)
    with pytest.raises(Interrupted):
        train(vowels, run, stop=StopAt(23))
    for path in run.resumable():
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="incomplete"):
        train(vowels, run)
    assert_same(run, whole)


def test_rows_written_after_the_last_checkpoint_are_not_doubled(tmp_path, vowels):
    whole, _ = uninterrupted(tmp_path, vowels)
    run = start(tmp_path / "cut", vowels)
    with pytest.raises(Interrupted):
        train(vowels, run, stop=StopAt(15))
    # Killed between the row and the checkpoint, in the middle of writing one row more.
    run.append({**run.rows()[-1], "epoch": len(run.rows())})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "tor')
    train(vowels, run)
    assert_same(run, whole)


def test_a_run_killed_after_its_last_epoch_trains_no_further(tmp_path, vowels):
    experiment = vowels.with_overrides({"trainer": {"max_epochs": 30, "patience": 1}, "optimizer.lr": 0.1})
    whole, result = uninterrupted(tmp_path, experiment)
    assert result.epochs < 30
    before = whole.rows()
    whole.mark("running")
    train(experiment, whole)
    assert whole.rows() == before
    assert whole.status["state"] == "finished"


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(tmp_path, vowels):
    first, _ = uninterrupted(tmp_path, vowels)
    second = start(tmp_path / "again", vowels)
    train(vowels, second)
    assert_same(first, second)
    other = vowels.with_overrides({"seed": 1})
    third = start(tmp_path / "other", other)
    assert train(other, third).value != first.status["best"]["value"]


def test_the_experiment_file_of_a_run_reproduces_it(tmp_path, vowels):
    first, result = uninterrupted(tmp_path, vowels)
    again = Experiment.of(first.experiment)
    assert again == vowels
    assert train(again, start(tmp_path / "again", again)).value == result.value


def test_the_record_is_on_disk_before_the_callback(tmp_path, vowels):
    run = start(tmp_path / "run", vowels)
    seen = []

    def look(row):
        assert run.rows()[-1] == row
        assert newest_checkpoint(run)[1] == row["epoch"] + 1
        seen.append(row["epoch"])

    train(vowels, run, on_epoch=look)
    assert seen == [0, 1, 2, 3]


def test_the_best_checkpoint_has_the_score_of_the_record(tmp_path, demand):
    run = start(tmp_path / "run", demand)
    result = train(demand, run)
    scores = evaluate(run, "validation").model
    assert scores["scaled_mse"] == pytest.approx(result.value, rel=1e-6)
    assert scores["mase"] == pytest.approx(result.row["val/mase"], rel=1e-6)


def test_the_best_checkpoint_survives_worse_epochs(tmp_path, vowels):
    experiment = vowels.with_overrides({"optimizer.lr": 3.0, "trainer.max_epochs": 8})
    run = start(tmp_path / "run", experiment)
    result = train(experiment, run)
    values = [row["val/loss"] for row in run.rows()]
    assert result.value == min(values)
    assert values[-1] > min(values)
    assert evaluate(run, "validation").model["loss"] == pytest.approx(min(values), rel=1e-6)


def test_a_nan_loss_is_a_failure(tmp_path, vowels):
    experiment = vowels.with_overrides({"optimizer": {"name": "sgd", "lr": 1e38}, "trainer.gradient_clip_val": None})
    run = start(tmp_path / "run", experiment)
    with pytest.raises(Diverged, match=r"optimizer\.lr"):
        train(experiment, run)
    status = run.status
    assert status["state"] == "failed"
    assert "Diverged" in status["reason"]
    assert "Traceback" in status["traceback"]


def test_an_error_in_the_middle_is_recorded(tmp_path, vowels):
    run = start(tmp_path / "run", vowels)

    def burst(row):
        raise RuntimeError("a disk burst\nand more")

    with pytest.raises(RuntimeError):
        train(vowels, run, on_epoch=burst)
    assert run.status["state"] == "failed"
    assert run.status["reason"] == "RuntimeError: a disk burst"


def test_a_failure_is_recorded_where_its_traceback_has_no_room(tmp_path, vowels):
    """How long a traceback is depends on Python, and on where the packages lie."""
    run = start(tmp_path / "run", vowels)
    error = OSError(27, "File too large")
    error.add_note("a long traceback" * 500)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        run.mark_failed(error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert run.status["state"] == "failed"
    assert run.status["reason"] == "OSError: [Errno 27] File too large"
    assert not list(run.path.glob(".*"))


def test_run_json_records_what_the_run_was_made_of(tmp_path, vowels):
    run, _ = uninterrupted(tmp_path, vowels)
    about = run.about
    assert {"id", "created", "command", "git", "versions", "data", "monitor", "mode", "parameters"} <= about.keys()
    # Of an ordinary wheel for CUDA, the package's version lacks the local part that torch itself has: 2.13.0+cu130.
    assert Version(about["versions"]["torch"]).public == Version(torch.__version__).public
    assert about["data"]["digest"] == vowels.data.build().digest
    assert about["parameters"] == sum(value.numel() for value in weights(run).values())


def test_no_pickle_from_a_checkpoint_is_executed(tmp_path, vowels):
    run, _ = uninterrupted(tmp_path, vowels)

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    whole = {path: torch.load(path, weights_only=True) for path in (*run.resumable(), run.best_checkpoint)}
    for path, content in whole.items():
        torch.save({**content, "evil": Evil()}, path)
    with pytest.raises(DataError, match=r"best\.ckpt"):
        evaluate(run, "validation")
    with pytest.warns(UserWarning, match="incomplete"):
        assert newest_checkpoint(run) == (None, 0)
    assert not (tmp_path / "executed").exists()


def test_two_processes_cannot_train_one_run(tmp_path, vowels):
    run = start(tmp_path / "run", vowels)
    with run.lock(), pytest.raises(ConfigError, match="another process"):
        train(vowels, run)


def test_the_state_of_a_killed_run_is_interrupted(tmp_path, vowels):
    run, _ = uninterrupted(tmp_path, vowels)
    run.mark("running")
    assert run.status["state"] == "interrupted"
    with run.lock():
        assert run.status["state"] == "running"


def test_stop_is_a_threading_event(tmp_path, vowels):
    stop = threading.Event()
    run = start(tmp_path / "run", vowels)
    with pytest.raises(Interrupted):
        train(vowels, run, stop=stop, on_epoch=lambda row: stop.set())
    assert len(run.rows()) == 1
