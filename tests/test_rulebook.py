"""The rules that come with the commands: each says what it should of a line as programs write it, and no more."""

import re

import pytest
import regex

from torc_tools.core import patterns, rules
from torc_tools.flows import rulebook
from torc_tools.flows.judging import Judge

BUILTIN = rulebook.builtin()
SAMPLES = {  # rule: lines as the programs write them
    "windows-line-ends": ["./run.sh: line 2: $'\\r': command not found"],
    "environment-module": [
        'Lmod has detected the following error: The following module(s) are unknown: "gcc/99"',
        "ERROR: Unable to locate a modulefile for 'gcc/99'",
        "/bin/bash: line 1: module: command not found",
    ],
    "conda-environment": ["EnvironmentNameNotFound: Could not find conda environment: fit",
                          "bash: conda: command not found"],
    "shared-library": [
        "./a.out: error while loading shared libraries: libhdf5.so.200: cannot open shared object file: No such file",
        "./a.out: /lib64/libc.so.6: version `GLIBC_2.34' not found (required by ./a.out)",
        "./a.out: symbol lookup error: ./a.out: undefined symbol: H5open",
    ],
    "other-processor": ["line 3: 4711 Illegal instruction     (core dumped) ./a.out",
                        "bash: ./a.out: cannot execute binary file: Exec format error"],
    "interpreter": ["bash: ./fit.py: /opt/python: bad interpreter: No such file or directory"],
    "container": ["FATAL:   could not open image /scratch/a.sif: no such file or directory",
                  "docker: Error response from daemon: pull access denied."],
    "unset-variable": ["run.sh: line 4: SCRATCH: unbound variable", "KeyError: 'SLURM_JOB_ID'"],
    "command-not-found": ["bash: line 1: sovle: command not found", "sh: 1: sovle: not found"],
    "python-module": ["ModuleNotFoundError: No module named 'scipy'",
                      "ImportError: cannot import name 'fit' from 'model' (/home/a/model.py)"],
    "python-syntax": ["SyntaxError: invalid syntax"],
    "python-pool": ["concurrent.futures.process.BrokenProcessPool: A process in the process pool was terminated",
                    "RuntimeError: DataLoader worker (pid 4711) is killed by signal: Killed."],
    "java-class": ["Error: Could not find or load main class org.example.Fit",
                   'Exception in thread "main" java.lang.NoClassDefFoundError: org/example/Fit'],
    "java-version": ["java.lang.UnsupportedClassVersionError: Fit has been compiled by a more recent version"],
    "java-memory": ["Could not reserve enough space for 8388608KB object heap",
                    "java.lang.OutOfMemoryError: Metaspace"],
    "java-crash": ["# A fatal error has been detected by the Java Runtime Environment:"],
    "r-package": ["Error in library(lme4) : there is no package called 'lme4'"],
    "r-stack": ["Error: C stack usage  7971092 is too close to the limit"],
    "gpu-fault": ["RuntimeError: CUDA error: uncorrectable ECC error encountered",
                  "NVRM: Xid (PCI:0000:41:00): 79, GPU has fallen off the bus."],
    "gpu-absent": ["RuntimeError: No CUDA GPUs are available",
                   "cudaGetDeviceCount returned 100 -> no CUDA-capable device is detected"],
    "gpu-driver": ["CUDA driver version is insufficient for CUDA runtime version",
                   "RuntimeError: CUDA error: no kernel image is available for execution on the device"],
    "gpu-program": ["RuntimeError: CUDA error: an illegal memory access was encountered",
                    "RuntimeError: CUDA error: device-side assert triggered"],
    "gpu-nccl": ["torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1331, ncclSystemError"],
    "gpu-other": ["RuntimeError: CUDA error: invalid argument", "cudaErrorLaunchFailure"],
    "mpi-slots": ["There are not enough slots available in the system to satisfy the 8 slots"],
    "mpi-start": ["It looks like MPI_INIT failed for some reason; your parallel process is likely to abort.",
                  "PMIX ERROR: UNREACHABLE in file ptl_tcp.c at line 300"],
    "mpi-fabric": ["[n1:4711] UCX  ERROR Transport retry count exceeded on mlx5_0:1/IB"],
    "mpi-abort": ["MPI_ABORT was invoked on rank 3 in communicator MPI_COMM_WORLD with errorcode 1.",
                  "=   BAD TERMINATION OF ONE OF YOUR APPLICATION PROCESSES",
                  "mpirun noticed that process rank 2 with PID 0 on node n1 exited on signal 9 (Killed)."],
    "shared-memory": ["ERROR: Unexpected bus error in worker. Perhaps insufficient shared memory (shm)."],
    "quota": ["write failed: user quota exceeded", "you are over your disk quota"],
    "disk-gone": ["cp: cannot stat '/lustre/a': Transport endpoint is not connected",
                  "cat: /lustre/a: Cannot send after transport endpoint shutdown"],
    "disk-error": ["OSError: [Errno 5] Input/output error: '/scratch/a'",
                   "sqlite3.OperationalError: disk I/O error"],
    "file-size": ["run.sh: line 1: 4711 File size limit exceeded(core dumped) ./a.out"],
    "open-files": ["OSError: [Errno 24] Too many open files: 'a'"],
    "file-lock": ["BlockingIOError: [Errno 11] Unable to open file (unable to lock file, errno = 11)",
                  "sqlite3.OperationalError: database is locked"],
    "network-certificate": ["ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"],
    "network-access": ["requests.exceptions.HTTPError: 403 Client Error: Forbidden for url: https://example.org",
                       "git@example.org: Permission denied (publickey)."],
    "license": ["Failed to check out license for MATLAB", "ANSYS LICENSE MANAGER ERROR: license server is down"],
    "network": ["ConnectionResetError: [Errno 104] Connection reset by peer",
                "curl: (6) Could not resolve host: example.org",
                "requests.exceptions.ConnectTimeout: HTTPSConnectionPool(host='example.org', port=443)"],
    "slurm-busy": ["srun: error: Unable to create step for job 4711: Job/step already completing or completed",
                   "srun: error: Task launch for StepId=4711.0 failed on node n1: Communication connection failure"],
    "slurm-refused": ["srun: error: Unable to allocate resources: Requested node configuration is not available"],
    "process-limit": ["bash: fork: retry: Resource temporarily unavailable", "RuntimeError: can't start new thread",
                      "java.lang.OutOfMemoryError: unable to create native thread: possibly out of memory"],
    "cpu-limit": ["run.sh: line 1: 4711 CPU time limit exceeded (core dumped) ./a.out"],
    "usage": ["fit.py: error: unrecognized arguments: --sped 3"],
    "perl-module": ["Can't locate Bio/Seq.pm in @INC (you may need to install the Bio::Seq module)"],
    "missing-file": ["FileNotFoundError: [Errno 2] No such file or directory: 'data/a.csv'",
                     "cat: data/a.csv: No such file or directory"],
    "permission": ["PermissionError: [Errno 13] Permission denied: '/data/a'"],
    "panic": ["thread 'main' panicked at src/main.rs:4:5:", "goroutine 1 [running]:"],
    "fortran": ["forrtl: severe (24): end-of-file during read", "Fortran runtime error: End of file"],
    "segfault": ["run.sh: line 1: 4711 Segmentation fault      ./a.out"],
    "python-traceback": ["Traceback (most recent call last):"],
    "r-halted": ["Execution halted"],
    "java-exception": ['Exception in thread "main" java.lang.IllegalStateException'],
    "killed": ["run.sh: line 1: 4711 Killed", "Killed"],
    "slurm-error": ["slurmstepd: error: something of tomorrow"],
    "slurm-canceled": ["slurmstepd: *** STEP 4711.0 ON n1 CANCELLED AT 2026-01-01T00:00:00 ***"],
}  # fmt: skip
HARMLESS = [  # lines of programs that did what they should
    "wrote 4711 records to /data/a.csv", "epoch 3 of 10, loss 0.125", "connecting to example.org ... done",
    "loading modulefile gcc/12", "Quota: 12 of 100 GB used", "This program has no license fee", "retrying (timed out)",
    "using /dev/shm for the cache", "xidentifier = 48", "fork of the project", "ibv_devinfo found mlx5_0",
    "task killed",
    "License: BSD", "goroutine pool of 4", "see nccl errors in the manual",
]  # fmt: skip


