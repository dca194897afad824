"""A training that starts from another run: what is taken, what stays frozen, and what a resumed one does."""

from __future__ import annotations

import pytest
import torch
from interruption import StopAt
from test_training import assert_same, start, uninterrupted, weights

from lstm_lab.config import ConfigError, DataError, Interrupted
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.experiment import Experiment
from lstm_lab.models.layers import parameter_layers, select_layers
from lstm_lab.records.run import Run
from lstm_lab.training.before_start import check_start
from lstm_lab.training.checkpointing import read_checkpoint
from lstm_lab.training.freezing import Freezing
from lstm_lab.training.train import build, train
from lstm_lab.training.transfer import report_lines, start_from
from lstm_lab.transfer_config import Transfer

TEXT = "the cat sat on the mat and the dog sat on the log while the cat saw the dog run to the mat again "
OTHER = "a cat and a dog ran over the hill to see the red fox run over the log and the mat by the hill again "
REVIEWS = [("the cat sat on the mat", "calm"), ("the dog ran over the hill", "wild"), ("the cat saw the log", "calm"),
           ("a fox ran to the dog", "wild")] * 6  # fmt: skip
MODEL = {"embedding": {"dim": 6}, "hidden_size": 8, "num_layers": 2}


def language_model(folder, text, **more) -> Experiment:
    path = folder / f"{abs(hash(text)) % 10**8}.txt"
    path.write_text(text * 4)
    data = {"name": "text_stream", "path": str(path), "tokenizer": "word", "chunk_length": 8, "batch_size": 2}
    return Experiment.of({"data": data, "task": "next_step", "model": MODEL, "trainer": {"max_epochs": 2}, **more})


def classifier(folder, **more) -> Experiment:
    path = folder / "reviews.csv"
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in REVIEWS))
    data = {"name": "csv_text", "path": str(path), "text": "text", "label": "label", "tokenizer": "word",
            "batch_size": 8}  # fmt: skip
    return Experiment.of({"data": data, "task": "classify", "model": MODEL, "trainer": {"max_epochs": 4}, **more})


@pytest.fixture
def source(tmp_path):
    run, _ = uninterrupted(tmp_path, language_model(tmp_path, TEXT))
    return run


def best(run):
    content = read_checkpoint(run.best_checkpoint)["state_dict"]
    return {name.removeprefix("model."): value for name, value in content.items()}


def taken(experiment):
    dataset = experiment.data.build()
    learner = build(experiment, dataset)
    return learner.model, dataset.info, start_from(experiment, learner.model, learner.task, dataset.info)["transfer"]


def test_same_experiment_takes_everything_and_scores_the_same(tmp_path, source):
    experiment = language_model(tmp_path, TEXT, transfer={"run": str(source.path)}, optimizer={"name": "sgd",
                                "lr": 1e-30, "momentum": 0.0}, trainer={"max_epochs": 1})  # fmt: skip
    run = start(tmp_path / "again", experiment)
    train(experiment, run)
    record = run.about["transfer"]
    assert record["left"] == {}
    assert record["merged"] == {}
    assert "head.weight" in record["taken"]
    for name, value in best(source).items():
        assert torch.equal(best(run)[name], value), name
    assert evaluate(run, "validation").model == evaluate(source, "validation").model


def test_vocabularies_are_merged_by_token(tmp_path, source):
    experiment = language_model(tmp_path, OTHER, transfer={"run": str(source.path)})
    check_start(experiment, experiment.data.build())  # On the meta device.
    model, info, record = taken(experiment)
    old, tokens = best(source), language_model(tmp_path, TEXT).data.build().info.tokens
    shared = [token for token in info.tokens[1:] if token in tokens[1:]]
    assert record["merged"] == dict.fromkeys(["embedding.weight", "head.weight", "head.bias"], len(shared))
    assert record["tokens"] == len(info.tokens) - 1
    assert record["left"] == {}
    new = dict(model.named_parameters())
    for i, token in enumerate(info.tokens[1:], 1):
        for name in record["merged"]:
            row = old[name][tokens.index(token)] if token in tokens else old[name][1:].mean(0)
            assert torch.equal(new[name][i], row), (name, token)
    assert not new["embedding.weight"][0].any()


def test_a_language_model_starts_a_classifier(tmp_path, source):
    model, _, record = taken(classifier(tmp_path, transfer={"run": str(source.path)}))
    assert set(record["left"]) == {"head.weight", "head.bias"}
    assert set(record["left"].values()) == {"the source's task is next_step, not classify"}
    for name in record["taken"]:
        assert name.startswith("encoder.")
        assert torch.equal(dict(model.named_parameters())[name], best(source)[name])
    text = "\n".join(report_lines(record))
    assert "random  head.weight, head.bias: the source's task is next_step, not classify" in text


def test_what_does_not_fit_is_named_and_nothing_at_all_is_an_error(tmp_path, source):
    wider = {**MODEL, "hidden_size": 9, "num_layers": 1}
    _, _, record = taken(language_model(tmp_path, TEXT, model=wider, transfer={"run": str(source.path)}))
    assert record["taken"] == ["embedding.weight", "head.bias"]
    assert record["left"]["head.weight"].startswith("the source's is ")
    other = {"embedding": {"dim": 7}, "hidden_size": 9}
    with pytest.raises(ConfigError, match=r"none of its weights fit this model: .*choose the same model"):
        taken(language_model(tmp_path, TEXT, model=other, transfer={"run": str(source.path), "new_head": True}))
    with pytest.raises(ConfigError, match=r"transfer\.run: .*not a run"):
        taken(language_model(tmp_path, TEXT, transfer={"run": str(tmp_path)}))
    source.best_checkpoint.write_bytes(source.best_checkpoint.read_bytes()[:-400])
    with pytest.raises(DataError, match="incomplete or not ours"):
        taken(language_model(tmp_path, TEXT, transfer={"run": str(source.path)}))


