"""Hidden units: which weights belong to each, and what a model is without some of them."""

from __future__ import annotations

import pytest
import torch
from test_training import start, uninterrupted
from torch.testing import assert_close

from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError
from lstm_lab.deploy.prune import pruned_experiment, record_before
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.evaluation.predict import load
from lstm_lab.models.sequence import SequenceModel
from lstm_lab.models.units import largest_units, obstacle, unit_blocks, unit_norms, without_others
from lstm_lab.regularizers.group_lasso import GroupLasso
from lstm_lab.training.before_start import check_start
from lstm_lab.training.train import build, train
from lstm_lab.training.transfer import report_lines

UNDECLARED = {
    "mlstm",  # Units of a head share its memory.
    "norm_lstm",  # A unit of zeros changes the mean and the standard deviation of the others.
    "sru",  # Each output is added to the input of the same number.
}
OPTIONS = {
    "peephole": [{"full": True}],
    "odyssey": [{"variant": each} for each in ("np", "nig", "cifg", "fgr")],
    "mogrifier": [{"rank": 2}],
    "qrnn": [{"window": 1}],
}
CELLS = [{"name": name} | more for name in sorted(Cell.members) for more in [{}, *OPTIONS.get(name, [])]]
DECLARED = [cell for cell in CELLS if cell["name"] not in UNDECLARED]


class Info:
    input_size = 3


class Steps:
    per_step, output_size = True, 2


def model_of(hidden_size=4, **config):
    torch.manual_seed(1)
    return SequenceModel.Config(hidden_size=hidden_size, **config).build(Info(), Steps()).double().eval()


def identity(cell):
    return "-".join(map(str, cell.values()))


def places(model, blocks, unit):
    """Name of each parameter -> which of its elements belong to a unit."""
    masks = {}
    for name, axis, first in blocks:
        weight = model.get_parameter(name)
        mask = masks.setdefault(name, torch.zeros(weight.shape, dtype=torch.bool))
        mask.select(axis, first + unit)[...] = True
    return masks


def test_every_other_cell_declares_its_units():
    assert {name for name, cell in Cell.members.items() if cell.Config().build(2, 4).unit_axes() is None} == UNDECLARED
    for name in UNDECLARED:
        assert f"cell '{name}' does not declare" in str(obstacle(model_of(cell={"name": name})))


@pytest.mark.parametrize("cell", DECLARED, ids=identity)
def test_units_of_zeros_change_nothing(cell):
    """Layers, directions and initial states included: the smaller model computes the same to rounding."""
    options = {"cell": cell, "num_layers": 2, "bidirectional": True}
    if cell["name"] != "slstm":
        options["learn_initial_state"] = True
    model = model_of(**options)
    assert obstacle(model) is None
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    kept = [[torch.tensor(units) for units in layer] for layer in (((0, 2), (1, 3)), ((2, 3), (0, 1)))]
    with torch.no_grad():
        for directions, units in zip(unit_blocks(model), kept, strict=True):
            for blocks, own in zip(directions, units, strict=True):
                for unit in set(range(4)) - set(own.tolist()):
                    for name, mask in places(model, blocks, unit).items():
                        model.get_parameter(name)[mask] = 0.0
    weights = model.state_dict()
    assert all(torch.equal(a, b) for one, other in zip(largest_units(model, weights, 2), kept, strict=True)
               for a, b in zip(one, other, strict=True))  # fmt: skip
    small = model_of(2, **options)
    small.load_state_dict(without_others(model, weights, kept))
    x, lengths = torch.randn(3, 6, 3, dtype=torch.float64), torch.tensor([6, 1, 4])
    assert_close(small(x, lengths).logits[0], model(x, lengths).logits[0], rtol=1e-12, atol=1e-12)
    assert_close(small(x, lengths).logits[1, :1], model(x, lengths).logits[1, :1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cell", DECLARED, ids=identity)
def test_the_norm_of_a_unit_counts_each_weight_once(cell):
    model = model_of(cell=cell, num_layers=2)
    weights = dict(model.named_parameters())
    for (blocks,) in unit_blocks(model):
        norms = unit_norms(weights, blocks, 4)
        for unit in range(4):
            own = [weights[name][mask] for name, mask in places(model, blocks, unit).items()]
            assert_close(norms[unit], torch.cat(own).norm())
        gradients = torch.autograd.grad(norms[1], [weights[block.parameter] for block in blocks])
        masks = places(model, blocks, 1)
        for block, gradient in zip(blocks, gradients, strict=True):
            wanted = torch.where(masks[block.parameter], weights[block.parameter] / norms[1], 0.0)
            assert_close(gradient, wanted)


def test_group_lasso_is_the_sum_of_the_norms_and_leaves_units_of_zeros_alone():
    model = model_of(bidirectional=True)
    lasso = GroupLasso(0.25)
    lasso.attach(model)
    weights = dict(model.named_parameters())
    total = sum(unit_norms(weights, blocks, 4).sum() for directions in unit_blocks(model) for blocks in directions)
    assert_close(lasso.weight_penalty(model), 0.25 * total)
    with torch.no_grad():
        for name, mask in places(model, unit_blocks(model)[0][1], 2).items():
            weights[name][mask] = 0.0
    lasso.weight_penalty(model).backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in weights.values())
    assert not weights["head.weight"].grad[:, 4 + 2].any()


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"num_layers": 2, "skip": {"name": "residual"}}, "a skip adds units"),
        ({"cell": {"name": "slstm", "num_heads": 2}}, "cell 'slstm' does not declare"),
    ],
)
def test_what_cannot_be_pruned_is_refused(config, reason):
    with pytest.raises(
        ConfigError, match=rf"regularizers.group_lasso: the weights of a unit are not known: .*{reason}"
    ):
        GroupLasso(0.1).attach(model_of(**config))


