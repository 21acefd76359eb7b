"""Actions of a workflow that run commands, each at its trigger, once in a run whichever worker comes first.

A persistent action runs once in every worker. Actions never block other jobs: on_workflow_start holds all jobs back
until it has run, on_jobs_ready those that it names, nothing else waits. What schedules nodes is for torc-regenerate.
"""

import time
from collections.abc import Iterable

from torc_tools.core.board import Board
from torc_tools.flows.worker_chain import Chain
from torc_tools.flows.worker_desk import Desk
from torc_tools.records import Record
from torc_tools.shell import layout, stream
from torc_tools.shell.claims import Claims
from torc_tools.shell.events import Siblings


class Actions:
    """The actions of one worker."""

    def __init__(self, desk: Desk, board: Board, claims: Claims, chains: set[Chain]) -> None:
        """Take the workflow's actions that are still to run."""
        self._desk, self._board, self._claims, self._chains = desk, board, claims, chains
        self.run_id: int = desk.workflow["run_id"]
        self._by_id: dict[int, Record] = {
            action["action_id"]: action for action in desk.workflow.get("actions") or [] if self._to_run(action)
        }
        self._missing: dict[int, set[int]] = {}  # action -> jobs that are not yet ready, or not yet over
        self._of_job: dict[int, list[int]] = {}
        self._fired: set[int] = set()
        self._elsewhere: set[int] = set()  # claimed by another worker and not known to have run
        self.holding = 0  # how many on_workflow_start actions have not run yet

    def begin(self) -> None:
        """Fire what fires at the start; set gates. Call before the board opens."""
        for action in self._of("on_workflow_start"):
            self.holding += 1
            self._fire(action)
        self.fire_all("on_worker_start")
        for action in self._of("on_jobs_ready"):
            self._await(action, gate=True)
        for action in self._of("on_jobs_complete"):
            self._await(action, gate=False)

    def changed(self, ready: Iterable[int], settled: Iterable[int]) -> None:
        """Take in which jobs became ready and which are over; fire what waited for them."""
        if not self._of_job:
            return
        for job_ids, trigger in ((ready, ("on_jobs_ready",)), (settled, ("on_jobs_ready", "on_jobs_complete"))):
            for job_id in job_ids:
                for action_id in self._of_job.get(job_id, ()):
                    if self._by_id[action_id]["trigger_type"] in trigger:
                        self._reached(action_id, job_id)

    def fire_all(self, trigger: str) -> None:
        """Fire the actions of a trigger."""
        for action in self._of(trigger):
            self._fire(action)

    def heard(self, action_id: int, run_id: int) -> None:
        """Take in that a sibling has run an action."""
        if run_id == self.run_id and action_id in self._elsewhere:
            self._elsewhere.discard(action_id)
            self._open(self._by_id[action_id])

    def tick(self, siblings: Siblings | None) -> None:
        """Stop waiting for actions of workers that are gone."""
        if self._elsewhere and (siblings is None or not siblings.alive()):
            for action_id in list(self._elsewhere):
                self.heard(action_id, self.run_id)

    def release(self) -> bool:
        """Let jobs go that an action holds which cannot fire; for a worker with nothing else to do. Say if any went.

        An action waits for all jobs it names; where one of these waits for another, that would last for ever.
        """
        if self.holding or self._elsewhere:
            return False
        held = [job_id for job_id in self._board.gated if self._board.is_ready(job_id)]
        for job_id in held:
            while job_id in self._board.gated:
                self._board.ungate(job_id)
        return bool(held)

    def _to_run(self, action: Record) -> bool:
        if action.get("action_type") != "run_commands":
            return False
        return bool(action.get("persistent")) or action.get("executed_run_id") != self.run_id

    def _of(self, trigger: str) -> list[Record]:
        return [action for action in self._by_id.values() if action["trigger_type"] == trigger]

    def _await(self, action: Record, *, gate: bool) -> None:
        board, action_id = self._board, action["action_id"]
        jobs = [job_id for job_id in action.get("job_ids") or () if job_id in board.jobs and not board.is_over(job_id)]
        self._missing[action_id] = set(jobs)
        for job_id in jobs:
            self._of_job.setdefault(job_id, []).append(action_id)
            if gate:
                board.gated[job_id] = board.gated.get(job_id, 0) + 1
        if not jobs and not gate:
            self._fire(action)

    def _reached(self, action_id: int, job_id: int) -> None:
        missing = self._missing[action_id]
        missing.discard(job_id)
        if not missing and action_id not in self._fired:
            self._fire(self._by_id[action_id])

    def _fire(self, action: Record) -> None:
        """Run an action if this worker is the one to do it."""
        self._fired.add(action["action_id"])
        name = f"action{action['action_id']}.r{self.run_id}"
        if not action.get("persistent") and not self._claims.take(name):
            self._elsewhere.add(action["action_id"])
            return

        def done(code: int, tail: str | None) -> None:
            self._chains.discard(chain)
            self._report(action, code, tail)
            self._open(action)

        path = layout.stdio_path(self._desk.output_dir, (0, 0, 0, 0), "log")
        folder = path[: path.rindex("/")]
        path = f"{folder}/action_wf{self._desk.workflow['workflow_id']}_a{action['action_id']}_r{self.run_id}.log"
        env = {**self._desk.env, "TORC_ACTION_ID": str(action["action_id"])}
        chain = Chain(self._desk, action.get("commands") or [], env, path, done)
        self._chains.add(chain)
        chain.start()

    def _report(self, action: Record, code: int, tail: str | None) -> None:
        workflow_id, action_id = self._desk.workflow["workflow_id"], action["action_id"]
        about = {"workflow_id": workflow_id, "action_id": action_id, "run_id": self.run_id}
        event = {"type": "event", "event": "action", "at": time.time(), **about}
        self._desk.log.write({**event, "return_code": code, "output_tail": tail})
        if code:
            stream.say(f"torc-work: action {action_id} ({action['trigger_type']}) failed with {code}")

    def _open(self, action: Record) -> None:
        """Let go what waited for an action, whatever came of it."""
        if action["trigger_type"] == "on_workflow_start":
            self.holding -= 1
        elif action["trigger_type"] == "on_jobs_ready":
            for job_id in action.get("job_ids") or ():
                self._board.ungate(job_id)
