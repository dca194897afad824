"""Which code computed a number: the package's files, its commit, and the engine that runs recurrent cells."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from lstm_lab import kernels
from lstm_lab.records.provenance import git_state

PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class CodeState:
    """The code of one process, in plain values."""

    package: str
    """Folder that the package was imported from."""
    digest: str
    """Hash of the package's source files."""
    commit: str | None
    """Of git; None where the package is not in a repository."""
    engine: str
    """Instruction set of the native engine, or `torch`."""
    binary: str
    """Name of the engine's file, which stands for its source, compiler and flags; empty without one."""

    @classmethod
    def of_this_process(cls) -> CodeState:
        """The code that runs now."""
        status = kernels.status()
        commit = (git_state() or {}).get("commit")
        return cls(str(PACKAGE), source_digest(), str(commit) if commit else None, status.engine, status.binary)

    def dump(self) -> dict[str, str | None]:
        """As run.json has it."""
        return asdict(self)

    def difference(self, driver: CodeState) -> str | None:
        """What this process would compute differently from the driver, and the way out; None where nothing is."""
        if self.digest != driver.digest:
            return (
                f"a worker has other files of lstm_lab, in {self.package}, than the driver, in {driver.package}: "
                "install the same on every node, and start the sweep from a folder without another copy"
            )
        if (self.engine, self.binary) != (driver.engine, driver.binary):
            return (
                f"a worker computes cells by {_named(self)}, the driver by {_named(driver)}, with other values in the "
                "last digits: build the same engine everywhere (python -m lstm_lab.kernels.build), or choose one for "
                "all by LSTM_LAB_KERNELS"
            )
        return None


def _named(code: CodeState) -> str:
    return f"the engine {code.engine} ({code.binary})" if code.binary else code.engine


@cache
def source_digest() -> str:
    """First 16 hex digits of the sha256 of the package's source files."""
    sha = hashlib.sha256()
    for path in sorted(path for suffix in ("*.py", "*.cpp", "*.h") for path in PACKAGE.rglob(suffix)):
        content = path.read_bytes()
        sha.update(f"{path.relative_to(PACKAGE)} {len(content)}\n".encode() + content)
    return sha.hexdigest()[:16]
