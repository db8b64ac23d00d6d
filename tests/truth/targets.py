#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The target programs by themselves: what they say they do is what they do. Needs no privilege and no watch."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "soak"))

import account
import elf
import hazards
import judge
from tocsin import Skip, Suite, check, check_equal, target_path

suite = Suite(needs=())


@suite.test("acct: its own account adds up in every case")
def acct(run):
    cases = [c for c in account.EXPECT if c != "quota"]
    target = run.target("acct", "-d", run.scratch, *cases)
    check_equal(target.go().finish(120), 0, f"exit status\n{target.err.text()}\n")
    trials = [o for o in target.objects() if "case" in o]
    check_equal([t["case"] for t in trials], cases, "cases")
    for trial in trials:
        if "skip" in trial:
            run.note(f"{trial['case']}: skipped: {trial['skip']}")
            continue
        faults = account.own_faults(trial)
        check(not faults, f"{trial['case']}: " + "; ".join(faults))


@suite.test("acct: an unknown case is refused")
def acct_unknown(run):
    program = run.program(target_path("acct"), "spin", "nonsense")
    check_equal(program.wait(), 2, "exit status")


@suite.test("tlob_target: windows as long as asked, in every mode")
def tlob_target(run):
    for mode, windows in (("busy", 2), ("sleep", 2), ("preempt", 2), ("threads", 4), ("double", 2), ("stop", 0),
                          ("idle", 0)):
        target = run.target("tlob_target", mode, "2", "12")
        check_equal(target.go().finish(), 0, f"exit status of {mode}")
        found = [o for o in target.objects() if "window" in o]
        if any("skip" in o for o in target.objects()):
            continue
        check_equal(len(found), windows, f"windows of {mode}")
        for window in found:
            t = window["t"]
            least = 2_000_000 if (mode, window["window"]) == ("threads", "busy") else 12_000_000
            check(t == sorted(t) and t[2] - t[1] >= least, f"{mode}: {window}")


@suite.test("hurt programs give the same verdict each time")
def hurt(run):
    for case in hazards.CASES:
        try:
            path = target_path(case.program)
        except Skip as why:
            run.note(f"{case.name}: {why}")
            continue
        outcomes = {hazards.outcome(run.target(path, *case.args)) for _ in range(2)}
        check(len(outcomes) == 1, f"{case.name}: {outcomes}")
        status, out = outcomes.pop()
        check_equal(status, 0, f"exit status of {case.name}: {out}")


@suite.test("hurt_leaf keeps its data in the red zone")
def hurt_leaf(run):
    target = run.target("hurt_leaf", "100")
    check_equal(target.go().finish(), 0, "exit status")
    check_equal(target.objects()[0]["red_zone"], True, "data below the stack pointer")
    check_equal(target.objects()[0]["wrong"], 0, "wrong sums")


@suite.test("hurt_flow: the tail call is a jump, the syscall site is a syscall")
def hurt_flow(_):
    file = elf.Elf(target_path("hurt_flow"))
    site = file.offset("raw_getppid_site")
    check_equal(file.data[site:site + 2], b"\x0f\x05", "bytes at the site")
    tail, after = file.offset("watched_tail"), file.offset("watched_next")
    code = file.data[tail:tail + 32]
    jumps = [i for i in range(len(code) - 5) if code[i] == 0xe9 and
             tail + i + 5 + int.from_bytes(code[i + 1:i + 5], "little", signed=True) == after]
    check(jumps, f"no jump to watched_next in {code.hex()}")


@suite.test("kinds: stamps in order in every mode, of every build")
def kinds(run):
    for program in ("kinds", "kinds_fixed", "kinds_dynsym", "kinds_bare"):
        for mode in ("tick", "func", "hidden", "lib", "versions", "overlap", "keyed", "keyed_const", "read", "family",
                     "threads", "exec", "sem"):
            target = run.target(program, mode, "2", "1000", "0")
            target.go()
            check_equal(target.finish(), 0, f"exit status of {program} {mode}: {target.err.text()}")
            found = [o for o in target.objects() if "s" in o]
            check(len(found) >= 2, f"{program} {mode}: {found}")
            for one in found:
                check(one["t"] == sorted(one["t"]), f"{program} {mode}: {one}")


@suite.test("kinds_cxx: methods, overloads and templates")
def kinds_cxx(run):
    target = run.target("kinds_cxx", "1", "1000")
    check_equal(target.go().finish(), 0, "exit status")
    check_equal([o["s"] for o in target.objects()], ["method", "work(int)", "work(double)", "scale<short>"], "sections")


@suite.test("soak: the log is whole")
def soak(run):
    log = pathlib.Path(run.scratch, "log")
    program = run.target(judge.program(), str(log), "1", "4", "7", *(str(b) for b in judge.BUDGETS_US))
    check_equal(program.go().finish(), 0, "exit status")
    everything = judge.read_log(log)
    check_equal(len(everything), program.objects()[0]["records"], "records")
    found, _ = judge.split_log(everything)
    check(len(found) > 100, f"only {len(found)} sections")
    check_equal(sorted({r.kind for r in found}), [0, 1, 2, 3], "kinds")
    for record in found:
        check(list(record.t) == sorted(record.t), f"the clock goes backwards: {record}")
    for tid in {r.tid for r in found}:
        for kind in range(4):
            mine = sorted((r.t for r in found if (r.tid, r.kind) == (tid, kind)))
            check(all(a[3] <= b[0] for a, b in zip(mine, mine[1:])), f"sections of one kind overlap on thread {tid}")
    over = sum(r.t[2] - r.t[1] > judge.BUDGETS_US[r.kind] * 1000 for r in found)
    check(len(found) / 5 < over < len(found), f"{over} of {len(found)} over budget: no test of anything")


suite.main()
