"""v is the same bits in hostile surroundings: ranks of different widths, other libraries' kernels, threads and modes.

Each test trains the small runs of small_runs.py in new processes, under something that has changed bits of other
arithmetic, and compares with the constants.
"""

import json
import os
import shutil
import subprocess

import pytest
from example import write_config, write_set
from launching import ROOT, distmlp, run_ranks, train_small_runs
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from small_runs import SMALL

from distmlp.kernels import choice
from distmlp.runs import events

pytestmark = pytest.mark.slow

#: numpy's own kernels beyond those of the oldest CPUs, which it can be told to leave off.
NUMPYS = [name for name in __cpu_dispatch__ if __cpu_features__[name]]


#: Runs a script or a module as a rank whose setting is that of its number: `NAME=VALUE,NAME=VALUE SCRIPT WORDS`.
BY_RANK = """
import os, runpy, sys
rank = next(int(os.environ[name]) for name in ("OMPI_COMM_WORLD_RANK", "PMI_RANK") if name in os.environ)
name, value = sys.argv[1].split(",")[rank].split("=")
os.environ[name] = value
sys.argv = sys.argv[2:]
run = runpy.run_path if sys.argv[0].endswith(".py") else runpy.run_module
run(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def small(digests):
    return {name: digests[name] for name in SMALL}


@pytest.fixture(scope="module")
def widths():
    """The widths that this CPU has kernels of, the widest first."""
    if choice.compiled is None:
        pytest.skip("nothing is compiled here, so there are no widths")
    return choice.compiled.widths()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A directory with a set, a config, and a run of it."""
    home = tmp_path_factory.mktemp("trained")
    write_set(home / "set.h5")
    done = distmlp("train", write_config(home / "config.toml"))
    assert done.status == 0, done.err
    return home


@pytest.mark.parametrize("width", choice.WIDTHS)
def test_any_width(width, widths, small, tmp_path):
    if width not in widths:
        pytest.skip(f"this CPU has no kernels of width {width}")
    assert train_small_runs(tmp_path, *SMALL, env={"DISTMLP_WIDTH": width}) == small


@pytest.mark.parametrize("width", [*choice.WIDTHS, "1024"])
@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_a_width_that_the_cpu_lacks_is_refused_in_a_sentence(command, width, widths, trained):
    if width in widths:
        pytest.skip(f"this CPU has kernels of width {width}")
    words = [command, trained / "config.toml" if command == "train" else trained / "run"]
    if command == "predict":
        words += ["--data", f"{trained / 'set.h5'}:/test", "--output", trained / "out.h5"]
    done = distmlp(*words, env={"DISTMLP_WIDTH": width})
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert f"DISTMLP_WIDTH is {width}" in done.err.replace("'", "")
    assert not (trained / "out.h5").exists()


def test_one_rank_whose_cpu_lacks_the_width_ends_the_job_in_a_sentence(mpi, trained):
    words = [
        "-c",
        BY_RANK,
        "OTHER=1,DISTMLP_WIDTH=1024",
        "distmlp",
        "train",
        trained / "config.toml",
    ]
    done = run_ranks(mpi, 2, words)
    assert done.status == 2, done.err
    (said,) = done.said
    assert "rank 1" in said
    assert "DISTMLP_WIDTH is" in said


def test_without_the_compiled_part(small, tmp_path):
    assert train_small_runs(tmp_path, *SMALL, env={"DISTMLP_COMPILED": "0"}) == small


def test_a_width_of_nothing_compiled_is_refused_in_a_sentence(trained):
    env = {"DISTMLP_WIDTH": "256", "DISTMLP_COMPILED": "0"}
    done = distmlp("evaluate", trained / "run", env=env)
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert "DISTMLP_WIDTH is 256, but DISTMLP_COMPILED is 0" in done.err


def test_training_in_numpy_says_that_it_is_slow_and_why(trained, tmp_path):
    words = ["train", trained / "config.toml", "--set", f"run.directory={tmp_path / 'run'}"]
    done = distmlp(*words, env={"DISTMLP_COMPILED": "0"})
    assert done.status == 0, done.err
    assert "hundreds of times slower (DISTMLP_COMPILED is 0)" in done.out
    (began, *_) = events.since(tmp_path / "run", None)
    assert began["kernels"] == "numpy (nothing compiled, so slow)"


