"""What happened, in one sentence, and the line below it."""

from typing import NamedTuple

from torc_tools.core import morning_words
from torc_tools.core.morning import CANCELED, CURED, FAILED, OK, RUNNING, WAITING, Night


class Headline(NamedTuple):
    """What happened, in one sentence, and how it stands in one word: good, open, bad."""

    text: str
    mood: str
    more: str


def headline(night: Night) -> Headline:
    """Say what happened."""
    words, counts, total = morning_words, night.counts, len(night.jobs)
    done = counts[OK] + counts[CURED]
    summary = night.facts.summary
    if not total:
        return Headline("There are no jobs.", "open", "")
    if summary["is_success"]:
        text = f"All {words.counted(total, 'job')} completed." if total > 1 else "The job completed."
        return Headline(text, "good", _lede(night))
    text = f"{done:,} of {words.counted(total, 'job')} completed"
    parts = [f"{counts[FAILED]:,} failed"] if counts[FAILED] else []
    if counts[CANCELED]:
        parts.append(f"{counts[CANCELED]:,} {'could not run' if _held_back(night) else 'canceled'}")
    if not summary["is_complete"]:
        parts += [f"{counts[fate]:,} {fate}" for fate in (RUNNING, WAITING) if counts[fate]]
    mood = "bad" if counts[FAILED] or counts[CANCELED] or summary["is_canceled"] else "open"
    text = f"{text}, {words.listed(parts)}." if parts else f"{text}."
    return Headline(text, mood, _lede(night))


def _held_back(night: Night) -> bool:
    """Say whether jobs that are canceled are so because others failed, and nobody canceled them."""
    return bool(night.counts[FAILED]) and not night.facts.summary["is_canceled"]


def _lede(night: Night) -> str:
    """Say when it ran, and what recovery did about the failures on the way."""
    if not night.attempts:
        return "Nothing has run yet."
    words = morning_words
    started, took = night.clock.day(night.start), words.span(night.end - night.start)
    over = night.facts.summary["is_complete"] or not night.counts[RUNNING]
    text = f"Started {started} and took {took}." if over else f"Started {started}; the last job ended {took} later."
    failed = {each.job_id for each in night.failed()}
    if not failed:
        return f"{text} Nothing failed on the way."
    cured = night.counts[CURED]
    rounds = max(each.run_id for each in night.attempts) - min(each.run_id for each in night.attempts)
    how = f"{words.counted(rounds, 'round')} of recovery" if rounds else "retries"
    text += f" {words.counted(len(failed), 'job')} failed on the way"
    return (
        f"{text}; {how} cured {cured if cured < len(failed) else 'all'} of them."
        if cured
        else f"{text}; none is cured."
    )
