#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tests' own judges, on made-up lines: they pass what is right and name each thing that is made wrong."""

import copy
import json
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "soak"))

import account
import judge
import records
from tocsin import Failed, Suite, Watch, check, check_equal

suite = Suite(needs=())

MS = 1_000_000


def split(**parts):
    return {state: parts.get(state, 0) for state in records.STATES}


def violation(**changes):
    """A sound violation of 10 ms: 4 ms on a CPU, 6 ms asleep."""
    made = {
        "type": "violation", "number": 1, "section": "k2", "tid": 100, "pid": 90, "comm": "soak", "start_ns": 5000 * MS,
        "end_ns": 5010 * MS, "elapsed_ns": 10 * MS, "budget_ns": MS, "fired": True, "fired_late_ns": 3000,
        "split_known": True, "split_ns": split(running=4 * MS, blocked=6 * MS), "verdict": "slept",
        "causes": [{"kind": "sleep", "ns": 6 * MS, "share": 0.6, "confidence": "certain", "spells": 1, "text": "slept 6 ms"},
                   {"kind": "cpu", "ns": 4 * MS, "share": 0.4, "confidence": "certain", "spells": 0, "text": "ran 4 ms"}],
        "spells": [{"out_ns": 5002 * MS, "wake_ns": 5008 * MS, "in_ns": 5008 * MS, "state": "blocked", "cause": "sleep"}],
        "spells_total": 1, "spells_lost": 0, "spells_short": 0, "short_ns": 0,
    }
    made.update(changes)
    return made


def fired(**changes):
    """The notice that belongs to violation()."""
    made = {"type": "fired", "number": 1, "section": "k2", "tid": 100, "pid": 90, "comm": "soak", "start_ns": 5000 * MS,
            "end_ns": 5001 * MS + 3000, "elapsed_ns": MS + 3000, "budget_ns": MS, "state": "running", "late_ns": 3000,
            "split_ns": split(running=MS + 3000)}
    made.update(changes)
    return made


def summary(**changes):
    section = {"name": "k2", "text": "a .. b < 1ms", "budget_ns": MS, "closed": 5, "over": 1, "fired": 1, "abandoned": 0, "still_open": 0,
               "removed_open": 0, "unreported": 0, "mean_ns": 2 * MS, "p50_ns": 100, "p90_ns": 200, "p99_ns": 300, "p999_ns": 400, "max_ns": 10 * MS,
               "over_split_ns": split(running=4 * MS, blocked=6 * MS), "causes": [], "other_ns": 0}
    made = {"type": "summary", "duration_ns": 1, "sections": [section], "losses": dict.fromkeys(records.LOSSES, 0),
            "records_lost": 0, "throttle_known": True}
    made.update(changes)
    return made


NOT_FIRED = {k: v for k, v in violation(fired=False).items() if k != "fired_late_ns"}
ARMED = {"type": "armed", "sections": 1, "probes": 2, "realtime_offset_ns": -5}


def stream_faults(*events):
    checker = records.StreamChecker()
    for event in events:
        checker.add(copy.deepcopy(event))
    return checker.finish()


@suite.test("a sound stream has no faults")
def sound(_):
    check_equal(stream_faults(ARMED, fired(), violation(), summary()), [], "faults")


@suite.test("each thing made wrong in one line is found")
def broken_lines(_):
    wrong = {
        "parts that do not sum": violation(split_ns=split(running=4 * MS, blocked=6 * MS - 1)),
        "a part missing": violation(split_ns={"running": 10 * MS}),
        "elapsed": violation(elapsed_ns=10 * MS + 1),
        "within budget": violation(budget_ns=10 * MS),
        "causes that do not sum": violation(causes=violation()["causes"][:1]),
        "causes not sorted": violation(causes=violation()["causes"][::-1]),
        "an unknown cause": violation(causes=[{**violation()["causes"][0], "kind": "fate"}, violation()["causes"][1]]),
        "a wrong share": violation(causes=[{**violation()["causes"][0], "share": 0.5}, violation()["causes"][1]]),
        "a claimed split": violation(split_known=False),
        "a key missing": {k: v for k, v in violation().items() if k != "tid"},
        "a wrong type": violation(tid="100"),
        "a spell after the end": violation(spells=[{**violation()["spells"][0], "out_ns": 5011 * MS, "wake_ns": 0,
                                                   "in_ns": 0}]),
        "a spell backwards": violation(spells=[{**violation()["spells"][0], "wake_ns": 5001 * MS}]),
        "no verdict": violation(verdict=" "),
        "fired early": fired(elapsed_ns=MS - 1, end_ns=5001 * MS - 1, split_ns=split(running=MS - 1)),
        "wrong lateness": fired(late_ns=1),
        "no such state": fired(state="dreaming"),
        "a loss missing": summary(losses={}),
        "no such line": {"type": "noise"},
    }
    for name, event in wrong.items():
        check(records.record_faults(event), f"not found: {name}")


