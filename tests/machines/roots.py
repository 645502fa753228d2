"""Makes Pythons of other CPUs, with numpy and h5py, that run on this machine under qemu's user-mode emulation.

    python tests/machines/roots.py aarch64      64-bit ARM, little-endian
    python tests/machines/roots.py s390x        IBM Z, big-endian; nothing here runs it by itself
    python tests/machines/roots.py x86_64       this machine's own Python, for x86-64 CPUs without AVX2 or FMA

Each line makes a root in .machines/ and prints the command that runs a Python there.  A root that is made
already is kept.  Making one needs an x86-64 Debian, apt-get, pip, and what .ci/run installs for it: qemu and a
cross compiler.  Nothing is installed by it, and the kernel is told nothing (binfmt_misc).
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
ROOTS = PROJECT / ".machines"


class CannotBeMade(Exception):
    """A root cannot be made here; the message says what is missing."""


@dataclass(frozen=True)
class Machine:
    """What Debian, gcc and PyPI call a kind of machine, and what its root is made of.

    suite: the Debian release that Python comes from.  packages: what it has beside Python.
    wheels: whether PyPI has numpy and h5py for it; otherwise they are among the packages.
    """

    name: str
    debian: str
    suite: str
    packages: tuple[str, ...]
    wheels: bool


MACHINES = {
    "aarch64": Machine("aarch64", "arm64", "bookworm", (), wheels=True),
    # The first Debian that has numpy 2.1 or newer, and all of whose packages can be had.
    "s390x": Machine("s390x", "s390x", "forky", ("python3-numpy", "python3-h5py"), wheels=False),
}


@dataclass(frozen=True)
class Root:
    """A Python of a kind of machine: how it is started, and where it finds its packages.

    start: the words before those of Python's own, without the CPU.  path: the folders for PYTHONPATH.
    """

    machine: str
    start: tuple[str, ...]
    path: tuple[Path, ...]

    def run(self, words: list, *, cpu: str | None = None, path=(), timeout=600, env=None, cwd=None):
        """Runs `python WORDS` there and returns what it printed.  Raises CalledProcessError.

        cpu: a name of qemu's; None is qemu's default.  path: more folders for PYTHONPATH, the first ones.
        """
        command = [
            self.start[0],
            *(["-cpu", cpu] if cpu else []),
            *self.start[1:],
            *map(str, words),
        ]
        # What this machine sets for its own CPU, and its own programs, are not for the emulated one.
        foreign = ("OPENBLAS_", "LD_", "NPY_", "PYTHON", "QEMU_")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        clean["PYTHONPATH"] = os.pathsep.join(map(str, (*path, *self.path)))
        clean["PYTHONNOUSERSITE"] = "1"
        return _run(command, timeout=timeout, env=clean | (env or {}), cwd=cwd)


def _run(command: list, **more) -> str:
    done = subprocess.run(
        list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True, **more
    )
    if done.returncode:
        error = subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        error.add_note(f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        raise error
    return done.stdout


def emulator(machine: str) -> str:
    """The program that runs a machine's programs.  Raises CannotBeMade."""
    found = shutil.which(f"qemu-{machine}-static") or shutil.which(f"qemu-{machine}")
    if found is None:
        raise CannotBeMade(
            f"no qemu-{machine}-static on the path (on Debian, apt-get install qemu-user-static)"
        )
    return found


def compiler(machine: str) -> str:
    """The cross compiler for a machine.  Raises CannotBeMade."""
    found = shutil.which(f"{machine}-linux-gnu-gcc")
    if found is None:
        raise CannotBeMade(
            f"no {machine}-linux-gnu-gcc on the path (on Debian, apt-get install "
            f"gcc-{machine}-linux-gnu libc6-dev-{MACHINES[machine].debian}-cross)"
        )
    return found


def own_python() -> Root:
    """This machine's Python with this environment's packages, for other CPUs of its kind.  Raises CannotBeMade."""
    if platform.machine() != "x86_64":
        raise CannotBeMade(f"this machine is no x86-64 one but {platform.machine()}")
    return Root("x86_64", (emulator("x86_64"), sys.executable), ())


def make(machine: str) -> Root:
    """The root of a machine, made where it is not there yet.  Raises CannotBeMade."""
    if machine == "x86_64":
        return own_python()
    if platform.machine() != "x86_64":
        raise CannotBeMade(f"roots are made on x86-64, and this machine is {platform.machine()}")
    kind, at = MACHINES[machine], ROOTS / machine
    start = emulator(machine)
    compiler(machine)
    stamp = at / "made-from"
    made_from = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != made_from:
        shutil.rmtree(at, ignore_errors=True)
        at.mkdir(parents=True)
        try:
            _unpack_debian(kind, at)
            root = _root(kind, at, start)
            _install_packages(kind, at, root)
        except (OSError, subprocess.SubprocessError) as error:
            raise CannotBeMade(f"{error}: {' '.join(getattr(error, '__notes__', []))}") from error
        stamp.write_text(made_from)
    return _root(kind, at, start)


def _root(kind: Machine, at: Path, start: str) -> Root:
    python = next(path for path in at.glob("root/usr/bin/python3.*") if path.name[8:].isdigit())
    path = (at / "packages", at / "root/usr/lib/python3/dist-packages")
    return Root(kind.name, (start, "-L", str(at / "root"), str(python)), path)


