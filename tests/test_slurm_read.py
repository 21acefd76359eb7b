"""What Slurm prints, read: captured from 22.05, and in the forms of other versions; the clients, as they fail.

tests/data/slurm/22.05 is what the clients of that version printed through torc_tools.shell.slurm.
"""

import os
import signal
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import until

from torc_tools.core import slurmcluster, slurmtext
from torc_tools.core import slurmvalues as values
from torc_tools.shell import asking, liveness, slurm

CAPTURED = Path(__file__).resolve().parent / "data" / "slurm" / "22.05"
F = slurm.FIELD
KIB, MIB, GIB = 1024, 1 << 20, 1 << 30
SACCT = "JobIDRaw,JobID,State,ExitCode,ElapsedRaw,Submit,Start,End,MaxRSS,TotalCPU,NodeList,JobName,Comment"


def captured(name: str) -> str:
    return (CAPTURED / f"{name}.txt").read_text()


def sacct_text(*rows: str, header: str = SACCT) -> str:
    """Write rows of cells between commas as sacct does."""
    return "".join(row.replace(",", F) + "\n" for row in (header, *rows))


def steps() -> dict[tuple[str, str | None], list[slurmtext.Step]]:
    found: dict[tuple[str, str | None], list[slurmtext.Step]] = {}
    for step in slurmtext.accounting(captured("sacct")):
        found.setdefault((step.job_id_raw, step.step), []).append(step)
    return found


# single values

STATES = [
    ("COMPLETED", "COMPLETED", None, "over"),
    ("CD", "COMPLETED", None, "over"),
    ("CANCELLED by 1000", "CANCELLED", 1000, "over"),
    ("CANCELLED by 0", "CANCELLED", 0, "over"),
    ("CANCELLED+", "CANCELLED", None, "over"),
    ("CA", "CANCELLED", None, "over"),
    ("OUT_OF_ME+", "OUT_OF_MEMORY", None, "over"),
    ("OOM", "OUT_OF_MEMORY", None, "over"),
    ("OO", "OO", None, "unknown"),  # squeue's own two letters: we ask for the long words
    ("TO", "TIMEOUT", None, "over"),
    ("TIMEOUT", "TIMEOUT", None, "over"),
    ("NF", "NODE_FAIL", None, "over"),
    ("NODE_FAIL", "NODE_FAIL", None, "over"),
    ("PR", "PREEMPTED", None, "over"),
    ("BF", "BOOT_FAIL", None, "over"),
    ("DL", "DEADLINE", None, "over"),
    ("F", "FAILED", None, "over"),
    ("RV", "REVOKED", None, "over"),
    ("SE", "SPECIAL_EXIT", None, "queued"),
    ("RQ", "REQUEUED", None, "queued"),
    ("RH", "REQUEUE_HOLD", None, "queued"),
    ("RF", "REQUEUE_FED", None, "queued"),
    ("RESV_DEL_HOLD", "RESV_DEL_HOLD", None, "queued"),
    ("PENDING", "PENDING", None, "queued"),
    ("PD", "PENDING", None, "queued"),
    ("R", "RUNNING", None, "active"),
    ("S", "SUSPENDED", None, "active"),
    ("ST", "STOPPED", None, "active"),
    ("RS", "RESIZING", None, "active"),
    ("SI", "SIGNALING", None, "active"),
    ("SO", "STAGE_OUT", None, "active"),
    ("CG", "COMPLETING", None, "active"),
    ("CF", "CONFIGURING", None, "active"),
    ("EXPEDITING", "EXPEDITING", None, "active"),
    ("POWER_UP_NODE", "POWER_UP_NODE", None, "active"),
    ("COMPLETED,COMPLETING", "COMPLETING", None, "active"),
    ("PENDING,REQUEUED", "REQUEUED", None, "queued"),
    ("FAILED|REQUEUE_HOLD", "REQUEUE_HOLD", None, "queued"),
    ("RUNNING,CONFIGURING", "CONFIGURING", None, "active"),
    ("COMPLETED,NEW_FLAG", "COMPLETED,NEW_FLAG", None, "unknown"),
    ("LAUNCH_FAILED", "LAUNCH_FAILED", None, "unknown"),
    ("HIBERNATED", "HIBERNATED", None, "unknown"),
    ("RE+", "RE+", None, "unknown"),
    ("", "", None, "unknown"),
]


