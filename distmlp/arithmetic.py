"""Which arithmetic a run's numbers are of: the definition that docs/arithmetic.md writes down.

v is a function of (config, data, seed) and of this definition, on every machine.  So a checkpoint keeps the
definition's fingerprint, and a run goes on only from one of its own.
"""

import hashlib

#: Counts the definitions that there have been: 0.1.0 had the bits of OpenBLAS's and numpy's kernels, which
#: had no number.  Whatever changes a bit of any v raises it.
DEFINITION = 1

FINGERPRINT = hashlib.sha256(f"distmlp arithmetic {DEFINITION}".encode()).hexdigest()
