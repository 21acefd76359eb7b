"""What the commands that list share: open the store with the events folded in, by workflow or by job ids."""

import argparse
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence

from torc_tools import exits, states, units
from torc_tools.exits import Failure
from torc_tools.flows import fold
from torc_tools.records import Record
from torc_tools.shell import options, output, store


def at_workflow(
    args: argparse.Namespace, workflow_id: int | None = None, *, writes: bool = False
) -> sqlite3.Connection:
    """Open the store that `args` name, new events of the workflow (None: of every one) folded in.

    With --read-only they are folded in memory alone; `writes` says that the caller changes the store. Raises
    Failure(66) for a missing store or workflow.
    """
    return fold.opened(options.store_path(args), workflow_id, read_only=args.read_only, writes=writes)


def at_jobs(
    args: argparse.Namespace, job_ids: Sequence[int], *, writes: bool = False
) -> tuple[sqlite3.Connection, int]:
    """Open the store at the workflow of `job_ids`, and give its id.

    Raises Failure(66) where a job is missing and Failure(2) where the jobs are of more than one workflow.
    """
    db = store.open_reader(options.store_path(args))
    workflow_id = workflow_of(db, job_ids)
    db.close()
    return at_workflow(args, workflow_id, writes=writes), workflow_id


def workflow_of(db: sqlite3.Connection, job_ids: Sequence[int]) -> int:
    """Give the one workflow of some jobs; Failure(66) names a job that is missing, Failure(2) jobs of several."""
    found: dict[int, int] = {}
    for job_id in job_ids:
        row = db.execute("SELECT workflow_id FROM job WHERE job_id = ?", (job_id,)).fetchone()
        if row is None:
            raise Failure(exits.NO_INPUT, f"no such job: '{job_id}'")
        found.setdefault(row[0], job_id)
    if len(found) > 1:
        named = " and ".join(f"'{job_id}'" for job_id in list(found.values())[:2])
        raise Failure(exits.USAGE, f"jobs {named} are of different workflows")
    return next(iter(found))


def jobs_of_results(args: argparse.Namespace, result_ids: Sequence[int]) -> list[int]:
    """Give the jobs of some results; Failure(66) names a result that is missing."""
    db = store.open_reader(options.store_path(args))
    found = []
    for result_id in result_ids:
        row = db.execute("SELECT job_id FROM result WHERE result_id = ?", (result_id,)).fetchone()
        if row is None:
            raise Failure(exits.NO_INPUT, f"no such result: '{result_id}'")
        found.append(int(row[0]))
    db.close()
    return found


def state_numbers(text: str) -> list[int]:
    """Read states between commas ('failed,terminated') for argparse."""
    numbers = []
    for word in text.split(","):
        if word.strip() not in states.NUMBERS:
            raise argparse.ArgumentTypeError(f"not a state: '{word.strip()}' (one of {', '.join(states.NAMES)})")
        numbers.append(states.NUMBERS[word.strip()])
    return numbers


def local_time(at: float | None) -> str | None:
    """Write Unix seconds as a person's clock shows them, '2026-03-01 14:05'."""
    return None if at is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def for_people(args: argparse.Namespace) -> bool:
    """Say whether the records will be shown as a table, so that a person's forms and fewer columns serve better."""
    return not args.query and (args.format == "table" or (args.format is None and output.terminal()))


def limits_for_people(records: Iterable[Record]) -> Iterator[Record]:
    """Add to jobs and results their limits as a person writes them: memory '8g', runtime 'PT2H'."""
    for record in records:
        memory, runtime = record["memory_bytes"], record["runtime_s"]
        yield {
            **record,
            "memory": None if memory is None else units.format_memory(memory),
            "runtime": None if runtime is None else units.format_duration(runtime),
        }
