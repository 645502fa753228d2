"""What a conversion can be asked for, where it is one of a few names; standard library only, for the command line."""

#: What the inputs of a CSV can be stored as.
CSV_DTYPES = ("uint8", "float32", "float64")
#: How chunks can be compressed.
COMPRESSIONS = ("none", "gzip")
