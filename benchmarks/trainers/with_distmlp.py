"""distmlp, as its users run it: the trainer's own loop, feed included, timed by its report."""

import os

import workload
from trainers import problem

from distmlp.mathematics.layout import Layout
from distmlp.parallel import launchers


def train(task: dict) -> dict | None:
    comm = launchers.world()
    case = problem.case_of(task)
    trainer = workload.Trainer(comm, task["directory"])
    size = os.path.getsize(task["data"])
    timed = trainer.time(
        case,
        task["data"],
        reduction=task["reduction"],
        data_scale=1.0,
        data_window=f"{size // 10**6 * 2 + 256} MB",  # a set of up to half of it is held in memory
    )
    if comm.rank:
        return None
    w, b = Layout(case.layers).views(timed.v)
    parameters = list(zip(w[1:], b[1:], strict=True))
    return problem.answer(problem.load(task), timed.per_step, parameters)
