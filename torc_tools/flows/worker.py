"""The worker: takes ready jobs, runs them, lets their dependents go on, until nothing is left that it could run."""

import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from torc_tools import states
from torc_tools.core import outcome
from torc_tools.core.board import Board
from torc_tools.core.packing import Capacity
from torc_tools.flows.worker_actions import Actions
from torc_tools.flows.worker_chain import Chain
from torc_tools.flows.worker_desk import Desk
from torc_tools.flows.worker_failures import Failures
from torc_tools.flows.worker_jobs import Attempt
from torc_tools.flows.worker_news import News, Others
from torc_tools.flows.worker_signals import Signals
from torc_tools.flows.worker_spawns import Spawns
from torc_tools.records import Record
from torc_tools.shell import layout, stream, trees

if TYPE_CHECKING:
    from torc_tools.flows.worker_steps import Surroundings

TICK_S = 1.0  # siblings' news, cancel, the disk
HEARTBEAT_S = 30.0
SERIES_S = 5.0  # how often samples are written
_FROM_OUTSIDE = (outcome.INTERRUPTED, outcome.END, outcome.CANCELED, outcome.SUPERSEDED)  # no failure of the job
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Terms(NamedTuple):
    """What a worker is given: room, GPUs by name, when its time ends (time.monotonic()), and what a signal means.

    With `around`, jobs are steps of srun. Before `near` a signal is no sign that the time is over.
    """

    capacity: Capacity
    gpus: list[str]
    end: float | None
    stop_at: float | None
    near: float
    around: "Surroundings | None"
    starts_at: float  # when the first job may start


