"""One long text: chunks with a carried state equal the whole, and every token is a target once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from interruption import StopAt
from torch.testing import assert_close

from lstm_lab.config import ConfigError, DataError, Interrupted
from lstm_lab.data.kinds.next_step import TokenInfo
from lstm_lab.data.kinds.text_stream import StreamSplit
from lstm_lab.data.loader import Loader
from lstm_lab.data.preprocessing.batching import StreamLanes
from lstm_lab.evaluation.evaluate import scores_of
from lstm_lab.experiment import Experiment
from lstm_lab.models import SequenceModel
from lstm_lab.optimizers.adam import Adam
from lstm_lab.optimizers.schedules.constant import Constant
from lstm_lab.records.run import MEASURED, Run
from lstm_lab.tasks import next_step_baselines
from lstm_lab.tasks.next_step import NextStep
from lstm_lab.training.learner import Learner
from lstm_lab.training.train import train

TOKENS = ("<pad>", *"abcde")
CELLS = [{"cell": "lstm"}, {"cell": "gru", "num_layers": 2}, {"cell": "lstm", "num_layers": 2, "dilation": 2},
         {"embedding": {"dim": 8, "tie_weights": True}}, {"cell": "slstm"}]  # fmt: skip


def stream(n=60, seed=0):
    return np.random.default_rng(seed).integers(1, 6, n).astype(np.int32)


def learner(more=None, seed=0) -> Learner:
    torch.manual_seed(seed)
    info = TokenInfo(6, TOKENS)
    task = NextStep(info, "nll", predict_first=False)
    model = SequenceModel.Config.model_validate({"hidden_size": 8, "embedding": {"dim": 4}, **(more or {})})
    return Learner(model.build(info, task), task, Adam.Config().build(), Constant.Config().build())


def outputs(model, split, batch_size=1):
    """Each batch in the order of the plan, with the model's output."""
    return [(batch, model(batch).logits) for batch in Loader(split, batch_size)]


@pytest.mark.parametrize("more", CELLS, ids=str)
@pytest.mark.parametrize("chunk", [2, 7, 13])
def test_chunks_with_a_carried_state_equal_the_whole_text(more, chunk):
    model = learner(more).eval()
    ((_, whole),) = outputs(model, StreamSplit(stream(), 60, stateful=True))
    parts = [output for _, output in outputs(model, StreamSplit(stream(), chunk, stateful=True))]
    assert_close(torch.cat(parts, 1), whole, rtol=1e-5, atol=1e-6)
    stateless = [output for _, output in outputs(model, StreamSplit(stream(), chunk, stateful=False))]
    assert_close(stateless[0], parts[0])
    assert not torch.allclose(torch.cat(stateless, 1)[:, chunk:], whole[:, chunk:], atol=1e-4)


@pytest.mark.parametrize("lanes", [2, 3, 4])
def test_lanes_are_independent(lanes):
    model, split = learner().eval(), StreamSplit(stream(), 7, stateful=True)  # 9 chunks, the last one shorter
    found = {}
    for batch, output in outputs(model, split, lanes):
        for start, length, row in zip(batch.starts.tolist(), batch.lengths.tolist(), output, strict=True):
            found[start] = row[:length]
    for lane in StreamLanes(9, lanes).lanes:
        model.stream = None
        alone = [model(split.take(torch.tensor([chunk]))).logits for chunk in lane]
        together = torch.cat([found[int(chunk) * 7] for chunk in lane])
        assert_close(together, torch.cat(alone, 1)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("carry", [True, False])
@pytest.mark.parametrize(("chunk", "lanes"), [(2, 1), (7, 4), (60, 3), (9, 50)])
def test_every_token_but_the_first_is_a_target_once(carry, chunk, lanes):
    split, task = StreamSplit(stream(), chunk, carry), learner().task
    targets, read = 0, []
    for batch in Loader(split, lanes, seed=1):
        targets += int(task.num_targets(batch))
        x, lengths = task.model_inputs(batch)
        for row, before, length in zip(batch.y.tolist(), x.tolist(), lengths.tolist(), strict=True):
            read += list(zip(before[:length], row[:length], strict=True))
    text = stream().tolist()
    assert targets == len(text) - 1
    assert sorted(read) == sorted(zip([0, *text[:-1]], text, strict=True))


def test_scores_do_not_depend_on_the_chunk_length_where_the_state_is_carried():
    model = learner().eval()
    scores = [scores_of(model, StreamSplit(stream(), chunk, stateful=True), 1)[0] for chunk in (3, 10, 60)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)
    assert scores[0] == pytest.approx(scores[2], rel=1e-5)
    assert scores[0]["bits"] == pytest.approx(scores[0]["nll"] / np.log(2))
    assert scores[0]["perplexity"] == pytest.approx(np.exp(scores[0]["loss"]), rel=1e-5)


def test_no_gradient_flows_into_the_chunk_before():
    model, split = learner(), StreamSplit(stream(), 20, stateful=True)
    batches = [split.take(torch.tensor([k])) for k in range(2)]
    model.task.loss(model(batches[0]).logits, batches[0]).backward()
    model.zero_grad()
    model.task.loss(model(batches[1]).logits, batches[1]).backward()  # would fail on a freed graph
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.model.parameters())


