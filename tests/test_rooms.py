"""Holds the rooms: imports point down one list, and modules are short, typed and whole in a wheel."""

import ast
import functools
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import distmlp

PACKAGE = Path(distmlp.__file__).parent

#: The floors, lowest first: folders and single modules.  Those on one floor do not import each other.
FLOORS = [
    ["errors", "files", "arithmetic", "wording"],
    ["kernels"],
    ["mathematics", "parallel", "config"],
    ["data", "runs"],
    ["training", "cluster"],
    ["results"],
    ["many", "estimator"],
    ["__init__"],
    ["cli"],
    ["__main__"],
]
FLOOR = {place: number for number, places in enumerate(FLOORS) for place in places}
COMPILED = [path.stem for path in PACKAGE.glob("kernels/_*.c") if path.stem != "_kernels"]
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
MATHEMATICS = sorted(path.stem for path in PACKAGE.glob("mathematics/[!_]*.py"))

each_module = pytest.mark.parametrize(
    "module", MODULES, ids=[str(path.relative_to(PACKAGE)) for path in MODULES]
)


def place_of(module):
    """The folder of a module, or its own name where it lies in none."""
    return module.relative_to(PACKAGE).with_suffix("").parts[0]


@functools.cache
def tree_of(module):
    return ast.parse(module.read_text(encoding="utf-8"))


def imports_of(module):
    """(node, dotted name) of all that is imported, anywhere in a module; `from a import b` is a.b."""
    tree = tree_of(module)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((tree, node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "modules are imported by their full names"
            yield from ((tree, node, f"{node.module}.{alias.name}") for alias in node.names)


def places_imported(module):
    """The folders and modules that a module imports; a name that is neither is distmlp/__init__.py's own."""
    for _, _, name in imports_of(module):
        top, *below = name.split(".")
        if top == "distmlp":
            yield below[0] if below and below[0] in FLOOR else "__init__"


def test_every_module_is_on_a_floor():
    assert {place_of(module) for module in MODULES} <= set(FLOOR)


@each_module
def test_imports_point_down(module):
    here = place_of(module)
    up = {
        there for there in places_imported(module) if there != here and FLOOR[there] >= FLOOR[here]
    }
    assert up == set()


def names_of(module):
    """A module's dotted name below distmlp."""
    return ".".join(module.relative_to(PACKAGE).with_suffix("").parts)


def test_no_imports_go_round_in_a_circle():
    """Within a folder as well, and also through imports inside of functions."""
    names = {names_of(module) for module in MODULES}
    after = {}
    for module in MODULES:
        found = {name.removeprefix("distmlp.") for _, _, name in imports_of(module)}
        after[names_of(module)] = {
            name for words in found for name in (words, words.rpartition(".")[0]) if name in names
        } - {names_of(module)}
    assert sum(map(len, after.values())) > 50
    graphlib.TopologicalSorter(after).prepare()  # raises CycleError, which names the circle


#: The most lines of a module, a class and a function, and those that are longer with the reason why.
LENGTHS = {"module": 300, ast.ClassDef: 150, ast.FunctionDef: 60}


def lengths_of(module):
    """(what it is, its name, its lines) of a module and of each class and function in it."""
    text = module.read_text(encoding="utf-8")
    yield "module", names_of(module), len(text.splitlines())
    for node in ast.walk(tree_of(module)):
        if type(node) in LENGTHS:
            lines = node.end_lineno - node.lineno + 1
            yield type(node), f"{names_of(module)}.{node.name}", lines


def test_modules_classes_and_functions_are_read_in_one_sitting():
    found = {
        name
        for module in MODULES
        for kind, name, lines in lengths_of(module)
        if lines > LENGTHS[kind]
    }
    assert not found


@each_module
def test_only_functions_of_parallel_import_mpi4py(module):
    found = [
        (tree, node) for tree, node, name in imports_of(module) if name.split(".")[0] == "mpi4py"
    ]
    assert not found or place_of(module) == "parallel"
    for tree, node in found:
        functions = (ast.FunctionDef, ast.Lambda)
        assert any(node in ast.walk(f) for f in ast.walk(tree) if isinstance(f, functions))


@each_module
def test_mathematics_imports_numpy_and_kernels_and_nothing_else(module):
    if place_of(module) != "mathematics":
        return
    others = {name.split(".")[0] for _, _, name in imports_of(module)} - {"distmlp"}
    assert others - sys.stdlib_module_names <= {"numpy"}
    assert set(places_imported(module)) <= {"mathematics", "kernels"}


#: What is there before numpy is: the standard library is all that they need.
PLAIN = (
    "config",
    "errors",
    "files",
    "cluster.hosts",
    "cluster.mpirun",
    "parallel.openmpi",
    "__init__",
)


def test_what_comes_before_numpy_imports_the_standard_library_only():
    plain = [m for m in MODULES if names_of(m).startswith(PLAIN)]
    assert len(plain) >= len(PLAIN)
    for module in plain:
        # A function may import more when it is called.
        at_once = tree_of(module).body
        names = [n.module for n in at_once if isinstance(n, ast.ImportFrom)]
        names += [alias.name for n in at_once if isinstance(n, ast.Import) for alias in n.names]
        ours = {name for name in names if name.split(".")[0] == "distmlp"}
        assert {name.split(".")[0] for name in names} - {"distmlp"} <= sys.stdlib_module_names
        inside = {name.removeprefix("distmlp.") for name in ours} - {"distmlp"}
        assert all(name.startswith(PLAIN) for name in inside)


def test_packages_import_nothing_from_their_init():
    for module in MODULES:
        if module.name == "__init__.py" and module.parent != PACKAGE:
            assert list(imports_of(module)) == []


def modules_after(code):
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_importing_distmlp_imports_no_numpy_no_h5py_and_no_mpi():
    found = modules_after("import distmlp, distmlp.cli.main, distmlp.arithmetic")
    assert "distmlp.config.reading" in found
    assert not found & {"numpy", "h5py", "mpi4py"}


def test_mathematics_runs_without_mpi_and_files():
    found = modules_after("\n".join(f"import distmlp.mathematics.{room}" for room in MATHEMATICS))
    assert "numpy" in found
    assert not found & {"h5py", "mpi4py"}


def test_messages_cite_nothing_that_a_wheel_lacks():
    """What is said to users: every string in the code that is no docstring."""
    found = set()
    for module in MODULES:
        tree = tree_of(module)
        docs = {
            node.body[0].value
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docs:
                cited = re.findall(r"(?:docs|launch|slurm|benchmarks|tests)/\w+", node.value)
                found.update((names_of(module), words) for words in cited)
    assert {place for place, _ in found} <= {"cli.main"}  # whose parser is being split
