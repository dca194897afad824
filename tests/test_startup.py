"""Start-up: lazy imports stay lazy through a run and load as ordinary ones; a lean Ray falls back to the plain one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hung import HUNG


def run(code, **environment):
    """The last line that a fresh process prints, which has installed the lazy imports."""
    start = "from lstm_lab.startup import lazy_imports; lazy_imports.install(); import sys\n"
    done = subprocess.run(
        [sys.executable, "-c", start + code],
        capture_output=True, text=True, timeout=HUNG, check=False, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1]


TRAIN = """
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.training.train import train
content = {"data": {"name": "japanese_vowels"}, "task": {"name": "classify"}, "model": {"hidden_size": 8},
           "trainer": {"max_epochs": 2}}
experiment = Experiment.of(content)
train(experiment, Run.create(FOLDER, experiment.dump(), command="test"), wandb="disabled")
print([name for name in lazy_imports.STAND_INS if not lazy_imports.is_lazy(name)])
"""


# --- lazy imports -----------------------------------------------------------------------------------------------------


def test_training_loads_no_lazy_module(tmp_path):
    assert run(TRAIN.replace("FOLDER", repr(str(tmp_path / "run")))) == "[]"
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


@pytest.mark.slow
def test_switched_off_nothing_is_lazy():
    code = """
import torch._dynamo, scipy.signal
lazy = [name for name in lazy_imports.STAND_INS if lazy_imports.is_lazy(name)]
print(lazy, [type(each).__name__ for each in sys.meta_path if type(each).__name__ == "_LazyFinder"])
"""
    assert run(code, LSTM_LAB_LEAN="0") == "[] []"
    assert run(code) == "['torch._dynamo', 'scipy.signal'] ['_LazyFinder']"


@pytest.mark.slow
def test_importing_the_package_leaves_other_imports_as_they_are():
    code = """
