"""Messages between ranks beside the collective calls, from a thread of its own."""

import contextlib
import time
from typing import Any


class Channel:
    """A duplicate of the ranks' communicator, for messages that no collective call waits for."""

    def __init__(self, comm: Any, error: type[Exception]):
        """comm: an mpi4py communicator of this channel alone.  error: what MPI raises."""
        self._comm, self._error = comm, error
        self._sent: list[Any] = []

    def is_called(self) -> bool:
        """Whether a different rank has sent something that this one has not taken."""
        try:
            return self._comm.iprobe()
        except self._error:
            return False  # a rank is lost, which the main thread is being told too

    def exchange(self, value: Any, seconds: float) -> dict[int, Any]:
        """Sends every rank a value, and returns {rank: its value} of those that answer in time."""
        comm, me = self._comm, self._comm.Get_rank()
        answers = {me: value}
        until = time.monotonic() + seconds
        for rank in range(comm.Get_size()):
            if rank != me:
                with contextlib.suppress(self._error):
                    # kept, since a message to a rank that never takes it must not be freed
                    self._sent.append(comm.isend(value, dest=rank))
        while time.monotonic() < until and len(answers) < comm.Get_size():
            for rank in range(comm.Get_size()):
                with contextlib.suppress(self._error):
                    if rank not in answers and comm.iprobe(source=rank):
                        answers[rank] = comm.recv(source=rank)
            time.sleep(0.01)
        return answers
