"""Energy that a training takes, where the machine measures it.

RAPL counts that of the processor packages of Intel and AMD (Linux, /sys/class/powercap, often for root alone), NVML
that of an accelerator of NVIDIA (with the package nvidia-ml-py). Both count all that runs there, of others too.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

POWERCAP = Path("/sys/class/powercap")


class Energy(NamedTuple):
    """Joules since a meter was started."""

    cpu_joules: float | None
    """Of the processor packages; None: not measured."""
    gpu_joules: float | None
    """Of the accelerator that torch uses; None: not measured, or there is none."""


class EnergyMeter:
    """Counts from its construction on; what cannot be read is None, whatever the reason.

    Args:
        powercap: folder of the counters of RAPL.
        gpu: reads the counter of the accelerator, in joules; None: it has none.
    """

    def __init__(self, powercap: Path = POWERCAP, gpu: Callable[[], float] | None = None) -> None:
        self.zones = [zone for zone in _packages(powercap) if _read(zone / "energy_uj") is not None]
        self.gpu = gpu
        self.last = [_read(zone / "energy_uj") or 0 for zone in self.zones]
        self.joules = 0.0
        self.gpu_start = gpu() if gpu is not None else 0.0

    def read(self) -> Energy:
        """Until now. To be called more often than a counter wraps, which takes minutes at least."""
        for place, zone in enumerate(self.zones):
            now = _read(zone / "energy_uj")
            if now is None:
                continue
            spent = now - self.last[place]
            if spent < 0:  # The counter has wrapped.
                spent += _read(zone / "max_energy_range_uj") or 0
            self.joules += max(0, spent) / 1e6
            self.last[place] = now
        gpu = self.gpu() - self.gpu_start if self.gpu is not None else None
        return Energy(self.joules if self.zones else None, gpu)


def start_meter() -> EnergyMeter:
    """A meter of this machine, of the accelerator too where torch uses one."""
    is_used = torch.cuda.is_available() and torch.cuda.is_initialized()
    return EnergyMeter(gpu=_nvml_counter() if is_used else None)


def _packages(powercap: Path) -> Sequence[Path]:
    """Zones of whole packages: `intel-rapl:0`, which AMD's have too; their parts are in them."""
    try:
        return sorted(path for path in powercap.iterdir() if path.name.count(":") == 1)
    except OSError:
        return ()


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _nvml_counter() -> Callable[[], float] | None:
    """Reads the joules of the current accelerator; None where NVML is not there, or has no counter for it."""
    try:
        pynvml = importlib.import_module("pynvml")  # It has no types.
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        uuid = f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return None

    def read() -> float:
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000

    return read
