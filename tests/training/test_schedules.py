"""Schedules in a run: v is the same on any ranks and after a resume, and a plateau's state is kept."""

import pytest
from example import lawful
from preparing import config_in
from simulated import on_ranks

from distmlp.errors import InputError
from distmlp.training.loop import train
from distmlp.training.reporting import LogOnly

#: An epoch has 21 steps.
SCHEDULES = {
    "step": {"decay": 0.5, "milestones": [10, 30], "schedule_by": "step"},
    "polynomial": {"power": 1.5, "schedule_by": "step"},
    "cosine": {"least_rate": 0.01, "period": 8, "period_growth": 2, "schedule_by": "step"},
    "one-cycle": {"schedule_by": "step", "warmup": "", "start_factor": 0.3},
    "exponential": {"decay": 0.97, "schedule_by": "step"},
    "plateau": {"decay": 0.5, "plateau_patience": 1},
}


def of(schedule, **more):
    keys = {"schedule": schedule, "warmup": "5 steps", **SCHEDULES[schedule], **more}
    return {f"optimizer.{key}": value for key, value in keys.items()}


def run(place, name, size, changes, **more):
    config = config_in(place, {**changes, "run.directory": str(place / name)})
    found = on_ranks(
        size,
        lambda comm: train(config, comm, report=LogOnly() if comm.rank == 0 else None, **more),
    )
    for outcome in found:
        if isinstance(outcome, Exception):
            raise outcome
    assert len({outcome.v_sha256 for outcome in found}) == 1
    return found[0]


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_same_bits_on_any_ranks_and_after_a_resume(tmp_path, schedule):
    changes = {"training.epochs": 3, **of(schedule)}
    alone = run(tmp_path, "alone", 1, changes)
    for ranks, until in ((2, 3), (4, 25), (3, 44)):
        name = f"resumed-{until}"
        run(tmp_path, name, ranks, changes, until=until)
        assert run(tmp_path, name, 5 - ranks, changes).v_sha256 == alone.v_sha256
        assert lawful(tmp_path / name) == lawful(tmp_path / "alone")
    constant = {"training.epochs": 3}
    assert run(tmp_path, "constant", 1, constant).v_sha256 != alone.v_sha256


@pytest.mark.slow
def test_the_rate_falls_where_the_metric_stands_still(tmp_path):
    """An improvement that is never large enough: after each second epoch the rate is halved."""
    changes = {
        "training.epochs": 8,
        "training.least_improvement": 100.0,
        **of("plateau", plateau_patience=2, least_rate=0.1, warmup=""),
    }
    whole = run(tmp_path, "whole", 1, changes)
    rates = [record["learning_rate"] for record in lawful(tmp_path / "whole")]
    assert rates == [0.3] * 3 + [0.15] * 2 + [0.1] * 3
    assert whole.shown.reductions == 3
    for until in (21 * 4, 21 * 4 + 11):
        run(tmp_path, f"resumed-{until}", 2, changes, until=until)
        assert run(tmp_path, f"resumed-{until}", 1, changes).v_sha256 == whole.v_sha256
    for changed, words in (
        ({"training.least_improvement": 0.0}, "training.least_improvement"),
        ({"training.monitor": "accuracy"}, "training.monitor"),
        ({"data.validation": ""}, '"validation_cost" by optimizer.schedule = "plateau"'),
    ):
        with pytest.raises(InputError) as error:
            run(tmp_path, "whole", 1, {**changes, **changed})
        assert words in str(error.value)


def test_a_plateau_watches_the_cost_where_there_is_no_validation(tmp_path):
    changes = {"data.validation": "", "training.epochs": 1, **of("plateau")}
    assert run(tmp_path, "run", 1, changes).shown.metric == "cost"


def test_a_run_is_made_longer_only_where_its_rates_stay(tmp_path):
    """The epochs decide v where α follows from them; elsewhere a run may be made longer."""
    for schedule, same in (("cosine", False), ("one-cycle", True), ("polynomial", True)):
        changes = {"training.epochs": 1, **of(schedule)}
        run(tmp_path, schedule, 1, changes)
        longer = {**changes, "training.epochs": 2}
        if same:
            with pytest.raises(InputError, match=r"training\.epochs = 1"):
                run(tmp_path, schedule, 1, longer)
        else:
            found = run(tmp_path, schedule, 2, longer)
            assert found.v_sha256 == run(tmp_path, "at-once", 1, longer).v_sha256


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"decay": 0.5}, '"exponential", "step", "plateau"'),
        ({"schedule": "step", "decay": 0.5}, "expected one of the two"),
        ({"schedule": "step", "period": 2}, "changes no rate"),
        ({"schedule": "cosine", "period_growth": 2}, "the length of the first cycle"),
        ({"schedule": "cosine", "least_rate": 0.5}, "at most optimizer.learning_rate, 0.3"),
        ({"schedule": "constant", "power": 2.0}, 'belongs to optimizer.schedule "polynomial"'),
        ({"start_factor": 0.5}, "nothing begins with it"),
        ({"warmup": "2 minutes"}, '"N steps" or "N epochs"'),
        ({"schedule": "step", "milestones": [3, 2], "decay": 0.1}, "growing whole numbers"),
        ({"schedule_by": "step"}, "schedule_by"),
        ({"name": "lbfgs", "warmup": "2 steps", "learning_rate": 1.0}, "optimizer.warmup is"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, changes, words):
    with pytest.raises(InputError) as error:
        whole = {"training.batch_size": "all"} if changes.get("name") == "lbfgs" else {}
        config_in(
            tmp_path, {**whole, **{f"optimizer.{key}": value for key, value in changes.items()}}
        )
    assert words in str(error.value)


def test_a_plateau_needs_a_metric(tmp_path):
    with pytest.raises(InputError, match="a metric to wait for"):
        config_in(tmp_path, {"training.monitor": "none", **of("plateau")})
