"""Clips: what moves is drawn so that no frame tells it, frames are read one by one, and clips of users are read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import lstm_lab as lab
from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError, DataError
from lstm_lab.data import Dataset
from lstm_lab.data.inspection import inspect
from lstm_lab.data.kinds.clips import ClipInfo
from lstm_lab.experiment import Experiment
from lstm_lab.models.video import VideoModel
from lstm_lab.tasks.classify import Classify

H, W, T = 5, 6, 6
INFO = ClipInfo(H * W * 3, ("a", "b"), (5, 5), shape=(H, W, 3))


def build_model(**fields):
    torch.manual_seed(0)
    config = VideoModel.Config.model_validate({"filters": [2, 3], "features": 5, "hidden_size": 4, **fields})
    return config.build(INFO, Classify.Config().build(INFO)).double().eval()


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.randn(3, T, H * W * 3, dtype=torch.float64)


@pytest.mark.parametrize("cell", sorted(Cell.members))
def test_a_clip_equals_its_frames_one_by_one(x, cell):
    model, lengths = build_model(cell=cell), torch.tensor([T, 2, 4])
    logits = model(x, lengths).logits
    stepped = model.encoder.layers[0][0]
    for i, length in enumerate(lengths.tolist()):
        state = stepped.initial_state(x.new_zeros(1, 4))
        for frame in x[i, :length]:
            picture = frame.view(H, W, 3).permute(2, 0, 1)[None]
            z = torch.relu(model.frame(model.convolutions(picture).flatten(1)))
            h, state = stepped.step(z, state)
        assert_close(logits[i], model.head(h)[0], rtol=1e-9, atol=1e-12)


def test_padding_and_other_clips_change_nothing(x):
    model, lengths = build_model(bidirectional=True, pooling="mean"), torch.tensor([T, 2, 4])
    logits = model(x, lengths).logits
    other = x.clone()
    other[1, 2:] = 7.0
    assert_close(model(other, lengths).logits, logits)
    assert_close(model(x[1:2, :2], lengths[1:2]).logits, logits[1:2])


def test_gradients_reach_every_weight(x):
    model = build_model()
    model(x, torch.full((3,), T)).logits.square().sum().backward()
    assert all((parameter.grad != 0).any() for parameter in model.parameters())


# --- digits that move -------------------------------------------------------------------------------------------------


def digits(question, **fields):
    return Dataset.members["moving_digits"].Config(question=question, **fields).build()


@pytest.mark.parametrize("question", ["direction", "speed", "order"])
def test_frames_are_alike_in_every_class(question):
    data = digits(question, train_size=600, eval_size=60).data
    clips, labels = np.stack(data.train[0])[:600].astype(float), data.train[1][:600]
    for t in (0, 4, 8):
        means = np.stack([clips[labels == name, t].mean(0) for name in np.unique(labels)])
        # The mean of some 200 frames in which a pixel has a standard deviation of about 4: within five errors.
        assert np.abs(means - means.mean(0)).max() < 5 * clips[:, t].std() / np.sqrt(600 / len(means))
        assert_close(clips[:, t].reshape(600, -1).sum(1).mean(), clips[:, 0].sum(1).mean(), rtol=0.1, atol=0)


def test_a_digit_moves_as_its_class_says():
    data = digits("direction", train_size=40, eval_size=4).data
    steps = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
    for clip, name in zip(data.train[0][:40], data.train[1][:40], strict=True):
        first, second = clip[0].reshape(16, 16), clip[1].reshape(16, 16)
        moved = [np.roll(first, (steps[name][0] * v, steps[name][1] * v), (0, 1)) for v in (1, 2)]
        assert any(np.array_equal(second, each) for each in moved)


def test_digits_of_one_split_are_in_no_other_and_the_seed_draws_them_again():
    one, other = digits("direction", train_size=30, eval_size=30), digits("direction", train_size=30, eval_size=30)
    assert one.digest == other.digest
    assert one.digest != digits("direction", train_size=30, eval_size=30, seed=1).digest
    ink = [{tuple(np.sort(clip[0])) for clip in part} for part in
           (one.data.train[0][:30], one.data.train[0][30:], one.data.test[0])]  # fmt: skip
    assert not ink[0] & ink[1]
    assert not (ink[0] | ink[1]) & ink[2]


def test_a_classifier_of_single_frames_is_at_chance():
    dataset = digits("direction", train_size=400, eval_size=200)
    task = Classify.Config().build(dataset.info)
    scores = task.baselines(dataset.train, dataset.validation)
    assert scores["logistic regression of the middle frame"]["accuracy"] < 0.25 + 3 * np.sqrt(0.25 * 0.75 / 200)


# --- clips of a user --------------------------------------------------------------------------------------------------


def lights(n=40, seed=0):
    """A light that goes on in the first half of a clip, or in the second."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 40, (n, T, H, W)).astype(np.uint8)
    y = np.arange(n) % 2
    for i, late in enumerate(y):
        X[i, rng.integers(3) + 3 * late, rng.integers(H), rng.integers(W)] = 255
    return X, np.array(["early", "late"])[y]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = lights()
    np.savez("clips.npz", X=X, y=y)
    for i, (clip, name) in enumerate(zip(X, y, strict=True)):
        (tmp_path / "clips" / name).mkdir(parents=True, exist_ok=True)
        np.savez(tmp_path / "clips" / name / f"{i}.npz", X=clip[: T - i % 2 * (i % 3 == 0)])
    return tmp_path


