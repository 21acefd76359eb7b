"""Single values as Slurm prints them: states, times, sizes, exit codes, lists of hosts. Nothing here raises."""

import re
from collections.abc import Iterator
from datetime import datetime

from torc_tools import units

QUEUED = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
ACTIVE = {"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"}
ACTIVE |= {"EXPEDITING", "POWER_UP_NODE"}
OVER = {"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE"}
OVER |= {"OUT_OF_MEMORY", "REVOKED"}
KNOWN = QUEUED | ACTIVE | OVER
_COMPACT = {
    "BF": "BOOT_FAIL", "CA": "CANCELLED", "CD": "COMPLETED", "CF": "CONFIGURING", "CG": "COMPLETING",
    "DL": "DEADLINE", "F": "FAILED", "NF": "NODE_FAIL", "OOM": "OUT_OF_MEMORY", "PD": "PENDING", "PR": "PREEMPTED",
    "R": "RUNNING", "RD": "RESV_DEL_HOLD", "RF": "REQUEUE_FED", "RH": "REQUEUE_HOLD", "RQ": "REQUEUED",
    "RS": "RESIZING", "RV": "REVOKED", "SE": "SPECIAL_EXIT", "SI": "SIGNALING", "SO": "STAGE_OUT", "ST": "STOPPED",
    "S": "SUSPENDED", "TO": "TIMEOUT", "EX": "EXPEDITING", "PN": "POWER_UP_NODE",
}  # fmt: skip
_FLAGS = ["REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "REQUEUE_FED", "REQUEUED", "COMPLETING", "CONFIGURING"]
_FLAGS += ["POWER_UP_NODE", "STAGE_OUT"]
_BY = re.compile(r"\s+by\s+(\d{1,10})\s*$", re.IGNORECASE | re.ASCII)
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
_CLOCK = re.compile(r"(?:(\d{1,9})-)?(?:(\d{1,9}):)?(\d{1,9}):(\d{1,9})(\.\d{1,9})?", re.ASCII)
_LIMIT = re.compile(r"(?:(\d{1,9})-)?(\d{1,9})(?::(\d{1,9}))?(?::(\d{1,9}))?", re.ASCII)
_SIZE = re.compile(r"(\d{1,18})(?:\.(\d{1,9}))?([KMGTPE]?)B?[cn]?", re.ASCII | re.IGNORECASE)
_EXIT = re.compile(r"(\d{1,10}):(\d{1,10})", re.ASCII)
_POWERS = " KMGTPE"
_NOTHING = {"", "(null)", "none", "n/a", "unknown", "none assigned", "not_set", "invalid"}
MOST_HOSTS = 100_000


def state(text: str) -> tuple[str, int | None]:
    """Give a state as its long word, and the user that canceled: 'CANCELLED by 1000' is ('CANCELLED', 1000).

    Compact words and words cut short ('OUT_OF_ME+') are made whole; of several words, the one that says what is yet
    to come counts ('COMPLETED,COMPLETING' is COMPLETING). What is unknown stays as it is.
    """
    found = _BY.search(text)
    words = [_word(word) for word in re.split(r"[,|&+\s]+", text[: found.start()] if found else text) if word]
    uid = int(found[1]) if found else None
    for flag in _FLAGS:
        if flag in words:
            return flag, uid
    if len(words) > 1 and not KNOWN.issuperset(words):
        return text.strip(), uid
    return (words[0] if words else ""), uid


def _word(text: str) -> str:
    word = text.upper()
    if word in KNOWN or word in _COMPACT:
        return _COMPACT.get(word, word)
    whole = [known for known in KNOWN if len(word) > 3 and known.startswith(word)]
    return whole[0] if len(whole) == 1 else text


def bare(state: str | None) -> str:
    """Give a state without what may follow it: 'CANCELLED by 1000' and 'CANCELLED+' are CANCELLED; '' for none."""
    words = (state or "").split()
    return words[0].rstrip("+").upper() if words else ""


def step_name(workflow_id: int, job_id: int, run_id: int, attempt_id: int) -> str:
    """Name the Slurm step of one attempt of a job; accounting knows it by this."""
    return f"wf{workflow_id}_j{job_id}_r{run_id}_a{attempt_id}"


def classify(word: str) -> str:
    """Say what a state's long word means for a job: 'queued', 'active', 'over', or 'unknown': then conclude nothing."""
    groups = (("queued", QUEUED), ("active", ACTIVE), ("over", OVER))
    return next((name for name, words in groups if word in words), "unknown")


def words(text: str) -> str | None:
    """Give a text, None where Slurm says that there is none."""
    stripped = text.strip()
    return None if stripped.lower() in _NOTHING else stripped


def number(text: str) -> int | None:
    """Give a whole number, None for anything else."""
    stripped = text.strip()
    return int(stripped) if stripped.isdigit() and stripped.isascii() and len(stripped) <= 18 else None


def moment(text: str) -> float | None:
    """Give Unix seconds of '1795319197' or of local time '2026-11-22T03:46:37'; None for Unknown, None, N/A."""
    stripped = text.strip()
    seconds = number(stripped)
    if seconds is not None and seconds < 10**11:
        return float(seconds) or None
    if not _ISO.fullmatch(stripped):
        return None
    try:
        return datetime.fromisoformat(stripped).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def elapsed(text: str) -> float | None:
    """Give the seconds of '[D-]HH:MM:SS', 'MM:SS.mmm' or '17' (ElapsedRaw); None for what is no such thing."""
    stripped = text.strip()
    whole = number(stripped)
    if whole is not None:
        return float(whole)
    match = _CLOCK.fullmatch(stripped)
    if match is None or (match[1] and not match[2]):
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:4])
    return days * 86400 + hours * 3600 + minutes * 60 + seconds + float(match[5] or 0)


