"""Runs `distmlp` with faults in it: `python inject.py PLAN.json train CONFIG ...`, under mpirun or alone.

The package has no hooks for this: its functions are wrapped from outside.  A plan is an object with

    faults   [{"rank": 2, "moment": "inside the sum", "step": 12, "do": "kill"}, …]
             rank: of MPI_COMM_WORLD.  step: the first one, counted from 0, in which it may strike; each
             strikes once, "slow" and those with "again" every time.  after: seconds into the moment, from
             another thread.  recovery: strikes in that recovery (1, 2, …) only.
    events   a file that gets a line of JSON for every fault and every recovery, with its time
    trace    true: for every step of every rank too
    early    false: pieces of a message travel early only where that pays, and not always
    once     true: what has struck a rank does not strike it in a later start
    slow_write       seconds after which distmlp is to call a disk slow

Moments are the keys of MOMENTS, deeds those of DEEDS.
"""

import errno
import json
import os
import random
import signal
import sys
import threading
import time

RANK = int(
    next(
        (
            os.environ[name]
            for name in ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")
            if name in os.environ
        ),
        0,
    )
)

MOMENTS = {
    "start": "after the imports, before MPI is asked for",
    "up": "MPI is up, the ranks have not met",
    "scanning": "before the data are looked through",
    "holding": "memory for the held set is shared, the rank's part is not read",
    "held": "its part is read, the others do not know",
    "beginning": "before the run directory is made",
    "begun": "after it is made, before the ranks have agreed to begin",
    "prepared": "before the first step",
    "any": "at a random time, a number of seconds `between` two after MPI is up, by `seed`",
    "computing": "before a step's gradient is made",
    "computed": "the rank's gradient is there, its checksum is not",
    "before the sum": "the gradient is made, the rank has not come to the sum",
    "inside the sum": "in it, waiting for the others",
    "given the sum": "MPI has returned the sum to this rank, which does not know of the others; or where memory is shared, all have met to add their parts",
    "added": "where memory is shared: its part is added, the others do not know",
    "between hosts": "several hosts: this rank's first message of a sum is on its way",
    "answering": "several hosts: one of its peers is sent what this rank has added up, the next one not",
    "deciding": "several hosts: before all ranks decide whether pieces travel early",
    "exchanged": "several hosts: its slice is added up, the others do not know",
    "after the sum": "the sum has arrived, v is not updated",
    "updated": "v is updated",
    "reading": "while a step's micro-batches are read",
    "evaluating": "before the evaluation's sum",
    "inside the evaluation": "in the evaluation's sum",
    "given the evaluation": "MPI has returned its sum to this rank",
    "evaluated": "the metrics are there, the epoch is not settled",
    "comparing": "before digests are compared",
    "saving": "every rank, as a checkpoint is due",
    "copying": "rank 0, before the state is copied",
    "opening": "the writer, before the file is there",
    "writing": "the writer, with half of the bytes in the file",
    "renaming": "the writer, before the rename",
    "renamed": "the writer, before the directory is synced",
    "pruning": "the writer, before old ones are removed",
    "marking": "rank 0, before finished.json",
    "losing": "a recovery begins",
    "revoked": "the communicator is revoked, not shrunk",
    "shrinking": "in Shrink",
    "shrunk": "the new communicator is there, its ranks are not known",
    "meeting": "the new ranks are known",
    "furthest": "before the furthest state is sent",
    "taking over": "the new rank 0, before it has the directory",
    "channel": "before the watch's channel is made anew",
    "inside the channel": "while it is made",
    "channel made": "right after it",
    "ending": "the run is complete, the process about to leave",
}


