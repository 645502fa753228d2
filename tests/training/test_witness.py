"""A run is tied to its data: a resume and a verify on other rows are refused, and rows that change meanwhile are found."""

import h5py
import pytest
from preparing import Heard, config_in

from distmlp.data import digest
from distmlp.errors import InputError
from distmlp.parallel.communicator import SingleProcess
from distmlp.results.verification import verify
from distmlp.training.loop import train

STREAMED = {"data.window": "0.03 MB", "data.chunk_rows": 50}


def change(place, group="train"):
    """One class of one row becomes a different one."""
    with h5py.File(place / "set.h5", "r", locking=False) as file:
        y = file[f"{group}/y"]
        where, changed = y.id.get_offset() + 7 * y.dtype.itemsize, (y[7] + 1) % 5
    with open(place / "set.h5", "r+b") as file:
        file.seek(where)
        file.write(changed.tobytes())


def trained(place, changes={}, **how):
    return train(config_in(place, {"training.epochs": 2, **changes}), SingleProcess(), **how)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, STREAMED], ids=["held", "streamed"])
@pytest.mark.parametrize("scan", [True, False])
def test_a_resume_on_other_rows_is_refused(changes, scan, tmp_path):
    trained(tmp_path, {**changes, "data.scan": scan})
    change(tmp_path)
    with pytest.raises(InputError, match=r"digest .*--resume never") as refused:
        trained(tmp_path, {**changes, "data.scan": scan, "training.epochs": 4})
    assert "set.h5:/train" in str(refused.value)
    with pytest.raises(InputError, match="digest"):
        verify(tmp_path / "run", SingleProcess())
    if scan:
        with pytest.raises(InputError, match="digest"):
            trained(tmp_path, {**changes, "training.epochs": 2})
    trained(tmp_path, changes, resume="never")


def test_other_validation_rows_are_refused(tmp_path):
    trained(tmp_path)
    change(tmp_path, "test")
    with pytest.raises(InputError, match=r"set.h5:/test: these are not the rows"):
        trained(tmp_path, {"training.epochs": 4})
    trained(tmp_path, {"training.epochs": 4, "data.validation": ""})


def test_rows_that_change_under_a_run_are_found(tmp_path):
    epochs = []

    def asked():
        epochs.append(1)
        if len(epochs) == 25:
            change(tmp_path)
        return False

    with pytest.raises(InputError, match="the data changed"):
        trained(tmp_path, {**STREAMED, "training.epochs": 5}, should_stop=asked)


def test_the_same_rows_in_a_different_file_go_on(tmp_path):
    whole = trained(tmp_path, {"training.epochs": 3})
    again = {"run.directory": str(tmp_path / "again")}
    trained(tmp_path, again)
    with h5py.File(tmp_path / "set.h5") as old, h5py.File(tmp_path / "new.h5", "w") as new:
        new["rows/x"], new["rows/y"] = old["train/x"][...].astype(">f8"), old["train/y"][...]
    moved = {**again, "data.train": f"{tmp_path}/new.h5:/rows", "training.epochs": 3}
    assert trained(tmp_path, moved).v_sha256 == whole.v_sha256


def test_a_digest_of_an_earlier_version_is_told_and_not_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(digest, "text", lambda found: f"{found:016x}")
    trained(tmp_path)
    monkeypatch.undo()
    heard = Heard()
    trained(tmp_path, {"training.epochs": 3}, report=heard)
    told = [one[1] for one in heard.said if one[0] == "note" and "earlier version" in one[1]]
    assert len(told) == 2 and "set.h5:/train" in told[0] and "set.h5:/test" in told[1]
    change(tmp_path)
    with pytest.raises(InputError, match="these are not the rows"):
        trained(tmp_path, {"training.epochs": 4})
