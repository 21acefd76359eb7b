"""What the end of a process means for its job: status, return code and reason, by why it was stopped, if it was."""

from typing import NamedTuple

from torc_tools import exits, states

MEMORY, RUNTIME, END, INTERRUPTED, CANCELED, SUPERSEDED = (
    "memory_limit",
    "runtime_limit",
    "allocation_end",
    "interrupted",
    "canceled",
    "superseded",
)


class Codes(NamedTuple):
    """Return codes that execution_config may set."""

    oom: int = 137
    timeout: int = 152


class Outcome(NamedTuple):
    """How an attempt ended."""

    status: int
    return_code: int
    reason: str | None


def outcome(exit_code: int, stop: str | None, codes: Codes, *, killed: bool = False) -> Outcome:
    """Give the outcome of a process that ended with `exit_code` (below 0: minus the signal's number).

    `stop` is why we stopped it (None: we did not), `killed` whether it needed SIGKILL. A job that ends by itself after
    the warning keeps its code: the caller notes the warning, because code 0 may then be unfinished work.
    """
    code = exits.as_shell(exit_code)
    if stop is None:
        return Outcome(states.FAILED if code else states.COMPLETED, code, None)
    if stop == MEMORY:
        return Outcome(states.FAILED, codes.oom, stop)
    if stop == CANCELED:
        return Outcome(states.CANCELED, code, None)
    by_signal = killed or (stop == RUNTIME and code > 128)
    return Outcome(states.TERMINATED, codes.timeout if by_signal else code, stop)
