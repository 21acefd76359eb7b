"""Bytes, seconds and thousandths: one parser and one printer each.

Memory is binary everywhere (1k = 1024 bytes). Durations are whole seconds, rounded up. Factors are integers in
thousandths, because 1.1 * 3600 is not 3960 in floating point.
"""

import functools
import re

from torc_tools.exits import DATA, Failure

_POWERS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_MEMORY = re.compile(r"\s*(\d+)(?:\.(\d+))?\s*([bkmgtp]?)(i?b)?\s*", re.IGNORECASE | re.ASCII)
_ISO = re.compile(
    r"P(?=[\dT])(?:([\d.]+)W)?(?:([\d.]+)D)?(?:T(?=\d)(?:([\d.]+)H)?(?:([\d.]+)M)?(?:([\d.]+)S)?)?",
    re.IGNORECASE | re.ASCII,
)
_NUMBER = re.compile(r"(\d+)(?:\.(\d+))?", re.ASCII)
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", re.ASCII)
_DAYS = re.compile(r"(\d+)-(\d+)(?::([0-5]\d))?", re.ASCII)
_LIMIT = 2**62  # what SQLite's integers hold, with room for one doubling


def ceil_div(number: int, divisor: int) -> int:
    """Give number / divisor rounded up, exactly."""
    return -(-number // divisor)


def parse_memory(text: str | int) -> int:
    """Give the bytes of '8g', '1.5g', '8GiB', '8 GB', '512b' or a bare number of bytes; parts of a byte round up.

    Powers of 1024 whatever the spelling. Raises Failure(65) on anything else, 0 and more than 2**62 included.
    """
    return _memory(str(text))


@functools.lru_cache(maxsize=1024)  # a workflow has few sizes and many jobs
def _memory(text: str) -> int:
    match = _MEMORY.fullmatch(text)
    if match is None or (match[3].lower() == "b" and match[4]):
        raise Failure(DATA, f"not a memory size: '{text}' (write 512m, 8g, 1.5g)")
    whole, part = match[1], match[2] or ""
    scaled = int(whole + part) * 1024 ** _POWERS[match[3].lower()]
    return _bounded(ceil_div(scaled, 10 ** len(part)), text, "memory size")


def format_memory(size: int) -> str:
    """Write bytes exactly with the largest unit that divides them: 12884901888 is '12g', 1000 is '1000b'."""
    for letter, power in (("t", 4), ("g", 3), ("m", 2), ("k", 1)):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{letter}"
    return f"{size}b"


def round_up_memory(size: int) -> int:
    """Round bytes up to a whole g (from 1g on), m (from 1m on) or k, as a person would ask for."""
    for power in (3, 2, 1):
        if size >= 1024**power:
            return ceil_div(size, 1024**power) * 1024**power
    return size


def parse_duration(text: str) -> int:
    """Give the seconds of ISO 8601 ('PT2H30M', 'P1DT12H', 'PT0.5S') or '[D-]HH:MM:SS' ('D-HH', 'D-HH:MM' too).

    Parts of a second round up. Years and months (not a fixed length), 'MM:SS' (read as hours by many), bare
    numbers, zero and rubbish raise Failure(65).
    """
    return _duration(str(text))


@functools.lru_cache(maxsize=1024)
def _duration(text: str) -> int:
    stripped = text.strip()
    if match := _CLOCK.fullmatch(stripped):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return _bounded(days * 86400 + hours * 3600 + minutes * 60 + seconds, text, "duration")
    if match := _DAYS.fullmatch(stripped):
        days, hours, minutes = (int(part or 0) for part in match.groups())
        return _bounded(days * 86400 + hours * 3600 + minutes * 60, text, "duration")
    if match := _ISO.fullmatch(stripped):
        return _bounded(_iso_seconds(match.groups(), text), text, "duration")
    raise Failure(DATA, f"not a duration: '{text}' (write PT2H30M or 02:30:00)")


def _iso_seconds(parts: tuple[str | None, ...], text: str) -> int:
    """Add up weeks, days, hours, minutes, seconds, each perhaps with decimals; round the sum up."""
    micro = 0
    for part, unit in zip(parts, (604800, 86400, 3600, 60, 1), strict=True):
        if part is None:
            continue
        match = _NUMBER.fullmatch(part)
        if match is None:
            raise Failure(DATA, f"not a duration: '{text}' (write PT2H30M or 02:30:00)")
        decimals = match[2] or ""
        micro += ceil_div(int(match[1] + decimals) * unit * 10**6, 10 ** len(decimals))
    return ceil_div(micro, 10**6)


def format_duration(seconds: int) -> str:
    """Write whole seconds as ISO 8601 with hours as the largest unit: 9059 is 'PT2H30M59S', 86400 is 'PT24H'."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    text = "".join(f"{value}{unit}" for value, unit in ((hours, "H"), (minutes, "M"), (rest, "S")) if value)
    return f"PT{text or '0S'}"


def parse_factor(text: str) -> int:
    """Give a factor such as '1.5' in thousandths (1500). Raises Failure(65) below 0.001 or finer than that."""
    match = _NUMBER.fullmatch(text.strip())
    decimals = (match[2] or "").rstrip("0") if match else ""
    if match is None or len(decimals) > 3:
        raise Failure(DATA, f"not a factor with at most three decimals: '{text}'")
    milli = int(match[1] + decimals.ljust(3, "0"))
    return _bounded(milli, text, "factor")


def format_factor(milli: int) -> str:
    """Write thousandths as people do: 1500 is '1.5', 2000 is '2'."""
    return f"{milli // 1000}.{milli % 1000:03d}".rstrip("0").rstrip(".")


def scale(amount: int, milli: int) -> int:
    """Give amount x factor, the factor in thousandths, rounded up."""
    return ceil_div(amount * milli, 1000)


def human_bytes(size: int) -> str:
    """Write bytes for people, as torc's reports do: '512.0 MB' below 1024 MB, else '10.50 GB' (binary units)."""
    return f"{size / 2**20:.1f} MB" if size < 2**30 else f"{size / 2**30:.2f} GB"


def human_seconds(seconds: float) -> str:
    """Write a duration for people, as torc's reports do: '1h 0m 54s', '45m 0s', '1.1s'."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}h {minutes}m {whole % 60}s" if hours else f"{minutes}m {whole % 60}s"


def _bounded(value: int, text: object, what: str) -> int:
    if not 0 < value < _LIMIT:
        raise Failure(DATA, f"{what} out of range: '{text}'")
    return value
