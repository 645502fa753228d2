"""What people see on a terminal: a progress bar, lines that do not run into it, tables of two columns."""

import importlib.util
import os
import shutil
import sys
import textwrap
from typing import Any, TextIO

#: How a progress bar looks: tqdm leaves out what a narrow terminal has no place for, beginning at the end.
_BAR = "{desc}{percentage:3.0f}% |{bar:20}| {remaining} left{postfix}, {rate_fmt}"

#: How many characters a table's labels have.
_LABEL = 11


class Sight:
    """A progress bar on standard error, if wanted, and lines that do not run into it.

    bar: the tqdm that is shown, None where there is none.
    """

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self.bar: Any = None

    def line(self, text: str, stream: TextIO) -> None:
        """Prints a line; where nobody reads any longer, it goes nowhere."""
        if self.bar is not None:
            self.bar.clear()
        try:
            print(text, file=stream, flush=True)
        except OSError:
            # Whoever read this has gone, but the training goes on; what is still said goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if self.bar is not None:
            self.bar.refresh()

    def open(self, step: int, last_step: int) -> None:
        """Shows the bar, at a step of so many."""
        if self._wanted:
            bar, how = _bar()
            self.bar = bar(
                total=last_step,
                initial=step,
                unit="step",
                mininterval=0.25,
                dynamic_ncols=True,
                leave=False,
                file=sys.stderr,
                bar_format=how,
            )

    def epoch(self, record: dict, epochs: int) -> None:
        """Puts the epoch that has ended, of so many, into the bar."""
        if self.bar is None:
            return
        words = f"cost {record['cost']:.4g}"
        if record["validation_cost"] is not None:
            words += f", validation {record['validation_cost']:.4g}"
        self.bar.set_description_str(f"epoch {record['epoch']}/{epochs} ", refresh=False)
        self.bar.set_postfix_str(words, refresh=False)

    def close(self) -> None:
        """Takes the bar away."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def _bar() -> tuple[Any, str]:
    """tqdm's bar and how it looks; in a notebook the widget, which is as wide as the cell, where there are widgets."""
    if "ipykernel" in sys.modules and importlib.util.find_spec("ipywidgets") is not None:
        from tqdm import notebook

        return notebook.tqdm, _BAR.replace("{bar:20}", "{bar}")
    from tqdm import tqdm

    return tqdm, _BAR


def words_of(record: dict) -> str:
    """The metrics of an epoch, in words."""
    words = [f"cost {record['cost']:.6f}"]
    if record["validation_cost"] is not None:
        words.append(f"validation cost {record['validation_cost']:.6f}")
    if record["accuracy"] is not None:
        words.append(f"{record['accuracy_of']} accuracy {100 * record['accuracy']:.2f} %")
    return "  ".join(words)


def epoch_line(record: dict, epochs: int) -> str:
    """An epoch, of so many, in one line."""
    place = f"epoch {record['epoch']:>{len(str(epochs))}}/{epochs}"
    return f"{place}  {words_of(record)}  {record['samples_per_second']:,.0f} samples/s"


def text_of(rows: list[tuple[str, str]]) -> str:
    """A table of labels and what is said of them; on a terminal, what is too wide for it goes on below."""
    terminal = sys.stdout.isatty()
    room = max(shutil.get_terminal_size().columns - _LABEL, 20) if terminal else sys.maxsize
    lines = []
    for label, text in rows:
        parts = [text] if len(text) <= room else textwrap.wrap(text, room, break_on_hyphens=False)
        lines += [f"{label:<{_LABEL}}{parts[0]}", *(" " * _LABEL + part for part in parts[1:])]
    return "\n".join(lines)
