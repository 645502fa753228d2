"""Holds the known answers: right here at every width and in numpy; and what breaks them is found, mended or refused by name."""

import os
import platform
import subprocess
import sys

import example
import pytest
from widths import _kernels, compiled, each_width, running

from distmlp.errors import InputError
from distmlp.kernels import choice, known_answers

#: Bits of the control register that another library may set: what is wrong then, and the message's words for it.
MODES = {
    "flush to zero": (0x8000, "takes subnormal numbers for zero"),
    "subnormals are zeros": (0x0040, "takes subnormal numbers for zero"),
    "rounding down": (0x2000, "does not round to the nearest number"),
    "rounding up": (0x4000, "does not round to the nearest number"),
    "rounding to zero": (0x6000, "does not round to the nearest number"),
}
HOSTILE = """
#include <xmmintrin.h>
__attribute__((constructor)) static void change(void) { _mm_setcsr(_mm_getcsr() | BITS); }
"""


@each_width
def test_every_width_has_the_known_answers(width, monkeypatch):
    with running(width) as kernels:
        monkeypatch.setattr(choice, "compiled", kernels)
        assert known_answers.check() is False


@compiled
def test_a_build_of_other_sources_is_not_called(monkeypatch):
    monkeypatch.setattr(_kernels, "INTERFACE", choice.INTERFACE - 1)
    assert choice._compiled() == (None, choice.OF_OTHER_SOURCES)


@pytest.mark.parametrize("name", known_answers.ANSWERS)
def test_a_wrong_answer_is_refused_by_name(name, monkeypatch):
    compute, _ = known_answers.ANSWERS[name]
    monkeypatch.setitem(known_answers.ANSWERS, name, (compute, "0" * 64))
    with pytest.raises(InputError, match=f"computes {name} to different bits"):
        known_answers.check()


@pytest.fixture(params=MODES)
def hostile(request, tmp_path):
    """A library that changes the mode of arithmetic when it is loaded, and what that is called."""
    bits, words = MODES[request.param]
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(
            f"the library that changes the mode is written for x86-64, not {platform.machine()}"
        )
    (tmp_path / "hostile.c").write_text(HOSTILE)
    made = subprocess.run(
        ["cc", f"-DBITS={bits}", "-shared", "-fPIC", "hostile.c", "-o", "hostile.so"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    if made.returncode:
        pytest.skip(f"no C compiler makes the library that changes the mode: {made.stderr}")
    return tmp_path / "hostile.so", words


def ran(library, words, **variables):
    """A process of Python that loads the library first."""
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **variables, "LD_PRELOAD": str(library)},
    )


@pytest.mark.skipif(choice.compiled is None, reason="nothing compiled is there")
def test_the_compiled_part_switches_subnormal_numbers_on(hostile):
    """For this thread and for those that it starts."""
    library, words = hostile
    if "round" in words:
        pytest.skip("a wrong rounding mode is refused, not mended")
    says = """
from threading import Thread
from distmlp.kernels.known_answers import check
print(check(), check())
small = float.fromhex("0x1p-1074")
def show():
    print(small * 1.0 == small)
show()
thread = Thread(target=show)
thread.start()
thread.join()
"""
    done = ran(library, ["-c", says], DISTMLP_COMPILED="1")
    right = "True\n"
    assert (done.stdout, done.returncode) == (f"True False\n{right}{right}", 0), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("compiled", ["0", "1"])
def test_what_cannot_be_mended_is_refused(hostile, compiled):
    library, words = hostile
    if compiled == "1" and "subnormal" in words and choice.compiled is not None:
        pytest.skip("the compiled part mends it")
    says = """
import sys
from distmlp.errors import InputError
from distmlp.kernels import known_answers
try:
    known_answers.check()
except InputError as error:
    sys.exit(str(error))
"""
    done = ran(library, ["-c", says], DISTMLP_COMPILED=compiled)
    assert done.returncode == 1 and words in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_command_ends_with_one_sentence_and_status_2(hostile, tmp_path):
    library, words = hostile
    example.write_set(tmp_path / "set.h5")
    config = example.write_config(tmp_path / "config.toml")
    done = ran(library, ["-m", "distmlp", "train", str(config)], DISTMLP_COMPILED="0")
    said = [line for line in done.stderr.splitlines() if line.startswith("distmlp: ")]
    assert done.returncode == 2 and len(said) == 1 and words in said[0], done.stderr
    assert not (tmp_path / "run").exists()
