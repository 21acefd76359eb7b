"""What is measured beside what is true, for everything that leads monitors astray."""

import os
import resource
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Torc
from test_work import ends, job, work, workflow
from waiting import until
from workloads import MIB, Load, write

from torc_tools.core.usage import Usage
from torc_tools.flows.worker_ticks import patience_s
from torc_tools.shell import procs, trees
from torc_tools.shell.census import Census
from torc_tools.shell.steps import StepTree

TICKS_S = 0.05  # the kernel gives four times in hundredths of a second, each cut off

STEADY = "a = block(64 * MIB); pause(memory=status('VmRSS'))"
SPIKE = """
a = block(16 * MIB); pause()
b = block(96 * MIB); b.close(); pause(memory=status("VmHWM"), now=status("VmRSS"))
pause()
"""
COW = """
a = block(128 * MIB)
for _ in range(6):
    if not os.fork(): idle()
pause()
"""
MORE = """
a = block(64 * MIB)
for count in (1, 7):
    for _ in range(count):
        if not os.fork(): idle()
    pause()
"""
VFORK = """
a, b = block(64 * MIB), block(64 * MIB); b.close()
pause(memory=status("VmRSS"))
os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 9, sys.argv[1], os.O_RDONLY, 0)])
"""
SHORT = """
for _ in range(6):
    for _ in range(5):
        if not os.fork(): a = block(4 * MIB); burn(0.02); os._exit(0)
        os.wait()
    pause(cpu=cpu())
"""
IGNORED = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
into, out = os.pipe()
for _ in range(3):
    pid = os.fork()
    if not pid: burn(0.15); os.write(out, b"x"); idle()
    os.read(into, 1); pause()
    os.kill(pid, 9)
    while os.path.exists(f"/proc/{pid}"): time.sleep(0.002)
pause(cpu=cpu() + 0.45)
"""
WAITED = """
into, out = os.pipe()
for _ in range(2):
    pid = os.fork()
    if not pid: burn(0.2); os.write(out, b"x"); idle()
    os.read(into, 1); pause()
    os.kill(pid, 9); os.wait(); pause(cpu=cpu())
"""
BATCH = """
into, out = os.pipe()
for _ in range(2):
    pids = []
    for _ in range(4):
        pids.append(os.fork())
        if not pids[-1]: a = block(24 * MIB); os.write(out, b"x"); idle()
    for _ in pids: os.read(into, 1)
    pause()
    for pid in pids: os.kill(pid, 9); os.wait()
"""
TREE = """
into, out = os.pipe()
def grow(depth):
    for _ in range(2 if depth else 0):
        if not os.fork(): os.write(out, b"x"); grow(depth - 1); idle()
grow(4)
for _ in range(30): os.read(into, 1)
pause()
"""
THREADS = """
import hashlib
def work():
    for _ in range(6): hashlib.pbkdf2_hmac("sha256", b"a", b"b", 40000)
pause()
threads = [threading.Thread(target=work) for _ in range(2)]
idlers = [threading.Thread(target=threading.Event().wait, daemon=True) for _ in range(20)]
for thread in threads + idlers: thread.start()
for thread in threads: thread.join()
pause(cpu=cpu())
"""
SHARED = """
a = mmap.mmap(-1, 64 * MIB)
for at in range(0, len(a), 4096): a[at] = 1
into, out = os.pipe()
for _ in range(3):
    if not os.fork():
        sum(a[at] for at in range(0, len(a), 4096)); os.write(out, b"x"); idle()
for _ in range(3): os.read(into, 1)
pause()
"""
DAEMON = """
if not os.fork():
    os.setsid()
    if os.fork(): os._exit(0)
    b = block(64 * MIB); burn(0.5); open("burned", "w"); time.sleep(0.5); os._exit(0)
os.wait()
while not os.path.exists("burned"): time.sleep(0.01)
time.sleep(0.7)
"""
ORPHANS = """
into, out = os.pipe()
for _ in range(12):
    if not os.fork():
        if os.fork(): os._exit(0)
        burn(0.05); os.write(out, b"x"); os._exit(0)
    os.wait(); os.read(into, 1)
time.sleep(0.2)
"""
MOMENT = "time.sleep(0.3); b = block(96 * MIB); b.close(); time.sleep(1)"
SPAWNER = """
for _ in range(25):
    if not os.fork(): a = block(4 * MIB); burn(0.02); os._exit(0)
    os.wait()
