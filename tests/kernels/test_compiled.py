"""Holds the compiled parts to one set of bits on every CPU: built for registers of half the width, they compute the same."""

import importlib.util
import shlex
import shutil
import subprocess
import sysconfig
import tomllib

import numpy as np
import pytest
from test_rooms import COMPILED, PACKAGE

COMPILER = shlex.split(sysconfig.get_config_var("CC") or "cc")
HEADERS = sysconfig.get_paths()["include"]

pytestmark = pytest.mark.skipif(
    not shutil.which(COMPILER[0]), reason=f"there is no C compiler ({COMPILER[0]}) here"
)


def built(name, place, *more):
    """A compiled part, built as pyproject.toml says but for the flags in `more`."""
    with open(PACKAGE.parent / "pyproject.toml", "rb") as file:
        modules = tomllib.load(file)["tool"]["setuptools"]["ext-modules"]
    (flags,) = (
        module["extra-compile-args"]
        for module in modules
        if module["name"] == f"distmlp.kernels.{name}"
    )
    place.mkdir()
    library = place / f"{name}.so"
    command = [
        *COMPILER,
        "-shared",
        "-fPIC",
        f"-I{HEADERS}",
        *flags,
        *more,
        str(PACKAGE / f"kernels/{name}.c"),
        "-o",
        str(library),
        "-lm",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    spec = importlib.util.spec_from_file_location(f"distmlp.kernels.{name}", library)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def results(exact, hostmemory, network, real):
    """What every function makes of the same numbers, as bytes."""
    random, whole = np.random.default_rng(1), {"float32": np.int32, "float64": np.int64}[real]

    def drawn(*shape, dtype=real):
        return (random.normal(size=shape) * 1000).astype(dtype)

    made = []
    for s, M, n, m in ((2, 5, 30, 784), (1, 1, 3, 17), (3, 6, 10, 5)):
        w, b, a, delta = drawn(n, m), drawn(n), drawn(s, M, m), drawn(s, M, n)
        z, G, g = np.empty((s, M, n), real), np.empty((s, n, m), real), np.empty((s, n), real)
        network.weighted_sums(w, b, a, z)
        network.outer_sums(delta, a, G)
        network.sample_sums(delta, g, 0.125)
        total, largest, units, mean = (
            drawn(n * m, dtype=whole),
            np.zeros(s, real),
            np.empty(1, whole),
            np.empty(n * m, real),
        )
        exact.count(G.reshape(s, -1), total, largest, False, M == 5)
        exact.count_products(delta, a, total[1:], largest, 0.5, 1, M == 6, M == 5)
        exact.mean(total, 1 / 3, mean)
        v = mean.copy()
        exact.descend(total, 1 / 7, 0.1, v)
        exact.units(largest.reshape(s, 1), 0.01, 2.0**17, units)
        whole_sum, sum_ = np.empty_like(total), np.empty_like(v)
        hostmemory.add(total, drawn(s, n * m, dtype=whole), whole_sum)
        hostmemory.add(v, drawn(s, n * m), sum_)
        made += [
            part.tobytes()
            for part in (z, G, g, delta, total, largest, mean, v, units, whole_sum, sum_)
        ]
    return made


@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.slow
def test_registers_of_any_width_give_the_same_bits(tmp_path, real):
    assert sorted(COMPILED) == ["_exact", "_hostmemory", "_network"]
    widest, narrow = (
        [built(name, tmp_path / f"{name}-{number}", *more) for name in sorted(COMPILED)]
        for number, more in enumerate(((), ("-DFOR_EACH_CPU=",)))
    )
    assert results(*widest, real) == results(*narrow, real)
