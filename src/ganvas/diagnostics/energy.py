"""The energy a machine says it has used: counters of processor packages (RAPL) and of an NVIDIA device (NVML). Many machines tell
nothing, or not to everybody; then nothing is estimated."""

import ctypes
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Counter:
    """A counter file in microjoules that begins again at 0 after `range`."""

    path: Path
    range: int

    def read(self) -> int | None:
        """The count now; None where it can no longer be read."""
        try:
            return int(self.path.read_text())
        except (OSError, ValueError):
            return None


def packages(root: Path = POWERCAP) -> list[Counter]:
    """The counters of processor packages, and of their memory where that counts for itself, as far as they may be read."""
    found = []
    with suppress(OSError):
        for zone in sorted(root.glob("intel-rapl:*")):
            with suppress(OSError, ValueError):
                name = (zone / "name").read_text().strip()
                if name.startswith("package") or name == "dram":  # 'core' and 'uncore' are parts of a package, 'psys' holds all of it
                    counter = Counter(zone / "energy_uj", int((zone / "max_energy_range_uj").read_text()))
                    found += [counter] if counter.read() is not None else []
    return found


@final
class Device:
    """The energy counter of one NVIDIA device, in millijoules since its driver was loaded (Volta and newer)."""

    def __init__(self, device: torch.device) -> None:
        self._library, self._handle = None, ctypes.c_void_p()
        if device.type != "cuda":
            return
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL("libnvidia-ml.so.1")
            name = str(torch.cuda.get_device_properties(device).uuid)  # the number of a device may differ between CUDA and NVML
            name = name if name.startswith("GPU-") else f"GPU-{name}"
            if library.nvmlInit_v2() == 0 and library.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(self._handle)) == 0:
                self._library = library

    def read(self) -> float | None:
        """Joules; None where the device does not tell."""
        if self._library is None:
            return None
        count = ctypes.c_ulonglong()
        with suppress(AttributeError):
            if self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle, ctypes.byref(count)) == 0:
                return count.value / 1e3
        return None


@final
class EnergyMeter:
    """Joules used since it was made, by each part of the machine that tells. What else runs there is counted too."""

    def __init__(self, device: torch.device, root: Path = POWERCAP) -> None:
        self._counters = packages(root)
        self._last = [counter.read() for counter in self._counters]
        self._packages = 0.0
        self._device = Device(device)
        self._first = self._device.read()

    def joules(self) -> dict[str, float]:
        """ "processor" and "device" in joules. To be read more often than a counter begins again, which takes many minutes."""
        found: dict[str, float] = {}
        if self._counters:
            now = [counter.read() for counter in self._counters]
            self._packages += used(self._counters, self._last, now) / 1e6
            self._last = now
            found["processor"] = self._packages
        device = self._device.read()
        if device is not None and self._first is not None:
            found["device"] = device - self._first
        return found


def used(counters: Sequence[Counter], before: Sequence[int | None], now: Sequence[int | None]) -> int:
    """Microjoules between two readings of all counters, each of which may have begun again once."""
    pairs = zip(counters, before, now, strict=True)
    return sum((b - a) % (counter.range + 1) for counter, a, b in pairs if a is not None and b is not None)
