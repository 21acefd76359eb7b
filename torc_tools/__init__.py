"""Recovery and monitoring of HPC workflows as small Unix commands."""