def _unpack_debian(kind: Machine, at: Path) -> None:
    """Unpacks Python, and all it needs, into at/root; no script of the packages is run."""
    own = at / "apt"
    for folder in ("lists/partial", "archives/partial", "none"):
        (own / folder).mkdir(parents=True)
    (own / "status").touch()
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (own / "sources.list").write_text(
        f"deb [signed-by={keyring}] {_debian_mirror()} {kind.suite} main\n"
    )
    settings = {
        "APT::Architecture": kind.debian,
        "APT::Architectures::": kind.debian,
        "APT::Install-Recommends": "0",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Dir::Etc::sourcelist": own / "sources.list",
        "Dir::Etc::sourceparts": own / "none",
        "Dir::Etc::preferencesparts": own / "none",
        "Dir::State::lists": own / "lists",
        "Dir::State::status": own / "status",
        "Dir::State::extended_states": own / "extended",
        "Dir::Cache::archives": own / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
    }
    apt = ["apt-get", "-qq", *(word for k, v in settings.items() for word in ("-o", f"{k}={v}"))]
    wanted = ("python3-minimal", "libpython3-stdlib", "libstdc++6", *kind.packages)
    _run([*apt, "update"], timeout=120)
    _run([*apt, "install", "-y", "--download-only", *wanted], timeout=300)
    root = at / "root"
    root.mkdir()
    archives = own / "archives"
    for package in archives.glob("*.deb"):
        _run(["dpkg-deb", "-x", package, root])
    # Python's headers alone: the cross compiler brings those of the C library.
    version = next(root.glob("usr/bin/python3.*[0-9]")).name
    _run([*apt, "download", f"lib{version}-dev"], cwd=archives, timeout=120)
    headers = at / "headers"
    for package in archives.glob(f"lib{version}-dev_*.deb"):
        _run(["dpkg-deb", "-x", package, headers])
    _link(root)
    shutil.rmtree(own)


def _debian_mirror() -> str:
    """Where this machine gets Debian from."""
    asked = ("$(REPO_URI)", "Created-By: Packages", "Origin: Debian", "Component: main")
    found = _run(["apt-get", "indextargets", "--format", *asked]).split()
    if not found:
        raise CannotBeMade("apt-get knows no Debian to get packages from")
    return found[0]


def _link(root: Path) -> None:
    """Makes the links and folders that the packages' scripts would have made."""
    for name in ("bin", "sbin", "lib", "lib64"):
        if (root / "usr" / name).exists() and not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    for library in root.glob("usr/lib/*/*/lib*.so.3"):
        if library.parent.name in ("blas", "lapack"):
            (library.parent.parent / library.name).symlink_to(
                library.relative_to(library.parents[1])
            )
    # qemu takes this machine's file where the root has none.
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/ld.so.cache").touch()


def _install_packages(kind: Machine, at: Path, root: Root) -> None:
    """Installs wheels of what pyproject.toml asks for, but for MPI, into at/packages."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    wanted = [word for word in wanted if not word.startswith("mpi4py")]
    if not kind.wheels:
        wanted = [word for word in wanted if not re.match("numpy|h5py", word)]
    version = root.run(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()
    tags = ("2_28", "2_27", "2_17")
    platforms = [word for tag in tags for word in ("--platform", f"manylinux_{tag}_{kind.name}")]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    how = ["--only-binary=:all:", "--implementation=cp", f"--python-version={version}"]
    where = ["--root-user-action=ignore", f"--target={at / 'packages'}"]
    alone = [] if kind.wheels else ["--no-deps"]
    _run([*pip, *how, *platforms, *where, *alone, *wanted], timeout=300)
    # Compiles what a run imports, since each emulated start would compile it again.
    names = [re.match(r"[\w-]+", word)[0].replace("-", "_") for word in wanted]
    root.run(["-c", f"import numpy, h5py, {', '.join(names)}"])


def install(root: Root, at: Path, *, compiled: bool) -> Path:
    """Copies the package into a folder, and returns the folder that the root's PYTHONPATH needs for it.

    compiled: with its compiled parts, built by the package's own setuptools and the cross compiler; for this machine's
    own kind they are in the checkout.  Raises CannotBeMade, or CalledProcessError where they do not compile.
    """
    if compiled and root.machine not in MACHINES:
        return _with_compiled_parts(PROJECT)
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(PROJECT / "distmlp", at / "distmlp", ignore=ignored)
    if not compiled:
        return at
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, at)
    cc = compiler(root.machine)
    headers = ROOTS / root.machine / "headers/usr/include"
    python = next(headers.glob("python3.*"))
    env = {"CC": cc, "LDSHARED": f"{cc} -shared", "CFLAGS": f"-I{python} -I{headers}"}
    build = "from setuptools import setup; setup()"
    root.run(["-c", build, "-q", "build_ext", "--inplace"], env=env, cwd=at)
    return _with_compiled_parts(at)


def _with_compiled_parts(at: Path) -> Path:
    if not list(at.glob("distmlp/kernels/*.so")):
        raise CannotBeMade(f"there are no compiled parts in {at / 'distmlp/kernels'}")
    return at


def main() -> None:
    for machine in sys.argv[1:]:
        try:
            root = make(machine)
        except CannotBeMade as error:
            sys.exit(f"{machine}: {error}")
        print(f"PYTHONPATH={':'.join(map(str, root.path))}", *root.start)


if __name__ == "__main__":
    main()
