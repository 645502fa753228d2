"""A user's directory on a test cluster, and what the user types there."""

import json
import os
import subprocess
from pathlib import Path

import example
from cluster import Cluster, Job

#: Epochs: to be interrupted several times or while other jobs begin, once, and not at all; a checkpoint is never far.
LONGEST, LONG, SHORT = 150, 75, 3
CHANGES = {"training.epochs": LONG, "run.checkpoint_every": "5 epochs", "run.keep": 4}


class Site:
    """A user's directory with a config and its data, and what the user types there."""

    def __init__(self, cluster: Cluster, place: Path):
        self.cluster, self.place, self.run = cluster, place, place / "run"
        example.write_set(place / "set.h5")
        self.configure()

    def configure(self, changes: dict = {}):
        example.write_config(self.place / "config.toml", {**CHANGES, **changes})

    def environment(self, mpi, **more) -> dict:
        """A login shell's, with the MPI's environment activated; jobs inherit it."""
        return {
            **{
                name: value
                for name, value in self.cluster.env.items()
                if not name.startswith(("OMPI_", "PMI", "DISTMLP_"))
            },
            "PATH": f"{mpi.bin}{os.pathsep}{os.environ['PATH']}",
            # What is special here: root, no network to look for, and nodes that share one machine's cores.
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_btl": "^ofi",
            "OMPI_MCA_mpi_yield_when_idle": "1",
            "DISTMLP_BIND": "none",
            "TMPDIR": str(self.cluster.dir / "tmp"),
            **more,
        }

    def type(self, mpi, *words, status: int = 0, **more) -> subprocess.CompletedProcess:
        """A command, typed in the directory; more: environment variables."""
        done = subprocess.run(
            self.cluster.on(0, *words),
            cwd=self.place,
            env=self.environment(mpi, **more),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == status, (
            f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
        return done

    def submit(self, mpi, *options, ntasks: int = 2, **more) -> Job:
        """distmlp submit."""
        said = self.type(
            mpi,
            "distmlp",
            "submit",
            "config.toml",
            "--ntasks",
            ntasks,
            "--time",
            "30:00",
            *options,
            **more,
        ).stdout
        number = said.split(",")[0].removeprefix("submitted as job ")
        return Job(self.cluster, number, self.run / f"job-{number}.out")

    def sbatch(self, mpi, *words, **more) -> Job:
        """sbatch by hand."""
        said = self.type(mpi, "sbatch", "--parsable", *words, **more).stdout.strip()
        return Job(self.cluster, said, self.place / f"slurm-{said}.out")

    def step(self) -> int:
        """The newest checkpoint's; 0 where there is none."""
        return max(example.steps(self.run), default=0) if (self.run / "checkpoints").exists() else 0

    def until_further(self, job: Job) -> None:
        """Returns once the job has written a checkpoint beyond what is there now."""
        before = self.step()
        job.until(lambda: self.step() > before, "new checkpoint")

    def v(self, epoch: int = LONG) -> str:
        """v_sha256 as the run's end mark has it; the run must be complete after this epoch."""
        record = example.log(self.run)[-1]
        marked = json.loads((self.run / "finished.json").read_text())
        assert (record["epoch"], record["step"], record["v_sha256"]) == (
            epoch,
            marked["step"],
            marked["v_sha256"],
        )
        return marked["v_sha256"]
