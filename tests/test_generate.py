"""Generation: what is drawn, from which probabilities, and that a carried state equals reading the whole again."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import lstm_lab
from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.kinds.next_step import FrameInfo, TokenInfo
from lstm_lab.data.kinds.step_text import NamedChannels, NamedTokens, TokenizedText
from lstm_lab.data.preprocessing.tokenizer import BPE, Character, Vocabulary, Word
from lstm_lab.deploy.generate import StepReader, _beam_search, _draw
from lstm_lab.deploy.sampling import Sampling
from lstm_lab.models import SequenceModel
from lstm_lab.optimizers.adam import Adam
from lstm_lab.optimizers.schedules.constant import Constant
from lstm_lab.records.run import Run
from lstm_lab.tasks.next_step import NextStep
from lstm_lab.training.learner import Learner
from lstm_lab.training.train import train

V = 5


def reader(model=None, frames=False) -> StepReader:
    """A new model of 4 tokens and padding, or of 5 channels, whose weights are large: its outputs are far apart."""
    torch.manual_seed(0)
    names = ("<pad>", *"abcd")
    info = FrameInfo(V, names) if frames else TokenInfo(V, names)
    task = NextStep(info, "nll", predict_first=False)
    config = SequenceModel.Config.model_validate({"hidden_size": 6, **({} if frames else {"embedding": {"dim": 4}}),
                                                  **(model or {})})  # fmt: skip
    learner = Learner(config.build(info, task), task, Adam.Config().build(), Constant.Config().build()).eval()
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.mul_(4)
    return StepReader(learner, () if frames else (0,))


def whole(reader: StepReader, steps) -> torch.Tensor:
    """(T + 1, V) log-probabilities of each step and of the one behind all, of a model that reads them at once."""
    x = torch.cat([torch.zeros(1, dtype=torch.int64), torch.as_tensor(steps, dtype=torch.int64)]).unsqueeze(0)
    logits = reader.model(x, torch.tensor([x.shape[1]])).logits[0]
    logits[:, 0] = -torch.inf
    return logits.double().log_softmax(-1)


def never(steps):
    return False


@pytest.mark.parametrize("model", [{}, {"cell": "gru", "num_layers": 2}, {"num_layers": 2, "dilation": 2}], ids=str)
@torch.inference_mode()
def test_the_most_likely_steps_are_those_of_a_model_that_reads_all_again(model):
    generator = reader(model)
    prompt = torch.tensor([1, 3, 2])
    found = _draw(generator, generator.begin(prompt), Sampling(8, temperature=0), never)
    text, nats = prompt.tolist(), 0.0
    for _ in range(8):
        log_p = whole(generator, text)[-1]
        nats += float(log_p.max())
        text.append(int(log_p.argmax()))
    assert prompt.tolist() + found.steps.tolist() == text
    assert found.log_likelihood == pytest.approx(nats, abs=1e-4)
    beam = _beam_search(generator, generator.begin(prompt), Sampling(8, beams=1), never)
    assert beam.steps.tolist() == found.steps.tolist()
    assert beam.log_likelihood == pytest.approx(found.log_likelihood, abs=1e-6)


@torch.inference_mode()
def test_beams_enough_for_every_beginning_find_the_best_continuation():
    generator = reader()
    scores = {
        steps: sum(float(row[step]) for row, step in zip(whole(generator, [1, *steps])[1:], steps, strict=False))
        for steps in itertools.product(range(1, V), repeat=3)
    }
    best = max(scores, key=scores.__getitem__)
    found = _beam_search(generator, generator.begin(torch.tensor([1])), Sampling(3, beams=16), never)
    assert tuple(found.steps.tolist()) == best
    assert found.log_likelihood == pytest.approx(scores[best], abs=1e-4)
    stopped = _beam_search(generator, generator.begin(torch.tensor([1])), Sampling(3, beams=16), lambda s: len(s) > 1)
    pairs = {steps[:2]: float(whole(generator, [1, *steps])[1:3].gather(1, torch.tensor([steps[:2]]).T).sum())
             for steps in scores}  # fmt: skip
    assert tuple(stopped.steps.tolist()) == max(pairs, key=pairs.__getitem__)


@torch.inference_mode()
def test_draws_repeat_with_a_seed_and_follow_the_probabilities():
    generator = reader()
    logits = generator.begin(torch.tensor([1, 2]))
    runs = [_draw(reader(), logits.clone(), Sampling(20, seed=seed), never).steps.tolist() for seed in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2]
    assert 0 not in runs[0] + runs[2]
    drawn = Sampling(temperature=2.0).draw_token(logits.expand(20_000, -1), Sampling(seed=1).generator)
    expected = (logits / 2.0).softmax(-1).squeeze(0)
    assert_close(drawn.bincount(minlength=V) / 20_000.0, expected, atol=0.015, rtol=0)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"top_k": 2}, [0.4, 0.3, 0, 0]),
        ({"top_k": 9}, [0.4, 0.3, 0.2, 0.1]),
        ({"top_p": 0.39}, [0.4, 0, 0, 0]),
        ({"top_p": 0.41}, [0.4, 0.3, 0, 0]),
        ({"top_p": 1.0}, [0.4, 0.3, 0.2, 0.1]),
        ({"top_p": 0.5, "top_k": 2}, [0.4, 0, 0, 0]),  # of the two, 0.57 and 0.43
        ({"top_p": 0.6, "top_k": 2}, [0.4, 0.3, 0, 0]),
        ({"temperature": 0}, [1, 0, 0, 0]),
        ({"temperature": 0.5}, [0.16, 0.09, 0.04, 0.01]),
    ],
    ids=str,
)
def test_which_tokens_are_left_to_draw(options, kept):
    order = torch.tensor([2, 0, 3, 1])
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]], dtype=torch.float64).log()[:, order]
    expected = torch.tensor([kept], dtype=torch.float64)[:, order]
    assert_close(Sampling(**options).probabilities(logits), expected / expected.sum())


@torch.inference_mode()
def test_each_channel_of_a_frame_is_drawn_on_its_own():
    generator = reader(frames=True)
    logits = generator.begin(torch.tensor([[0.0, 1, 0, 1, 0]]))
    frames = Sampling(temperature=3.0).draw_frame(logits.expand(20_000, -1), Sampling().generator)
    assert_close(frames.mean(0), (logits[0] / 3).sigmoid(), atol=0.015, rtol=0)
    found = _draw(generator, logits, Sampling(4, temperature=0), never)
    assert torch.equal(found.steps[0], (logits[0] > 0).float())
    nats = torch.nn.functional.binary_cross_entropy_with_logits(logits[0], found.steps[0], reduction="sum")
    assert _draw(generator, logits, Sampling(1, temperature=0), never).log_likelihood == pytest.approx(-float(nats))
    for options in ({"top_k": 2}, {"beams": 2}, {"stop": ("a",)}):
        with pytest.raises(ConfigError, match="would do nothing with frames"):
            (_beam_search if "beams" in options else _draw)(generator, logits, Sampling(**options), never)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length=0: must be at least 1"),
        ({"top_k": 0}, "top_k=0: must be at least 1"),
        ({"top_p": 0.0}, "top_p=0.0: must be above 0"),
        ({"temperature": float("nan")}, "temperature=nan: must be 0 or more"),
        ({"seed": -1}, "seed=-1: must be from 0"),
        ({"stop": ("",)}, "stop: an empty text"),
        ({"beams": 2, "top_k": 3}, "top_k=3 would do nothing with beams"),
        ({"beams": 2, "temperature": 0.5}, "temperature=0.5 would do nothing with beams"),
        ({"temperature": 0, "seed": 1}, "seed=1 would do nothing with temperature=0"),
    ],
    ids=str,
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Sampling(**options)


# ---- text and steps --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer", [Character(60, True), Word(60, True), BPE(300, False)], ids=lambda t: t.name)
def test_a_prompt_is_read_as_it_ends(tokenizer):
    text = TokenizedText(Vocabulary(tokenizer.fit(["the cat sat on the mat, the cat sat"] * 3)))
    steps = text.parse("the cat ")
    assert text.write(steps) == ("the cat" if tokenizer.name == "word" else "the cat ")
    assert text.write(np.concatenate([steps, text.parse("sat")])) == "the cat sat"
    assert len(text.parse("")) == 0
    assert steps.dtype == np.int64


def test_names_of_tokens_and_of_channels_are_read_as_they_are_written():
    letters, words = NamedTokens(("<pad>", "B", "T")), NamedTokens(("<pad>", "up", "down"))
    assert letters.parse("BT B").tolist() == words.parse("up down up").tolist() == [1, 2, 1]
    assert letters.write(np.array([1, 2])) == "BT"
    assert words.write(np.array([1, 2])) == "up down"
    notes = NamedChannels(("C4", "E4", "G4"))
    frames = notes.parse("C4 G4| |E4")
    assert frames.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert notes.parse(notes.write(frames)).tolist() == frames.tolist()
    assert notes.parse("").shape == (0, 3)
    with pytest.raises(DataError, match=r"prompt: 'H' is no channel of the model; it has C4, E4, G4$"):
        notes.parse("C4 H")


# ---- runs ------------------------------------------------------------------------------------------------------------


def trained(**sections):
    experiment = lstm_lab.Experiment(model={"hidden_size": 8}, trainer={"max_epochs": 1}, **sections)
    run = Run.create(Path("run"), experiment.dump())
    train(experiment, run)
    return lstm_lab.TrainedRun(run.path)


@pytest.fixture
def text_run(tmp_path, monkeypatch):
    """Of a text in the current folder."""
    monkeypatch.chdir(tmp_path)
    words = ["the cat ", "sat on ", "a mat. ", "then it ", "slept. "]
    (tmp_path / "a.txt").write_text("".join(np.random.default_rng(0).choice(words, 100)))
    return trained(data={"name": "text_stream", "path": "a.txt", "chunk_length": 16, "batch_size": 4}, task="next_step")


def test_a_text_is_continued_by_command_and_in_python(lab, text_run, tmp_path):
    run = text_run
    (tmp_path / "a.txt").unlink()
    found = run.generate("the c", length=30, seed=5, top_k=4, top_p=0.9)
    assert found.text.startswith("the c")
    assert found.steps == len(found.continuation) == 30
    options = ("--length", 30, "--seed", 5, "--top-k", 4, "--top-p", 0.9)
    code, out, _ = lab("predict", run.path, "--prompt", "the c", *options, "--json")
    assert (code, json.loads(out)) == (0, found.to_record())
    assert lab("predict", run.path, "--prompt", "the c", *options)[1] == found.text + "\n"
    stop = found.continuation[7:10]
    cut = run.generate("the c", length=30, seed=5, top_k=4, top_p=0.9, stop=stop)
    assert cut.stopped
    assert found.continuation.startswith(cut.continuation)
    assert cut.continuation == found.continuation[: found.continuation.index(stop)]
    for words, message in {
        (): "give FILE with new data; or --prompt TEXT",
        ("a.txt", "--seed", 1): "--seed: needs --prompt",
        ("a.txt", "--prompt", "a"): "--prompt: does not go with FILE",
        ("--prompt", ""): "is empty, and the model was not trained to predict the first step",
        ("a.txt",): "takes no new samples: its model predicts what follows a beginning",
    }.items():
        code, _, err = lab("predict", run.path, *words)
        assert code == 2
        assert message in err
        assert len(err.splitlines()) == 1


def test_a_run_without_a_recorded_tokenizer_fits_it_again(text_run, tmp_path):
    run = text_run
    expected = run.generate("the c", temperature=0, length=20)
    info = {key: value for key, value in run.data["info"].items() if key != "tokenizer"}
    run.describe(data={**run.data, "info": info})
    assert run.generate("the c", temperature=0, length=20) == expected
    (tmp_path / "a.txt").write_text("quite another text. " * 40)
    with pytest.raises(DataError, match="has other tokens than the one that the run was trained on"):
        run.generate("the c")


def test_letters_of_a_grammar_are_continued_and_other_tasks_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = trained(data={"name": "embedded_reber", "train_size": 40, "eval_size": 10}, task="next_step")
    found = run.generate("BTB", length=12, beams=3)
    assert set(found.continuation) <= set("BTPSXVE")
    assert len(found.text) == 15
    with pytest.raises(DataError, match=r"prompt: 'Q' is no token of the model; it has B, T, P, S, X, V, E$"):
        run.generate("BQ")
    Path("run").rename("letters")
    other = trained(data={"name": "adding", "train_size": 20, "eval_size": 5}, task="regress")
    with pytest.raises(ConfigError, match=r"a run of task 'regress' continues no sequences"):
        other.generate("a")