@pytest.mark.parametrize(("text", "word", "uid", "kind"), STATES)
def test_states(text: str, word: str, uid: int | None, kind: str) -> None:
    if word.isupper() and kind == "unknown" and text.endswith("+"):
        word = "RE"  # the mark of a cut is no part of the word
    assert values.state(text) == (word, uid)
    assert values.classify(word) == kind


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1795320085", 1795320085.0),
        ("2026-11-22T04:01:25", 1795320085.0),  # the tests run in UTC
        ("Unknown", None),
        ("None", None),
        ("N/A", None),
        ("0", None),
        ("", None),
        ("04:01:25", None),
        ("2026-13-45T99:99:99", None),
    ],
)
def test_moments(text: str, seconds: float | None) -> None:
    assert values.moment(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("17", 17.0),
        ("00:00:01", 1.0),
        ("1-02:03:04", 93784.0),
        ("01:02.500", 62.5),
        ("00:00.654", 0.654),
        ("100:00:00", 360000.0),
        ("UNLIMITED", None),
        ("Partition_Limit", None),
        ("INVALID", None),
        ("1-02", None),
        ("", None),
    ],
)
def test_elapsed_times(text: str, seconds: float | None) -> None:
    assert values.elapsed(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 1800),
        ("10:00", 600),
        ("4:00:00", 14400),
        ("2-00:00:00", 172800),
        ("1-12", 129600),
        ("1-12:30", 131400),
        ("UNLIMITED", None),
        ("infinite", None),
        ("Partition_Limit", None),
        ("", None),
    ],
)
def test_time_limits(text: str, seconds: int | None) -> None:
    assert values.limit(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4087808", 4087808),
        ("512K", 512 * KIB),
        ("1024K", MIB),
        ("3.52G", 3779571221),  # rounded up
        ("0.10M", 104858),
        ("20000.02M", 20971540972),
        ("1.5P", 3 << 49),
        ("2T", 2 << 40),
        ("0", 0),
        ("4000Mn", 4000 * MIB),
        ("4Gc", 4 * GIB),
        ("", None),
        ("16?", None),
        ("-1", None),
    ],
)
def test_sizes(text: str, size: int | None) -> None:
    assert values.size(text) == size


def test_exit_codes() -> None:
    assert values.exit_code("0:125") == (0, 125)
    assert values.exit_code("9:0") == (9, 0)
    assert values.exit_code("") == (None, None)


def test_hosts() -> None:
    assert values.hosts("n[01-03,7],gpu1") == ["n01", "n02", "n03", "n7", "gpu1"]
    assert values.hosts("r[1-2]n[1-2]-ib") == ["r1n1-ib", "r1n2-ib", "r2n1-ib", "r2n2-ib"]
    assert values.hosts("None assigned") == values.hosts("(null)") == values.hosts("") == []
    assert values.hosts("n[1-999999999]")[-1] == f"n{values.MOST_HOSTS}"
    assert values.hosts("n[1-3") == ["n", "1-3"]  # no list: nothing is made up


# what 22.05 printed