class Faults:
    """This rank's part of a plan."""

    def __init__(self, plan: dict):
        self.mine = [dict(fault) for fault in plan["faults"] if fault["rank"] in (RANK, "all")]
        self._events = plan.get("events")
        self.trace = plan.get("trace", False)
        self.early = plan.get("early", True)
        self.step = -1
        self.recovery = 0
        self.going_on = False
        if plan.get("once"):
            self.mine = [fault for fault in self.mine if not self._has_struck(fault)]
        self.state = self.sum = self.ranks = None
        self.place = None  # which sum is being made

    def note(self, what: str, **more) -> None:
        if self._events:
            line = (
                json.dumps(
                    {
                        "time": time.monotonic(),
                        "rank": RANK,
                        "step": self.step,
                        "what": what,
                        **more,
                    }
                )
                + "\n"
            )
            handle = os.open(self._events, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.write(handle, line.encode())
            os.close(handle)

    def _has_struck(self, fault: dict) -> bool:
        if not os.path.exists(self._events):
            return False
        with open(self._events, encoding="utf-8") as file:
            noted = [json.loads(line) for line in file]
        struck = {(event["rank"], event["what"], event.get("moment")) for event in noted}
        return (RANK, fault["do"], fault["moment"]) in struck

    def _due(self, fault: dict, moment: str) -> bool:
        if fault["moment"] != moment or fault.get("done"):
            return False
        if fault.get("recovery", self.recovery) != self.recovery:
            return False
        return self.step >= fault.get("step", -1)

    def at(self, moment: str) -> None:
        """This rank has come to a moment."""
        for fault in self.mine:
            if self._due(fault, moment):
                fault["done"] = fault["do"] != "slow" and not fault.get("again")
                if "after" in fault:
                    threading.Timer(fault["after"], self._do, (fault,)).start()
                else:
                    self._do(fault)

    def _do(self, fault: dict) -> None:
        if fault["do"] not in ("delay", "slow"):
            self.note(fault["do"], moment=fault["moment"])
        DEEDS[fault["do"]](self, fault)


def _kill(number):
    return lambda faults, fault: os.kill(os.getpid(), number)


def _raise(error):
    def deed(faults, fault):
        raise error

    return deed


def _lose(faults, fault):
    """A sum has not reached this rank, though others have it: MPI may tell survivors different things."""
    from mpi4py import MPI

    raise MPI.Exception(MPI.ERR_PROC_FAILED)


def _flip(array, fault) -> None:
    """One bit of one number, somewhere in the middle of its mantissa."""
    bits = array.view(f"u{array.itemsize}")
    bits[fault.get("index", len(bits) // 2)] ^= 1 << fault.get("bit", 12)


DEEDS = {
    "kill": _kill(signal.SIGKILL),
    "stop": _kill(signal.SIGSTOP),
    "hang": lambda faults, fault: time.sleep(600),
    "segfault": _kill(signal.SIGSEGV),
    "SIGTERM": _kill(signal.SIGTERM),
    "SIGINT": _kill(signal.SIGINT),
    "SIGUSR1": _kill(signal.SIGUSR1),
    "exit": lambda faults, fault: os._exit(7),
    "sys.exit": lambda faults, fault: sys.exit(7),
    "raise": _raise(ArithmeticError("a fault of this rank alone")),
    "memory": _raise(MemoryError("no memory on this rank")),
    "lose": _lose,
    "say": lambda faults, fault: None,  # noted like all of them
    "delay": lambda faults, fault: time.sleep(fault["seconds"]),
    "slow": lambda faults, fault: time.sleep(fault["seconds"]),
    "flip v": lambda faults, fault: _flip(faults.state.v, fault),
    "flip optimizer": lambda faults, fault: _flip(next(iter(faults.state.arrays.values())), fault),
    "flip gradient": lambda faults, fault: _flip(faults.sum.gradient, {"bit": 20, **fault}),
    "disk full": _raise(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
}


class _Told:
    """An mpi4py communicator whose steps of a recovery are moments."""

    def __init__(self, comm, faults: Faults):
        self._comm, self._faults = comm, faults

    def __getattr__(self, name):
        return getattr(self._comm, name)

    def Allreduce(self, *arguments):
        self._comm.Allreduce(*arguments)
        self._given()

    def _given(self):
        if self._faults.place:
            self._faults.at(f"given {self._faults.place}")

    def Revoke(self):
        self._faults.at("losing")
        self._comm.Revoke()
        self._faults.at("revoked")

    def Shrink(self):
        self._faults.at("shrinking")
        new = self._comm.Shrink()
        self._faults.at("shrunk")
        return _Told(new, self._faults)

    def Dup(self):
        self._faults.at("channel")
        if self._faults.recovery:
            self._faults.at("inside the channel")
        new = self._comm.Dup()
        self._faults.at("channel made")
        return new


class _HalfFile:
    """A file being written, of which half the bytes are a moment."""

    def __init__(self, file, faults: Faults):
        self._file, self._faults, self._halved = file, faults, False

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *why):
        return self._file.__exit__(*why)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, part):
        if len(part) > 512 and not self._halved:
            self._halved = True
            self._file.write(part[: len(part) // 2])
            self._file.flush()
            self._faults.at("writing")
            part = part[len(part) // 2 :]
        self._file.write(part)


def wrap(owner, name: str, before=None, after=None, around=None) -> None:
    """owner.name, with calls before and after it; around(function, *arguments) replaces it."""
    function = getattr(owner, name)

    def wrapped(*arguments, **named):
        if around:
            return around(function, *arguments, **named)
        if before:
            before(*arguments, **named)
        result = function(*arguments, **named)
        if after:
            after(*arguments)
        return result

    setattr(owner, name, wrapped)


def install(faults: Faults) -> None:
    """Wraps the package's functions; numpy is imported from here on."""
    from distmlp import files
    from distmlp.data import feed
    from distmlp.parallel import addends, communicator, exchange, launchers, mpi
    from distmlp.runs import checkpoint
    from distmlp.runs import directory as rundirectory
    from distmlp.training import (
        auditing,
        evaluation,
        holding,
        loop,
        preparation,
        recovery,
        saving,
        step,
    )

    def gradient(function, self, state, *arguments, **named):
        if isinstance(self.comm, communicator.SingleProcess) and RANK_COUNT > 1:
            return function(self, state, *arguments, **named)  # an audit
        faults.step, faults.state, faults.sum = state.step, state, self.message
        faults.at("computing")
        faults.place = "the sum"
        try:
            return function(self, state, *arguments, **named)
        finally:
            faults.place = None

    def accumulated(self, *_):
        if not isinstance(self.comm, communicator.SingleProcess) or RANK_COUNT == 1:
            faults.at("computed")

    def evaluate(function, *arguments):
        faults.at("evaluating")
        faults.place = "the evaluation"
        try:
            found = function(*arguments)
        finally:
            faults.place = None
        faults.at("evaluated")
        return found

    def summed(function, self, buffer):
        if faults.place == "the sum":
            faults.at("before the sum")
        if faults.place:
            faults.at(f"inside {faults.place}")
        function(self, buffer)
        if faults.place == "the sum":
            faults.at("after the sum")

    def sent(self, numbers, host, tag):
        stages = len(self._rounds[0][1])
        answers = (tag - exchange._TAG) % (2 * stages) >= stages
        faults.at("answering" if answers else "between hosts")

    def survive(function, run, saver, state):
        faults.recovery += 1
        faults.going_on = False
        function(run, saver, state)
        faults.ranks = run.comm.size

    def went_on():
        if faults.recovery and not faults.going_on:
            faults.going_on = True
            faults.note("goes on", ranks=faults.ranks)

    def ended(*_):
        went_on()
        faults.at("ending")

    def meet(function, self):
        if not isinstance(self._comm, _Told):
            self._comm = _Told(self._comm, faults)
            faults.at("up")
        function(self)
        if faults.recovery:
            faults.at("meeting")

    def updated(self, state, *_):
        faults.step = state.step - 1
        went_on()
        if faults.trace:
            faults.note("step")
        faults.at("updated")

    def at_any_time(*_):
        for fault in faults.mine:
            if fault["moment"] == "any":
                timer = threading.Timer(
                    random.Random(fault["seed"]).uniform(*fault["between"]), faults._do, (fault,)
                )
                timer.daemon = True
                timer.start()

    wrap(launchers, "world", after=at_any_time)
    wrap(mpi.MpiCommunicator, "sum", around=summed)
    wrap(mpi.MpiCommunicator, "_add_up_in_shared_memory", around=summed)
    wrap(mpi.MpiCommunicator, "_add_up_over_hosts", around=summed)
    wrap(
        addends.SharedAddends,
        "add",
        lambda *_: faults.at("given the sum"),
        lambda *_: faults.at("added"),
    )
    if faults.early:
        addends.AddendsOfHosts.early = True
        addends.AddendsOfHosts._try = lambda self: None
    wrap(addends.AddendsOfHosts, "_try", before=lambda *_: faults.at("deciding"))
    wrap(exchange.Exchange, "_send", after=sent)
    wrap(exchange.Exchange, "finish", after=lambda *_: faults.at("exchanged"))
    wrap(mpi.MpiCommunicator, "_meet", around=meet)
    wrap(step.Step, "gradient", around=gradient)
    wrap(step.Step, "_fill_header", before=accumulated)
    wrap(step.Step, "update", after=updated)
    wrap(evaluation, "evaluate", around=evaluate)
    wrap(recovery, "furthest", before=lambda *_: faults.at("furthest"))
    wrap(auditing, "odd_ones_out", before=lambda *_: faults.at("comparing"))
    wrap(feed.Feed, "step", before=lambda *_: faults.at("reading"))
    wrap(loop, "survive", around=survive)
    wrap(recovery, "_take_over", before=lambda *_: faults.at("taking over"))
    wrap(saving.Saver, "save", before=lambda *_, **__: faults.at("saving"))
    wrap(preparation, "scan_all", before=lambda *_: faults.at("scanning"))
    wrap(
        holding,
        "_fill",
        before=lambda *_: faults.at("holding"),
        after=lambda *_: faults.at("held"),
    )
    wrap(loop, "first_state", lambda *_: faults.at("beginning"), lambda *_: faults.at("begun"))
    wrap(loop.Loop, "to_the_end", before=lambda *_: faults.at("prepared"))
    wrap(loop.Loop, "to_the_end", after=ended)
    wrap(checkpoint, "image", before=lambda *_: faults.at("copying"))
    wrap(checkpoint, "prune", before=lambda *_: faults.at("pruning"))
    wrap(rundirectory.RunDirectory, "finish", before=lambda *_, **__: faults.at("marking"))

    def created(function, path):
        if path.parent.name != "checkpoints":
            return function(path)
        faults.at("opening")
        return _HalfFile(function(path), faults)

    def renamed(function, temporary, path, *more):
        if path.parent.name != "checkpoints":
            function(temporary, path, *more)
            return
        faults.at("renaming")
        function(temporary, path, *more)
        faults.at("renamed")

    wrap(files, "_create", around=created)
    wrap(files, "_rename", around=renamed)


RANK_COUNT = int(
    next(
        (os.environ[name] for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE") if name in os.environ), 1
    )
)


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    sys.argv[1:2] = []
    faults = Faults(plan)

    from distmlp.cli import main as cli

    install(faults)
    if "slow_write" in plan:
        from distmlp.training import saving

        saving.SLOW_WRITE = plan["slow_write"]

    def run(function, *arguments):
        faults.at("start")
        return function(*arguments)

    wrap(cli, "_run", around=run)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
