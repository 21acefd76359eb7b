"""What follows a failed attempt: nothing, a retry, a retry after its recovery script."""

import time
from collections.abc import Callable

from torc_tools.core import handlers, outcome
from torc_tools.flows.worker_chain import Chain
from torc_tools.flows.worker_desk import Desk
from torc_tools.flows.worker_jobs import Attempt
from torc_tools.records import Record


class Failures:
    """Applies the failure handlers of a workflow."""

    def __init__(
        self, desk: Desk, chains: set[Chain], report: Callable[[Record], None], stopping: Callable[[], str | None]
    ) -> None:
        """Take who is to hear of an end once it is decided, and who knows why the worker is about to stop."""
        self._desk, self._chains, self._report, self._stopping = desk, chains, report, stopping

    def follow(self, attempt: Attempt, ended: Record) -> None:
        """Decide what follows a failure, and report it: at once, or after the recovery script."""
        verdict = handlers.verdict(self._rules(attempt.job), ended["return_code"], attempt.attempt_id)
        if verdict.retry and verdict.recovery_script:
            self._recover(attempt, ended, verdict.recovery_script)
            return
        if verdict.retry:
            ended["next"] = "retry"
        elif not verdict.matched and self._desk.policy.use_pending_failed:
            ended["status"] = "pending_failed"
        self._report(ended)

    def _rules(self, job: Record) -> list[Record]:
        handler = (self._desk.workflow.get("failure_handlers") or {}).get(str(job["failure_handler_id"]))
        return list((handler or {}).get("rules") or [])

    def _recover(self, attempt: Attempt, ended: Record, script: str) -> None:
        """Run the recovery script; the job may be claimed again only after it has succeeded."""
        if self._stopping():
            ended["next"] = self._interrupted()
            self._report(ended)
            return
        env = {
            **self._desk.job_env(attempt.job, attempt.attempt_id, attempt.gpus),
            "TORC_RETURN_CODE": str(ended["return_code"]),
        }
        for name in ("TORC_JOB_MARK", "TORC_SPAWN"):
            env.pop(name, None)

        def done(code: int, _tail: str | None) -> None:
            self._chains.discard(chain)
            event = {key: ended[key] for key in ("type", "workflow_id", "job_id", "run_id", "attempt_id")}
            self._desk.log.write({**event, "event": "recovery_script", "at": time.time(), "return_code": code})
            ended["next"] = self._interrupted() if code and self._stopping() else None if code else "retry"
            self._report(ended)

        path = f"{self._desk.stem(attempt.job, attempt.attempt_id)}.recovery.log"
        chain = Chain(self._desk, [script], env, path, done)
        self._chains.add(chain)
        chain.start(self._desk.policy.script_timeout_s)

    def _interrupted(self) -> str | None:
        """Give what follows a failure whose recovery script this worker's end cuts short: not the job's failure."""
        return None if self._stopping() == outcome.CANCELED else "requeue"