with open("truth", "w") as file: file.write(str(cpu()))
os._exit(0)
"""


def near(found: float, truth: float, spare: float = 0) -> bool:
    """Say whether a figure is within one per cent of the truth, and `spare`."""
    return abs(found - truth) <= truth / 100 + spare


def test_steady_memory() -> None:
    with Load(STEADY) as load:
        tree = trees.Tree(load.pid)
        tree.sample(0)
        truth = load.go()["memory"]
        assert near(tree.sample(0).memory_bytes, truth)
        assert truth > 64 * MIB


def test_a_spike_between_two_samples() -> None:
    with Load(SPIKE) as load:
        tree = trees.Tree(load.pid)
        tree.sample(0)
        load.go()
        assert tree.sample(0).memory_bytes < 64 * MIB
        truth = load.go()
        assert near(tree.sample(0).memory_bytes, truth["memory"])
        assert near(tree.memory(rise=False), truth["now"])
        assert truth["memory"] > 112 * MIB
        load.go()
        assert tree.sample(0).memory_bytes < 64 * MIB


def test_pages_shared_by_copy_on_write_count_once() -> None:
    with Load(COW) as load:
        tree = trees.Tree(load.pid)
        tree.sample(0)
        load.go()
        taken = tree.sample(0)
        assert taken.num_processes == 7
        assert 128 * MIB <= taken.memory_bytes <= 128 * MIB * 1.01 + 7 * 2 * MIB
        assert tree.resident > 7 * 128 * MIB
        assert near(tree.sample(0).memory_bytes, taken.memory_bytes)


def test_where_shared_pages_may_not_be_looked_at_their_part_is_taken_to_be_as_before() -> None:
    census = Census()
    with Load(COW) as load:
        tree = trees.Tree(load.pid, census)
        load.go()
        census.look()
        truth = tree.sample(0).memory_bytes
        census.afford(100.0)
        tree._changed = True
        assert near(tree.sample(0).memory_bytes, truth)
        assert not census.afford()


def test_forks_that_come_where_shared_pages_may_not_be_looked_at_raise_no_peak() -> None:
    census = Census()
    with Load(MORE) as load:
        tree = trees.Tree(load.pid, census)
        load.go()
        census.look()
        truth = tree.sample(0).memory_bytes
        assert truth < 64 * MIB * 1.01 + 2 * 16 * MIB
        census.afford(100.0)
        load.go()
        census.look()
        taken = tree.sample(truth)
        assert taken.num_processes == 9
        assert tree.resident > 9 * 64 * MIB
        assert taken.memory_bytes < truth + 9 * 4 * MIB


@pytest.mark.skipif(not procs.same_memory(os.getpid(), os.getpid()), reason="this kernel does not tell")
def test_a_process_between_vfork_and_exec_has_no_memory_of_its_own(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "stopper")
    with Load(VFORK, tmp_path / "stopper") as load:
        tree = trees.Tree(load.pid)
        tree.sample(0)
        truth = load.go()["memory"]
        tree.sample(0)
        assert load.process.stdin is not None
        load.process.stdin.write(b"\n")
        load.process.stdin.flush()
        until(lambda: procs.children(load.pid), "the child")
        taken = tree.sample(0)
        assert taken.num_processes == 2
        assert near(taken.memory_bytes, truth, 8 * MIB)  # parts of Python others share
        assert tree.rise == 0
        assert near(tree.proportional_bytes(), truth, 8 * MIB)
        assert not procs.same_memory(os.getpid(), load.pid)


def test_short_children_are_counted() -> None:
    with Load(SHORT) as load:
        tree = trees.Tree(load.pid)
        tree.sample(0)
        for _ in range(6):
            truth = load.go()["cpu"]
            assert near(tree.sample(0).cpu_s, truth, TICKS_S)
        assert truth > 0.6


def test_children_that_nobody_waits_for_are_counted() -> None:
    with Load(IGNORED) as load:
        tree = trees.Tree(load.pid)
        seen = [tree.sample(0).cpu_s]
        for _ in range(3):
            load.go()
            seen.append(tree.sample(0).cpu_s)
        truth = load.go()["cpu"]
        seen.append(tree.sample(0).cpu_s)
        assert near(seen[-1], truth, TICKS_S)
        assert seen == sorted(seen)


def test_children_that_were_seen_and_waited_for_count_once() -> None:
    with Load(WAITED) as load:
        tree = trees.Tree(load.pid)
        for _ in range(2):
            tree.sample(0)
            load.go()
            assert tree.sample(0).num_processes == 2
            truth = load.go()["cpu"]
            assert near(tree.sample(0).cpu_s, truth, TICKS_S)
        assert tree.lost_cpu_s <= TICKS_S


def test_four_at_a_time() -> None:
    with Load(BATCH) as load:
        tree = trees.Tree(load.pid)
        for _ in range(2):
            load.go()
            taken = tree.sample(0)
            assert taken.num_processes == 5
            assert 96 * MIB <= taken.memory_bytes <= 97 * MIB + 5 * 4 * MIB


@pytest.mark.parametrize("room", [None, 0], ids=("kept", "opened anew"))
def test_a_deep_tree(room: int | None) -> None:
    census = Census()
    if room is not None:
        census._room = room
    with Load(TREE) as load:
        tree = trees.Tree(load.pid, census)
        load.go()
        census.look()
        taken = tree.sample(0)
        assert taken.num_processes == 31
        assert taken.memory_bytes < tree.resident / 2
        assert sorted(tree.processes) == sorted(procs.descendants([load.pid]))


def test_threads_are_no_processes_and_count_once() -> None:
    with Load(THREADS) as load:
        tree = trees.Tree(load.pid)
        load.go()
        tree.sample(0)
        truth = load.go()["cpu"]
        taken = tree.sample(0)
        assert taken.num_processes == 1
        assert near(taken.cpu_s, truth, TICKS_S)
        assert not procs.is_thread(load.pid)


def test_births_are_found_by_their_numbers_alone() -> None:
    census = Census()
    with Load(TREE) as load:
        tree = trees.Tree(load.pid, census)
        tree.look()
        full_at, census._few = census._full_at, 1 << 22
        load.go()
        census.look()
        assert census._full_at == full_at
        assert sorted(tree.processes) == sorted(procs.descendants([load.pid]))
        census._last = None
        census.look()
        assert len(tree.processes) == 31
        tree.close()
        assert not tree.processes


def test_without_proc_a_census_knows_nothing_and_trees_ask_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    with Load(COW) as load:
        load.go()
        monkeypatch.setattr(procs, "PROC", False)
        monkeypatch.setattr(procs, "pids", lambda: 1 / 0)
        census = Census()
        tree = trees.Tree(load.pid, census)
        census.look()
        taken = tree.sample(1 << 40)
        assert (taken.num_processes, tree.processes) == (7, {})
        assert taken.memory_bytes > 128 * MIB
        assert taken.cpu_s > 0
        tree.close()


def test_memory_shared_on_purpose_counts_once() -> None:
    with Load(SHARED) as load:
        tree = trees.Tree(load.pid)
        load.go()
        assert 64 * MIB <= tree.sample(0).memory_bytes <= 65 * MIB + 4 * 3 * MIB
        assert tree.resident > 4 * 64 * MIB


def test_a_mapped_file_is_resident_as_elsewhere_and_a_written_one_is_nobodys(tmp_path: Path) -> None:
    """A process has what it maps; what it has written lies in the cache, and only a cgroup knows whose it is."""
    script = """
