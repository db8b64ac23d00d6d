#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whom the watch looks at, when it ends, and what it does at a violation."""

import fcntl
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import elf
import machine
from tocsin import TOCSIN, Suite, check, check_equal, target_path, with_libraries

suite = Suite(needs=("tool", "root", "bpf", "btf"))

TICK = "tick: usdt:kinds:tick_begin .. tick_end < 1ms"


def tick_of(path):
    return f"tick: usdt:{path}:kinds:tick_begin .. tick_end < 1ms"


def started(run, mode="tick", n=4, duration_us=3000, gap_us=500, program="kinds"):
    return run.target(program, mode, str(n), str(duration_us), str(gap_us), env=with_libraries())


def ended(*targets):
    for target in targets:
        target.go()
    for target in targets:
        check_equal(target.finish(), 0, f"exit status of the target\n{target.err.text()}\n")


def ticks(*targets):
    """(pid, tid) of every tick that these targets made, sorted."""
    return sorted((o["pid"], o["tid"]) for t in targets for o in t.objects() if o.get("s") == "tick")


def seen(watch):
    return sorted((v["pid"], v["tid"]) for v in watch.violations())


# Whom.

@suite.test("-p twice: both, and no third")
def pids(run):
    one, two, three = (started(run) for _ in range(3))
    watch = run.watch("-p", str(one.pid), "-p", str(two.pid), TICK)
    ended(one, two, three)
    watch.stop()
    check_equal(seen(watch), ticks(one, two), "threads over budget")


@suite.test("threads that begin while watched")
def threads(run):
    target = started(run, mode="threads", n=20, gap_us=0)
    watch = run.watch("-p", str(target.pid), TICK)
    ended(target)
    watch.stop()
    check_equal(seen(watch), ticks(target), "threads over budget")


@suite.test("children: not without --follow-children")
def children_not(run):
    target = started(run, mode="family")
    watch = run.watch("-p", str(target.pid), TICK)
    ended(target)
    watch.stop()
    check_equal(seen(watch), [], "threads over budget")


@suite.test("--follow-children")
def children(run):
    target = started(run, mode="family")
    watch = run.watch("-p", str(target.pid), "--follow-children", TICK)
    ended(target)
    watch.stop()
    check_equal(seen(watch), ticks(target), "threads over budget")
    forked = {(p["pid"], p["parent"]) for p in watch.of_type("process") if p["what"] == "forked"}
    check_equal(forked, {(pid, target.pid) for pid, _ in ticks(target)}, "children said to be forked")


@suite.test("-a: every process of the binary, also one that comes later")
def everybody(run):
    one = started(run)
    watch = run.watch("-a", tick_of(target_path("kinds")))
    two = started(run)
    ended(one, two)
    watch.stop()
    check_equal(seen(watch), ticks(one, two), "threads over budget")


@suite.test("--comm: by name")
def comm(run):
    named = pathlib.Path(run.scratch, "kinds_named")
    shutil.copy(target_path("kinds"), named)
    one, two = started(run, program=str(named)), started(run)
    watch = run.watch("--comm", "kinds_named", tick_of(named))
    ended(one, two)
    watch.stop()
    check_equal(seen(watch), ticks(one), "threads over budget")


@suite.test("--comm of nobody: waits for one")
def comm_nobody(run):
    watch = run.watch("--comm", "no_such_comm", "-d", "1s", tick_of(target_path("kinds")))
    check_equal(watch.wait(), 0, "exit status")
    watch.check_sound()
    check_equal(watch.section()["closed"], 0, "sections closed")


@suite.test("--cgroup: who is in it", needs=["cgroup"])
def cgroup(run):
    group = machine.Cgroup("members")
    run.defer(group.close)
    one, two = started(run), started(run)
    group.add(one.pid)
    watch = run.watch("--cgroup", str(group.path), tick_of(target_path("kinds")))
    ended(one, two)
    watch.stop()
    check_equal(seen(watch), ticks(one), "threads over budget")


