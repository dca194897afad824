"""Imports put to sleep stay asleep through a run, and awake they are what an ordinary import gives."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lstm_lab.startup.ray_worker import command


def told(code: str) -> str:
    """The last line that a fresh process prints, lean from its start."""
    begin = "from lstm_lab.startup import lazy_imports; lazy_imports.install(); import sys\n"
    done = subprocess.run(
        [sys.executable, "-c", begin + code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1]


def test_training_wakes_nobody(tmp_path):
    code = f"""
from lstm_lab.experiment import Experiment
from lstm_lab.run import Run
from lstm_lab.training import train
asked = {{"data": {{"name": "japanese_vowels"}}, "task": {{"name": "classify"}}, "model": {{"hidden_size": 8}},
         "trainer": {{"max_epochs": 2}}}}
experiment = Experiment.of(asked)
train(experiment, Run.create({str(tmp_path / "run")!r}, experiment.dump(), command="test"), wandb="disabled")
print([name for name in lazy_imports.LAZY_MODULES if name in sys.modules and not lazy_imports.is_deferred(name)])
"""
    assert told(code) == "[]"
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


def test_who_imports_us_keeps_imports_as_they_are():
    code = """
import sys, lstm_lab.sweeps.store.dataframe, lstm_lab.sweeps.execution.driver, lstm_lab.training
changed = [type(each).__name__ for each in sys.meta_path if type(each).__module__ == "lstm_lab.startup.lazy_imports"]
print(changed, [name for name, module in sys.modules.items() if type(module).__name__ == "LazyModule"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[] []"


def test_the_compiler_wakes_and_works():
    code = """
import torch, pytorch_lightning
from pytorch_lightning.utilities.compile import OptimizedModule
from pytorch_lightning.trainer.connectors.logger_connector.result import _ResultCollection
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.Adam(model.parameters())
assert not isinstance(model, OptimizedModule) and lazy_imports.is_deferred("torch._dynamo")
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
    assert told(code) == "module SourceFileLoader"


@pytest.mark.parametrize("how", ["import scipy.signal._ltisys", "from scipy import signal; signal.hilbert"])
def test_a_part_wakes_the_whole_and_runs_once(how):
    code = f"""
import scipy.signal
assert scipy.signal.hamming is None and lazy_imports.is_deferred("scipy.signal")
{how}
assert not lazy_imports.is_deferred("scipy.signal") and not hasattr(scipy.signal, "hamming")
from scipy.signal import _ltisys
assert scipy.signal.lti is _ltisys.lti
print(_ltisys.__spec__.name, type(_ltisys.__loader__).__name__)
"""
    assert told(code) == "scipy.signal._ltisys SourceFileLoader"


def test_threads_that_wake_it_together_see_it_whole():
    code = """
import threading, scipy.signal
found, begin = [], threading.Barrier(8)
def look():
    begin.wait()
    found.append(scipy.signal.windows.hann(3)[1])
threads = [threading.Thread(target=look) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(found == [1.0] * 8)
"""
    assert told(code) == "True"


def test_what_cannot_be_imported_says_so_whenever_it_is_asked():
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
    assert told(code) == "True"


def test_a_run_of_wandb_wakes_no_launcher_and_launching_works(tmp_path):
    code = f"""
import wandb
run = wandb.init(mode="offline", dir={str(tmp_path)!r}, settings=wandb.Settings(silent=True))
run.log({{"loss": 1.0}})
run.finish()
names = [name for name in lazy_imports.LAZY_MODULES if name.startswith(lazy_imports.LAUNCH)]
sleeping = [name for name in names if lazy_imports.is_deferred(name)]
from wandb.sdk.launch import launch, load_wandb_config
assert callable(launch)
from wandb.sdk.launch.inputs import internal
internal.StagedLaunchInputs().add_staged_input("x")
assert internal.StagedLaunchInputs()._staged_inputs == ["x"] and not lazy_imports.is_deferred(lazy_imports.LAUNCH)
print(len(sleeping))
"""
    assert told(code) == "2"


RAYS = ["/ray/workers/default_worker.py", "--node-ip-address=10.0.0.5", "--webui="]


@pytest.mark.parametrize("context", ["", "{}", '{"env_vars": {}}'])
def test_a_worker_with_nothing_to_prepare_begins_at_once(context):
    given = [f"--serialized-runtime-env-context={context}", "--language=PYTHON", *RAYS]
    assert command(given) == [sys.executable, *RAYS]
    assert command([*RAYS, *given[:2]]) == [sys.executable, *RAYS]


@pytest.mark.parametrize(
    "given",
    [
        [*RAYS, "--serialized-runtime-env-context=" + json.dumps({"env_vars": {"A": "1"}}), "--language=PYTHON"],
        [*RAYS, "--serialized-runtime-env-context={}", "--language=JAVA"],
        [*RAYS, "--serialized-runtime-env-context", "{}", "--language", "PYTHON"],
    ],
)
def test_what_has_something_to_prepare_is_left_to_ray(given):
    assert command(given) == [sys.executable, "/ray/workers/setup_worker.py", *given]
