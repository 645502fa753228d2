"""Tables as sets for evaluate and predict: converted to HDF5 for as long as the command takes."""

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from distmlp.data.conversion.columns import NoColumn
from distmlp.data.conversion.convert import convert
from distmlp.data.conversion.kinds import tables_in
from distmlp.data.conversion.options import TableOptions
from distmlp.data.several_files import Spec
from distmlp.errors import InputError
from distmlp.parallel.communicator import Communicator
from distmlp.parallel.rank0 import on_rank_0


def set_of(
    spec: Spec,
    targets: Sequence[str] | None,
    facts: dict[str, Any],
    scratch: Path | None,
    comm: Communicator,
    stack: ExitStack,
) -> tuple[Spec, bool]:
    """The set that a spec names, and whether it is a table, which is written as one of its own that goes with the stack.

    targets: the columns of these, () for none, None for the last one.  facts: a checkpoint's, whose inputs and classes
    are looked for by name; without names, all other columns are inputs.  A cell that is missing becomes NaN.  scratch: the directory to write to; by default a temporary one or, with ranks
    on several hosts, the table's own.  Raises InputError.
    """

    def converted() -> tuple[Spec, bool]:
        path = Path(spec if isinstance(spec, str) else "")
        if not tables_in(str(path)):
            return spec, False
        alone = len(set(comm.hosts)) == 1
        place = scratch or (Path(tempfile.gettempdir()) if alone else path.parent)
        whole = place / f".{os.urandom(8).hex()}.h5"
        stack.callback(whole.unlink, missing_ok=True)
        try:
            convert([path], whole, table=_options(targets, facts))
        except NoColumn as error:
            if error.option == "--targets" and error.name in (facts.get("target_columns") or ()):
                raise without_targets(
                    str(path), f"looked for {error.name!r}: {error.why}"
                ) from None
            raise
        return f"{whole}:/train", True

    return on_rank_0(comm, converted)


def without_targets(data: str, why: str) -> InputError:
    """What to raise where metrics are asked for, and rows have no targets.  why: what was looked for, and is there."""
    return InputError(
        f"{data}: has no targets ({why}), so there is nothing to compare the network's answers with; distmlp evaluate "
        "--targets NAME takes targets of a different name, distmlp predict answers rows without any"
    )


def _options(targets: Sequence[str] | None, facts: dict[str, Any]) -> TableOptions:
    classes = facts["classes"] and targets != ()
    return TableOptions(
        inputs=facts.get("columns"),
        of_network=True,
        targets=[targets] if isinstance(targets, str) else targets,
        classes=facts.get("targets") if classes else None,
        regression=targets != () and not classes,
        missing="keep",
    )
