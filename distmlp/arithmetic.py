"""Which arithmetic a run's numbers are of: the definition that docs/arithmetic.md writes down.

v is a function of (config, data, seed) and of this definition, on every machine.  So a checkpoint keeps the
definition's fingerprint, and a run goes on only from one of its own.
"""

import hashlib

#: Counts the definitions that there have been: 0.1.0 had the bits of OpenBLAS's and numpy's kernels, which
#: had no number.  Whatever changes a bit of any v raises it.
DEFINITION = 1

#: That of batches of more than 64 micro-batches, which until then were counted as smaller ones are.
DEFINITION_OF_MANY = 2


def definition(many: bool) -> int:
    """That of a run.  many: whether its batches have more than 64 micro-batches, whose counts are added up."""
    return DEFINITION_OF_MANY if many else DEFINITION


def fingerprint(many: bool) -> str:
    """What a checkpoint keeps of the definition; many: as for `definition`."""
    return hashlib.sha256(f"distmlp arithmetic {definition(many)}".encode()).hexdigest()
