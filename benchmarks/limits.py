"""What this machine can do at most, of the two things that bound a step: arithmetic and traffic.

The driver of a benchmark compiles peak.c for this CPU (`build`); its workers measure with it, all
ranks at once.  Without a C compiler the rate is that of numpy's GEMM, and tables say so.
"""

import ctypes
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_name("peak.c")
WIDTHS = (16, 32, 64)
TYPES = {"float32": ("float", ctypes.c_float), "float64": ("double", ctypes.c_double)}
CHAINS = 12  # of peak.c


def build(directory) -> dict[str, str]:
    """By "float32-64", a dtype and a width of registers in bytes, the compiled peak.c; empty without a compiler."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return {}
    found = {}
    for dtype, (real, _) in TYPES.items():
        for width in WIDTHS:
            made = Path(directory) / f"peak-{dtype}-{width}.so"
            command = [
                *(compiler, "-O3", "-march=native", "-ffp-contract=fast", "-w", "-fPIC", "-shared"),
                *(f"-DREAL={real}", f"-DWIDTH={width}", str(SOURCE), "-o", str(made)),
            ]
            if subprocess.run(command, capture_output=True).returncode == 0:
                found[f"{dtype}-{width}"] = str(made)
    return found


def peak_rate(comm, dtype: str, built: dict[str, str], seconds: float) -> tuple[float, str]:
    """FLOP/s of a core in fused multiply-adds, and by which registers; the best width, every rank busy, the ranks' mean."""
    best = (0.0, "")
    for name, path in built.items():
        of, _, width = name.partition("-")
        if of == dtype:
            rate = _mean_rate(comm, _multiply_add(path, dtype, int(width)), seconds)
            best = max(best, (rate, f"{8 * int(width)}-bit registers"))
    return best if built else (gemm_rate(comm, dtype, seconds), "numpy's GEMM")


def _multiply_add(path: str, dtype: str, width: int):
    real = TYPES[dtype][1]
    function = ctypes.CDLL(path).multiply_add
    function.argtypes, function.restype = (ctypes.c_long, real, real), real
    flop = 2 * CHAINS * width // np.dtype(dtype).itemsize

    def work() -> float:
        function(100_000, 0.5, 1.0)
        return 100_000 * flop

    return work


def traffic_rate(comm, dtype: str, entries: int, built: dict[str, str], seconds: float) -> float:
    """Bytes/s of a rank in v -= alpha g, of so many entries, every rank busy; the slowest rank's."""
    v, g = np.zeros(entries, dtype), np.zeros(entries, dtype)
    size = 3 * v.nbytes
    path = next((built[name] for name in built if name.startswith(dtype)), None)
    if path is None:

        def work() -> float:
            np.subtract(v, g, out=v)
            return size
    else:
        real = TYPES[dtype][1]
        function = ctypes.CDLL(path).descend
        pointer = ctypes.c_void_p
        function.argtypes = (ctypes.c_long, ctypes.c_long, pointer, pointer, real)
        rounds = max(1, 2**20 // size)

        def work() -> float:
            function(rounds, entries, v.ctypes.data, g.ctypes.data, 0.5)
            return rounds * size

    return _mean_rate(comm, work, seconds)


def gemm_rate(comm, dtype: str, seconds: float) -> float:
    """FLOP/s of a core in the best of a few large square GEMMs, every rank busy; the ranks' mean."""
    best = 0.0
    for n in (1024, 2048):
        a, b = np.ones((n, n), dtype), np.ones((n, n), dtype)
        c = np.empty_like(a)

        def work(a=a, b=b, c=c, n=n) -> float:
            np.matmul(a, b, out=c)
            return 2.0 * n**3

        best = max(best, _mean_rate(comm, work, seconds))
    return best


def _mean_rate(comm, work, seconds: float) -> float:
    """What `work` returns, a second, while every rank does it; the ranks' mean."""
    work()
    comm.barrier()
    began, done = time.perf_counter(), 0.0
    while (passed := time.perf_counter() - began) < seconds or not done:
        done += work()
    rates = comm.all_gather(done / passed)
    return sum(rates) / len(rates)


def sum_seconds(comm, entries: int, dtype, seconds: float = 0.2) -> float:
    """Of one sum over the ranks of a message of so many ones, back to back, on the slowest rank."""
    addends = comm.addends(entries, dtype)
    addends.mine.fill(1)

    def passed(calls: int) -> float:
        comm.barrier()
        began = time.perf_counter()
        for _ in range(calls):
            comm.add_up(addends)
        return max(comm.all_gather(time.perf_counter() - began)) / calls

    passed(2)
    return passed(max(3, min(5000, int(seconds / passed(3)))))


def traffic(case, ranks: int) -> int:
    """Bytes that a rank must at least move in a step of sgd.

    w is read forward and, but for the first layer's, backward; the gradient is written; the sum is read
    while v is read and written.  Of each sample of the rank, x is read twice; a and δ of each other layer
    are written once and read twice.  Another optimizer's arrays are read and written too.
    """
    first = case.layers[0] * case.layers[1]
    arrays = {"sgd": 0, "momentum": 1, "nesterov": 1, "adam": 2}[case.optimizer]
    of_v = 2 * case.weights - first + (4 + 2 * arrays) * case.parameters
    of_samples = case.batch / ranks * (2 * case.layers[0] + 6 * sum(case.layers[1:]))
    return int((of_v + of_samples) * np.dtype(case.dtype).itemsize)