@suite.test("each thing made wrong between lines is found")
def broken_streams(_):
    wrong = {
        "a violation twice": (ARMED, fired(), violation(), violation(number=2), summary()),
        "a notice twice": (ARMED, fired(), fired(number=2), violation(), summary()),
        "a notice after its end": (ARMED, violation(), fired(), summary()),
        "fired, but no notice": (ARMED, violation(), summary()),
        "a notice, but not fired": (ARMED, fired(), NOT_FIRED, summary()),
        "a number twice": (ARMED, fired(), violation(), fired(tid=101), violation(tid=101), summary()),
        "a line after the summary": (ARMED, summary(), fired()),
        "armed late": (fired(), ARMED),
        "a violation that the summary does not know": (ARMED, fired(), violation(), fired(tid=101, number=2),
                                                       violation(tid=101, number=2), summary()),
    }
    for name, events in wrong.items():
        check(stream_faults(*events), f"not found: {name}")


# The account of `acct`.

def trial(case="nanosleep", **changes):
    """The program's view of violation(): probes of 200 ns."""
    made = {"case": case, "id": 1, "pid": 90, "tid": 100, "t": [5000 * MS - 100, 5000 * MS + 100, 5010 * MS - 100,
                                                              5010 * MS + 100],
            "cpu": [0, 1000, 4 * MS + 500, 4 * MS + 1500], "run": 4 * MS, "delay": 0, "switches": 2, "blocked": 6 * MS, "stopped": [0, 0],
            "peer": 101, "peer_ns": 6 * MS, "port": 0, "count": 0}
    made.update(changes)
    return made


@suite.test("acct's judge: the split within tolerance, and not beyond")
def account_split(_):
    check_equal(account.own_faults(trial()), [], "the made-up account")
    check_equal(account.split_faults(trial(), violation()) + account.hard_faults(trial(), violation()), [], "faults")
    # 1 % of 4 ms and 100 us, and what the kernel's clocks differ in two switches: 10 us one way, 40 the other.
    for off, good in ((140_000, True), (160_000, False), (-170_000, False), (-130_000, True)):
        moved = violation(split_ns=split(running=4 * MS + off, blocked=6 * MS - off))
        faults = account.split_faults(trial(), moved)
        check((not faults) == good, f"running is off by {off}: {faults}")
    check(account.hard_faults(trial(), violation(start_ns=5000 * MS - 101)), "a start outside the probe is not found")
    check(account.hard_faults(trial(), violation(end_ns=5010 * MS + 101)), "an end outside the probe is not found")
    check(account.hard_faults(trial(), violation(split_known=False)), "a claim without a split is not found")
    check(account.hard_faults(trial(), violation(split_ns=split(running=4 * MS))), "a wrong sum is not found")
    wrong = violation(split_ns=split(running=4 * MS, waiting=6 * MS))
    check(account.split_faults(trial(), wrong), "waiting instead of blocked is not found")
    check(account.own_faults(trial(blocked=14 * MS)), "a program that blocked too little is not found")
    check(account.own_faults(trial(delay=7 * MS)), "a program whose parts are too long is not found")


