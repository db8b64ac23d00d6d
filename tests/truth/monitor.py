#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`tocsin monitor run`: models stepped in the kernel, against programs that say what they call."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from tocsin import TOCSIN, Suite, check, check_equal, target_path

suite = Suite(needs=("tool", "root", "bpf", "btf"))

TARGET = str(target_path("monitored"))
# On a busy machine two calls in a row may lie far apart: only tests of time have a bound that matters.
LONG = ["--param", "HELD_NS=100s"]
LOCK = ["lock", "--bind", "take=func:monitored_take", "--bind", "drop=func:monitored_drop", *LONG]


def run(args, command=(), timeout=60, status=None):
    """What it printed: violations, summaries by monitor, and the rest."""
    words = [TOCSIN, "monitor", "run", "--json", *args, *(["--", *command] if command else [])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if status is not None:
        check_equal(done.returncode, status, f"exit status of {words}\n{done.stderr}")
    return [x for x in lines if x["type"] == "monitor_violation"], \
        {x["monitor"]: x for x in lines if x["type"] == "monitor_summary"}, done


@suite.test("a program that keeps to the model: every call is a step, none a violation")
def good(_):
    command = [TARGET, "times:1000", "take:7", "drop:7", "take:8", "drop:8"]
    found, sums, _ = run([*LOCK, "--fail-on-violation"], command, status=0)
    check_equal(found, [], "violations")
    check_equal((sums["lock"]["steps"], sums["lock"]["violations"]), (4000, 0), "steps")


@suite.test("dropped twice: one violation, with its path, key, thread and stack")
def dropped_twice(_):
    found, sums, _ = run([*LOCK, "--fail-on-violation"], [TARGET, "take:7", "drop:7", "drop:7"], status=1)
    check_equal([(v["why"], v["key"], v["state"], v["event"]) for v in found], [("event", 7, "free", "drop")], "violations")
    check_equal([(p["state"], p["event"]) for p in found[0]["path"]], [("free", "take"), ("held", "drop"), ("free", "drop")],
                "path")
    check(found[0]["comm"] == "monitored" and found[0]["pid"] == found[0]["tid"], "who")
    check(found[0]["user_stack"], "a user stack")
    check_equal(sums["lock"]["steps"], 3, "steps")


@suite.test("held too long: noticed at the bound, while the program sleeps, and while it runs")
def held_too_long(_):
    for busy in ("sleep:60", "spin:60"):
        found, _, done = run([*LOCK, "--param", "HELD_NS=10ms"], [TARGET, "take:7", busy, "drop:7"])
        check_equal([(v["why"], v["event"]) for v in found], [("time", "time")], f"violations of {busy}\n{done.stderr}")
        check_equal(found[0]["clocks_ns"]["clk"], 10_000_000, "the clock at the violation")


@suite.test("the parameter of a budget, a condition, and a key are those of the command line")
def options(_):
    found, _, _ = run([*LOCK, "--param", "HELD_NS=1s"], [TARGET, "take:7", "sleep:30", "drop:7"], status=0)
    check_equal(found, [], "violations with a larger budget")
    only = ["lock", "--bind", "take=func:monitored_take,when=arg0>100", "--bind", "drop=func:monitored_drop,when=arg0>100", *LONG]
    found, _, _ = run(only, [TARGET, "drop:7", "take:7", "take:7", "take:200", "take:200"])
    check_equal([v["key"] for v in found], [200], "violations of keys over 100")
    other = ["lock", "--bind", "take=func:monitored_take,key=arg1", "--bind", "drop=func:monitored_drop,key=arg1", *LONG]
    found, _, _ = run(other, [TARGET, "take:7", "take:8"])
    check_equal([v["key"] for v in found], [1], "violations by the second argument")


@suite.test("after a violation: reset, keep, freeze")
def after(_):
    command = [TARGET, "take:1", "take:1", "drop:1", "take:1", "take:1"]
    for policy, count, steps in (("reset", 2, 4), ("keep", 2, 5), ("freeze", 1, 2)):
        found, sums, _ = run([*LOCK, "--after", policy], command)
        check_equal((len(found), sums["lock"]["steps"]), (count, steps), policy)


@suite.test("a return value tells blocks of memory apart; a system call's number of a file")
def returns(_):
    found, sums, done = run(["double_free", "--bind", "allocate=return:monitored_grab,key=ret",
                             "--bind", "release=func:monitored_let"], [TARGET, "grab:5"])
    check_equal((len(found), sums["double_free"]["steps"]), (0, 1), done.stderr)
    found, _, done = run(["double_free", "--bind", "allocate=sysexit:openat,key=ret,when=ret>=0",
                          "--bind", "release=syscall:close,key=arg0"], ["cat", "/etc/hostname"])
    check_equal(found, [], done.stderr)


@suite.test("two monitors at once, coverage, and formulas")
def several(_):
    args = [*LOCK, "reply", "--bind", "REQUEST=func:monitored_grab,key=arg0", "--bind", "REPLY=func:monitored_let,key=arg0",
            "--coverage", "--param", "HELD_NS=10ms"]
    found, sums, done = run(args, [TARGET, "take:1", "grab:1", "let:1", "grab:2", "sleep:150", "let:3", "drop:1"])
    check_equal(sorted((v["monitor"], v["key"], v["why"]) for v in found),
                [("lock", 1, "time"), ("reply", 2, "time"), ("reply", 3, "rule")], done.stderr)
    edges = {(e["state"], e["event"]): e["count"] for e in sums["lock"]["edges"]}
    check_equal(edges, {("free", "take"): 1, ("held", "drop"): 0}, "edges")


@suite.test("no more instances than there is room for: counted, and --strict minds")
def no_room(_):
    command = [TARGET] + [f"take:{i}" for i in range(1, 11)]
    _, sums, done = run([*LOCK, "--max-instances", "4", "--strict"], command, status=4)
    check_equal(sums["lock"]["steps"], 4, "steps")
    check("6 instances not begun" in done.stderr, done.stderr)


@suite.test("only the process that was asked for, and its children with --follow")
def whom(_):
    other = subprocess.Popen([TARGET, "times:100", "sleep:5", "drop:9", "take:9", "take:9"], stdout=subprocess.DEVNULL)
    try:
        found, _, _ = run(LOCK, [TARGET, "sleep:100", "take:1", "drop:1"])
        check_equal(found, [], "violations of another process")
    finally:
        other.kill()
        other.wait()
    inner = f"{TARGET} take:1 take:1; true"
    bind = ["lock", "--bind", f"take=func:{TARGET}:monitored_take", "--bind", f"drop=func:{TARGET}:monitored_drop", *LONG]
    for follow, count in (([], 0), (["--follow"], 1)):
        found, _, _ = run([*bind, *follow], ["sh", "-c", inner])
        check_equal(len(found), count, f"violations of a child {follow}")


@suite.test("fork storm: a wake-up of a task that runs or waits is no violation of tlob or stall")
def fork_storm(_):
    command = [TARGET, "fork:500", "take:1", "sleep:2", "spin:2", "drop:1"]
    args = ["tlob", "stall", "--param", "BUDGET_NS=1h", "--param", "threshold_jiffies=10s",
            "--bind", "tlob.start=func:monitored_take,key=thread", "--bind", "tlob.stop=func:monitored_drop,key=thread"]
    found, sums, done = run([*args, "--follow"], command)
    check_equal([v for v in found if v["monitor"] == "tlob" and v["event"] == "wakeup"], [], done.stderr)
    check_equal([v for v in found if v["event"] in ("wakeup", "sched_wakeup")], [], done.stderr)
    check(sums["tlob"]["steps"] >= 2 and sums["stall"]["steps"] > 500, str(sums))


@suite.test("tlob: a window over its budget is noticed at its instant, running, sleeping")
def tlob(_):
    args = ["tlob", "--param", "BUDGET_NS=5ms", "--bind", "start=func:monitored_take,key=thread",
            "--bind", "stop=func:monitored_drop,key=thread"]
    for how, states in (("sleep:40", {"sleeping"}), ("spin:40", {"running", "waiting"})):
        found, _, done = run(args, [TARGET, "take:1", how, "drop:1", "take:1", "drop:1"])
        check_equal([v["why"] for v in found], ["time"], done.stderr)
        check(found[0]["state"] in states, found[0]["state"])
        check_equal(found[0]["clocks_ns"]["clk_elapsed"], 5_000_000, "the clock")


@suite.test("wwnr on everything finds its wake-ups of running tasks; the table of the kernel's monitors runs")
def kernel_monitors(_):
    found, sums, done = run(["wwnr", "stall", "sssw", "nrp", "tss", "pagefault", "rts", "-a", "-d", "1s",
                             "--param", "threshold_jiffies=100s"], status=0)
    # A second without a fault of a real-time task, or without a request to reschedule in the kernel, is no wonder.
    check(all(s["steps"] > 0 for name, s in sums.items() if name not in ("pagefault", "nrp")), str(sums))
    check_equal(sums["tss"]["violations"], 0, f"a switch outside of the scheduler\n{done.stderr}")
    check(all(v["event"] == "wakeup" for v in found if v["monitor"] == "wwnr"), str([v for v in found if v["monitor"] == "wwnr"]))


@suite.test("begun and ended under load, on every scope: nothing before the start, nothing stays behind")
def on_and_off(_):
    load = subprocess.Popen([TARGET, "times:100000000", "take:1", "drop:1"], stdout=subprocess.DEVNULL)
    before = bpf_programs()
    try:
        for i in range(int(os.environ.get("MONITOR_TIMES", "2"))):
            for scope in ("global", "cpu", "task", "process", "object"):
                model = f"/tmp/tocsin-monitor-{os.getpid()}.dot"
                pathlib.Path(model).write_text(
                    f'digraph m {{ tocsin_scope = "{scope}"; tocsin_start_run = "take"; "__init_a" -> a; a [label = "a"];'
                    ' b [label = "b"]; a -> b [label = "take"]; b -> a [label = "drop"]; }')
                key = "" if scope == "object" else ",key=cpu" if scope == "cpu" else ""
                found, sums, done = run([model, "-p", str(load.pid), "-d", "200ms", "--bind", f"take=func:monitored_take{key}",
                                         "--bind", f"drop=func:monitored_drop{key}"])
                os.unlink(model)
                name = next(iter(sums))
                if scope != "cpu":  # between two calls it may move to another one
                    check_equal(found, [], f"{scope}, round {i}\n{done.stderr}")
                check(sums[name]["steps"] > 0, f"{scope}: {sums}")
        check(load.poll() is None, "the program goes on")
    finally:
        load.kill()
        load.wait()
    for _ in range(50):
        if bpf_programs() <= before:
            break
        time.sleep(0.1)
    check(bpf_programs() <= before, "programs stay behind")


def bpf_programs():
    """Programs of our kind in the kernel, by bpftool; 0 without it."""
    try:
        text = subprocess.run(["bpftool", "prog", "show"], capture_output=True, text=True, timeout=20).stdout
    except OSError:
        return 0
    return len(re.findall(r"name (?:on_probe|on_sched_switch) ", text))


@suite.test("killed: the kernel takes everything away, and the program goes on")
def killed(_):
    before = bpf_programs()
    target = subprocess.Popen([TARGET, "times:100000000", "take:1", "drop:1"], stdout=subprocess.DEVNULL)
    tool = subprocess.Popen([TOCSIN, "monitor", "run", *LOCK, "-p", str(target.pid)], stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)
    try:
        for line in tool.stderr:
            if line.startswith("armed"):
                break
        tool.send_signal(signal.SIGKILL)
        tool.wait()
        time.sleep(0.5)
        check(target.poll() is None, "the program goes on")
        for _ in range(50):
            if bpf_programs() <= before:
                break
            time.sleep(0.1)
        check(bpf_programs() <= before, "programs stay behind")
    finally:
        target.kill()
        target.wait()


@suite.test("--signal: who violates is ended, who does not goes on")
def reaction(_):
    _, _, done = run([*LOCK, "--signal", "KILL"], [TARGET, "take:1", "drop:1", "drop:1", "sleep:30000"], timeout=25)
    check_equal(done.returncode, 128 + 9, done.stderr)
    _, _, done = run([*LOCK, "--signal", "KILL"], [TARGET, "take:1", "drop:1"])
    check_equal(done.returncode, 0, done.stderr)
    _, _, done = run([*LOCK, "--signal", "SIGFOO"], [TARGET, "take:1"])
    check_equal(done.returncode, 2, done.stderr)


@suite.test("what cannot be bound is said, and nothing runs")
def faults(_):
    for args, words in (([*LOCK[:3], "-p", "1"], "no process"), (["lock", "-a"], "no event of 'lock' is bound"),
                        (["lock", "--bind", "take=func:monitored_tak", "--bind", "drop=func:monitored_drop"], "monitored_take"),
                        (["opid", "-a"], "irq_off"), (["lock"], "no process to watch")):
        if args[-1] == "1":
            args = [*LOCK, "-p", "999999999"]
        command = [] if "-a" in args or "-p" in args or args == ["lock"] else [TARGET, "take:1"]
        _, _, done = run(args, command)
        check(done.returncode in (2, 125) and words in done.stderr, f"{args}: {done.returncode} {done.stderr}")


@suite.test("what 'monitor list' says runs here runs, and what cannot is refused for the reason that it gives")
def list_is_true(run_):
    lines = subprocess.run([TOCSIN, "monitor", "list"], capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()
    models = [re.match(r"(\w+) +\w+ +(runs here|cannot run here: (.*)|needs '.*)$", line) for line in lines]
    said = {m[1]: (m[2], m[3]) for m in models if m}
    check({"wwnr", "opid"} <= set(said) and len(said) > 10, f"models: {sorted(said)}")
    for name, (verdict, why) in said.items():
        if verdict.startswith("needs"):
            continue
        done = subprocess.run([TOCSIN, "monitor", "run", name, "-a", "-d", "50ms"], capture_output=True, text=True, timeout=60)
        if why:
            check(done.returncode == 2 and why in done.stderr, f"{name} cannot run, but: {done.returncode} {done.stderr}")
        else:
            check(done.returncode == 0 and "armed: 1 monitor" in done.stderr, f"{name} runs, but: {done.returncode} {done.stderr}")
    run_.note(f"{len(said)} models")


suite.main()
