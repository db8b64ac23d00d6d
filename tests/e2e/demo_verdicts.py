#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `make demo` shows, asserted: each fault of a PostgreSQL is named, and its own log agrees with the watch.

One run of the scenario, judged by several tests.
"""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import faults  # noqa: E402
import pg  # noqa: E402
import tocsin  # noqa: E402

BUDGET_MS = pg.SLOW_MS
SECTION = f"query: usdt:postgres:query__start .. query__done < {BUDGET_MS}ms"
# The server reads its clock before the first probe and before the second. Whoever takes the CPU in one of these gaps makes
# the two accounts differ, so they are compared by what they have in common, and a few may differ altogether.
COMMON = 0.5
DIFFERENT = 0.05

suite = tocsin.Suite(needs=("tool", "root", "bpf", "btf", "cgroup", "program:xz"))


class Outcome:
    """The finished scenario: nothing of it runs any more."""

    def __init__(self, run):
        with pg.Server() as server, faults.Scenario(server) as scenario:
            watch = run.watch("-p", server.pid, "--follow-children", SECTION)
            scenario.run(lambda name, text: None)
            self.status = watch.interrupt(30)
            self.offset_ns = time.time_ns() - time.monotonic_ns()
            self.log = server.slow_statements()
            self.windows = dict(scenario.windows)
            self.quiet = scenario.slow_statements("quiet")
            self.faults = scenario.faults
        self.watch = watch
        self.violations = watch.violations()
        self.verdicts = {v.fault.name: v for v in faults.judge(self.faults, self.windows, self.violations)}


_outcome = []


def outcome(run):
    """The outcome of the one run; a failure to play it fails every test that asks."""
    if not _outcome:
        try:
            _outcome.append(Outcome(run))
        except pg.Unavailable as missing:
            _outcome.append(tocsin.Skip(str(missing)))
        except Exception as error:  # told by each test that needed the run
            _outcome.append(error)
    if isinstance(_outcome[0], Exception):
        raise _outcome[0]
    return _outcome[0]


@suite.test("demo: the watch ends well and loses nothing")
def ends_well(run):
    found = outcome(run)
    tocsin.check_equal(found.status, 0, "exit status of the watch")
    found.watch.check_sound()


@suite.test("demo: undisturbed, hardly a query is late")
def quiet(run):
    found = outcome(run)
    begin, stop = found.windows["quiet"]
    late = [v for v in found.violations if begin <= v["start_ns"] < stop]
    run.note(f"{len(late)} violations, {len(found.quiet)} in the server's log")
    tocsin.check(len(late) <= len(found.quiet) + 2, f"{len(late)} violations, the server's log has {len(found.quiet)}")


def add_fault_test(name, what):
    @suite.test(f"demo: of what was late meanwhile, the dominant cause is {what}")
    def named(run):
        v = outcome(run).verdicts[name]
        run.note(f"{v.naming} of {v.late} violations: {v.sentence}; {v.named_ns / 1e9:.2f} s, "
                 f"next {v.other} with {v.other_ns / 1e9:.2f} s")
        tocsin.check(v.late > 0, "no violation while the fault was on")
        tocsin.check(v.naming > 0, f"none of {v.late} violations names it; some verdicts: " +
                     "; ".join(v["verdict"] for v in outcome(run).violations[:5]))
        tocsin.check(v.is_named, f"it has {v.named_ns} ns, {v.other} has {v.other_ns} ns")


@suite.test("demo: a fault that one violation names but that does not dominate is not named")
def not_dominant(run):
    found = outcome(run)
    fault, (begin, stop) = found.faults[0], found.windows["cpu"]
    mine = next(c for v in found.violations for c in v["causes"] if fault.is_named_by(c))
    for other, ns, want in (({"kind": "disk"}, 60, False), ({"kind": "disk"}, 30, True),
                            ({"kind": "heavy_lock", "peer": {"pid": 4711}}, 60, False),
                            ({"kind": "heavy_lock", "peer": {"pid": 1}}, 60, True)):  # 1 is late itself
        violation = {"start_ns": begin, "end_ns": stop, "pid": 1, "causes": [{**mine, "ns": 40}, {**other, "ns": ns}]}
        verdict = faults.judge([fault], found.windows, [violation])[0]
        tocsin.check_equal(verdict.is_named, want, f"named, with 40 ns of its own and {ns} of {other}")


add_fault_test("cpu", "the rival on the CPU")
add_fault_test("lock", "the holder of the row lock")
add_fault_test("quota", "the CPU quota and its cgroup")
add_fault_test("disk", "the disk")


@suite.test("demo: the server's own log agrees, statement by statement")
def agrees_with_log(run):
    found = outcome(run)
    begin = found.windows["quiet"][0]
    stop = found.windows["disk"][1]
    missing = []
    compared = 0
    for end_s, pid, ms, text in found.log:
        log_end = end_s * 1e9 - found.offset_ns
        log_begin = log_end - ms * 1e6
        if not begin < log_begin < log_end < stop or ms < BUDGET_MS + 1:
            continue
        compared += 1
        common = max((min(v["end_ns"], log_end) - max(v["start_ns"], log_begin)
                      for v in found.violations if v["pid"] == pid), default=0)
        if common < COMMON * ms * 1e6:
            missing.append(f"{ms} ms, pid {pid}: {text[:60]}")
    run.note(f"{compared} statements of the log compared, {len(missing)} have no violation like them")
    tocsin.check(compared > 50, f"only {compared} slow statements: the faults did not work")
    tocsin.check(len(missing) <= DIFFERENT * compared, f"no violation like: {missing[:5]}")


suite.main()
