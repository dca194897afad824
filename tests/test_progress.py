"""Progress: a bar in a notebook, which needs no ipywidgets and stays in the file; lines where there is no terminal."""

from __future__ import annotations

import asyncio
import doctest
import sys
import threading
import types

import pytest
from conftest import VOWELS
from hung import HUNG

import lstm_lab as lab
import lstm_lab.display.progress
from lstm_lab.display.progress import NotebookDisplay, bar, bar_or_lines, in_notebook, on_terminal
from lstm_lab.experiment import Experiment

SMALL = Experiment.of({**VOWELS, "trainer": {"max_epochs": 2, "patience": None}})


class ZMQInteractiveShell:
    """Named as IPython's shell in the kernel of a notebook."""


@pytest.fixture
def shown(monkeypatch):
    """A notebook as far as the package can tell; what its cell shows, each update."""
    updates = []

    def display(content, raw, display_id):
        assert raw
        assert display_id
        updates.append(content)
        return types.SimpleNamespace(update=lambda content, raw: updates.append(content))

    shell = ZMQInteractiveShell()
    module = types.ModuleType("IPython")
    module.get_ipython = lambda: shell
    module.display = types.ModuleType("IPython.display")
    module.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", module.display)
    return updates


def test_a_notebook_shows_a_bar_even_inside_its_event_loop(shown, capsys):
    async def cell():
        return lab.train(SMALL, wandb="disabled")

    run = asyncio.run(cell())
    assert in_notebook()
    assert len(run.metrics) == 2
    assert 'value="0.0000"' in shown[0]["text/html"]
    assert 'value="1.0000"' in shown[-1]["text/html"]
    assert shown[-1]["text/plain"].startswith("epoch 2/2  train/loss ")
    assert "epoch" not in capsys.readouterr().out


def test_a_script_without_a_terminal_prints_a_line_per_epoch(capsys):
    lab.train(SMALL, wandb="disabled")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert [line.split()[:3] for line in lines] == [["epoch", "0", "train/loss"], ["epoch", "1", "train/loss"]]
    lab.train(SMALL, wandb="disabled", progress=False)
    assert not capsys.readouterr().out


def test_a_thread_shows_nothing_unless_asked():
    found = []
    thread = threading.Thread(target=lambda: found.extend(bar_or_lines(p, "val/loss")[1] for p in ("auto", True)))
    thread.start()
    thread.join()
    assert found[0] is None
    assert found[1] is not None


def test_updates_that_come_too_soon_are_left_out(shown):
    display = NotebookDisplay()
    for number in range(100):
        display.update({"text/plain": str(number)}, raw=True)
    display.update({"text/plain": "last"}, raw=True, force=True)
    assert shown[0]["text/plain"] == "0"
    assert shown[-1]["text/plain"] == "last"
    assert len(shown) < 10


def test_a_bar_without_a_limit_of_epochs_shows_the_epoch():
    assert bar(7, -1, 3, 10, {}, 1.0)["text/plain"] == "epoch 7  batch 3/10  1 s"


def test_no_terminal_where_standard_output_is_closed(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert not on_terminal()


@pytest.mark.slow
def test_a_real_kernel_shows_the_bar(runs):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    code = f"import lstm_lab as lab\nrun = lab.train(lab.Experiment.of({SMALL.dump()!r}), wandb='disabled')"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, timeout=HUNG, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    assert "epoch 2/2" in output.data["text/plain"]


def test_the_examples_run():
    failed, attempted = doctest.testmod(lstm_lab.display.progress)
    assert (failed, attempted > 1) == (0, True)