@suite.test("-- CMD: watched from its first instruction, and its status is ours")
def command(run):
    watch = run.watch(TICK, "--", target_path("kinds"), "tick", "4", "3000", "500", mixed=True)
    check_equal(watch.wait(30), 0, f"exit status\n{watch.err.text()}\n")
    watch.check_sound()
    printed = [json.loads(line) for line in watch.others]
    check_equal(seen(watch), sorted((o["pid"], o["tid"]) for o in printed if o.get("s") == "tick"), "threads over budget")
    check_equal(len(watch.violations()), 4, "violations")


@suite.test("-- CMD: exit statuses")
def command_status(run):
    path = target_path("kinds")
    plain = pathlib.Path(run.scratch, "plain")
    plain.write_text("no program\n")
    for argv, want in ((["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
                       (["/nonexistent/command"], 127), ([str(plain)], 126), (["true"], 0), (["false"], 1)):
        status, _, err = run.tocsin("watch", "--json", tick_of(path), "--", *argv)
        check_equal(status, want, f"exit status for {argv}\n{err}\n")


@suite.test("-- CMD: Ctrl-C reaches both")
def command_interrupted(run):
    watch = run.watch(TICK, "--", target_path("kinds"), "tick", "10000", "3000", "500", mixed=True)
    watch.wait_violations(2)
    os.killpg(watch.pid, signal.SIGINT)
    check_equal(watch.wait(20), 128 + signal.SIGINT, f"exit status\n{watch.err.text()}\n")
    check(watch.section()["closed"] >= 2, "no sections in the summary")


# When it ends.

@suite.test("-d: for that long")
def duration(run):
    target = started(run, n=1000)
    watch = run.watch("-p", str(target.pid), "-d", "1s", TICK)
    target.go()
    check_equal(watch.wait(20), 0, "exit status")
    watch.check_sound()
    took = watch.summary()["duration_ns"]
    check(0.95e9 < took < 2e9, f"it took {took} ns")


@suite.test("--count: after that many violations")
def count(run):
    target = started(run, n=1000)
    watch = run.watch("-p", str(target.pid), "--count", "3", TICK)
    target.go()
    check_equal(watch.wait(20), 0, f"exit status\n{watch.err.text()}\n")
    check_equal(len(watch.violations()), 3, "violations")
    watch.summary()


@suite.test("--count: exactly as many, and those that came before the probes were silenced are said to be more")
def count_exact(run):
    target = started(run, n=40, duration_us=1500, gap_us=0)
    watch = run.watch("-p", str(target.pid), "--count", "3", TICK)
    watch.signal(signal.SIGSTOP)  # so that they wait for it
    ended(target)
    watch.signal(signal.SIGCONT)
    check_equal(watch.wait(20), 0, f"exit status\n{watch.err.text()}\n")
    section = watch.section()
    check_equal((len(watch.violations()), section["over"], section["unreported"]), (3, 40, 37), "reported, over, unreported")
    watch.check_sound()


def living(watch, name):
    """Children of the watch by that name, zombies left out."""
    children = pathlib.Path(f"/proc/{watch.pid}/task/{watch.pid}/children").read_text().split()
    stats = [pathlib.Path(f"/proc/{child}/stat").read_text() for child in children]
    return [stat for stat in stats if f"({name})" in stat and stat[stat.rindex(")") + 2] != "Z"]


@suite.test("-d and --count end the command that the watch started, and their status is not its")
def command_ends(run):
    kinds = [target_path("kinds"), "tick", "100000", "3000", "500"]
    for options, want in ((("-d", "700ms"), 0), (("--count", "3"), 0), (("--count", "3", "--fail-on-violation"), 1)):
        watch = run.watch(*options, TICK, "--", *kinds, mixed=True)
        check_equal(watch.wait(20), want, f"exit status with {options}\n{watch.err.text()}\n")
        watch.check_sound()
        done = json.loads(watch.others[0])["ready"]
        check(not pathlib.Path(f"/proc/{done}").exists(), f"with {options} the command goes on")


@suite.test("-d: the command may take its time to end, also one that is stopped; a signal ends the wait")
def command_slow(run):
    path = tick_of(target_path("kinds"))
    watch = run.watch("-d", "300ms", path, "--", "sh", "-c", "trap 'sleep 0.5; echo bye; exit 3' TERM; while :; do sleep 0.1; done",
                      mixed=True)
    check_equal(watch.wait(20), 0, f"exit status\n{watch.err.text()}\n")
    check_equal(watch.others, ["bye"], "what it said last")
    check(watch.summary()["duration_ns"] < 500_000_000, "the watch went on while it waited")
    watch = run.watch("-d", "300ms", path, "--", "sh", "-c", "kill -STOP $$; sleep 100", mixed=True)
    check_equal(watch.wait(20), 0, f"exit status of one that was stopped\n{watch.err.text()}\n")
    watch = run.watch("-d", "300ms", path, "--", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done", mixed=True)
    check(watch.out.wait(lambda: watch.of_type("summary"), 10), "no summary")
    check(watch.running() and living(watch, "sh"), "it did not wait for one that ignores SIGTERM")
    watch.signal(signal.SIGINT)
    check_equal(watch.process.wait(5), 0, "exit status after a signal")


@suite.test("--fail-on-violation")
def fail(run):
    for budget, want in (("1ms", 1), ("10s", 0)):
        target = started(run)
        watch = run.watch("-p", str(target.pid), "--fail-on-violation", f"usdt:kinds:tick_begin .. tick_end < {budget}")
        ended(target)
        watch.stop(status=want)


@suite.test("a section that is passed so often that its probes cost the program something: said once, while it runs")
def hot(run):
    loop = "import os, sys, time\nwhile 1:\n for _ in range(int(sys.argv[1])): os.getppid()\n time.sleep(0.001)"
    for times, said in ((5000, 1), (1, 0)):
        target = run.program(sys.executable, "-c", loop, str(times))
        time.sleep(0.3)
        watch = run.watch("-p", str(target.pid), "-d", "6s", "parent: func:libc.so.6:getppid < 1s")
        check_equal(watch.wait(30), 0, f"exit status\n{watch.err.text()}\n")
        lines = [line for line in watch.err.lines if line.startswith("warning: parent: ")]
        check_equal(len(lines), said, f"warnings with {times} calls a millisecond\n{watch.err.text()}\n")
        target.destroy()
    # What it says is what was there: some microseconds each.
    run.note(f"{watch.section()['closed']} sections in the quiet run")


@suite.test("Ctrl-C: hundred probes are gone with the summary, not some seconds later")
def many_probes(run):
    target = started(run)
    names = ("kinds_work", "kinds_hidden", "probe_tick_begin", "probe_tick_end")
    sections = [f"s{i}: func:{names[i % 4]} .. main < 1s" for i in range(50)]
    watch = run.watch("-p", str(target.pid), *sections)
    check("100 probes" in watch.err.text(), watch.err.text())
    begin = time.monotonic()
    watch.stop()
    took = time.monotonic() - begin
    run.note(f"gone after {took:.2f} s")
    check(took < 2, f"{took:.1f} s from the signal to the end")  # one after the other, at 0.1 s each, they took 10


@suite.test("--strict: nothing lost is still 0")
def strict(run):
    target = started(run)
    watch = run.watch("-p", str(target.pid), "--strict", TICK)
    ended(target)
    watch.stop()


@suite.test("--strict: more sections open than a thread may have is 4, and what fits is whole")
def strict_lost(run):
    target = started(run, mode="deep", n=70)
    watch = run.watch("-p", str(target.pid), "--strict", TICK)
    ended(target)
    watch.stop(losses=("open_full",), status=4)
    check_equal(watch.summary()["losses"]["open_full"], 6, "sections not opened")
    check_equal(watch.section()["closed"], 64, "sections closed")
    check_equal(watch.section()["over"], 64, "sections over budget")


@suite.test("--max-threads: who does not fit is counted, and --strict minds")
def max_threads(run):
    targets = [started(run, n=20, duration_us=3000) for _ in range(2)]
    pids = [word for target in targets for word in ("-p", str(target.pid))]
    watch = run.watch(*pids, "--max-threads", "1", "--strict", TICK)
    for target in targets:
        target.go()
    for target in targets:
        check_equal(target.finish(), 0, "exit status of the target")
    watch.stop(losses=("threads_full", "stop_unmatched"), status=4)
    check(watch.summary()["losses"]["threads_full"] > 0, "nothing was refused")
    check(watch.violations(), "nobody was watched")


@suite.test("a section that begins again in its frame gives up the one that was left")
def left(run):
    target = started(run, mode="left", n=200, gap_us=100)
    watch = run.watch("-p", str(target.pid), "tick: usdt:kinds:tick_begin .. tick_end < 1s")
    ended(target)
    watch.stop(losses=("left_open",))
    check_equal(watch.summary()["losses"]["left_open"], 100, "sections left")
    check_equal(watch.section()["closed"], 100, "sections closed")
    check_equal(watch.section()["over"], 0, "sections over budget")


# What it does.

@suite.test("--exec: the violation is in the environment")
def execute(run):
    out = pathlib.Path(run.scratch, "environment")
    target = started(run, n=1, duration_us=5000)
    watch = run.watch("-p", str(target.pid), "--exec", f"env | grep ^TOCSIN_ | sort >> {out}", TICK)
    ended(target)
    violation = watch.wait_violations(1)[0]
    watch.stop()
    text = out.read_text()
    for value in ("tick", str(target.pid), str(violation["elapsed_ns"]), violation["verdict"]):
        check(value in text, f"'{value}' is not in the environment:\n{text}")


@suite.test("--exec: rate-limited, and never in the way")
def execute_often(run):
    out = pathlib.Path(run.scratch, "runs")
    target = started(run, n=300, duration_us=1500, gap_us=0)
    watch = run.watch("-p", str(target.pid), "--exec", f"echo x >> {out}; sleep 1", TICK)
    ended(target)
    watch.stop()
    check_equal(len(watch.violations()), 300, "violations")
    runs = len(out.read_text().splitlines())
    check(1 <= runs < 100, f"it ran {runs} times for 300 violations")


@suite.test("budgets file: names, comments, and from standard input")
def budgets_file(run):
    text = "# two\n\n  one: usdt:kinds:tick_begin .. tick_end < 1ms   # over\n two: usdt:kinds:tick_begin .. tick_end < 10s\n"
    path = pathlib.Path(run.scratch, "budgets")
    path.write_text(text)
    for argument in (str(path), "-"):
        target = started(run)
        with open(path, "rb") as stdin:
            watch = run.watch("-p", str(target.pid), "--budgets", argument, stdin=stdin)
        ended(target)
        watch.stop()
        over = {s["name"]: s["over"] for s in watch.summary()["sections"]}
        check_equal(over, {"one": 4, "two": 0}, f"over budget, with --budgets {argument}")


def reload(run, target, watch, path, text):
    path.write_text(text)
    lines = len(watch.err.lines)
    watch.signal(signal.SIGHUP)
    check(watch.err.wait(lambda: len(watch.err.lines) > lines, 10), "no word of the new budgets")
    time.sleep(0.2)
    return len(watch.violations())


@suite.test("SIGHUP reads the budgets again: added, changed, removed")
def hang_up(run):
    path = pathlib.Path(run.scratch, "budgets")
    first = "tick: usdt:kinds:tick_begin .. tick_end < 10s\n"
    path.write_text(first)
    target = started(run, n=100_000, duration_us=2000, gap_us=500)
    watch = run.watch("-p", str(target.pid), "--budgets", str(path))
    target.go()
    time.sleep(0.3)
    check_equal(watch.violations(), [], "violations within ten seconds' budget")
    reload(run, target, watch, path, first + "call: func:probe_tick_begin .. probe_tick_end < 1ms\n")
    watch.wait_violations(3, section="call")
    check_equal(watch.violations(section="tick"), [], "violations of the section that stayed")
    reload(run, target, watch, path, "tick: usdt:kinds:tick_begin .. tick_end < 1ms\n")
    watch.wait_violations(3, section="tick")
    gone_at = time.monotonic_ns()
    time.sleep(0.3)
    late = [v for v in watch.violations(section="call") if v["start_ns"] > gone_at]
    check_equal(late, [], "violations of the section that was taken away")
    watch.stop(losses=("stop_unmatched",))


TICK_HOUR = "tick: usdt:kinds:tick_begin .. tick_end < 1h"


def crowded(run, *args):
    """A watch, and a target of which five threads have a section open."""
    target = started(run, mode="crowd", n=5, duration_us=1_500_000)
    watch = run.watch("-p", str(target.pid), *args)
    target.go()
    time.sleep(0.5)
    return target, watch


@suite.test("a section removed while some of it are open: how many is said, and in the summary")
def removed_open(run):
    target, watch = crowded(run, TICK_HOUR)
    status, out, err = run.ctl(watch, "remove", "tick")
    check_equal((status, out), (0, "5 of it were open and given up"), f"what ctl says\n{err}\n")
    check_equal(target.finish(), 0, "exit status of the target")
    watch.stop()
    section = watch.section()
    check_equal([section[k] for k in ("closed", "removed_open", "abandoned", "still_open")], [0, 5, 0, 0], "what became of them")


@suite.test("the same by SIGHUP, of sections that are over their budget")
def removed_fired(run):
    path = pathlib.Path(run.scratch, "budgets")
    path.write_text("tick: usdt:kinds:tick_begin .. tick_end < 100ms\nother: func:probe_a_begin .. probe_a_end < 1h\n")
    target, watch = crowded(run, "--budgets", str(path))
    reload(run, target, watch, path, "other: func:probe_a_begin .. probe_a_end < 1h\n")
    check_equal(target.finish(), 0, "exit status of the target")
    watch.stop()
    section = watch.section("tick")
    check_equal([section[k] for k in ("closed", "fired", "removed_open", "still_open")], [0, 5, 5, 0], "what became of them")
    status, _, err = run.ctl(watch, "list")
    check(status != 0 and err, "a watch that has ended answers")


@suite.test("a section that could not be added leaves nothing to the next")
def added_in_vain(run):
    one = started(run, n=100_000, duration_us=50, gap_us=0)
    spoilt = pathlib.Path(run.scratch, "kinds_spoilt")
    shutil.copy(target_path("kinds"), spoilt)
    # Where the second file has its start, a `syscall`: the stops of both and the start of the first are attached by then.
    probe = run.tocsin("watch", "-p", str(one.pid), "-d", "1ms", TICK)[2]
    with open(spoilt, "r+b") as file:
        file.seek(int(re.search(r"start usdt:kinds:tick_begin at kinds\+(0x[0-9a-f]+)", probe)[1], 16))
        file.write(b"\x0f\x05")
    two = run.target(str(spoilt), "func", "1", env=with_libraries())
    watch = run.watch("-p", str(one.pid), "-p", str(two.pid), "other: func:probe_a_begin .. probe_a_end < 1h")
    one.go()
    time.sleep(0.1)
    for _ in range(2):
        status, _, err = run.ctl(watch, "add", TICK)
        check_equal(status, 2, f"exit status of ctl\n{err}\n")
        check("syscall" in err, f"the reason: {err}")
    one.signal(signal.SIGKILL)
    one.wait()
    status, _, err = run.ctl(watch, "add", tick_of(target_path("kinds")))
    check_equal(status, 0, f"exit status of ctl\n{err}\n")
    watch.stop(losses=("stop_unmatched",))
    section = watch.section("tick")
    check_equal([section[k] for k in ("closed", "over", "fired", "abandoned")], [0] * 4, "counts of one that nobody ran")
    check_equal(watch.violations(), [], "violations")


@suite.test("SIGHUP: -PATH:START takes away what the command line and ctl have added, and is said where there is none")
def hang_up_removal(run):
    path = pathlib.Path(run.scratch, "budgets")
    path.write_text(TICK + "\n")
    program = target_path("kinds")
    offset = {name: elf.Elf(program).offset(name) for name in ("kinds_work", "kinds_hidden", "probe_a_begin", "probe_a_end", "main")}
    lines = [f"p {program}:{offset[name]} {offset['main']} threshold=1000000" for name in ("kinds_work", "kinds_hidden")]
    target = started(run)
    watch = run.watch("-p", str(target.pid), "--budgets", str(path), lines[0])
    for text in (lines[1], f"more: {program}:{offset['probe_a_begin']} .. {program}:{offset['probe_a_end']} < 1s"):
        status, _, err = run.ctl(watch, "add", text)
        check_equal(status, 0, f"exit status of ctl\n{err}\n")
    names = ("kinds_work", "kinds_hidden", "probe_a_begin")
    check_equal(len(run.ctl(watch, "list")[1].splitlines()), 4, "sections")
    reload(run, target, watch, path, TICK + "\n" + "".join(f"-{program}:{offset[name]}\n" for name in names))
    left = ["tick: usdt:kinds:tick_begin .. usdt:kinds:tick_end < 1ms"]
    check_equal(run.ctl(watch, "list")[1].splitlines(), left, f"what is left\n{watch.err.text()}\n")
    check("no section" not in watch.err.text(), watch.err.text())
    reload(run, target, watch, path, TICK + f"\n-{program}:{offset['main']}\n")
    check(f"{path}:2: no section starts at {program}:" in watch.err.text(), f"not said: {watch.err.text()}")
    check_equal(run.ctl(watch, "list")[1].splitlines(), left, "what is left")
    ended(target)
    watch.stop()
    check_equal(len(watch.violations()), 4, "violations of the one that stayed")


@suite.test("ctl list: all of a hundred kilobytes")
def ctl_list_long(run):
    deep = pathlib.Path(run.scratch, *(["d" * 200] * 4))
    deep.mkdir(parents=True)
    path = deep / "kinds"
    shutil.copy(target_path("kinds"), path)
    budgets = pathlib.Path(run.scratch, "budgets")
    text = [f"s{i}: func:{path}:kinds_work .. func:{path}:main < 1s" for i in range(60)]
    budgets.write_text("\n".join(text) + "\n")
    target = started(run)
    watch = run.watch("-p", str(target.pid), "--budgets", str(budgets))
    status, out, err = run.ctl(watch, "list")
    check_equal((status, out.splitlines()), (0, text), f"the list, of {len(out)} bytes\n{err}\n")
    check(len(out) > 98304, f"only {len(out)} bytes")
    watch.stop()


@suite.test("SIGHUP with a malformed file: said, and the old budgets stay")
def hang_up_malformed(run):
    path = pathlib.Path(run.scratch, "budgets")
    path.write_text(TICK + "\n")
    target = started(run, n=100_000, duration_us=2000, gap_us=500)
    watch = run.watch("-p", str(target.pid), "--budgets", str(path))
    target.go()
    watch.wait_violations(2)
    before = reload(run, target, watch, path, "tick: usdt:kinds:tick_begin .. < 1ms\n")
    check(f"{path}:1:" in watch.err.text(), f"the fault is not said: {watch.err.text()}")
    watch.wait_violations(before + 3)
    watch.stop()


@suite.test("text output: a line a violation, and the summary")
def text_output(run):
    target = started(run)
    watch = run.program(TOCSIN, "watch", "-p", str(target.pid), TICK, stdin=subprocess.DEVNULL)
    check(watch.err.wait(lambda: any("armed:" in line for line in watch.err.lines), 30), watch.err.text())
    ended(target)
    watch.signal(signal.SIGINT)
    check_equal(watch.wait(), 0, f"exit status\n{watch.err.text()}\n")
    out = watch.out.text()
    check(sum(str(target.pid) in line for line in out.splitlines()) >= 4, f"not a line a violation:\n{out}")
    check("\x1b" not in out, "colours although it is not a terminal")


class Terminal:
    """A pseudo-terminal; what was written to it."""

    def __init__(self, run, lines, columns):
        self.ours, self.theirs = pty.openpty()
        run.defer(os.close, self.ours)
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.text = ""

    def read_until(self, predicate, timeout_s):
        end = time.monotonic() + timeout_s
        while not predicate(self.text) and time.monotonic() < end:
            if not select.select([self.ours], [], [], 0.1)[0]:
                continue
            try:
                self.text += os.read(self.ours, 65536).decode("utf-8", "replace")
            except OSError:  # the last writer has gone
                break
        return predicate(self.text)


@suite.test("--top: a table that refreshes on a terminal, within its size; the summary when it ends")
def top(run):
    target = started(run, n=2000)
    terminal = Terminal(run, 12, 90)
    watch = subprocess.Popen([str(TOCSIN), "watch", "-p", str(target.pid), "--top", TICK], stdin=subprocess.DEVNULL,
                             stdout=terminal.theirs, stderr=subprocess.PIPE)
    run.defer(watch.wait)
    run.defer(watch.kill)
    os.close(terminal.theirs)
    while b"armed:" not in (line := watch.stderr.readline()):
        check(line, "the watch was not armed")
    target.go()
    check(terminal.read_until(lambda text: text.count("\x1b[H") >= 4, 10), f"it is not drawn again: {terminal.text!r}")
    watch.send_signal(signal.SIGINT)
    terminal.read_until(lambda _: False, 10)
    check_equal(watch.wait(10), 0, "exit status")
    watch.stderr.close()
    table, _, summary = terminal.text.partition("\x1b[?25h\x1b[?1049l")
    check(table.startswith("\x1b[?1049h\x1b[?25l"), f"not on the alternate screen: {table[:40]!r}")
    check("\x1b" not in table.replace("\x1b[", "") and " ended, " in summary, f"after the table: {summary!r}")
    last = table.split("\x1b[H")[-1]
    rows = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", last).splitlines()
    check(all(len(row) <= 90 for row in rows) and len(rows) < 12, f"larger than the terminal: {rows}")
    head, row = rows[1].split(), rows[2].split()
    check_equal((head[:2], row[0]), (["SECTION", "COUNT/S"], "tick"), "the table")
    check(150 < float(row[1]) < 350, f"{row[1]} a second, about 250 are made")
    check(" violation" not in table and "budget" not in table, f"lines of violations in the table: {table!r}")


@suite.test("-o: a trace that babeltrace2 reads", needs=["program:babeltrace2"])
def trace(run):
    where = pathlib.Path(run.scratch, "trace")
    target = started(run)
    watch = run.watch("-p", str(target.pid), "-o", str(where), TICK)
    ended(target)
    watch.stop()
    reader = run.program("babeltrace2", str(where))
    check_equal(reader.wait(), 0, f"exit status of babeltrace2\n{reader.err.text()}\n")
    mine = [line for line in reader.out.lines if " violation: " in line]
    check_equal(len(mine), 4, "violations in the trace")


@suite.test("-o onto a directory that has something: refused")
def trace_refused(run):
    where = pathlib.Path(run.scratch, "trace")
    where.mkdir()
    (where / "precious").write_text("mine\n")
    target = started(run)
    status, _, err = run.tocsin("watch", "-p", str(target.pid), "-o", str(where), "-d", "1s", TICK)
    check(status in (2, 3) and err.strip(), f"exit status {status}: {err}")
    check_equal((where / "precious").read_text(), "mine\n", "what was there")


@suite.test("doctor --json")
def doctor(run):
    status, out, err = run.tocsin("doctor", "--json")
    check(status in (0, 1), f"exit status {status}\n{err}")
    check(json.loads(out), "nothing said")


suite.main()