@suite.test("acct's judge: cause and peer")
def account_cause(_):
    def caused(kind, peer=None, confidence="certain"):
        first = {**violation()["causes"][0], "kind": kind, "confidence": confidence}
        if peer:
            first["peer"] = {"tid": peer, "pid": 90, "comm": "x"}
        return violation(causes=[first, violation()["causes"][1]])

    good = (("nanosleep", caused("sleep")), ("mutex", caused("lock", 101)), ("tcp", caused("network")),
            ("tcp", caused("network", 101)), ("spin", caused("unknown")), ("fifo", caused("preempted", 101)))
    bad = (("fifo", caused("preempted", 102)), ("fifo", caused("sleep", 101)),
           ("nanosleep", caused("ipc")), ("mutex", caused("lock")), ("mutex", caused("lock", 102)),
           ("tcp", caused("network", 102)), ("mutex", caused("lock", 101, "none")), ("mutex", violation(causes=[])))
    for case, made in good:
        check_equal(account.cause_faults(trial(case), made), [], f"faults of {case}")
    for case, made in bad:
        check(account.cause_faults(trial(case), made), f"not found: {case} {made['causes'][:1]}")
    check(account.fired_faults(trial(), []), "a missing notice is not found")
    check(account.fired_faults(trial(), [fired(state="running")]), "a wrong state at the deadline is not found")
    check_equal(account.fired_faults(trial(), [fired(state="blocked")]), [], "faults")


# The judge of the soak.

def soak_run():
    """A log of 400 sections on four threads, and the lines that a perfect watch would print."""
    rng = random.Random(1)
    log, events, number = [], [], 0
    for tid in range(1, 5):
        at = 1_000_000_000
        for _ in range(100):
            kind = rng.randrange(4)
            budget = judge.BUDGETS_US[kind] * 1000
            elapsed = int(budget * rng.uniform(.3, 1.7))
            start, end = at, at + elapsed
            log.append(judge.Record((start - 200, start + 200, end - 200, end + 200), tid, kind, 0))
            at = end + rng.randrange(1000, MS)
            if elapsed <= budget:
                continue
            number += 1
            head = {"number": number, "section": f"k{kind}", "tid": tid, "start_ns": start, "budget_ns": budget}
            if elapsed > budget + 5000:
                events.append(fired(**head, end_ns=start + budget + 3000, elapsed_ns=budget + 3000,
                                    split_ns=split(running=budget + 3000)))
            events.append(violation(**head, end_ns=end, elapsed_ns=elapsed, fired=elapsed > budget + 5000,
                                    split_ns=split(running=elapsed)))
    return log, events


@suite.test("soak's judge: a perfect run has no faults")
def soak_perfect(_):
    log, events = soak_run()
    verdict = judge.judge(log, events)
    check_equal(verdict.faults(), [], "faults")
    check(100 < verdict.over < 300, f"{verdict.over} over budget")
    check_equal(judge.percentiles(verdict.late_ns)["p99"], 3000, "lateness")


@suite.test("soak's judge: missed deadlines are measured against the machine's timers")
def soak_missed(_):
    log, events = soak_run()
    dropped = [e for e in events if e["type"] == "fired"][:12]
    lost = [e for e in events if e not in dropped]
    good, bad = [3000] * 1000, [3000] * 950 + [100 * MS] * 50
    check_equal(judge.judge(log, events, good).missed_allowed(), 0, "allowed on a good machine")
    check("missed" in str(judge.judge(log, lost, good).faults()), "missed deadlines are not found on a good machine")
    check_equal(judge.judge(log, lost, bad).faults(), [], "faults where one timer in twenty does not come")
    check("missed" in str(judge.judge(log, [e for e in events if e["type"] != "fired"], bad).faults()),
          "a watch that never fires is not found on a bad machine")


