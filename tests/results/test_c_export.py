"""Holds that the exported C gives the bits of predict: compilers, options, Fortran, threads."""

import ctypes
import itertools
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from exporting import ACTIVATIONS, checkpoint, export, predicted, scaled_checkpoint, some_rows

from distmlp.errors import InputError
from distmlp.mathematics.activations import ACTIVATIONS as ALL

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
BUILDS = [
    ["gcc", "-std=c99", "-O2", *WARNINGS],
    ["gcc", "-O3", "-march=native", *WARNINGS],
    ["gcc", "-O1", *WARNINGS],
    ["clang", "-std=c99", "-O2", *WARNINGS],
    ["clang", "-O3", "-march=native", *WARNINGS],
    ["gcc", "-O0", "-mno-fma", *WARNINGS],
]
pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="apt-get install gcc enables it")


def test_every_activation_is_exported():
    assert set(ACTIVATIONS) == set(ALL)


def compiled(place, found, build, name="net"):
    """The exported network as a library that ctypes calls."""
    export(found, place / f"{name}.c")
    command = [*build, "-shared", "-fPIC", f"{name}.c", "-o", f"{name}.so", "-lm"]
    subprocess.run(command, cwd=place, check=True)
    return ctypes.CDLL(place / f"{name}.so")


def called(library, name, x, outputs, dtype=None):
    a = np.empty((len(x), outputs), dtype or x.dtype)
    getattr(library, f"{name}_predict")(
        ctypes.c_size_t(len(x)),
        x.ctypes.data_as(ctypes.c_void_p),
        a.ctypes.data_as(ctypes.c_void_p),
    )
    return a


def cases():
    """Each activation inside in one dtype and at the end in the other, with every kind of panel, by each build."""
    builds = itertools.cycle(build for build in BUILDS if shutil.which(build[0]))
    scales = itertools.cycle((1.0, 1 / 255, 0.5))
    for i, hidden in enumerate(ACTIVATIONS):
        layers = ((13, 31, 17, 5), (600, 24, 2), (3, 9, 8, 12))[i % 3]
        dtype = ("float32", "float64")[i % 2]
        yield (
            layers,
            hidden,
            ACTIVATIONS[(i + 3) % len(ACTIVATIONS)],
            dtype,
            next(scales),
            next(builds),
        )
    yield (4, 3), "tanh", "identity", "float32", 1.0, BUILDS[2]
    yield (40000, 3), "tanh", "identity", "float64", 1.0, next(builds)  # too wide for a tile


@pytest.mark.slow
@pytest.mark.parametrize("layers, hidden, output, dtype, scale, build", list(cases()))
def test_its_bits_are_those_of_predict(tmp_path, layers, hidden, output, dtype, scale, build):
    found, config = checkpoint(layers, hidden, output, dtype, scale)
    library = compiled(tmp_path, found, build)
    x = some_rows(layers[0], dtype, scale)
    assert called(library, "net", x, layers[-1]).tobytes() == predicted(found, config, x).tobytes()
    assert library.net_check() == 0


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes, missing", [(False, False), (True, False), (False, True)])
def test_raw_inputs_and_the_targets_own_units(tmp_path, dtype, classes, missing):
    output = "softmax" if classes else "identity"
    found, config, x = scaled_checkpoint((9, 14, 4), output, dtype, classes, missing)
    library = compiled(tmp_path, found, BUILDS[1])
    assert ("missing is a NaN" in (tmp_path / "net.h").read_text()) == missing
    right = predicted(found, config, x)
    assert right.dtype == (dtype if classes else np.float64)
    assert called(library, "net", x, 4, right.dtype).tobytes() == right.tobytes()
    assert library.net_check() == 0


@pytest.mark.slow
def test_classes_one_output_and_threads(tmp_path):
    gcc = BUILDS[1]
    found, config = checkpoint((7, 5, 3), "tanh", "softmax", "float32", 0.5, True)
    x, classes = some_rows(7, "float32", 0.5, 501), np.empty(501, np.int32)
    library = compiled(tmp_path, found, gcc)
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (x, classes)]
    library.net_classes(ctypes.c_size_t(501), *pointers)
    right = predicted(found, config, x)
    assert classes.tolist() == right.argmax(axis=1).tolist()
    with ThreadPoolExecutor(4) as threads:
        found_by = threads.map(lambda _: called(library, "net", x, 3).tobytes(), range(40))
        assert set(found_by) == {right.tobytes()}
    found, config = checkpoint((7, 5, 1), "tanh", "sigmoid", "float64", 1.0, True)
    library, x = compiled(tmp_path, found, gcc, "one"), some_rows(7, "float64", 1.0, 501)
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (x, classes)]
    library.one_classes(ctypes.c_size_t(501), *pointers)
    assert classes.tolist() == (predicted(found, config, x)[:, 0] > 0.5).tolist()