def test_a_tied_head_is_the_embedding_and_padding_stays_zero():
    model, split = learner({"embedding": {"dim": 8, "tie_weights": True}}), StreamSplit(stream(), 20, stateful=True)
    assert model.model.head.weight is model.model.embedding.weight
    optimizer = model.configure_optimizers()
    before = model.model.embedding.weight.detach().clone()
    for batch in Loader(split, 2):
        optimizer.zero_grad()
        model.task.loss(model(batch).logits, batch).backward()
        optimizer.step()
    after = model.model.embedding.weight.detach()
    assert (after[0] == 0).all()
    assert (after[1:] != before[1:]).all()
    untied = learner({"embedding": {"dim": 8}})
    count = [sum(p.numel() for p in one.model.parameters()) for one in (model, untied)]
    assert count[1] - count[0] == 6 * 8


@pytest.mark.parametrize(
    ("data", "task", "model", "message"),
    [
        ("sms_spam", "classify", {"embedding": {"dim": 64, "tie_weights": True}}, "does not predict tokens"),
        ("embedded_reber", "next_step", {"embedding": {"dim": 8, "tie_weights": True}}, "must be equal"),
        ("jsb_chorales", "next_step", {"embedding": {"tie_weights": True}}, "would do nothing"),
        ("python_docs", "next_step", {"bidirectional": True}, "the backward direction has read"),
    ],
)
def test_configurations_that_are_not_possible_are_refused(data, task, model, message):
    with pytest.raises(ConfigError, match=message):
        Experiment.of({"data": data, "task": task, "model": model})


@pytest.fixture
def text(tmp_path):
    rng = np.random.default_rng(0)
    words = ["the cat ", "sat on ", "a mat. ", "then it ", "slept. "]
    place = tmp_path / "a.txt"
    place.write_text("".join(rng.choice(words, 150)))
    return place


def experiment(path, **more):
    return Experiment.of({
        "data": {"name": "text_stream", "path": str(path), "chunk_length": 16, "batch_size": 4}, "task": "next_step",
        "model": {"hidden_size": 8, "dropout": {"output": 0.2}}, "optimizer": {"lr": 0.02},
        "trainer": {"max_epochs": 2},
    }).with_overrides(more)  # fmt: skip


def test_the_vocabulary_is_fitted_on_the_training_split_alone(text, tmp_path):
    plain = experiment(text).data.build()
    content = text.read_text()
    border = int(len(content) * 0.8)
    (tmp_path / "b.txt").write_text(content[:border] + "Z" * (len(content) - border))
    other = experiment(tmp_path / "b.txt").data.build()
    assert other.info == plain.info
    assert torch.equal(other.train.inputs.values, plain.train.inputs.values)
    assert other.digest != plain.digest
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "1.txt").write_text(content[:1000])
    (tmp_path / "many" / "2.txt").write_text(content[1000:])
    assert len(experiment(tmp_path / "many").data.build().train.inputs.values) == pytest.approx(border, abs=2)


def test_a_run_that_is_interrupted_within_an_epoch_resumes_with_the_same_state(text, tmp_path):
    trained = experiment(text)
    runs = [Run.create(tmp_path / name, trained.dump()) for name in ("whole", "cut")]
    train(trained, runs[0])
    with pytest.raises(Interrupted):
        train(trained, runs[1], stop=StopAt(7))
    train(trained, runs[1])
    rows = [[{key: row[key] for key in row if key not in MEASURED} for row in run.rows()] for run in runs]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 2
    stateless = Run.create(tmp_path / "stateless", trained.dump())
    train(trained.with_overrides({"data.stateful": False}), stateless)
    assert stateless.rows()[0]["train/loss"] != rows[0][0]["train/loss"]


def test_an_ngram_predicts_what_repeats():
    tokens = np.tile([1, 2, 1, 3, 1, 2, 1, 4], 60).astype(np.int32)
    split = StreamSplit(tokens, 10, stateful=True)
    found = learner().task.baselines(split, split)
    assert found["5-gram"]["nll"] < 0.1 < found["bigram"]["nll"] < found["unigram"]["nll"]
    assert found["5-gram"]["accuracy"] == pytest.approx(1.0, abs=0.02)