import sys, lstm_lab.sweeps.store.dataframe, lstm_lab.sweeps.execution.driver, lstm_lab.training.train
changed = [type(each).__name__ for each in sys.meta_path if type(each).__module__ == "lstm_lab.startup.lazy_imports"]
print(changed, [name for name, module in sys.modules.items() if type(module).__name__ == "LazyModule"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HUNG, check=True)
    assert done.stdout.strip() == "[] []"


@pytest.mark.slow
def test_the_compiler_loads_and_works():
    code = """
import torch, pytorch_lightning
from pytorch_lightning.utilities.compile import OptimizedModule
from pytorch_lightning.trainer.connectors.logger_connector.result import _ResultCollection
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.Adam(model.parameters())
assert not isinstance(model, OptimizedModule) and lazy_imports.is_lazy("torch._dynamo")
compiled = torch.compile(model, backend="eager")
compiled(torch.ones(2, 3)).sum().backward()
optimizer.step()
import torch._dynamo.utils
assert torch._dynamo.utils.counters["stats"]["calls_captured"] > 0
assert isinstance(compiled, OptimizedModule) and not isinstance(model, OptimizedModule)
assert torch._dynamo.disable.__module__.startswith("torch._dynamo")
assert torch._dynamo is sys.modules["torch._dynamo"] and torch._dynamo.utils is sys.modules["torch._dynamo.utils"]
_ResultCollection(training=True).valid_items()
print(type(torch._dynamo).__name__, type(torch._dynamo.__loader__).__name__)
"""
    assert run(code) == "module SourceFileLoader"


@pytest.mark.parametrize("how", ["import scipy.signal._ltisys", "from scipy import signal; signal.hilbert"])
def test_a_submodule_loads_its_package_and_runs_once(how):
    code = f"""
import scipy.signal
assert scipy.signal.hamming is None and lazy_imports.is_lazy("scipy.signal")
{how}
assert not lazy_imports.is_lazy("scipy.signal") and not hasattr(scipy.signal, "hamming")
from scipy.signal import _ltisys
assert scipy.signal.lti is _ltisys.lti
print(_ltisys.__spec__.name, type(_ltisys.__loader__).__name__)
"""
    assert run(code) == "scipy.signal._ltisys SourceFileLoader"


def test_threads_that_load_it_at_once_find_it_complete():
    code = """
import threading, scipy.signal
found, start = [], threading.Barrier(8)
def use():
    start.wait()
    found.append(scipy.signal.windows.hann(3)[1])
threads = [threading.Thread(target=use) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(found == [1.0] * 8)
"""
    assert run(code) == "True"


def test_a_module_that_cannot_be_loaded_raises_at_every_access():
    code = """
import scipy.signal
sys.modules["scipy.signal._signaltools"] = None
for _ in range(2):
    try:
        scipy.signal.hilbert
    except ImportError as error:
        print(type(error).__name__)
del sys.modules["scipy.signal._signaltools"]
print(callable(scipy.signal.hilbert))
"""
    assert run(code) == "True"


# --- Ray's head -------------------------------------------------------------------------------------------------------

SWEEP = """
import json, os, pathlib, sys, warnings
import ray
from ray._private import node, parameter
from rich.console import Console
from lstm_lab.startup import ray_head
from lstm_lab.sweeps.execution import execute_sweep
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.folder import SweepFolder

BREAK
folder = SweepFolder.create(pathlib.Path("rates").resolve(), load_sweep("rates.yaml"))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    content = execute_sweep(folder, wandb="disabled", console=Console(quiet=True))
print(json.dumps([content["trials"]["finished"], [str(w.message) for w in caught if w.category is RuntimeWarning]]))
"""
BROKEN = {
    "a field of Ray is renamed": """
def update(self, no_monitor, **others):
    raise ValueError("Invalid RayParams parameter in update: no_monitor")
parameter.RayParams.update = update
""",
    "Ray's node is no class any more": """
usual = node.Node
node.Node = lambda *args, **settings: usual(*args, **settings)
""",
    "the raylet does not come up": """
os.environ["RAY_raylet_start_wait_time_s"] = "2"
start = node.Node.start_raylet
def start_raylet(self, *args, **settings):
    if type(self).__name__ == "LeanNode":
        import ray._private.services as services
        usual, services.RAYLET_EXECUTABLE = services.RAYLET_EXECUTABLE, "/bin/false"
        try:
            return start(self, *args, **settings)
        finally:
            services.RAYLET_EXECUTABLE = usual
    return start(self, *args, **settings)
node.Node.start_raylet = start_raylet
""",
}


def sweep(tmp_path, vowels, code, **environment):
    """Finished trials of a sweep of two trials, and its warnings."""
    from lstm_lab import config

    content = {"experiment": vowels.with_overrides({"trainer.max_epochs": 1}).dump(), "resources": {"cpus": 1},
               "space": {"optimizer.lr": {"grid": [0.01, 0.02]}}}  # fmt: skip
    (tmp_path / "rates.yaml").write_text(f"# Which rate?\n{config.to_yaml(content)}")
    done = subprocess.run(
        [sys.executable, "-c", SWEEP.replace("BREAK", code)], cwd=tmp_path, capture_output=True, text=True,
        timeout=HUNG, check=False, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("how", BROKEN)
def test_whatever_breaks_in_ray_a_sweep_runs_with_one_warning(tmp_path, vowels, how):
    finished, warnings = sweep(tmp_path, vowels, BROKEN[how])
    assert finished == 2
    (warning,) = warnings
    assert "Ray 2." in warning
    assert "LSTM_LAB_LEAN=0" in warning


@pytest.mark.slow
def test_switched_off_a_sweep_uses_nothing_of_rays_internals(tmp_path, vowels):
    code = "def lean_node(started): raise AssertionError('used')\nray_head.lean_node = lean_node"
    assert sweep(tmp_path, vowels, code, LSTM_LAB_LEAN="0") == [2, []]