def test_the_queue() -> None:
    rows = {row.array_id: row for row in slurmtext.queue(captured("squeue"))}
    assert len(rows) == 22
    one = rows["100001"]
    assert (one.name, one.comment, one.kind) == ("hos|tile\nname", "torc:abc|x", "over")
    assert (one.submit_s, one.start_s, one.end_s) == (1795320085.0, 1795320085.0, 1795320089.0)
    later = rows["100008"]
    assert (later.state, later.reason, later.comment) == ("PENDING", "BeginTime", "torc:later")
    assert (later.node_list, later.dependency, later.limit_s, later.uid) == (None, None, 600, 0)
    held = rows["100013"]
    assert (held.start_s, held.end_s, held.reason) == (None, None, "JobHeldUser")
    assert (rows["100003"].state, rows["100002"].reason) == ("CANCELLED", "TimeLimit")
    assert (rows["100004"].state, rows["100007"].reason) == ("OUT_OF_MEMORY", "JobLaunchFailure")
    assert (rows["100023"].kind, rows["100023"].node_list) == ("active", "n1")
    assert (rows["100014"].state, rows["100014"].submit_s) == ("RUNNING", 1795320143.0)  # its second life
    assert (rows["100010_0"].job_id, rows["100011+1"].job_id) == ("100020", "100012")
    assert [row.name for row in slurmtext.queue(captured("squeue-names"))] == ["later", "held"]


def test_what_sbatch_was_refused_leaves_a_record() -> None:
    """It failed and never had a node; a job that failed on a node was submitted."""
    assert [row.job_id for row in slurmtext.queue(captured("squeue")) if row.refused] == ["100018"]
    assert [step.job_id_raw for step in slurmtext.accounting(captured("sacct")) if step.refused] == ["100018"]


def test_accounting_of_steps() -> None:
    found = steps()
    (job,) = found["100001", None]
    assert (job.name, job.comment, job.state, job.derived_exit_code) == (
        "hos|tile\nname",
        "torc:abc|x",
        "COMPLETED",
        137,
    )
    assert (job.max_rss_bytes, job.total_cpu_s, job.limit_s, job.uid) == (None, 0.654, 14400, 0)
    (oom,) = found["100001", "0"]
    assert (oom.state, oom.exit_code, oom.signal, oom.out_of_memory) == ("OUT_OF_MEMORY", 0, 125, True)
    assert (oom.name, oom.max_rss_bytes, oom.total_cpu_s) == ("wf1_j1_r1_a1", 0, 0.117)
    (killed,) = found["100001", "1"]
    assert (killed.name, killed.state, killed.by_uid, killed.signal) == ("pi|pe", "CANCELLED", None, 9)
    (exited,) = found["100001", "2"]  # exit 137, printed less 128
    assert (exited.name, exited.state, exited.exit_code, exited.signal) == ("new\nline", "FAILED", 9, 0)
    (copied,) = found["100001", "4"]
    assert (copied.max_disk_read_bytes, copied.max_disk_write_bytes) == (20971540972, 20971520000)
    (batch,) = found["100001", "batch"]
    assert batch.max_rss_bytes == 4087808


def test_accounting_of_fates() -> None:
    found = steps()
    assert [(job.state, job.by_uid, job.elapsed_s) for job in found["100003", None]] == [("CANCELLED", 0, 26.0)]
    assert [job.state for job in found["100002", None]] == ["TIMEOUT"]
    assert [(step.state, step.by_uid, step.signal) for step in found["100002", "0"]] == [("CANCELLED", None, 15)]
    assert [job.out_of_memory for job in found["100004", None]] == [True]
    assert [(job.state, job.exit_code) for job in found["100005", None]] == [("FAILED", 9)]
    assert [(job.state, job.signal) for job in found["100007", None]] == [("FAILED", 9)]
    (waits,) = found["100008", None]
    assert (waits.kind, waits.start_s, waits.end_s, waits.node_list, waits.limit_s) == (
        "queued",
        None,
        None,
        None,
        None,
    )
    assert [job.array_id for job in found["100020", None]] == ["100010_0"]
    assert [job.array_id for job in found["100012", None]] == ["100011+1"]


