"""The command `distmlp convert`: what each option does, and what is printed."""

import h5py
import numpy as np
from converting import assert_holds, headlines

from distmlp.cli import main as cli


def command(*words):
    assert cli.main(["convert", *map(str, words)]) == 0


def test_command(put, out, capsys):
    command(
        put("s.csv", "a,b,c\n1,2,3\n4,5,6\n"),
        out,
        "--targets",
        "c,a",
        "--dtype",
        "uint8",
        "--chunk-rows",
        "1",
        "--compression",
        "gzip",
    )
    assert_holds(out, np.array([[2], [5]], np.uint8), np.array([[3.0, 1.0], [6.0, 4.0]]))
    with h5py.File(out) as file:
        assert file["train/x"].chunks == (1, 1) and file["train/x"].compression == "gzip"
    command(
        put("s.npz", {"u": np.ones((2, 1)), "v": np.array([0, 1])}),
        out,
        "--keys",
        "u,v",
        "--group",
        "/test",
        "--append",
        "--regression",
    )
    assert_holds(out, np.ones((2, 1)), np.array([[0.0], [1.0]]), "/test")
    command(put("t.csv", "0,7\n1,8\n"), out, "--targets", "-2", "--overwrite")
    assert_holds(out, np.array([[7.0], [8.0]]), np.array([0, 1]))
    assert headlines(capsys.readouterr().out.splitlines()) == [
        f"{out}:/train: 2 samples, 1 input each (uint8), 2 targets each (float64); line 1 of s.csv was taken as the names of the columns",
        f"{out}:/test: 2 samples, 1 input each (float64), 1 target each (float64)",
        f"{out}:/train: 2 samples, 1 input each (float64), classes 0 to 1 (int64)",
    ]
