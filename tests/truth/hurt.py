#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The target is never hurt: programs that careless probes kill behave under the watch exactly as without it."""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import hazards
from tocsin import Suite, check, check_equal, target_path

suite = Suite(needs=("tool", "root", "bpf"))

# What sections that end in no ordinary way may leave behind.
LOSSES = ("left_open", "stop_unmatched", "open_full")


def watched_outcome(run, case, way):
    """Runs the program under the watch: its outcome, and the watch, or None when the watch refused."""
    path = target_path(case.program)
    target = run.target(path, *case.args)
    watch = run.watch("-p", str(target.pid), hazards.section_text(way, path), armed=False)
    armed = watch.err.wait(lambda: any("armed:" in line for line in watch.err.lines), 30)
    outcome = hazards.outcome(target)
    if not armed:
        check_equal(watch.wait(), 2, f"exit status of a watch that refuses\n{watch.err.text()}\n")
        check(watch.err.text().strip(), "refused without a reason")
        return outcome, watch, False
    return outcome, watch, True


def try_way(run, case, way):
    path = target_path(case.program)
    plain = hazards.outcome(run.target(path, *case.args))
    outcome, watch, accepted = watched_outcome(run, case, way)
    check_equal(outcome, plain, f"what the program did, watched (left) and not (right)\n{watch.err.text()}\n")
    if accepted:
        check(way.answer != hazards.REFUSED, f"accepted: {watch.err.text()}")
        check_equal(watch.interrupt(), 0, f"exit status of the watch\n{watch.err.text()}\n")
        watch.check_sound(LOSSES)
        if way.hits is not None:
            check_equal(watch.section()["closed"], way.hits, "sections closed")
    else:
        check(way.answer != hazards.ACCEPTED, f"refused: {watch.err.text()}")
        if way.reason:
            check(re.search(way.reason, watch.err.text()), f"no word of '{way.reason}': {watch.err.text()}")
        run.note(f"refused: {watch.err.text().splitlines()[0]}")


def add_way(case, way):
    @suite.test(f"{case.name}: {way.name}")
    def one(run):
        try_way(run, case, way)


for hazard in hazards.CASES:
    for one_way in hazard.ways:
        add_way(hazard, one_way)


@suite.test("--force binds what was refused, and says what may happen")
def force(run):
    target = run.target("hurt_leaf", "100")
    watch = run.watch("-p", str(target.pid), "--force", "usdt:hurt:leaf .. leaf_done < 10s")
    check("below the stack pointer" in watch.err.text(), f"no warning: {watch.err.text()}")
    target.go()
    check(target.finish() in (0, 1), "the program ended by something else than its own verdict")
    check_equal(watch.interrupt(), 0, "exit status of the watch")
    check_equal(watch.section()["closed"], 100, "sections closed")


@suite.test("two watches on one program, and it is as if there were none")
def twice(run):
    path = target_path("hurt_flow")
    plain = hazards.outcome(run.target(path, "signal", "500"))
    target = run.target(path, "signal", "500")
    section = "func:watched .. watched_done < 10s"
    watches = [run.watch("-p", str(target.pid), section) for _ in range(2)]
    check_equal(hazards.outcome(target), plain, "what the program did")
    closed = [w.stop(LOSSES).section()["closed"] for w in watches]
    check_equal(closed[0], closed[1], "sections closed in both")


@suite.test("watches come and go while the program runs")
def storm(run):
    path = target_path("hurt_flow")
    plain = hazards.outcome(run.target(path, "longjmp", "160000000"))
    target = run.target(path, "longjmp", "160000000")
    target.go()
    rounds = 0
    while target.running() and rounds < 5:
        watch = run.watch("-p", str(target.pid), "func:watched .. watched_done < 10s", armed=False)
        if not watch.err.wait(lambda w=watch: any("armed:" in line for line in w.err.lines), 30):
            break  # the program was over first
        check_equal(watch.interrupt(), 0, f"exit status of the watch\n{watch.err.text()}\n")
        rounds += 1
    status = target.finish(120)
    out = "\n".join(line for line in target.out.lines if '"ready"' not in line)
    check_equal((status, out), plain, "what the program did")
    run.note(f"{rounds} watches")
    check(rounds > 0, "no watch was armed in time")


suite.main()
