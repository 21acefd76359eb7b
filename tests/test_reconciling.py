"""squeue's text, sacct's text and heartbeats, to what became of an allocation, its workers and the jobs they had."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slurmtexts import account, sacct, squeue, waiting

from torc_tools.core import accounts, reconciling, slurmvalues
from torc_tools.core.reconciling import Answers, Verdict, Worker

NOW, SILENT = 100_000.0, 90.0
ROW = {"slurm_job_id": "7", "status": "active", "submitted_at": NOW - 5000, "created_at": NOW - 5001}
FIRST = {"Submit": int(NOW) - 4000, "Start": int(NOW) - 3900}
SECOND = {"Submit": int(NOW) - 500, "Start": int(NOW) - 400}
RUNNING = waiting(7, "RUNNING", START_TIME=int(NOW) - 3900)
AGAIN = waiting(7, "RUNNING", START_TIME=int(NOW) - 400)


def answers(queue, accounting) -> Answers:
    read = reconciling.queue(None if queue is None else squeue(*queue))
    return Answers(read, reconciling.lives(None if accounting is None else sacct(*accounting)))


def verdict(queue, accounting, **row) -> Verdict:
    return reconciling.judge({**ROW, **row}, answers(queue, accounting), NOW, SILENT)


def fates(queue, accounting, heard_s, count=0, *, dead=False) -> dict[str, bool]:
    """Judge one worker that was heard of so many seconds ago."""
    worker = Worker("w", "7", count, NOW - (3890 if count == 0 else 390), NOW - heard_s, dead)
    found = answers(queue, accounting)
    verdicts = {"7": reconciling.judge(ROW, found, NOW, SILENT)}
    return reconciling.gone([worker], verdicts, found, NOW, SILENT)


LOST, REQUEUED, ALIVE = {"w": False}, {"w": True}, {}
DEAD_NODE = account("7", "NODE_FAIL", FailedNode="n2", **FIRST)
SCENARIOS = [  # squeue, sacct, status of the allocation, fate of its worker heard 5 s ago, and 95 s ago
    ("runs", [RUNNING], None, "active", ALIVE, ALIVE),
    ("suspended", [waiting(7, "SUSPENDED")], None, "active", ALIVE, ALIVE),
    ("completing waits", [waiting(7, "COMPLETING")], [account("7", "COMPLETED", **FIRST)], "active", ALIVE, ALIVE),
    ("over while accounting was asked", [RUNNING], [account("7", "TIMEOUT", **FIRST)], "active", ALIVE, ALIVE),
    ("configuring", [waiting(7, "CONFIGURING")], None, "active", ALIVE, ALIVE),
    ("resizing", [waiting(7, "RESIZING")], None, "active", ALIVE, ALIVE),
    ("stage out", [waiting(7, "STAGE_OUT")], None, "active", ALIVE, ALIVE),
    ("a word of tomorrow", [waiting(7, "FROBNICATING")], None, None, ALIVE, ALIVE),
    ("a word of tomorrow in accounting", [], [account("7", "FROBNICATED", **FIRST)], "lost", ALIVE, LOST),
    ("time limit, no accounting", [waiting(7, "TIMEOUT")], None, "complete", LOST, LOST),
    ("time limit", [waiting(7, "TIMEOUT")], [account("7", "TIMEOUT", **FIRST)], "complete", LOST, LOST),
    ("accounting lags", [waiting(7, "TIMEOUT")], [account("7", "RUNNING", **FIRST)], "complete", ALIVE, LOST),
    ("accounting has no record yet", [waiting(7, "TIMEOUT")], [], "complete", ALIVE, LOST),
    ("canceled", [waiting(7, "CANCELLED")], [account("7", "CANCELLED by 0", **FIRST)], "canceled", LOST, LOST),
    ("canceled while it was held", [waiting(7, "CANCELLED", "JobHeldUser")], None, "canceled", LOST, LOST),
    ("preempted for good", [waiting(7, "PREEMPTED")], None, "complete", LOST, LOST),
    ("out of memory", [waiting(7, "OUT_OF_MEMORY")], None, "complete", LOST, LOST),
    ("deadline", [waiting(7, "DEADLINE")], None, "complete", LOST, LOST),
    ("node failed, not requeued", [waiting(7, "NODE_FAIL")], [DEAD_NODE], "complete", ALIVE, LOST),
    ("boot failed", [waiting(7, "BOOT_FAIL")], None, "complete", ALIVE, LOST),
    ("requeued, waits", [waiting(7, "PENDING", "BeginTime")], [DEAD_NODE], "queued", ALIVE, REQUEUED),
    ("requeued, no accounting", [waiting(7, "PENDING", "BeginTime")], None, "queued", ALIVE, REQUEUED),
    ("requeued, runs anew", [AGAIN], [DEAD_NODE, account("7", "RUNNING", **SECOND)], "active", ALIVE, REQUEUED),
    ("requeued, runs anew, no accounting", [AGAIN], None, "active", ALIVE, REQUEUED),
    ("requeued by hand", [AGAIN], [account("7", "REQUEUED", **FIRST), account("7", "RUNNING", **SECOND)],
     "active", ALIVE, REQUEUED),
    ("requeued and held", [waiting(7, "REQUEUE_HOLD")], None, "queued", ALIVE, REQUEUED),
    ("special exit", [waiting(7, "SPECIAL_EXIT")], None, "queued", ALIVE, REQUEUED),
    ("forgotten, accounting knows", [], [account("7", "COMPLETED", **FIRST)], "complete", LOST, LOST),
    ("forgotten, canceled", [], [account("7", "CANCELLED by 1000", **FIRST)], "canceled", LOST, LOST),
    ("forgotten, node failed", [], [DEAD_NODE], "complete", ALIVE, LOST),
    ("forgotten, accounting thinks it runs", [], [account("7", "RUNNING", **FIRST)], "lost", ALIVE, LOST),
    ("forgotten, no record", [], [], "lost", ALIVE, LOST),
    ("forgotten, slurmdbd down", [], None, "lost", ALIVE, LOST),
    ("slurmctld down, accounting says running", None, [account("7", "RUNNING", **FIRST)], None, ALIVE, ALIVE),
    ("slurmctld down, accounting says pending", None, [account("7", "PENDING", **FIRST)], None, ALIVE, ALIVE),
    ("slurmctld down, it timed out", None, [account("7", "TIMEOUT", **FIRST)], "complete", ALIVE, LOST),
    ("slurmctld down, it may be requeued", None, [DEAD_NODE], None, ALIVE, ALIVE),
    ("slurmctld down, no record", None, [], None, ALIVE, ALIVE),
    ("both down", None, None, None, ALIVE, ALIVE),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "queue", "accounting", "status", "fresh", "silent"), SCENARIOS, ids=lambda x: str(x)[:40]
)
def test_scenarios(name, queue, accounting, status, fresh, silent):
    assert verdict(queue, accounting).status == status
    assert fates(queue, accounting, 5) == fresh
    assert fates(queue, accounting, 95) == silent


def test_a_worker_of_the_present_life_is_no_victim_of_the_former():
    accounting = [DEAD_NODE, account("7", "RUNNING", **SECOND)]
    assert fates([AGAIN], accounting, 95, count=1) == ALIVE
    assert fates([waiting(7, "TIMEOUT")], [DEAD_NODE, account("7", "TIMEOUT", **SECOND)], 5, count=1) == LOST


def test_a_worker_whose_node_has_a_slow_clock_is_of_the_present_life_by_its_count():
    """Munge lets a clock be five minutes behind: then its heartbeats look old, and its start before Slurm's."""
    slow = Worker("w", "7", 0, NOW - 3900 - 250, NOW - 250, is_dead=False)
    for accounting, fate in (([account("7", "RUNNING", **FIRST)], ALIVE), (None, ALIVE), ([DEAD_NODE], REQUEUED)):
        found = answers([RUNNING], accounting)
        verdicts = {"7": reconciling.judge(ROW, found, NOW, SILENT)}
        assert reconciling.gone([slow], verdicts, found, NOW, SILENT) == fate