class Worker:
    """One worker; `run` is its whole life."""

    def __init__(self, desk: Desk, jobs: list[Record], terms: Terms, others: Others) -> None:
        """Take checked jobs and everything the worker works with."""
        self.desk, self.terms, self.claims, self.siblings = desk, terms, others.claims, others.siblings
        around = terms.around
        self.board = Board(jobs, terms.capacity, () if around is None else list(around.allocation.nodes.values()))
        self.running: dict[int, Attempt] = {}
        self.chains = set[Chain]()
        self.stopping: str | None = None
        self._gpus = list(terms.gpus)
        self._idle_since: float | None = None
        self._warned: set[str] = set()
        self._former = others.former
        sources = (others.claims, others.siblings)
        self._news = News(self.board, self.running, sources, (self.take_in, self._settle_news))
        self.spawns = Spawns(desk, self.board, others.claims, self._settle_news)
        self._heard = Signals(desk, terms.stop_at, terms.near)
        self._failures = Failures(desk, self.chains, self._report, lambda: self.stopping)
        self.actions = Actions(desk, self.board, self.claims, self.chains)
        desk.loop.stranger, desk.loop.strangers = desk.orphan_ended, desk.look_for_orphans
        desk.loop.before_reap = self._before_reap

    def run(self) -> str:
        """Work; give why it ended: finished, interrupted, time_limit, canceled. What runs does not outlive an error."""
        try:
            return self._work()
        finally:
            self._kill_all()
            trees.kill(pid for pid in trees.adopted() if pid not in self.desk.loop.children())

    def _work(self) -> str:
        loop = self.desk.loop
        self._tick()
        loop.later(HEARTBEAT_S, self._heartbeat)
        loop.later(SERIES_S, self._keep_samples)
        if self.desk.policy.node and self.desk.series is not None:
            self.desk.ticks.watch_machine(self.desk.series)
        if self.terms.stop_at is not None:
            loop.at(self.terms.stop_at, self._end)
        if self._early():
            loop.at(self.terms.starts_at, self._start_jobs)
        self.actions.begin()
        self.board.open()
        self._settle_news()
        self._start_jobs()
        while not self._over():
            loop.turn()
            self._heed_signals()
            self._start_jobs()
        self._last_actions()
        if self.desk.series is not None:
            self.desk.series.close()
            self._say_lost_samples()
        reason = outcome.END if self.stopping is None and self._late() else self.stopping
        return {None: "finished", outcome.END: "time_limit"}.get(reason, str(reason))

    def _before_reap(self, pid: int) -> None:
        """Kill what is left in the group of a first process, while its number cannot belong to anyone else."""
        if pid in self.desk.loop.children():
            trees.kill_group(pid)
        else:
            self.desk.orphan_ends(pid)

    # starting

    def _start_jobs(self) -> None:
        while not (self.stopping or self.actions.holding or self._disk_trouble() or self._early() or self._late()):
            left = None if self.terms.stop_at is None else self.terms.stop_at - time.monotonic()
            job = self.board.take(left)
            if job is None:
                return
            self._claim(job)
            self.desk.loop.reap()
            self._heed_signals()

    def _early(self) -> bool:
        return time.monotonic() < self.terms.starts_at

    def _late(self) -> bool:
        """Say whether nothing new is to be started: the end was announced, or is too near."""
        stop_at = self.terms.stop_at
        near = stop_at is not None and stop_at - time.monotonic() < self.desk.policy.min_time_s
        return self.desk.ending or near

    def _claim(self, job: Record) -> None:
        job_id = job["job_id"]
        attempt_id = self.board.attempt[job_id]
        claim = layout.claim_name(job_id, job["run_id"], attempt_id)
        try:
            if not self.claims.take(claim):
                self.board.elsewhere(job_id)
                return
        except OSError as error:
            self._wait_with(job_id, f"cannot claim job {job_id}: {error.strerror}")
            return
        attempt = self.running[job_id] = self._attempt(job, attempt_id)
        try:
            attempt.start()
        except OSError as error:
            del self.running[job_id]
            self._gpus += attempt.gpus
            self.claims.again(claim)
            self._wait_with(job_id, f"cannot start job {job_id}: {error.strerror}")

    def _attempt(self, job: Record, attempt_id: int) -> Attempt:
        """Make an attempt of a job that the board has given."""
        around = self.terms.around
        if around is not None:
            from torc_tools.flows.worker_steps import Place, StepAttempt  # a machine without Slurm needs none

            names = list(around.allocation.nodes)
            place = Place(around, [names[node] for node in self.board.place(job["job_id"])])
            return StepAttempt(self.desk, job, attempt_id, place, self._job_ended)
        gpus = [self._gpus.pop(0) for _ in range(min(job["num_gpus"], len(self._gpus)))]
        return Attempt(self.desk, job, attempt_id, gpus, self._job_ended)

    def _wait_with(self, job_id: int, trouble: str) -> None:
        """Put a job back that this machine cannot start now; nothing is started before the next tick."""
        self.board.put_back(job_id)
        self.desk.trouble = trouble
        self._warn(trouble, f"{trouble}; starting nothing until that works")

    def _warn(self, trouble: str, words: str) -> None:
        """Say something once for each `trouble`."""
        if trouble not in self._warned:
            self._warned.add(trouble)
            stream.say(f"torc-work: {words}")

    def _disk_trouble(self) -> bool:
        return bool(self.desk.trouble or (self.desk.log.file and self.desk.log.file.trouble))

    # ending

    def _job_ended(self, attempt: Attempt, ended: Record) -> None:
        """Decide what follows an attempt: nothing, a retry after its recovery script, another worker's turn."""
        job_id = attempt.job["job_id"]
        self.desk.trouble = None  # its end may have made room
        self.running.pop(job_id, None)
        self._gpus += attempt.gpus
        self.board.release(job_id)
        if attempt.refused:
            self.board.refused[job_id] = attempt.refused
            stream.say(f"torc-work: job {job_id} ({attempt.job['job_name']}) stays ready: it {attempt.refused}")
        if attempt.requeue:
            ended["next"] = None if attempt.stop_reason == outcome.CANCELED else "requeue"
        elif attempt.stop_reason in _FROM_OUTSIDE:
            if attempt.stop_reason in (outcome.INTERRUPTED, outcome.SUPERSEDED):
                ended["next"] = "requeue"
        elif ended["status"] in ("failed", "terminated"):
            self._failures.follow(attempt, ended)
            return
        self._report(ended)
        if attempt.node_failed and not self.stopping:
            stream.say("torc-work: Slurm calls a node of this allocation failed: leaving")
            self._stop(outcome.INTERRUPTED)

    def _report(self, ended: Record) -> None:
        self.spawns.mark(ended)
        self.desk.log.write(ended)
        self.take_in(ended)

    def take_in(self, event: Record) -> None:
        """Let an event, of this worker or of a sibling, change what may run."""
        if event.get("event") == "ended":
            if self.spawns.holds(event):
                return
            again = event.get("next") in ("retry", "requeue")
            status = states.NUMBERS[event["status"]]
            self.board.end(event["job_id"], event["run_id"], event["attempt_id"], status, again=again)
            self._settle_news()
        elif event.get("event") == "started":
            self.board.started(event["job_id"], event["run_id"], event["attempt_id"])
        elif event.get("event") == "action":
            self.actions.heard(event["action_id"], event["run_id"])

    def _settle_news(self) -> None:
        ready, settled = self.board.news()
        self.actions.changed(ready, settled)
        for job_id in ready:
            if job_id in self.board.unfit and job_id not in self.board.refused:
                self._say_unfit(job_id)

    def _say_unfit(self, job_id: int) -> None:
        job, reason = self.board.jobs[job_id], self.board.unfit[job_id]
        about = {"workflow_id": job["workflow_id"], "job_id": job_id, "run_id": job["run_id"]}
        self.desk.log.write({"type": "event", "event": "unfit", "at": time.time(), **about, "reason": reason})
        self._warn(reason, f"job {job_id} ({job['job_name']}) stays ready: it {reason}")

    # leaving

    def _over(self) -> bool:
        if self.running or self.chains:
            self._idle_since = None
            return False
        if self.stopping or self._late():
            return True
        if self._early() or (self._former is not None and self._former.waiting):
            return False
        if self._disk_trouble() and self.board.waiting():
            return not self._patient()
        self._news.read_siblings()
        if self.board.waiting() or self.actions.release():
            self._start_jobs()
            return self._over() if self.running or self.chains else not self._siblings_may_help()
        return not self._siblings_may_help()

    def _siblings_may_help(self) -> bool:
        """Say whether news of a living sibling may still free a job, and the time to wait for it is not over.

        Nodes are not held idle only because a sibling may die and leave its jobs.
        """
        hopeful = self.board.hopeful(is_dear=self.desk.in_allocation)
        alive = bool(self.siblings and hopeful and self.siblings.alive())
        return (alive or bool(self.board.judged)) and self._patient()

    def _patient(self) -> bool:
        """Say whether this worker, which has nothing to do, has waited less than it may."""
        now = time.monotonic()
        self._idle_since = self._idle_since or now
        return now - self._idle_since < max(self.desk.policy.wait_s, self.spawns.patience_s())

    def _last_actions(self) -> None:
        """Run what is to run at the end; a signal ends that, too."""
        if self.stopping not in (None, outcome.END):
            return
        for trigger in ("on_workflow_complete",) * (not self.board.unsettled()) + ("on_worker_complete",):
            self.actions.fire_all(trigger)
            while self.chains:
                self.desk.loop.turn()
                self._heed_signals()

    def _end(self) -> None:
        """End what runs: the time is over."""
        if not self.stopping:
            self._stop(outcome.END)

    def _stop(self, reason: str) -> None:
        """Start nothing more, and end what runs; a second time: at once."""
        if self.stopping:
            self._kill_all()
            return
        self.stopping = reason
        if self.desk.in_allocation:
            self._heard.note(reason, len(self.running))
        for attempt in list(self.running.values()):
            attempt.stop(reason)
        for chain in list(self.chains):
            chain.stop(self.desk.policy.lead_s)

    def _kill_all(self) -> None:
        for attempt in list(self.running.values()):
            attempt.kill()
        for chain in list(self.chains):
            chain.kill()

    def _heed_signals(self) -> None:
        for reason in self._heard.reasons(self.stopping):
            self._stop(reason)

    # now and then

    def _tick(self) -> None:
        self.desk.loop.later(TICK_S, self._tick)
        self.desk.trouble = None  # try again
        if self.claims.canceled() and not self.stopping:
            self._stop(outcome.CANCELED)
        self.spawns.read()
        self._news.read()
        for ended in self._former.news(self.board.jobs) if self._former else ():
            self._report(ended)
        if not self.stopping and self.claims.superseded(self.desk.workflow["run_id"]):
            stream.say("torc-work: the workflow is in a later run: leaving")
            self._stop(outcome.SUPERSEDED)
        self.actions.tick(self.siblings)
        file = self.desk.log.file
        if file is not None:
            if file.retry():
                file.sync()
            else:
                self._warn(str(file.trouble), f"cannot write events: {file.trouble}; starting nothing until that works")

    def _keep_samples(self) -> None:
        series = self.desk.series
        if series is not None:
            self.desk.loop.later(SERIES_S, self._keep_samples)
            series.flush()
            self._say_lost_samples()

    def _say_lost_samples(self) -> None:
        trouble = self.desk.series.trouble if self.desk.series is not None else None
        if trouble:
            self._warn(trouble, f"cannot write samples: {trouble}")

    def _heartbeat(self) -> None:
        self.desk.loop.later(HEARTBEAT_S, self._heartbeat)
        about = {"workflow_id": self.desk.workflow["workflow_id"], "running": len(self.running)}
        self.desk.log.write({"type": "event", "event": "heartbeat", "at": time.time(), **about})
