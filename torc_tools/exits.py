"""Exit statuses, the same in every command and every man page, and the one error that ends a command."""

OK = 0
EMPTY = 1  # -e and no record; a recovery that gave up; a run that left jobs uncompleted
USAGE = 2  # argparse's own
DATA = 65  # a line, spec or value that is not accepted; a stream cut short
NO_INPUT = 66  # no such store, workflow, job or file
UNAVAILABLE = 69  # Slurm or an optional package is missing
SOFTWARE = 70  # a bug: traceback on stderr
IO = 74  # could not read or write
TEMPORARY = 75  # locked or held by another: the same command may be run again
INTERRUPTED = 130  # Ctrl-C
PIPE = 141  # the reader went away


def as_shell(returncode: int) -> int:
    """Give the status of a process as a shell tells it: 128 + N where signal N ended it, and `returncode` is -N."""
    return 128 - returncode if returncode < 0 else returncode


class Failure(Exception):  # noqa: N818  it is an outcome for the user, not a programming error
    """Ends the command with `status` after one line `message` on stderr (and `more`, where it is one a problem).

    A line break inside a line is part of a name, and is made visible.
    """

    def __init__(self, status: int, message: str, *more: str) -> None:
        super().__init__(message)
        self.status = status
        self.lines = (message, *more)
        self.message = "\n".join(self.lines)
