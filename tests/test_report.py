"""torc-report: which results it looks at, what it writes in each form, and that the numbers agree with the store."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import sources
from prepared import GIB, execute

from torc_tools import states
from torc_tools.shell import store

HOSTILE = '<script>alert(1)</script>\n"it\'s" \x1b[31m; rm -rf /,'
COLUMNS = ("job_id", "run_id", "attempt_id", "status", "return_code", "exec_time_s", "peak_memory_bytes",
           "peak_cpu_percent", "avg_cpu_percent", "memory_bytes", "runtime_s", "num_cpus", "facts")  # fmt: skip


def row(job: int, status: int = states.COMPLETED, code: int = 0, **given: Any) -> tuple[Any, ...]:
    """Give a result of a job that had 8 GiB, 3 CPUs and an hour, and used little unless `given` says more."""
    usual = {"run_id": 1, "attempt_id": 1, "exec_time_s": 60.0, "peak_memory_bytes": GIB, "peak_cpu_percent": 100.0,
             "avg_cpu_percent": 50.0, "memory_bytes": 8 * GIB, "runtime_s": 3600, "num_cpus": 3,
             "facts": "{}"}  # fmt: skip
    each = {"job_id": job, "status": status, "return_code": code, **usual, **given}
    return tuple(each[key] for key in COLUMNS)


def fill(*rows: tuple[Any, ...], names: dict[int, str] | None = None, free: tuple[int, ...] = ()) -> None:
    """Make ./torc.db: workflow 1 with one requirement, a job for each id in `rows`; those in `free` ask for nothing."""
    db = store.create("torc.db")
    with store.transaction(db):
        db.execute("INSERT INTO workflow (token, name, created_at, output_dir, submission_dir, config)"
                   " VALUES ('t', 'w', 0, 'out', '.', '{}')")  # fmt: skip
        db.execute("INSERT INTO resource_requirements (workflow_id, name, num_cpus, memory_bytes, runtime_s)"
                   " VALUES (1, 'medium', 3, ?, 3600)", (8 * GIB,))  # fmt: skip
        for job in sorted({each[0] for each in rows}):
            requirement = None if job in free else 1
            db.execute(
                "INSERT INTO job (job_id, workflow_id, name, command, status, resource_requirements_id)"
                " VALUES (?, 1, ?, 'true', 5, ?)", (job, (names or {}).get(job, f"job_{job}"), requirement),
            )  # fmt: skip
        marks = ", ".join("?" * len(COLUMNS))
        db.executemany(f"INSERT INTO result (workflow_id, {', '.join(COLUMNS)}) VALUES (1, {marks})", rows)
    db.close()


def report(torc: Any, *options: object) -> Any:
    done = torc("report", "-f", "json", *options, 1)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def lines(torc: Any, *options: object) -> list[dict[str, Any]]:
    done = torc("report", *options, 1)
    assert done.returncode == 0, done.stderr
    begin, *found, end = map(json.loads, done.stdout.splitlines())
    assert (begin["workflow_id"], end["count"]) == (1, len(found))
    return found


DOCUMENTED = """{
  "workflow_id": 1,
  "run_id": null,
  "total_results": 2,
  "over_utilization_count": 1,
  "violations": [
    {
      "job_id": 15,
      "job_name": "train_model",
      "resource_type": "Memory",
      "specified": "8.00 GB",
      "peak_used": "10.50 GB",
      "over_utilization": "+31.3%"
    }
  ]
}
"""


def test_json_is_what_torcs_reference_shows(torc: Any, work_dir: Path) -> None:
    fill(row(2), row(15, peak_memory_bytes=21 * GIB // 2), names={15: "train_model"})
    assert torc("report", "-f", "json", 1).stdout.decode() == DOCUMENTED


def test_json_of_failed_results_has_what_is_known_of_each(torc: Any, work_dir: Path) -> None:
    fill(row(2), row(3, states.FAILED, 137, peak_memory_bytes=3_000_000_000, memory_bytes=2 * GIB, exec_time_s=30.0,
                     peak_cpu_percent=None))  # fmt: skip
    found = report(torc, "--include-failed")
    assert list(found) == ["workflow_id", "run_id", "total_results", "over_utilization_count", "violations",
                           "resource_violations_count", "resource_violations"]  # fmt: skip
    assert list(found["resource_violations"][0].items()) == [
        ("job_id", 3), ("job_name", "job_3"), ("return_code", 137), ("exec_time_minutes", 0.5),
        ("configured_memory", "2g"), ("configured_runtime", "PT1H"), ("configured_cpus", 3),
        ("peak_memory_bytes", 3_000_000_000), ("peak_memory_formatted", "2.79 GB"), ("likely_oom", True),
        ("memory_violation", True), ("oom_reason", "memory_exceeded"), ("memory_over_utilization", "+39.7%"),
        ("runtime_utilization", "0.8%"),
    ]  # fmt: skip
    assert (found["total_results"], found["over_utilization_count"], found["resource_violations_count"]) == (2, 1, 1)


def test_29_counts(torc: Any, work_dir: Path) -> None:
    over = [row(n, peak_memory_bytes=9 * GIB) for n in range(1, 15)]
    fine = [row(n) for n in range(15, 21)]
    bad = [row(n, states.FAILED if n % 2 else states.TERMINATED, 1) for n in range(21, 47)]
    fill(*over, *fine, *bad)
    found = report(torc, "--include-failed")
    assert (found["total_results"], found["over_utilization_count"]) == (46, 14)
    assert found["resource_violations_count"] == len(found["resource_violations"]) == 26
    assert report(torc)["total_results"] == 20


def test_30_no_results_are_a_report_too(torc: Any, work_dir: Path) -> None:
    """torc writes a sentence to stdout, and what reads its JSON fails."""
    fill()
    empty = {"workflow_id": 1, "run_id": None, "total_results": 0, "over_utilization_count": 0, "violations": []}
    assert report(torc) == empty
    both = {**empty, "resource_violations_count": 0, "resource_violations": []}
    assert report(torc, "--include-failed") == both  # torc leaves the empty list out, and jq's .[] fails
    assert torc("report", "-f", "table", 1).stdout == b"0 result(s), 0 violation(s)\n"


def test_22_only_results_that_ended_by_themselves(torc: Any, work_dir: Path) -> None:
    over = {"peak_memory_bytes": 9 * GIB}
    ends = (states.COMPLETED, states.FAILED, states.TERMINATED, states.CANCELED, states.PENDING_FAILED)
    fill(*(row(number, status, 1, **over) for number, status in enumerate(ends, 1)))
    assert [each["job_id"] for each in report(torc)["violations"]] == [1]
    # torc leaves those out, too, that wait for a judgement: the figures are what helps to give it
    assert [each["job_id"] for each in report(torc, "--include-failed")["violations"]] == [1, 2, 3, 5]


def test_completed_first_then_failed_then_terminated(torc: Any, work_dir: Path) -> None:
    over = {"peak_memory_bytes": 9 * GIB}
    fill(row(1, states.TERMINATED, 1, **over), row(2, states.FAILED, 1, **over), row(3, **over), row(4, **over))
    assert [each["job_id"] for each in report(torc, "--include-failed")["violations"]] == [3, 4, 2, 1]


def test_the_last_attempt_of_the_latest_run_or_of_the_run_asked_for(torc: Any, work_dir: Path) -> None:
    over = {"peak_memory_bytes": 9 * GIB}
    fill(
        row(1, states.FAILED, 1, **over), row(1, attempt_id=2, **over), row(1, run_id=2),
        row(2, **over), row(2, attempt_id=2), row(3, run_id=1, **over),
    )  # fmt: skip
    assert [(each["job_id"], each["run_id"]) for each in lines(torc)] == [(3, 1)]
    assert [(each["job_id"], each["attempt_id"]) for each in lines(torc, "-r", 1)] == [(1, 2), (3, 1)]
    assert lines(torc, "--run-id", 2) == []
    assert (report(torc, "-r", 2)["run_id"], report(torc, "-r", 2)["total_results"]) == (2, 1)
    assert report(torc, "-r", 9)["total_results"] == 0


def test_all_lists_what_was_within_its_limits(torc: Any, work_dir: Path) -> None:
    fill(row(1, exec_time_s=4000.0))
    found = lines(torc, "--all")
    assert [(each["resource_type"], each["over_utilization"], each["is_over"]) for each in found] == [
        ("Memory", "-87.5%", False), ("CPU", "-66.7%", False), ("Runtime", "+11.1%", True)
    ]  # fmt: skip
    assert report(torc, "-a")["over_utilization_count"] == 1


def test_a_job_that_asks_for_nothing_violates_nothing(torc: Any, work_dir: Path) -> None:
    nothing = {"memory_bytes": None, "runtime_s": None, "num_cpus": 1, "peak_cpu_percent": 800.0}
    fill(row(1, **nothing), free=(1,))
    assert lines(torc, "--all") == []
    assert report(torc)["total_results"] == 1


@pytest.mark.parametrize(
    ("options", "jobs"),
    [
        (("--min-over-utilization", "0"), [1, 2, 3]),
        ((), [2, 3]),
        (("--min-over-utilization", "12.5%"), [3]),
        (("--where", "resource_type == 'CPU'"), [2]),
    ],
)
def test_which_rows(torc: Any, work_dir: Path, options: tuple[str, ...], jobs: list[int]) -> None:
    fill(row(1, peak_memory_bytes=8 * GIB + 1), row(2, peak_cpu_percent=320.0), row(3, exec_time_s=3600 * 1.125))
    assert [each["job_id"] for each in lines(torc, *options)] == jobs
    found = report(torc, *options)
    assert [each["job_id"] for each in found["violations"]] == jobs
    assert (found["total_results"], found["over_utilization_count"]) == (3, len(jobs))


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (("-e",), 1),
        (("-e", "-f", "json"), 1),
        (("-e", "-f", "table"), 1),
        (("-e", "--all"), 0),
        (("-e", "-f", "json", "--all"), 0),
        (("-e", "-f", "table", "--all"), 0),
        (("-e", "--usage", "-f", "table"), 0),
        (("-e", "--usage", "-f", "table", "--where", "jobs > `9`"), 1),
        (("--min-over-utilization", "-1"), 2),
        (("--min-over-utilization", "inf"), 2),
        (("--min-over-utilization", "much"), 2),
        (("--usage", "--all"), 2),
        (("--usage", "--min-over-utilization", "1"), 2),
        (("-r", "0"), 2),
    ],
)
def test_exit_status(torc: Any, work_dir: Path, options: tuple[str, ...], status: int) -> None:
    fill(row(1))
    done = torc("report", *options, 1)
    assert (done.returncode, b"Traceback" in done.stderr) == (status, False)


def test_no_such_workflow(torc: Any, store_file: Path) -> None:
    done = torc("report", 7)
    assert (done.returncode, done.stderr) == (66, b"torc-report: no such workflow: '7'\n")


def test_the_flags_are_those_of_torc_diagnose(torc: Any, store_file: Path) -> None:
    execute(store_file, "UPDATE result SET peak_memory_bytes = memory_bytes * 2 WHERE job_id = 4")
    flags = ("job_id", "cause", "certainty", "likely_oom", "likely_timeout")
    said = [json.loads(line) for line in torc("diagnose", 1).stdout.splitlines()][1:-1]
    found = [each for each in lines(torc, "--include-failed") if each["type"] == "resource_violation"]
    told = sorted(tuple(each[key] for key in flags) for each in found)
    assert told == [tuple(each[key] for key in flags) for each in said]
    assert [each[1] for each in told] == ["oom", "timeout", "oom"]


def test_hostile_names_are_one_line_in_a_table_and_themselves_elsewhere(torc: Any, work_dir: Path) -> None:
    rows = row(1, peak_memory_bytes=9 * GIB), row(2, states.FAILED, 1), row(3), row(4)
    fill(*rows, names={1: HOSTILE, 2: HOSTILE + "2", 3: HOSTILE + "3", 4: HOSTILE + "4"})
    table = torc("report", "--include-failed", "-f", "table", 1, env={"COLUMNS": "200"}).stdout.decode()
    assert "\x1b" not in table
    assert [line.split()[0] for line in table.splitlines() if line] == [
        "job_id", "1", "job_id", "2", "4", "What"
    ]  # fmt: skip
    assert {each["job_name"] for each in lines(torc, "--include-failed")} == {HOSTILE, HOSTILE + "2"}
    assert report(torc)["violations"][0]["job_name"] == HOSTILE
    found = csv.DictReader(io.StringIO(torc("report", "--include-failed", "-f", "csv", 1).stdout.decode(), newline=""))
    assert [(each["type"], each["job_name"]) for each in found] == [
        ("violation", HOSTILE), ("resource_violation", HOSTILE + "2")
    ]  # fmt: skip
    usage = torc("report", "--usage", "-f", "table", 1).stdout.decode()
    assert "\x1b" not in usage
    assert [line.count("<script>alert(*)</script>\\n") for line in usage.splitlines()[-2:]] == [1, 1]


def test_a_table_is_chosen_by_what_records_have_and_not_by_what_it_shows(torc: Any, work_dir: Path) -> None:
    fill(row(1, states.FAILED, 1))
    table = torc("report", "--include-failed", "-f", "table", "--where", "!memory", 1).stdout.decode()
    assert [line.split()[0] for line in table.splitlines() if line] == [
        "job_id",
        "1",
        "1",
    ]  # the last: how many results


def test_csv_has_the_fields_of_torcs_reference(torc: Any, work_dir: Path) -> None:
    fill(row(1, peak_memory_bytes=9 * GIB))
    assert torc("report", "-f", "csv", 1).stdout.decode().splitlines() == [
        "job_id,job_name,resource_type,specified,peak_used,over_utilization",
        "1,job_1,Memory,8.00 GB,9.00 GB,+12.5%",
    ]


def mixed() -> None:
    """Make a store where 18 jobs need 1 GiB and two need 6, one failed and one asks for nothing."""
    large = {"peak_memory_bytes": 6 * GIB, "exec_time_s": 1200.0}
    fill(
        *(row(n, **(large if n > 18 else {})) for n in range(1, 21)), row(21, states.FAILED, 1), row(22),
        names={**{n: f"prepare_{n}" for n in range(1, 19)}, 19: "train_1", 20: "train_2"}, free=(22,),
    )  # fmt: skip


def test_usage_of_each_requirement(torc: Any, work_dir: Path) -> None:
    mixed()
    medium, none = lines(torc, "--usage")
    assert (medium["resource_requirements"], medium["jobs"], medium["results"], medium["failed"]) == (
        "medium", 21, 20, 1
    )  # fmt: skip
    assert (medium["peak_memory_p50_bytes"], medium["peak_memory_max_bytes"]) == (GIB, 6 * GIB)
    assert (medium["exec_time_p50_s"], medium["exec_time_p95_s"]) == (60.0, 1200.0)
    assert [(each["fitting_memory"], each["job_ids"]) for each in medium["groups"]] == [
        ("2g", list(range(1, 19))), ("8g", [19, 20])
    ]  # fmt: skip
    assert (none["resource_requirements_id"], none["jobs"], none["memory_bytes"]) == (None, 1, None)
    (again, _) = lines(torc, "--usage", "--include-failed")
    assert (again["results"], again["failed"]) == (21, 1)


def test_usage_for_people(torc: Any, work_dir: Path) -> None:
    mixed()
    text = torc("report", "--usage", "-f", "table", 1, env={"COLUMNS": "200"}).stdout.decode()
    assert text.splitlines()[:3] == [
        "requirement  results  resource  asked  p50      p95      max      fits",
        "medium       20       Memory    8g     1.00 GB  6.00 GB  6.00 GB  8g",
        "medium       20       CPU       3      100.0%   100.0%   100.0%   3",
    ]
    assert text.splitlines()[-2:] == [
        "  2g, 2 CPU(s), PT2M: 18 jobs: prepare_* (18)", "  8g, 2 CPU(s), PT24M: 2 jobs: train_* (2)"
    ]  # fmt: skip


def test_usage_has_every_requirement_with_jobs_and_no_other(torc: Any, store_file: Path) -> None:
    execute(store_file, "INSERT INTO resource_requirements (workflow_id, name) VALUES (1, 'unused')")
    assert [(each["resource_requirements"], each["results"]) for each in lines(torc, "--usage")] == [
        ("small", 1), ("big", 0), (None, 0)
    ]  # fmt: skip


def test_every_line_is_what_its_schema_says(torc: Any, work_dir: Path) -> None:
    mixed()
    execute("torc.db", "UPDATE result SET peak_memory_bytes = 99999999999 WHERE job_id IN (1, 21)")
    found = lines(torc, "--include-failed", "--all") + lines(torc, "--usage")
    assert {each["type"] for each in found} == {"violation", "resource_violation", "requirement_usage"}
    for each in found:
        schema = json.loads((sources.ROOT / "schemas" / f"{each['type']}.json").read_text())
        jsonschema.Draft202012Validator(schema).validate(each)
        assert set(each) == set(schema["properties"])
