"""torc-stats: what Slurm's accounting says of the steps of jobs."""

import argparse
from collections.abc import Iterable, Iterator, Sequence

from torc_tools import records
from torc_tools.flows import looking
from torc_tools.records import Record
from torc_tools.shell import accounting, options, output, stream

PROG = "torc-stats"
COLUMNS = ("Job ID", "Run", "Attempt", "Slurm Job", "State", "Max RSS", "Max VM", "CPU (s)", "CPU %", "Nodes")
_UNITS = ("B", "KB", "MB", "GB")


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "List what Slurm's accounting says of the job steps of a workflow.")
    options.add_workflow(made)
    made.add_argument("-j", "--job-id", metavar="JOB", type=options.identifier, help="only this job")
    made.add_argument("--run-id", metavar="RUN", type=options.identifier, help="only this run of the workflow")
    made.add_argument("--attempt-id", metavar="ATTEMPT", type=options.identifier, help="only this attempt in a run")
    options.add_limit(made)
    options.add_source(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write `slurm_stats` records."""
    args = parser().parse_args(argv)
    db = looking.at_workflow(args, args.workflow_id)
    conditions, parameters = ["a.workflow_id = ?"], [args.workflow_id]
    for column in ("job_id", "run_id", "attempt_id"):
        wanted = getattr(args, column)
        if wanted is not None:
            conditions.append(f"a.{column} = ?")
            parameters.append(wanted)
    found = accounting.stats(db, " AND ".join(conditions), tuple(parameters))
    people = looking.for_people(args)
    shown = _for_people(found) if people else found
    return output.emit(records.framed(PROG, args.workflow_id, shown), args, COLUMNS if people else ())


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


def _for_people(found: Iterable[Record]) -> Iterator[Record]:
    """Add the cells of torc's table, and the state; all of them fit a terminal of 80 columns."""
    for record in found:
        ids = (record["job_id"], record["run_id"], record["attempt_id"], record["slurm_job_id"], record["slurm_state"])
        sizes = (_size(record["max_rss_bytes"]), _size(record["max_vm_size_bytes"]))
        cpu = (_number(record["ave_cpu_seconds"]), _number(record["cpu_percent"]))
        yield {**record, **dict(zip(COLUMNS, (*ids, *sizes, *cpu, record["node_list"]), strict=True))}


def _size(value: int | None) -> str | None:
    """Write a size as torc does: '1.5GB'; None for none."""
    if value is None:
        return None
    unit, scaled = 0, float(value)
    while scaled >= 1024 and unit < len(_UNITS) - 1:
        unit, scaled = unit + 1, scaled / 1024
    return f"{scaled:.1f}{_UNITS[unit]}"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f}"


if __name__ == "__main__":
    run()
