"""Data from memory: arrays and DataFrames become plain configurations of files named by their content."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data import Dataset, arrays
from lstm_lab.data.kinds.labelled import LabelledSequences
from lstm_lab.data.kinds.sequence_regression import SequenceRegression
from lstm_lab.data.kinds.tagged import TaggedSequences
from lstm_lab.experiment import Experiment, load_experiment
from lstm_lab.records.run import Run
from lstm_lab.training.train import train


def sequences(n=40, seed=0):
    """Slow and fast waves (T_i, 2) of different lengths."""
    rng, made = np.random.default_rng(seed), []
    for i in range(n):
        t = np.arange(rng.integers(6, 12))[:, None]
        made.append(np.sin((0.3 if i % 2 else 1.5) * t + [0, 1]) + 0.1 * rng.normal(size=(len(t), 2)))
    return made


LABELS = ["fast", "slow"] * 20
VALUES = np.array([[0.0, 5.0], [1.0, 7.0]] * 20)


def step_labels(X):
    return [["up" if value > 0 else "down" for value in x[:, 0]] for x in X]


def padded(X):
    lengths = np.array([len(x) for x in X])
    whole = np.full((len(X), lengths.max(), X[0].shape[1]), 77.0)
    for row, x in zip(whole, X, strict=True):
        row[: len(x)] = x
    return whole, lengths


def all_of(split):
    return split.take(torch.arange(len(split)))


def unscaled(dataset, split):
    """The sequences of a split as they were given, as bytes of float32."""
    batch, info = all_of(split), dataset.info
    values = batch.x.double() * torch.tensor(info.std) + torch.tensor(info.mean)
    return {values[i, :n].numpy().round(4).tobytes(): batch.y[i] for i, n in enumerate(batch.lengths.tolist())}


def splits(dataset):
    return [dataset.train, dataset.validation, dataset.test_split()]


# ---- the data are those that were given ----


def test_labelled_sequences_come_back_each_in_one_split_with_its_class():
    X = sequences()
    data = arrays(X, LABELS).build()
    assert isinstance(data, LabelledSequences)
    assert data.info.classes == ("fast", "slow")
    assert [len(split) for split in splits(data)] == [28, 4, 8]
    found = {key: data.info.classes[y] for split in splits(data) for key, y in unscaled(data, split).items()}
    assert found == {x.round(4).tobytes(): label for x, label in zip(X, LABELS, strict=True)}
    rows = data.train.inputs.values
    torch.testing.assert_close(rows.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(rows.std(0, correction=0), torch.ones(2), atol=1e-5, rtol=0)


def test_values_come_back_in_their_own_units():
    X = sequences()
    data = arrays(X, pd.DataFrame(VALUES, columns=["speed", "load"])).build()
    assert isinstance(data, SequenceRegression)
    assert data.info.targets == ("speed", "load")
    found = {key: tuple(y.tolist()) for split in splits(data) for key, y in unscaled(data, split).items()}
    assert found == {x.round(4).tobytes(): tuple(y) for x, y in zip(X, VALUES.tolist(), strict=True)}
    assert arrays(X, VALUES[:, 0]).build().info.targets == ("y",)
    whole, _ = padded(X)
    short = arrays(whole, np.tile(VALUES, 3), lengths=[1, 2] * 20).build()
    assert short.info.targets == ("y1", "y2", "y3", "y4", "y5", "y6")
    assert arrays(X, np.arange(40), target="value", targets=["age"]).build().info.targets == ("age",)


def test_classes_of_steps_come_back_and_none_is_no_target():
    X = sequences()
    labels = step_labels(X)
    labels[3][2] = None
    data = arrays(X, labels).build()
    assert isinstance(data, TaggedSequences)
    assert data.info.classes == ("down", "up")
    names = [*data.info.classes, None]
    found = {}
    for split in splits(data):
        batch = all_of(split)
        for key, y, length in zip(unscaled(data, split), batch.y.tolist(), batch.lengths.tolist(), strict=True):
            found[key] = [names[i] for i in y[:length]]
            assert set(y[length:]) <= {-1}
    assert found == {x.round(4).tobytes(): label for x, label in zip(X, labels, strict=True)}


@pytest.mark.parametrize("y", [LABELS, VALUES, "tags"], ids=["class", "value", "tag"])
def test_a_padded_array_with_lengths_is_the_list_of_its_sequences(y):
    X = sequences()
    whole, lengths = padded(X)
    if isinstance(y, str):
        y = [[int(label == "up") for label in row] for row in step_labels(X)]
        wide = np.full(whole.shape[:2], 9)
        for row, labels in zip(wide, y, strict=True):
            row[: len(labels)] = labels
        one, other = arrays(X, y), arrays(whole, wide, lengths=lengths)
    else:
        one, other = arrays(X, y), arrays(whole, y, lengths=lengths)
    assert one == other
    assert one.build().digest == other.build().digest


def test_classes_have_the_order_of_their_labels_and_integers_may_index_names():
    X, y = sequences(40), [10, 9] * 20
    assert arrays(X, y).build().info.classes == ("9", "10")
    assert arrays(X, y, classes=[10, 9]).build().info.classes == ("10", "9")
    assert arrays(X, [-1, 1] * 20).build().info.classes == ("-1", "1")
    named = arrays(X, np.array([1, 0] * 20), classes=["slow", "fast"]).build()
    assert named.info.classes == ("slow", "fast")
    plain = arrays(X, ["fast", "slow"] * 20, classes=["slow", "fast"]).build()
    assert torch.equal(named.train.labels, plain.train.labels)


def test_groups_and_copies_stay_in_one_split():
    X = sequences()
    person = [i // 4 for i in range(40)]
    for y in (LABELS, VALUES):
        data = arrays(X, y, groups=person).build()
        people = [{person[i] for i, x in enumerate(X) if x.round(4).tobytes() in unscaled(data, split)}
                  for split in splits(data)]  # fmt: skip
        assert all(people)
        assert sum(map(len, people)) == len(set.union(*people)) == 10
        data = arrays([*X, *X], [*y, *y]).build()
        assert sum(len(unscaled(data, split)) for split in splits(data)) == 40


def test_given_splits_are_kept():
    X, more = sequences(20), sequences(12, seed=1)
    for y in (LABELS, VALUES):
        data = arrays(X, y[:20], validation=(more[:4], y[:4]), test=(more[4:], y[:8])).build()
        assert [len(split) for split in splits(data)] == [20, 4, 8]
        assert set(unscaled(data, data.validation)) == {x.round(4).tobytes() for x in more[:4]}
    part = arrays(X, LABELS[:20], test=(more, LABELS[:12])).build()
    assert [len(split) for split in splits(part)] == [18, 2, 12]


# ---- a configuration is plain content and names its file by a hash ----


@pytest.mark.parametrize(
    ("y", "task"), [(LABELS, "classify"), (VALUES, "regress"), ("tags", "tag")], ids=["class", "value", "tag"]
)
def test_an_experiment_with_arrays_is_plain_content(y, task, tmp_path):
    X = sequences()
    config = arrays(X, step_labels(X) if isinstance(y, str) else y, folder=tmp_path)
    experiment = Experiment(data=config, task=task)
    assert Experiment.of(experiment.dump()) == experiment
    (file,) = tmp_path.iterdir()
    assert config.path == str(file)
    assert file.stem == config.sha256[:16]
    changed = file.stat().st_mtime_ns
    assert arrays(X, step_labels(X) if isinstance(y, str) else y, folder=tmp_path) == config
    assert file.stat().st_mtime_ns == changed
    X[5][0, 0] = np.nextafter(X[5][0, 0], 9.0)
    other = arrays(X, step_labels(X) if isinstance(y, str) else y, folder=tmp_path)
    assert other.path != config.path
    assert other.build().digest != config.build().digest


def test_a_task_of_another_target_is_refused():
    config = arrays(sequences(), LABELS)
    with pytest.raises(ValueError, match="task 'regress' does not go with data 'arrays'"):
        Experiment(data=config, task="regress")
    with pytest.raises(ConfigError, match=r"augment.time_warp does not go with data 'arrays'; use jitter, scaling"):
        arrays(sequences(), step_labels(sequences()), augment={"time_warp": 0.1})


def test_a_file_that_is_gone_or_changed_is_one_line(tmp_path):
    config = arrays(sequences(), LABELS, folder=tmp_path)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    np.savez(file, X=np.zeros((9, 3, 2)), y=np.arange(9) % 2)
    with pytest.raises(DataError, match=r"is not the file of this configuration: its sha256 is .*restore it"):
        _ = config.build().info
    file.unlink()
    with pytest.raises(DataError, match=f"^{file}: no such file"):
        _ = config.build().info
    file.write_bytes(content)
    assert config.build().info.classes == ("fast", "slow")


def test_arrays_below_the_cache_and_a_folder_that_cannot_be_written(tmp_path):
    config = arrays(sequences(), LABELS)
    assert config.path.startswith(str(tmp_path / "cache" / "arrays"))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be written .*give folder= or set LSTM_LAB_CACHE"):
        arrays(sequences(), LABELS, folder=tmp_path / "file" / "x")


# ---- errors ----

X8 = sequences(8)
BAD = {
    "NaN": (lambda: arrays([np.full((3, 2), np.nan), *X8], LABELS[:9]), r"^X\[0\]: step 0, channel 0 is nan"),
    "inf": (lambda: arrays([*X8, np.array([[1.0, 2], [3, np.inf]])], LABELS[:9]), r"^X\[8\]: step 1, channel 1 is inf"),
    "two dimensions": (lambda: arrays(np.zeros((8, 5)), LABELS[:8]), r"^X: has shape \(8, 5\).*X\[:, :, None\]"),
    "a list of rows": (
        lambda: arrays([np.zeros(5)] * 8, LABELS[:8]),
        r"^X\[0\]: has shape \(5,\), but must be \(T, F\)",
    ),
    "words": (lambda: arrays([[["a", "b"]]] * 8, LABELS[:8]), r"^X\[0\]: is not an array of numbers"),
    "no sequences": (lambda: arrays([], []), "^X: has no sequences"),
    "an empty sequence": (lambda: arrays([np.zeros((0, 2)), *X8], LABELS[:9]), r"^X\[0\]: has no steps"),
    "other channels": (
        lambda: arrays([*X8, np.zeros((3, 3))], LABELS[:9]),
        r"^X\[8\]: has 3 channels, but X\[0\] has 2",
    ),
    "a text": (lambda: arrays("abc", LABELS), "^X: str must be an"),
    "too many lengths": (
        lambda: arrays(np.zeros((8, 5, 1)), LABELS[:8], lengths=[5] * 9),
        r"^lengths: .* must be 8",
    ),
    "a length too long": (
        lambda: arrays(np.zeros((8, 5, 1)), LABELS[:8], lengths=[6] + [5] * 7),
        r"^lengths\[0\]: is 6",
    ),
    "a length of zero": (lambda: arrays(np.zeros((8, 5, 1)), LABELS[:8], lengths=[0] + [5] * 7), r"in 1\.\.5"),
    "fractional lengths": (lambda: arrays(np.zeros((8, 5, 1)), LABELS[:8], lengths=[4.5] * 8), "^lengths: float64"),
    "lengths of a list": (lambda: arrays(X8, LABELS[:8], lengths=[3] * 8), "^X: is a list, whose sequences have their"),
    "y too short": (lambda: arrays(X8, LABELS[:7]), "^y: has 7 targets, but X has 8 sequences"),
    "no y": (lambda: arrays(X8, None), "^y: NoneType must be a list or an array"),
    "one class": (lambda: arrays(X8, ["slow"] * 8), r"^arrays: the training split has 1 class \('slow'\)"),
    "one class of steps": (lambda: arrays(X8, [["a"] * len(x) for x in X8]), "^arrays: the training split has 1 class"),
    "a label that is None": (lambda: arrays(X8, [*LABELS[:7], None]), r"^y\[7\]: is None: remove the sequence"),
    "labels alike": (lambda: arrays(X8, [1, "1"] * 4), "^y: labels must differ as text"),
    "a label without a class": (
        lambda: arrays(X8, LABELS[:8], classes=["fast"]),
        "^y: has label 'slow', which",
    ),
    "a class without a label": (
        lambda: arrays(X8 * 3, LABELS[:24], classes=["fast", "slow", "x"]),
        "classes names 'x'",
    ),
    "lists as labels": (lambda: arrays(X8, [{"a": 1}] * 8), "^y: labels must be integers, strings"),
    "steps too few": (lambda: arrays(X8, [["a", "b"]] * 8), r"^y\[0\]: has 2 labels, but its sequence has \d+ steps"),
    "a value that is NaN": (lambda: arrays(X8, [0.5] * 7 + [np.nan]), r"^arrays: y\[7\]: is nan"),
    "values of two sizes": (lambda: arrays(X8, [[0.5]] * 7 + [[0.5, 1.0]]), "^y: is not an array of numbers"),
    "words as values": (lambda: arrays(X8, LABELS[:8], target="value"), "^y: is not an array of numbers"),
    "names of no values": (lambda: arrays(X8, LABELS[:8], targets=["a"]), "^targets: names values to predict"),
    "names of other values": (lambda: arrays(X8, VALUES[:8], targets=["a"]), "targets names 1 values, but y has 2"),
    "groups too few": (lambda: arrays(X8, LABELS[:8], groups=[1, 2]), "^groups: has 2 entries, but X has 8"),
    "too few": (lambda: arrays(X8[:2], LABELS[:2]), "^arrays: 2 sequences leave none for the test"),
    "bad validation": (lambda: arrays(X8, LABELS[:8], validation=(X8, LABELS[:3])), r"^validation\[1\]: has 3 targets"),
    "no fraction": (lambda: arrays(X8, LABELS[:8], validation=0.6, test=0.5), "leave nothing to train on"),
    "no batch": (lambda: arrays(X8, LABELS[:8], batch_size=0), "^data.arrays: batch_size: must be greater than"),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_what_does_not_fit_is_one_line_and_writes_nothing(make, message, tmp_path):
    with pytest.raises((DataError, ConfigError), match=message) as fault:
        make()
    assert len(str(fault.value).splitlines()) == 1
    assert not list(tmp_path.rglob("*.npz"))


# ---- a file of a user ----


def test_a_plain_npz_file_is_trained_by_a_conf(tmp_path, monkeypatch):
    whole, lengths = padded(sequences())
    np.savez(tmp_path / "x.npz", X=whole, lengths=lengths, y=np.arange(40) % 2, classes=["fast", "slow"])
    (tmp_path / "x.yaml").write_text("data: {name: arrays, path: x.npz}\ntask: classify\nmodel: {hidden_size: 4}\n")
    monkeypatch.chdir(tmp_path)
    experiment = load_experiment("x.yaml", ["trainer.max_epochs=1"])
    data = experiment.data.build()
    assert data.info.classes == ("fast", "slow")
    assert torch.equal(data.train.labels, arrays(sequences(), LABELS).build().train.labels)
    assert train(experiment, Run.create(tmp_path / "run", experiment.dump())).state == "finished"


X9 = np.random.default_rng(0).normal(size=(9, 3, 1))
FILES = {
    "not npz": (lambda path: path.write_text("abc"), "class", "is no .npz or .npy file: write one by numpy.savez"),
    "pickle": (lambda path: np.savez(path, X=np.array([[1], None], object)), "class", "cannot be read as .npz"),
    "no X": (lambda path: np.savez(path, x=np.zeros((9, 3, 1))), "class", "has no array X"),
    "no y": (lambda path: np.savez(path, X=X9), "class", "has no array y"),
    "two dimensions": (lambda path: np.savez(path, X=np.zeros((9, 3))), "class", r"X: has shape \(9, 3\)"),
    "lengths": (lambda path: np.savez(path, X=np.zeros((9, 3)), lengths=[4, 4]), "class", "whose sum is 9"),
    "y of floats": (lambda path: np.savez(path, X=X9, y=np.arange(9) / 2), "class", "data.target=value"),
    "y too short": (lambda path: np.savez(path, X=X9, y=[1, 2]), "class", "9 sequences need one class"),
    "y of words": (lambda path: np.savez(path, X=X9, y=["a"] * 9), "value", "values to predict are 9"),
    "steps": (lambda path: np.savez(path, X=X9, y=[1] * 9), "tag", "27 steps need one class each"),
    "splits": (lambda path: np.savez(path, X=X9, y=[1] * 9, splits=["x"] * 9), "class", "splits has 'x'"),
    "groups": (lambda path: np.savez(path, X=X9, y=[1] * 9, groups=[1]), "class", r"groups has shape"),
    "index": (
        lambda path: np.savez(path, X=X9, y=[7] * 9, classes=["a", "b"]), "class", "y has class '7', "
    ),
}  # fmt: skip


@pytest.mark.parametrize(("write", "target", "message"), FILES.values(), ids=FILES)
def test_a_malformed_file_is_one_line(write, target, message, tmp_path):
    write(tmp_path / "a.npz")
    data = Dataset.members["arrays"].Config(path=str(tmp_path / "a.npz"), target=target).build()
    with pytest.raises(DataError, match=message) as fault:
        _ = data.info, data.train
    assert str(fault.value).startswith(str(tmp_path / "a.npz"))
    assert len(str(fault.value).splitlines()) == 1
