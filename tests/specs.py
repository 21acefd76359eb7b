"""Specs for tests: plans made of plain data or of text, and what is said about them."""

from typing import Any

from torc_tools.core import planning
from torc_tools.core.plan import Plan
from torc_tools.core.problems import Problems, shown


def planned(spec: Any, files: dict[str, str] | None = None, **options: Any) -> Plan:
    """Plan a spec that must be right."""
    problems = Problems()
    made = planning.plan(spec, problems, files, **options)
    assert list(problems) == []
    return made


def faults(spec: Any, files: dict[str, str] | None = None, **options: Any) -> list[str]:
    """Give what is wrong with a spec, as 'path: text'."""
    problems = Problems()
    planning.plan(spec, problems, files, **options)
    return [f"{shown(problem.path)}: {problem.text}" for problem in problems]


def notes(spec: Any) -> list[str]:
    """Give what is said about a spec that is right."""
    problems = Problems()
    planning.plan(spec, problems)
    assert list(problems) == []
    return [f"{shown(note.path)}: {note.text}" for note in problems.notes]


def spec(*jobs: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Make a spec of jobs; each without a command runs 'true'."""
    return {"name": "w", "jobs": [{"command": "true", **job} for job in jobs], **more}


def edges(plan: Plan) -> dict[str, list[str]]:
    """Give the names that each job depends on; jobs that depend on none are left out."""
    return {
        plan.names[job]: [plan.names[parent] for parent in parents]
        for job, parents in enumerate(plan.parents)
        if parents
    }
