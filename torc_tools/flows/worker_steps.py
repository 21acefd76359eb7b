"""An attempt that runs as a step of srun: how it is asked for, its signals, what srun said of its end.

A step that could not be made is asked for again after a while; then the job is ready again as the next attempt, and
nobody is charged for it.
"""

import os
import re
import time
from typing import Any, NamedTuple

from torc_tools import states
from torc_tools.core import outcome, slurmvalues, steps, usage
from torc_tools.core.outcome import Outcome
from torc_tools.core.usage import cpu_percent
from torc_tools.flows.worker_desk import Desk
from torc_tools.flows.worker_jobs import Attempt, Done
from torc_tools.records import Record
from torc_tools.shell import endnotes, launch, trees
from torc_tools.shell import steps as srun

TRIES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)  # how long after a step could not be made it is asked for again
_HUSH_S = 0.7  # how long the word may take that the allocation, not the job, was told to end
_DIED = (130, 137, 143)  # by INT, KILL, TERM
_TOLD = re.compile(r"\*\*\* STEP \S+ .*CANCELLED AT (?:.*DUE TO ([A-Z ]+) \*\*\*)?")
_OOM = re.compile(r"slurmstepd\S*: .*oom[-_ ]kill", re.IGNORECASE)


class Surroundings(NamedTuple):
    """What steps need to know of the allocation. Times are of time.monotonic()."""

    allocation: steps.Allocation
    finder: srun.Finder
    end: float | None
    headroom_s: float


class Place(NamedTuple):
    """Where a step goes: on these nodes; of several it runs on the first and has all."""

    around: Surroundings
    nodes: list[str]


