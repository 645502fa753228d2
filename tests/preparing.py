"""What the tests of training share: a config, prepared, in a directory of its own."""

from contextlib import ExitStack, contextmanager

from example import tables, write_set

from distmlp.config.reading import from_tables
from distmlp.parallel.communicator import SingleProcess
from distmlp.training.preparation import prepare
from distmlp.training.reporting import LogOnly, Silent


class Heard(Silent):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def warn(self, text):
        self.said.append(("warn", text))

    def say(self, text):
        self.said.append(("say", text))

    def note(self, text):
        self.said.append(("note", text))

    def start(self, log, step, last_step, record=None):
        self.said.append(("start", step, last_step))

    def epoch(self, record, epochs):
        self.said.append(("epoch", record["epoch"], epochs))

    def close(self):
        self.said.append(("close",))


class Quiet(LogOnly):
    """Writes the log; warnings are not what is tested."""

    def warn(self, text):
        pass


def config_in(place, changes={}):
    """A config whose set and run directory are in a directory; the set is written where it is not there.

    Call it once before ranks that are threads do.
    """
    if not (place / "set.h5").exists():
        write_set(place / "set.h5")
    here = {
        "data.train": f"{place}/set.h5:/train",
        "data.validation": f"{place}/set.h5:/test",
        "run.directory": str(place / "run"),
    }
    return from_tables(tables({**here, **changes}))


@contextmanager
def prepared(place, changes={}, comm=None, report=None, until=None):
    """The config in a directory, prepared; an epoch has 21 steps."""
    with ExitStack() as stack:
        comm = comm or SingleProcess()
        yield prepare(config_in(place, changes), comm, report or Silent(), until, stack)
