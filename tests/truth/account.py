# SPDX-License-Identifier: MIT
"""Compares what the watch says of a section with what the target `acct` knows of it.

The program reads each clock on both sides of each probe, so every quantity of its own account is an interval that holds
the true value whatever the probes cost. A part of the watch's split must lie in that interval, widened by 1 % of its
length and 100 us.

One thing the program cannot know: the kernel's own clocks of a thread (the CPU clock, schedstat) run ahead of its switches.
After a wake-up the scheduler saves itself a reading of the clock and takes the wake-up's own for the switch that follows
(rq_clock_skip_update()), so the time from the wake-up to the switch is "running" there and no delay at all; the watch calls
it waiting, which it is. It was 2 to 20 us a switch where this was written: by that much for each switch the watch may
find less running and more waiting than the program. When a thread loses its CPU it is the other way round: the scheduler
reads the clock some microseconds before the tracepoint stands.

And interrupts: time in which a thread's CPU served one is the thread's running to the watch, and nobody's to the kernel's
clocks. Only where a device answers many times within a section, or other programs' devices do, is it more than the
tolerance; the second is why a test may try again.
"""

import collections

TOLERANCE_NS = 100_000
TOLERANCE_SHARE = 0.01
SWITCH_NS = 20_000     # from a wake-up to the switch
SWITCH_OUT_NS = 5_000  # from the scheduler's clock to its tracepoint

Expect = collections.namedtuple("Expect", "causes peer states interrupts", defaults=(None, "any", (), 0))
# causes: kinds of which the largest cause must be one, leaving out what a loaded machine adds (SCENERY); None: any
# peer:   "exact": it names the program's peer; "maybe": if it names one, that; "competitor": the wait is shared out among
#         those who ran instead, and the program's competitor has its share; "any": not looked at
# states: states a deadline may find it in; (): any
# interrupts: the share of its time that a device may take
SCENERY = ("cpu", "preempted", "runqueue", "short")
EXPECT = {
    "spin": Expect(None, "any", ("running", "waiting")),
    "quota": Expect(("quota",), "any", ("running", "throttled", "waiting")),
    "fifo": Expect(("preempted",), "competitor"),
    "competitor": Expect(("preempted",), "competitor"),
    "yield": Expect(("preempted",), "competitor"),
    "migrate": Expect(),
    "stop": Expect(("stopped",), "exact"),
    "exit": Expect(("sleep",), "any", ("running", "waiting")),
    "sleep": Expect(("sleep",), "any"),
    "nanosleep": Expect(("sleep",), "any", ("blocked",)),
    "mutex": Expect(("lock",), "exact", ("blocked",)),
    "condvar": Expect(("event",), "exact", ("blocked",)),
    "pipe": Expect(("ipc",), "exact", ("blocked",)),
    "unix": Expect(("ipc",), "exact", ("blocked",)),
    "tcp": Expect(("network",), "maybe", ("blocked",)),
    "fsync": Expect(("disk",), interrupts=0.05),
    "pagein": Expect(("page_fault",), interrupts=0.05),
    "flock": Expect(("file_lock",), "exact", ("blocked",)),
    "fork": Expect(("child",), "exact"),
}


