"""The jobs of a manifest as one worker sees them: which may run now, which wait, which are over.

Ends are told to it, its own worker's and those of siblings; it applies the transition rule and keeps the ready jobs
packed. It knows no clock and no process.
"""

from collections import ChainMap
from collections.abc import Iterable, Sequence

from torc_tools import states
from torc_tools.core.packing import Capacity, Need, Packer
from torc_tools.core.transitions import Unblocker
from torc_tools.records import Record

_FAILED_BEFORE = -1  # stands for a parent that is done and failed before this manifest was made


class Board:
    """Keeps the state of every job of a manifest. `attempt` and `status` are by job id."""

    def __init__(self, jobs: Iterable[Record], capacity: Capacity, nodes: Sequence[Capacity] = ()) -> None:
        """Take checked `job` records. Without `nodes` there is one, and how many nodes a job wants does not count."""
        self.jobs: dict[int, Record] = {job["job_id"]: job for job in jobs}
        self.attempt = {job_id: job["attempt_id"] for job_id, job in self.jobs.items()}
        self.status = {job_id: states.NUMBERS[job["status"]] for job_id, job in self.jobs.items()}
        self.unfit: dict[int, str] = {}  # ready, but not startable here, with the reason
        self.refused: dict[int, str] = {}  # not to be started here when they become ready, with the reason
        self.gated: dict[int, int] = {}  # job -> how many actions must run before it
        self._packer = Packer(capacity, nodes)
        self._counts_nodes = bool(nodes)
        self._open = {job_id for job_id, status in self.status.items() if status not in states.SETTLED}
        self._queued: set[int] = set()  # in the packer, so that no job is in it twice
        self._ready_news: list[int] = []
        self._settled_news: list[int] = []
        self._stuck: set[int] = set()  # jobs whose failure somebody has to judge, and those that wait for them
        self.judged: set[int] = set()  # they ended well, and what they spawned is not judged yet
        self._heard: dict[int, int] = {}  # how jobs ended that are not in the manifest
        self._early: dict[int, list[tuple[int, int, int, bool]]] = {}  # all ends of these, for when they are added
        self._unblocker = Unblocker({}, {}, ())
        self._block(self._open)

    def open(self) -> None:
        """Make the jobs that are ready from the start available; call once, after gates are set."""
        for job_id, status in list(self.status.items()):
            if status == states.READY:
                self._make_ready(job_id)
        self._apply(self._unblocker.settle())

    def add(self, jobs: Iterable[Record]) -> None:
        """Take more checked jobs in, which were spawned; known ones stay as they are."""
        new = {job["job_id"]: job for job in jobs if job["job_id"] not in self.jobs}
        self.jobs.update(new)
        self.attempt.update((job_id, job["attempt_id"]) for job_id, job in new.items())
        self.status.update((job_id, states.NUMBERS[job["status"]]) for job_id, job in new.items())
        self._open.update(job_id for job_id in new if self.status[job_id] not in states.SETTLED)
        self._block(new.keys() & self._open)
        for job_id in new:
            if self.status[job_id] == states.READY:
                self._make_ready(job_id)
        self._apply(self._unblocker.settle())
        for job_id in new:
            for run_id, attempt_id, status, again in self._early.pop(job_id, ()):
                self.end(job_id, run_id, attempt_id, status, again=again)

    def await_verdict(self, job_id: int, run_id: int, attempt_id: int) -> None:
        """Note that an attempt ended well which spawned jobs: it is over once they are judged, by `end`."""
        job = self.jobs.get(job_id)
        if job is None or job_id not in self._open or run_id != job["run_id"] or attempt_id < self.attempt[job_id]:
            return
        self.release(job_id)
        self.status[job_id] = states.RUNNING
        self.judged.add(job_id)

    def take(self, seconds_left: float | None) -> Record | None:
        """Take the next job that fits and reserve its resources; None where none fits."""
        while (taken := self._first(seconds_left)) is not None:
            job_id, fits = taken
            self._queued.discard(job_id)
            if self.status[job_id] != states.READY:
                self._packer.release(job_id)
            elif not fits:
                self._too_long(job_id)
            else:
                self.status[job_id] = states.RUNNING
                return self.jobs[job_id]
        return None

    def place(self, job_id: int) -> list[int]:
        """Give the numbers of the nodes on which a taken job is."""
        return self._packer.place[job_id]

    def release(self, job_id: int) -> None:
        """Give the resources of a taken job back."""
        self._packer.release(job_id)

    def elsewhere(self, job_id: int) -> None:
        """Note that another worker has the job; its resources are given back."""
        self.release(job_id)
        self.status[job_id] = states.RUNNING

    def started(self, job_id: int, run_id: int, attempt_id: int) -> None:
        """Note that another worker says it has a job: the job need not be tried here, nor hold up others."""
        if self.is_ready(job_id) and (run_id, attempt_id) == (self.jobs[job_id]["run_id"], self.attempt[job_id]):
            self.status[job_id] = states.RUNNING

    def put_back(self, job_id: int) -> None:
        """Make a taken job available again: it could not be started now."""
        self.release(job_id)
        self._make_ready(job_id)

    def end(self, job_id: int, run_id: int, attempt_id: int, status: int, *, again: bool) -> None:
        """Note the end of an attempt; `again`: it goes back to ready as the next attempt. Late news changes nothing."""
        job = self.jobs.get(job_id)
        if job is None:
            self._early.setdefault(job_id, []).append((run_id, attempt_id, status, again))
            if not again and status == states.PENDING_FAILED:
                self._await_judgement(job_id)
            if not again and status in states.DONE:
                self._heard[job_id] = status
                self._apply(self._unblocker.finish(job_id, status))  # it ran elsewhere when the manifest was made
            return
        if run_id != job["run_id"] or attempt_id < self.attempt[job_id] or job_id not in self._open:
            return
        self.release(job_id)
        self.judged.discard(job_id)
        if again:
            self.attempt[job_id] = attempt_id + 1
            self._make_ready(job_id)
            return
        self._settle(job_id, status)
        if status in states.DONE:
            self._apply(self._unblocker.finish(job_id, status))
        elif status == states.PENDING_FAILED:
            self._await_judgement(job_id)

    def ungate(self, job_id: int) -> None:
        """Take one gate away from a job; the last one makes it available if it is ready."""
        left = self.gated.get(job_id, 0) - 1
        if left > 0:
            self.gated[job_id] = left
        elif self.gated.pop(job_id, None) and self.status[job_id] == states.READY:
            self._make_ready(job_id)

    def news(self) -> tuple[list[int], list[int]]:
        """Give the jobs that became ready since the last call, gated ones included, and those that are over since."""
        news = self._ready_news, self._settled_news
        self._ready_news, self._settled_news = [], []
        return news

    def waiting(self) -> int:
        """Give how many ready jobs could start here once there is room (a few stale ones may be counted)."""
        return len(self._packer)

    def unsettled(self) -> int:
        """Give how many jobs of the manifest are not over, wherever they run."""
        return len(self._open)

    def is_over(self, job_id: int) -> bool:
        """Say whether a job of the manifest is over; one that is not in it was over before."""
        return job_id not in self._open

    def is_ready(self, job_id: int) -> bool:
        """Say whether a job is ready, gated or not."""
        return self.status.get(job_id) == states.READY

    def startable(self, job_id: int) -> bool:
        """Say whether a job of the manifest has not started, as far as is known here."""
        return self.status.get(job_id) in states.WAITING

    def hopeful(self, *, is_dear: bool = False) -> bool:
        """Say whether a job is open that another worker's news may end or free.

        Where waiting is dear, one that runs elsewhere counts only if a failure would make it ready again by itself.
        """
        return any(self._may_come(job_id, is_dear=is_dear) for job_id in self._open)

    def _may_come(self, job_id: int, *, is_dear: bool) -> bool:
        if job_id in self.unfit or job_id in self._stuck:
            return False
        if job_id in self.judged:
            return True
        runs = self.status[job_id] in states.ACTIVE
        retried = self.jobs[job_id]["failure_handler_id"] is not None
        return (runs and (retried or not is_dear)) or self.status[job_id] in states.WAITING

    def _await_judgement(self, job_id: int) -> None:
        """Note that no news of a worker frees a job any more, nor what waits for it."""
        children: dict[int, list[int]] = {}
        for each in self._open:
            for parent in self.jobs[each]["waits_for"]:
                children.setdefault(parent, []).append(each)
        todo = [job_id]
        while todo:
            held = todo.pop()
            if held not in self._stuck:
                self._stuck.add(held)
                todo += children.get(held, ())

    def _first(self, seconds_left: float | None) -> tuple[int, bool] | None:
        """Take a job out of the packer, after those for which no other job should wait."""

        def waits(job_id: int) -> bool:
            ready = self.status[job_id] == states.READY
            late = seconds_left is not None and (self.jobs[job_id]["runtime_s"] or 0) > seconds_left
            if ready and late:
                self._too_long(job_id)
            if not ready or late:
                self._queued.discard(job_id)
            return ready and not late

        self._packer.drop(waits)
        return self._packer.take(seconds_left)

    def _too_long(self, job_id: int) -> None:
        self.unfit[job_id] = f"its runtime of {self.jobs[job_id]['runtime_s']} s is longer than what is left"

    def _block(self, job_ids: Iterable[int]) -> None:
        """Let jobs that are blocked wait for their parents."""
        parents: dict[int, list[int]] = {}
        for job_id in job_ids:
            job = self.jobs[job_id]
            if self.status[job_id] in (states.BLOCKED, states.UNINITIALIZED):
                parents[job_id] = [*(job["waits_for"]), *([_FAILED_BEFORE] if job["parent_failed"] else [])]
        cancels = {job_id for job_id in parents if self.jobs[job_id]["cancel_on_blocking_job_failure"]}
        known = ChainMap({_FAILED_BEFORE: states.FAILED}, self.status, self._heard)
        self._unblocker.extend(parents, known, cancels)

    def _apply(self, moves: Iterable[tuple[int, int]]) -> None:
        for job_id, status in moves:
            if job_id not in self._open:
                continue  # canceled by name before its parents were done
            if status == states.READY:
                self._make_ready(job_id)
            else:
                self._settle(job_id, status)

    def _make_ready(self, job_id: int) -> None:
        self.status[job_id] = states.READY
        self._ready_news.append(job_id)
        if job_id in self.gated:
            return
        job = self.jobs[job_id]
        nodes = job["num_nodes"] if self._counts_nodes else 1
        need = Need(job["num_cpus"], job["memory_bytes"] or 0, job["num_gpus"], job["runtime_s"] or 0, nodes)
        reason = self.refused.get(job_id) or self._packer.misfit(need)
        if reason is not None:
            self.unfit[job_id] = reason
        elif job_id not in self._queued:
            self._queued.add(job_id)
            self._packer.add(job_id, job["priority"], need)

    def _settle(self, job_id: int, status: int) -> None:
        self.status[job_id] = status
        if status in states.SETTLED:
            self._open.discard(job_id)
            self._settled_news.append(job_id)
