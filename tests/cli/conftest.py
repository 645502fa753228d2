"""Sources to convert, and the file that they become."""

from converting import out, put

__all__ = ["out", "put"]
