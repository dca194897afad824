"""Images as sequences: read from every form that people keep them in, cut into steps, and predicted by a run."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data import Dataset
from lstm_lab.data.inspection import inspect
from lstm_lab.data.kinds.images import as_steps
from lstm_lab.data.sources.mnist1d import generate
from lstm_lab.evaluation.predict import predict
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.training.train import train

H, W = 5, 4
FIRST_DIGITS = [2, 6, 4, 5, 6, 6, 6, 0, 3, 1]
FIRST_VALUES = [-0.3320056673693902, 1.0146680081220367, 0.5202781860417783, -0.8901663884753127]
ABSOLUTE_SUM = 118338.29510719894


def pictures(n=60, channels=None, seed=0):
    """Bright above (class up) or below (class down)."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 90, (n, H, W) if channels is None else (n, H, W, channels)).astype(np.uint8)
    y = np.arange(n) % 2
    x[y == 0, :2] += 150
    x[y == 1, 3:] += 150
    return x, np.array(["up", "down"])[y]


def idx(values):
    code = {"uint8": 8, "int32": 12, "float32": 13}[values.dtype.name]
    head = struct.pack(f">HBB{values.ndim}I", 0, code, values.ndim, *values.shape)
    return head + values.astype(values.dtype.newbyteorder(">")).tobytes()


def made(**fields):
    return Dataset.members["images"].Config.model_validate(fields).build()


def contents(dataset):
    """Split -> class of each image, in bytes, as the data set has it."""
    found = {}
    scale = (torch.tensor(dataset.info.std), torch.tensor(dataset.info.mean))
    for name, split in (("train", dataset.train), ("validation", dataset.validation), ("test", dataset.test_split())):
        batch = split.take(torch.arange(len(split)))
        values = (batch.x.double() * scale[0] + scale[1]).round().to(torch.int64).flatten(1).tolist()
        found[name] = {tuple(x): dataset.info.classes[y] for x, y in zip(values, batch.y.tolist(), strict=True)}
    return found


def save_npz(x, y):
    np.savez("a.npz", X=x, y=y)
    return {"path": "a.npz"}


def save_npy(x, y):
    np.save("x.npy", x)
    np.save("y.npy", y)
    return {"path": "x.npy", "y_path": "y.npy"}