def test_lives_of_one_job() -> None:
    """A node failed, a requeue was asked for: the former life has its steps, the new one its own time of submission."""
    found = steps()
    first, second = found["100014", None]
    assert (first.state, first.kind, first.requeued, second.state) == ("NODE_FAIL", "over", False, "RUNNING")
    assert (first.submit_s or 0) < (second.submit_s or 0)
    assert [(step.state, step.exit_code) for step in found["100014", "0"]] == [("CANCELLED", None), ("RUNNING", 0)]
    first, second = found["100015", None]
    assert (first.state, first.kind, first.requeued, second.kind) == ("REQUEUED", "queued", True, "active")


def test_nothing_known_is_an_answer() -> None:
    assert slurmtext.accounting(captured("sacct-none")) == []


def test_a_job_of_scontrol() -> None:
    job = slurmtext.job(captured("job-running"))
    assert (job["JobId"], job["JobState"], job["Restarts"]) == ("100023", "RUNNING", "0")
    assert values.moment(job["EndTime"]) == (values.moment(job["StartTime"]) or 0) + 14400
    assert slurmtext.job(captured("job-pending"))["Comment"] == "torc:later"
    assert slurmtext.job(captured("job-het"))["JobId"] == "100011"  # the first component
    assert slurmtext.job("") == {}


def test_a_job_with_hostile_values() -> None:
    job = slurmtext.job("JobId=7 JobName=a b=c EndTime=1\n   EndTime=2 X=\n   Command=/tmp/my dir/EndTime=3 x.sh\n")
    assert (job["JobName"], job["EndTime"], job["Command"]) == ("a", "1", "/tmp/my dir/EndTime=3 x.sh")


@pytest.mark.parametrize(
    ("text", "job_id"),
    [
        (captured("sbatch"), "100025"),
        (captured("sbatch-parsable"), "100026"),
        (captured("sbatch-refused"), None),
        ("Submitted batch job 7 on cluster b\n", "7"),
        ("7;cluster\n", "7"),
        ("welcome to the site\nSubmitted batch job 7\n", "7"),
        ("Submitted batch job 7\nSubmitted batch job 8\n", None),
        ("Submitted batch job seven\n", None),
        ("", None),
    ],
)
def test_what_sbatch_answered(text: str, job_id: str | None) -> None:
    assert slurmtext.submitted(text) == job_id


def test_when_a_job_would_start() -> None:
    assert slurmtext.starts_at(captured("test-only")) == 1795320963.0
    assert slurmtext.starts_at("sbatch: Job 7 to start at 2026-11-22T04:01:25 using 1 processors\n") == 1795320085.0
    assert slurmtext.starts_at("allocation failure: Invalid account") is None


def test_the_cluster() -> None:
    found = slurmcluster.profile(captured("sinfo"), captured("partitions"), captured("config"), captured("nodes"))
    assert (found.name, found.display_name, found.source) == ("torctest", "Torctest (Slurm)", "slurm")
    assert [each.name for each in found.partitions] == ["debug", "standard", "bigmem"]
    debug, standard, bigmem = found.partitions
    assert (debug.is_default, debug.max_walltime_s, debug.max_nodes, debug.must_be_named) == (True, 600, 3, True)
    assert (standard.cpus_per_node, standard.memory_bytes, standard.max_walltime_s) == (4, 6000 * MIB, 14400)
    assert (bigmem.memory_bytes, bigmem.total_nodes, bigmem.gpus_per_node) == (16000 * MIB, 1, 0)


# the forms of other versions


def test_accounting_of_20_11() -> None:
    """Local times, sizes in K, 'CANCELLED by', a duplicate of an earlier run, columns that this version has not."""
    text = sacct_text(
        "41,41,NODE_FAIL,1:0,10,2026-11-22T04:00:00,2026-11-22T04:00:10,2026-11-22T04:00:20,,00:00.100,c[01-02],sim,",
        "41.batch,41.batch,CANCELLED,0:9,10,2026-11-22T04:00:10,2026-11-22T04:00:10,2026-11-22T04:00:20,"
        "3992K,00:01:00,c01,batch,",
        "41,41,CANCELLED by 1000,0:0,5,2026-11-22T04:00:21,2026-11-22T04:00:30,2026-11-22T04:00:35,,"
        "1-00:00:00,c01,sim,torc:x",
    )
    first, batch, second = slurmtext.accounting(text)
    assert (first.state, first.start_s, first.node_list) == ("NODE_FAIL", 1795320010.0, "c[01-02]")
    assert (batch.step, batch.max_rss_bytes, batch.total_cpu_s, batch.derived_exit_code) == (
        "batch",
        3992 * KIB,
        60.0,
        None,
    )
    assert (second.by_uid, second.comment, second.total_cpu_s, second.restarts) == (1000, "torc:x", 86400.0, None)


