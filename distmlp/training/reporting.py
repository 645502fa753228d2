"""What rank 0 says: the log file, the lines by epoch, the progress bar.

Every other rank is silent; `Silent` stands in for `Report` there.
"""

import contextlib
import json
import os
import sys
import warnings
from pathlib import Path

from distmlp.runs.checkpoint import sync_directory


class Silent:
    """Says nothing."""

    def warn(self, text: str) -> None: ...

    def say(self, text: str) -> None: ...

    def note(self, text: str) -> None: ...

    def begin(self, log: Path, step: int, steps: int, record: dict | None = None) -> None: ...

    def advance(self) -> None: ...

    def epoch(self, record: dict, epochs: int) -> None: ...

    def close(self) -> None: ...


class LogOnly(Silent):
    """log.jsonl in the run directory; warnings as Python's.

    Where the disk refuses a line, training goes on, and the line is written with a later one.
    """

    def __init__(self):
        self._log, self._unwritten, self._warned = None, b"", False

    def warn(self, text):
        warnings.warn(text, stacklevel=2)

    def begin(self, log, step, steps, record=None):
        """Opens the log, without the lines after a step, which will be written again.

        record: of the last epoch settled, put in where the log has lost it.
        """
        self.close()
        try:
            _keep_lines(log, step, record)
            self._log = open(log, "ab", buffering=0)
        except OSError as error:
            self._refused(error)

    def epoch(self, record, epochs):
        """One object in the log, which a reader sees at once."""
        self._unwritten += json.dumps(record).encode() + b"\n"
        self._write()

    def close(self):
        if self._log is not None:
            try:
                if self._unwritten:
                    self._write()
                os.fsync(self._log.fileno())
                self._log.close()
            except OSError as error:
                self._refused(error)
        if self._unwritten:
            count = self._unwritten.count(b"\n")
            self.warn(f"the log lacks its last {count} epochs")
        self._log, self._unwritten = None, b""

    def _write(self):
        if self._log is None:
            return
        end = self._log.seek(
            0, os.SEEK_END
        )  # not tell(), which after half a line that was taken back is beyond it
        try:
            rest = memoryview(self._unwritten)
            while rest:
                rest = rest[self._log.write(rest) :]
            self._unwritten = b""
        except OSError as error:
            with contextlib.suppress(OSError):
                self._log.truncate(end)  # no half a line
            self._refused(error)

    def _refused(self, error):
        if not self._warned:
            self._warned = True
            self.warn(f"the log cannot be written: {error}")


class Report(LogOnly):
    """The log; lines on standard output; a progress bar on standard error.

    bar: True, False, or None for "where standard error is a terminal".
    """

    def __init__(self, bar: bool | None = None):
        super().__init__()
        self._show_bar = sys.stderr.isatty() if bar is None else bar
        self._bar = None

    def warn(self, text):
        self._line(f"distmlp: {text}", sys.stderr)

    note = warn

    def say(self, text):
        self._line(text, sys.stdout)

    def _line(self, text, stream):
        if self._bar is not None:
            self._bar.clear()
        try:
            print(text, file=stream, flush=True)
        except OSError:
            # Whoever read this has gone, but the training goes on; what is still said goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if self._bar is not None:
            self._bar.refresh()

    def begin(self, log, step, steps, record=None):
        super().begin(log, step, steps, record)
        if self._show_bar:
            from tqdm import tqdm

            self._bar = tqdm(
                total=steps,
                initial=step,
                unit="step",
                mininterval=0.25,
                dynamic_ncols=True,
                leave=False,
                file=sys.stderr,
            )

    def advance(self):
        if self._bar is not None:
            self._bar.update()

    def epoch(self, record, epochs):
        super().epoch(record, epochs)
        words = [
            f"epoch {record['epoch']:>{len(str(epochs))}}/{epochs}",
            f"cost {record['cost']:.6f}",
        ]
        if record["validation_cost"] is not None:
            words.append(f"validation cost {record['validation_cost']:.6f}")
        if record["accuracy"] is not None:
            words.append(f"{record['accuracy_of']} accuracy {100 * record['accuracy']:.2f} %")
        words.append(f"{record['samples_per_second']:,.0f} samples/s")
        self.say("  ".join(words))

    def close(self):
        super().close()
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def read_log(path: Path) -> list[dict]:
    """The objects of a log.jsonl; a last line that a crash cut short is left out."""
    records = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return records


def _keep_lines(path: Path, step: int, record: dict | None) -> None:
    """Rewrites a log with its records up to a step only, and with this one, if it belongs there."""
    records = [old for old in read_log(path) if old["step"] <= step]
    if record and record["step"] <= step and all(old["step"] < record["step"] for old in records):
        records.append(record)
    if not path.exists() and not records:
        return
    temporary = path.with_suffix(".jsonl.writing")
    with open(temporary, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_directory(path.parent)
