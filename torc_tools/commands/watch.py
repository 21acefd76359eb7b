"""torc-watch: watch a workflow to its end, recover it where asked, keep it running where asked."""

import argparse
import contextlib
from collections.abc import Sequence

from torc_tools.core import pace
from torc_tools.flows import recovery_hooks, recovery_options, recovery_steps, watcher
from torc_tools.flows.recovery_stages import Request
from torc_tools.shell import layout, lease, options, stream, waking, watchlog

PROG = "torc-watch"


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Watch a workflow until every job is completed or nothing more can be done.")
    options.add_workflow(made)
    made.add_argument("-r", "--recover", action="store_true", help="recover when it ends with failures")
    made.add_argument("-m", "--max-retries", metavar="N", type=options.natural, help="at most N recoveries")
    recovery_options.add(made, runtime_milli=1500)
    made.add_argument("-p", "--poll-interval", metavar="SECONDS", type=options.identifier, default=60,
                      help="between two looks (default: 60); the end of a worker here is seen at once")  # fmt: skip
    made.add_argument("-o", "--output-dir", metavar="DIR", help="of the log (default: the workflow's)")
    made.add_argument("-s", "--show-job-counts", action="store_true", help="print job counts at each look")
    made.add_argument("--once", action="store_true", help="take one step and exit, for cron: 75 while work goes on")
    recovery_options.add_auto_schedule(made)
    made.add_argument("--notify", metavar="CMD", help="give CMD a JSON summary of each recovery and of the end")
    made.add_argument("--metrics", metavar="FILE", help="keep a text file for Prometheus, written at each look")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit status."""
    args = parser().parse_args(argv)
    if args.print:
        from torc_tools.flows import recovery_once

        return recovery_once.show(recovery_options.shown(args), restart=True)
    from torc_tools.flows import watching

    request = recovery_options.request(args)
    seen = recovery_steps.look(request)
    request, workflow = recovery_options.placed(request, args, seen.engine), seen.workflow
    recovery_hooks.check(request)
    stale_s = max(10.0 * args.poll_interval, lease.STALE_S)
    with lease.take(request.store, request.workflow_id, PROG, stale_s) as held, contextlib.ExitStack() as stack:
        path = layout.watch_log(args.output_dir or workflow["output_dir"], request.workflow_id)
        log = stack.enter_context(contextlib.closing(watchlog.WatchLog(path, lazy=args.once)))
        stack.enter_context(log.failures())
        stack.enter_context(waking.interruptible())
        watch = _watch(args, request, held, log, stack)
        return watching.once(watch) if args.once else watching.watch(watch)


def _watch(
    args: argparse.Namespace, request: Request, held: lease.Lease, log: watchlog.WatchLog, stack: contextlib.ExitStack
) -> watcher.Watch:
    from torc_tools.flows import watch_metrics, watch_notices, watch_pane

    policy = _policy(args)
    notices = stack.enter_context(watch_notices.Notices(request, log, args.notify, args.max_retries))
    metrics = watch_metrics.Metrics(request, log, args.metrics, policy)
    show = watch_pane.Showing(request, policy)
    stack.enter_context(show.on(None if args.once else watch_pane.terminal()))
    return watcher.Watch(request, policy, args.show_job_counts, held, log, args.once, [], notices, metrics, show)


def _policy(args: argparse.Namespace) -> pace.Policy:
    return pace.Policy(
        poll_s=args.poll_interval,
        recover=args.recover,
        max_retries=args.max_retries,
        auto_schedule=args.auto_schedule,
        threshold=args.auto_schedule_threshold,
        cooldown_s=args.auto_schedule_cooldown,
        stranded_s=args.auto_schedule_stranded_timeout,
    )


def run() -> None:
    """Run as a console script."""
    stream.run(main, PROG)


if __name__ == "__main__":
    run()