def test_accounting_of_23_11_and_24_05() -> None:
    """Columns that are new (FailedNode, Restarts), a state that is new, times as epoch seconds."""
    header = "JobIDRaw,State,ExitCode,ElapsedRaw,Submit,Restarts,FailedNode,JobName,Comment"
    rows = (
        "8,NODE_FAIL,0:0,57,1795320085,1,c07,wf,torc:t",
        "8.extern,COMPLETED,0:0,57,1795320085,,,extern,",
        "8.0,THAWED,0:0,57,1795320085,,,wf1_j1_r1_a1,",
    )
    job, extern, step = slurmtext.accounting(sacct_text(*rows, header=header))
    assert (job.restarts, job.failed_node, job.comment, job.max_rss_bytes) == (1, "c07", "torc:t", None)
    assert (extern.step, extern.kind) == ("extern", "over")
    assert (step.state, step.kind, step.array_id) == ("THAWED", "unknown", "")


def test_a_queue_with_arrays_held_and_new_words() -> None:
    header = "JOBID,JOBID,STATE,UID,START_TIME,TIME_LIMIT,NODES,REASON,NAME,COMMENT"
    rows = (
        "12,12_[3-9%2],PENDING,1000,N/A,UNLIMITED,1-4,(launch failed requeued held),a,(null)",
        "13,13,REQUEUE_HOLD,1000,N/A,2-00:00:00,2,launch failure limit exceeded,b,(null)",
        "14,14,HIBERNATED,1000,2026-11-22T04:01:25,30:00,1,None,c,torc:y",
    )
    pending, held, new = slurmtext.queue(sacct_text(*rows, header=header))
    assert (pending.array_id, pending.nodes, pending.limit_s) == ("12_[3-9%2]", None, None)
    assert (held.kind, held.limit_s) == ("queued", 172800)
    assert (new.state, new.kind, new.start_s, new.comment) == ("HIBERNATED", "unknown", 1795320085.0, "torc:y")


def test_noise_between_rows_is_passed_over() -> None:
    rows = ("7,7,RUNNING,0:0,5,,,,,,,wf,", "sacct: error: slurmdbd is slow", "", "7.0,7.0,RUNNING,0:0,5,,,,,,,s,")
    assert [step.step for step in slurmtext.accounting(sacct_text("", *rows))] == [None, "0"]
    assert slurmtext.accounting("Slurm accounting storage is disabled\n") == []
    name = "a" + F + "b"
    assert slurmtext.accounting(sacct_text("7,7,RUNNING,0:0,5,,,,,,," + name + ",torc:z"))[0][3:4] == (name,)


