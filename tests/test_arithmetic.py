"""Holds arithmetic.py: pinning that wins over any environment, departures that are named, fingerprints that tell kernels apart."""

import json
import os
import subprocess
import sys

import pytest

from distmlp import arithmetic

V3 = {"avx2", "fma"} <= arithmetic._cpu_flags()
needs_v3 = pytest.mark.skipif(
    not V3, reason="portable arithmetic pins AVX2 kernels, which this CPU has not"
)
needs_two_cpus = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="OpenBLAS runs two threads on two CPUs only"
)

#: Of this shape float32 GEMMs are known to have other bits with two threads of OpenBLAS 0.3.31.
SHAPE = "(784, 128, 10), 32, 'float32'"

SETTINGS = [
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
]


def process(code, **settings):
    """What a new process prints as JSON, with these settings and no others of those that matter here."""
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    code = f"import json, os\nfrom distmlp import arithmetic\n{code}"
    command = [sys.executable, "-W", "error", "-c", code]
    found = subprocess.run(command, env=environment | settings, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def portable():
    return {
        name: value
        for name, value in arithmetic.environment("portable").items()
        if value is not None
    }


def fingerprint(**settings):
    return process(f"print(json.dumps(arithmetic.fingerprint({SHAPE})))", **settings)


@pytest.fixture(scope="module")
def pinned_fingerprint():
    return fingerprint(**portable())


@needs_v3
def test_the_same_arithmetic_has_the_same_fingerprint(pinned_fingerprint):
    assert fingerprint(**portable()) == pinned_fingerprint


@needs_v3
@pytest.mark.parametrize("core", ["Sandybridge", "Nehalem"])
def test_other_kernels_have_another_fingerprint(core, pinned_fingerprint):
    assert fingerprint(**portable() | {"OPENBLAS_CORETYPE": core}) != pinned_fingerprint


@needs_v3
@needs_two_cpus
def test_two_threads_have_another_fingerprint(pinned_fingerprint):
    assert fingerprint(**portable() | {"OPENBLAS_NUM_THREADS": "2"}) != pinned_fingerprint


@needs_v3
@needs_two_cpus
def test_one_thread_is_one_whatever_the_environment_asked_for(pinned_fingerprint):
    code = f"""
import numpy
with arithmetic.one_thread():
    print(json.dumps(arithmetic.fingerprint({SHAPE})))"""
    assert process(code, **portable() | {"OPENBLAS_NUM_THREADS": "2"}) == pinned_fingerprint


@needs_v3
@pytest.mark.skipif(
    "NPY_DISABLE_CPU_FEATURES" not in portable(),
    reason="numpy has no kernels beyond x86-64-v3 for this CPU",
)
def test_wider_simd_has_another_fingerprint(pinned_fingerprint):
    settings = portable()
    del settings["NPY_DISABLE_CPU_FEATURES"]
    assert fingerprint(**settings) != pinned_fingerprint


def test_fingerprint_follows_shapes_and_dtype():
    code = """
shapes = [((5, 4, 3), 8), ((5, 4, 3), 7), ((5, 4, 2), 8), ((5, 4), 8)]
print(json.dumps([arithmetic.fingerprint(*shape, dtype) for shape in shapes for dtype in ("float32", "float64")]))"""
    found = process(code)
    assert len(set(found)) == 8 and all(len(x) == 64 for x in found)


@needs_v3
def test_a_pinned_process_overrides_a_hostile_environment(pinned_fingerprint):
    hostile = {
        "OPENBLAS_CORETYPE": "Nehalem",
        "OPENBLAS_NUM_THREADS": "2",
        "OMP_NUM_THREADS": "7",
        "NPY_ENABLE_CPU_FEATURES": "AVX2",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3",
    }
    code = f"""
before = arithmetic.is_pinned("portable")
arithmetic.pin("portable")
found = [before, arithmetic.is_pinned("portable"), arithmetic.describe(), arithmetic.departures("portable")]
print(json.dumps(found + [arithmetic.fingerprint({SHAPE})]))"""
    before, after, described, departures, print_ = process(code, **hostile)
    assert (before, after) == (False, True)
    assert described["simd_beyond_v3"] == []
    assert [(blas["architecture"], blas["num_threads"]) for blas in described["blas"]] == [
        ("Haswell", 1)
    ]
    assert departures == []
    assert print_ == pinned_fingerprint


def test_native_pins_the_threads_and_nothing_else():
    assert set(arithmetic.environment("native").items()) == {(name, "1") for name in SETTINGS[:4]}
    code = """
arithmetic.pin("native")
print(json.dumps([os.environ.get("OPENBLAS_CORETYPE"), arithmetic.describe(), arithmetic.departures("native")]))"""
    core, described, departures = process(code, OPENBLAS_NUM_THREADS="2")
    assert core is None and departures == []
    assert [blas["num_threads"] for blas in described["blas"]] == [1]


def departures(**settings):
    return process('print(json.dumps(arithmetic.departures("portable")))', **settings)


@needs_v3
def test_departures_name_what_differs_and_the_setting_that_mends_it():
    assert departures(**portable()) == []
    (kernels,) = departures(**portable() | {"OPENBLAS_CORETYPE": "Sandybridge"})
    assert "Sandybridge" in kernels and "OPENBLAS_CORETYPE=Haswell" in kernels


@needs_v3
@needs_two_cpus
def test_departures_name_the_threads():
    (threads,) = departures(**portable() | {"OPENBLAS_NUM_THREADS": "2"})
    assert "2 threads" in threads and "OPENBLAS_NUM_THREADS=1" in threads


@needs_v3
@pytest.mark.skipif(
    "NPY_DISABLE_CPU_FEATURES" not in portable(),
    reason="numpy has no kernels beyond x86-64-v3 for this CPU",
)
def test_departures_name_the_simd():
    settings = portable()
    disabled = settings.pop("NPY_DISABLE_CPU_FEATURES")
    (simd,) = departures(**settings)
    assert f'NPY_DISABLE_CPU_FEATURES="{disabled}"' in simd and all(
        name in simd for name in disabled.split()
    )


def flags_of(monkeypatch, flags, numpy_version="2.4.6"):
    monkeypatch.setattr(arithmetic, "_cpu_flags", lambda: set(flags.split()))
    monkeypatch.setattr(arithmetic, "version", lambda package: numpy_version)
    return arithmetic.environment("portable")


AVX512 = "avx512f avx512cd avx512bw avx512dq avx512vl"


def test_only_features_that_the_cpu_has_are_disabled(monkeypatch):
    """numpy refuses, or warns, to leave off what is not there."""
    assert flags_of(monkeypatch, "avx2 fma")["NPY_DISABLE_CPU_FEATURES"] is None
    assert flags_of(monkeypatch, f"avx2 fma {AVX512}")["NPY_DISABLE_CPU_FEATURES"] == "X86_V4"
    assert (
        flags_of(monkeypatch, f"avx2 fma {AVX512}", "2.3.5")["NPY_DISABLE_CPU_FEATURES"]
        == "AVX512F AVX512CD AVX512_SKX"
    )


def test_a_cpu_without_avx2_is_left_to_itself(monkeypatch):
    """It cannot have the portable bits; its fingerprint says so where ranks meet."""
    for flags in ("", "sse4_2 avx", "avx2"):
        assert set(flags_of(monkeypatch, flags)) == set(SETTINGS[:4])