def judged(tail, code=1, **more):
    facts = {"log_tail": tail} | more
    return Judge().diagnose({"type": "result", "job_id": 7, "job_name": "fit", "return_code": code, "facts": facts})


def test_each_rule_has_its_lines() -> None:
    told = {rule.name for rule in BUILTIN}
    assert told - set(SAMPLES) == {name for name in told if name.startswith("code-")}
    assert set(SAMPLES) <= told


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, found in SAMPLES.items() for line in found])
def test_a_line_as_programs_write_it(name, line) -> None:
    found = judged(f"it began\n{line}\nit ended\n")
    matches = {match["rule"]: match for match in found["matches"]}
    assert name in matches
    assert matches[name]["text"] in line
    if not matches[name]["shadow"]:
        assert found["advised"]["rule"] == name
        assert found["evidence"][-1]["fact"] in line or found["evidence"][-1]["source"] == "rule"


@pytest.mark.parametrize("line", HARMLESS)
def test_a_line_of_a_program_that_did_well(line) -> None:
    assert judged(f"{line}\n")["matches"] == []


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (124, "inner_timeout"), (125, "container"), (126, "permission"), (127, "command_not_found"),
        (132, "environment"), (134, "abort"), (135, "shm_full"), (136, "program_error"), (139, "segfault"),
        (-11, "segfault"), (153, "file_limit"), (1, "unknown"), (2, "unknown"), (255, "unknown"),
    ],
)  # fmt: skip
def test_codes_that_say_something(code, cause) -> None:
    assert judged("", code)["cause"] == cause


