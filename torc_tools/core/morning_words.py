"""The words of the page for the morning after: sizes, times and causes as a person reads them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

Offset = Callable[[float], int]  # Unix seconds -> seconds that local time was ahead of UTC then

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

CAUSES = {  # cause of a diagnosis -> what the page calls it
    "oom": "Out of memory",
    "timeout": "Out of time",
    "allocation_end": "Cut off by the end of its allocation",
    "node_fail": "Node failed",
    "preempted": "Preempted",
    "interrupted": "Interrupted",
    "deadline": "Past its deadline",
    "launch_fail": "Could not be started",
    "orphan": "Lost with its worker",
    "transient": "Asked to be tried again",
    "gpu_oom": "GPU memory full",
    "storage": "Storage full or not writable",
    "canceled": "Canceled",
    "unknown": "No known cause",
}
KINDS = {  # cause -> the kind of end that the page gives a colour
    "oom": "memory",
    "timeout": "time",
    **dict.fromkeys(("allocation_end", "node_fail", "preempted", "interrupted", "deadline"), "place"),
    "launch_fail": "place",
    "orphan": "place",
    "canceled": "canceled",
}


def cause(word: str) -> str:
    """Give what the page calls a cause."""
    return CAUSES.get(word) or word.replace("_", " ").capitalize()


def cause_within(word: str) -> str:
    """Give what the page calls a cause within a sentence."""
    name = cause(word)
    return name if name[1:2].isupper() else name[:1].lower() + name[1:]


def kind(word: str) -> str:
    """Give the kind of a cause: memory, time, place, canceled, or other."""
    return KINDS.get(word, "other")


def size(count: float | None) -> str:
    """Write bytes: '128 MB', '1.5 GB' (binary units, as everywhere here); None is 'no limit'."""
    if count is None:
        return "no limit"
    if count < 1 << 20:
        return f"{count / 1024:.0f} KB" if count >= 1 << 10 else f"{count:.0f} B"
    number, unit = (count / (1 << 20), "MB") if count < 1 << 30 else (count / (1 << 30), "GB")
    return f"{_short(number)} {unit}"


def _short(number: float) -> str:
    """Write a number with at most two decimals, three digits in all where it has decimals."""
    return f"{number:.0f}" if number >= 100 else f"{number:.{1 if number >= 10 else 2}f}".rstrip("0").rstrip(".")


def span(seconds: float | None) -> str:
    """Write how long something took: '0.4 s', '12 s', '3 min 20 s', '7 h 39 min', '3 d 4 h'; None is 'no limit'."""
    if seconds is None:
        return "no limit"
    if 0 < seconds < 0.05:
        return "under 0.1 s"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for large, small, many, few in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large} {many}" + (f" {rest} {few}" if rest else "")
    return f"{whole} s"


def work(core_s: float) -> str:
    """Write work in core-hours, or in a smaller unit where that says more: '61 core-hours', '12.4 core-minutes'."""
    for unit, length in (("hours", 3600), ("minutes", 60), ("seconds", 1)):
        if core_s >= length or length == 1:
            number = core_s / length
            shown = f"{number:,.0f}" if number >= 1000 else _short(number)
            return f"{shown} core-{unit[:-1] if shown == '1' else unit}"
    raise AssertionError


def cpus(number: float | None) -> str:
    """Write CPUs: '1', '0.48'; an average is never 0, and None is 'no limit'."""
    if number is None:
        return "no limit"
    return "under 0.01" if number < 0.005 else f"{number:.2f}".rstrip("0").rstrip(".")


def share(part: float, whole: float) -> str:
    """Write a part of a whole in percent; what is there is never 0 %, and what is missing never 100 %."""
    if whole <= 0 or part <= 0:
        return "0 %"
    percent = part * 100 / whole
    if percent < 1:
        return "under 1 %"
    return "over 99 %" if 99 < percent < 100 else f"{percent:.0f} %"


def counted(number: int, word: str, words: str | None = None) -> str:
    """Write '1 job', '3 jobs', '12,000 jobs'."""
    return f"{number:,} {word if number == 1 else words or word + 's'}"


def times(number: int) -> str:
    """Write 'once', '12 times'."""
    return "once" if number == 1 else f"{number:,} times"


def listed(names: list[str], most: int = 4) -> str:
    """Write names with commas; of more than `most` the first and how many more."""
    if len(names) > most + 1:
        return f"{', '.join(names[:most])} and {len(names) - most:,} more"
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1] if names else ""


class Clock:
    """Writes moments in local time; whether with the day and with seconds hangs on the whole that is shown."""

    def __init__(self, start: float, end: float, offset: Offset) -> None:
        """Take the first and the last moment of the whole, in Unix seconds."""
        self._offset = offset
        self._with_seconds = end - start < 1800
        self._with_day = self._local(start).date() != self._local(end).date()

    def _local(self, at: float) -> datetime:
        zone = timezone(timedelta(seconds=self._offset(at)))
        return datetime.fromtimestamp(at, UTC).astimezone(zone)

    def day(self, at: float) -> str:
        """Write 'Sun 22 Nov 2026, 07:18'."""
        local = self._local(at)
        day = f"{_DAYS[local.weekday()]} {local.day} {_MONTHS[local.month - 1]} {local.year}"
        return f"{day}, {local.hour:02d}:{local.minute:02d}"

    def time(self, at: float) -> str:
        """Write the time as short as the whole allows: '07:18', 'Sun 07:18', '07:18:34'."""
        local = self._local(at)
        seconds = f":{local.second:02d}" if self._with_seconds else ""
        day = f"{_DAYS[local.weekday()]} " if self._with_day else ""
        return f"{day}{local.hour:02d}:{local.minute:02d}{seconds}"

    def zone(self, at: float) -> str:
        """Write how local time stood to UTC: 'UTC', 'UTC+01:00'."""
        minutes = abs(self._offset(at)) // 60
        sign = "-" if self._offset(at) < 0 else "+"
        return f"UTC{sign}{minutes // 60:02d}:{minutes % 60:02d}" if minutes else "UTC"
