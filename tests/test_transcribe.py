"""Recordings and texts: alignments against enumeration, error rates, features of sound, folders of users, and runs."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import dct
from scipy.io import wavfile
from torch.testing import assert_close

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data import Batch, Dataset
from lstm_lab.data.kinds.transcripts import TranscriptInfo, steps_needed
from lstm_lab.data.preprocessing.audio import AudioFeatures, cosines, mel_filters, stretched_frequencies
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.evaluation.predict import predict
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.tasks.transcribe import Transcribe
from lstm_lab.tasks.transcription.alignments import best_path, collapsed, prefix_beam
from lstm_lab.tasks.transcription.error_rates import edit_distance, scores_of
from lstm_lab.training.train import train

INFO = TranscriptInfo(2, ("<blank>", "a", "b"), "", (0.0, 0.0), (1.0, 1.0))


def probabilities(T, K, seed):
    return torch.randn(T, K, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).mul(2).log_softmax(1)


def texts_by_enumeration(log_probabilities):
    """Text -> probability, the sum over all alignments."""
    T, K = log_probabilities.shape
    found = {}
    for alignment in itertools.product(range(K), repeat=T):
        text = tuple(collapsed(list(alignment)))
        p = float(log_probabilities[range(T), alignment].sum().exp())
        found[text] = found.get(text, 0.0) + p
    return found


@given(T=st.integers(1, 5), K=st.integers(2, 3), seed=st.integers(0, 10_000))
def test_the_beam_finds_the_most_probable_text_of_all_alignments(T, K, seed):
    logs = probabilities(T, K, seed)
    found = texts_by_enumeration(logs)
    assert sum(found.values()) == pytest.approx(1)
    assert tuple(prefix_beam(logs.numpy(), 10_000)) == max(found, key=found.get)
    best = max(itertools.product(range(K), repeat=T), key=lambda a: float(logs[range(T), a].sum()))
    assert best_path(logs[None], torch.tensor([T])) == [collapsed(list(best))]


def test_a_beam_finds_a_text_that_no_single_alignment_shows():
    logs = torch.tensor([[0.6, 0.4], [0.6, 0.4]]).log()  # blank blank 0.36; a in any of three ways 0.64
    assert best_path(logs[None], torch.tensor([2])) == [[]]
    assert prefix_beam(logs.numpy(), 4) == [1]


@pytest.mark.parametrize("text", [[1], [1, 2], [1, 1], [2, 1, 2]])
def test_the_loss_is_that_of_all_alignments_of_a_text(text):
    logits = probabilities(5, 3, 7)
    batch = Batch(torch.empty(0), torch.tensor([5]), torch.tensor([text]))
    loss = Transcribe(INFO, "loss", 1).loss(logits[None], batch)
    assert_close(loss * len(text), -torch.tensor(texts_by_enumeration(logits)[tuple(text)], dtype=torch.float64).log())


def test_padding_changes_neither_loss_nor_gradient_nor_text():
    task = Transcribe(INFO, "loss", 8)
    short, long = torch.randn(5, 3), torch.randn(9, 3)
    y = torch.tensor([[1, 2, -1], [2, 2, 1]])
    padded = torch.stack([F.pad(short, (0, 0, 0, 4), value=float("nan")), long]).requires_grad_()
    batch = Batch(torch.empty(0), torch.tensor([5, 9]), y)
    loss = task.loss(padded, batch)
    (gradient,) = torch.autograd.grad(loss, padded)
    alone = [short.clone().requires_grad_(), long.clone().requires_grad_()]
    parts = [
        task.loss(x[None], Batch(torch.empty(0), torch.tensor([len(x)]), row[row > 0][None])) * int((row > 0).sum())
        for x, row in zip(alone, y, strict=True)
    ]
    assert_close(loss, sum(parts) / 5)
    wanted = torch.autograd.grad(sum(parts) / 5, alone)
    assert_close(gradient[0, :5], wanted[0])
    assert_close(gradient[1], wanted[1])
    assert (gradient[0, 5:] == 0).all()
    with torch.no_grad():
        rows = task.predictions(padded.nan_to_num(50.0), batch)
        assert rows == [task.predictions(x[None])[0] for x in alone]


@given(st.text("ab ", max_size=6), st.text("ab ", max_size=6))
def test_the_edit_distance_is_that_of_the_recursion(a, b):
    def by_definition(a, b):
        if not a or not b:
            return len(a) + len(b)
        here = by_definition(a[1:], b[1:]) + (a[0] != b[0])
        return min(here, by_definition(a[1:], b) + 1, by_definition(a, b[1:]) + 1)

    assert edit_distance(a, b) == by_definition(a, b) == edit_distance(b, a)


def test_error_rates_count_symbols_and_words():
    info = TranscriptInfo(1, ("<blank>", " ", "a", "b"), "")
    found = scores_of(info, [[2, 1, 3], [2, 2]], [[2, 1, 2], [2, 2]])  # "a b" for "a a"; "aa" for "aa"
    assert found == pytest.approx({"token_error_rate": 1 / 5, "word_error_rate": 1 / 3, "exact_match": 1 / 2})


# ---- sound -----------------------------------------------------------------------------------------------------------


def test_frames_are_mel_bands_and_their_cosine_transform():
    features = AudioFeatures(kind="log_mel", num_mels=20)
    wave = np.sin(2 * np.pi * 1000 * np.arange(4000) / 8000)
    bands = features.of_wave(wave)
    assert bands.shape == (1 + (4000 - 200) // 80, 20)
    filters = mel_filters(features, 256)
    assert bands[3].argmax() == filters[:, round(1000 / 8000 * 256)].argmax()
    coefficients = AudioFeatures(num_mels=20, num_coefficients=20).of_wave(wave)
    np.testing.assert_allclose(coefficients, dct(bands, norm="ortho"), atol=1e-3)
    np.testing.assert_allclose(cosines(20, 20) @ cosines(20, 20).T, np.eye(20), atol=1e-12)
    assert features.of_wave(wave[:50]).shape == (1, 20)  # Shorter than a frame.


def test_frequencies_are_stretched_as_those_of_a_sound():
    """A tone of 1,000 Hz whose coefficients are stretched by 1.2 has the loudest band of a tone of 1,200 Hz."""
    features = AudioFeatures(num_coefficients=40)
    tone = {f: features.of_wave(np.sin(2 * np.pi * f * np.arange(2000) / 8000)) @ cosines(40, 40) for f in (1000, 1200)}
    moved = tone[1000] @ cosines(40, 40).T @ stretched_frequencies(features, 1.2).T @ cosines(40, 40)
    assert abs(int(moved[5].argmax()) - int(tone[1200][5].argmax())) <= 1
    np.testing.assert_allclose(stretched_frequencies(features, 1.0), np.eye(40), atol=1e-9)


# ---- recordings of a user --------------------------------------------------------------------------------------------

TONES = {"lo": 400, "mid": 900, "hi": 1900}


def speak(words, rate=8000, seed=0):
    """A tone of a tenth of a second for each word, and a pause."""
    rng = np.random.default_rng(seed)
    t, pause = np.arange(rate // 10) / rate, np.zeros(rate // 20)
    tones = [np.sin(2 * np.pi * TONES[word] * t) * rng.uniform(0.3, 0.6) for word in words]
    wave = np.concatenate([part for tone in tones for part in (tone, pause)])
    return wave + 0.01 * rng.normal(size=len(wave))


def write_recordings(n=60):
    rng = np.random.default_rng(0)
    rows = ["file,text,who"]
    for i in range(n):
        words = [str(word) for word in rng.choice([*TONES], rng.integers(1, 5))]
        folder = Path("sounds", f"p{i % 6}")
        folder.mkdir(parents=True, exist_ok=True)
        wave = speak(words, seed=i)
        pcm = (wave * 32767).astype(np.int16)
        wavfile.write(folder / f"{i}.wav", 8000, np.stack([pcm, pcm], 1) if i % 2 else pcm)
        rows.append(f"p{i % 6}/{i}{'.wav' * (i % 3 == 0)},{' '.join(words)},{i % 6}")
    Path("texts.csv").write_text("\n".join(rows) + "\n")
    return {"name": "recordings", "path": "sounds", "texts": "texts.csv", "group": "who", "symbols": "words",
            "features": {"sample_rate": 8000, "kind": "log_mel", "num_mels": 20}}  # fmt: skip


def build(fields):
    return Dataset.members[fields["name"]].Config.model_validate(fields).build()


def test_a_run_on_recordings_writes_new_ones_down(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fields = write_recordings()
    dataset = build(fields)
    assert dataset.symbols == ("<blank>", "hi", "lo", "mid")
    assert not set(dataset.raw.train.groups) & set(dataset.raw.validation.groups)
    task = {"name": "transcribe", "beams": 4, "monitor": "loss"}
    content = {"data": fields, "task": task, "optimizer": {"lr": 0.03}, "trainer": {"max_epochs": 60, "patience": None},
               "model": {"hidden_size": 16, "bidirectional": True}}  # fmt: skip
    experiment = Experiment.of(content)
    run = Run.create(tmp_path / "run", experiment.dump())
    train(experiment, run)
    scores = evaluate(run, "test")
    rivals = [baseline["token_error_rate"] for baseline in scores.baselines.values()]
    assert scores.model["beam_token_error_rate"] < 0.1 < min(rivals)
    table = predict(run, "sounds/p0")
    assert table.header == ["file", "transcript"]
    words = ["mid", "hi", "lo"]
    wavfile.write("new.wav", 16000, speak(words, 16000).astype(np.float32))  # Another rate, another type.
    wave = speak(words)
    assert predict(run, "new.wav").rows[0] == ["new", " ".join(words)]
    assert predict(run, [wave]).rows[0][1] == " ".join(words)


@pytest.mark.parametrize(
    ("change", "fields", "message"),
    [
        (lambda: Path("sounds/p0/0.wav").write_bytes(b"no"), {}, "0.wav: cannot be read as WAV"),
        (lambda: wavfile.write("sounds/p0/0.wav", 8000, np.zeros(0, np.int16)), {}, "0.wav: has no sound"),
        (lambda: Path("sounds/p0/0.wav").unlink(), {}, "line 2, column 'file': 'p0/0.wav' is no WAV file of sounds"),
        (lambda: None, {"stack": 80}, "needs"),
        (lambda: None, {"path": "none"}, "none: no such folder"),
        (lambda: Path("texts.csv").write_text("file,text,who\np0/0, ,1\n"), {}, "is empty: write what is said"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line_that_names_it(change, fields, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {**write_recordings(18), **fields}
    change()
    with pytest.raises(DataError) as error:
        _ = build(given).info
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_text_that_is_too_long_for_its_recording_is_refused():
    assert steps_needed([1, 2, 1]) == 3
    assert steps_needed([1, 1]) == 3
    logs = probabilities(2, 3, 0)[None]
    assert F.ctc_loss(logs.transpose(0, 1), torch.tensor([[1, 1]]), [2], [2], reduction="none").isinf().all()


def test_features_that_do_not_go_together_are_refused():
    base = {"name": "recordings", "path": "a", "texts": "b"}
    for fields, message in [
        ({"num_coefficients": 50}, "more than num_mels"),
        ({"hop_ms": 30.0}, "sound would be lost"),
        ({"f_min": 9000.0}, "not below half of sample_rate"),
    ]:
        with pytest.raises(ConfigError, match=message):
            Experiment.of({"data": {**base, "features": fields}, "task": "transcribe"})


def test_strings_of_digits_keep_speakers_apart_and_are_what_they_say(readable):
    data = readable(build({"name": "fsdd_strings", "train_size": 20, "eval_size": 10}))
    groups = [set(split.groups) for split in (data.raw.train, data.raw.validation, data.raw.test)]
    assert all(not a & b for a, b in itertools.combinations(groups, 2))
    assert all(3 <= len(target) <= 7 for target in data.raw.train.targets)
    assert min(map(len, data.raw.test.sequences)) > 30


def test_equal_files_stay_in_one_split_and_equal_texts_need_not(tmp_path, monkeypatch):
    """A text that is said often must be in the training split too."""
    monkeypatch.chdir(tmp_path)
    fields = write_recordings(40) | {"group": None}
    rows = Path("texts.csv").read_text().splitlines()
    Path("sounds/copy.wav").write_bytes(Path("sounds/p0/0.wav").read_bytes())
    Path("texts.csv").write_text("\n".join([*(",".join([r.split(",")[0], "lo", "1"]) for r in rows[1:]), "copy,lo,1"]))
    Path("texts.csv").write_text("file,text,who\n" + Path("texts.csv").read_text() + "\n")
    data = build(fields)
    assert np.bincount(data.splits).tolist() == pytest.approx([29, 4, 8], abs=1.1)
    assert data.splits[0] == data.splits[-1]
