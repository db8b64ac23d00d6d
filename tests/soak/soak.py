#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random sections on eight threads against the watch: none reported that was not over, none over that was not reported.

SOAK_SECONDS (10), SOAK_THREADS (8) and SOAK_SEED (the time) choose the run.
"""

import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import judge
from tocsin import Suite, check, check_equal

SECONDS = int(os.environ.get("SOAK_SECONDS", "10"))
THREADS = int(os.environ.get("SOAK_THREADS", "8"))
SEED = int(os.environ.get("SOAK_SEED", str(int(time.time()))))

suite = Suite(needs=("tool", "root", "bpf", "btf"))
done = {}


@suite.test(f"{THREADS} threads for {SECONDS} s")
def run_soak(run):
    log = pathlib.Path(run.scratch, "log")
    target = run.target(judge.program(), log, SECONDS, THREADS, SEED, *judge.BUDGETS_US)
    watch = run.watch("--ring", "64M", "-p", str(target.pid), *judge.sections(), store=pathlib.Path(run.scratch, "lines"))
    target.go()
    check_equal(target.finish(SECONDS + 60), 0, f"exit status of the target\n{target.err.text()}\n")
    time.sleep(0.2)  # abandoned sections are reported as the threads go
    check_equal(watch.interrupt(60), 0, f"exit status of the watch\n{watch.err.text()}\n")
    done["records"], timers_ns = judge.split_log(judge.read_log(log))
    done["watch"] = watch
    done["verdict"] = verdict = judge.judge(done["records"], watch.of_type("fired") + watch.of_type("violation"), timers_ns)
    run.note(f"seed {SEED}: {verdict.records} sections, {verdict.over} over budget, {len(verdict.late_ns)} fired, "
             f"{len(verdict.missed_small)} ended within 10 us of their budget before the timer, {len(verdict.missed)} later "
             f"(the machine's timers explain {verdict.missed_expected:.1f}), {len(verdict.no_split)} without a split")
    for what, values in (("deadlines noticed", verdict.late_ns), ("the machine's timers", timers_ns)):
        run.note(f"{what} late by, us: " +
                 ", ".join(f"{k} {v / 1000:.1f}" for k, v in judge.percentiles(values).items()))


def verdict_test(name, attribute):
    @suite.test(name)
    def one(_):
        check("verdict" in done, "the run failed")
        found = getattr(done["verdict"], attribute)
        check(not found, f"{len(found)} of {done['verdict'].records}:\n" + "\n".join(str(f) for f in found[:5]))


for test_name, test_attribute in (
        ("no section reported that was within its budget", "false"),
        ("no report of a section that never was", "unknown"),
        ("no section reported twice", "duplicate"),
        ("every section over its budget has its violation", "silent"),
        ("every split sums to the elapsed time", "bad_split"),
        ("every end is where the program put it", "bad_bracket")):
    verdict_test(test_name, test_attribute)


@suite.test("deadlines missed by 10 us or more: no more than the machine's own timers explain")
def missed(_):
    check("verdict" in done, "the run failed")
    verdict = done["verdict"]
    check(len(verdict.missed) <= verdict.missed_allowed(),
          f"{len(verdict.missed)} missed, {verdict.missed_expected:.1f} explained:\n" +
          "\n".join(str(m) for m in sorted(verdict.missed)[-5:]))


@suite.test("sections without a split are rare, and their cause was counted")
def no_split(_):
    check("verdict" in done, "the run failed")
    found = len(done["verdict"].no_split)
    # Switches that the kernel does not tell: more of them on a busy machine.
    check(found <= max(3, done["verdict"].over // 300), f"{found} of {done['verdict'].over}")
    gaps = done["watch"].summary()["losses"]["gap"]
    check(found == 0 or gaps, "no switch was missed, and yet a split is not claimed")


@suite.test("counts and percentiles are those of the log")
def counts(_):
    check("verdict" in done, "the run failed")
    faults = judge.count_faults(done["records"], done["watch"].summary())
    check(not faults, "; ".join(faults))


@suite.test("the output is sound and nothing was lost")
def sound(_):
    check("verdict" in done, "the run failed")
    done["watch"].check_sound(losses=("spells_full", "stacks_full"))


suite.main()
