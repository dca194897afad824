"""The graph model: equal to dense matrices stepped by hand, equivariant, and alone without edges; and its data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.inspection import inspect
from lstm_lab.data.kinds.graph_series import GraphInfo
from lstm_lab.experiment import Experiment
from lstm_lab.models.graph import GraphModel
from lstm_lab.models.graph_filters import GraphFilter
from lstm_lab.tasks.forecast import Forecast
from lstm_lab.training.train import build

B, N, T, HORIZON, H = 2, 5, 4, 2, 3
NAMES = tuple("abcde")
PAIRS = ((0, 1), (1, 0), (1, 2), (3, 1), (2, 2))  # e has no neighbour; c's edge to itself is left out.
WEIGHTS = (1.0, 2.0, 0.5, 1.0, 9.0)


def info_of(pairs=PAIRS, weights=WEIGHTS, extra=()):
    columns = (*NAMES, *extra)
    ones, zeros = (1.0,) * len(columns), (0.0,) * len(columns)
    return GraphInfo(len(columns), T, HORIZON, NAMES, columns, (), zeros, ones, (1.0,) * N, edges=pairs,
                     edge_weights=weights)  # fmt: skip


def build_model(info=None, **fields):
    torch.manual_seed(0)
    info = info or info_of()
    task = Forecast.Config().build(info)
    return GraphModel.Config.model_validate({"hidden_size": H, **fields}).build(info, task).double().eval()


def forecast(model, x):
    return model(x, torch.full((len(x),), x.shape[1])).logits.view(len(x), HORIZON, N)


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.randn(B, T, N, dtype=torch.float64)


def dense_blocks(name, hops):
    """The matrices of a filter, by their definition."""
    A = torch.zeros(N, N, dtype=torch.float64)
    for (source, target), weight in zip(PAIRS, WEIGHTS, strict=True):
        A[source, target] = weight * (source != target)
    if name == "diffusion":
        walks = [W / W.sum(1, keepdim=True).clamp(min=1e-300) for W in (A, A.T)]
        return [torch.linalg.matrix_power(walk, k) for walk in walks for k in range(1, hops + 1)]
    S = (A + A.T) / 2
    inverse = torch.diag(torch.where(S.sum(1) > 0, S.sum(1), 1.0) ** -0.5) * (S.sum(1) > 0)
    L = -inverse @ S @ inverse
    found = [torch.eye(N, dtype=torch.float64), L]
    while len(found) <= hops:
        found.append(2 * L @ found[-1] - found[-2])
    return found[1:]


@pytest.mark.parametrize("name", sorted(GraphFilter.members))
@pytest.mark.parametrize("hops", [1, 2, 3])
def test_an_lstm_equals_its_equations_with_dense_matrices(x, name, hops):
    model = build_model(filter={"name": name, "hops": hops})
    G = [torch.eye(N, dtype=torch.float64), *dense_blocks(name, hops)]
    M, layer = len(G), model.cell.layer
    W = list(layer.weight_ih_l0[:, :M].split(1, 1))  # of the inputs, one channel each
    U = [layer.weight_hh_l0, *layer.weight_ih_l0[:, M:].split(H, 1)]
    expected = torch.empty(B, HORIZON, N, dtype=torch.float64)
    for b in range(B):
        h = c = torch.zeros(N, H, dtype=torch.float64)
        for t in range(T):
            gates = layer.bias_ih_l0 + layer.bias_hh_l0 + sum(
                G[k] @ x[b, t].unsqueeze(1) @ W[k].T + G[k] @ h @ U[k].T for k in range(M)
            )  # fmt: skip
            i, f, g, o = gates.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        expected[b] = model.head(h).T
    assert_close(forecast(model, x), expected)


@pytest.mark.parametrize("states", [True, False])
@pytest.mark.parametrize("cell", sorted(Cell.members))
def test_nodes_that_are_numbered_otherwise_have_the_same_forecasts(x, cell, states):
    order = torch.tensor([3, 0, 4, 2, 1])
    place = order.argsort().tolist()  # node i of before is at place[i]
    pairs = tuple((place[source], place[target]) for source, target in PAIRS)
    before, after = build_model(cell=cell, states=states), build_model(info_of(pairs), cell=cell, states=states)
    after.load_state_dict(before.state_dict())
    assert_close(forecast(after, x[:, :, order]), forecast(before, x)[:, :, order])


@pytest.mark.parametrize("name", sorted(GraphFilter.members))
@pytest.mark.parametrize("states", [True, False])
def test_without_edges_each_node_is_alone_and_with_them_it_reads_as_many_hops_as_steps_allow(x, name, states):
    def reached(**fields):
        model = build_model(filter={"name": name, "hops": 1}, states=states, **fields)
        other = x.clone()
        other[:, :2, 0] += 1.0
        return ((forecast(model, x) - forecast(model, other)).abs() > 1e-12).any(0).any(0).tolist()

    assert reached(edges="none") == [True, False, False, False, False]
    # a - b is one hop, b - c and b - d another, for which the state of b has to be read.
    assert reached() == [True, True, states, states, False]


def test_a_filter_of_inputs_reads_no_farther_than_its_hops(x):
    model = build_model(filter={"name": "chebyshev", "hops": 2}, states=False)
    other = x.clone()
    other[:, -1, 0] += 1.0
    changed = (forecast(model, x) - forecast(model, other)).abs() > 1e-12
    assert changed.any(0).any(0).tolist() == [True, True, True, True, False]


def test_shuffled_edges_are_the_given_ones_between_other_nodes_and_are_restored(x):
    model = build_model(edges="shuffled")
    order = model.order
    pairs = tuple((int(order[source]), int(order[target])) for source, target in PAIRS)
    given = build_model(info_of(pairs))
    given.load_state_dict(dict(model.named_parameters()))
    assert_close(forecast(given, x), forecast(model, x))
    torch.manual_seed(7)
    other = GraphModel.Config(hidden_size=H, edges="shuffled").build(info_of(), Forecast.Config().build(info_of()))
    other.double().load_state_dict(model.state_dict())
    assert torch.equal(forecast(other, x), forecast(model, x))


@pytest.mark.parametrize("name", sorted(GraphFilter.members))
def test_gradients_equal_finite_differences(x, name):
    model = build_model(filter={"name": name, "hops": 2})
    parameters = {key: value.detach().requires_grad_() for key, value in model.named_parameters()}

    def loss(inputs, *values):
        found = torch.func.functional_call(
            model, dict(zip(parameters, values, strict=True)), (inputs, torch.tensor([T]))
        )
        return found.logits.square().sum()

    assert torch.autograd.gradcheck(loss, (x[:1].requires_grad_(), *parameters.values()), fast_mode=True)


def test_what_belongs_to_no_node_is_read_by_all(x):
    model = build_model(info_of(extra=("holiday",)))
    both = torch.cat([x, torch.randn(B, T, 1, dtype=torch.float64)], -1)
    other = both.clone()
    other[..., -1] += 1.0
    assert ((forecast(model, both) != forecast(model, other)).any(0).any(0)).all()


def test_samples_do_not_see_each_other(x):
    model = build_model()
    assert_close(forecast(model, x)[:1], forecast(model, x[:1]))


# --- data -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Three sensors down a river: each has what the one above it had two days before."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    source = rng.normal(size=204)
    table = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=200), "spring": source[4:], "mill": source[2:-2],
                          "mouth": source[:-4]})  # fmt: skip
    table.to_csv("river.csv", index=False, float_format="%.4f")
    (tmp_path / "edges.csv").write_text("from,to,km\nspring,mill,10\nmill,mouth,5\n")
    return tmp_path


def river(**fields):
    data = {"name": "csv_graph", "path": "river.csv", "time": "day", "targets": ["spring", "mill", "mouth"],
            "edges": "edges.csv", "window": 4, "horizon": 1, **fields}  # fmt: skip
    return {"data": data, "task": "forecast", "model": {"name": "graph", "hidden_size": 8},
            "optimizer": {"lr": 0.02}, "trainer": {"max_epochs": 1}}  # fmt: skip


def test_edges_are_read_with_their_weights_and_are_part_of_the_data(files):
    dataset = Experiment.of(river(edge_weight="km")).data.build()
    assert dataset.info.edges == ((0, 1), (1, 2))
    assert dataset.info.edge_weights == (10.0, 5.0)
    assert dataset.restore_info(vars(dataset.info)) == dataset.info
    assert dataset.digest != Experiment.of(river()).data.build().digest
    (files / "edges.csv").write_text("from,to\nspring,mill\n")
    assert Experiment.of(river()).data.build().notes == ("1 of 3 series have no neighbour: mouth",)


def test_with_edges_it_learns_what_comes_down_the_river_and_without_it_cannot(files):
    def loss(edges):
        torch.manual_seed(0)
        experiment = Experiment.of(river()).with_overrides({"model.edges": edges, "model.filter": "diffusion"})
        dataset = experiment.data.build()
        learner = build(experiment, dataset)
        optimizer, batch = learner.configure_optimizers(), dataset.train.take(torch.arange(130))
        for _ in range(60):
            optimizer.zero_grad()
            learner.task.loss(learner(batch).logits, batch).backward()
            optimizer.step()
        with torch.no_grad():
            held_out = dataset.validation.take(torch.arange(len(dataset.validation)))
            return float((learner(held_out).logits.view(-1, 3)[:, 1:] - held_out.y[:, 0, 1:]).square().mean())

    assert loss("given") < 0.5 * loss("none")


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ("from,to\nspring,mil\n", {}, "line 2, column 'to': 'mil' is none of the series .* did you mean 'mill'"),
        ("from,to\nspring,\n", {}, "line 2, column 'to': '' is none of the series"),
        ("source,to\nspring,mill\n", {}, "no column 'from'"),
        ("from,to\nspring,mill\nspring,mill\n", {}, "line 3, .* is on line 2 already: keep one"),
        ("from,to\nmill,mill\n", {}, "no edge between two series"),
        ("from,to\n", {}, "edges.csv"),
        ("from,to,km\nspring,mill,-1\n", {"edge_weight": "km"}, "line 2, column 'km': -1 is no weight"),
        ("from,to,km\nspring,mill,far\n", {"edge_weight": "km"}, "line 2, column 'km': 'far' is not a number"),
    ],
)  # fmt: skip
def test_a_list_of_edges_that_does_not_fit_is_refused_in_one_line(files, text, more, message):
    (files / "edges.csv").write_text(text)
    with pytest.raises(DataError, match=message) as fault:
        _ = Experiment.of(river(**more)).data.build().info
    assert len(str(fault.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"name": "taylor", "window": 96}}, "needs data with edges.*chickenpox, csv_graph"),
        ({"model": {"name": "graph", "filter": "wavelet"}}, "no graph filter named 'wavelet'.*chebyshev, diffusion"),
        ({"model": {"name": "graph", "edges": "some"}}, "model.edges"),
        ({"model": {"name": "graph", "filter": {"hops": 0}}}, "hops"),
        ({"regularizers": [{"name": "recurrent_dropout", "state": 0.5}]}, "model 'graph' has no such place"),
    ],
)
def test_settings_that_do_not_fit_are_refused(files, change, message):
    with pytest.raises(ConfigError, match=message) as fault:
        Experiment.of({**river(), **change})
    assert len(str(fault.value).splitlines()) == 1


def test_inspect_writes_an_experiment_of_a_table_and_its_edges(files):
    found = inspect("river.csv", {"edges": "edges.csv"})
    experiment = Experiment.of(found.experiment)
    assert experiment.model.name == "graph"
    assert experiment.data.targets == ("spring", "mill", "mouth")
    assert found.statistics["edges"] == 2
    assert experiment.data.build().info.edges == ((0, 1), (1, 2))
