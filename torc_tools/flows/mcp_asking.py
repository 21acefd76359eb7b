"""One call of a tool of torc-mcp: what was asked, and the commands that are run for it."""

from typing import Any, NamedTuple

from torc_tools.core import mcp_answers
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.shell import pipeline
from torc_tools.shell.stoppable import Ran, Task


class Asked(NamedTuple):
    """A call: its arguments, checked, and how the server was started."""

    arguments: dict[str, Any]
    task: Task
    store: str  # its path
    read_only: bool
    ran: list[Ran]  # the commands so far

    def get(self, name: str, default: Any = None) -> Any:
        """Give an argument."""
        return self.arguments.get(name, default)

    @property
    def workflow_id(self) -> int:
        """Give the workflow that was named."""
        return int(self.arguments["workflow_id"])

    @property
    def store_options(self) -> list[str]:
        """Give the options that tell a command of the store."""
        return ["--store", self.store]

    @property
    def looking(self) -> list[str]:
        """Give the options of a command that only looks."""
        return [*self.store_options, *(["--read-only"] if self.read_only else [])]

    def run(self, *stage: object, data: bytes | None = None, also: tuple[int, ...] = ()) -> Ran:
        """Run a command; a status that is neither 0 nor one of `also` is a Failure with its last words."""
        words = [str(word) for word in stage]
        ran = self.task.run(words, data)
        self.ran.append(ran)
        if ran.status and ran.status not in also:
            raise Failure(ran.status, mcp_answers.last_words(words[0], ran.said))
        return ran

    def listed(self, *stage: object) -> list[Record]:
        """Run a command that lists; give its records."""
        return pipeline.records(self.run(*stage).stdout)

    def commands(self) -> list[str]:
        """Give what was run, as lines for a shell."""
        found: list[str] = []
        for each in self.ran:
            text = pipeline.text(each.stage)
            found = [*found[:-1], f"{found[-1]} | {text}"] if each.fed and found else [*found, text]
        return found

    def said(self) -> list[str]:
        """Give what the commands said to people."""
        return [line for each in self.ran for line in each.said]


def given(asked: Asked, *names: str) -> list[str]:
    """Give arguments as options of a command, --like-this=VALUE; those that were not given are left out."""
    found = [(name.replace("_", "-"), asked.get(name)) for name in names]
    return [f"--{name}={_text(value)}" for name, value in found if value is not None]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return f"{value:.3f}" if isinstance(value, float) else str(value)
