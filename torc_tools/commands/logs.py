"""torc-logs: look through the logs of jobs and of Slurm for what they complain of; pack the logs of a workflow."""

import argparse
import os
from collections.abc import Iterator, Sequence

from torc_tools import records
from torc_tools.core import logwords
from torc_tools.flows import looking, rulebook
from torc_tools.records import Record
from torc_tools.shell import logfiles, options, output, queries, stream

PROG = "torc-logs"
COLUMNS = ("at", "cause", "severity", "job_id", "line")
USAGE = """torc-logs analyze [-w WORKFLOW] [--errors-only] WORKFLOW|FOLDER|ARCHIVE
       torc-logs bundle [--into FOLDER] WORKFLOW"""


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Find what logs complain of, or pack the logs of a workflow.")
    made.usage = USAGE
    made.add_argument("verb", metavar="VERB", choices=("analyze", "bundle"), help="analyze or bundle")
    made.add_argument("what", metavar="WHAT", help="a workflow; analyze: or an output folder, or a bundle")
    made.add_argument("-w", "--workflow-id", metavar="ID", type=options.identifier, help="only logs of this workflow")
    made.add_argument("--errors-only", action="store_true", help="leave warnings out")
    made.add_argument("--into", metavar="FOLDER", help="where the bundle goes (default: the current folder)")
    options.add_rules(made)
    options.add_limit(made)
    options.add_source(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write `log_issue` records and a `summary`, or the `summary` of a bundle."""
    made = parser()
    args = made.parse_intermixed_args(argv)
    if args.verb == "bundle" and (args.workflow_id or args.errors_only or args.rules):
        made.error("bundle takes a workflow and --into")
    if args.verb == "analyze" and args.into is not None:
        made.error("--into goes with bundle")
    is_id = args.what.isascii() and args.what.isdigit() and not os.path.exists(args.what)
    workflow_id = options.operand(args.what) if is_id or args.verb == "bundle" else args.workflow_id
    folder = args.what
    if is_id or args.verb == "bundle":
        folder = queries.workflow(looking.at_workflow(args, workflow_id), workflow_id)["output_dir"]
    found = _issues(args, folder, workflow_id) if args.verb == "analyze" else [_bundle(args, folder, workflow_id)]
    columns = ("workflow_id", "bundle", "file_count", "size_bytes")
    if looking.for_people(args) and args.verb == "analyze":
        return _table(args, workflow_id, list(found))
    return output.emit(records.framed(PROG, workflow_id, found), args, columns if looking.for_people(args) else ())


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


def _table(args: argparse.Namespace, workflow_id: int | None, found: list[Record]) -> int:
    """Write a table of issues, the name of the file without its folder; the summary becomes a line on stderr."""
    *issues, total = found
    shown = ({**each, "at": f"{os.path.basename(each['file'])}:{each['line_number']}"} for each in issues)
    status = output.emit(records.framed(PROG, workflow_id, shown), args, COLUMNS)
    stream.say(f"{total['files_scanned']} log(s), {total['errors']} error(s), {total['warnings']} warning(s)")
    return status


def _issues(args: argparse.Namespace, folder: str, workflow_id: int | None) -> Iterator[Record]:
    """Give a record for each line that complains, then the summary."""
    counts, slurm, scanned = {"error": 0, "warning": 0}, set(), 0
    is_given = folder == args.what
    listener = rulebook.listener(args.rules)
    for log, text in logfiles.logs(folder) if is_given or os.path.exists(folder) else ():
        if workflow_id not in (None, log.workflow_id):
            continue
        scanned += 1
        slurm |= {log.slurm_job_id} - {None}
        for complaint in listener.complaints(text):
            if args.errors_only and complaint.severity != "error":
                continue
            counts[complaint.severity] += 1
            yield _issue(log, complaint)
    total = {"files_scanned": scanned, "slurm_jobs_count": len(slurm), "output_dir": folder}
    totals = {"errors": counts["error"], "warnings": counts["warning"]}
    yield {"type": "summary", "workflow_id": workflow_id, **total, **totals}


def _issue(log: logfiles.Log, complaint: logwords.Complaint) -> Record:
    return {
        "type": "log_issue",
        "workflow_id": log.workflow_id,
        "file": log.name,
        "line_number": complaint.number,
        "line": complaint.line,
        "cause": complaint.cause,
        "certainty": complaint.certainty,
        "severity": complaint.severity,
        "rule": complaint.rule,
        "job_id": log.job_id,
        "run_id": log.run_id,
        "attempt_id": log.attempt_id,
        "slurm_job_id": log.slurm_job_id,
    }


def _bundle(args: argparse.Namespace, folder: str, workflow_id: int) -> Record:
    names = logfiles.of_workflow(folder, workflow_id)
    archive = os.path.join(args.into or ".", f"wf{workflow_id}.tar.gz")
    size = logfiles.bundle(folder, names, archive)
    done = {"bundle": archive, "file_count": len(names), "size_bytes": size}
    return {"type": "summary", "workflow_id": workflow_id, **done}


if __name__ == "__main__":
    run()
