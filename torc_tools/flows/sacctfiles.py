"""What accounting says of each Slurm job, as a JSON file of its own."""

import os
from collections.abc import Iterable

import orjson

from torc_tools import exits
from torc_tools.exits import Failure
from torc_tools.records import Record
from torc_tools.shell import stream, wholefile


def write(folder: str, steps: Iterable[Record]) -> None:
    """Write sacct_ID.json for each Slurm job into a folder, which is made: its `slurm_step` records as an array.

    Says where they are. Raises Failure(74) where that cannot be written.
    """
    jobs: dict[str, list[Record]] = {}
    for record in steps:
        jobs.setdefault(str(record["slurm_job_id"]), []).append(record)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise Failure(exits.IO, f"cannot make folder '{folder}': {error.strerror}") from None
    for slurm_job_id, records in jobs.items():
        name = "".join(each if each.isalnum() else "_" for each in slurm_job_id)
        text = orjson.dumps(records, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        wholefile.write(os.path.join(folder, f"sacct_{name}.json"), text)
    stream.say(f"Wrote {len(jobs)} file{'s' * (len(jobs) != 1)} sacct_ID.json to {folder}")
