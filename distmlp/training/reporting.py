"""What rank 0 says: a record an epoch, in the log and as a line; warnings; the progress bar."""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from distmlp.parallel.communicator import Communicator
from distmlp.runs import events
from distmlp.runs.events import Event, append
from distmlp.runs.log import Log
from distmlp.training.terminal import Sight, epoch_line, text_of


class Silent:
    """What a training tells whoever gives it a report: override what you want to hear; `distmlp.Report` is this class.

    Rank 0 calls the methods, one at a time and between steps, so what they do is waited for; only `close` is called on every
    rank.  Nothing that they do changes v.  An exception in one of them ends the training.
    """

    def warn(self, text: str) -> None:
        """Something is wrong, and the training goes on."""

    def say(self, text: str) -> None:
        """Something that the user waits for, such as which checkpoint the run resumes from."""

    def note(self, text: str) -> None:
        """Something that the user may want to know, such as how the data was read."""

    def begin(self, rows: list[tuple[str, str]]) -> None:
        """What is about to be trained, as labels and what is said of them; steps are taken soon."""

    def start(self, log: Path, step: int, last_step: int, record: dict | None = None) -> None:
        """Steps are taken from this one on; the log's records after it will be made again.

        It comes again where ranks were lost or a wrong bit was found.  log: the run's log.jsonl.  record: of the last epoch
        settled, put in where the log has lost it.
        """

    def advance(self) -> None:
        """A step has been taken."""

    def epoch(self, record: dict, epochs: int) -> None:
        """An epoch has ended, of so many; record: its object of log.jsonl (`epoch`, `step`, `cost`, `validation_cost` …)."""

    def event(self, event: Event) -> None:
        """Something that programs outside may watch for: an object of events.jsonl."""

    def doubt(self, text: str, step: int) -> None:
        """Something makes it doubtful that the training comes to anything."""
        self.warn(text)
        self.event(events.doubt(step, text))

    def close(self) -> None:
        """The training has ended, however it did."""


class Together(Silent):
    """Several reports, each of which is told everything, in their order."""

    def __init__(self, *reports: Silent) -> None:
        self._reports = reports

    def warn(self, text: str) -> None:
        for report in self._reports:
            report.warn(text)

    def say(self, text: str) -> None:
        for report in self._reports:
            report.say(text)

    def note(self, text: str) -> None:
        for report in self._reports:
            report.note(text)

    def begin(self, rows: list[tuple[str, str]]) -> None:
        for report in self._reports:
            report.begin(rows)

    def start(self, log: Path, step: int, last_step: int, record: dict | None = None) -> None:
        for report in self._reports:
            report.start(log, step, last_step, record)

    def advance(self) -> None:
        for report in self._reports:
            report.advance()

    def epoch(self, record: dict, epochs: int) -> None:
        for report in self._reports:
            report.epoch(record, epochs)

    def event(self, event: Event) -> None:
        for report in self._reports:
            report.event(event)

    def doubt(self, text: str, step: int) -> None:
        for report in self._reports:
            report.doubt(text, step)

    def close(self) -> None:
        for report in self._reports:
            report.close()


class OnRank0(Silent):
    """A report that only rank 0 makes; every rank has one, since any may become rank 0."""

    def __init__(self, report: Silent, comm: Communicator) -> None:
        self._report, self._comm = report, comm

    def warn(self, text: str) -> None:
        if self._comm.rank == 0:
            self._report.warn(text)

    def say(self, text: str) -> None:
        if self._comm.rank == 0:
            self._report.say(text)

    def note(self, text: str) -> None:
        if self._comm.rank == 0:
            self._report.note(text)

    def begin(self, rows: list[tuple[str, str]]) -> None:
        if self._comm.rank == 0:
            self._report.begin(rows)

    def start(self, log: Path, step: int, last_step: int, record: dict | None = None) -> None:
        if self._comm.rank == 0:
            self._report.start(log, step, last_step, record)

    def advance(self) -> None:
        if self._comm.rank == 0:
            self._report.advance()

    def epoch(self, record: dict, epochs: int) -> None:
        if self._comm.rank == 0:
            self._report.epoch(record, epochs)

    def event(self, event: Event) -> None:
        if self._comm.rank == 0:
            self._report.event(event)

    def doubt(self, text: str, step: int) -> None:
        if self._comm.rank == 0:
            self._report.doubt(text, step)

    def close(self) -> None:
        self._report.close()


class LogOnly(Silent):
    """log.jsonl and events.jsonl in the run directory; warnings as Python's.

    Where the disk refuses a line, training goes on, and the line is written with a later one.
    """

    def __init__(self) -> None:
        self._log, self._warned = Log(), False
        #: Of the run directory, once the training has started: whatever becomes of its path, it stays the run's own.
        self._directory: int | None = None
        self._events: list[Event] = []

    def warn(self, text: str) -> None:
        warnings.warn(text, stacklevel=2)

    def start(self, log: Path, step: int, last_step: int, record: dict | None = None) -> None:
        self.close()
        with self._warning_once():
            self._directory = os.open(log.parent, os.O_RDONLY | os.O_DIRECTORY)
            self._log.open(log, step, record)

    def epoch(self, record: dict, epochs: int) -> None:
        with self._warning_once():
            self._log.append(record)

    def event(self, event: Event) -> None:
        self._events.append(event)
        with self._warning_once():
            while self._directory is not None and self._events:
                append(self._directory, self._events[0])
                del self._events[0]

    def close(self) -> None:
        with self._warning_once():
            self._log.close()
        if self._log.unwritten:
            self.warn(f"the log lacks its last {self._log.unwritten} epochs")
        self._log = Log()
        if self._directory is not None:
            os.close(self._directory)
            self._directory = None

    @contextlib.contextmanager
    def _warning_once(self) -> Iterator[None]:
        """The training goes on where the log cannot be written, and the first time says so."""
        try:
            yield
        except OSError as error:
            if not self._warned:
                self._warned = True
                self.warn(f"the log cannot be written: {error}")


class Report(LogOnly):
    """The log; tables and lines on standard output; a progress bar on standard error.

    bar: True, False, or None for "where standard error is a terminal".
    """

    def __init__(self, bar: bool | None = None) -> None:
        super().__init__()
        self._sight = Sight(sys.stderr.isatty() if bar is None else bar)

    def warn(self, text: str) -> None:
        self._sight.line(f"distmlp: {text}", sys.stderr)

    note = warn

    def say(self, text: str) -> None:
        self._sight.line(text, sys.stdout)

    def begin(self, rows: list[tuple[str, str]]) -> None:
        self.say(f"{text_of(rows)}\n")

    def start(self, log: Path, step: int, last_step: int, record: dict | None = None) -> None:
        super().start(log, step, last_step, record)
        self._sight.open(step, last_step)

    def advance(self) -> None:
        if self._sight.bar is not None:
            self._sight.bar.update()

    def epoch(self, record: dict, epochs: int) -> None:
        super().epoch(record, epochs)
        self.say(epoch_line(record, epochs))
        self._sight.epoch(record, epochs)

    def close(self) -> None:
        super().close()
        self._sight.close()


def words_apart(hosts: list[str]) -> str:
    """What is said of hosts whose ranks cannot share memory."""
    return (
        f"the ranks on {', '.join(hosts)} cannot share memory (containers that do not see each other's "
        "processes, or nothing compiled): each sends what it adds up by itself, which is slower"
    )
