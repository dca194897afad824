"""Compile the CPU engine: at installation, or later by `python -m lstm_lab.kernels.build`. Never at import.

Standard library only: the installer runs this file before anything else of the package can be imported.

The result is `engine-<key>.so` with `engine-<key>.json` beside it. The key covers the source, the flags of each
instruction set, the compiler and the machine type; the JSON contains them in full, and the checksum of the binary, so
that a truncated file is detected before it is loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCES = Path(__file__).with_name("csrc")
"""engine.cpp, the only translation unit, and the headers that it includes."""
PACKAGE_FOLDER = Path(__file__).with_name("built")
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti", "-w", "-pthread")
ARM = {"arm64", "aarch64"}
X86 = {"x86_64", "amd64"}


class BuildError(RuntimeError):
    """Why the engine could not be built, in one line."""


def instruction_sets() -> dict[str, tuple[str, ...]]:
    """Instruction set -> compiler flags, best first. All go into one binary; one is chosen by the CPU at run time."""
    portable: dict[str, tuple[str, ...]] = {"generic": ("-DISA=generic", "-DVB=16")}
    if platform.machine().lower() not in X86:
        return portable
    avx2 = ("-mavx2", "-mfma")
    return {
        "avx512": ("-DISA=avx512", "-DVB=64", *avx2, "-mavx512f", "-mavx512dq", "-mprefer-vector-width=512"),
        "avx2": ("-DISA=avx2", "-DVB=32", *avx2),
        **portable,
    }


def source_key() -> str:
    """Hash of what a binary is built from: source, flags, machine type."""
    text = json.dumps([FLAGS, instruction_sets(), platform.system(), platform.machine()])
    code = b"".join(path.read_bytes() for path in sorted([*SOURCES.glob("*.cpp"), *SOURCES.glob("*.h")]))
    return hashlib.sha256(code + text.encode()).hexdigest()


def user_cache() -> Path:
    """Folder for binaries where the package cannot be written to."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lstm-lab" / "kernels"


def find_compiler() -> list[str]:
    """`$CXX`, else the first C++ compiler on the path."""
    requested = shlex.split(os.environ.get("CXX", ""))
    for command in [requested] if requested else [["c++"], ["g++"], ["clang++"]]:
        if shutil.which(command[0]):
            return command
    raise BuildError(f"no C++ compiler found ({requested[0] if requested else 'c++, g++, clang++'})")


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]}: {error}") from error
    if done.returncode:
        lines = done.stderr.splitlines() or [""]
        errors = [line for line in lines if "error" in line] or lines
        raise BuildError(f"{command[0]} failed with {done.returncode}: {errors[0].strip()}")
    return done.stdout


def build(folder: Path | None = None) -> Path:
    """Compile for every instruction set of this machine type and link one binary.

    Args:
        folder: for the binary; by default in the package, or in the user's cache if the package cannot be written to.

    Returns:
        The binary: an earlier one if source, flags, compiler and machine type are the same.

    Raises:
        BuildError: there is no compiler, or it failed.
    """
    if platform.system() == "Windows":
        raise BuildError("the engine needs POSIX threads: not on Windows")
    compiler = find_compiler()
    version = (_run([*compiler, "--version"]).splitlines() or ["unknown"])[0]
    source = source_key()
    key = hashlib.sha256(f"{source} {compiler} {version}".encode()).hexdigest()[:16]
    folder = folder or _default_folder()
    binary, info_file = folder / f"engine-{key}.so", folder / f"engine-{key}.json"
    if find_fault(info_file) is None:
        return binary
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            objects = []
            for isa, flags in instruction_sets().items():
                objects.append(f"{scratch}/{isa}.o")
                _run([*compiler, *FLAGS, *flags, "-c", str(SOURCES / "engine.cpp"), "-o", objects[-1]])
            _run([*compiler, "-shared", "-pthread", *objects, "-o", f"{scratch}/engine.so"])
            info = {
                "source": source,
                "compiler": version,
                "flags": [*FLAGS],
                "variants": {isa: [*flags] for isa, flags in instruction_sets().items()},
                "machine": platform.machine(),
                "sha256": hashlib.sha256(Path(f"{scratch}/engine.so").read_bytes()).hexdigest(),
            }
            Path(f"{scratch}/engine.json").write_text(json.dumps(info, indent=1) + "\n")
            os.replace(f"{scratch}/engine.so", binary)
            os.replace(f"{scratch}/engine.json", info_file)
    except OSError as error:
        raise BuildError(f"{folder}: {error}") from error
    for other in folder.glob("engine-*"):
        if other.stem != binary.stem:
            other.unlink(missing_ok=True)
    return binary


def _default_folder() -> Path:
    folder = PACKAGE_FOLDER if PACKAGE_FOLDER.exists() else PACKAGE_FOLDER.parent
    return PACKAGE_FOLDER if os.access(folder, os.W_OK) else user_cache()


def find_fault(info_file: Path) -> str | None:
    """Why the binary that this JSON describes cannot be loaded, or None if it can."""
    binary = info_file.with_suffix(".so")
    try:
        info = json.loads(info_file.read_text())
        if info["source"] != source_key():
            return f"{binary} was built from another source or for another machine"
        if info["sha256"] != hashlib.sha256(binary.read_bytes()).hexdigest():
            return f"{binary} is damaged"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{binary} cannot be read ({type(error).__name__})"
    return None


def main() -> int:
    """Build, and print the binary or why there is none."""
    try:
        print(f"engine: {build()}")
    except BuildError as error:
        print(f"engine not built: {error}. Cells run through torch instead.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
