"""Words and options of torc 0.21 and 1.0 that have no counterpart here, and what there is instead. Data only."""

_SPEC = "jobs, files and all they need come from a spec"
_STORE = "a workflow is a part of the store, a file of SQLite"
_READY = "a workflow is ready when it is created; 'torc workflows reset-status' starts its jobs over"
_NO_SERVER = "there is no server"

WORDS = {
    "access-groups": f"{_NO_SERVER}; the permissions of the store say who may read and change it",
    "admin": f"{_NO_SERVER}; sqlite3 opens the store",
    "compute-nodes": "'torc scheduled-compute-nodes list' has the allocations with their nodes",
    "config": "there is no configuration file; options and variables of the environment say all",
    "events": "'torc results list' has what became of each attempt",
    "failure-handlers": "failure handlers come from the spec, and 'torc jobs list' has them by job",
    "files": "files come from the spec; 'torc jobs list --include-relationships' has those of each job",
    "hpc generate": "a profile is a YAML file: see torc-hpc(1)",
    "job-dependencies": "'torc jobs list --include-relationships' has them",
    "jobs create": _SPEC,
    "jobs create-from-file": "'torc exec -C FILE' makes a job of each line",
    "jobs delete": "'torc-jobs set --status disabled' takes a job out of a workflow",
    "jobs delete-all": "'torc delete' deletes the workflow",
    "jobs list-failure-handlers": "'torc jobs list' has them",
    "monitor-node": "'torc-sample --node' does it",
    "ping": _NO_SERVER,
    "remote": "'ssh HOST torc-run WORKFLOW' works where HOST sees the store",
    "resource-requirements delete": "requirements that no job uses do no harm",
    "results delete": "results are what a diagnosis is made of, and are kept",
    "ro-crate": "no RO-Crate is written",
    "scheduled-compute-nodes get": "'torc scheduled-compute-nodes list' has them all",
    "scheduled-compute-nodes list-jobs": "'torc results list' names the worker of each attempt",
    "self": "pip installs and updates torc-tools",
    "slurm cancel": "'torc cancel' cancels a workflow with its Slurm jobs",
    "slurm create": "schedulers come from the spec; --partition, --walltime and --account choose others",
    "slurm delete": "schedulers come from the spec",
    "slurm generate": "nothing is written into a spec: 'torc submit-slurm' plans as it submits",
    "slurm get": "schedulers come from the spec",
    "slurm list": "schedulers come from the spec",
    "slurm plan-allocations": "'torc-create SPEC', then 'torc-regenerate --compare WORKFLOW'",
    "slurm schedule-nodes": "'torc slurm regenerate WORKFLOW --submit' asks for the nodes that the jobs need",
    "slurm update": "schedulers come from the spec; --partition, --walltime and --account choose others",
    "tasks": f"{_NO_SERVER}: a command is done when it ends",
    "tui": "'torc watch' follows a workflow, torc-report --html writes a page of it",
    "user-data": "user data come from the spec; 'torc jobs list --include-relationships' has those of each job",
    "workflows archive": "'torc delete' deletes a workflow; one that is not deleted stays",
    "workflows delete-action": "actions come from the spec",
    "workflows export": f"{_STORE}: copy it, or 'sqlite3 torc.db .dump'",
    "workflows import": f"{_STORE}: copy it",
    "workflows init": _READY,
    "workflows initialize": _READY,
    "workflows list-actions": "actions come from the spec, and run when their time comes",
    "workflows new": _SPEC,
    "workflows reconcile": "what workers wrote is read by every command; 'torc workflows sync-status' asks Slurm, too",
    "workflows update": "name and description come from the spec",
    "workflows update-action": "actions come from the spec",
}
_ONE_STORE = "a store has no users; --where \"user=='NAME'\" leaves others out"
_NODES = "a result names its worker, no compute node: --where \"worker=='NAME'\""
USER = {"-u": _ONE_STORE, "--user": _ONE_STORE}
LIST = {**USER, "--archived-only": "nothing is archived here"}
COMPUTE_NODE = {"--compute-node": _NODES}
_ACTIONS = "actions run when their time comes; leave them out of the spec"
ACTIONS = {"--suppress-actions": _ACTIONS}
