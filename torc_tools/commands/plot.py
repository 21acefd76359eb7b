"""torc-plot: draw samples of jobs and machines, on pages that stand on their own."""

import argparse
from collections.abc import Sequence

from torc_tools import exits
from torc_tools.flows import plotting
from torc_tools.flows.plotting import Wanted
from torc_tools.shell import options, output, plotly_js, stream

PROG = "torc-plot"


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = options.parser(PROG, "Draw what jobs used over time, next to what was asked for: a page for each, and all.")
    made.add_argument(
        "file", metavar="DB", nargs="*", help="databases of samples, or sample records (-: standard input)"
    )
    made.add_argument("-o", "--output-dir", metavar="DIR", default=".", help="where the pages go (default: here)")
    made.add_argument(
        "-p", "--prefix", metavar="P", type=_prefix, default="resource_plot", help="default: resource_plot"
    )
    made.add_argument("-j", "--job-ids", metavar="ID,...", type=options.identifiers, help="only these jobs")
    made.add_argument("--js", choices=plotly_js.MODES, help="default: embed, directory above 50 job pages")
    made.add_argument("-f", "--format", choices=("html", "json"), default="html", help="default: html")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Write pages; give their paths on standard output."""
    args = parser().parse_args(argv)
    found = plotting.collect(args.file, args.job_ids)
    if not found.members and not found.machines:
        how = "torc-sample keeps them with --db or --follow, a job with granularity: time_series"
        stream.say(f"{PROG}: no samples, nothing to plot ({how})")
        return exits.OK
    for path in plotting.write(found, Wanted(args.output_dir, args.prefix, args.format, args.js)):
        output.text([path])
    return exits.OK


def run() -> None:
    """Be the command."""
    stream.run(main, PROG)


def _prefix(text: str) -> str:
    """Read the first part of file names."""
    if not text or "/" in text or not text.isprintable():
        raise argparse.ArgumentTypeError(f"cannot begin the name of a file: {text[:80]!r}")
    return text


if __name__ == "__main__":
    run()