def test_the_words_of_a_log_come_before_the_code() -> None:
    assert judged("bash: module: command not found", 127)["cause"] == "environment"
    assert judged("FileNotFoundError: a", 126)["cause"] == "missing_file"


@pytest.mark.parametrize("rule", BUILTIN, ids=lambda rule: rule.name)
def test_what_is_built_in_is_careful(rule) -> None:
    assert rule.action != "adjust"
    assert rule.cause not in ("oom", "timeout")
    assert not any(low <= 137 <= high for low, high in rule.match.return_code or ())
    assert rule.shadow or rule.reason
    if rule.match.log is not None:
        assert rule.match.log_words, "a quick look before the expression"
        assert regex.compile(rule.match.log)
        assert re.compile(rule.match.log)
    for word in rule.match.log_words or ():
        assert word == word.lower()


@pytest.mark.parametrize("row", patterns.TABLE, ids=lambda row: row.words[0])
def test_nothing_is_said_in_both_places(row) -> None:
    text = " ".join(row.words)
    search = rulebook.searcher()
    about_logs = [rule for rule in BUILTIN if rule.match.log or rule.match.log_words]
    assert [rule.name for rule in about_logs if rules.log_match(rule, text, text, search) is not None] == []


def test_137_alone_is_left_to_the_facts() -> None:
    found = judged("", 137, peak_source="kernel", srun_said="srun: Job step aborted: Waiting")
    assert (found["cause"], found["certainty"], found["advised"]) == ("unknown", "weak", None)


def test_a_weak_rule_stays_weak() -> None:
    found = judged("Connection refused")
    assert (found["cause"], found["certainty"], found["advised"]["action"]) == ("transient", "weak", "hold")


def test_nothing_is_read_where_nothing_is_unknown(monkeypatch) -> None:
    monkeypatch.setattr(rulebook, "builtin", lambda: pytest.fail("read"))
    assert judged("MemoryError")["cause"] == "oom"
    assert judged("", 152)["cause"] == "timeout"
