# SPDX-License-Identifier: MIT
"""Compares the log of the target `soak` with the JSON lines of the watch.

The log brackets each probe between two clock readings, so a section's true length lies between t[2] - t[1] and
t[3] - t[0]. One that is over its budget by the shorter measure is certainly over; one within it by the longer is
certainly not; between them both answers are right.

A deadline is noticed by a timer, so it cannot be noticed sooner than this machine's timers come. The log has how late they
were for a real-time thread at the same time; from that follows how many deadlines must be missed because the section was
over before any timer could have come.
"""

import bisect
import collections
import math
import os
import struct

from tocsin import TOCSIN, target_path

BUDGETS_US = (200, 500, 1000, 2500)
MISS_ALLOWED_NS = 10_000
# A thread that exits in a section is gone for the kernel a moment before or after it is for its joiner.
EXIT_SLACK_NS = 20_000_000
LEFT = 1
TIMER = 0xffff

Record = collections.namedtuple("Record", "t tid kind flags")
_LAYOUT = struct.Struct("<4QIHH")


def program():
    """Path of the target; skips the test when it was not built."""
    where = os.environ.get("TOCSIN_SOAK", str(TOCSIN.parent / "tests" / "soak" / "soak"))
    return target_path(where)


def sections():
    """The four sections in the section language."""
    return [f"k{k}: usdt:soak:k{k}_begin .. k{k}_end < {us}us" for k, us in enumerate(BUDGETS_US)]


def read_log(path):
    data = path.read_bytes()
    if data[:8] != b"TOCSOAK1":
        raise ValueError(f"{path} is not a log of soak")
    return [Record((a, b, c, d), tid, kind, flags) for a, b, c, d, tid, kind, flags in _LAYOUT.iter_unpack(data[8:])]


def split_log(records):
    """(sections, lateness of the machine's timers in ns)"""
    return ([r for r in records if r.kind != TIMER], [r.t[3] - r.t[0] for r in records if r.kind == TIMER])


def percentiles(values):
    return {p: percentile(values, s) for p, s in (("p50", .5), ("p90", .9), ("p99", .99), ("p99.9", .999), ("max", 1))}


def percentile(values, share):
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, int(len(ordered) * share)))] if ordered else 0


class Verdict:
    """What the comparison found. Every list but `late_ns` and `missed_small` should be empty."""

    def __init__(self):
        self.records = 0
        self.over = 0            # certainly over budget
        self.false = []          # reported, but certainly within budget
        self.unknown = []        # reported, but no such section
        self.duplicate = []
        self.silent = []         # certainly over, no violation record
        self.missed = []         # did not fire, over by MISS_ALLOWED_NS or more
        self.missed_small = []   # did not fire, over by less, and has its record
        self.bad_split = []
        self.bad_bracket = []    # start or end not where the program knows them
        self.no_split = []       # the watch claims no split
        self.late_ns = []
        self.over_by = []        # of all that have a violation record
        self.missed_expected = 0 # deadlines that this machine's timers must miss by MISS_ALLOWED_NS or more

    def faults(self):
        wanted = ["false", "unknown", "duplicate", "silent", "bad_split", "bad_bracket"]
        if len(self.missed) > self.missed_allowed():
            wanted.append("missed")
        return [f"{len(getattr(self, name))} {name}: {getattr(self, name)[:3]}" for name in wanted if getattr(self, name)]

    def missed_allowed(self):
        """How many may be missed: none on a good machine, else what its timers explain, with room for chance."""
        expected = self.missed_expected
        return 0 if expected < 0.5 else math.ceil(expected + 3 * math.sqrt(expected))


class _Finder:
    """From thread, kind and start to the record."""

    def __init__(self, records):
        self.by_thread = collections.defaultdict(list)
        for i, r in enumerate(records):
            self.by_thread[r.tid, r.kind].append((r.t[0], r.t[1], i))
        for rows in self.by_thread.values():
            rows.sort()

    def find(self, event):
        rows = self.by_thread.get((event["tid"], int(event["section"][1:])), [])
        at = bisect.bisect_right(rows, (event["start_ns"], float("inf"), 0)) - 1
        if at >= 0 and rows[at][0] <= event["start_ns"] <= rows[at][1]:
            return rows[at][2]
        return None