def test_a_file_and_a_folder_of_clips_are_inspected_trained_on_and_predicted(folder):
    for path in ("clips.npz", "clips"):
        found = inspect(path)
        experiment = Experiment.of(found.experiment).with_absolute_paths()
        assert (experiment.data.name, experiment.model.name) == ("clips", "video")
        assert found.statistics["size"] == "5 x 6 pixels"
        assert found.classes == {"early": 20, "late": 20}
    run = lab.train(experiment, "trainer.max_epochs=1", "model.hidden_size=4", progress=False, wandb="disabled")
    assert run.predict("clips").shape[0] == 40
    assert run.predict("clips/early/0.npz").shape[0] == 1
    assert run.predict(lights()[0]).shape[0] == 40


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.zeros((4, 3, 5)), "y": np.zeros(4, int)}, r"shape \(4, 3, 5\), but clips are \(N, T, H, W\)"),
        ({"X": np.zeros((4, 3, 5, 5))}, "has no array y"),
        ({"y": np.zeros(4, int)}, "has no array X"),
        ({"X": np.zeros((4, 3, 5, 5)), "y": np.zeros(3, int)}, "has 4 clips, but y has shape"),
        (
            {"X": np.zeros((4, 3, 5, 5)), "y": np.zeros(4, int), "lengths": np.array([1, 2, 3, 4])},
            "numbers from 1 to 3",
        ),
        ({"X": np.full((4, 3, 5, 5), np.nan), "y": np.zeros(4, int)}, r"clip 1: image 1: the pixel at \(0, 0\) is"),
    ],
)
def test_files_that_are_no_clips_are_refused_in_one_line(folder, arrays, message):
    np.savez("bad.npz", **arrays)
    with pytest.raises(DataError, match=message) as fault:
        _ = Dataset.members["clips"].Config(path="bad.npz").build().info
    assert len(str(fault.value).splitlines()) == 1


def test_clips_of_another_size_are_refused(folder):
    np.save(folder / "clips" / "late" / "odd.npy", np.zeros((T, 3, 3)))
    with pytest.raises(DataError, match=r"odd.npy: has frames of 3 x 3 pixels, but .* of 5 x 6 pixels"):
        _ = Dataset.members["clips"].Config(path="clips").build().info


def test_other_data_are_refused():
    with pytest.raises(ConfigError, match="model 'video' reads clips of frames, and data 'japanese_vowels' has none"):
        Experiment.of({"data": "japanese_vowels", "task": "classify", "model": "video"})
