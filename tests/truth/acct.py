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


def faults_of(run, trial, watch):
    """What of a case may be the fault of other load, under both sections; raises at once for what may not."""
    faults = account.own_faults(trial)
    for name in SECTIONS:
        section = f"acct_{name}"
        violation = reported(trial, watch, section)
        hard = account.hard_faults(trial, violation)
        check(not hard, f"{section}: " + "; ".join(hard))
        check_equal(violation["pid"], trial["pid"], "pid")
        check_equal(violation.get("abandoned"), "exit" if trial["case"] == "exit" else None, "abandoned")
        fired = [f for f in watch.of_type("fired") if f["section"] == section and
                 (f["tid"], f["start_ns"]) == (violation["tid"], violation["start_ns"])]
        if not violation["split_known"]:
            check(watch.summary()["losses"]["gap"], "no split is claimed, and no switch was missed")
            faults.append("a switch was not seen by the kernel's tracepoint")
            continue
        faults += (account.split_faults(trial, violation) + account.cause_faults(trial, violation) +
                   account.fired_faults(trial, fired))
        if name == "usdt":
            run.note(f"{violation['verdict']} (fired {violation.get('fired_late_ns', 0) / 1000:.1f} us late)")
    if faults:
        run.note(f"{'; '.join(faults)}; split {violation['split_ns']}, program {account.own_account(trial)}")
    return faults


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


TRIES = 3


def judge(run, case, here, *options):
    """Judges a case; tries it again by itself, twice at most, when other load of the machine may be to blame."""
    for left in reversed(range(TRIES)):
        check(case in here.trials, "the target did not run this case")
        trial = here.trials[case]
        if "skip" in trial:
            raise tocsin.Skip(trial["skip"])
        faults = faults_of(run, trial, here.watch)
        if not faults:
            return
        check(left, "; ".join(faults))
        here = Session()
        here.run(run, *options, cases=[case])


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
        judge(run, name, session)


for case_name in CASES:
    add_case(case_name)


@suite.test("on the main thread, which was there before the watch")
def main_thread(run):
    here = Session()
    here.run(run, "-m", cases=["spin", "sleep", "mutex", "pipe"])
    here.watch.check_sound()
    for case, trial in here.trials.items():
        check_equal(trial["tid"], trial["pid"], "thread")
        judge(run, case, here, "-m")


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


def quota_faults(run, group):
    """One run of the case `quota`: what of it may be the fault of other load."""
    here, throttled = quota_session(run, group)
    if not here.watch.summary()["throttle_known"]:
        raise tocsin.Skip("this kernel does not say when a task is throttled")
    trial = here.trials["quota"]
    faults = faults_of(run, trial, here.watch)
    violation = reported(trial, here.watch, "acct_usdt")
    if not violation["split_known"]:
        return faults
    # The group's clock counts from the moment that its quota was used up, the thread's from when it gave way.
    said = violation["split_ns"]["throttled"]
    if not throttled * 0.8 <= said <= throttled * 1.01 + 4_000_000:
        faults.append(f"throttled {said}, the cgroup was for {throttled}")
    cause = max(violation["causes"], key=lambda c: c["ns"])
    check(group.path.name in cause.get("subject", "") + cause["text"], f"the cgroup is not named: {cause}")
    spells = [s["cgroup"] for s in violation["spells"] if "cgroup" in s]
    check(spells, "no spell names the cgroup")
    check_equal((spells[0]["quota_ns"], spells[0]["period_ns"]), (20_000_000, 100_000_000), "quota and period")
    return faults


@suite.test("quota", needs=["cgroup"])
def quota(run):
    group = machine.Cgroup("quota")
    run.defer(group.close)
    group.set_quota(20_000, 100_000)
    for left in reversed(range(TRIES)):
        faults = quota_faults(run, group)
        if not faults:
            return
        check(left, "; ".join(faults))


suite.main()
