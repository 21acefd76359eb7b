"""Many short jobs inside one allocation of 4 CPUs, one way after the other; the same jobs as an array."""

import json
import statistics
import time
from pathlib import Path

from benchlib import cluster_bed as bed
from benchlib.running import complete
from benchlib.table import Row, ratio

ROUNDS = 3
JOBS = 200
CPUS = 4
_SRUN = "srun --exact --ntasks=1 --cpus-per-task=1 --mem=64M"
_SLURM, _DIRECT = "torc-work, mode slurm (steps of srun)", "torc-work, mode direct"
_LOOP, _XARGS, _BASH = "a loop of srun --exact", "xargs -P4 srun --exact", "xargs -P4 bash -c (no steps)"
_ARRAY = "a job array"
_PEERS = {
    _LOOP: f"for i in $(seq {JOBS}); do {_SRUN} true; done",
    _XARGS: f"seq {JOBS} | xargs -P{CPUS} -I@ {_SRUN} true",
    _BASH: f"seq {JOBS} | xargs -P{CPUS} -I@ bash -c true",
}
_BESIDE = {_SLURM: (_XARGS, _LOOP, _ARRAY), _DIRECT: (_BASH,)}


def measured(folder: Path, _at_most: int) -> list[Row]:
    """Measure all ways in one batch job, in rounds; then the array, as many at a time as the bed has CPUs."""
    here = folder / "jobs"
    here.mkdir()
    (here / "torc-mode").mkdir()
    lines = ["unset SLURM_MEM_PER_CPU SLURM_MEM_PER_NODE SLURM_CPUS_PER_TASK"]
    for number in range(ROUNDS):
        ways = {_SLURM: _work(here, "slurm", number), _DIRECT: _work(here, "direct", number), **_PEERS}
        for name, line in ways.items():
            lines += [f"began=$({bed.STAMP})", line, f'echo "{name};$began;$({bed.STAMP})" >> taken']
    lines.append(f"{bed.STAMP} > over")
    (here / "all.sh").write_text("\n".join(lines) + "\n")
    bed.settled()
    bed.batch(here, "bash all.sh", f"--cpus-per-task={CPUS}", "--mem=2000M", "--partition=standard")
    bed.stamp(here / "over")
    rows = [line.split(";") for line in (here / "taken").read_text().splitlines()]
    taken = {name: [float(ended) - float(began) for each, began, ended in rows if each == name] for name, *_ in rows}
    taken[_ARRAY] = [_array(here / f"array{number}") for number in range(ROUNDS)]
    rates = {name: JOBS / statistics.median(values) for name, values in taken.items()}
    notes = {_SLURM: _complete(here / f"slurm{ROUNDS - 1}"), _DIRECT: _complete(here / f"direct{ROUNDS - 1}")}
    notes[_ARRAY] = f"as many at a time as the bed gives: {_cpus()} CPUs, where the others have {CPUS}"
    return [_row(name, rate, rates, notes.get(name, "")) for name, rate in rates.items()]


def _row(name: str, rate: float, rates: dict[str, float], note: str) -> Row:
    peers = ", ".join(f"{ratio(rate, rates[peer])} {peer}" for peer in _BESIDE.get(name, ()))
    return Row("slurm", f"{JOBS} x true: {name}", rate, "jobs/s", ROUNDS, peers=peers, note=note)


def _work(here: Path, mode: str, number: int) -> str:
    """Store a workflow, with an allocation that is not to start; give the line that runs its worker here."""
    own = here / f"{mode}{number}"
    own.mkdir()
    spec = {
        "name": "many",
        "slurm_defaults": {"begin": "now+1hour"},
        "resource_requirements": [{"name": "one", "num_cpus": 1, "memory": "64m", "runtime": "PT1S"}],
        "jobs": [
            {"name": "j{i}", "command": "true", "resource_requirements": "one", "parameters": {"i": f"1:{JOBS}"}},
        ],
    }
    (own / "many.json").write_text(json.dumps(spec))
    bed.torc(own, "torc-run", "--slurm", "many.json", "--account", "proj", "--partition", "standard")
    bed.ask("scancel", *bed.ask("squeue", "-h", "-o", "%A").split())
    (manifest,) = (own / "torc_output" / "manifests").iterdir()
    return f"torc-work --quiet --mode {mode} {manifest}"


def _complete(own: Path) -> str:
    bed.torc(own, "torc-sync", "1")
    return complete(own, JOBS)


def _array(here: Path) -> float:
    """Give the time from sbatch to the last task's own end."""
    (here / "done").mkdir(parents=True)
    bed.settled()
    began = time.time()
    bed.batch(
        here, f"{bed.STAMP} > done/$SLURM_ARRAY_TASK_ID", f"--array=1-{JOBS}", "--mem=64M", "--partition=standard"
    )
    bed.until(lambda: len(list((here / "done").iterdir())) == JOBS, "the tasks of the array")
    return max(bed.stamp(path) for path in (here / "done").iterdir()) - began


def _cpus() -> int:
    """Give how many CPUs the nodes of the partition have."""
    return sum(int(each) for each in bed.ask("sinfo", "-h", "-N", "-p", "standard", "-o", "%c").split())