def test_a_worker_of_a_former_life_is_gone_only_in_silence_though_the_last_life_is_over():
    accounting = [DEAD_NODE, account("7", "COMPLETED", **SECOND)]
    assert fates([], accounting, 5) == ALIVE
    assert fates([], accounting, 95) == LOST


def test_a_dead_process_in_a_running_allocation_is_gone_in_silence():
    assert fates([RUNNING], None, 5, dead=True) == ALIVE
    assert fates([RUNNING], None, 95, dead=True) == LOST
    assert fates(None, None, 9999, dead=True) == ALIVE


def test_an_allocation_just_submitted_may_not_be_known_yet():
    assert verdict([], [], submitted_at=NOW - 5) == reconciling.NOTHING


def test_words_of_the_verdict():
    found = verdict([waiting(7, "CANCELLED")], [account("7", "CANCELLED by 1000", **FIRST, End=int(NOW))])
    assert (found.state, found.ends_at) == ("CANCELLED by 1000", NOW)
    assert verdict([waiting(7, "PENDING", "Priority")], None).reason == "Priority"
    held = verdict([waiting(7, "PENDING", "launch failure limit exceeded requeued held")], None)
    assert (held.is_held, held.reason) == (True, "launch failure limit exceeded requeued held")
    assert verdict([waiting(7, "SPECIAL_EXIT")], None).is_held
    assert verdict([waiting(7, "PENDING", "job requeued in held state")], None).is_held
    assert verdict([waiting(7, "PENDING", "JobHeldUser")], None).is_held
    assert not verdict([waiting(7, "PENDING", "Resources")], None).is_held
    running = verdict([RUNNING], None)
    assert (running.reason, running.started_at) == (None, NOW - 3900)


