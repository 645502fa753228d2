"""Which kernels compute: set before numpy is imported, described and compared afterwards.

Floating-point bits depend on the CPU's kernels and on the number of threads.  "portable" pins both
to what every x86-64-v3 CPU (AVX2 and FMA) has, "native" leaves the kernels to numpy and OpenBLAS.
One BLAS thread a rank in both: ranks already use the cores, and a GEMM's bits follow its threads.

This module imports nothing but the standard library, so that `pin` can come before numpy.
"""

import hashlib
import os
import sys
from importlib.metadata import version

_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")

# numpy's names of its kernels beyond x86-64-v3, and the CPU flags without which numpy would refuse
# to be told to leave them off: since 2.4 by level, before that by instruction set.
_BEYOND_V3 = {
    "X86_V4": "avx512f avx512cd avx512bw avx512dq avx512vl",
    "AVX512_ICL": "avx512_vbmi2 avx512_bitalg avx512_vpopcntdq avx512vbmi avx512ifma vpclmulqdq",
    "AVX512_SPR": "avx512_fp16",
}
_BEYOND_V3_BEFORE_2_4 = {
    "AVX512F": "avx512f",
    "AVX512CD": "avx512f avx512cd",
    "AVX512_SKX": "avx512f avx512cd avx512bw avx512dq avx512vl",
    "AVX512_CLX": "avx512_vnni avx512vl",
    "AVX512_CNL": "avx512ifma avx512vbmi",
    "AVX512_ICL": "avx512_vbmi2 avx512_bitalg avx512_vpopcntdq avx512vbmi avx512ifma vpclmulqdq",
    "AVX512_SPR": "avx512_fp16",
}


def _cpu_flags() -> set[str]:
    """The CPU's flags as Linux names them; empty elsewhere and on other CPUs than x86-64."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith("flags"):
                    return set(line.partition(":")[2].split())
    except OSError:
        pass
    return set()


def _beyond_v3() -> dict[str, str]:
    major, minor = map(int, version("numpy").split(".")[:2])
    return _BEYOND_V3 if (major, minor) >= (2, 4) else _BEYOND_V3_BEFORE_2_4


def environment(arithmetic: str) -> dict[str, str | None]:
    """The environment variables that make numpy compute as asked; None means to be unset."""
    settings = dict.fromkeys(_THREADS, "1")
    flags = _cpu_flags()
    if arithmetic == "portable" and {"avx2", "fma"} <= flags:
        beyond = [name for name, needed in _beyond_v3().items() if set(needed.split()) <= flags]
        settings["OPENBLAS_CORETYPE"] = "Haswell"
        settings["NPY_DISABLE_CPU_FEATURES"] = " ".join(beyond) or None
        settings["NPY_ENABLE_CPU_FEATURES"] = None
    return settings


def pin(arithmetic: str) -> None:
    """Sets the environment of this process for "portable" or "native"; call it before numpy is imported."""
    for name, value in environment(arithmetic).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def describe() -> dict:
    """What computes in this process: numpy's version and SIMD kernels, each BLAS with its kernel and threads.

    compiled: the rooms whose compiled parts are there; the bits are the same without them.
    """
    from importlib.util import find_spec

    import numpy
    from numpy._core._multiarray_umath import __cpu_features__
    from threadpoolctl import threadpool_info

    return {
        "numpy": numpy.__version__,
        "compiled": [
            room for room in ("exact", "network") if find_spec(f"distmlp.kernels._{room}")
        ],
        "simd_beyond_v3": sorted(name for name in _beyond_v3() if __cpu_features__.get(name)),
        "blas": [
            {
                key: library.get(key)
                for key in ("internal_api", "version", "architecture", "num_threads")
            }
            for library in threadpool_info()
            if library["user_api"] == "blas"
        ],
    }


def departures(arithmetic: str) -> list[str]:
    """What of this process is not as asked, each in a few words with the setting that would mend it.

    For programs that import numpy before distmlp: the commands set everything themselves.
    """
    found = describe()
    wanted = environment(arithmetic)
    words = []
    if wanted.get("NPY_DISABLE_CPU_FEATURES") and found["simd_beyond_v3"]:
        words.append(
            f"numpy uses {', '.join(found['simd_beyond_v3'])} "
            f'(set NPY_DISABLE_CPU_FEATURES="{wanted["NPY_DISABLE_CPU_FEATURES"]}" before numpy is imported)'
        )
    for blas in found["blas"]:
        core = wanted.get("OPENBLAS_CORETYPE")
        if core and blas["internal_api"] == "openblas" and blas["architecture"] != core:
            words.append(
                f"OpenBLAS uses its {blas['architecture']} kernels (set OPENBLAS_CORETYPE={core} before numpy is imported)"
            )
        if blas["num_threads"] != 1:
            words.append(f"BLAS uses {blas['num_threads']} threads (set {_THREADS[0]}=1)")
    return words


def one_thread():
    """A context in which BLAS uses one thread, whatever the environment asked for."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def fingerprint(layers: tuple[int, ...], micro_batch_size: int, dtype: str) -> str:
    """SHA-256 of the bits that this process gets for the run's own GEMM shapes, functions and sums.

    Equal fingerprints do not prove that two processes always agree, but kernels, thread counts and
    SIMD widths that differ have been seen to change it (tests/test_arithmetic.py).
    """
    import numpy as np

    random = np.random.Generator(np.random.Philox(key=[0, 0]))
    digest = hashlib.sha256()
    M = micro_batch_size
    with np.errstate(all="ignore"):
        for m, n in zip(layers, layers[1:]):
            a = random.standard_normal((M, m)).astype(dtype)
            w = random.standard_normal((n, m)).astype(dtype)
            delta = random.standard_normal((M, n)).astype(dtype)
            digest.update(np.matmul(a, w.T))
            digest.update(np.matmul(w, a[0]))
            digest.update(np.matmul(delta, w))
            digest.update(np.matmul(delta.T, a))
            digest.update(np.add.reduce(delta, axis=0))
            for function in (np.tanh, np.exp, np.log):
                digest.update(function(np.abs(delta)))
                digest.update(function(np.abs(delta, dtype=np.float64)))
    return digest.hexdigest()


def is_pinned(arithmetic: str) -> bool:
    """Whether this process's environment is the one that `pin` sets."""
    return all(os.environ.get(name) == value for name, value in environment(arithmetic).items())


def restart_pinned(arithmetic: str) -> None:
    """Starts this command again, in the same process, pinned for another arithmetic.

    For commands that learn what is asked from a checkpoint, which takes numpy to read.  Before MPI is
    initialised this is the same process to its launcher.
    """
    pin(arithmetic)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
