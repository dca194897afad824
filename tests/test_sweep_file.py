"""Sweep files, domains, searchers and ranking: the parts of a sweep that need no Ray."""

from __future__ import annotations

import json
from collections import Counter
from statistics import mean

import numpy as np
import pytest

from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.config.validation import validate
from lstm_lab.sweeps.schedulers import Scheduler
from lstm_lab.sweeps.searchers import Searcher
from lstm_lab.sweeps.space.domains import Domain
from lstm_lab.sweeps.space.search_space import SearchSpace
from lstm_lab.sweeps.spec import Sweep, load_sweep
from lstm_lab.sweeps.store.folder import SweepFolder

SPACE = """
space:
  model.cell: {grid: [lstm, gru]}
  model.hidden_size: {choice: [4, 8]}
  optimizer.lr: {loguniform: [1e-3, 1e-2]}
"""


def text(vowels, **more):
    return f"# Which cell?\nexperiment: {json.dumps(vowels.dump())}\n{SPACE}{config.to_yaml(more) if more else ''}"


@pytest.fixture
def sweep_file(tmp_path, vowels):
    path = tmp_path / "sweep.yaml"
    path.write_text(text(vowels, num_samples=3))
    return path


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_sweep_survives_its_own_yaml(sweep_file, tmp_path):
    found = load_sweep(sweep_file)
    again = tmp_path / "again.yaml"
    again.write_text(config.to_yaml(found.dump()))
    assert validate(Sweep, config.load(again), "again") == found


def test_space_may_be_nested_or_dotted(tmp_path, vowels):
    path = tmp_path / "nested.yaml"
    path.write_text(text(vowels).replace(SPACE, "space: {optimizer: {lr: {loguniform: [1e-3, 1e-2]}}}\n"))
    assert list(load_sweep(path).space) == ["optimizer.lr"]


BAD = {
    "typo in a key of the space": ("space.optimizer.lrr={uniform: [0.1, 0.2]}", "optimizer.lrr", "did you mean"),
    "field of one arm only": (
        "space.model.cell.forget_bias={uniform: [0, 1]}",
        "model.cell=gru",
        "no such field in GRU",
    ),
    "impossible value at a corner": ("space.model.hidden_size={choice: [4, 0]}", "model.hidden_size=0", "greater than"),
    "dead dropout at a corner": (
        "space.model.dropout.between={uniform: [0.1, 0.5]}",
        "num_layers is 1",
        "set num_layers to 2",
    ),
    "bounds the wrong way": ("space.optimizer.lr={uniform: [1, 0]}", "space.optimizer.lr", "low must be below high"),
    "log of zero": ("space.optimizer.lr={loguniform: [0, 1]}", "space.optimizer.lr", "above 0"),
    "one bound": ("space.optimizer.lr={uniform: [1]}", "space.optimizer.lr", "[low, high]"),
    "text for a bound": ("space.optimizer.lr={uniform: [low, 1]}", "space.optimizer.lr", "[low, high]"),
    "fraction for a whole number": (
        "space.model.num_layers={randint: [1, 2.5]}",
        "space.model.num_layers",
        "whole numbers",
    ),
    "unknown domain": ("space.optimizer.lr={lognormal: [0, 1]}", "space.optimizer.lr", "loguniform"),
    "no domain": ("space.optimizer.lr=[1, 2]", "space.optimizer.lr", "must be one domain"),
    "empty list": ("space.model.hidden_size={choice: []}", "space.model.hidden_size", "list of values"),
    "seed in the space": ("space.seed={choice: [1, 2]}", "seeds", "seeds: [0, 1, 2]"),
    "seed twice": ("seeds=[1, 1]", "seeds", "twice"),
    "no seed": ("seeds=[]", "seeds", "at least 1"),
    "grid with a model-based searcher": ("searcher=optuna", "space.model.cell", "choice instead of grid"),
    "grid with hyperopt": ("searcher=hyperopt", "space.model.cell", "choice instead of grid"),
    "unknown scheduler": ("scheduler=ash", "scheduler", "did you mean 'asha'"),
    "unknown key of a scheduler": ("scheduler.gracee=2", "scheduler", "no such field in FIFO"),
    "no samples": ("num_samples=0", "num_samples", "greater than"),
    "no CPU": ("resources.cpus=0", "resources.cpus", "greater than"),
    "typo at the top": ("smaples=2", "smaples", "did you mean 'num_samples'"),
    "experiment that is not there": ("experiment=conf/nope.yaml", "conf/nope.yaml", "no such file"),
    "experiment that is a number": ("experiment=3", "experiment", "conf/vowels_lstm.yaml"),
    "space that is a list": ("space=[1]", "space", "mapping of dotted keys"),
}