def save_idx(x, y):
    Path("train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(x)))
    Path("train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx((y == "up").astype(np.uint8))))
    return {"path": "train-images-idx3-ubyte.gz"}


def save_folder(x, y):
    image = pytest.importorskip("PIL.Image", reason="image files are read by Pillow")
    for i, (pixels, name) in enumerate(zip(x, y, strict=True)):
        Path("pictures", name).mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels).save(f"pictures/{name}/{i}.png")
    Path("pictures/readme.txt").write_text("how they were made")
    return {"path": "pictures"}


@pytest.mark.parametrize("save", [save_npz, save_npy, save_idx, save_folder])
@pytest.mark.parametrize("channels", [None, 3])
def test_every_form_has_the_same_images_classes_and_shape(save, channels, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = pictures(channels=channels)
    dataset = made(**save(x, y))
    assert dataset.info.shape == (H, W, channels or 1)
    assert dataset.info.input_size == W * (channels or 1)
    names = {"1": "up", "0": "down"} if save is save_idx else {}
    expected = {tuple(image.ravel().tolist()): str(name) for image, name in zip(x, y, strict=True)}
    found = contents(dataset)
    joined = {image: names.get(name, name) for part in found.values() for image, name in part.items()}
    assert joined == expected
    assert sum(map(len, found.values())) == len(x)
    assert len(set(dataset.info.mean)) == (channels or 1)


@pytest.mark.parametrize("names", [("x_train", "y_train", "x_test", "y_test"),
                                   ("train_images", "train_labels", "test_images", "test_labels")])  # fmt: skip
def test_files_of_keras_and_medmnist_have_the_splits_that_they_name(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = pictures()
    parts = (x[:40], y[:40, None], x[40:], y[40:, None])
    np.savez("a.npz", **dict(zip(names, parts, strict=True)))
    found = contents(made(path="a.npz", validation=0.25))
    assert set(found["test"]) == {tuple(image.ravel().tolist()) for image in x[40:]}
    assert len(found["validation"]) == 10


@pytest.mark.parametrize("steps", ["rows", "pixels"])
def test_steps_hold_every_pixel_once_and_a_permutation_is_one_for_all(steps):
    image = np.arange(H * W * 3).reshape(H, W, 3)
    plain = as_steps(image, steps, ())
    assert plain.shape == ((H, W * 3) if steps == "rows" else (H * W, 3))
    assert np.array_equal(plain.ravel(), image.ravel())
    order = tuple(np.random.default_rng(0).permutation(H * W).tolist())
    permuted = as_steps(image, steps, order).reshape(H * W, 3)
    assert np.array_equal(permuted[np.argsort(order)], image.reshape(H * W, 3))


@pytest.mark.parametrize("fields", [{}, {"steps": "pixels", "permute_seed": 3}])
def test_a_run_learns_images_and_reads_new_ones_by_its_own_record(fields, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {"data": {"name": "images", **save_npz(*pictures()), **fields}, "task": "classify",
               "model": {"hidden_size": 8, "pooling": "mean"}, "optimizer": {"lr": 0.03},
               "trainer": {"max_epochs": 8}}  # fmt: skip
    experiment = Experiment.of(content)
    run = Run.create(tmp_path / "run", experiment.dump())
    train(experiment, run)
    Path("a.npz").unlink()
    x, y = pictures(20, seed=1)
    np.save("new.npy", x)
    table = predict(run, "new.npy")
    assert table.header[:2] == ["image", "label"]
    assert np.mean([row[1] == name for row, name in zip(table.rows, y, strict=True)]) > 0.9
    assert predict(run, x).rows == table.rows
    with pytest.raises(DataError, match="5 x 3 pixels, but the model was trained on 5 x 4 pixels"):
        predict(run, x[:, :, :3])
    # The recorded order counts, whatever another version of numpy would draw.
    record = tmp_path / "run" / "run.json"
    recorded = json.loads(record.read_text())["data"]["info"]
    assert len(recorded["permutation"]) == (H * W if fields else 0)


def test_baselines_read_all_pixels():
    dataset = Dataset.members["optdigits"].Config().build()
    assert dataset.validation.features().shape == (len(dataset.validation), 64)
    assert len(dataset.train) + len(dataset.validation) + len(dataset.test_split()) == 1797


def test_mnist1d_is_as_published():
    """Of the file of the authors, all of which the generator meets to 1e-15."""
    x, y = generate(42)
    assert x.shape == (5000, 40, 1)
    assert y[:10].tolist() == FIRST_DIGITS
    np.testing.assert_allclose(x[0, ::13, 0], FIRST_VALUES, rtol=1e-10)
    np.testing.assert_allclose(np.abs(x[:4000]).sum(), ABSOLUTE_SUM, rtol=1e-10)


@pytest.mark.parametrize(
    ("write", "fields", "message"),
    [
        (lambda: np.savez("a.npz", X=np.zeros((4, 3)), y=[0, 1, 0, 1]), {}, "shape (4, 3), but images are"),
        (lambda: np.savez("a.npz", X=np.zeros((4, 3, 3, 7)), y=[0, 1, 0, 1]), {}, "7 numbers for a pixel"),
        (lambda: np.savez("a.npz", X=np.full((4, 3, 3), np.nan), y=[0, 1, 0, 1]), {}, "pixel at (0, 0) is [nan]"),
        (lambda: np.savez("a.npz", X=np.zeros((4, 3, 3))), {}, "has no classes"),
        (lambda: np.savez("a.npz", X=np.zeros((4, 3, 3)), y=[0, 1]), {}, "4 images, but y has 2 entries"),
        (lambda: np.savez("a.npz", Z=np.zeros((4, 3, 3))), {}, "has no array X"),
        (lambda: Path("a.npz").write_bytes(b"no"), {}, "cannot be read as .npz"),
        (lambda: Path("a.idx").write_bytes(b"no idx at all"), {"path": "a.idx"}, "not those of an IDX file"),
        (lambda: np.savez("a.npz", X=np.zeros((4, 3, 3)), y=[0, 1, 0, 1]), {"size": [2, 2]}, "data.size has no effect"),
        (lambda: Path("p").mkdir(), {"path": "p"}, "has no file with an image"),
    ],
)  # fmt: skip
def test_what_is_no_image_is_one_line(write, fields, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write()
    with pytest.raises(DataError) as error:
        _ = made(**{"path": "a.npz", **fields}).info
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_with_other_sizes_names_the_image_and_can_be_resized(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fields = save_folder(*pictures(20))
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.full((7, 9, 3), 8, np.uint8)).save("pictures/up/z.png")
    with pytest.raises(DataError, match=r"z\.png: is 7 x 9 pixels of 3 channels, but .* set data\.size"):
        _ = made(**fields).info
    assert made(**fields, size=[6, 6]).info.shape == (6, 6, 3)


def test_classes_of_a_split_need_its_images():
    with pytest.raises(ConfigError, match="test_y_path would have no effect"):
        Experiment.of({"data": {"name": "images", "path": "a", "test_y_path": "b"}, "task": "classify"})


@pytest.mark.parametrize("save", [save_npz, save_idx, save_folder])
def test_inspection_recognises_images_and_proposes_an_experiment(save, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = pictures(channels=3)
    found = inspect(str(save(x, y)["path"]))
    assert found.statistics["size"] == f"{H} x {W} pixels of 3 channels"
    assert found.statistics["classes"] == 2
    assert Experiment.of(found.experiment).data.build().info.shape == (H, W, 3)
