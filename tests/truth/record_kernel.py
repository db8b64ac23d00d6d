#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`tocsin record -k` against programs that know what they made the kernel do: the trace, read by babeltrace2, must hold exactly
that, in order with the events of programs, or say what is lost."""

import collections
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from tocsin import TOCSIN, Program, Suite, check, check_equal, target_path  # noqa: E402

suite = Suite(needs=("program:babeltrace2", "root", "bpf"))

DISCARDED = re.compile(r"WARNING: Tracer discarded (\d+) events?")
LINE = re.compile(r"^\[[^\]]*\] \([^)]*\) (?:\S+ )?(\w+:\w+): (.*)$")


class Event:
    def __init__(self, name, text):
        self.name = name
        ring, _, rest = text.partition("}, {")
        self.ring = int(re.search(r"ring = (\d+)", ring)[1])
        self.fields = dict(re.findall(r'(\w+) = (?:\( )?("[^"]*"|-?\d+)', rest))
        self.args = [int(n, 0) for n in re.findall(r"\[\d\] = (0x[0-9A-Fa-f]+)", rest)]
        enum = re.search(r'nr = \( "(\w+)"', rest)
        self.call = enum[1] if enum else None

    def __getitem__(self, key):
        value = self.fields[key]
        return value.strip('"') if value[0] == '"' else int(value)


class Read:
    """What babeltrace2 makes of a trace."""

    def __init__(self, path):
        done = subprocess.run(["babeltrace2", str(path)], capture_output=True, text=True, timeout=120)
        check_equal(done.returncode, 0, f"status of babeltrace2\n{done.stderr[-2000:]}\n")
        self.discarded = sum(int(n) for n in DISCARDED.findall(done.stderr))
        rest = [line for line in done.stderr.splitlines() if line and not DISCARDED.match(line)]
        check(not rest, f"babeltrace2 says {rest[:5]}")
        self.lines = done.stdout.splitlines()
        self.events = [Event(*m.groups()) for m in map(LINE.match, self.lines) if m]

    def of(self, name):
        return [e for e in self.events if e.name == name]

    def session(self, name):
        return [dict(re.findall(r'(\w+) = ("[^"]*"|-?\d+)', line)) for line in self.lines if f" {name}: {{" in line]

    def summary(self):
        (one,) = self.session("summary")
        return {k: int(v) for k, v in one.items()}


def recorded(run, *args, status=0, timeout_s=90, **how):
    program = run.own(Program([TOCSIN, "record", *args], stdin=subprocess.DEVNULL, **how))
    check_equal(program.wait(timeout_s), status, f"status of record\n{program.err.text()}\n")
    return program


def act(name="kernel_act_plain"):
    return str(target_path(name))


def seeks(events, name):
    """Our lseek calls: those with descriptor -1."""
    return [e for e in events if e.name == name and e.call == "lseek"]


def after_exec(read):
    """System calls of the program itself: before, the process gets ready in ways that depend on the machine's load."""
    calls = read.of("syscall:enter")
    return calls[max(i for i, e in enumerate(calls) if e.call == "execve"):]


def check_nothing_lost(read):
    check_equal((read.discarded, read.summary()["lost"]), (0, 0), "lost")


@suite.test("every system call once, in order, with its arguments and its result")
def _(run):
    trace = f"{run.scratch}/trace"
    recorded(run, "-k", "syscall", "-o", trace, "--", act(), "calls", "20000")
    read = Read(trace)
    check_nothing_lost(read)
    enters, exits = seeks(read.events, "syscall:enter"), seeks(read.events, "syscall:exit")
    check_equal([e.args[1] for e in enters], list(range(20000)), "numbers")
    check_equal([e["ret"] for e in exits], [-9] * 20000, "results")
    calls = [e for e in read.events if e.name.startswith("syscall:")]
    for enter, leave in zip(calls[1::2], calls[2::2]):  # the first is the end of what the process did before
        check_equal((enter.name, leave.name), ("syscall:enter", "syscall:exit"), "they alternate")
        check_equal(enter.call, leave.call, "and pair")