def own_account(trial):
    """The program's own split, each part as (least, most) ns."""
    t, cpu, delay, stopped = trial["t"], trial["cpu"], trial["delay"], trial["stopped"]
    elapsed = (t[2] - t[1], t[3] - t[0])
    running = (cpu[2] - cpu[1], cpu[3] - cpu[0])
    blocked = (elapsed[0] - running[1] - delay - stopped[1], elapsed[1] - running[0] - delay - stopped[0])
    ahead, behind = trial["switches"] * SWITCH_NS, trial["switches"] * SWITCH_OUT_NS
    interrupts = int(elapsed[1] * EXPECT[trial["case"]].interrupts)
    return {"elapsed": elapsed, "running": (max(0, running[0] - ahead), running[1] + behind + interrupts),
            "queued": (max(0, delay - behind), delay + ahead),
            # A thread that was waiting for a CPU when it was told to stop, stops when it gets one.
            "stopped": (max(0, stopped[0] - delay), stopped[1]),
            # Of a switch itself, up to 2 us are in neither of the kernel's clocks.
            "blocked": (max(0, blocked[0] - ahead // 10 - interrupts), max(0, blocked[1] + ahead // 10))}


def own_faults(trial):
    """What does not add up in the program's own account: then it is no truth to compare with."""
    own = own_account(trial)
    t, cpu = trial["t"], trial["cpu"]
    faults = []
    if not t[0] <= t[1] <= t[2] <= t[3]:
        faults.append(f"the clock goes backwards: {t}")
    known = cpu[2] - cpu[1] + trial["delay"] + own["stopped"][0]
    if known > own["elapsed"][1] * (1 + TOLERANCE_SHARE) + TOLERANCE_NS:
        faults.append(f"on a CPU, waiting and stopped for {known} of {own['elapsed'][1]} ns")
    if own["blocked"][1] < trial["blocked"] / 2:
        faults.append(f"blocked for {own['blocked'][1]} ns, meant {trial['blocked']}")
    return faults


def _outside(value, interval):
    """How far a value is outside an interval widened by the tolerance; 0: within."""
    least = interval[0] - interval[0] * TOLERANCE_SHARE - TOLERANCE_NS
    most = interval[1] + interval[1] * TOLERANCE_SHARE + TOLERANCE_NS
    return max(0, least - value, value - most)


def hard_faults(trial, violation):
    """What no load of the machine excuses: where it began and ended, and the sum of the parts."""
    split, t = violation["split_ns"], trial["t"]
    faults = []
    if not t[0] <= violation["start_ns"] <= t[1]:
        faults.append(f"start {violation['start_ns']} is not within {t[0]}..{t[1]}")
    if not t[2] <= violation["end_ns"] <= t[3]:
        faults.append(f"end {violation['end_ns']} is not within {t[2]}..{t[3]}")
    if sum(split.values()) != violation["elapsed_ns"]:
        faults.append(f"the parts sum to {sum(split.values())}, elapsed {violation['elapsed_ns']}")
    if violation["split_known"] == bool(split["unknown"]):
        faults.append(f"split_known is {violation['split_known']}: {split}")
    return faults


def split_faults(trial, violation):
    """Where the watch's split is not the program's."""
    own, split = own_account(trial), violation["split_ns"]
    faults = []
    parts = {"running": split["running"], "queued": split["waiting"] + split["throttled"],
             "blocked": split["blocked"], "stopped": split["stopped"]}
    for name, value in parts.items():
        if _outside(value, own[name]):
            faults.append(f"{name} {value}, the program says {own[name][0]}..{own[name][1]}")
    return faults


def _competitor_faults(trial, violation):
    """Of the wait, the competitor must have at least half of what it ran, by its own clock."""
    waits = [c for c in violation["causes"] if c["kind"] in ("preempted", "runqueue")]
    mine = sum(c["ns"] for c in waits if c.get("peer", {}).get("tid") == trial["peer"])
    if mine < trial["peer_ns"] / 2 or not trial["peer_ns"]:
        return [f"of the wait {mine} ns are laid to the competitor {trial['peer']}, which ran for {trial['peer_ns']}: "
                f"{[c['text'] for c in waits]}"]
    return []


def cause_faults(trial, violation):
    """Where the watch's reason is not the program's."""
    expect = EXPECT[trial["case"]]
    if expect.causes is None:
        return []
    if expect.peer == "competitor":
        return _competitor_faults(trial, violation)
    causes = [c for c in violation["causes"] if c["kind"] not in SCENERY]
    if not causes:
        return [f"no cause, want one of {expect.causes}"]
    largest = max(causes, key=lambda c: c["ns"])
    said = f"{largest['kind']} ({largest['text']})"
    if largest["kind"] not in expect.causes:
        return [f"the cause is {said}, want one of {expect.causes}; evidence: {largest.get('evidence')}"]
    if largest["confidence"] == "none":
        return [f"the cause is {said}, and not believed"]
    peer = largest.get("peer")
    if expect.peer == "exact" and (not peer or peer.get("tid") != trial["peer"]):
        return [f"the peer is {peer}, want {trial['peer']}: {said}"]
    if expect.peer == "maybe" and peer and peer.get("tid") != trial["peer"]:
        return [f"the peer is {peer}, want {trial['peer']} or none: {said}"]
    return []


def fired_faults(trial, fired):
    """What is wrong with the live notice of a section: none, several, or another state than possible."""
    expect = EXPECT[trial["case"]]
    if len(fired) != 1:
        return [f"{len(fired)} live notices"]
    if expect.states and fired[0]["state"] not in expect.states:
        return [f"found {fired[0]['state']} at the deadline, want one of {expect.states}"]
    return []