file = open(sys.argv[1], "w+b"); file.write(bytes(64 * MIB)); file.flush(); pause(memory=status("VmRSS"))
a = mmap.mmap(file.fileno(), 0); sum(a[at] for at in range(0, len(a), 4096)); pause(memory=status("VmRSS"))
"""
    with Load(script, tmp_path / "file") as load:
        tree = trees.Tree(load.pid)
        tree.sample(0)
        written, mapped = load.go()["memory"], 0
        assert near(tree.sample(0).memory_bytes, written, 64 * MIB)  # with the bytes it wrote from, for a moment
        assert tree.memory(rise=False) < 32 * MIB
        mapped = load.go()["memory"]
        assert near(tree.sample(0).memory_bytes, mapped)
        assert mapped > 64 * MIB


def test_jobs_side_by_side_are_told_apart(torc: Torc, work_dir: Path) -> None:
    lines = {
        1: write(work_dir, "daemon", DAEMON),
        2: write(work_dir, "moment", MOMENT),
        3: write(work_dir, "spawner", SPAWNER),
        4: "ulimit -n > nofile",
        5: write(work_dir, "orphans", ORPHANS),
    }
    monitor = {"resource_monitor": {"sample_interval_seconds": 1}}
    jobs = [job(number, line) for number, line in lines.items()]
    found = {key[0]: end for key, end in ends(work(torc, workflow(work_dir, config=monitor), *jobs)).items()}
    assert 64 * MIB < found[1]["peak_memory_bytes"] < 96 * MIB
    assert 0.5 <= cpu_s(found[1]) < 1.2
    assert 96 * MIB < found[2]["peak_memory_bytes"] < 128 * MIB
    truth = float((work_dir / "truth").read_text())
    assert near(cpu_s(found[3]), truth, 2 * TICKS_S)
    assert found[4]["peak_memory_bytes"] is None or found[4]["peak_source"] == "sampled"
    assert 0.6 <= cpu_s(found[5]) < 1.2
    assert (work_dir / "nofile").read_text().strip() == str(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def test_a_step_in_a_control_group_has_what_the_group_has(tmp_path: Path) -> None:
    with Load("pause()") as load:
        tree = StepTree(1 << 22, b"MARK=1", "9", Census())
        tree.found = True
        tree._memory = tree._cpu = tree._procs = str(tmp_path)
        files = {
            "memory.stat": f"anon {64 * MIB}\nfile {300 * MIB}\nshmem {8 * MIB}\n",
            "memory.peak": f"{400 * MIB}\n",
            "cpu.stat": "usage_usec 2500000\n",
            "cgroup.procs": f"{load.pid}\n",
        }
        for name, said in files.items():
            (tmp_path / name).write_text(said)
        taken = tree.sample(0)
        assert taken == (2.5, 72 * MIB, 1)
        assert (tree.resident, tree.proportional_bytes(), tree.peak_bytes) == (72 * MIB, 72 * MIB, 108 * MIB)
        for name in files:
            (tmp_path / name).unlink()
        assert tree.sample(0)[1:] == (0, 0)
        assert tree.used_s == 2.5


def test_a_step_without_a_control_group_has_what_its_processes_have() -> None:
    census = Census()
    with Load(COW) as load:
        tree = StepTree(1 << 22, b"MARK=1", "9", census)
        assert tree.sample(0) == (0, 0, 0)
        tree.find({load.pid: 1})
        load.go()
        census.look()
        taken = tree.sample(0)
        assert taken.num_processes == 7
        assert 128 * MIB < taken.memory_bytes < 150 * MIB
    census.look()
    assert tree.sample(0).num_processes == 0
    assert tree.used_s > 0


def test_what_was_there_for_a_moment_is_a_peak_but_no_average() -> None:
    usage = Usage(0.0)
    usage.sample(1.0, 0.5, 800, 1, now_bytes=200)
    usage.sample(2.0, 1.5, 200, 1)
    assert (usage.peak_memory_bytes, usage.avg_memory_bytes) == (800, 200)
    assert (usage.last_cpu_percent, usage.peak_cpu_percent) == (100.0, 100.0)


def test_an_average_is_over_time_and_not_over_samples() -> None:
    usage = Usage(0.0)
    for at, size in (0.1, 100), (0.5, 100), (1.0, 100), (10.0, 200):
        usage.sample(at, 0.0, size, 1)
    assert usage.avg_memory_bytes == 190
    first = Usage(5.0)
    assert first.avg_memory_bytes is None
    first.sample(5.0, 0.0, 100, 1)
    assert first.avg_memory_bytes == 100


def test_a_hundredth_of_a_second_more_or_less_makes_no_peak() -> None:
    usage = Usage(0.0)
    for at, cpu in (0.1, 0.09), (0.2, 0.21), (0.5, 0.49):
        usage.sample(at, cpu, 1, 1)
    assert (usage.last_cpu_percent, usage.peak_cpu_percent) == (93.3, 98.0)


@pytest.mark.parametrize(("spare", "wait"), [(0, 0.25), (1 << 30, 0.25), (2 << 30, 0.5), (4 << 30, 1), (64 << 30, 1)])
def test_a_job_that_has_much_memory_left_is_looked_at_less_often(spare: int, wait: float) -> None:
    assert patience_s(spare) == wait


def cpu_s(ended: dict[str, Any]) -> float:
    """Give the CPU time that an attempt's average stands for."""
    return float(ended["avg_cpu_percent"] * ended["exec_time_s"] / 100)


def test_what_nobody_knows_is_null_and_says_why(torc: Torc, work_dir: Path) -> None:
    off = {"resource_monitor": {"enabled": False}}
    jobs = [job(1, "true"), job(2, "x", invocation_script="/no/such/\0")]
    first = ends(work(torc, workflow(work_dir), *jobs))
    short, never = first[1, 1], first[2, 1]
    assert (short["peak_memory_bytes"], short["peak_missing"]) == (None, "too_short")
    assert (never["peak_memory_bytes"], never["peak_missing"]) == (None, "not_run")
    (unseen,) = ends(work(torc, workflow(work_dir, config=off, run_id=2), job(1, "sleep 0.4", run_id=2))).values()
    assert (unseen["peak_memory_bytes"], unseen["peak_missing"]) == (None, "not_monitored")
    line = f"{sys.executable} -c 'bytearray(90 << 20)'"
    (large,) = ends(work(torc, workflow(work_dir, run_id=3), job(1, line, run_id=3))).values()
    assert large["peak_memory_bytes"] > 90 << 20
    assert large["peak_missing"] is None
