"""SLURM jobs: the file that `distmlp submit` writes and submits, and how far a run is.

The job itself is train.sbatch (slurm/train.sbatch, kept in the package by a link), with what was asked filled in.
So there is one script to read, whether it is submitted by hand or from here.
"""

import re
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import tomli_w

from distmlp import files
from distmlp.config.sections import Config
from distmlp.errors import InputError
from distmlp.runs import checkpoint
from distmlp.runs.directory import end_of

SCRIPT = Path(__file__).with_name("train.sbatch")

#: What an option of sbatch may be made of, and what may stand in quotes of the shell.
_PLAIN = re.compile(r"""[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"'\\#]+""")
_ONE_LINE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")

_TIME = re.compile(r"(?:([0-9]{1,9})-)?([0-9]{1,9})(?::([0-9]{1,9}))?(?::([0-9]{1,9}))?")


@dataclass(frozen=True)
class Job:
    """What is asked of SLURM.

    time: as sbatch takes it.  warning: seconds before its end at which the run is told to stop.
    launch, bind, setup, ft: DISTMLP_LAUNCH and so on of train.sbatch, None where not asked for.  more:
    further options of sbatch, as they would stand on its command line.
    """

    nodes: int
    ntasks: int
    time: str
    cpus_per_task: int = 1
    warning: int = 120
    launch: str | None = None
    bind: str | None = None
    setup: str | None = None
    ft: str | None = None
    more: tuple[str, ...] = ()


def seconds(time: str) -> int:
    """The seconds of a SLURM time: "90" minutes, "30:00", "12:00:00", "2-12", "2-12:30:00".  Raises InputError.

    >>> seconds("90"), seconds("1:30:00"), seconds("2-12")
    (5400, 5400, 216000)
    """
    found = _TIME.fullmatch(time)
    if not found:
        raise InputError(
            f'--time is {time}, but expected a time of SLURM, such as "90" (minutes), "12:00:00" or "2-12:00:00"'
        )
    days, *rest = found.groups()
    parts = [int(part) for part in rest if part is not None]
    if days is not None:  # days-hours[:minutes[:seconds]]
        hours, minutes, secs = [*parts, 0, 0][:3]
        return ((int(days) * 24 + hours) * 60 + minutes) * 60 + secs
    if len(parts) == 1:
        return parts[0] * 60
    hours, minutes, secs = [0, *parts][-3:]
    return (hours * 60 + minutes) * 60 + secs


def check(job: Job) -> None:
    """Raises InputError for what cannot be a job of this kind, or cannot stand in a job's file."""
    for name, word in [("--time", job.time), *(("--sbatch", option) for option in job.more)]:
        _check_plain(name, word)
    for name, value in (("--launch", job.launch), ("--bind", job.bind), ("--setup", job.setup)):
        if value is not None and not _ONE_LINE.fullmatch(value):
            raise InputError(f"{name} is {value!r}, but expected one line of text")
    if job.ntasks < job.nodes:
        raise InputError(
            f"--ntasks is {job.ntasks} and --nodes {job.nodes}: expected at least one task, which is one rank, a node"
        )
    if job.ft and (job.launch or "").startswith("srun"):
        raise InputError(
            f"--ft is {job.ft}, but --launch is {job.launch}: only Open MPI's mpirun can go on without lost ranks"
        )
    # SLURM may send its warning up to a minute early, and half of the time should be left to train.
    if seconds(job.time) < 2 * (job.warning + 60):
        raise InputError(
            f"--time is {job.time}, but the run would be told to stop {job.warning} s before its end, and up to a minute sooner; "
            f"expected at least {2 * (job.warning + 60) // 60} minutes, or a shorter --warning"
        )


def _check_plain(name: str, word: str) -> None:
    # A #SBATCH line ends with the line, and SLURM and the shell do not agree on quotes in it.
    if not _PLAIN.fullmatch(word):
        raise InputError(
            f"{name} is {word!r}, but a job's file takes no quotes, backslashes, #, NUL or line ends there"
        )


def script(job: Job, run: Path) -> str:
    """The text of the job for a run directory, which holds its config as job.toml.  Raises InputError."""
    _check_plain("run.directory", str(run))
    lines = SCRIPT.read_text(encoding="utf-8").splitlines()
    body = lines[max(i for i, line in enumerate(lines) if line.startswith("#SBATCH")) + 1 :]
    options = [
        f"--job-name={run.name}",
        f"--nodes={job.nodes}",
        f"--ntasks={job.ntasks}",
        f"--cpus-per-task={job.cpus_per_task}",
        f"--time={job.time}",
        f"--signal=B:USR1@{job.warning}",
        "--requeue",
        "--open-mode=append",
        f"--output={str(run).replace('%', '%%')}/job-%j.out",
        *job.more,
    ]
    settings = {"LAUNCH": job.launch, "BIND": job.bind, "SETUP": job.setup, "FT": job.ft}
    inside = sys.prefix != sys.base_prefix or (Path(sys.prefix) / "conda-meta").is_dir()
    environment = [f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"] if inside else []
    head = [
        "#!/usr/bin/env bash",
        "# Written by distmlp submit; sbatch of this file submits it again, and the run goes on.",
        *(f"#SBATCH {_quoted(option)}" for option in options),
        "",
        "# What was asked, and the virtual environment that it was asked from.",
        f"set -- {shlex.quote(str(run / 'job.toml'))}",
        *environment,
        *(
            f"DISTMLP_{name}={shlex.quote(value)}"
            for name, value in settings.items()
            if value is not None
        ),
    ]
    return "\n".join([*head, *body, ""])


def _quoted(option: str) -> str:
    """An option as a #SBATCH line takes it, which knows double quotes only."""
    return option if re.fullmatch(r"\S+", option) else f'"{option}"'


def write(job: Job, config: Config) -> Path:
    """Writes job.sbatch and job.toml, the config as resolved, into the run directory.  Raises InputError."""
    run = Path(config.run.directory)
    path = run / "job.sbatch"
    try:
        run.mkdir(parents=True, exist_ok=True)
        files.write(run / "job.toml", tomli_w.dumps(asdict(config)).encode())
        files.write(path, script(job, run).encode())
        path.chmod(0o755)
    except OSError as error:
        raise InputError(
            f"run.directory {run} cannot be written: {error.strerror or error}; expected a directory that this user may write"
        ) from None
    return path


def submit(path: Path) -> str:
    """Hands a job's file to SLURM and returns the job's id.  Raises InputError."""
    try:
        done = subprocess.run(["sbatch", "--parsable", str(path)], capture_output=True, text=True)
    except FileNotFoundError:
        raise InputError(
            f"there is no sbatch on the path; {path} is written, for a machine that has SLURM"
        ) from None
    if done.returncode:
        raise InputError(f"sbatch refused {path}: {done.stderr.strip()}")
    return done.stdout.strip().partition(";")[0]  # id;cluster


def progress(config: Config) -> tuple[bool, str]:
    """Whether the run that a config describes is complete, and in words how far it is.

    Different words mean that the run has moved.
    """
    run = Path(config.run.directory)
    end = end_of(run)
    if end is not None:
        when = datetime.fromtimestamp(end.written).isoformat(" ", "milliseconds")
        return True, f"{run} is complete since {when}, at step {end.step}"
    newest, damaged = checkpoint.newest_good(run / "checkpoints")
    if newest is None:
        return False, f"{run} has no good checkpoint" if damaged else f"{run} has not begun"
    return False, f"{run} is at step {newest.facts['step']}, not complete"