def limit(text: str) -> int | None:
    """Give the seconds of a time limit as Slurm reads one: '30' and '30:00' are minutes, '1-12' is a day and 12 hours.

    None for UNLIMITED, infinite, Partition_Limit and what is no limit.
    """
    match = _LIMIT.fullmatch(text.strip())
    if match is None:
        return None
    first, second, third = int(match[2]), int(match[3] or 0), int(match[4] or 0)
    if match[1] is not None:
        return int(match[1]) * 86400 + first * 3600 + second * 60 + third
    if match[4] is not None:
        return first * 3600 + second * 60 + third
    return first * 60 + second


def size(text: str) -> int | None:
    """Give the bytes of '4087808', '3.52G', '0.10M', '4000Mn' (K is 1024), rounded up; None where there is none."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        return None
    decimals = match[2] or ""
    scaled = int(match[1] + decimals) << (10 * _POWERS.index(match[3].upper() or " "))
    return units.ceil_div(scaled, int("1" + "0" * len(decimals)))


def exit_code(text: str) -> tuple[int | None, int | None]:
    """Give (code, signal) of '1:0', '0:9', '0:125'; (None, None) where there is none.

    Slurm prints a program's code of 128 and more less 128: (9, 0) is exit 9 or exit 137, (0, 9) is signal 9.
    """
    match = _EXIT.fullmatch(text.strip())
    return (int(match[1]), int(match[2])) if match else (None, None)


def hosts(text: str) -> list[str]:
    """Give the hosts of a list such as 'n[01-03,7],gpu1', at most MOST_HOSTS; a list that is none is one host."""
    found: list[str] = []
    for part in re.findall(r"(?:[^,\[\]]|\[[^\]]*\])+", words(text) or ""):
        for host in _expanded(part):
            if len(found) >= MOST_HOSTS:
                return found
            found.append(host)
    return found


def _expanded(part: str) -> Iterator[str]:
    head, bracket, rest = part.partition("[")
    inside, closed, tail = rest.partition("]")
    if not (bracket and closed):
        yield part
        return
    for piece in inside.split(","):
        for one in _range(piece):
            yield from (f"{head}{one}{end}" for end in _expanded(tail))


def _range(piece: str) -> Iterator[str]:
    match = re.fullmatch(r"(\d{1,9})-(\d{1,9})", piece, re.ASCII)
    if match is None:
        yield piece
        return
    yield from (str(each).zfill(len(match[1])) for each in range(int(match[1]), int(match[2]) + 1))
