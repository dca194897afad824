"""Two modules that Lightning and torchmetrics import and a training run never uses, loaded at their first use.

The tracer of torch.compile and scipy's filters are more than half of what `import pytorch_lightning` costs, in the
driver of a sweep and in each of its actors. Until it is used, a lazy module is an empty module object with a few
stand-ins, which answer what is asked while others are imported ("is this a compiled model?": no). Every other access
runs the module's code in place, as `importlib.util.LazyLoader` does.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import inspect
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType

from lstm_lab import startup

_LOCK = threading.RLock()
_STAND_INS = "_lstm_lab_stand_ins"
"""Attribute of a lazy module that holds its stand-ins; gone once its code has run."""
_IMPORT_ATTRIBUTES = frozenset(
    ("__class__", "__dict__", "__file__", "__loader__", "__name__", "__package__", "__path__", "__spec__")
)
"""What a module knows before its code has run."""


class LazyModule(ModuleType):
    """A module whose code has not run."""

    def __getattribute__(self, name: str) -> object:
        stand_ins = object.__getattribute__(self, "__dict__").get(_STAND_INS, {})
        if name in stand_ins:
            return stand_ins[name]
        if name not in _IMPORT_ATTRIBUTES:
            load(self)
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: object) -> None:
        # importlib sets a lazy submodule on its package: that alone does not load the package.
        if not name.startswith("__") and not isinstance(value, ModuleType):
            load(self)
        object.__setattr__(self, name, value)


def load(module: ModuleType) -> None:
    """Run the code of a lazy module; afterwards it is what an ordinary import gives. No-op for any other module."""
    with _LOCK:
        if type(module) is not LazyModule or _STAND_INS not in module.__dict__:
            return  # Loaded, or being loaded further up in this thread.
        spec = module.__spec__
        assert spec is not None
        lazy = spec.loader
        assert isinstance(lazy, _LazyLoader)
        stand_ins = module.__dict__.pop(_STAND_INS)
        spec.loader = module.__loader__ = lazy.loader
        try:
            lazy.loader.exec_module(module)
        except BaseException:
            # Lazy again, so that the next access raises the same error.
            module.__dict__[_STAND_INS], spec.loader = stand_ins, lazy
            raise
        object.__setattr__(module, "__class__", ModuleType)
        for name, submodule in list(sys.modules.items()):
            if name.startswith(f"{spec.name}."):
                load(submodule)


def is_lazy(name: str) -> bool:
    """Whether a module has been imported, and its code has not run."""
    return type(sys.modules.get(name)) is LazyModule


class _LazyLoader(importlib.abc.Loader):
    """Stands for a module's own loader until the module is loaded."""

    def __init__(self, loader: importlib.abc.Loader, stand_ins: Mapping[str, object]) -> None:
        self.loader, self.stand_ins = loader, stand_ins

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__[_STAND_INS] = self.stand_ins
        object.__setattr__(module, "__class__", LazyModule)

    def __getattr__(self, name: str) -> object:
        return getattr(self.loader, name)


class _LoadedLoader(importlib.abc.Loader):
    """For a submodule that was loaded with its package: returns it, without running it again."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


class _LazyFinder(importlib.abc.MetaPathFinder):
    """Finds the lazy modules; loads a lazy package before one of its submodules is imported."""

    def __init__(self, stand_ins: Mapping[str, Mapping[str, object]]) -> None:
        self.stand_ins = stand_ins

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name in self.stand_ins:
            spec = importlib.machinery.PathFinder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _LazyLoader(spec.loader, self.stand_ins[name])
            return spec
        for package in self.stand_ins:
            if name.startswith(f"{package}.") and is_lazy(package):
                load(sys.modules[package])
                if (submodule := sys.modules.get(name)) is not None:
                    # importlib takes the spec of a module that was imported meanwhile, and would run it again.
                    submodule.__spec__ = importlib.machinery.ModuleSpec(name, _LoadedLoader(submodule))
                    return submodule.__spec__
        return None


DYNAMO = "torch._dynamo"


class _OptimizedModuleType(type):
    """Nothing is a compiled model as long as nothing has loaded the compiler."""

    def __instancecheck__(cls, instance: object) -> bool:
        return not is_lazy(DYNAMO) and isinstance(instance, sys.modules[DYNAMO].OptimizedModule)


class OptimizedModule(metaclass=_OptimizedModuleType):
    """Stand-in for the class of torch.compile's models, for `isinstance`."""


def graph_break(msg: str = "") -> None:
    """Stand-in: a mark for the tracer, and nothing is traced."""


def disable(fn: Callable[..., object] | None = None, recursive: bool = True, **options: object) -> object:
    """Stand-in for the decorator that keeps a function untraced; once the compiler is loaded, its own decorator."""
    if fn is None:
        return lambda fn: disable(fn, recursive, **options)
    if not inspect.isfunction(fn):
        load(sys.modules[DYNAMO])
        return sys.modules[DYNAMO].disable(fn, recursive, **options)
    disabled: list[Callable[..., object]] = []

    @functools.wraps(fn)
    def untraced(*args: object, **kwargs: object) -> object:
        if is_lazy(DYNAMO):
            return fn(*args, **kwargs)
        if not disabled:
            disabled.append(sys.modules[DYNAMO].disable(fn, recursive, **options))
        return disabled[0](*args, **kwargs)

    return untraced


STAND_INS: dict[str, dict[str, object]] = {
    DYNAMO: {"OptimizedModule": OptimizedModule, "graph_break": graph_break, "disable": disable},
    # torchmetrics asks only whether an old name is there.
    "scipy.signal": {"hamming": None},
}
"""Lazy module -> the names it answers before it is loaded. A name that is not listed loads it."""


def install() -> None:
    """Make the modules lazy in this process. Call it before torch and Lightning are imported, else nothing changes.

    `LSTM_LAB_LEAN=0` switches it off.
    """
    if startup.is_enabled() and not any(isinstance(finder, _LazyFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LazyFinder(STAND_INS))
