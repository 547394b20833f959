"""What a task needs of memory: whether that is there is known before anything runs."""

from typing import Any, NamedTuple

from dask.utils import format_bytes, parse_bytes


def as_bytes(value: Any, name: str) -> float | None:
    """Return a number of bytes: a number, or text such as "2 GB"."""
    if value is None:
        return None
    try:
        size = float(parse_bytes(value))
    except (TypeError, ValueError, AttributeError):
        msg = f"{name}: got {value!r}, want bytes, for example 2e9 or '2 GB'"
        raise TypeError(msg) from None
    if not size > 0:
        msg = f"{name}: got {value!r}, want a positive number of bytes"
        raise ValueError(msg)
    return size


class Need(NamedTuple):
    """A task's largest block, what is made of it, and what the block does not change."""

    name: str  # of the argument
    size: int  # of the block, in its units
    unit: str  # such as "rows"
    each: float  # bytes of a unit, with what is made of it
    beside: float = 0.0  # bytes of what is the same for every block
    panel: tuple[float, float] = (0.0, 0.0)  # of what is worked on at once: bytes of a unit, most
    shape: str = ""  # of the block, where that says more than its size
    made: str = "their results"
    rechunk: str = ""  # how to cut anew, with %d for the size
    other: str = ""  # what helps besides smaller blocks

    @property
    def total(self) -> float:
        """Bytes in all."""
        each, most = self.panel
        return self.size * self.each + self.beside + min(self.size * each, most)

    def fits(self, limit: float) -> int:
        """Return the largest block in so many bytes."""
        each, most = self.panel
        free = limit - self.beside
        large = (free - most) // self.each
        return int(large if large * each >= most else free // (self.each + each))

    def require(self, limit: float | None) -> None:
        """Refuse what a task cannot hold.

        Raises
        ------
        MemoryError
            It names a chunk size that fits, where there is one.
        """
        if limit is None or not self.size or self.total <= limit:
            return
        fits = self.fits(limit)
        if fits >= 1:
            want = f"chunks of at most {fits} {self.unit}"
            want += f": {self.rechunk % fits}" if self.rechunk else ""
        else:
            want = f"workers with more memory or fewer threads{self.other}"
        msg = (
            f"{self.name}: got blocks of {self.shape or f'{self.size} {self.unit}'}, which with "
            f"{self.made} need {format_bytes(int(self.total))}, where a task may use "
            f"{format_bytes(int(limit))}; want {want}"
        )
        raise MemoryError(msg)