class StepAttempt(Attempt):
    """An attempt as a step."""

    _tree: srun.StepTree

    def __init__(self, desk: Desk, job: Record, attempt_id: int, place: Place, done: Done) -> None:
        """Take a job that is claimed, and where it is to run."""
        super().__init__(desk, job, attempt_id, [], done)
        self._around, self._nodes = place
        self._name = slurmvalues.step_name(job["workflow_id"], job["job_id"], job["run_id"], attempt_id)
        self._tries = 0
        self._asked: tuple[str, dict[str, str]] = ("", {})
        self._words = srun.Words()
        self._said = steps.said("")
        self._bytes, self.limit = self.limit, None  # Slurm holds it, where it can
        self._unsure = True  # whether Slurm can
        self._ended_after: float | None = None
        self._warned_for: str | None = None
        self._note = endnotes.path(desk.output_dir, job["workflow_id"], (job["job_id"], job["run_id"], attempt_id))
        self._left = endnotes.Note()  # what it says, once srun has ended

    def _launch(self, command: str, env: dict[str, str]) -> int:
        """Start srun."""
        self._asked = command, env
        srun.place(self._out)
        outer, settings = steps.apart(env, os.environ)
        around, policy, job = self._around, self.desk.policy, self.job
        left = None if around.end is None else around.end - time.monotonic()
        wide = len(self._nodes) > 1
        step = steps.Step(
            allocation=around.allocation.job_id,
            name=self._name,
            node=self._nodes[0] if len(around.allocation.nodes) > 1 else None,
            num_cpus=max(1, job["num_cpus"]),
            memory_bytes=None if wide else self._bytes,
            num_gpus=0 if wide else job["num_gpus"],
            no_gpus=around.allocation.has_gpus and not wide,
            minutes=steps.minutes(job["runtime_s"] if policy.limit_runtime else None, left, around.headroom_s),
            overlap=wide,
            bind=policy.cpu_bind,
            mpi=policy.mpi,
        )
        line = (steps.wide(self._nodes) if wide else "") + settings + command
        bash = self.desk.shell.bash
        words = srun.command(line, f"{self.desk.stem(job, self.attempt_id)}.sh", bash)
        words = endnotes.noting(words, self._note, bash, private="SHELLOPTS" not in env)
        return srun.start(steps.argv(step, self._out, words), outer, self._words)

    def _grown(self) -> srun.StepTree:
        tree = srun.StepTree(self.pid, self._mark, self._around.allocation.job_id, self.desk.census)
        self._around.finder.want(tree)
        return tree

    def _adopts(self) -> bool:
        return False

    def _watch(self) -> None:
        """Set, with all else, when the job's own warning comes."""
        super()._watch()
        if not self.desk.policy.monitor:
            self.desk.loop.later(0.1, self._find)
        if self.desk.policy.warning is None:
            return
        number, seconds = self.desk.policy.warning
        ends = []
        if self.desk.policy.limit_runtime and self.job["runtime_s"]:
            ends.append((self.began + self.job["runtime_s"], outcome.RUNTIME))
        if self._around.end is not None:
            ends.append((self._around.end - self._around.headroom_s, outcome.END))
        if ends:
            when, why = min(ends)
            self.desk.loop.at(max(self.began, when - seconds), lambda: self._warn(number, why))

    def _warn(self, number: int, why: str) -> None:
        if not self.ended and self.stop_reason is None:
            self._warned_for, self._warned_at = why, time.time()
            self._signal(number)

    def _find(self) -> None:
        """Look for the step's processes until they are found."""
        if not self.ended and self._unsure:
            self._look_around()
            self.desk.loop.later(0.5, self._find)

    def find(self) -> None:
        """Find the step's processes, if they were not found yet."""
        self._look_around()

    def _look_around(self) -> None:
        if not self._tree.found:
            self._around.finder.look()
        if self._tree.found and self._unsure:  # a look for another step may have found this one, too
            self._unsure = False
            if self._bytes and not self._tree.limited():
                self.limit = self._bytes
                self.desk.ticks.watch(self, began=time.monotonic())

    def stop(self, reason: str) -> None:
        """Send the termination signal; a step that is not made yet is not made any more."""
        if not self.ended and self.stop_reason is None and steps.said(self._words.text()).waiting:
            self.stop_reason = reason
            self.kill()
            return
        super().stop(reason)

    def kill(self) -> None:
        """Kill the step: its processes here, and through srun all of it."""
        if not self.ended:
            self._killed = True
            self._look_around()
            self._tree.signal(9)
            trees.send(self.pid, 15)

    def _signal(self, number: int) -> None:
        self._look_around()
        if self._tree.found:
            self._tree.signal(number)
        else:
            self._signal_afar(number)

    def _signal_afar(self, number: int) -> None:
        """Send a signal to a step of which no process is here, through Slurm."""
        job = self._around.allocation.job_id
        plain = "unset ${!SQUEUE_@} ${!SCANCEL_@}"  # which change what these say and do
        find = f"{plain}; squeue --noheader --steps --jobs={job} --format='%i %j' | while read -r step name; do"
        line = f'{find} if [ "$name" = {self._name} ]; then exec scancel --signal={number} "$step"; fi; done'
        try:
            pid = self.desk.shell.start(line, os.environ, (None, None))
        except OSError:
            return  # the lead ends, and srun does it
        self.desk.loop.child(pid, lambda _code, _rusage: None)

    def _over(self, exit_code: int, rusage: Any) -> None:
        """Find out what the end of srun means for the job."""
        said = self._said = steps.said(self._words.text())
        self.node_failed = said.node_failed
        if self.node_failed:
            self._look_around()
        self._around.finder.forget(self._tree)
        self._ended_after = self._used_time()
        self._left = endnotes.read(self._note)
        if exit_code < 0 or (said.node_failed and not said.ended):  # srun has given the step up, and it may live
            self._tree.signal(9)
            self._signal_afar(9)
            self._not_made(Outcome(states.FAILED, states.LOST_CODE, "launch_failed"), again=False)
        elif exit_code and not said.ended and not said.oom and not self._tree.found:
            self._not_made(Outcome(states.FAILED, exit_code, "launch_failed"), again=not said.never)
        elif self.stop_reason is None and not said.oom and (exit_code in _DIED or self._left.told):
            self._heed(exit_code, rusage)
        else:
            self._decide(exit_code, rusage)

    def _heed(self, exit_code: int, rusage: Any) -> None:
        """Wait a moment: when an allocation is told to end, its steps may hear of it before this worker does."""
        told = _TOLD.search(launch.tail(self._out[1]) or "")
        if told and told[1] == "TIME LIMIT":
            self.stop_reason = outcome.END
        elif told and told[1]:
            self.stop_reason = outcome.INTERRUPTED
        if self.stop_reason is not None:
            self._decide(exit_code, rusage)
        else:
            self.desk.loop.later(_HUSH_S, lambda: self._decide(exit_code, rusage))

    def _decide(self, exit_code: int, rusage: Any) -> None:
        if exit_code and self.stop_reason is None:
            if self._said.oom or _OOM.search(launch.tail(self._out[1]) or ""):
                self.stop_reason = outcome.MEMORY
            elif self._warned_for:
                self.stop_reason = self._warned_for
        by_signal = self._said.by_signal or self._left.by_signal
        super()._over(128 - exit_code if by_signal and exit_code > 128 else exit_code, rusage)
        self._words.close()
        endnotes.drop(self._note)

    def _not_made(self, result: Outcome, *, again: bool) -> None:
        """Ask for the step again after a while, or give up: then another worker, or this one later, may have it."""
        if again and self.stop_reason is None and self._tries < len(TRIES_S):
            self.desk.loop.later(TRIES_S[self._tries], self._once_more)
            self._tries += 1
            return
        self.ended = self.requeue = True
        self.desk.ticks.forget(self)
        self.desk.trees.pop(self._mark, None)
        if self.stop_reason is None:
            self.refused = f"could not be started as a step: {self._said.words or 'srun gave no reason'}"
        else:
            result = Outcome(
                states.CANCELED if self.stop_reason == outcome.CANCELED else states.TERMINATED, *result[1:]
            )
            result = result._replace(reason=self.stop_reason)
        ended = self._ended(result, 0.0)
        ended["log_tail"] = self._said.words
        self._words.close()
        self._done(self, ended)

    def _once_more(self) -> None:
        if self.stop_reason is not None:
            self._not_made(Outcome(states.FAILED, 1, "launch_failed"), again=False)
            return
        self._words.close()
        self._words = srun.Words()
        self._ended_after = None
        self.began, self.started_at = time.monotonic(), time.time()
        try:
            self.pid = self._launch(*self._asked)
        except OSError as error:
            self._said = self._said._replace(words=error.strerror)
            self._not_made(Outcome(states.FAILED, 1, "launch_failed"), again=True)
            return
        self._tree = self._grown()
        self.desk.loop.child(self.pid, self._over)

    def _used_time(self) -> float:
        """Give how long the job ran: from its own start, where that was seen, not from srun's."""
        if self._ended_after is not None:
            return self._ended_after
        whole = time.monotonic() - self.began
        if self._tree.start_ticks is not None:
            own = launch.seconds_since(self._tree.start_ticks)
            if 0 <= own < whole:
                self.started_at += whole - own
                return own
        return whole

    def _used(self, _exec_time: float, _rusage: Any) -> Record:
        seen, tree = self.usage, self._tree
        peak = max(filter(None, (seen.peak_memory_bytes, tree.peak_bytes)), default=None)
        average = None if tree.seen_at is None else cpu_percent(tree.used_s, tree.seen_at - self.began)
        peaks = [value for value in (seen.peak_cpu_percent, average) if value is not None]
        self._keep_peak(peak)
        tree.close()
        return {
            "peak_memory_bytes": peak,
            "avg_memory_bytes": seen.avg_memory_bytes,
            "peak_cpu_percent": max(peaks) if peaks else None,
            "avg_cpu_percent": average,
            "peak_source": None if peak is None else "kernel" if peak == tree.peak_bytes else "sampled",
            "peak_missing": usage.NOT_SEEN if peak is None else None,
        }

    def _event(self, kind: str, at: float, **facts: Any) -> Record:
        event = super()._event(kind, at, **facts)
        event["slurm_job_id"], event["slurm_step_name"] = self._around.allocation.job_id, self._name
        if kind == "ended" and self._said.words:
            event["srun_said"] = self._said.words
        return event