def test_new_head_and_frozen_layers(tmp_path, source):
    layers = {"run": str(source.path), "new_head": True, "freeze": ["embedding", "encoder.0"]}
    changes = {"optimizer": {"name": "adamw", "weight_decay": 0.1}, "averaging": {"name": "last_k", "k": 3},
               "regularizers": ["max_norm", "l2", {"name": "weight_noise", "std": 0.1}]}  # fmt: skip
    experiment = language_model(tmp_path, TEXT, transfer=layers, trainer={"max_epochs": 3}, **changes)
    run = start(tmp_path / "frozen", experiment)
    train(experiment, run)
    old, new = best(source), best(run)
    for name, value in old.items():
        assert torch.equal(new[name], value) == name.startswith(("embedding.", "encoder.layers.0.")), name


@pytest.mark.parametrize("looks", [1, 9])
def test_resumed_equals_uninterrupted_with_gradual_unfreezing(tmp_path, source, looks):
    gradual = {"run": str(source.path), "freeze": ["embedding", "encoder"], "unfreeze_every": 1}
    experiment = classifier(tmp_path, transfer=gradual, optimizer={"name": "adam", "layer_decay": 0.4})
    whole, _ = uninterrupted(tmp_path / "resumed", experiment)
    run = start(tmp_path / "cut", experiment)
    with pytest.raises(Interrupted):
        train(experiment, run, stop=StopAt(looks))
    train(experiment, Run.open(run.path))
    assert_same(whole, run)
    assert whole.about["steps"]["path"] == "blocks"
    frozen = Freezing(build(experiment, experiment.data.build()).model, experiment.transfer)
    assert [frozen.frozen(epoch) for epoch in range(4)] == [
        ("embedding", "encoder.0", "encoder.1"), ("embedding", "encoder.0"), ("embedding",), ()]  # fmt: skip
    assert not torch.equal(weights(whole)["model.embedding.weight"], best(source)["embedding.weight"])


def test_layers_have_rates_of_their_own(tmp_path):
    experiment = language_model(tmp_path, TEXT, optimizer={"name": "adamw", "lr": 0.1, "layer_decay": 0.5,
                                                           "weight_decay": 0.1})  # fmt: skip
    learner = build(experiment, experiment.data.build())
    optimizer = learner.configure_optimizers()
    learner._set_rate(optimizer, 0, 10)
    rate = {name: group["lr"] for group in optimizer.param_groups for name in group["param_names"]}
    expected = {"head": 0.1, "encoder.1": 0.05, "encoder.0": 0.025, "embedding": 0.0125}
    for layer, names in parameter_layers(learner.model).items():
        assert {rate[name] for name in names} == {expected[layer]}
    assert optimizer.param_groups[0]["lr"] == 0.1  # Which the record shows.
    decayed = {name for group in optimizer.param_groups if group["weight_decay"] for name in group["param_names"]}
    assert "embedding.weight" in decayed
    assert "head.bias" not in decayed


def test_settings_that_make_no_sense(tmp_path):
    model = build(language_model(tmp_path, TEXT), language_model(tmp_path, TEXT).data.build()).model
    assert select_layers(model, ["encoder"], "x") == ("encoder.0", "encoder.1")
    with pytest.raises(ConfigError, match=r"no layer 'encoders'; choose from embedding, encoder, encoder.0, encoder.1"):
        Transfer(freeze=("encoders",)).frozen_layers(model)
    with pytest.raises(ConfigError, match="nothing would be trained"):
        Transfer(freeze=("embedding", "encoder", "head")).frozen_layers(model)
    for wrong in ({"new_head": True}, {"unfreeze_every": 1}):
        with pytest.raises(ConfigError, match="would do nothing"):
            language_model(tmp_path, TEXT, transfer=wrong)


def test_diagnosis_and_explanation_begin_with_the_weights_of_the_source(tmp_path, source):
    """Not with random ones: the loss before the first step is the source's on the new data, and a run whose source is
    gone is not compared with a start that it never had."""
    import shutil

    from lstm_lab.config import Notice
    from lstm_lab.diagnosis.evidence import Evidence
    from lstm_lab.diagnosis.run import diagnose
    from lstm_lab.explain.collect import explain
    from lstm_lab.training.first_weights import build_first

    experiment = language_model(tmp_path, TEXT, transfer={"run": str(source.path), "freeze": ["embedding"]})
    run, _ = uninterrupted(tmp_path / "new", experiment)
    dataset = experiment.data.build()
    first = build_first(experiment, dataset, run)
    for name, weight in first.model.named_parameters():
        assert torch.equal(weight, best(source)[name])
        assert weight.requires_grad == (not name.startswith("embedding"))
    trainings = Evidence(run).short_trainings
    first.eval()
    index = torch.arange(min(len(dataset.train), 256))
    with torch.inference_mode():
        loss = float(first.task.loss(first.logits(dataset.train.take(index)), dataset.train.take(index)))
    random = build(experiment, dataset).eval()
    assert trainings.loss_before() == pytest.approx(loss, abs=1e-5)
    with torch.inference_mode():
        assert abs(loss - float(random.task.loss(random.logits(dataset.train.take(index)),
                                                 dataset.train.take(index)))) > 1e-3  # fmt: skip
    shown = explain(run).layers[0]
    assert shown.gradient_at_start is not None
    shutil.move(source.path, tmp_path / "gone")
    with pytest.warns(Notice, match="nothing is shown of the network before its first step: transfer.run"):
        assert explain(run).layers[0].gradient_at_start is None
    with pytest.warns(Notice, match="no short trainings from the first weights"):
        diagnose(run)
