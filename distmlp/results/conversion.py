"""Tables as sets for predict: converted to HDF5 for as long as the command takes."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from distmlp.data.conversion.convert import convert, is_table
from distmlp.data.conversion.options import TableOptions
from distmlp.parallel.communicator import Communicator
from distmlp.parallel.rank0 import on_rank_0


def set_of(
    spec: str, facts: dict[str, Any], out: Path, comm: Communicator, stack: ExitStack
) -> tuple[str, str | None]:
    """The set that a spec names, and what its inputs are called where the config does not say; where that is a table, a set of its own beside `out`, which goes with the stack.

    facts: a checkpoint's, whose inputs are looked for by name; without names, all columns are taken.  A cell that is
    missing becomes NaN.  Raises InputError.
    """

    def converted() -> tuple[str, str | None]:
        path = Path(spec)
        if not (path.is_file() and is_table(path)):
            return spec, None
        whole = out.with_name(f".{out.name}.{os.urandom(4).hex()}.h5")
        stack.callback(whole.unlink, missing_ok=True)
        options = TableOptions(inputs=facts.get("columns"), targets=(), missing="keep")
        convert([path], whole, table=options)
        return f"{whole}:/train", "x"

    return on_rank_0(comm, converted)
