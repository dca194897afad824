"""The run behind a fit of an estimator, and what a fit leaves of the process: nothing."""

from __future__ import annotations

import asyncio
import doctest
import os
import pickle
import random
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
import torch
from test_estimators import QUICK, waves

import lstm_lab as lab
import lstm_lab.estimators.sequences


def test_the_run_of_a_fit_is_a_run(tmp_path):
    X, y = waves()
    classifier = lab.SequenceClassifier(**QUICK, run_folder=tmp_path / "fits").fit(X, y)
    assert classifier.run_.path == tmp_path / "fits" / "sequenceclassifier-1"
    assert len(classifier.run_.metrics) == 2
    assert classifier.run_.evaluate("validation").model["loss"] == pytest.approx(classifier.run_.best["val/loss"])
    with pytest.raises(lab.DataError, match="no test split"):
        classifier.run_.evaluate()
    predicted = classifier.run_.predict(list(X))
    assert predicted["label"].tolist() == classifier.predict(X).astype(str).tolist()
    assert classifier.run_.report().is_file()
    assert classifier.fit(X, y).run_.path == tmp_path / "fits" / "sequenceclassifier-2"
    assert pickle.loads(pickle.dumps(classifier)).run_.path == classifier.run_.path


def test_nothing_of_the_process_is_changed_and_nothing_is_printed(capfd, recwarn):
    X, y = waves()
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    expected = (torch.rand(1), np.random.rand(), random.random())
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    environment, threads = dict(os.environ), torch.get_num_threads()
    torch.set_num_threads(2)
    lab.SequenceClassifier(**QUICK).fit(X, y).predict(X)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)
    assert (torch.rand(1), np.random.rand(), random.random()) == expected
    assert dict(os.environ) == environment
    assert capfd.readouterr() == ("", "")
    assert not [str(w.message) for w in recwarn if not issubclass(w.category, DeprecationWarning)]


def test_verbose_shows_the_epochs(capsys):
    lab.SequenceClassifier(**QUICK, verbose=True).fit(*waves())
    assert capsys.readouterr().out.splitlines()[1].startswith("epoch   1  train/loss")


def test_it_works_in_a_running_event_loop_and_in_threads_at_once():
    X, y = waves()
    expected = lab.SequenceClassifier(**QUICK).fit(X, y).predict_proba(X)

    async def cell():
        return lab.SequenceClassifier(**QUICK).fit(X, y).predict_proba(X)

    assert np.array_equal(asyncio.run(cell()), expected)
    found = []
    threads = [threading.Thread(target=lambda: found.append(lab.SequenceClassifier(**QUICK).fit(X, y).predict_proba(X)))
               for _ in range(3)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert all(np.array_equal(one, expected) for one in found)


@pytest.mark.slow
def test_neither_ray_nor_wandb_is_imported():
    code = """if True:
        import sys, numpy as np, lstm_lab as lab
        classifier = lab.SequenceClassifier(hidden_size=4, max_epochs=1).fit(np.random.rand(20, 5), [0, 1] * 10)
        classifier.predict([[1.0, 2.0]])
        print([name for name in ("ray", "wandb", "plotly") if name in sys.modules])"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.filterwarnings("ignore")
def test_the_examples_run():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        failed, attempted = doctest.testmod(lstm_lab.estimators.sequences)
    assert (failed, attempted > 8) == (0, True)
