"""Slurm: torc-run --slurm and its worker beside sbatch, srun and job arrays, on a test bed of its own."""

from pathlib import Path

from benchlib import cluster_accounts, cluster_bed, cluster_chain, cluster_jobs, cluster_recovery, cluster_start
from benchlib.table import Row

_PARTS = (cluster_start, cluster_jobs, cluster_chain, cluster_accounts, cluster_recovery)


def measured(folder: Path, at_most: int) -> list[Row]:
    """Measure all of it. Raises cluster_bed.AbsentError where there can be no bed."""
    here = folder / "slurm"
    here.mkdir()
    rows: list[Row] = []
    with cluster_bed.bed():
        for part in _PARTS:
            rows += part.measured(here, at_most)
            cluster_bed.settled()
    return rows
