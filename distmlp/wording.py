"""Words for people that several rooms need."""


def counted(number: int, one: str, ending: str = "s") -> str:
    """A number and what it counts, in the singular or the plural.

    >>> counted(1, "rank"), counted(2000, "rank"), counted(3, "micro-batch", "es")
    ('1 rank', '2,000 ranks', '3 micro-batches')
    """
    return f"{number:,} {one if number == 1 else one + ending}"