@suite.test("events of the program and system calls are in the order in which they happened")
def _(run):
    trace = f"{run.scratch}/trace"
    recorded(run, "-k", "syscall", "-o", trace, "--", act("kernel_act"), "order", "20000")
    read = Read(trace)
    check_nothing_lost(read)
    got = []
    for event in read.events:
        if event.name in ("act:before", "act:after"):
            got.append((event.name, event["n"]))
        elif event.call == "lseek":
            got.append((event.name, event.args[1] if event.args else None))
    want = []
    for i in range(20000):
        want += [("act:before", i), ("syscall:enter", i), ("syscall:exit", None), ("act:after", i)]
    wrong = [i for i, (g, w) in enumerate(zip(got, want)) if g != w]
    check_equal((len(got), wrong[:3]), (len(want), []), "order")


@suite.test("what a full ring drops is counted exactly: written = read + lost")
def _(run):
    trace = f"{run.scratch}/trace"

    def total(n):
        recorded(run, "-k", "syscall:enter", "--ring-size", "64K", "-o", trace, "--", act(), "calls", str(n))
        read = Read(trace)
        shutil.rmtree(trace)
        return len(after_exec(read)), read.discarded, read.summary()["lost"]

    few, lost, _ = total(10)
    check_equal(lost, 0, "lost of a few")
    program = run.own(Program([TOCSIN, "record", "-k", "syscall:enter", "--ring-size", "64K", "-o", trace, "--", act(), "wait",
                               f"{run.scratch}/go", "300000"], stdin=subprocess.DEVNULL))
    check(wait_for(lambda: os.path.exists(f"{trace}/kernel_ring_0_0") or os.path.exists(f"{trace}/kernel_ring_1_0")), "it records")
    program.signal(signal.SIGSTOP)
    pathlib.Path(f"{run.scratch}/go").touch()
    time.sleep(0.5)
    program.signal(signal.SIGCONT)
    check_equal(program.wait(60), 0, "status")
    read = Read(trace)
    check_equal(read.discarded, read.summary()["lost"], "both counts")
    check(read.discarded > 100000, f"hardly anything was lost: {read.discarded}")
    got = [e.args[1] for e in seeks(read.events, "syscall:enter")]
    check_equal(got, sorted(set(got)), "numbers rise")
    # Before the flood it waited, of which nothing is lost; one access() is the loader's, and counted above.
    waits = len([e for e in after_exec(read) if e.call in ("access", "clock_nanosleep")]) - 1
    others = collections.Counter(e.call for e in after_exec(read) if e.call != "lseek")
    check_equal(len(after_exec(read)) + read.discarded, 300000 + few - 10 + waits,
                f"written = read + lost, while it sleeps; {few} in the short run; others {others}")
    shutil.rmtree(trace)
    one, lost, said = total(1000000)
    check_equal(lost, said, "lost")
    check_equal(one + lost, 1000000 + few - 10, "written = read + lost")


def wait_for(predicate, timeout_s=10):
    end = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@suite.test("an overwriting ring keeps the newest, whole and in order")
def _(run):
    trace = f"{run.scratch}/trace"
    recorded(run, "-k", "syscall:enter", "-m", "overwrite", "--ring-size", "64K", "-o", trace, "--", act(), "calls", "500000")
    read = Read(trace)
    got = [e.args[1] for e in seeks(read.events, "syscall:enter")]
    check_equal(got, sorted(set(got)), "numbers rise")
    check_equal(got[-1], 499999, "the last")
    check_equal(got[-300:], list(range(499700, 500000)), "without a hole at the end")


@suite.test("processes: each fork and exit of the command and no other's, with their system calls")
def _(run):
    trace = f"{run.scratch}/trace"
    program = recorded(run, "-k", "sched:fork,sched:exit,sched:exec,syscall:enter", "-o", trace, "--", act(), "fork", "200", "3")
    said = [json.loads(line) for line in program.out.lines if line.startswith("{")]
    children = [line for line in said if "child" in line]
    read = Read(trace)
    check_nothing_lost(read)
    check_equal([e["child_pid"] for e in read.of("sched:fork")], [c["child"] for c in children], "forks")
    ends = [(e["pid"], e["exit_code"]) for e in read.of("sched:exit")]
    check_equal(ends, [(c["child"], c["status"]) for c in children] + [(said[-1]["pid"], 0)], "exits")
    check_equal([e["filename"] for e in read.of("sched:exec")], [act()], "exec")
    check_equal(sum(e["pid"] != said[-1]["pid"] for e in seeks(read.events, "syscall:enter")), 600, "calls of children")


