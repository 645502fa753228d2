"""events.jsonl: what is appended is read, from any place on, whatever else is in the file."""

import time

import pytest

from distmlp.runs import events


def kinds(found):
    return [event["event"] for event in found]


def test_what_is_appended_is_read(tmp_path):
    began = time.time()
    written = [
        events.began(0, 42, 3, "plain", {"hosts": {"a": 2, "b": 1}}),
        events.lost(["rank 2 on b (process 7)"], 2, 20),
        events.failed(1, "rank 1 of 2 failed: memory", "step 21"),
        events.stopped(21),
        events.complete(42),
    ]
    for event in written:
        events.append(tmp_path, event)
    found = events.since(tmp_path, None)
    assert [{**event, "time": None} for event in found] == [
        {**event, "time": None} for event in written
    ]
    assert all(began <= event["time"] <= time.time() for event in found)


def test_only_what_is_new_is_read(tmp_path):
    assert events.place(tmp_path) is None
    events.append(tmp_path, events.stopped(1))
    place = events.place(tmp_path)
    assert events.since(tmp_path, place) == []
    events.append(tmp_path, events.complete(2))
    assert kinds(events.since(tmp_path, place)) == ["complete"]
    assert kinds(events.since(tmp_path, None)) == ["stopped", "complete"]


def test_all_of_a_new_file_is_read(tmp_path):
    events.append(tmp_path, events.stopped(1))
    place = events.place(tmp_path)
    (tmp_path / events.NAME).rename(tmp_path / "earlier.jsonl")
    events.append(tmp_path, events.began(0, 42, 1, "plain"))
    assert kinds(events.since(tmp_path, place)) == ["began"]


def test_broken_lines_are_left_out(tmp_path):
    events.append(tmp_path, events.stopped(1))
    with open(tmp_path / events.NAME, "ab") as file:
        file.write(b'{"event": "comp\n[1]\n{"time": 3}\n\xff\n')
    events.append(tmp_path, events.complete(2))
    with open(tmp_path / events.NAME, "ab") as file:
        file.write(b'{"event": "began"')  # its writer has not come to the end
    assert kinds(events.since(tmp_path, None)) == ["stopped", "complete"]


def test_a_directory_that_is_not_there(tmp_path):
    assert events.since(tmp_path / "run", None) == []
    with pytest.raises(FileNotFoundError):
        events.append(tmp_path / "run", events.stopped(1))
