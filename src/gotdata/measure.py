"""Numbers as people read them."""

from __future__ import annotations


def size(count: float) -> str:
    """Bytes in SI units: ``0 B``, ``999 B``, ``1.5 kB``, ``41 MB``, ``312 GB``."""
    if count < 999.5:
        return f"{count:.0f} B"
    units = ["kB", "MB", "GB", "TB", "PB", "EB"]
    count /= 1000
    while count >= 999.5 and len(units) > 1:
        count /= 1000
        del units[0]
    return f"{count:.1f} {units[0]}" if count < 9.95 else f"{count:.0f} {units[0]}"


def duration(seconds: float) -> str:
    """``0.8 s``, ``42 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def count(number: int, noun: str) -> str:
    """``1 file``, ``1,200 files``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