@suite.test("without children: those of the command alone")
def _(run):
    trace = f"{run.scratch}/trace"
    recorded(run, "-k", "syscall:enter", "--no-follow-children", "-o", trace, "--", act(), "fork", "10", "3")
    check_equal(len(seeks(Read(trace).events, "syscall:enter")), 0, "calls of children")


@suite.test("block requests: each write issued and completed once, with its bytes")
def _(run):
    trace, path = f"{run.scratch}/trace", f"/var/tmp/tocsin-kernel-{os.getpid()}"
    run.defer(lambda: os.path.exists(path) and os.unlink(path))
    program = run.own(Program([TOCSIN, "record", "-k", "block", "-o", trace, "--", act(), "write", "50", path], stdin=subprocess.DEVNULL))
    status = program.wait(60)
    if status == 77:
        run.note("no O_DIRECT here: nothing compared")
        return
    check_equal(status, 0, "status")
    read = Read(trace)
    check_nothing_lost(read)
    issued = [e for e in read.of("block:issue") if e["op"] == "write" and e["bytes"] == 8192]
    done = [e for e in read.of("block:complete") if e["op"] == "write" and e["bytes"] == 8192]
    check(len(issued) >= 50, f"{len(issued)} issued")
    check_equal(sorted(e["sector"] for e in done)[:50], sorted(e["sector"] for e in issued)[:50], "completed what was issued")
    check_equal({e["error"] for e in done}, {0}, "errors")
    check(all(e["took_ns"] > 0 for e in done), "they take time")