def kneser_ney_by_hand(stream, n, tokens):
    """Interpolated Kneser-Ney of a text (Chen & Goodman 1999), one probability at a time."""
    padded = [0] * n + stream
    grams = {k: Counter(tuple(padded[t - k : t + 1]) for t in range(n, len(padded))) for k in range(n)}
    counts = {n - 1: grams[n - 1]}
    for k in range(n - 1):
        counts[k] = Counter(gram[1:] for gram in grams[k + 1])

    def discount(found):
        once, twice = (sum(count == number for count in found.values()) for number in (1, 2))
        return once / (once + 2 * twice) if once and twice else 0.5

    def p(w, context):
        k = len(context)
        after = {gram[-1]: count for gram, count in counts[k].items() if gram[:-1] == context}
        shorter = p(w, context[1:]) if k else 1 / (tokens - 1)
        if not after:
            return shorter
        D = discount(counts[k])
        return (max(after.get(w, 0) - D, 0) + D * len(after) * shorter) / sum(after.values())

    return p


@pytest.mark.parametrize("tokens", [5, next_step_baselines.SMALL_VOCABULARY + 1])
def test_kneser_ney_is_the_definition_and_sums_to_one(tokens):
    stream = np.random.default_rng(0).choice([1, 1, 2, 3, 4], 60).tolist()
    n = next_step_baselines.MAX_CONTEXT + 1 if tokens == 5 else 3
    padded = [0] * next_step_baselines.MAX_CONTEXT + stream
    before = torch.tensor([padded[t : t + next_step_baselines.MAX_CONTEXT][::-1] for t in range(len(stream))])
    predict = next_step_baselines.of_tokens(before, torch.tensor(stream), tokens)[f"{n}-gram, Kneser-Ney"]
    contexts = torch.cat([before[:20], torch.tensor([[4, 4, 4, 4], [2, 0, 0, 0]])])
    probabilities = predict(contexts).exp()
    assert_close(probabilities.sum(1), torch.ones(len(contexts), dtype=torch.float64))
    p = kneser_ney_by_hand(stream, n, tokens)
    for row, context in zip(probabilities, contexts.tolist(), strict=True):
        for w in range(1, 5):
            assert float(row[w]) == pytest.approx(p(w, tuple(context[: n - 1][::-1])))


PENN = "the cat <unk> on the mat \n the dog sat on the <unk> \n" * 6


def test_files_of_their_own_as_of_penn_treebank(tmp_path):
    for name, text in {"train": PENN, "valid": "the cow sat \n", "test": "on the mat \n a"}.items():
        (tmp_path / f"ptb.{name}.txt").write_text(text)
    paths = {"path": "train", "validation_path": "valid", "test_path": "test"}
    data = {"name": "text_stream", "tokenizer": "whitespace",
            **{key: str(tmp_path / f"ptb.{name}.txt") for key, name in paths.items()}}  # fmt: skip
    dataset = Experiment.of({"data": data, "task": "next_step"}).data.build()
    assert set(dataset.names) == {"[PAD]", "[UNK]", "the", "cat", "on", "mat", "dog", "sat", "<eos>"}

    def read(split):
        return [dataset.names[i] for i in split.inputs.values]

    assert read(dataset.train)[:8] == ["the", "cat", "[UNK]", "on", "the", "mat", "<eos>", "the"]
    assert len(dataset.train.inputs.values) == 14 * 6
    assert read(dataset.validation) == ["the", "[UNK]", "sat", "<eos>"]
    assert read(dataset.test_split()) == ["on", "the", "mat", "<eos>", "[UNK]"]
    assert dataset.notes[0].startswith("25.0% of validation tokens are unknown: the vocabulary of 9 ")
    with pytest.raises(ConfigError, match=r"test=0\.2 has no effect beside test_path"):
        Experiment.of({"data": {**data, "test": 0.2}, "task": "next_step"})
    alone = {key: value for key, value in data.items() if key != "test_path"}
    dataset = Experiment.of({"data": alone, "task": "next_step"}).data.build()
    assert len(read(dataset.test_split())) > 2 < len(dataset.train.inputs.values) < 14 * 6


MALFORMED = {
    "no such file": ("none.txt", None, "no such file"),
    "empty": ("a.txt", " \n", "is empty: it needs a text"),
    "not UTF-8": ("a.txt", b"caf\xe9", "line 1: not UTF-8 text"),
    "half of UTF-16": ("a.txt", "hallo".encode("utf-16")[:-1], "UTF-16 text that is damaged"),
    "too short": ("a.txt", "abc", "3 characters leave"),
    "an empty folder": ("texts", {}, "has no .txt file"),
    "an empty file in it": ("texts", {"1.txt": "some text", "2.txt": ""}, "2.txt: is empty"),
}


@pytest.mark.parametrize(("name", "content", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_text_is_one_line(tmp_path, name, content, message):
    place = tmp_path / name
    if isinstance(content, dict):
        place.mkdir()
        for file, inside in content.items():
            (place / file).write_text(inside)
    elif content is not None:
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as fault:
        _ = experiment(place).data.build().info
    assert message in str(fault.value)
    assert fault.value.exit_code == 3