def test_an_older_life_in_accounting_is_not_taken_for_the_last():
    found = verdict([waiting(7, "COMPLETED")], [DEAD_NODE])
    assert (found.state, found.gone) == ("COMPLETED", "sure")


def test_lives_keep_their_steps_apart():
    text = sacct(
        account("7", "NODE_FAIL", **FIRST), account("7.batch", "CANCELLED", **FIRST),
        account("7.0", "CANCELLED", "0:9", "wf1_j1_r1_a1", **FIRST),
        account("7", "COMPLETED", **SECOND), account("7.0", "COMPLETED", name="wf1_j1_r1_a2", **SECOND),
    )  # fmt: skip
    first, second = (reconciling.lives(text) or {})["7"]
    assert set(first.steps) == {"batch", "wf1_j1_r1_a1"}
    assert set(second.steps) == {"wf1_j1_r1_a2"}


WORDS = st.sampled_from([*sorted(slurmvalues.KNOWN), "FROBNICATED", "CANCELLED by 5"])


@given(st.none() | st.lists(WORDS, max_size=1), st.none() | st.lists(WORDS, max_size=3), st.booleans())
def test_nothing_is_concluded_without_an_answer_and_nothing_that_lives_is_buried(queue, accounting, dead):
    rows = None if queue is None else [waiting(7, word) for word in queue]
    lines = None if accounting is None else [account("7", word, **FIRST) for word in accounting]
    gone = fates(rows, lines, 9999, dead=dead)
    if rows is None and lines is None:
        assert gone == {}
    may_follow = len(accounting or ()) > 1 or {*(accounting or ())} & {
        *reconciling.AGAIN,
        "REQUEUE_FED",
        "REQUEUE_HOLD",
    }
    if queue and queue[0] in slurmvalues.ACTIVE and not dead and not may_follow:
        assert gone == {}


def attempt(code=0, **more):
    given = {"workflow_id": 1, "job_id": 1, "run_id": 1, "attempt_id": 1, "status": 5, "return_code": code,
             "ended_at": NOW, "exec_time_s": 10.0, "peak_memory_bytes": 50, "slurm_job_id": "7", "restart_count": 0,
             "facts": {"slurm_step_name": "wf1_j1_r1_a1"}}  # fmt: skip
    return {**given, **more}


def accounted(*rows, now=NOW, **more):
    lives = (reconciling.lives(sacct(*rows)) or {}).get("7", [])
    return accounts.account(attempt(**more), lives, now, uid=1000)


STEP = {"name": "wf1_j1_r1_a1", "ElapsedRaw": 10, "TotalCPU": "00:05.000"}


def test_the_larger_peak_counts_and_zero_is_none():
    for sampled, rss, peak in ((5, "10", 10), (10, "5", None), (None, "0", None)):
        found = accounted(
            account("7", "RUNNING"), account("7.0", "COMPLETED", MaxRSS=rss, **STEP), peak_memory_bytes=sampled
        )
        assert found is not None
        assert found.columns.get("peak_memory_bytes") == peak
        assert found.columns["avg_cpu_percent"] == 50.0
        assert found.facts["accounting"] == "final"