@suite.test("switches of a CPU: the group's are the tracepoint's; who comes is who goes next; states are named")
def _(run):
    trace = f"{run.scratch}/trace"
    recorded(run, "-k", "sched:switch,tracepoint:sched:sched_switch", "--self", "-d", "1s", "-o", trace)
    read = Read(trace)
    check_nothing_lost(read)
    own = [(e.ring, e["prev_tid"], e["next_tid"], e["prev_comm"]) for e in read.of("sched:switch")]
    raw = [(e.ring, e["prev_pid"], e["next_pid"], e["prev_comm"]) for e in read.of("sched:sched_switch")]
    check(own, "switches")
    for ring in {e[0] for e in own}:
        ours, theirs = [e for e in own if e[0] == ring], [e for e in raw if e[0] == ring]
        # Switching on or off may come between the two programs of one switch.
        check(any(ours[a:len(ours) - b] == theirs[c:len(theirs) - d] for a in (0, 1) for b in (0, 1) for c in (0, 1) for d in (0, 1)),
              f"switches of CPU {ring} differ: {len(ours)} of the group, {len(theirs)} of the tracepoint")
    # Some kernels do not trace every switch: a thread that leaves without having come says nothing of us.
    on, gaps = {}, 0
    for e in read.of("sched:switch"):
        gaps += e["prev_tid"] != on.get(e.ring, e["prev_tid"])
        on[e.ring] = e["next_tid"]
        check(e["prev_state"] in ("runnable", "sleeping", "blocked", "idle", "preempted", "dead", "stopped", "traced", "parked"),
              f"state {e['prev_state']}")
    check(gaps <= max(6, len(own) // 50), f"{gaps} gaps in {len(own)} switches")


@suite.test("any tracepoint, with the fields of its format, says what the group of the same says")
def _(run):
    trace = f"{run.scratch}/trace"
    recorded(run, "-k", "sched:fork,sched:exec,tracepoint:sched:sched_process_*,tracepoint:syscalls:sys_enter_lseek,tracepoint:raw_syscalls:sys_enter",
             "-o", trace, "--", act(), "fork", "20", "5")
    read = Read(trace)
    check_nothing_lost(read)
    check_equal([e["child_pid"] for e in read.of("sched:sched_process_fork")], [e["child_pid"] for e in read.of("sched:fork")], "forks")
    check_equal([(e["filename"], e["old_pid"]) for e in read.of("sched:sched_process_exec")],
                [(e["filename"], e["old_tid"]) for e in read.of("sched:exec")], "exec: a string of variable length")
    check_equal([int(re.search(r"offset = (\d+)", line)[1]) for line in read.lines if "sys_enter_lseek:" in line], [0, 1, 2, 3, 4] * 20,
                "a field of a system call's own tracepoint")
    raw = [e for e in read.of("raw_syscalls:sys_enter") if re.search(r"\bid = 8\b", " ".join(f"{k} = {v}" for k, v in e.fields.items()))]
    check_equal([e.args[1] for e in raw], [0, 1, 2, 3, 4] * 20, "an array")


@suite.test("this tocsin is not in its own trace, unless asked for")
def _(run):
    trace = f"{run.scratch}/trace"

    def own(*args):
        program = recorded(run, "-k", "syscall:enter,sched:waking", "-d", "500ms", "-o", trace, *args)
        pid = program.process.pid
        read = Read(trace)
        shutil.rmtree(trace)
        return sum(e["pid"] == pid for e in read.events if "pid" in e.fields)

    check_equal(own(), 0, "own events")
    check(own("--self") > 10, "own events with --self")


@suite.test("a process that is not linked, attached and detached")
def _(run):
    trace, go = f"{run.scratch}/trace", f"{run.scratch}/go"
    target = run.own(Program([act(), "wait", go, "1000"]))
    program = run.own(Program([TOCSIN, "record", "-k", "syscall", "-p", str(target.process.pid), "-o", trace], stdin=subprocess.DEVNULL))
    check(wait_for(lambda: "recording" in program.err.text()), "recording")
    time.sleep(0.2)
    pathlib.Path(go).touch()
    check_equal(target.wait(), 0, "its status")
    check_equal(program.wait(20), 0, "the recording ends with it")
    read = Read(trace)
    check_nothing_lost(read)
    check_equal([e.args[1] for e in seeks(read.events, "syscall:enter")], list(range(1000)), "calls")


@suite.test("tocsin print reads the same events")
def _(run):
    trace = f"{run.scratch}/trace"
    recorded(run, "-k", "sched,syscall,tracepoint:sched:*", "-o", trace, "--", act("kernel_act"), "order", "200")
    done = subprocess.run([TOCSIN, "print", trace], capture_output=True, text=True, timeout=60)
    check_equal((done.returncode, done.stderr), (0, ""), "print")
    check_equal(len(done.stdout.splitlines()), len(Read(trace).lines), "lines")
    check("syscall:enter nr=lseek args=[0xffffffff 0xc7 0x0" in done.stdout, "the last call")


@suite.test("names that are not known and privileges that are missing are told, and leave nothing behind")
def _(run):
    for name, want in (("shed", "there is no group of kernel events 'shed', nearest is 'sched'"),
                       ("sched:swich", "there is no kernel event 'sched:swich', nearest is 'sched:switch'"),
                       ("tracepoint:sched:sched_swich", "there is no tracepoint 'sched:sched_swich', nearest is 'sched_switch'"),
                       ("tracepoint:shed:x", "there is no category of tracepoints 'shed', nearest is 'sched'"),
                       ("tracepoint:sched", "'tracepoint:sched' is not tracepoint:CATEGORY:NAME, as tracepoint:sched:sched_switch"),
                       ("tracepoint:../..:x", "there is no category of tracepoints '../..'"),
                       ("tracepoint:sched:../enable", "there is no tracepoint 'sched:../enable'"),
                       ("sched,,irq", "an empty name in 'sched,,irq'"), ("A" * 5000, f"there is no group of kernel events '{'A' * 128}'")):
        program = recorded(run, "-k", name, "-o", f"{run.scratch}/trace", status=2)
        check_equal(program.err.text().strip(), f"tocsin: {want}", "message")
        check(not os.path.exists(f"{run.scratch}/trace"), "a trace")
    os.chmod(run.scratch, 0o777)
    done = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", TOCSIN, "record", "-k", "sched", "-o", f"{run.scratch}/t"],
                          capture_output=True, text=True, timeout=60)
    check_equal(done.returncode, 2, f"status {done.stderr}")
    check("kernel events take capabilities that user 65534 lacks: cap_bpf, cap_perfmon" in done.stderr, done.stderr)
    check(not os.path.exists(f"{run.scratch}/t"), "a trace")


@suite.test("the flight recorder goes on by itself, and a snapshot has the newest, beside the program's")
def _(run):
    trace, go = f"{run.scratch}/trace", f"{run.scratch}/go"
    pins = "/sys/fs/bpf/tocsin-flight"
    check(not os.path.exists(pins), "a flight recorder runs here already")
    run.defer(lambda: os.path.exists(pins) and subprocess.run([TOCSIN, "record", "--flight", "--off"], check=False))
    target = run.own(Program([act("kernel_act"), "heirs", go, "3", "10", "1000"]))
    time.sleep(0.3)
    on = ["--flight", "-k", "syscall:enter", "--ring-size", "64K", "-p", str(target.pid)]
    recorded(run, *on)
    again = recorded(run, *on, status=2)
    check("running already" in again.err.text(), again.err.text())
    time.sleep(1.5)  # it looks for the file all the time: the ring goes round
    for round_ in range(2):
        done = subprocess.run([TOCSIN, "snapshot", "-k", "-p", str(target.pid), "-o", trace], capture_output=True, text=True, timeout=60)
        check_equal(done.returncode, 0, done.stderr)
        read = Read(trace)
        shutil.rmtree(trace)
        calls = [e.call for e in read.of("syscall:enter")]
        check(len(calls) > 300 and set(calls[1:]) <= {"access", "clock_nanosleep", "write", "mmap", "munmap"}, f"{len(calls)} calls, {set(calls)}")
        check_equal({e["pid"] for e in read.of("syscall:enter")}, {target.pid}, "whose")
        # The rings of two CPUs reach back to different times: the newest are in one of them.
        steady = [c for c in calls if c in ("access", "clock_nanosleep")][-200:]
        check(all(a != b for a, b in zip(steady, steady[1:])), "they alternate: none is missing in between")
    pathlib.Path(go).touch()
    check_equal(target.wait(20), 0, "the program")
    recorded(run, "--flight", "--off")
    check(not os.path.exists(pins), "pins stay")
    recorded(run, "--flight", "--off", status=2)
    done = subprocess.run([TOCSIN, "snapshot", "-k", "-o", trace], capture_output=True, text=True, timeout=60)
    check_equal(done.returncode, 2, done.stderr)
    check("no flight recorder of kernel events is running" in done.stderr, done.stderr)


def heirs(run, count, life_us, *args):
    """Children of a process that is recorded with -p: how many are in the trace, and how many it says are not."""
    trace, go = f"{run.scratch}/trace", f"{run.scratch}/go{count}-{life_us}"
    target = run.own(Program([act("kernel_act"), "heirs", go, str(count), "10", str(life_us)]))
    time.sleep(0.3)
    program = run.own(Program([TOCSIN, "record", "-p", str(target.pid), "-o", trace, *args], stdin=subprocess.DEVNULL))
    check(wait_for(lambda: "recording" in program.err.text()), program.err.text())
    time.sleep(0.3)
    pathlib.Path(go).touch()
    check_equal(target.wait(60), 0, "the program")
    status = program.wait(20)
    read = Read(trace)
    shutil.rmtree(trace)
    per_child = collections.Counter(e["n"] for e in read.of("act:heir"))
    check_equal(set(per_child.values()) - {10}, set(), "a child is in the trace with all of its events, or not at all")
    missed = sum(int(e["count"]) for e in read.session("lost") if e["name"] == '"children"')
    rings = re.search(r"(\d+) rings went with their process", program.err.text())
    return len(per_child), missed + (int(rings[1]) if rings else 0), status


@suite.test("children of a process that was running: found at once, or counted")
def _(run):
    found, missed, _ = heirs(run, 30, 40000)
    run.note(f"of 30 that live 40 ms {found} were found")
    check_equal(found + missed, 30, "found + missed, of children that live 40 ms")
    check(found >= 20, f"only {found} of 30 children that live 40 ms were found")
    found, missed, status = heirs(run, 300, 0, "--strict")
    run.note(f"of 300 that live for 10 events {found} were found")
    check_equal(found + missed, 300, "found + missed, of children that are gone at once")
    check_equal(status, 4 if missed else 0, "--strict")


if __name__ == "__main__":
    suite.main()