@pytest.mark.parametrize(("override", "place", "way_out"), BAD.values(), ids=BAD)
def test_a_bad_sweep_is_refused_in_one_line(sweep_file, override, place, way_out):
    with pytest.raises(ConfigError) as caught:
        load_sweep(sweep_file, [override])
    line = str(caught.value)
    assert "\n" not in line
    assert place in line
    assert way_out in line


def test_a_sweep_without_a_title_is_refused(tmp_path, vowels):
    path = tmp_path / "untitled.yaml"
    path.write_text(text(vowels).removeprefix("# Which cell?\n"))
    with pytest.raises(ConfigError, match="first comment line"):
        load_sweep(path)


def test_all_grid_with_samples_is_refused(tmp_path, vowels):
    path = tmp_path / "grid.yaml"
    path.write_text(text(vowels).replace(SPACE, "space: {model.cell: {grid: [lstm, gru]}}\nnum_samples: 3\n"))
    with pytest.raises(ConfigError, match="would repeat every configuration"):
        load_sweep(path)


def test_a_title_may_be_a_key_of_the_file(tmp_path, vowels):
    path = tmp_path / "titled.yaml"
    path.write_text(f"title: LSTM or GRU?\n{text(vowels).removeprefix('# Which cell?')}")
    assert load_sweep(path).title == "LSTM or GRU?"


RENAMED = {
    "question": ("question=which", "title"),
    "samples": ("samples=3", "num_samples"),
    "grace": ("scheduler={name: asha, grace: 2}", "grace_period"),
    "reduction": ("scheduler={name: asha, reduction: 2}", "reduction_factor"),
    "least": ("scheduler={name: median, least: 2}", "min_samples_required"),
    "interval": ("scheduler={name: pbt, interval: 2}", "perturbation_interval"),
    "share": ("scheduler={name: pbt, share: 0.5}", "quantile_fraction"),
    "resample": ("scheduler={name: pbt, resample: 0.5}", "resample_probability"),
    "startup": ("searcher={name: optuna, startup: 3}", "n_startup_trials"),
    "share of hyperopt": ("searcher={name: hyperopt, share: 0.2}", "gamma"),
}


@pytest.mark.parametrize(("override", "new"), RENAMED.values(), ids=RENAMED)
def test_an_old_key_is_refused_by_a_line_that_names_the_new_one(sweep_file, override, new):
    with pytest.raises(ConfigError, match=f"is now called '{new}'"):
        load_sweep(sweep_file, [override])


# --- domains ----------------------------------------------------------------------------------------------------------

ARGUMENTS = {
    "choice": [1, 2.5, "x", None], "grid": ["a", "b"], "randint": [2, 5], "normal": [1.0, 0.5],
    "quniform": [0.1, 0.5, 0.1], "qloguniform": [16, 128, 16],
}  # fmt: skip


@pytest.mark.parametrize("name", Domain.members)
def test_domains_sample_and_suggest_within_their_bounds(name):
    import optuna

    domain = Domain.members[name](ARGUMENTS.get(name, [0.01, 0.5]))
    samples = [domain.sample(np.random.default_rng(seed)) for seed in range(200)]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    suggested = [domain.suggest("key", study.ask()) for _ in range(50)]
    distribution, convert = domain.optuna_distribution()
    for value in [*samples, *suggested, *domain.corner_values()]:
        assert distribution._contains(distribution.to_internal_repr(convert(value)))
        assert domain.contains(value)
        json.dumps(value)
    assert not domain.contains("elsewhere")
    if hasattr(domain, "log"):
        low, high = domain.bounds
        assert not domain.contains(high + 1e-6)
        assert all(low <= value <= high for value in samples)
    else:
        assert set(map(str, samples)) == set(map(str, domain.arguments))


def test_loguniform_samples_each_decade_equally_often():
    domain = Domain.members["loguniform"]([1e-4, 1e-1])
    decades = Counter(int(np.floor(np.log10(domain.sample(np.random.default_rng(seed))))) for seed in range(3000))
    assert set(decades) == {-4, -3, -2}
    assert max(decades.values()) < 1.15 * min(decades.values())


def test_randint_includes_both_ends():
    domain = Domain.members["randint"]([1, 3])
    assert {domain.sample(np.random.default_rng(seed)) for seed in range(100)} == {1, 2, 3}


def test_corners_cover_every_listed_value_and_both_ends(sweep_file):
    found = load_sweep(sweep_file)
    seen = list(found.search_space.corners())
    assert {overrides["model.cell"] for overrides in seen} == {"lstm", "gru"}
    assert {(p["model.cell"], p["model.hidden_size"]) for p in seen} == {
        (c, h) for c in ("lstm", "gru") for h in (4, 8)
    }
    assert {overrides["optimizer.lr"] for overrides in seen} == {1e-3, 1e-2}
    few = list(found.search_space.corners(max_combinations=1))
    assert {overrides["model.cell"] for overrides in few} == {"lstm", "gru"}
    assert {overrides["model.hidden_size"] for overrides in few} == {4, 8}