def test_a_row_of_statistics_as_torc_reads_it():
    row = account("7.0", "COMPLETED", name="wf1_j1_r1_a1", MaxRSS="512K", MaxVMSize="1024K", MaxDiskRead="50M",
                  MaxDiskWrite="25M", AveCPU="00:00:01", NodeList="node001")  # fmt: skip
    found = accounted(account("7", "RUNNING"), row)
    assert found is not None
    assert found.stats == {
        "workflow_id": 1, "job_id": 1, "run_id": 1, "attempt_id": 1, "slurm_job_id": "7", "slurm_step_id": "7.0",
        "slurm_state": "COMPLETED", "exit_code": "0:0", "elapsed_s": None, "max_rss_bytes": 524288,
        "max_vm_size_bytes": 1048576, "max_disk_read_bytes": 52428800, "max_disk_write_bytes": 26214400,
        "node_list": "node001", "ave_cpu_seconds": 1.0, "total_cpu_seconds": None,
    }  # fmt: skip


def test_out_of_memory_is_known_by_the_word_and_by_the_mark():
    for state, code in (("OUT_OF_MEMORY", "0:125"), ("FAILED", "0:125"), ("OUT_OF_MEMORY", "0:0")):
        found = accounted(account("7", "COMPLETED"), account("7.0", state, code, **STEP))
        assert found is not None
        assert found.is_oom
    found = accounted(account("7", "COMPLETED"), account("7.0", "FAILED", "125:0", **STEP))
    assert found is not None
    assert not found.is_oom


def test_accounting_waits_for_the_end_and_no_longer():
    step = account("7.0", "RUNNING", **STEP)
    assert accounted(account("7", "RUNNING"), step) is None
    assert accounted(account("7", "RUNNING")) is None
    assert accounted() is None
    for rows, now in (([account("7", "COMPLETED")], NOW), ([], NOW + accounts.LAG_S)):
        found = accounted(*rows, now=now)
        assert found is not None
        assert found.facts["accounting"] == "unavailable"
        assert found.stats == {"workflow_id": 1, "job_id": 1, "run_id": 1, "attempt_id": 1, "slurm_job_id": "7"}
        assert found.columns == {}
    end = int(NOW - accounts.STEP_LAG_S)
    assert accounted(account("7", "COMPLETED", End=end + 1)) is None  # the record of the step may follow
    assert accounted(account("7", "COMPLETED", End=end)) is not None
    direct = accounted(account("7", "COMPLETED"), facts={})
    assert direct is not None
    assert direct.stats is None
    requeued = accounted(account("7", "REQUEUED", **FIRST), account("7", "PENDING", **SECOND), code=-128)
    assert requeued is not None
    assert requeued.facts["allocation_state"] == "REQUEUED"


def test_a_lost_attempt_gets_the_time_that_slurm_measured_and_the_word_for_its_allocation():
    rows = account("7", "TIMEOUT", Reason="None"), account("7.0", "CANCELLED", "0:15", **STEP)
    found = accounted(*rows, code=-128, exec_time_s=None, facts={"reason": "lost", "was_alone": True})
    assert found is not None
    assert found.columns["exec_time_s"] == 10.0
    assert (found.facts["allocation_state"], found.facts["slurm_state"]) == ("TIMEOUT", "CANCELLED")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (account("7", "CANCELLED by 0"), "Slurm job 7 was canceled by root"),
        (account("7", "CANCELLED by 1000"), "Slurm job 7 was canceled by uid 1000 (this user)"),
        (account("7", "CANCELLED"), "Slurm job 7 was canceled"),
        (account("7", "TIMEOUT"), "Slurm job 7 ran into its time limit"),
        (account("7", "NODE_FAIL", FailedNode="n2"), "node n2 of Slurm job 7 failed"),
        (account("7", "PREEMPTED"), "Slurm job 7 was preempted"),
        (account("7", "REQUEUED"), "Slurm job 7 was put back into the queue"),
        (account("7", "FAILED", "0:53"), "Slurm job 7 ended as FAILED"),
        (account("7", "PENDING"), "Slurm job 7 is not known to Slurm any more"),
    ],
)
def test_how_a_job_was_lost_in_words(row, words):
    (life,) = (reconciling.lives(sacct(row)) or {})["7"]
    facts = accounts.lost("7", life, reconciling.NOTHING, alone=True, uid=1000)
    assert accounts.why(facts) == words