def _lengths(record):
    """Least and most that the section can have lasted."""
    slack = EXIT_SLACK_NS if record.flags & LEFT else 0
    return record.t[2] - record.t[1], record.t[3] + slack - record.t[0]


def _judge_reported(records, finder, events, verdict):
    """Looks at each line of one type; returns {record index: line}."""
    found = {}
    for event in events:
        i = finder.find(event)
        if i is None:
            verdict.unknown.append((event["type"], event["section"], event["tid"], event["start_ns"]))
            continue
        if i in found:
            verdict.duplicate.append((event["type"], records[i]))
            continue
        found[i] = event
        if _lengths(records[i])[1] <= event["budget_ns"]:
            verdict.false.append((event["type"], records[i]))
        if sum(event["split_ns"].values()) != event["elapsed_ns"]:
            verdict.bad_split.append((event["type"], records[i], event["split_ns"], event["elapsed_ns"]))
    return found


def _judge_end(record, violation, verdict):
    slack = EXIT_SLACK_NS if record.flags & LEFT else 0
    if not record.t[2] <= violation["end_ns"] <= record.t[3] + slack:
        verdict.bad_bracket.append((record, violation["end_ns"]))
    if not violation["split_known"]:
        verdict.no_split.append(record)


def _expect_missed(verdict, timers_ns):
    """Sums, over all sections over their budget, the chance that a timer comes later than they end."""
    if not timers_ns:
        return
    ordered = sorted(timers_ns)
    usual = percentile(ordered, .9)  # what the sleeper's own wake-up costs: no part of a timer's lateness
    for over_by in verdict.over_by:
        if over_by >= MISS_ALLOWED_NS:
            later = len(ordered) - bisect.bisect_right(ordered, over_by + usual)
            verdict.missed_expected += later / len(ordered)


def judge(records, events, timers_ns=()):
    """Compares; returns a Verdict."""
    verdict = Verdict()
    finder = _Finder(records)
    verdict.records = len(records)
    fired = _judge_reported(records, finder, [e for e in events if e["type"] == "fired"], verdict)
    closed = _judge_reported(records, finder, [e for e in events if e["type"] == "violation"], verdict)
    verdict.late_ns = [e["late_ns"] for e in fired.values()]
    for i, violation in closed.items():
        _judge_end(records[i], violation, verdict)
        over_by = violation["elapsed_ns"] - violation["budget_ns"]
        verdict.over_by.append(over_by)
        if i not in fired:
            (verdict.missed if over_by >= MISS_ALLOWED_NS else verdict.missed_small).append((over_by, records[i]))
    for i, record in enumerate(records):
        if _lengths(record)[0] > BUDGETS_US[record.kind] * 1000:
            verdict.over += 1
            if i not in closed:
                verdict.silent.append((_lengths(record)[0], record))
    _expect_missed(verdict, timers_ns)
    return verdict


def count_faults(records, summary):
    """Where the summary's counts and percentiles are not those of the log."""
    faults = []
    for section in summary["sections"]:
        mine = [r for r in records if f"k{r.kind}" == section["name"] and not r.flags & LEFT]
        if section["closed"] != len(mine):
            faults.append(f"{section['name']}: {section['closed']} closed, the program ended {len(mine)}")
            continue
        for key, share in (("p50_ns", .5), ("p90_ns", .9), ("p99_ns", .99)):
            # One rank to either side, and the histogram's own error of 1 %.
            least = percentile([_lengths(r)[0] for r in mine], share - 1.5 / len(mine)) * .99
            most = percentile([_lengths(r)[1] for r in mine], share + 1.5 / len(mine)) * 1.01
            if not least <= section[key] <= most:
                faults.append(f"{section['name']}: {key} is {section[key]}, the program says {least:.0f}..{most:.0f}")
    return faults