# --- searchers --------------------------------------------------------------------------------------------------------


def set_up(sweep, seed=0, mode="min"):
    searcher = sweep.build_searcher()
    searcher.setup(sweep.search_space, sweep.num_samples, seed, mode)
    return searcher


def test_random_samples_the_same_values_for_every_grid_value(sweep_file):
    found = load_sweep(sweep_file)
    searcher = set_up(found)
    configurations = [searcher.ask(number) for number in range(searcher.num_configurations)]
    assert len(configurations) == found.num_configurations == 6
    lstm, gru = (
        [{key: value for key, value in each.items() if key != "model.cell"} for each in configurations
         if each["model.cell"] == cell] for cell in ("lstm", "gru")
    )  # fmt: skip
    assert lstm == gru
    assert len({overrides["optimizer.lr"] for overrides in configurations}) == 3


def test_a_random_configuration_depends_on_its_number_alone(sweep_file):
    found = load_sweep(sweep_file)
    assert set_up(found).ask(4) == [set_up(found).ask(n) for n in range(6)][4]
    assert set_up(found, seed=1).ask(4) != set_up(found).ask(4)


@pytest.mark.parametrize("name", Searcher.members)
def test_searchers_stay_in_the_space_and_resume_from_results(sweep_file, name):
    found = load_sweep(sweep_file, ["space.model.cell={choice: [lstm, gru]}", f"searcher={name}", "num_samples=12"])
    searcher = set_up(found)
    results = []
    for number in range(8):
        overrides = searcher.ask(number)
        results.append((number, overrides, overrides["optimizer.lr"]))
        searcher.tell(number, overrides, overrides["optimizer.lr"])
    resumed = set_up(found)
    for number, overrides, value in results:
        resumed.tell(number, overrides, value)
    for number in range(8, 12):
        for each in (searcher, resumed):
            found.experiment_for(each.ask(number), 0)
    searcher.tell(8, searcher.ask(8), None)


@pytest.mark.parametrize("searcher", ["optuna", "hyperopt"])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_searcher_that_learns_finds_the_better_end(sweep_file, searcher, mode):
    found = load_sweep(
        sweep_file,
        [
            "space.model.cell={choice: [lstm, gru]}",
            f"searcher={{name: {searcher}, n_startup_trials: 8}}",
            "num_samples=40",
        ],
    )
    searcher = set_up(found, mode=mode)
    values = []
    for number in range(40):
        overrides = searcher.ask(number)
        values.append(
            (100 * overrides["optimizer.lr"] + (overrides["model.cell"] == "lstm")) * (1 if mode == "min" else -1)
        )
        searcher.tell(number, overrides, values[-1] if number != 5 else None)
    assert abs(mean(values[-10:])) < abs(mean(values[:8]))


def test_hyperopt_proposes_the_same_after_the_results_are_told_again(sweep_file):
    found = load_sweep(
        sweep_file,
        ["space.model.cell={choice: [lstm, gru]}", "searcher={name: hyperopt, n_startup_trials: 3}", "num_samples=9"],
    )
    searcher, later = set_up(found), set_up(found)
    for number in range(8):
        overrides = searcher.ask(number)
        for each in (searcher, later):
            each.tell(number, overrides, overrides["optimizer.lr"])
    assert searcher.ask(8) == later.ask(8)


@pytest.mark.parametrize("name", Scheduler.members)
def test_every_scheduler_builds_one_of_tune(name):
    from ray.tune.schedulers import TrialScheduler

    for epochs in (1, 2, 50):
        found = Scheduler.members[name].Config().build().tune_scheduler(epochs, "m", "min")
        assert isinstance(found, TrialScheduler)


def test_a_sweep_folder_is_created_once_and_suggested_for_a_typo(tmp_path, sweep_file):
    found = load_sweep(sweep_file)
    folder = SweepFolder.create(tmp_path / "which-cell", found)
    assert SweepFolder.open(folder.path).sweep == found
    with pytest.raises(ConfigError, match="lstm-lab resume"):
        SweepFolder.create(tmp_path / "which-cell", found)
    with pytest.raises(ConfigError, match="did you mean"):
        SweepFolder.open(tmp_path / "wich-cell")


def test_the_grid_of_an_empty_space_is_one_configuration():
    assert SearchSpace({}).grid() == [{}]


# --- random streams ---------------------------------------------------------------------------------------------------