def test_training_in_numpy_from_python_warns_of_it_unless_it_was_asked_for(trained, tmp_path):
    """As a script in a checkout does whose sources are not compiled: the quickstart's run takes minutes there."""
    train = (
        "import sys; sys.modules['distmlp.kernels._kernels'] = None; import distmlp; "
        "config = distmlp.load_config(sys.argv[1], ['run.directory=' + sys.argv[2]]); "
        "distmlp.train(config, resume='never')"
    )
    words = ["-c", train, trained / "config.toml", tmp_path / "run"]
    done = run_ranks(None, 1, words)
    assert done.status == 0, done.err
    assert "UserWarning: the kernels run in numpy" in done.err and "compiled" in done.err
    done = run_ranks(None, 1, words, env={"DISTMLP_COMPILED": "0"})
    assert (done.status, done.err) == (0, "")


def test_ranks_of_different_widths_are_one_job(mpi, widths, small, tmp_path):
    """As ranks on x86 with AVX-512 and without it are, and one that has no compiled part."""
    settings = [f"DISTMLP_WIDTH={width}" for width in widths] + ["DISTMLP_COMPILED=0"]
    script = ROOT / "tests" / "small_runs.py"
    words = ["-c", BY_RANK, ",".join(settings), script, tmp_path, *SMALL]
    done = run_ranks(mpi, len(settings), words, timeout=200)
    assert done.status == 0, done.err
    assert json.loads(done.out) == small


#: What chooses other kernels in other libraries, or more threads.
HOSTILE = {
    "glibc": {
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-AVX2,-FMA4,-AVX512F,-AVX2_Usable,-FMA_Usable"
    },
    "openblas": {"OPENBLAS_CORETYPE": "Nehalem"},
    "numpy": {"NPY_DISABLE_CPU_FEATURES": " ".join(NUMPYS)},
    "threads": {
        "OPENBLAS_NUM_THREADS": "4",
        "OMP_NUM_THREADS": "4",
        "MKL_NUM_THREADS": "4",
        "BLIS_NUM_THREADS": "4",
    },
}


@pytest.mark.parametrize("settings", HOSTILE.values(), ids=HOSTILE)
def test_other_libraries_kernels_and_threads(settings, small, tmp_path):
    assert train_small_runs(tmp_path, *SMALL, env=settings) == small


#: What a library does that is compiled with -ffast-math: from when it is loaded on, subnormals are zeros.
FAST_MATH = """
#include <xmmintrin.h>
__attribute__((constructor)) static void flush_to_zero(void) { _mm_setcsr(_mm_getcsr() | 0x8040); }
"""


@pytest.fixture(scope="module")
def fast_math(tmp_path_factory):
    """A library that switches flush-to-zero on."""
    if not shutil.which("gcc") or os.uname().machine != "x86_64":
        pytest.skip("needs gcc on x86-64")
    home = tmp_path_factory.mktemp("fast-math")
    (home / "fast.c").write_text(FAST_MATH)
    library = home / "libfast.so"
    command = ["gcc", "-shared", "-fPIC", "-O2", "-ffast-math", "-o", library, home / "fast.c"]
    subprocess.run(command, check=True)
    return library


def test_the_library_does_flush_to_zero(fast_math):
    """So that the test below it can fail."""
    smallest = "import numpy; print(float(numpy.float64(5e-324) * numpy.float64(1.0)))"
    done = run_ranks(None, 1, ["-c", smallest], env={"LD_PRELOAD": str(fast_math)})
    assert done.out == "0.0\n"


def test_flush_to_zero_switched_on_by_another_library(fast_math, small, tmp_path):
    assert train_small_runs(tmp_path, *SMALL, env={"LD_PRELOAD": str(fast_math)}) == small


@pytest.mark.parametrize("first", ["numpy", "numpy, h5py, numpy.linalg, mpi4py.MPI", "distmlp"])
def test_what_is_imported_first(first, small, tmp_path):
    """From Python it does not matter whether numpy was there before."""
    code = f"import {first}, runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    script = ROOT / "tests" / "small_runs.py"
    env = {"OPENBLAS_NUM_THREADS": "2", "OPENBLAS_CORETYPE": "Sandybridge"}
    done = run_ranks(None, 1, ["-c", code, script, tmp_path, *SMALL], env=env)
    assert done.status == 0, done.err
    assert json.loads(done.out) == small
