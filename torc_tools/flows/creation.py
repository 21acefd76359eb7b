"""From a spec to a stored workflow: used by torc-create and torc-run."""

import os
import sqlite3
from typing import Any

from torc_tools import exits
from torc_tools.core import expand, planning, preview
from torc_tools.core.plan import Plan
from torc_tools.core.problems import Path, Problem, Problems, shown
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.shell import insert, journal, progress, specfile, store, stream
from torc_tools.texts import visible


def plan_file(file: str, *, max_jobs: int = planning.MAX_JOBS, monitoring: bool = True) -> Plan:
    """Read, check and expand the spec in `file` ('-': standard input). Notes go to stderr.

    Raises Failure(66) where it cannot be opened and Failure(65) with every problem, one a line.
    """
    with progress.during("reading the spec"):
        return _planned(specfile.load(file), max_jobs, monitoring)


def plan_spec(spec: Any, name: str, *, max_jobs: int = planning.MAX_JOBS, monitoring: bool = True) -> Plan:
    """Check and expand a spec that is plain data already; `name` stands for the file in messages."""
    return _planned(specfile.Spec(name, spec, _no_line), max_jobs, monitoring)


def check_file(file: str, *, max_jobs: int, monitoring: bool) -> tuple[Plan, Record]:
    """Check the spec in `file` as plan_file does; give the plan, and the `validation` record that says if it is valid.

    Raises Failure(66) where it cannot be opened, and Failure(69) for KDL without its reader.
    """
    try:
        with progress.during("reading the spec"):
            spec = specfile.load(file)
    except Failure as failure:
        if failure.status != exits.DATA:
            raise
        return Plan(), preview.validation(None, None, [visible(line) for line in failure.lines], [])
    made, errors, notes = _worked_out(spec, max_jobs, monitoring)
    return made, preview.validation(spec.data, None if errors else made, errors, notes)


def save(db: sqlite3.Connection, plan: Plan, output_dir: str, submission_dir: str | None = None) -> int:
    """Store a plan in one transaction; give the workflow's id. Dirs become absolute; the second is the cwd.

    Raises Failure(2) for a folder whose name no store can hold, because it is not UTF-8.
    """
    output, submission = os.path.abspath(output_dir), os.path.abspath(submission_dir or ".")
    for folder in (output, submission):
        if any("\udc80" <= character <= "\udcff" for character in folder):
            raise Failure(exits.USAGE, f"the name of folder '{folder}' is not UTF-8")
    with progress.during(f"storing {len(plan.names)} jobs"), store.transaction(db):
        return insert.workflow(db, plan, output, submission, journal.who())


def created(workflow_id: int, plan: Plan) -> str:
    """Give the line that says what was stored."""
    return f"Created workflow {workflow_id} with {len(plan.names)} job{'s' * (len(plan.names) != 1)}"


def receipt(plan: Plan) -> dict[str, int]:
    """Give the counts that torc-create adds to the workflow record."""
    return {
        "job_count": len(plan.names),
        "file_count": len(plan.file_names),
        "dependency_count": sum(map(len, plan.parents)),
    }


def _planned(spec: specfile.Spec, max_jobs: int, monitoring: bool) -> Plan:
    made, errors, notes = _worked_out(spec, max_jobs, monitoring)
    if errors:
        raise Failure(exits.DATA, *errors)
    for note in notes:
        stream.say(f"note: {note}")
    return made


def _worked_out(spec: specfile.Spec, max_jobs: int, monitoring: bool) -> tuple[Plan, list[str], list[str]]:
    """Give the plan, the lines that say what is wrong (then the plan is none), and the notes."""
    problems = Problems()
    texts, wrong = specfile.beside(spec, expand.needed_files(spec.data))
    for path, text in wrong:
        problems.add(path, text)
    made = planning.plan(spec.data, problems, texts, max_jobs=max_jobs, monitoring=monitoring)
    problems.sort(key=lambda problem: spec.line_of(problem.path) or 0)
    errors = [_line(spec, problem) for problem in problems]
    return made, errors, [] if errors else [_line(spec, note) for note in problems.notes]


def _line(spec: specfile.Spec, problem: Problem) -> str:
    line = spec.line_of(problem.path)
    at = f":{line}" if line else ""
    return visible(f"{spec.name}{at}: {shown(problem.path)}: {problem.text}")


def _no_line(_path: Path) -> None:
    return None
