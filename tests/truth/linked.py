#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sections that linked programs define themselves, read by the kernel half from the threads' slots."""

import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from tocsin import TOCSIN, Suite, check, check_equal, target_path

suite = Suite(needs=("tool", "root", "bpf", "btf"))


def by_time(found):
    return {(one["tid"], one["start_ns"], one["end_ns"]): one for one in found}


def compare(target, watch, name):
    """Every section over its budget has one record, at its very times, whose split is what the program did."""
    truth = [o for o in target.objects() if o.get("s") == name and o["over"]]
    mine = by_time(v for v in watch.violations(section=name) if "abandoned" not in v)
    check_equal(len(mine), len(watch.violations(section=name)), f"different records of {name}")
    check(truth, f"no section {name} ran over its budget")
    missing = [o for o in truth if (o["tid"], o["start"], o["end"]) not in mine]
    check_equal(missing, [], f"sections {name} without a record")
    check_equal(len(mine), len(truth), f"records of {name}")
    split = 0
    for one in truth:
        violation = mine[(one["tid"], one["start"], one["end"])]
        check_equal(sum(violation["split_ns"].values()), violation["elapsed_ns"], "sum of the split")
        if not violation["split_known"]:
            continue
        split += 1
        blocked = violation["split_ns"]["blocked"]
        check(blocked <= one["off"] + 100_000, f"blocked for {blocked} ns, slept for {one['off']}: {violation}")
        off = violation["elapsed_ns"] - violation["split_ns"]["running"]
        if one["exact"]:  # nothing but the sleep
            check(off <= one["off"] + 300_000, f"off the CPU for {off} ns, slept for {one['off']}: {violation}")
        check(blocked >= one["asked"] * 0.99 - 30_000, f"slept {one['asked']} ns, blocked for {blocked}: {violation}")
    return len(truth), split


@suite.test("sections of eight threads, nested at times: each late one has its record, with its split")
def work(run):
    target = run.target("slots", "work", "8", "60", "400", "11", urgent=True)
    watch = run.watch("-p", str(target.pid), "--linked", "*", urgent=True)
    check_equal(target.go().finish(), 0, f"exit status of the target\n{target.err.text()}\n")
    watch.stop(losses=("gap",))
    outer, inner = compare(target, watch, "outer"), compare(target, watch, "inner")
    known, total = outer[1] + inner[1], outer[0] + inner[0]
    fired = [v for v in watch.violations() if v["fired"]]
    late = [v for v in watch.violations() if v["elapsed_ns"] > v["budget_ns"] + 1_000_000]
    unfired = [v for v in late if not v["fired"]]
    run.note(f"{total} late sections, {known} with a split, {len(fired)} noticed at their deadline")
    check(known >= total * 0.95, f"{total - known} of {total} claim no split")
    check(len(unfired) <= len(late) * 0.02, f"{len(unfired)} of {len(late)} over by a millisecond were not noticed: {unfired[:2]}")
    early = [e for e in watch.of_type("fired") if e["late_ns"] < 0]
    check_equal(early, [], "fired too early")
    closed = {(v["tid"], v["start_ns"]) for v in watch.violations()}
    false = [e for e in watch.of_type("fired") if (e["tid"], e["start_ns"]) not in closed]
    check_equal(false, [], "fired, but ended within their budget")


@suite.test("only the names asked for")
def names(run):
    target = run.target("slots", "work", "2", "20", "400", "3")
    watch = run.watch("-p", str(target.pid), "--linked", "inn*")
    check_equal(target.go().finish(), 0, "exit status of the target")
    watch.stop(losses=("gap", "linked_unnamed"))
    check_equal({s["name"] for s in watch.summary()["sections"]}, {"inner"}, "sections")
    compare(target, watch, "inner")


