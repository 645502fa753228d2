"""log.jsonl: whole lines only, whatever the disk does, and no record twice."""

import errno
import json
import os

import pytest

from distmlp.runs.log import Log, read_log
from distmlp.training.reporting import LogOnly


def test_half_lines_of_the_log_are_taken_back(tmp_path):
    """A disk that takes part of a line and then no more, again and again, as tmpfs and ext4 do up to a page's end."""
    path, log = tmp_path / "log.jsonl", LogOnly()
    log.start(path, 0, 1)

    class Full:
        """The log, on a disk with room for so many bytes."""

        def __init__(self, file, room):
            self._file, self.room = file, room

        def __getattr__(self, name):
            return getattr(self._file, name)

        def write(self, data):
            left = self.room - path.stat().st_size
            if left <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self._file.write(data[:left])

    log._log._file = Full(log._log._file, 50)
    lines = []
    with pytest.warns(UserWarning, match="log cannot be written"):
        for epoch in range(1, 6):
            log.epoch({"epoch": epoch, "step": epoch}, 10)
            lines = path.read_text().splitlines()
            assert [json.loads(line)["epoch"] for line in lines] == [1, 2][:epoch]
    log._log._file.room = 10**6
    log.epoch({"epoch": 6, "step": 6}, 10)
    log.close()
    assert [record["epoch"] for record in read_log(path)] == [1, 2, 3, 4, 5, 6]


def records(*steps):
    return [{"step": step, "of": "the run"} for step in steps]


def written(path, *steps):
    log = Log()
    log.open(path, 0)
    for record in records(*steps):
        log.append(record)
    log.close()
    return path


def test_records_are_there_at_once_and_in_order(tmp_path):
    log = Log()
    log.open(tmp_path / "log.jsonl", 0)
    for number, record in enumerate(records(21, 42), 1):
        log.append(record)
        assert read_log(tmp_path / "log.jsonl") == records(21, 42)[:number]
    log.close()


def test_a_log_that_is_not_there_is_empty_and_is_made(tmp_path):
    path = tmp_path / "log.jsonl"
    assert read_log(path) == []
    log = Log()
    log.open(path, 100)
    log.close()
    assert path.read_text() == ""


def test_a_last_line_that_a_crash_cut_short_is_left_out(tmp_path):
    path = written(tmp_path / "log.jsonl", 21, 42)
    path.write_bytes(path.read_bytes()[:-5])
    assert read_log(path) == records(21)


@pytest.mark.parametrize(
    "step, kept", [(0, []), (20, []), (21, [21]), (50, [21, 42]), (63, [21, 42, 63])]
)
def test_records_after_the_step_that_a_run_goes_on_from_are_dropped(step, kept, tmp_path):
    path = written(tmp_path / "log.jsonl", 21, 42, 63)
    log = Log()
    log.open(path, step)
    log.append({"step": 84})
    log.close()
    assert read_log(path) == [*records(*kept), {"step": 84}]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "there, record, found",
    [
        ([21], 42, [21, 42]),  # rank 0 died before it had written what it had told the others
        ([21, 42], 42, [21, 42]),
        ([21], 63, [21]),  # of an epoch after the step that the survivors go on from
        ([], 42, [42]),
    ],
)
def test_the_last_record_is_put_in_where_the_log_has_lost_it(there, record, found, tmp_path):
    path = written(tmp_path / "log.jsonl", *there)
    log = Log()
    log.open(path, 42, records(record)[0])
    log.close()
    assert read_log(path) == records(*found)


def test_what_the_disk_refuses_is_counted_until_it_is_written(tmp_path):
    log = Log()
    for record in records(21, 42):
        log.append(record)  # before it is open, as after an error
    assert log.unwritten == 2
    log.open(tmp_path / "log.jsonl", 42)
    log.append(records(63)[0])
    assert log.unwritten == 0
    log.close()
    assert read_log(tmp_path / "log.jsonl") == records(21, 42, 63)