def test_a_pruned_run_is_a_run(vowels, tmp_path):
    source, _ = uninterrupted(tmp_path, vowels.with_overrides({"model.bidirectional": True, "trainer.max_epochs": 2}))
    before = evaluate(source, "validation").model
    experiment = pruned_experiment(source, 0.5, 1, ["optimizer.lr=1e-30", "optimizer.name=sgd"])
    assert (experiment.model.hidden_size, experiment.trainer.max_epochs) == (3, 1)
    dataset = experiment.data.build()
    check_start(experiment, dataset)  # On the meta device.
    run = start(tmp_path / "pruned", experiment)
    scores = record_before(run, experiment, dataset, source)
    train(experiment, run)
    transfer = run.about["transfer"]
    old, whole = load(source, "cpu").learner.model, build(experiment, dataset).model
    kept = largest_units(old, old.state_dict(), 3)
    assert transfer["id"] == source.id
    assert transfer["left"] == {}
    assert transfer["units"] == {"of": 6, "kept": [[units.tolist() for units in kept[0]]]}
    assert "pruned  to 3 of 6 units in each of 2 cells" in "\n".join(report_lines(transfer))
    wanted, found = without_others(old, old.state_dict(), kept), load(run, "cpu").learner.model.state_dict()
    assert found.keys() == whole.state_dict().keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert evaluate(run, "validation").model == pytest.approx(scores)
    assert scores["loss"] != before["loss"]
    assert run.about["before_finetuning"] == scores


@pytest.mark.parametrize("units", [0, -1, 6, 7, 2.5, 0.999, float("nan"), float("inf"), 0.01])
def test_wrong_numbers_of_units_are_refused(units, vowels, tmp_path):
    run = start(tmp_path, vowels)
    run.describe(hidden_size=6)
    with pytest.raises(
        ConfigError, match=r"--units .*must be a share between 0 and 1, or a whole number of units from 1 to 5"
    ):
        pruned_experiment(run, units, 1)


def test_other_wrong_choices_are_refused(vowels, tmp_path):
    run = start(tmp_path, vowels)
    with pytest.raises(ConfigError, match="has no hidden units of one number"):
        pruned_experiment(run, 0.5, 1)
    run.describe(hidden_size=6)
    with pytest.raises(ConfigError, match="--finetune 0: must be at least 1"):
        pruned_experiment(run, 0.5, 0)
    for override in ("transfer.prune=false", "model.hidden_size=4", "transfer.freeze=[head]", "trainer.max_epochs=3"):
        with pytest.raises(ConfigError, match=r"prune: override '.*': is set by prune itself"):
            pruned_experiment(run, 0.5, 1, [override])
    with pytest.raises(ConfigError, match="prune=true would do nothing: run is null"):
        vowels.with_overrides({"transfer.prune": True})