@suite.test("a section that was open before the watch has its record, and claims no split")
def held(run):
    target = run.target("slots", "held", "30")
    watch = run.watch("-p", str(target.pid), "--linked", "outer")
    check_equal(target.go().finish(), 0, "exit status of the target")
    watch.stop(losses=("gap",))
    first, second = sorted(watch.violations(), key=lambda v: v["start_ns"])
    check_equal((first["split_known"], second["split_known"]), (False, True), "splits claimed")
    truth = [o for o in target.objects() if o.get("s") == "outer"]
    check_equal([(v["start_ns"], v["end_ns"]) for v in (first, second)], [(o["start"], o["end"]) for o in truth], "times")


@suite.test("a program that starts while others are watched is found")
def later(run):
    watch = run.watch("-a", "--linked", "*")
    target = run.target("slots", "work", "2", "20", "400", "5")
    time.sleep(0.5)
    check_equal(target.go().finish(), 0, "exit status of the target")
    watch.stop(losses=("gap",))
    compare(target, watch, "outer")


@suite.test("--linked without room for all sections: said, and what is not watched is counted")
def no_room(run):
    target = run.target("slots", "work", "2", "20", "400", "3")
    watch = run.watch("-p", str(target.pid), "--linked", "*", "--max-sections", "1", "--strict")
    check_equal(target.go().finish(), 0, "exit status of the target")
    watch.stop(losses=("gap", "linked_unnamed"), status=4)
    check("own sections of 1 process are not watched, or not all of them" in watch.err.text() and
          "--max-sections" in watch.err.text(), f"not said: {watch.err.text()}")
    known = {s["name"] for s in watch.summary()["sections"]}
    check_equal(len(known), 1, f"sections: {known}")
    compare(target, watch, known.pop())
    other = [o for o in target.objects() if o.get("over") and o["s"] not in {s["name"] for s in watch.summary()["sections"]}]
    check(other, "the other section was never late")
    check(watch.summary()["losses"]["linked_unnamed"] >= len(other) // 2, "what is not watched is not counted")


@suite.test("--linked: processes that may not be looked into are counted, and the first is named", needs=["program:setpriv"])
def denied(run):
    targets = [run.target("slots", "work", "2", "20", "400", "3") for _ in range(3)]
    pids = [word for one in targets for word in ("-p", str(one.pid))]
    watch = run.program("setpriv", "--bounding-set=-sys_ptrace", TOCSIN, "watch", *pids, "--linked", "*", stdin=subprocess.DEVNULL)
    check(watch.err.wait(lambda: any("armed:" in line for line in watch.err.lines), 30), watch.err.text())
    watch.signal(signal.SIGINT)
    check_equal(watch.wait(20), 0, f"exit status\n{watch.err.text()}\n")
    lines = [line for line in watch.err.lines if "own sections of 3 processes" in line]
    check_equal(len(lines), 2, f"at the start and at the end\n{watch.err.text()}\n")
    check(f"process {targets[0].pid}:" in lines[0] and "CAP_SYS_PTRACE" in lines[0], lines[0])


@suite.test("a program that writes anything into its slot and page harms nobody but itself")
def hostile(run):
    target = run.target("slots", "hostile", "3")
    other = run.target("slots", "work", "2", "40", "400", "9")
    watch = run.watch("-p", str(target.pid), "-p", str(other.pid), "--linked", "*")
    target.go()
    check_equal(other.go().finish(), 0, "exit status of the other target")
    check_equal(target.finish(), 0, "exit status of the target")
    watch.interrupt()
    good = {v["start_ns"]: v for v in watch.violations() if v["pid"] == other.pid}
    truth = [o for o in other.objects() if o.get("over")]
    lost = watch.summary()["losses"]["event_ring_full"]
    missing = [o for o in truth if o["start"] not in good]
    check(len(missing) <= lost, f"{len(missing)} records missing, {lost} counted as lost")
    check(watch.summary()["losses"]["linked_bad"] > 0, "no nonsense was noticed")


suite.main()