def test_sites_with_gpus_limits_and_unlike_nodes() -> None:
    sinfo = sacct_text(
        "gpu,64,512000,2-00:00:00,gpu:a100:4(S:0-1),8,idle,a100,ib",
        "gpu,48,256000+,2-00:00:00,gpu:a100:2(S:0),2,mix-,a100",
        "long*,32,128000,infinite,(null),10,down*,(null)",
        "held,x,128000,1:00:00,(null),10,idle,(null)",
        header="PARTITION,CPUS,MEMORY,TIMELIMIT,GRES,NODES,STATE,AVAIL_FEATURES",
    ).replace(f"a100{F}ib", "a100,ib")
    limits = (
        "PartitionName=gpu Default=NO QoS=N/A MaxNodes=4 MaxTime=1-00:00:00 MinNodes=2 MaxCPUsPerNode=40 "
        "MaxMemPerNode=200000 OverSubscribe=FORCE:4 State=UP\n"
        "PartitionName=long\n   Default=YES MaxNodes=UNLIMITED MaxTime=UNLIMITED\n   MaxMemPerCPU=2000 State=DRAIN\n"
    )
    nodes = "NodeName=l1 CPUEfctv=30 MemSpecLimit=1000 Partitions=long,other\n"
    long, gpu = slurmcluster.profile(sinfo, limits, "ClusterName = hydra", nodes).partitions
    assert (gpu.cpus_per_node, gpu.memory_bytes, gpu.gpus_per_node, gpu.gpu_type) == (40, 200000 * MIB, 2, "a100")
    assert (gpu.min_nodes, gpu.max_nodes, gpu.max_walltime_s, gpu.shared, gpu.features) == (
        2,
        4,
        86400,
        True,
        ("a100",),
    )
    assert (gpu.total_nodes, gpu.idle_nodes) == (10, 8)
    assert (long.cpus_per_node, long.memory_bytes, long.max_walltime_s) == (30, 60000 * MIB, 365 * 86400)
    assert (long.is_up, long.is_default, long.max_nodes) == (False, True, 10)


GRES = [
    ("gpu:a100:4(S:0-1)", 4, "a100"),
    ("gpu:4", 4, None),
    ("gpu:h100:2(S:0,1),gpu:h100:2", 4, "h100"),
    ("gpu:a:1,gpu:b:2,shard:8", 3, None),
    ("gpu:a100:no_consume:4", 4, "a100"),
    ("gpu", 1, None),
    ("gpu:0", 0, None),
    ("(null)", 0, None),
    ("gpuserver:3,nvme:1", 0, None),
]


@pytest.mark.parametrize(("text", "count", "kind"), GRES)
def test_gres(text: str, count: int, kind: str | None) -> None:
    assert slurmcluster.gpus_of(text) == (count, kind)


# any text at all

PIECES = st.sampled_from([F, "\n", "JOBID", "JobIDRaw", "PARTITION", "State", "ExitCode", "7", "7.0", "COMPLETED",
                          "=", "JobId=", "PartitionName=", "NodeName=", "[1-3]", "12:", "9" * 40, "K"])  # fmt: skip
TEXT = st.one_of(st.text(), st.lists(st.one_of(PIECES, st.text(max_size=4))).map("".join))


@given(TEXT)
def test_readers_never_raise(text: str) -> None:
    for row in (*slurmtext.queue(text), *slurmtext.accounting(text)):
        assert row.kind in ("queued", "active", "over", "unknown")
    slurmtext.job(text)
    slurmtext.submitted(text)
    slurmtext.starts_at(text)
    slurmcluster.profile(text, text, text, text)
    for read in (values.moment, values.elapsed, values.limit, values.size, values.number, values.hosts, values.state):
        read(text)


@given(st.lists(TEXT, min_size=12, max_size=12))
def test_readers_never_raise_on_rows(cells: list[str]) -> None:
    slurmtext.accounting(sacct_text() + F.join(["7", *cells]) + "\n")
    header = "PARTITION,CPUS,MEMORY,TIMELIMIT,GRES,NODES,STATE,AVAIL_FEATURES"
    slurmcluster.profile(sacct_text(header=header) + F.join(["p", "4", "100", *cells[:5]]) + "\n", cells[0])


@given(
    st.text(st.characters(min_codepoint=65, max_codepoint=95), min_size=4).filter(lambda word: word not in values.KNOWN)
)
def test_words_that_nobody_knows_conclude_nothing(word: str) -> None:
    state, _ = values.state(word)
    assert state == word or state in values.KNOWN
    if state == word:
        assert values.classify(state) == "unknown"


