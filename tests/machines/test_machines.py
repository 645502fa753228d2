"""CPUs of other kinds, emulated by qemu, end the runs of small_runs.py with the constants in it.

64-bit ARM as a small core and as a large one with SVE, x86-64 without AVX2 and FMA, and with them.  Where a kind of CPU
cannot be had, the skip says why; .ci/run installs what they need.  Big-endian s390x is run by hand:

    apt-get install qemu-user-static gcc-s390x-linux-gnu libc6-dev-s390x-cross
    DISTMLP_S390X=1 launch/test tests/machines
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import roots
import small_runs

#: On s390x, and where others use the cores too, a test waits for longer than the suite allows.
pytestmark = pytest.mark.timeout(1800)

#: The slowest first: it makes each fma by software.
CPUS = [
    ("x86_64", "Nehalem"),
    ("x86_64", "Haswell"),
    ("aarch64", "cortex-a53"),
    ("aarch64", "max"),
]
if os.environ.get("DISTMLP_S390X"):
    CPUS.append(("s390x", "max"))


#: In numpy alone an emulated step takes seconds; test_arithmetic_law.py trains all of the runs so, on this machine's CPU.
RUNS = {"compiled": small_runs.NAMES, "numpy": ["float32-sgd", "float64-sgd"]}
IN_NUMPY = {"cortex-a53", "Nehalem"}
JOBS = [
    (machine, cpu, parts)
    for parts in RUNS
    for machine, cpu in CPUS
    if parts == "compiled" or cpu in IN_NUMPY
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """trained(machine, cpu, parts): what small_runs.py printed there.

    All start with the first call, as many at a time as there are cores, so that tests do not wait for one after another.
    """
    home = tmp_path_factory.mktemp("machines")
    installed = {}
    for machine, _ in dict(CPUS).items():
        try:
            root = roots.make(machine)
            for parts in RUNS:
                at = home / machine / parts
                installed[machine, parts] = (
                    root,
                    roots.install(root, at, compiled=parts == "compiled"),
                )
        except roots.CannotBeMade as error:
            installed[machine, "compiled"] = installed[machine, "numpy"] = error

    def train(machine, cpu, parts):
        root, at = installed[machine, parts]
        words = [small_runs.__file__, home / f"{cpu}-{parts}", *RUNS[parts]]
        return json.loads(root.run(words, cpu=cpu, path=[at], cwd=home, timeout=1500))

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        started = {
            job: pool.submit(train, *job)
            for job in JOBS
            if not isinstance(installed[job[0], job[2]], roots.CannotBeMade)
        }

        def trained(machine, cpu, parts):
            if (machine, cpu, parts) not in started:
                pytest.skip(f"no {machine} here: {installed[machine, parts]}")
            return started[machine, cpu, parts].result()

        yield trained
        for job in started.values():
            job.cancel()


@pytest.mark.parametrize("machine, cpu, parts", JOBS)
def test_every_kind_of_cpu_has_the_digests(machine, cpu, parts, trained, digests):
    assert trained(machine, cpu, parts) == {name: digests[name] for name in RUNS[parts]}
