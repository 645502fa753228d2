"""The command `distmlp find-rate`: which learning rate a config bears, from a rate that grows step by step."""

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from distmlp.errors import COMPLETE, InputError

if TYPE_CHECKING:
    from distmlp.parallel.communicator import Communicator
    from distmlp.training.rate_range_test import RateTest

HELP = "Find a learning rate: take steps with one that grows, and see what the cost does."

EPILOG = """examples:
  distmlp find-rate digits.toml
  mpirun -n 4 distmlp find-rate digits.toml --output rates.png

The steps begin with the config's first v, and with its optimizer and batch; its rate and schedule are not used, and its
run directory is not touched.  The suggestion is the rate at which the smoothed cost falls most steeply; a tenth of the
rate with the lowest cost is a second choice.  --output needs matplotlib: pip install "distmlp[plots]"."""

_ENDS = {
    "steps": "all {} steps were taken",
    "cost": "the cost had grown fourfold after {} steps",
    "not finite": "the cost was no number any more after {} steps",
}

#: Steps that the table shows.
_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `distmlp find-rate` takes beside the config."""
    parser.add_argument(
        "--least",
        metavar="RATE",
        type=float,
        default=1e-6,
        help="the first step's (default %(default)g)",
    )
    parser.add_argument(
        "--most",
        metavar="RATE",
        type=float,
        default=10.0,
        help="the last step's (default %(default)g)",
    )
    parser.add_argument(
        "--steps", metavar="N", type=int, default=200, help="how many (default %(default)s)"
    )
    parser.add_argument(
        "--output",
        metavar="FIGURE.png|.svg|.pdf",
        type=Path,
        help="the figure of costs by rate; without it none is drawn",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the file that --output names"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace, comm: "Communicator") -> int:
    """Takes the steps on all ranks; prints a table on rank 0, and draws the figure.  Raises InputError."""
    from distmlp.parallel.rank0 import on_rank_0
    from distmlp.training.rate_range_test import find_rates
    from distmlp.training.reporting import Report

    if not (0 < args.least < args.most < math.inf):
        raise InputError(
            f"--least is {args.least:g} and --most is {args.most:g}, but expected two rates above 0, the least first"
        )
    if args.steps < 10:
        raise InputError(f"--steps is {args.steps}, but expected at least 10")
    on_rank_0(comm, lambda: _check_output(args))
    report = Report(bar=False)
    test = find_rates(args.config, comm, args.least, args.most, args.steps, report)
    if not test.rates:
        raise InputError(
            "the cost or the gradient of the first batch is not finite, before any step"
        )
    on_rank_0(comm, lambda: _draw(test, args.output))
    if comm.rank == 0:
        print(_json(test) if args.json else _text(test, args.output))
    return COMPLETE


def _check_output(args: argparse.Namespace) -> None:
    if args.output is None:
        return
    from distmlp.results.figures import style
    from distmlp.results.outputs import check_output

    endings = [f".{ending}" for ending in style.FORMATS]
    check_output(args.output, args.overwrite, endings, (args.config_file,))
    with style.styled():  # matplotlib is missed before the steps are taken
        pass


def _draw(test: "RateTest", path: Path | None) -> None:
    if path is None:
        return
    from distmlp.results.figures import rate_curve, style

    with style.styled():
        style.save(style.drawn([rate_curve.drawing_of(test)]), path)


def _json(test: "RateTest") -> str:
    found = {"suggestion": test.suggestion, "tenth_of_lowest": test.tenth_of_lowest}
    return json.dumps({**found, **asdict(test)})


def _text(test: "RateTest", figure: Path | None) -> str:
    n = len(test.rates)
    lines = [f"{'rate':>10}  {'cost':>12}  {'smoothed':>12}"]
    for i in sorted({round(place * (n - 1) / (_SHOWN - 1)) for place in range(_SHOWN)}):
        lines.append(f"{test.rates[i]:>10.3g}  {test.costs[i]:>12.6g}  {test.smoothed[i]:>12.6g}")
    lines += ["", _ENDS[test.end].format(n)]
    if test.suggestion is None or test.tenth_of_lowest is None:
        lines.append(
            "no rate is suggested: the cost has not fallen; --least, --most and --steps may be changed"
        )
    else:
        lines.append(
            f"suggested: optimizer.learning_rate = {test.suggestion:.2g}, where the cost falls most steeply; "
            f"{test.tenth_of_lowest:.2g}, a tenth of the rate with the lowest cost, is a second choice; the smaller is the careful one"
        )
    if figure is not None:
        lines.append(f"figure: {figure}")
    return "\n".join(lines)
