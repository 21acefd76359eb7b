"""torc-recover: recover failed jobs once: settle orphans, diagnose, plan, change, reset, and run the workflow again."""

import argparse
from collections.abc import Sequence

from torc_tools.flows import recovery_hooks, recovery_limits, recovery_once, recovery_options, recovery_steps
from torc_tools.shell import lease, options, stream

PROG = "torc-recover"


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Recover the failed jobs of a workflow, once, and run it again.")
    options.add_workflow(made)
    recovery_options.add(made, runtime_milli=1400)
    options.add_dry_run(made)
    made.add_argument("-i", "--interactive", action="store_true", help="edit the adjustments in $VISUAL or $EDITOR")
    made.add_argument("--no-run", action="store_true", help="stop after the reset")
    made.add_argument("-o", "--output-dir", metavar="DIR", help="the workflow's output directory; another is refused")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit status."""
    made = parser()
    args = made.parse_args(argv)
    if args.interactive and args.dry_run:
        made.error("-i edits what is applied, and --dry-run applies nothing")
    if args.print:
        return recovery_once.show(recovery_options.shown(args), restart=not args.no_run)
    request = recovery_options.request(args)
    seen = recovery_steps.look(request)
    request = recovery_limits.capped(recovery_options.placed(request, args, seen.engine))
    recovery_options.same_folder(args.output_dir, seen.workflow)
    if args.dry_run:
        from torc_tools.flows import recovery_preview  # what is done in earnest needs none

        return recovery_preview.preview(request, restart=not args.no_run)
    recovery_hooks.check(request)
    with lease.take(request.store, request.workflow_id, PROG) as held:
        outcome = recovery_once.recover(request, held, interactive=args.interactive, restart=not args.no_run)
    return recovery_once.restart(request, outcome) if outcome.restart else outcome.status


def run() -> None:
    """Run as a console script."""
    stream.run(main, PROG)


if __name__ == "__main__":
    run()
