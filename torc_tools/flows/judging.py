"""Diagnosis with rules: the verdict first, then the rules of the user and those built in, where they may speak.

Users' rules look at the ends of an attempt's log files; where these are gone, and for the rules that are built in, at
the end that the record keeps. A log file is opened for no other failure, and read to count lines only for a match.
"""

import sqlite3
from collections.abc import Callable, Sequence

from torc_tools.core import diagnosis, rules, ruling
from torc_tools.core.rules import Facts, Hit, Index, Rule, Text
from torc_tools.core.slurmvalues import bare
from torc_tools.flows import rulebook
from torc_tools.records import Record, may
from torc_tools.shell import layout, logends, queries
from torc_tools.shell.makers import Makers

MOST_MATCHES = 20  # that are kept of one failure
LOCATED = 1000  # log files that are opened only to say on which line a built-in rule matched


class Judge:
    """Diagnoses failures one after another."""

    def __init__(self, own: Sequence[Rule] = (), output_dir: str | None = None, makers: Makers | None = None) -> None:
        """Take the user's rules, in their order, the folder with the logs, and who makes which file.

        The last two are None where only records are at hand.
        """
        self._makers = makers
        self._own = own
        self._builtin: Index | None = None
        self._output_dir = output_dir
        self._search = rulebook.searcher()
        self._located = 0

    def diagnose(self, result: Record, now: Record | None = None) -> Record:
        """Give the `diagnosis` of a failed attempt, as core.diagnosis does, and what rules make of it."""
        found = diagnosis.diagnose(result, now)
        found["node"] = found["node"] or layout.node_of(may(result, "worker", str))
        if not ruling.may_speak(found, builtin=False):
            return found
        hits: list[Hit] = []
        if self._own:
            facts = _facts(found, result, lambda: self._logs(found, result))
            hits += rules.hits(self._own, facts, self._search, self._look)
        if ruling.may_speak(found, builtin=True):
            tail = _tail(result)
            facts = _facts(found, result, lambda: tail)
            hits += rules.hits(self._candidates(facts, tail), facts, self._search, self._look)
        if not hits:
            return found
        hits = hits[:MOST_MATCHES]
        found = ruling.decided(found, hits, [self._match(found, hit) for hit in hits])
        return self._with_maker(found) if found["cause"] == "missing_file" and self._makers else found

    def _with_maker(self, found: Record) -> Record:
        """Say which job makes the file that was missing, where the spec lacks the edge between the two."""
        for match in found["matches"]:
            maker = self._makers.of_line(found["job_id"], match["text"] or "") if self._makers else None
            if maker is not None:
                return ruling.unlinked(found, *maker)
        return found

    def failed(self, result: Record) -> list[Record]:
        """Give the diagnosis of a result as a list: empty for an attempt that did not fail."""
        found = diagnosis.diagnose_failed(result)
        return [self.diagnose(result)] if found else []

    def _candidates(self, facts: Facts, tail: Sequence[Text]) -> list[Rule]:
        """Give the rules that are built in and can apply."""
        if self._builtin is None:
            self._builtin = Index(rulebook.builtin())
        return self._builtin.candidates(facts.return_code, self._builtin.of_text(tail[0].text) if tail else ())

    def _look(self, rule: Rule, text: Text) -> int | None:
        low = rules.small(text.text) if rule.match.log_words is not None else ""
        return rules.log_match(rule, text.text, low, self._search)

    def _logs(self, found: Record, result: Record) -> list[Text]:
        ends = [end for path in self._paths(found) if (end := logends.read(path)) is not None]
        texts = [Text(end.path, end.text) for end in ends if end.text]
        return texts or _tail(result)

    def _paths(self, found: Record) -> list[str]:
        ids = tuple(found[key] for key in ("workflow_id", "job_id", "run_id", "attempt_id"))
        if self._output_dir is None or None in ids:
            return []
        return logends.paths(self._output_dir, ids)

    def _match(self, found: Record, hit: Hit) -> Record:
        end = None if hit.text is None else self._end(found, hit.rule, hit.text)
        if end is None:
            return ruling.matched(hit, None, None)
        return ruling.matched(hit, end.path, logends.line_at(end))

    def _end(self, found: Record, rule: Rule, text: Text) -> logends.End | None:
        """Give the end of the log file in which a rule matched; None where there is no such file."""
        if text.file is not None:
            return logends.read(text.file)
        if rule.builtin:
            self._located += 1
        if self._located > LOCATED:
            return None
        ends = (logends.ending_with(path, text.text) for path in self._paths(found)[:2])
        return next((end for end in ends if end is not None), None)


def of_workflow(db: sqlite3.Connection, workflow_id: int, own: Sequence[Rule]) -> Judge:
    """Make the judge of a workflow. Raises Failure(66) where there is none."""
    workflow = queries.workflow(db, workflow_id)
    return Judge(own, workflow["output_dir"], Makers(db, workflow_id, workflow["submission_dir"]))


def _tail(result: Record) -> list[Text]:
    tail = (result.get("facts") or {}).get("log_tail")
    return [Text(None, tail)] if tail else []


def _facts(found: Record, result: Record, texts: Callable[[], Sequence[Text]]) -> Facts:
    facts = result.get("facts") or {}
    words = (bare(facts.get(key)) for key in ("slurm_state", "allocation_state"))
    kept: list[Sequence[Text]] = []  # fetched once, and only where a rule asks

    def fetched() -> Sequence[Text]:
        if not kept:
            kept.append(texts())
        return kept[0]

    return Facts(
        state=found["status"],
        return_code=found["return_code"],
        node=found["node"],
        attempt=result.get("attempts") or found["attempt_id"],
        cause=found["cause"],
        job_name=found["job_name"],
        slurm_states=frozenset(word for word in words if word),
        texts=fetched,
    )
