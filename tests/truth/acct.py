#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Where the time of a section went: the watch's split and reason against the program's own account of itself."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import account
import machine
import tocsin
from tocsin import Suite, check, check_equal, matching

suite = Suite(needs=("tool", "root", "bpf", "btf"))

SECTIONS = {
    "usdt": "acct_usdt: usdt:acct:begin .. end < 1ms",
    "func": "acct_func: func:acct_begin .. acct_end < 1ms",
}
CASES = [name for name in account.EXPECT if name != "quota"]


def trials_of(target):
    return {o["case"]: o for o in target.objects() if "case" in o}


def reported(trial, watch, section):
    """The one violation of a case under one of the sections."""
    found = matching(watch.violations(section=section, tid=trial["tid"]), trial["t"])
    check(len(found) == 1, f"{section}: {len(found)} violations, want one")
    return found[0]


def judge(run, trial, watch):
    """Everything that must hold for one case, under both sections."""
    faults = account.own_faults(trial)
    check(not faults, "the program's own account does not add up: " + "; ".join(faults))
    for name in SECTIONS:
        section = f"acct_{name}"
        violation = reported(trial, watch, section)
        fired = [f for f in watch.of_type("fired") if f["section"] == section and
                 (f["tid"], f["start_ns"]) == (violation["tid"], violation["start_ns"])]
        faults = (account.split_faults(trial, violation) + account.cause_faults(trial, violation) +
                  account.fired_faults(trial, fired))
        check_equal(violation["pid"], trial["pid"], "pid")
        if trial["case"] == "exit":
            check_equal(violation.get("abandoned"), "exit", "abandoned")
        if faults:
            run.note(f"verdict: {violation['verdict']}")
            run.note(f"split: {violation['split_ns']}")
            run.note(f"program: {account.own_account(trial)}")
        check(not faults, f"{section}: " + "; ".join(faults))
        if name == "usdt":
            run.note(f"{violation['verdict']} (fired {violation.get('fired_late_ns', 0) / 1000:.1f} us late)")


class Session:
    """All cases in one process under one watch, run once for the tests below."""

    def __init__(self):
        self.watch = None
        self.trials = {}

    def run(self, run, *options, cases=CASES):
        target = run.target("acct", "-d", run.scratch, *options, *cases, urgent=True)
        self.watch = run.watch("-p", str(target.pid), *SECTIONS.values())
        target.go()
        check_equal(target.finish(120), 0, f"exit status of the target\n{target.err.text()}\n")
        check_equal(self.watch.interrupt(), 0, f"exit status of the watch\n{self.watch.err.text()}\n")
        self.trials = trials_of(target)
        check_equal(sorted(self.trials), sorted(cases), "cases")


def judge_again(run, case, here, *options):
    """Judges a case; when the kernel did not show a switch of it, and the watch says so, tries it again by itself."""
    for _ in range(3):
        check(case in here.trials, "the target did not run this case")
        trial = here.trials[case]
        if "skip" in trial:
            raise tocsin.Skip(trial["skip"])
        if all(reported(trial, here.watch, f"acct_{name}")["split_known"] for name in SECTIONS):
            judge(run, trial, here.watch)
            return
        check(here.watch.summary()["losses"]["gap"], "no split is claimed, and no switch was missed")
        run.note("a switch was not seen by the kernel's tracepoint: tried again")
        here = Session()
        here.run(run, *options, cases=[case])
    check(False, "no split three times in a row")


session = Session()


@suite.test("every case under one watch")
def every_case(run):
    session.run(run)
    session.watch.check_sound()
    summary = session.watch.section("acct_usdt")
    trials = [t for t in session.trials.values() if "skip" not in t]
    check_equal(summary["closed"], len(trials) - 1, "sections closed")
    check_equal(summary["abandoned"], 1, "sections abandoned")
    check_equal(summary["over"], len(trials), "sections over budget")


def add_case(name):
    @suite.test(f"{name}")
    def case(run):
        judge_again(run, name, session)


for case_name in CASES:
    add_case(case_name)


@suite.test("on the main thread, which was there before the watch")
def main_thread(run):
    here = Session()
    here.run(run, "-m", cases=["spin", "sleep", "mutex", "pipe"])
    here.watch.check_sound()
    for case, trial in here.trials.items():
        check_equal(trial["tid"], trial["pid"], "thread")
        judge_again(run, case, here, "-m")


def quota_session(run, group):
    """The case `quota` in a cgroup; for how long that was throttled."""
    here = Session()
    target = run.target("acct", "quota", urgent=True)
    here.watch = run.watch("-p", str(target.pid), *SECTIONS.values())
    group.add(target.pid)
    before = group.throttled_ns()
    target.go()
    check_equal(target.finish(120), 0, "exit status of the target")
    throttled = group.throttled_ns() - before
    here.watch.stop()
    here.trials = trials_of(target)
    return here, throttled


@suite.test("quota", needs=["cgroup"])
def quota(run):
    group = machine.Cgroup("quota")
    run.defer(group.close)
    group.set_quota(20_000, 100_000)
    here, throttled = quota_session(run, group)
    if not here.watch.summary()["throttle_known"]:
        raise tocsin.Skip("this kernel does not say when a task is throttled")
    trial = here.trials["quota"]
    judge(run, trial, here.watch)
    violation = reported(trial, here.watch, "acct_usdt")
    # The group's clock counts from the moment that its quota was used up, the thread's from when it gave way.
    said = violation["split_ns"]["throttled"]
    check(throttled * 0.8 <= said <= throttled * 1.01 + 4_000_000, f"throttled {said}, the cgroup was for {throttled}")
    cause = max(violation["causes"], key=lambda c: c["ns"])
    check(group.path.name in cause.get("subject", "") + cause["text"], f"the cgroup is not named: {cause}")
    spells = [s["cgroup"] for s in violation["spells"] if "cgroup" in s]
    check(spells, "no spell names the cgroup")
    check_equal((spells[0]["quota_ns"], spells[0]["period_ns"]), (20_000_000, 100_000_000), "quota and period")


suite.main()
