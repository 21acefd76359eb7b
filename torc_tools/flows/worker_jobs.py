"""One attempt of a job: its start, its limits, its samples, its end."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torc_tools import states
from torc_tools.core import outcome, usage
from torc_tools.core.usage import Usage
from torc_tools.flows.worker_desk import Desk, after_lead
from torc_tools.flows.worker_ticks import NEVER
from torc_tools.records import Record
from torc_tools.series import Gpu
from torc_tools.shell import launch, procs, spawnfile, trees

if TYPE_CHECKING:
    from torc_tools.shell.gpus import Gpus

_CANNOT_START, _NOT_FOUND = 126, 127

Done = Callable[["Attempt", Record], None]


class Attempt:
    """A running attempt. `done` is called once with the `ended` event, the next step still to be decided."""

    def __init__(self, desk: Desk, job: Record, attempt_id: int, gpus: list[str], done: Done) -> None:
        """Take a job that is claimed, the devices it may use, and who wants to hear of its end."""
        self.desk, self.job, self.attempt_id, self.gpus, self._done = desk, job, attempt_id, gpus, done
        self.stop_reason: str | None = None
        self.ended = False
        self.requeue = False  # nothing of it ran: the job is as ready as before
        self.refused: str | None = None  # why this worker is not to try the job again
        self.node_failed = False  # Slurm has given up the node, and the allocation with it
        self._killed = False
        self._warned_at: float | None = None
        policy = desk.policy
        self._mode = {**policy.stdio, **policy.stdio_of.get(job["job_name"], {}), **(job["config"].get("stdio") or {})}
        self._out: launch.Output = launch.output(self._mode.get("mode", "separate"), desk.stem(job, attempt_id))
        self.limit = job["memory_bytes"] if desk.policy.limit_memory else None
        self.look_at = self.sample_at = NEVER
        self._shared_above = 0  # resident memory at which shared pages were found to make the difference
        self._most = 0  # memory since the last sample
        self._kept = 0  # the most memory of a sample in the series
        self._meter: Gpus | None = None

    def start(self) -> None:
        """Start the command; one that cannot be started has ended. Raises OSError where the machine is in the way."""
        job, desk = self.job, self.desk
        self.started_at, self.began = time.time(), time.monotonic()
        self.usage = Usage(self.began)
        script = job["invocation_script"]
        command = f"{script} {job['command']}" if script else job["command"]
        env = desk.job_env(job, self.attempt_id, self.gpus)
        before = launch.boot_ticks()
        self._mark = f"TORC_JOB_MARK={env['TORC_JOB_MARK']}".encode()
        if "TORC_SPAWN" in env:
            spawnfile.drop(env["TORC_SPAWN"])
        try:
            self.pid = self._launch(command, env)
        except (OSError, ValueError) as error:
            if launch.of_machine(error):
                raise
            self._not_started(error)
            return
        self._tree = self._grown()
        if self._adopts():
            desk.trees[self._mark] = self._tree
        desk.loop.child(self.pid, self._over)
        start = launch.start_ticks(self.pid, before)
        desk.log.write(self._event("started", self.started_at, pid=self.pid, pid_start=start))
        if desk.series is not None and desk.policy.series:
            desk.series.begin(job, self.attempt_id, self.started_at)
        self._watch()

    def _launch(self, command: str, env: dict[str, str]) -> int:
        """Start the first process; give its pid."""
        return self.desk.shell.start(command, env, self._out)

    def _grown(self) -> trees.Tree:
        """Give what the processes are seen by."""
        watched = self.limit or self.desk.policy.monitor
        return trees.Tree(self.pid, self.desk.census, self._mark) if watched else trees.Tree(self.pid)

    def _adopts(self) -> bool:
        """Say whether a process of the job that loses its parent becomes ours."""
        return True

    def _look_around(self) -> None:
        """Bring what is known of the job's processes up to date."""
        self.desk.look_for_orphans()

    def _used_time(self) -> float:
        """Give how long the job has run, or ran."""
        return time.monotonic() - self.began

    def stop(self, reason: str) -> None:
        """Send the termination signal, and SIGKILL after the lead; the first reason counts."""
        if self.ended or self.stop_reason is not None:
            return
        self.stop_reason, self._warned_at = reason, time.time()
        self._signal(self.desk.policy.termination_signal)
        after_lead(self.desk, self.desk.policy.lead_s, lambda: self.ended, self.kill)

    def kill(self) -> None:
        """Kill all processes of the job now."""
        if not self.ended:
            self._killed = True
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        self._look_around()
        self._tree.signal(number)

    def _watch(self) -> None:
        """Set the end of the runtime, and have the job looked at."""
        policy, loop, job = self.desk.policy, self.desk.loop, self.job
        if policy.limit_runtime and job["runtime_s"]:
            loop.at(self.began + job["runtime_s"], lambda: self.stop(outcome.RUNTIME))
        if self.limit or policy.monitor:
            self.desk.ticks.watch(self, began=self.began)

    def find(self) -> None:
        """Bring up to date what is found but now and then."""

    def look(self, now: float, *, sample: bool) -> None:
        """Look at what the job uses, compare its memory with its limit, and take a `sample` if it is time for one."""
        self._tree.look()
        size = self._tree.memory(self.usage.peak_memory_bytes or 0)
        self.usage.memory(size)
        self._most = max(self._most, size)
        if sample and self._tree.alive:
            taken = trees.Sample(self._tree.cpu_s, self._most, self._tree.alive)
            self.usage.sample(now, *taken, now_bytes=self._tree.memory(self._most, rise=False))
            self._most = 0
            self._keep(self.usage.last_cpu_percent, *taken[1:])
        if self.limit and not self._killed:
            self._hold(self.limit)

    def _keep(self, cpu_percent: float | None, memory_bytes: int, num_processes: int) -> None:
        """Put a sample taken now into the series, where there is one."""
        if self.desk.series is not None and self.desk.policy.series:
            attempt = (self.job["job_id"], self.attempt_id)
            self.desk.series.add(attempt, cpu_percent, memory_bytes, num_processes, self._gpu())
            self._kept = max(self._kept, memory_bytes)

    def _keep_peak(self, peak_bytes: int | None) -> None:
        """Put a peak that came after the last sample, such as what the job was killed for, into the series."""
        if (peak_bytes or 0) > self._kept:
            self._keep(None, peak_bytes or 0, max(1, self._tree.alive))

    def _gpu(self) -> Gpu:
        """Give what the job uses of its GPUs."""
        if not self.job["num_gpus"]:
            return None, None
        if self._meter is None:
            from torc_tools.shell.gpus import Gpus  # a job without GPUs needs none

            self._meter = Gpus()
        return self._meter.tree(self._tree.processes or self._tree.members())

    def spare(self) -> int:
        """Give how much memory the job had left at the last look."""
        return max(0, (self.limit or 0) - self._tree.resident)

    def _hold(self, limit: int) -> None:
        """Kill the job if its memory is above the limit."""
        size = self._tree.resident
        if size <= max(limit, self._shared_above):
            return
        size = self._tree.proportional_bytes()
        self._shared_above = self._tree.resident + limit // 50 if size <= limit else 0
        if size > limit:
            self.usage.memory(size)
            self.stop_reason = outcome.MEMORY
            after_lead(self.desk, 0.1, lambda: self.ended, self.kill)
            self.kill()

    def _over(self, exit_code: int, rusage: Any) -> None:
        """Take in the end of the first process; what it left behind dies with it."""
        exec_time = self._used_time()
        self.ended = True
        self.desk.ticks.forget(self)
        self.desk.trees.pop(self._mark, None)
        self._left_cpu_s = self._tree.left_cpu_s()
        trees.kill(self.desk.orphanage.leave(self._tree))
        self.desk.look_for_orphans()
        result = outcome.outcome(exit_code, self.stop_reason, self.desk.policy.codes, killed=self._killed)
        if result.status == states.COMPLETED and self._missing():
            result = outcome.Outcome(states.FAILED, 1, "missing_output")
        ended = self._ended(result, exec_time)
        ended["signal"] = -exit_code if exit_code < 0 else None
        ended.update(self._used(exec_time, rusage))
        self._done(self, self._with_log(ended))

    def _not_started(self, error: Exception) -> None:
        self.ended = True
        code = _NOT_FOUND if isinstance(error, FileNotFoundError) else _CANNOT_START
        ended = self._ended(outcome.Outcome(states.FAILED, code, "launch_failed"), 0.0)
        ended["log_tail"] = f"cannot start the command: {getattr(error, 'strerror', None) or error}"
        self._done(self, ended)

    def _ended(self, result: outcome.Outcome, exec_time: float) -> Record:
        """Make the `ended` event with nothing measured yet."""
        job = self.job
        return self._event(
            "ended",
            self.started_at + exec_time,
            status=states.NAMES[result.status],
            return_code=result.return_code,
            started_at=self.started_at,
            ended_at=self.started_at + exec_time,
            exec_time_s=round(exec_time, 6),
            peak_memory_bytes=None,
            avg_memory_bytes=None,
            peak_cpu_percent=None,
            avg_cpu_percent=None,
            peak_source=None,
            peak_missing=usage.NOT_RUN,
            memory_bytes=job["memory_bytes"],
            runtime_s=job["runtime_s"],
            num_cpus=job["num_cpus"],
            reason=result.reason,
            signal=None,
            warned_at=self._warned_at,
            log_tail=None,
            next=None,
        )

    def _used(self, exec_time: float, rusage: Any) -> Record:
        cpu = max(rusage.ru_utime + rusage.ru_stime + self._left_cpu_s, self._tree.cpu_s)
        used = self.usage.whole(cpu, exec_time, rusage.ru_maxrss * 1024, procs.own_peak_bytes())
        if used["peak_missing"] and not self.desk.policy.monitor:
            used["peak_missing"] = usage.NOT_MONITORED
        self._keep_peak(used["peak_memory_bytes"])
        self._tree.close()
        return used

    def _with_log(self, ended: Record) -> Record:
        if ended["status"] != "completed":
            ended["log_tail"] = launch.tail(self._out[1])
        elif self._mode.get("delete_on_success"):
            for path in {path for path in self._out if path}:
                with contextlib.suppress(OSError):
                    os.unlink(path)
        return ended

    def _missing(self) -> bool:
        return not all(os.path.exists(path) for path in self.job["output_files"])

    def _event(self, kind: str, at: float, **facts: Any) -> Record:
        job = self.job
        return {
            "type": "event",
            "event": kind,
            "at": at,
            "workflow_id": job["workflow_id"],
            "job_id": job["job_id"],
            "run_id": job["run_id"],
            "attempt_id": self.attempt_id,
            **facts,
        }
