"""The tables of the store, as numbered steps; a store remembers in user_version how many it has taken."""

import sqlite3
from collections.abc import Callable

from torc_tools import exits
from torc_tools.exits import Failure

APPLICATION_ID = 0x746F7263  # "torc": tells our file from any other SQLite file

_FIRST = """
CREATE TABLE workflow (
    workflow_id INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL UNIQUE,          -- names this workflow in event files and claims, across stores
    name TEXT NOT NULL, user TEXT, description TEXT,
    created_at REAL NOT NULL,            -- Unix seconds
    run_id INTEGER NOT NULL DEFAULT 1,
    is_canceled INTEGER NOT NULL DEFAULT 0,
    output_dir TEXT NOT NULL,            -- absolute
    submission_dir TEXT NOT NULL,        -- absolute: where torc-create was called; jobs run there
    config TEXT NOT NULL                 -- JSON: execution_config, resource_monitor, env, slurm_defaults, ...
);
CREATE TABLE resource_requirements (
    resource_requirements_id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    name TEXT NOT NULL,
    num_cpus INTEGER NOT NULL DEFAULT 1, num_gpus INTEGER NOT NULL DEFAULT 0, num_nodes INTEGER NOT NULL DEFAULT 1,
    memory_bytes INTEGER, runtime_s INTEGER           -- NULL: no limit
);
CREATE INDEX resource_requirements_of ON resource_requirements (workflow_id);
CREATE TABLE failure_handler (
    failure_handler_id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    name TEXT NOT NULL, rules TEXT NOT NULL           -- JSON: [{exit_codes, recovery_script, max_retries, ...}]
);
CREATE TABLE slurm_scheduler (
    slurm_scheduler_id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    name TEXT NOT NULL, config TEXT NOT NULL          -- JSON, as in the spec
);
CREATE TABLE action (
    action_id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    config TEXT NOT NULL,                             -- JSON: trigger_type, action_type, job_ids, commands, ...
    executed_run_id INTEGER                           -- the run in which it was last executed
);
CREATE TABLE job (
    job_id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    name TEXT NOT NULL, command TEXT NOT NULL, invocation_script TEXT,
    status INTEGER NOT NULL,                          -- states.py
    run_id INTEGER NOT NULL DEFAULT 1, attempt_id INTEGER NOT NULL DEFAULT 1,
    priority INTEGER NOT NULL DEFAULT 0,
    cancel_on_blocking_job_failure INTEGER NOT NULL DEFAULT 1,
    resource_requirements_id INTEGER REFERENCES resource_requirements,
    failure_handler_id INTEGER REFERENCES failure_handler,
    slurm_scheduler_id INTEGER REFERENCES slurm_scheduler,
    worker TEXT,                                      -- the worker that has it, while active
    config TEXT                                       -- JSON or NULL: env, stdio, supports_termination, labels
);
CREATE INDEX job_of ON job (workflow_id, status);
CREATE TABLE job_depends_on (
    job_id INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    depends_on_job_id INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    PRIMARY KEY (job_id, depends_on_job_id)
) WITHOUT ROWID;
CREATE INDEX job_dependents ON job_depends_on (depends_on_job_id, job_id);
CREATE TABLE file (
    file_id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    name TEXT NOT NULL, path TEXT NOT NULL, st_mtime REAL
);
CREATE INDEX file_of ON file (workflow_id);
CREATE TABLE user_data (
    user_data_id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    name TEXT NOT NULL, data TEXT, is_ephemeral INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE job_file (
    job_id INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    file_id INTEGER NOT NULL REFERENCES file ON DELETE CASCADE,
    is_output INTEGER NOT NULL,
    PRIMARY KEY (job_id, file_id, is_output)
) WITHOUT ROWID;
CREATE TABLE job_user_data (
    job_id INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    user_data_id INTEGER NOT NULL REFERENCES user_data ON DELETE CASCADE,
    is_output INTEGER NOT NULL,
    PRIMARY KEY (job_id, user_data_id, is_output)
) WITHOUT ROWID;
CREATE TABLE allocation (
    allocation_id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    kind TEXT NOT NULL,                               -- local, slurm
    status TEXT NOT NULL,                             -- planned, submitting, queued, active, complete, lost, canceled
    slurm_job_id TEXT, token TEXT,
    hostname TEXT, pid INTEGER, pid_start INTEGER,    -- of a local worker; pid_start in clock ticks since boot
    created_at REAL NOT NULL, ended_at REAL,
    config TEXT NOT NULL DEFAULT '{}'                 -- JSON: what was asked for
);
CREATE INDEX allocation_of ON allocation (workflow_id, status);
CREATE TABLE worker (
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    name TEXT NOT NULL,                               -- stem of its event file
    offset INTEGER NOT NULL DEFAULT 0,                -- bytes of the event file that are folded
    allocation_id INTEGER, slurm_job_id TEXT,
    hostname TEXT, pid INTEGER, pid_start INTEGER,
    started_at REAL, heartbeat_at REAL, ended_at REAL,
    PRIMARY KEY (workflow_id, name)
) WITHOUT ROWID;
CREATE TABLE result (
    result_id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    job_id INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    run_id INTEGER NOT NULL, attempt_id INTEGER NOT NULL,
    status INTEGER NOT NULL, return_code INTEGER NOT NULL,
    started_at REAL, ended_at REAL, exec_time_s REAL,
    peak_memory_bytes INTEGER, avg_memory_bytes INTEGER, peak_cpu_percent REAL, avg_cpu_percent REAL,
    memory_bytes INTEGER, runtime_s INTEGER, num_cpus INTEGER,  -- what the attempt had been given
    worker TEXT,
    facts TEXT NOT NULL DEFAULT '{}',                 -- JSON: the rest of the event (reason, signal, ...)
    UNIQUE (job_id, run_id, attempt_id)
);
CREATE INDEX result_of ON result (workflow_id);
CREATE TABLE change (
    change_id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL,
    at REAL NOT NULL, who TEXT NOT NULL, command TEXT NOT NULL,
    subject TEXT NOT NULL, subject_id INTEGER NOT NULL,  -- job, resource_requirements, allocation, workflow
    why TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL,  -- JSON
    hash TEXT NOT NULL                                -- SHA-256 over the hash of the row before and this row
);
CREATE INDEX change_of ON change (workflow_id);
CREATE TABLE lease (
    workflow_id INTEGER PRIMARY KEY REFERENCES workflow ON DELETE CASCADE,
    holder TEXT NOT NULL,                             -- command, for people
    hostname TEXT NOT NULL, pid INTEGER NOT NULL, pid_start INTEGER NOT NULL,
    taken_at REAL NOT NULL, renewed_at REAL NOT NULL
);
CREATE TABLE watch (
    workflow_id INTEGER PRIMARY KEY REFERENCES workflow ON DELETE CASCADE,
    state TEXT NOT NULL                               -- JSON: recoveries made, last step, for torc-watch --once
);
"""


