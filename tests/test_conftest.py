"""The ground under the tests: a prepared store can be read, the environment is clean."""

import os
from pathlib import Path

from torc_tools.shell import queries, store


def test_the_prepared_store_reads_back(store_file: Path) -> None:
    db = store.open_store(str(store_file))
    assert queries.workflow(db, 1)["name"] == "small"
    assert [job["status"] for job in queries.jobs(db)] == [
        "completed", "failed", "terminated", "failed", "canceled", "canceled",
    ]  # fmt: skip
    assert len(list(queries.results(db))) == 4


def test_the_environment_is_clean() -> None:
    assert [name for name in os.environ if name.startswith(("TORC_", "SLURM_"))] == []
    assert os.environ["TZ"] == "UTC"
