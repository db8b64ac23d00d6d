#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The self-tests that the kernel's "task latency over budget" monitor comes with, by their names, in Tocsin's form.

The kernel's own line (p PATH:START STOP threshold=NS, -PATH:START) is given as it stands. What the kernel tests through
an ioctl() or a file in tracefs is tested here through `tocsin watch`, `tocsin ctl` and the budgets file. The four tests
that all monitors share are here too; the two that later versions of the kernel added are marked.
"""

import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import elf
import machine
from tocsin import Skip, Suite, check, check_bracketed, check_equal, matching, target_path

suite = Suite(needs=("tool", "root", "bpf", "btf"))

MS = 1_000_000


def offsets(start, stop=None):
    """File offsets of a pair of functions of the target."""
    file = elf.Elf(target_path("tlob_target"))
    return file.offset(start), file.offset(stop or f"{start}_done")


def line(pair, threshold_ns, base=hex):
    """The kernel's line for one of the target's pairs: busy, sleep or preempt."""
    start, stop = offsets(f"tlob_{pair}_work")
    return f"p {target_path('tlob_target')}:{base(start)} {base(stop)} threshold={threshold_ns}"


def removal(pair):
    return f"-{target_path('tlob_target')}:{hex(offsets(f'tlob_{pair}_work')[0])}"


def started(run, *args):
    return run.target("tlob_target", *(str(a) for a in args), urgent=True)


def windows(target):
    found = target.objects()
    for one in found:
        if "skip" in one:
            raise Skip(one["skip"])
    return [o for o in found if "window" in o]


def finished(target, watch, losses=()):
    check_equal(target.go().finish(), 0, "exit status of the target")
    watch.stop(losses)
    return windows(target)


def check_over(watch, window, budget_ns):
    """One window, one violation, one live notice before it."""
    found = matching(watch.violations(tid=window["tid"]), window["t"])
    check_equal(len(found), 1, "violations of a window")
    check_bracketed(found[0], window["t"])
    check_equal(found[0]["budget_ns"], budget_ns, "budget")
    check(found[0]["fired"], "the deadline passed unnoticed")
    return found[0]


def dominates(run, mode, part, budget_ms=10):
    """Runs three windows of 40 ms in a mode; `part` must be more than half of each violation's split.

    Tried three times at most: other load of the machine can take the CPU from a thread that means to run, and the kernel's
    tracepoint can miss a switch.
    """
    for left in (2, 1, 0):
        target = started(run, mode, 3, 40)
        watch = run.watch("-p", str(target.pid), line(mode, budget_ms * MS))
        found = [check_over(watch, window, budget_ms * MS) for window in finished(target, watch)]
        other = [v["split_ns"] for v in found if v["split_ns"][part] * 2 <= v["elapsed_ns"]]
        if not other:
            break
        run.note(f"{part} does not dominate: {other}")
        check(left, f"{part} does not dominate, three times")
    for violation in found:
        fired = [f for f in watch.of_type("fired") if f["start_ns"] == violation["start_ns"]]
        check_equal(len(fired), 1, "live notices")
        check(sum(fired[0]["split_ns"].values()) >= budget_ms * MS, f"total below the budget: {fired[0]}")
    return watch


# The four that all monitors share.

@suite.test("rv_monitors_available: ctl lists what is armed")
def rv_monitors_available(run):
    target = started(run, "idle", 1, 1)
    watch = run.watch("-p", str(target.pid), line("busy", 5000 * MS), line("sleep", 5000 * MS))
    status, out, err = run.ctl(watch, "list")
    check_equal(status, 0, f"exit status of ctl list\n{err}\n")
    listed = [text for text in out.splitlines() if text.startswith("p ")]
    check_equal(sorted(listed), sorted([line("busy", 5000 * MS), line("sleep", 5000 * MS)]), "listed")
    watch.stop()


@suite.test("rv_monitor_enable_disable: on and off leaves nothing behind, twice")
def rv_monitor_enable_disable(run):
    target = started(run, "busy", 2, 5)
    path = target_path("tlob_target")
    before = elf.text_of(target.pid, path)
    check(before, "no text found")
    for _ in range(2):
        watch = run.watch("-p", str(target.pid), line("busy", 5000 * MS))
        check(elf.text_of(target.pid, path) != before, "no probe in the text while watched")
        held = machine.bpf_objects(watch.pid)
        check(held["link"], "the watch holds no link")
        watch.stop()
        check_equal(elf.text_of(target.pid, path), before, "text after the watch")
        check_equal(machine.bpf_objects_left(held, 5), {"link": set(), "prog": set()}, "left in the kernel")
    check_equal(target.go().finish(), 0, "exit status of the target")


@suite.test("rv_monitor_reactor: the reaction runs at a violation, and not without one")
def rv_monitor_reactor(run):
    out = pathlib.Path(run.scratch, "reaction")
    for budget_ms, want in ((5000, False), (1, True)):
        target = started(run, "busy", 1, 20)
        watch = run.watch("-p", str(target.pid), "--exec", f"env > {out}", line("busy", budget_ms * MS))
        finished(target, watch)
        check_equal(out.exists(), want, f"the reaction ran with a budget of {budget_ms} ms")
    text = out.read_text()
    check("TOCSIN_" in text, f"nothing about the violation in the reaction's environment:\n{text}")


@suite.test("rv_wwnr_printk: text output names the section, the thread and the excess")
def rv_wwnr_printk(run):
    target = started(run, "busy", 1, 20)
    watch = run.program(os.environ.get("TOCSIN", "build/tocsin"), "watch", "-p", str(target.pid), line("busy", MS))
    check(watch.err.wait(lambda: any("armed:" in text for text in watch.err.lines), 30), watch.err.text())
    check_equal(target.go().finish(), 0, "exit status of the target")
    watch.signal(signal.SIGINT)
    check_equal(watch.wait(), 0, "exit status of the watch")
    text = watch.out.text()
    tid = windows(target)[0]["tid"]
    check(str(tid) in text, f"the thread {tid} is not named:\n{text}")


# The monitor's own.

@suite.test("ioctl: within budget")
def within_budget(run):
    target = started(run, "busy", 3, 10)
    watch = run.watch("-p", str(target.pid), line("busy", 50 * MS))
    check_equal(len(finished(target, watch)), 3, "windows")
    check_equal(watch.of_type("violation") + watch.of_type("fired"), [], "reports")
    check_equal(watch.section()["closed"], 3, "sections closed")


@suite.test("ioctl: over budget running, sleeping, waiting")
def over_budget(run):
    dominates(run, "busy", "running", budget_ms=1)
    dominates(run, "sleep", "blocked", budget_ms=3)
    dominates(run, "preempt", "waiting", budget_ms=1)


@suite.test("ioctl: double start, both count and nothing leaks")
def double_start(run):
    target = started(run, "double", 3, 10)
    watch = run.watch("-p", str(target.pid), line("busy", 5 * MS))
    found = finished(target, watch, losses=("stop_unmatched", "left_open"))
    for window in found:
        check_over(watch, window, 5 * MS)
    # Start, start, stop, stop, stop: they nest, and the stop too many is counted and closes nothing.
    check_equal(watch.section()["closed"], 6, "sections closed")
    check_equal(watch.summary()["losses"]["stop_unmatched"], 3, "stops too many")


@suite.test("ioctl: stop without a start")
def stop_no_start(run):
    target = started(run, "stop", 5)
    watch = run.watch("-p", str(target.pid), line("busy", MS))
    finished(target, watch, losses=("stop_unmatched",))
    check_equal(watch.section()["closed"], 0, "sections closed")
    check_equal(watch.summary()["losses"]["stop_unmatched"], 5, "stops without a start")


@suite.test("ioctl: two threads, one within its budget and one over")
def multi_thread(run):
    target = started(run, "threads", 3, 30)
    watch = run.watch("-p", str(target.pid), line("busy", 20 * MS), line("sleep", 3 * MS))
    for window in finished(target, watch):
        if window["window"] == "sleep":
            check_over(watch, window, 3 * MS)
        else:
            check_equal(matching(watch.violations(tid=window["tid"]), window["t"]), [], "violations within budget")


@suite.test("ioctl: binding while nothing watches is refused")
def bind_disabled(run):
    status, _, err = run.tocsin("ctl", "--watch", str(os.getpid()), "add", line("busy", MS))
    check(status in (2, 3), f"exit status {status}")
    check(err.strip(), "refused without a reason")


@suite.test("tracefs: enabled by ctl, disabled by ctl, and the watch goes on")
def tracefs(run):
    target = started(run, "sleep", 400, 10)
    watch = run.watch("-p", str(target.pid), line("busy", 5000 * MS))
    check_equal(run.ctl(watch, "add", line("sleep", 5 * MS))[0], 0, "exit status of ctl add")
    target.go()
    watch.wait_violations(2)
    status, _, err = run.ctl(watch, "remove", removal("sleep")[1:])
    check_equal(status, 0, f"exit status of ctl remove\n{err}\n")
    removed_at = time.monotonic_ns()
    time.sleep(0.3)
    check(target.running(), "the target was over too soon")
    watch.stop()
    late = [v for v in watch.violations() if v["start_ns"] > removed_at]
    check_equal(late, [], "violations that began after the removal")


@suite.test("uprobe_bind: listed in the kernel's form, a duplicate refused, removed")
def uprobe_bind(run):
    target = started(run, "idle", 1, 1)
    watch = run.watch("-p", str(target.pid), line("sleep", 5000 * MS))
    check_equal(run.ctl(watch, "add", line("busy", 5000 * MS, base=str))[0], 0, "exit status of ctl add")
    out = run.ctl(watch, "list")[1]
    check(line("busy", 5000 * MS) in out.splitlines(), f"not listed:\n{out}")
    status, _, err = run.ctl(watch, "add", line("busy", 9_999_000))
    check(status != 0 and err.strip(), f"a duplicate was not refused: {status} {err}")
    check(line("busy", 5000 * MS) in run.ctl(watch, "list")[1].splitlines(), "the duplicate replaced the first")
    check_equal(run.ctl(watch, "remove", removal("busy")[1:])[0], 0, "exit status of ctl remove")
    check(line("busy", 5000 * MS) not in run.ctl(watch, "list")[1].splitlines(), "still listed")
    check(run.ctl(watch, "remove", removal("busy")[1:])[0] != 0, "removed twice")
    watch.stop()


@suite.test("uprobe_bind: a duplicate on the command line is refused")
def uprobe_bind_duplicate(run):
    status, _, err = run.tocsin("watch", "-p", str(os.getpid()), line("busy", MS), line("busy", 2 * MS))
    check_equal(status, 2, "exit status")
    check(err.strip(), "refused without a reason")


@suite.test("uprobe_detail_running (later version)")
def uprobe_detail_running(run):
    dominates(run, "busy", "running")


@suite.test("uprobe_detail_sleeping")
def uprobe_detail_sleeping(run):
    dominates(run, "sleep", "blocked")


@suite.test("uprobe_detail_waiting")
def uprobe_detail_waiting(run):
    watch = dominates(run, "preempt", "waiting")
    blocked = [v["split_ns"]["blocked"] for v in watch.violations()]
    check(max(blocked) == 0, f"blocked although it never slept: {blocked}")


@suite.test("uprobe_multi: two bindings fire independently")
def uprobe_multi(run):
    busy, sleep = started(run, "busy", 4, 20), started(run, "sleep", 4, 20)
    watch = run.watch("-p", str(busy.pid), "-p", str(sleep.pid), line("busy", 5000 * MS), line("sleep", 10_000))
    for target in (busy, sleep):
        target.go()
    for target in (busy, sleep):
        check_equal(target.finish(), 0, "exit status of the target")
    watch.stop()
    check_equal({v["tid"] for v in watch.violations()}, {sleep.pid}, "threads over budget")
    for window in windows(sleep):
        check_over(watch, window, 10_000)
    closed = sorted((s["closed"], s["over"]) for s in watch.summary()["sections"])
    check_equal(closed, [(4, 0), (4, 4)], "sections closed and over, of both")


@suite.test("uprobe_no_event: half a second of silence where no bound place is passed")
def uprobe_no_event(run):
    target = started(run, "idle", 1, 500)
    other = started(run, "busy", 3, 10)  # passes the place, but is not watched
    watch = run.watch("-p", str(target.pid), line("busy", 10_000))
    other.go()
    finished(target, watch)
    check_equal(other.finish(), 0, "exit status of the other")
    check_equal(watch.of_type("violation") + watch.of_type("fired"), [], "reports")
    check_equal(watch.section()["closed"], 0, "sections closed")


@suite.test("uprobe_restart (later version): windows do not add up, and unbinding after the exit works")
def uprobe_restart(run):
    target, other = started(run, "busy", 4, 200), started(run, "idle", 1, 1)
    watch = run.watch("-p", str(target.pid), "-p", str(other.pid), line("busy", 300 * MS), line("sleep", 300 * MS))
    check_equal(target.go().finish(), 0, "exit status of the target")
    status, _, err = run.ctl(watch, "remove", removal("busy")[1:])
    check_equal(status, 0, f"exit status of a removal after the exit\n{err}\n")
    check(line("busy", 300 * MS) not in run.ctl(watch, "list")[1].splitlines(), "still listed")
    watch.stop()
    check_equal(watch.of_type("violation") + watch.of_type("fired"), [], "reports")


@suite.test("uprobe_violation: five parts, a verdict, running more than sleeping")
def uprobe_violation(run):
    target = started(run, "busy", 2, 20)
    watch = run.watch("-p", str(target.pid), line("busy", 10_000))
    for window in finished(target, watch):
        violation = check_over(watch, window, 10_000)
        split = violation["split_ns"]
        check(split["running"] > split["blocked"], f"split: {split}")
        check(violation["verdict"].strip(), "no verdict")


# The lines that the kernel's parser takes and refuses.

def bad_lines():
    path = target_path("tlob_target")
    start, stop = (hex(o) for o in offsets("tlob_busy_work"))
    return {
        "threshold of zero": f"p {path}:{start} {stop} threshold=0",
        "threshold below 1000": f"p {path}:{start} {stop} threshold=999",
        "threshold over one hour": f"p {path}:{start} {stop} threshold=3600000000001",
        "no path": f"p :{start} {stop} threshold=1000000",
        "relative path": f"p tlob_target:{start} {stop} threshold=1000000",
        "no stop": f"p {path}:{start} threshold=1000000",
        "negative start": f"p {path}:-16 {stop} threshold=1000000",
        "no threshold": f"p {path}:{start} {stop}",
        "start equals stop": f"p {path}:{start} {start} threshold=1000000",
        "a word too many": f"p {path}:{start} {stop} threshold=1000000 extra",
        "not a regular file": f"p /:{start} {stop} threshold=1000000",
        "removal of a relative path": f"-tlob_target:{start}",
        "removal without an offset": f"-{path}",
        "neither": "abc",
    }


@suite.test("uprobe_format: lines that the kernel refuses are refused")
def bad_format(run):
    for name, text in bad_lines().items():
        budgets = pathlib.Path(run.scratch, "budgets")
        budgets.write_text(text + "\n")
        status, _, err = run.tocsin("watch", "-p", str(os.getpid()), "--budgets", str(budgets))
        check_equal(status, 2, f"exit status for {name}: {text}\n{err}\n")
        check(err.strip(), f"{name}: refused without a reason")


@suite.test("uprobe_format: lines that the kernel takes are taken")
def good_format(run):
    path = target_path("tlob_target")
    (start, stop), (start2, stop2) = offsets("tlob_busy_work"), offsets("tlob_sleep_work")
    target = started(run, "sleep", 2, 10)
    watch = run.watch("-p", str(target.pid), f"p {path}:{start} threshold=3600000000000 {stop}",
                      f"p {path}:{start2:#x} {stop2} threshold=1000")
    finished(target, watch)
    check_equal(len(watch.violations()), 2, "violations")


suite.main()
