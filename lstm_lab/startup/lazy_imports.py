"""Imports that Lightning, Tune and W&B ask for and a run never uses: put to sleep, and woken by who does use them.

torch.compile's tracer and scipy's filters are more than half of what `import pytorch_lightning` costs, in the driver of
a sweep and in each of its actors. Asleep, a module is its own, still empty object, which answers the few questions that
training asks (is this a compiled model? no) and runs its code at any other, as `importlib.util.LazyLoader` has it.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import inspect
import sys
import threading
import typing
from collections.abc import Callable
from types import ModuleType
from typing import Any

_LOCK = threading.RLock()
_OPEN = frozenset(
    ("__class__", "__dict__", "__file__", "__loader__", "__name__", "__package__", "__path__", "__spec__")
)
"""What a module knows before its code has run."""


class LazyModule(ModuleType):
    """A module whose code has not run."""

    def __getattribute__(self, name: str) -> Any:
        own = object.__getattribute__(self, "__dict__")
        answers = own.get("_answers", {})
        if name in answers:
            return answers[name]
        if name not in _OPEN:
            load(self)
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # A part of it that was imported without waking it goes on sleeping.
        if not name.startswith("__") and not isinstance(value, ModuleType):
            load(self)
        object.__setattr__(self, name, value)


def load(module: ModuleType) -> None:
    """Run its code, if nobody has: from then on it is what an ordinary import would have given."""
    with _LOCK:
        if type(module) is not LazyModule or "_answers" not in module.__dict__:
            return  # Awake, or being woken further up in this thread.
        answers, spec = module.__dict__.pop("_answers"), typing.cast(Any, module.__spec__)
        later, spec.loader = spec.loader, spec.loader.loader
        module.__loader__ = spec.loader
        try:
            spec.loader.exec_module(module)
        except BaseException:
            # Whoever asks next is told again why it cannot be had.
            module.__dict__["_answers"], spec.loader = answers, later
            raise
        object.__setattr__(module, "__class__", ModuleType)
        for name, part in list(sys.modules.items()):
            if name.startswith(f"{spec.name}."):
                load(part)


def is_deferred(name: str) -> bool:
    """Whether the module has been imported, and its code has not run."""
    return type(sys.modules.get(name)) is LazyModule


class _Later(importlib.abc.Loader):
    """In the place of a module's loader, until it wakes."""

    def __init__(self, loader: Any, answers: dict[str, Any]) -> None:
        self.loader, self.answers = loader, answers

    def create_module(self, spec: Any) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["_answers"] = self.answers
        object.__setattr__(module, "__class__", LazyModule)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


class _There(importlib.abc.Loader):
    """For a submodule that came with its package's waking: there is nothing left to run."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: Any) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


class _Finder(importlib.abc.MetaPathFinder):
    """Puts the modules that it knows to sleep, and wakes a package before its parts are imported."""

    def __init__(self, answers: dict[str, dict[str, Any]]) -> None:
        self.answers = answers

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name in self.answers:
            spec = importlib.machinery.PathFinder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Later(spec.loader, self.answers[name])
            return spec
        for package in self.answers:
            if name.startswith(f"{package}.") and is_deferred(package):
                load(sys.modules[package])
                if (part := sys.modules.get(name)) is not None:
                    # importlib takes the spec of a module that has come meanwhile, and would run it again.
                    part.__spec__ = importlib.machinery.ModuleSpec(name, _There(part))
                    return part.__spec__
        return None


class _Compiled(type):
    """Nothing is a compiled model as long as nobody has woken the compiler."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return not is_deferred(DYNAMO) and isinstance(instance, sys.modules[DYNAMO].OptimizedModule)


class OptimizedModule(metaclass=_Compiled):
    """In the place of torch.compile's module, for those who ask whether something is one."""


def graph_break(msg: str = "") -> None:
    """A mark for the tracer: nothing is traced."""


def disable(fn: Callable[..., Any] | None = None, recursive: bool = True, **how: Any) -> Any:
    """A mark for the tracer, too; once it is awake, its own."""
    if fn is None:
        return functools.partial(disable, recursive=recursive, **how)
    if not inspect.isfunction(fn):
        load(sys.modules[DYNAMO])
        return sys.modules[DYNAMO].disable(fn, recursive, **how)
    real: list[Any] = []

    @functools.wraps(fn)
    def untraced(*args: Any, **kwargs: Any) -> Any:
        if is_deferred(DYNAMO):
            return fn(*args, **kwargs)
        if not real:
            real.append(sys.modules[DYNAMO].disable(fn, recursive, **how))
        return real[0](*args, **kwargs)

    return untraced


class StagedLaunchInputs:
    """What W&B's launcher was told to hand to a run: here it is not used."""

    def apply(self, run: Any) -> None:
        """Nothing was."""


DYNAMO, LAUNCH = "torch._dynamo", "wandb.sdk.launch"
LAZY_MODULES: dict[str, dict[str, Any]] = {
    DYNAMO: {"OptimizedModule": OptimizedModule, "graph_break": graph_break, "disable": disable},
    # torchmetrics asks only whether an old name is there.
    "scipy.signal": {"hamming": None},
    # Tune names the class of data sets it refuses to save, and of the callback that it counts: here is neither.
    "ray.data": {"Dataset": type("Dataset", (), {})},
    "ray.air.integrations.wandb": {"WandbLoggerCallback": type("WandbLoggerCallback", (), {})},
    # W&B asks at the start of each run.
    LAUNCH: {}, f"{LAUNCH}.inputs": {}, f"{LAUNCH}.inputs.internal": {"StagedLaunchInputs": StagedLaunchInputs},
}  # fmt: skip
"""Module -> what it answers in its sleep."""


def install() -> None:
    """From now on, in this process. To be called before torch and Lightning are imported, else it changes nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder(LAZY_MODULES))
