"""The sections of the page with its drawings and tables: time line, hours, what was used, all jobs."""

from torc_tools.core import morning_charts, morning_usage, morning_words
from torc_tools.core import morning_parts as parts
from torc_tools.core.markup import Markup, el
from torc_tools.core.morning import Night
from torc_tools.core.morning_charts import Write
from torc_tools.core.morning_hours import Hours
from torc_tools.core.morning_usage import Row, Use


def timeline(night: Night) -> Markup | None:
    """Draw the attempts; None where no start is known."""
    if not any(each.started_at is not None for each in night.attempts):
        return None
    canvas = el("canvas", tabindex="0", role="img", aria_label="Every attempt as a bar, from its start to its end")
    controls = el(
        "div",
        el("div", class_="legend", id_="kinds"),
        el("button", "Whole night", type="button", id_="whole", hidden=True),
    )
    note = "Every attempt from its start to its end. Drag to look closer; point at one to see the others of its job."
    return parts.section("timeline", "Time line", controls, el("div", canvas, class_="drawing"), note=note)


def hours(went: Hours) -> Markup | None:
    """Say where the work went; None where there was none."""
    if went.all_s <= 0:
        return None
    words = morning_words
    shares = [("completed", f"stands: {words.work(went.useful)}", went.useful)]
    for cause, core_s in went.lost.items():
        name = "done again though it had completed" if cause == "redone" else words.cause_within(cause)
        kind = "canceled" if cause == "redone" else words.kind(cause)
        shares.append((kind, f"{name}: {words.work(core_s)}", core_s))
    note = [f"{words.work(went.all_s)} in all."]
    if went.kept:
        note.append(f"Starting over at the last recovery would have done {words.work(went.kept)} again.")
    if went.held:
        used = words.share(min(went.all_s, went.held), went.held)
        note.append(f"Slurm held {words.work(went.held)} for it, of which jobs used {used}.")
    return parts.section(
        "hours", "Where the hours went", morning_charts.bar(shares, "hours", "k", numbers=False), note=" ".join(note)
    )


def usage(night: Night) -> Markup | None:
    """Say what was asked for and what was used; None where nothing completed."""
    found = [each for each in morning_usage.rows(night) if each.completed]
    if not found:
        return None
    head = parts.head("Requirement", "Memory", "Time", "CPUs")
    table = el("table", head, el("tbody", *map(_usage_row, found[: morning_usage.MOST_ROWS])), class_="usage wide")
    workflow_id, store = night.facts.workflow["workflow_id"], night.facts.options
    more = len(found) - morning_usage.MOST_ROWS
    rest = el("p", f"And {more:,} more: torc-report{store} --usage {workflow_id}", class_="note") if more > 0 else None
    note = "Each stroke is a job that completed, the frame what it asks for; CPUs are those in use on average."
    if any(use.fits is not None for row in found for use in (row.memory, row.time)):
        note += f" What is too small, or far too large, is corrected by: torc-correct{store} {workflow_id}"
    return parts.section("usage", "Asked for and used", table, rest, note=note)


def _usage_row(row: Row) -> Markup:
    copied = el("span", f"from {row.copied_from}", class_="by") if row.copied_from else None
    jobs = el("span", f"{row.completed:,} of {morning_words.counted(row.jobs, 'job')}", class_="by")
    cells = (
        _use(row.memory, "Memory", morning_words.size),
        _use(row.time, "Time", morning_words.span),
        _use(row.cpu, "CPUs", morning_words.cpus),
    )
    return el("tr", el("th", row.name, copied, jobs, scope="row"), *cells)


def _use(use: Use, head: str, write: Write) -> Markup:
    if not use.values:
        return el("td", el("p", "not measured", class_="none"), data_head=head)
    shown = el("p", el("b", write(use.values[-1])), f" at most, of {write(use.asked)}", class_="most")
    spread = f"median {write(use.at(50))} · p95 {write(use.at(95))}" if len(use.values) > 1 else "one job"
    fits = el("b", f"{write(use.fits)} would fit") if use.fits is not None else None
    rest = el("p", spread, fits, class_="rest")
    return el("td", shown, morning_charts.strip(use.values, use.asked), rest, data_head=head)


def jobs() -> Markup:
    """Make the frame of the list of jobs, which the script fills."""
    chips = el("div", id_="fates", class_="legend")
    search = el("input", type="search", id_="search", placeholder="Name or id", aria_label="Search jobs")
    tools = el("div", search, chips, class_="tools")
    head = parts.head("Job", "Attempts", "Memory", "Time", "CPUs")
    table = el("table", head, el("tbody", id_="jobs-rows"), class_="jobs wide")
    more = el(
        "p", el("button", "Show more", type="button", id_="more", hidden=True), el("span", id_="shown"), class_="more"
    )
    plain = el(
        "noscript", el("p", "The list needs scripts; torc-results and torc-diagnose tell the same.", class_="note")
    )
    return parts.section("jobs", "All jobs", tools, table, more, plain)
