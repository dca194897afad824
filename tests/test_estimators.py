"""Estimators: scikit-learn's conventions, in every form of X, with nothing of the process left changed."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import estimator_checks_generator

import lstm_lab as lab
import lstm_lab.estimators.sequences
from lstm_lab.experiment import Experiment

QUICK = {"hidden_size": 8, "lr": 0.02, "max_epochs": 2, "random_state": 0}
CHANNELS = "n_features_in_ counts channels: columns of a two-dimensional X are time steps, of which there may be more"
EXPECTED_FAILURES = {
    "check_n_features_in": CHANNELS,
    "check_n_features_in_after_fitting": CHANNELS,
    "check_classifiers_train": CHANNELS,
    "check_regressors_train": "two epochs are too few; test_a_regressor_fits_values trains for longer",
    "check_methods_subset_invariance": "float32 rounds by the size of the batch",
    "check_methods_sample_order_invariance": "float32 rounds by the place in the batch",
}
QUICK_CHECKS = {  # Of all, which take a minute: those that need no more than a fit or two.
    "check_estimator_cloneable", "check_estimator_repr", "check_no_attributes_set_in_init", "check_do_not_raise_errors",
    "check_parameters_default_constructible", "check_estimators_unfitted", "check_dont_overwrite_attributes",
    "check_estimator_sparse_array", "check_fit2d_1sample", "check_fit1d", "check_supervised_y_no_nan",
}  # fmt: skip


def waves(n=40, steps=12, channels=2, seed=0):
    """Slow and fast waves (n, steps, channels), and which they are."""
    rng = np.random.default_rng(seed)
    speed = np.where(np.arange(n) % 2, 0.3, 1.2)[:, None, None]
    time = np.arange(steps)[:, None] + rng.uniform(0, 6, (n, 1, channels))
    return np.sin(speed * time) + 0.05 * rng.normal(size=(n, steps, channels)), np.arange(n) % 2


def scikit_learns_checks():
    """All checks of scikit-learn for both estimators; most are marked slow."""
    for estimator in (lab.SequenceClassifier(**QUICK), lab.SequenceRegressor(**QUICK)):
        for number, (found, check) in enumerate(estimator_checks_generator(estimator)):
            name = check.func.__name__
            marks = [] if name in QUICK_CHECKS else [pytest.mark.slow]
            if name in EXPECTED_FAILURES:
                marks.append(pytest.mark.xfail(reason=EXPECTED_FAILURES[name]))
            yield pytest.param(found, check, marks=marks, id=f"{type(found).__name__}-{number}-{name}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check"), list(scikit_learns_checks()))
def test_scikit_learns_checks(estimator, check):
    check(clone(estimator))


# --- the forms of X ---------------------------------------------------------------------------------------------------

FORMS = {
    "array": lambda X: (X, None),
    "float32": lambda X: (X.astype(np.float32).astype(float), None),
    "torch": lambda X: (torch.from_numpy(X), None),
    "list of arrays": lambda X: (list(X), None),
    "list of tensors": lambda X: ([torch.from_numpy(x) for x in X], None),
    "padded with NaN": lambda X: (
        np.concatenate([X, np.full((len(X), 3, X.shape[2]), np.nan)], 1), np.full(len(X), X.shape[1])
    ),
    "padded tensor": lambda X: (
        torch.cat([torch.from_numpy(X), torch.ones(len(X), 3, X.shape[2])], 1), torch.full((len(X),), X.shape[1])
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_x_is_the_same_data(form):
    X, y = waves()
    expected = lab.SequenceClassifier(**QUICK).fit(X, y).predict_proba(X)
    other, lengths = form(X)
    found = lab.SequenceClassifier(**QUICK).fit(other, torch.from_numpy(y), lengths=lengths)
    np.testing.assert_allclose(found.predict_proba(other, lengths=lengths), expected, atol=1e-5)


def test_one_channel_may_come_without_its_dimension():
    X, y = waves(channels=1)
    expected = lab.SequenceClassifier(**QUICK).fit(X, y).predict_proba(X)
    for flat in (X[:, :, 0], pd.DataFrame(X[:, :, 0]), X[:, :, 0].tolist(), list(X[:, :, 0])):
        classifier = lab.SequenceClassifier(**QUICK).fit(flat, y)
        assert classifier.n_features_in_ == 1
        assert np.array_equal(classifier.predict_proba(flat), expected)
    ragged = [x[: 5 + i % 7, 0] for i, x in enumerate(X)]
    assert lab.SequenceClassifier(**QUICK).fit(ragged, y).predict(ragged[:3]).shape == (3,)


def test_sequences_of_different_lengths_do_not_see_their_neighbours():
    X, y = waves()
    ragged = [x[: 4 + i % 9] for i, x in enumerate(X)]
    classifier = lab.SequenceClassifier(**QUICK).fit(ragged, y)
    together = classifier.predict_proba(ragged)
    alone = np.concatenate([classifier.predict_proba([x]) for x in ragged])
    np.testing.assert_allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize(
    ("X", "lengths", "message"),
    [
        (np.zeros((4, 3, 2)), [3, 3, 9, 3], r"lengths\[2\]: is 9, but must be in 1..3"),
        ([np.zeros((3, 2)), np.zeros((3, 1))] * 2, None, r"X\[1\]: has 1 channels, but X\[0\] has 2"),
        ([np.zeros((3, 2))] * 4, [1, 1, 1, 1], "remove lengths"),
        (np.zeros((4, 3, 2, 1)), None, "must be"),
        (np.full((4, 3, 2), np.nan), None, "NaN"),
        (np.zeros((4, 3)), None, "y has one class only"),
    ],
)
def test_wrong_data_are_value_errors(X, lengths, message):
    y = [0, 0, 0, 0] if "class" in message else [0, 1, 0, 1]
    with pytest.raises(ValueError, match=message):
        lab.SequenceClassifier(**QUICK).fit(X, y, lengths=lengths)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"cell": "gruu"}, "SequenceClassifier: model.cell: .*did you mean 'gru'"),
        ({"hidden_size": 0}, "model.hidden_size: must be greater than or equal to 1, got 0"),
        ({"validation_fraction": 1.0}, "validation_fraction must be between 0 and 1, got 1.0"),
        ({"experiment": {"schedule": "cosin"}}, "did you mean 'cosine'"),
        ({"experiment": {"model.hiden_size": 3}}, "did you mean 'hidden_size'"),
    ],
)
def test_wrong_parameters_are_value_errors(parameters, message):
    with pytest.raises(ValueError, match=message):
        lab.SequenceClassifier(**parameters).fit(*waves())


def test_other_channels_than_in_fit_are_refused():
    classifier = lab.SequenceClassifier(**QUICK).fit(*waves())
    with pytest.raises(ValueError, match="X has 1 features, but SequenceClassifier is expecting 2 features as input"):
        classifier.predict(waves(channels=1)[0])
    with pytest.raises(NotFittedError):
        lab.SequenceClassifier().predict_proba(waves()[0])


# --- what they learn --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [[7, 3], ["slow", "fast"], [True, False], [2.0, 10.0]])
def test_a_classifier_learns_and_keeps_its_labels(labels):
    X, y = waves(80)
    y = np.array(labels)[y]
    classifier = lab.SequenceClassifier(**{**QUICK, "max_epochs": 15}).fit(X, y)
    assert classifier.classes_.tolist() == sorted(labels)
    more, which = waves(40, steps=15, seed=1)
    assert classifier.score(more, np.array(labels)[which]) > 0.9
    probabilities = classifier.predict_proba(more)
    np.testing.assert_allclose(probabilities.sum(1), 1.0)
    assert (classifier.classes_[probabilities.argmax(1)] == classifier.predict(more)).all()


def test_a_regressor_fits_values():
    X, _ = waves(150, seed=2)
    values = np.stack([1e4 + 1e3 * X[:, :, 0].sum(1), X[:, -1, 1]], 1)
    options = {**QUICK, "hidden_size": 16, "max_epochs": 40}
    regressor = lab.SequenceRegressor(**options).fit(X, values)
    assert regressor.score(X, values) > 0.8
    assert regressor.predict(X).shape == (150, 2)
    single = lab.SequenceRegressor(**QUICK).fit(X, values[:, 0])
    assert single.predict(X).shape == (150,)
    assert abs(single.predict(X).mean() - 1e4) < 5e3


def test_parameters_reach_the_experiment(tmp_path):
    classifier = lab.SequenceClassifier(
        cell={"name": "odyssey", "variant": "cifg"}, hidden_size=6, num_layers=2, bidirectional=True, pooling="mean",
        dropout=0.2, optimizer="adamw", lr=0.01, batch_size=7, max_epochs=1, patience=None, random_state=5,
        experiment={"schedule": "cosine", "task.label_smoothing": 0.1},
    ).fit(*waves())  # fmt: skip
    found = classifier.experiment_
    assert found.model.cell.variant == "cifg"
    assert (found.model.hidden_size, found.model.num_layers, found.model.bidirectional) == (6, 2, True)
    assert (found.model.pooling.name, found.model.dropout.between, found.model.dropout.output) == ("mean", 0.2, 0.2)
    assert (found.optimizer.name, found.optimizer.lr, found.data.batch_size) == ("adamw", 0.01, 7)
    assert (found.trainer.max_epochs, found.trainer.patience, found.seed) == (1, None, 5)
    assert (found.schedule.name, found.task.label_smoothing) == ("cosine", 0.1)
    assert classifier.n_iter_ == 1


def test_defaults_are_those_of_an_experiment():
    classifier = lab.SequenceClassifier(max_epochs=1).fit(*waves())
    plain = Experiment.of({"data": classifier.experiment_.data, "task": classifier.experiment_.task})
    for section in ("model", "optimizer", "schedule"):
        assert getattr(classifier.experiment_, section) == getattr(plain, section)
    parameters = lab.SequenceClassifier().get_params()
    assert parameters["max_epochs"] == plain.trainer.max_epochs
    assert parameters["patience"] == plain.trainer.patience
    assert parameters["batch_size"] == plain.data.batch_size


def test_groups_stay_on_one_side():
    X, y = waves()
    person = np.arange(40) // 4
    classifier = lab.SequenceClassifier(**{**QUICK, "validation_fraction": 0.3}).fit(X, y, groups=person)
    assert classifier.run_.about["data"]["info"]["counts"] != [20, 20]
    validates = classifier._validates(list(X), y, person)
    assert 0 < validates.sum() < 40
    assert not set(person[validates]) & set(person[~validates])


# --- scikit-learn around them -----------------------------------------------------------------------------------------


def test_pipelines_cross_validation_and_search():
    X, y = waves(36)
    pipeline = make_pipeline(FunctionTransformer(lambda X: X[:, ::2]), lab.SequenceClassifier(**QUICK))
    assert pipeline.fit(X, y).predict(X).shape == (36,)
    assert cross_val_score(lab.SequenceClassifier(**QUICK), list(X), y, cv=2).shape == (2,)
    search = GridSearchCV(lab.SequenceClassifier(**QUICK), {"cell": ["gru", "rnn"]}, cv=2).fit(X, y)
    assert search.best_params_["cell"] in ("gru", "rnn")
    assert clone(search.best_estimator_).get_params() == search.best_estimator_.get_params()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda estimator: pickle.loads(pickle.dumps(estimator))])
def test_a_copy_predicts_without_the_folder_of_its_run(copied):
    X, y = waves()
    classifier = lab.SequenceClassifier(**QUICK).fit(X, y)
    expected, folder = classifier.predict_proba(X), classifier.run_.path
    other = copied(classifier)
    assert folder.is_dir()
    del classifier
    assert not folder.exists()
    assert np.array_equal(other.predict_proba(X), expected)
    assert not hasattr(other, "run_")


def test_a_random_state_makes_fits_equal():
    X, y = waves()
    fits = [lab.SequenceClassifier(**{**QUICK, "random_state": state}).fit(X, y).predict_proba(X)
            for state in (3, 3, 4, np.random.RandomState(3), np.random.RandomState(3))]  # fmt: skip
    assert np.array_equal(fits[0], fits[1])
    assert not np.array_equal(fits[0], fits[2])
    assert np.array_equal(fits[3], fits[4])
    np.random.seed(7)
    first = lab.SequenceClassifier(**{**QUICK, "random_state": None}).fit(X, y).experiment_.seed
    np.random.seed(7)
    assert lab.SequenceClassifier(**{**QUICK, "random_state": None}).fit(X, y).experiment_.seed == first
