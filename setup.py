"""Everything is in pyproject.toml; here is only the native engine, compiled with the installation where a compiler is.

Without one, or where it fails, the installation goes on: cells then run through torch, and `kernels.status()` says so.
"""

import importlib.util
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
KERNELS = Path("lstm_lab") / "kernels"


class BuildWithEngine(build_py):
    def run(self) -> None:
        super().run()
        root = HERE if self.editable_mode else Path(self.build_lib)
        try:
            # By path: the package itself needs torch, which an isolated build does not have.
            spec = importlib.util.spec_from_file_location("build_engine", HERE / KERNELS / "build.py")
            engine = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(engine)
            print(f"engine: {engine.build(root / KERNELS / 'built')}")
        except Exception as error:  # noqa: BLE001 - an optional part must never fail the installation
            print(f"engine not built: {error}. Cells run through torch instead.", file=sys.stderr)


class WithEngine(Distribution):
    def has_ext_modules(self) -> bool:
        """A wheel that holds a binary is for one platform."""
        return True


setup(cmdclass={"build_py": BuildWithEngine}, distclass=WithEngine)