@suite.test("soak's judge: each thing made wrong is found, and nothing else")
def soak_broken(_):
    log, events = soak_run()
    first = next(i for i, e in enumerate(events) if e["type"] == "violation" and e["fired"])
    notice = next(i for i, e in enumerate(events) if e["type"] == "fired")
    within = next(r for r in log if r.t[3] - r.t[0] < judge.BUDGETS_US[r.kind] * 1000)
    false = fired(section=f"k{within.kind}", tid=within.tid, start_ns=within.t[1], number=9999,
                  budget_ns=judge.BUDGETS_US[within.kind] * 1000)
    longest = max((e for e in events if e["type"] == "fired"), key=lambda e: e["budget_ns"])
    wrong = {
        "false": [*events, false],
        "duplicate": [*events, copy.deepcopy(events[first])],
        "silent": events[:first] + events[first + 1:],
        "missed": [e for e in events if e is not longest],
        "unknown": [*events, fired(tid=77, number=9999)],
        "bad_split": [*events[:notice], {**events[notice], "split_ns": split(running=1)}, *events[notice + 1:]],
        "bad_bracket": [{**e, "end_ns": e["end_ns"] + 300} if e is events[first] else e for e in events],
    }
    for name, made in wrong.items():
        faults = judge.judge(log, made).faults()
        found = [f.split()[1].rstrip(":") for f in faults]
        check(name in found, f"not found: {name} ({faults})")
        check(set(found) <= {name, "silent"}, f"{name} made wrong, found {faults}")


@suite.test("soak's judge: counts and percentiles")
def soak_counts(_):
    log, _ = soak_run()
    sections = []
    for kind in range(4):
        lengths = [r.t[2] - r.t[1] + 200 for r in log if r.kind == kind]
        sections.append({"name": f"k{kind}", "closed": len(lengths),
                         **{f"p{p}_ns": judge.percentile(lengths, p / 100) for p in (50, 90, 99)}})
    check_equal(judge.count_faults(log, {"sections": sections}), [], "faults")
    for key, change in (("closed", 1), ("p50_ns", 100_000), ("p99_ns", -500_000)):
        made = copy.deepcopy(sections)
        made[2][key] += change
        check(judge.count_faults(log, {"sections": made}), f"not found: {key}")


# The Watch itself, on a script that plays the tool.

def play(run, body, **how):
    script = pathlib.Path(run.scratch, "tool")
    script.write_text("#!/bin/sh\n" + body)
    script.chmod(0o755)
    return run.own(Watch([script], **how))


def fails(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except Failed as why:
        return str(why)
    return None


@suite.test("the watch's handle: armed, ended early, too slow, malformed")
def handle(run):
    watch = play(run, "echo 'armed: 2 sections, 5 probes' >&2; exec sleep 60")
    check_equal(watch.wait_armed(5), (2, 5), "sections and probes")
    watch = play(run, "echo 'no such symbol' >&2; exit 2")
    text = fails(watch.wait_armed, 5)
    check(text and "status 2" in text and "no such symbol" in text, f"an early end: {text}")
    check("not within" in (fails(play(run, "exec sleep 60").wait_armed, 0.3) or ""), "a slow start is not found")
    watch = play(run, "echo '{\"type\":'; echo '[]'; echo '{\"type\":\"noise\"}'")
    watch.wait(5)
    check_equal(len(watch.faults()), 3, f"faults {watch.faults()}")
    check(fails(watch.summary), "a missing summary is not found")
    watch = play(run, "echo hello; echo '{\"s\":1}'", mixed=True)
    watch.wait(5)
    check_equal((watch.faults(), len(watch.others)), ([], 2), "faults and lines of the command")


@suite.test("the watch's handle: losses and a wrong exit status fail a test")
def handle_losses(run):
    lost = summary(losses={**dict.fromkeys(records.LOSSES, 0), "event_ring_full": 3}, sections=[])
    watch = play(run, f"echo '{json.dumps(lost)}'; exit 3")
    check("exit status" in (fails(watch.stop) or ""), "a wrong exit status is not found")
    watch = play(run, f"echo '{json.dumps(lost)}'")
    watch.wait(5)
    check("event_ring_full" in (fails(watch.check_sound) or ""), "a loss is not found")
    check_equal(fails(watch.check_sound, ("event_ring_full",)), None, "an allowed loss")
    gap = summary(losses={**dict.fromkeys(records.LOSSES, 0), "gap": 1}, sections=[])
    watch = play(run, f"echo '{json.dumps(gap)}'")
    watch.wait(5)
    check_equal(fails(watch.stop), None, "a switch that the kernel did not show")


suite.main()