_SLURM = """
-- names the plan (one torc-regenerate) that it is of
ALTER TABLE allocation ADD COLUMN plan TEXT;
-- Slurm's last word on it: PENDING, RUNNING, NODE_FAIL, ...
ALTER TABLE allocation ADD COLUMN slurm_state TEXT;
-- why it is queued, or how it ended, in Slurm's words
ALTER TABLE allocation ADD COLUMN slurm_reason TEXT;
-- Unix seconds, as all times here
ALTER TABLE allocation ADD COLUMN submitted_at REAL;
ALTER TABLE allocation ADD COLUMN started_at REAL;
-- when Slurm will end it
ALTER TABLE allocation ADD COLUMN ends_at REAL;
CREATE UNIQUE INDEX allocation_token ON allocation (token) WHERE token IS NOT NULL;
CREATE TABLE slurm_stats (
    slurm_stats_id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    job_id INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    run_id INTEGER NOT NULL, attempt_id INTEGER NOT NULL,
    slurm_job_id TEXT, slurm_step_id TEXT,            -- 1234 and 1234.5
    slurm_state TEXT, exit_code TEXT,                 -- as sacct prints them: OUT_OF_MEMORY, 0:125
    elapsed_s REAL, max_rss_bytes INTEGER, max_vm_size_bytes INTEGER,
    max_disk_read_bytes INTEGER, max_disk_write_bytes INTEGER,
    ave_cpu_seconds REAL, total_cpu_seconds REAL, node_list TEXT,
    UNIQUE (job_id, run_id, attempt_id)
);
CREATE INDEX slurm_stats_of ON slurm_stats (workflow_id);
"""


_RUNS = """
-- the run of the workflow whose jobs it was submitted for: in a later one its workers leave
ALTER TABLE allocation ADD COLUMN run_id INTEGER;
"""


_SPAWNS = """
-- what became of the end of a job that spawned jobs; workers are told of each
CREATE TABLE spawn (
    spawn_id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    job_id INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    run_id INTEGER NOT NULL, attempt_id INTEGER NOT NULL,
    status INTEGER NOT NULL,                          -- of the job that spawned: completed, or failed when refused
    first_id INTEGER NOT NULL, count INTEGER NOT NULL,  -- the jobs that it added
    is_told INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX spawn_untold ON spawn (workflow_id) WHERE NOT is_told;
"""


def _first(db: sqlite3.Connection) -> None:
    _run(db, _FIRST)


def _slurm(db: sqlite3.Connection) -> None:
    _run(db, _SLURM)


def _runs(db: sqlite3.Connection) -> None:
    _run(db, _RUNS)


def _spawns(db: sqlite3.Connection) -> None:
    _run(db, _SPAWNS)


def _run(db: sqlite3.Connection, script: str) -> None:
    """Run statements one by one: executescript would end the caller's transaction."""
    for statement in script.split(";\n"):
        if statement.strip():
            db.execute(statement)


STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first, _slurm, _runs, _spawns)


def migrate(db: sqlite3.Connection, path: str) -> None:
    """Bring the store in `db` to the newest version, inside the caller's transaction.

    Raises Failure(66) for a store of a newer version and for an SQLite file that is not a store.
    """
    version = check(db, path)
    for step in STEPS[version:]:
        step(db)
    if version < len(STEPS):
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(STEPS)}")


def check(db: sqlite3.Connection, path: str) -> int:
    """Give the store's version; refuse what is not ours or newer than this program."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application != APPLICATION_ID:
        raise Failure(exits.NO_INPUT, f"not a store: '{path}'")
    if version > len(STEPS):
        raise Failure(exits.NO_INPUT, f"store '{path}' has version {version}, newer than this program's {len(STEPS)}")
    return int(version)
