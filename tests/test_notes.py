"""Holds the code against the notes: each equation in docs/notes-to-code.md, in the function it names, under a test; and the stop rule."""

import ast
import io
import re
import tokenize
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import distmlp
from distmlp.training.loop import meets_stop_rule
from distmlp.training.state import State

PACKAGE = Path(distmlp.__file__).parent
TESTS = Path(__file__).parent
TABLE = TESTS.parent / "docs" / "notes-to-code.md"

#: The notes' equations that the table must have, as the notes write them.
SUMMARY_BY_INDEX = [
    r"\delta_j^{(N)} = \frac{\partial C}{\partial a_j^{(N)}} \sigma' \left( z_j^{(N)} \right) = \left( a_j^{(N)} - y_j \right) \sigma' \left( z_j^{(N)} \right)",
    r"\delta_j^{(L)} = \left( \delta_k^{(L+1)} w_{kj}^{(L+1)} \right) \sigma' \left( z_j^{(L)} \right)",
    r"\frac{\partial C}{\partial w_{jk}^{(L)}} = \delta_j^{(L)} a_k^{(L-1)}",
    r"\frac{\partial C}{\partial b_j^{(L)}} = \delta_j^{(L)}",
]
SUMMARY_AS_MATRICES = [
    r"\boldsymbol{\delta}^{(N)} = \nabla_a C \odot \sigma' \left( \mathbf{z}^{(N)} \right)",
    r"\boldsymbol{\delta}^{(L)} = \left( \left( \mathbf{w}^{(L+1)} \right)^T \boldsymbol{\delta}^{(L+1)} \right) \odot \sigma' \left( \mathbf{z}^{(L)} \right)",
    r"\frac{\partial C}{\partial \mathbf{w}^{(L)}} = \boldsymbol{\delta}^{(L)} \left( \mathbf{a}^{(L-1)} \right)^T",
    r"\frac{\partial C}{\partial \mathbf{b}^{(L)}} = \boldsymbol{\delta}^{(L)}",
]
OTHERS = [
    r"C(w_i, b_i) = \frac{1}{2} \sum_i |y_i - a_i^{(N)}|^2",
    r"\nabla_a C = (\mathbf{a}^{(N)} - \mathbf{y})",
    r"\mathbf{x}_n = \mathbf{x}_{n-1} - \alpha \nabla f(\mathbf{x})",
    r"|f(\mathbf{x}_n) - f(\mathbf{x}_{n-1})| < \epsilon",
    r"\mathbf{v}' = \mathbf{v} - \alpha \nabla C",
    r"C = \frac{1}{t} \sum_{i=1}^t C_i",
    r"\nabla C = \frac{1}{t} \sum_{i=1}^t \nabla C_i",
]


class Row(NamedTuple):
    equation: str
    tag: str
    room: str
    function: str
    test_file: str
    test: str


def table():
    """The rows of docs/notes-to-code.md.  A `\\|` within a cell is a bar; bars in LaTeX are \\lvert and \\rvert."""
    rows = []
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| Notes"):
            _, equation, tag, code, test = (
                cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]
            )
            (tag,), (room, function), (test_file, test) = (
                re.findall("`([^`]+)`", cell) for cell in (tag, code, test)
            )
            rows.append(
                Row(
                    as_written(equation.removeprefix("$").removesuffix("$")),
                    tag,
                    room,
                    function,
                    test_file,
                    test,
                )
            )
    return rows


def as_written(equation):
    """LaTeX without what only spaces it out."""
    return re.sub(r"\s", "", equation.replace(r"\lvert", "|").replace(r"\rvert", "|"))


def tags(path):
    """(line, tag) of the comments `# notes: …` of a module."""
    readline = io.StringIO(path.read_text(encoding="utf-8")).readline
    comments = (
        token for token in tokenize.generate_tokens(readline) if token.type == tokenize.COMMENT
    )
    found = (
        (comment.start[0], re.search(r"# notes: (.*)$", comment.string)) for comment in comments
    )
    return [(line, match.group(1)) for line, match in found if match]


def functions(path):
    """{"function" or "Class.method": its lines} of a module."""
    found = {}

    def look(node, prefix):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                name = prefix + child.name
                if isinstance(child, ast.FunctionDef):
                    found[name] = range(child.lineno, child.end_lineno + 1)
                look(child, f"{name}.")

    look(ast.parse(path.read_text(encoding="utf-8")), "")
    return found


ROWS = table()


def test_every_tag_in_the_code_is_in_the_table():
    in_code = {
        (str(path.relative_to(PACKAGE)), tag)
        for path in PACKAGE.rglob("*.py")
        for _, tag in tags(path)
    }
    assert len(in_code) >= 14
    assert in_code == {(row.room, row.tag) for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.tag} in {row.function}")
def test_row_is_in_its_function_and_under_its_test(row):
    lines = [line for line, tag in tags(PACKAGE / row.room) if tag == row.tag]
    assert len(lines) == 1
    assert lines[0] in functions(PACKAGE / row.room)[row.function]
    assert row.test in functions(TESTS / row.test_file)


def test_table_has_the_notes_equations():
    equations = [row.equation for row in ROWS]
    assert len(equations) == len(set(equations))
    required = {
        as_written(equation) for equation in SUMMARY_BY_INDEX + SUMMARY_AS_MATRICES + OTHERS
    }
    assert len(required) == 15
    assert required <= set(equations)


def test_index_and_matrix_form_are_one_line():
    """The notes write the summary twice; both are the same line of code."""
    tag_of = {row.equation: (row.room, row.function, row.tag) for row in ROWS}
    for by_index, as_matrix in zip(SUMMARY_BY_INDEX, SUMMARY_AS_MATRICES, strict=True):
        assert tag_of[as_written(by_index)] == tag_of[as_written(as_matrix)]


def stops(costs, epsilon, steps_after=0):
    """Whether the stop rule holds so many steps after epochs of these costs; an epoch is ten steps."""
    state = State(np.zeros(1), {}, {})
    for cost in costs:
        state.step += 10
        state.end_epoch({"cost": cost})
    state.step += steps_after
    return meets_stop_rule(state, 10, epsilon)


def test_the_stop_rule():
    assert stops([1.0, 0.75], 0.26)
    assert stops([0.75, 1.0], 0.26)  # |f(x_n) − f(x_(n−1))|: up or down
    assert not stops([1.0, 0.75], 0.25)  # less than ε, not equal to it
    assert not stops([1.0, 0.5, 0.75], 0.2)
    assert not stops([1.0], 0.26) and not stops([], 0.26)  # there is no change yet
    assert not stops([1.0, 1.0], 0.0)  # ε = 0 is off
    assert not stops([1.0, 0.75], 0.26, steps_after=3)  # only at the end of an epoch