@given(st.sampled_from(sorted(values.KNOWN)), st.one_of(st.none(), st.integers(0, 2**31)))
def test_known_words_are_read_as_they_are(word: str, uid: int | None) -> None:
    assert values.state(word if uid is None else f"{word} by {uid}") == (word, uid)


# the clients: what a healthy Slurm will not do

ASKS = {
    "squeue": lambda: slurm.squeue([7]),
    "sacct": lambda: slurm.sacct([7]),
    "sinfo": slurm.sinfo,
    "scontrol": slurm.partitions,
    "sacctmgr": slurm.default_account,
    "scancel": lambda: slurm.scancel([7]),
}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Give a function that puts a program of this name, a shell script, first on PATH."""
    folder = tmp_path / "fake bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("TORC_SLURM_TIMEOUT_S", "20")

    def put(name: str, script: str) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return put


@pytest.mark.parametrize("name", ASKS)
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'error: Unable to contact slurm controller' >&2; exit 1", "Unable to contact"),
        ("echo 'slurm_load_jobs error: Socket timed out on send/recv operation' >&2; exit 0", "Socket timed out"),
        ("echo 'error: slurm_persist_conn_open: Connection refused' >&2; exit 1", "Connection refused"),
        ("echo 'Slurm accounting storage is disabled' >&2; exit 1", "storage is disabled"),
        ("exit 3", "exit status 3"),
        ("kill -9 $$", "killed by signal 9"),
        ("kill -11 $$", "killed by signal 11"),
    ],
)
def test_a_client_that_fails_is_no_answer(fake, name: str, script: str, words: str) -> None:
    fake(name, script)
    with pytest.raises(slurm.Unavailable, match=words) as caught:
        ASKS[name]()
    assert caught.value.status == 69
    assert name in caught.value.message


@pytest.mark.parametrize("name", ["squeue", "sacct", "sinfo"])
@pytest.mark.parametrize("script", ["exit 0", "echo", "echo welcome to the cluster", "head -c 4096 /dev/urandom"])
def test_a_table_without_its_header_is_no_answer(fake, name: str, script: str) -> None:
    fake(name, script)
    with pytest.raises(slurm.Unavailable, match="said something else"):
        ASKS[name]()


@pytest.mark.parametrize("name", ASKS)
def test_a_client_that_hangs_is_killed_with_what_it_started(
    fake, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = tmp_path / "pids"
    fake(name, f"sleep 1000 & echo $! > {pids}; echo $$ >> {pids}; wait")
    monkeypatch.setenv("TORC_SLURM_TIMEOUT_S", "0.5")
    with pytest.raises(slurm.Unavailable, match="no answer in time"):
        ASKS[name]()
    for pid in map(int, pids.read_text().split()):
        until(lambda pid=pid: gone(pid), f"{pid} to be gone")


def gone(pid: int) -> bool:
    """Say whether a process has ended (one that nobody has waited for yet has ended too)."""
    return liveness.start_ticks(pid) is None


def test_what_a_client_leaves_behind_is_not_waited_for(fake, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    fake("scontrol", f"echo PartitionName=x; sleep 1000 & echo $! > {pids}")
    try:
        assert slurm.partitions() == "PartitionName=x\n"
    finally:
        os.kill(int(pids.read_text()), signal.SIGKILL)


def test_a_client_that_talks_for_ever_is_stopped(fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MOST", 1 << 20)
    fake("scontrol", "exec yes")
    with pytest.raises(slurm.Unavailable, match="does not stop talking"):
        slurm.partitions()


def test_a_long_answer_is_read_whole(fake) -> None:
    fake("scontrol", "head -c 3000000 /dev/zero | tr '\\0' x; echo; head -c 300000 /dev/zero | tr '\\0' e >&2")
    assert len(slurm.config()) == 3000001


@pytest.mark.parametrize("name", ASKS)
def test_a_client_that_is_missing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(slurm.Unavailable, match=f"'{name}'"):
        ASKS[name]()


def test_an_id_that_slurm_has_forgotten_is_an_answer(fake) -> None:
    fake("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    fake("scontrol", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    fake("scancel", "echo 'scancel: error: Kill job error on job id 7: Invalid job id specified' >&2; exit 1")
    assert slurm.squeue([7]) == ""
    assert slurm.job(7) == ""
    slurm.scancel([7])


def test_a_field_that_this_slurm_has_not_is_left_out(fake, tmp_path: Path) -> None:
    """Each client names one that it does not know; the answer is what it knows."""
    fake(
        "sacct",
        'for w in "$@"; do case $w in --format=*) fields=${w#--format=};; esac; done\n'
        "for f in Restarts FailedNode; do case ,$fields, in *,$f,*)\n"
        'echo "sacct: error: Invalid field requested: \\"$f\\"" >&2; exit 1;; esac; done\n'
        'echo "$fields" | tr , "\\037"',
    )
    text = slurm.sacct([7])
    assert text.startswith(f"JobIDRaw{F}")
    assert "FailedNode" not in text
    assert "Restarts" not in text


def test_the_environment_is_scrubbed(fake, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_CLUSTERS", "SQUEUE_STATES", "SACCT_FORMAT", "SINFO_FORMAT", "SBATCH_ACCOUNT", "SLURM_JOB_ID"):
        monkeypatch.setenv(name, "spoiled")
    monkeypatch.setenv("SLURM_TIME_FORMAT", "relative")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm/slurm.conf")
    monkeypatch.setenv("LC_TIME", "de_DE.UTF-8")
    monkeypatch.delenv("USER", raising=False)
    fake("scontrol", "env")
    told = dict(line.partition("=")[::2] for line in slurm.config().splitlines())
    assert "spoiled" not in told.values()
    assert (told["SLURM_TIME_FORMAT"], told["LC_ALL"], told["SLURM_CONF"]) == ("%s", "C.UTF-8", "/etc/slurm/slurm.conf")
    assert "LC_TIME" not in told
    fake("sbatch", "env")
    told = dict(line.partition("=")[::2] for line in slurm.sbatch(["x"]).stdout.splitlines())
    assert "spoiled" not in told.values()
    assert told["LC_TIME"] == "de_DE.UTF-8"  # it is the job's environment


def test_ids_and_names_are_asked_for_apart_and_in_pieces(fake, tmp_path: Path) -> None:
    log = tmp_path / "log"
    fake("squeue", f'echo "$*" >> "{log}"; printf "JOBID\\037STATE\\n"')
    slurm.squeue([*range(1_000_000, 1_010_000), 1_000_000], ["a", "b"])
    asked = log.read_text().splitlines()
    ids = [words.rpartition("--jobs=")[2] for words in asked if "--jobs=" in words]
    assert sum(len(part.split(",")) for part in ids) == 10_000
    assert max(map(len, ids)) < 40_000
    assert [words.rpartition("--name=")[2] for words in asked if "--jobs" not in words] == ["a,b"]
    assert "-u" not in " ".join(asked)


def test_nothing_to_ask_for_asks_nothing(fake) -> None:
    fake("squeue", "exit 9")
    fake("sacct", "exit 9")
    fake("scancel", "exit 9")
    assert slurm.squeue() == slurm.sacct([]) == ""
    slurm.scancel([])


def test_sbatch_tells_whatever_happened(fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake("sbatch", "echo Submitted batch job 7; exit 1")
    assert slurm.sbatch(["x"])[:2] == (1, "Submitted batch job 7\n")
    fake("sbatch", "echo Submitted batch job 7; sleep 1000")
    assert slurm.sbatch(["x"], 0.5)[:2] == (None, "Submitted batch job 7\n")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(slurm.Unavailable, match="'sbatch'"):
        slurm.sbatch(["x"])


def test_an_account_that_nobody_has(fake) -> None:
    fake("sacctmgr", "echo")
    assert slurm.default_account() is None
    fake("sacctmgr", "echo physics")
    assert slurm.default_account() == "physics"