@pytest.mark.slow
def test_names_of_inputs_and_classes(tmp_path):
    found, _ = checkpoint((2, 5, 3), "tanh", "softmax", "float32", 1.0, True)
    names = {"columns": ["größe", 'a */ "b"'], "targets": ["yes", 'n"o\\', "ε??="]}
    named = replace(found, facts={**found.facts, **names})
    library = compiled(tmp_path, named, BUILDS[1])
    library.net_class_name.restype = ctypes.c_char_p
    said = [library.net_class_name(number) for number in (-1, 0, 1, 2, 3)]
    assert said == [None, *(name.encode() for name in names["targets"]), None]
    header = (tmp_path / "net.h").read_text(encoding="utf-8")
    assert "Inputs, in order: größe, a \\052/ \\042b\\042." in header
    assert "x is of float, a of float." in header
    assert "Classes, in order: yes," in header


@pytest.mark.slow
def test_the_check_finds_what_is_wrong(tmp_path):
    found, _ = checkpoint((7, 5, 3), "tanh", "sigmoid", "float32")
    library = compiled(tmp_path, found, [*BUILDS[1], "-frounding-math", "-Wno-error"])
    assert library.net_check() == 0
    ctypes.CDLL("libm.so.6").fesetround(0x400)  # downward, on x86
    try:
        differing = library.net_check()
    finally:
        ctypes.CDLL("libm.so.6").fesetround(0)
    assert differing > 0
    with pytest.raises(subprocess.CalledProcessError):
        command = ["gcc", "-Ofast", "-c", "net.c", "-o", "net.o"]
        subprocess.run(command, cwd=tmp_path, check=True, stderr=subprocess.DEVNULL)


FORTRAN = """
program main
  use, intrinsic :: iso_c_binding
  use net
  implicit none
  real({kind}) :: x(net_inputs, 67), a(net_outputs, 67)
  integer(c_int) :: classes(67)
  integer :: unit
  if (net_check() /= 0) error stop "net_check"
  open (newunit=unit, file="x.bin", access="stream", form="unformatted", status="old")
  read (unit) x
  close (unit)
  call net_predict(67_c_size_t, x, a)
  call net_classes(67_c_size_t, x, classes)
  open (newunit=unit, file="a.bin", access="stream", form="unformatted", status="replace")
  write (unit) a, classes
  close (unit)
end program
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("gfortran"), reason="apt-get install gfortran enables it")
@pytest.mark.parametrize("dtype, kind", [("float32", "c_float"), ("float64", "c_double")])
def test_fortran_calls_it(tmp_path, dtype, kind):
    found, config = checkpoint((9, 14, 4), "softplus", "softmax", dtype, 0.25, True)
    written = export(found, tmp_path / "net.c")
    assert [path.name for path in written] == ["net.c", "net.h", "net_fortran.f90"]
    x = some_rows(9, dtype, 0.25)
    x.tofile(tmp_path / "x.bin")
    (tmp_path / "main.f90").write_text(FORTRAN.format(kind=kind))
    for command in (
        ["gcc", "-O2", "-march=native", "-c", "net.c"],
        ["gfortran", "-std=f2008", *WARNINGS, "net_fortran.f90", "main.f90", "net.o", "-o", "main"],
        ["./main"],
    ):
        subprocess.run(command, cwd=tmp_path, check=True)
    right = predicted(found, config, x)
    classes = right.argmax(axis=1).astype(np.int32)
    assert (tmp_path / "a.bin").read_bytes() == right.tobytes() + classes.tobytes()


@pytest.mark.skipif(not shutil.which("gfortran"), reason="apt-get install gfortran enables it")
def test_the_fortran_module_of_scaled_columns_compiles(tmp_path):
    found, _, _ = scaled_checkpoint((9, 14, 4), "softmax", "float32", True)
    export(found, tmp_path / "net.c")
    command = ["gfortran", "-std=f2008", *WARNINGS, "-c", "net_fortran.f90"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert "real(c_double), intent(in) :: x(9, *)" in (tmp_path / "net_fortran.f90").read_text()
    assert "real(c_float), intent(out) :: a(4, *)" in (tmp_path / "net_fortran.f90").read_text()


@pytest.mark.parametrize("stem", ["my-net", "2nets", "n" * 31, "ε"])
def test_a_name_that_c_cannot_have_is_refused(tmp_path, stem):
    found, _ = checkpoint((2, 1), "tanh", "identity", "float32")
    with pytest.raises(InputError, match="is no name in C and Fortran; expected letters"):
        export(found, tmp_path / f"{stem}.c")
    assert list(tmp_path.iterdir()) == []
