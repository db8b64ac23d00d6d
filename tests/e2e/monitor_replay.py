#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`tocsin monitor replay`: verdicts over traces whose every event is known: monitor_replay.py PROGRAM."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import ctf_events  # noqa: E402

S = 1_700_000_000_000_000_000
MS = 1_000_000
LOCK = ["lock", "--bind", "take=srv:lock", "--bind", "drop=srv:unlock"]
PROGRAM = sys.argv[1]
CASES = []


def case(function):
    CASES.append(function)
    return function


def replay(folder, *args):
    run = subprocess.run([PROGRAM, "monitor", "replay", "--json", *args, folder], capture_output=True, text=True, timeout=60)
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    return run, [x for x in lines if x["type"] == "monitor_violation"], \
        {x["monitor"]: x for x in lines if x["type"] == "monitor_summary"}


def trace(root, name, events, **more):
    folder = os.path.join(root, name)
    ctf_events.write(folder, events, **more)
    return folder


def lock_events():
    return [
        (S, 0, "srv:lock", {"lock": 16, "thread": 1, "who": "a"}),
        (S + 1 * MS, 0, "srv:unlock", {"lock": 16, "thread": 1}),
        (S + 2 * MS, 1, "srv:unlock", {"lock": 16, "thread": 1}),
        (S + 3 * MS, 1, "srv:lock", {"lock": 17, "thread": 2, "who": "b"}),
        (S + 20 * MS, 1, "srv:lock", {"lock": 18, "thread": 2, "who": "b"}),
        (S + 21 * MS, 0, "srv:unlock", {"lock": 18, "thread": 3}),
    ]


@case
def three_reasons(root):
    """no edge, a guard, and time: each at its instant, with its path"""
    run, found, sums = replay(trace(root, "t", lock_events()), *LOCK)
    assert run.returncode == 1
    assert [(v["why"], v["key"], v["t_ns"] - S) for v in found] == [
        ("event", 16, 2 * MS), ("time", 17, 13 * MS), ("guard", 18, 21 * MS)], found
    assert [(p["state"], p["event"]) for p in found[0]["path"]] == [("free", "take"), ("held", "drop"), ("free", "drop")]
    assert found[1]["clocks_ns"] == {"clk": 10 * MS} and found[2]["stored"] == {"owner": 2}
    assert sums["lock"]["violations"] == 3 and sums["lock"]["instances"] == 3


@case
def kernel_format(root):
    """--format kernel: the lines of the kernel's trace events, by model with and without variables, and formula"""
    def lines(name, events, *args):
        run = subprocess.run([PROGRAM, "monitor", "replay", "--format", "kernel", *args, trace(root, name, events)],
                             capture_output=True, text=True, timeout=60)
        assert run.returncode == 1, run
        return [line for line in run.stdout.splitlines() if not line.startswith("#")], run
    got, run = lines("kernel", lock_events(), *LOCK)
    assert [line.split(": ", 1)[1] for line in got] == [
        "error_env_lock: 16: event drop not expected in the state free with env clk=2000000,owner=1",
        "error_env_lock: 17: event none not expected in the state held with env clk=10000000,owner=2",
        "error_env_lock: 18: event drop not expected in the state held with env clk=1000000,owner=2"], got
    assert run.stdout.splitlines()[-1].startswith("# lock: 3 violations"), run.stdout
    ping = [(S, 0, "srv:ask", {"id": 1}), (S + 200 * MS, 0, "srv:ask", {"id": 2})]
    got, _ = lines("kernel-reply", ping, "reply", "--bind", "REQUEST=srv:ask,key=id", "--bind", "REPLY=srv:say,key=id")
    assert len(got) == 1 and got[0].endswith("]: violation detected") and "error_reply: " in got[0], got
    for args in (["--format", "xml"], ["--format", "kernel", "--json"]):
        run = subprocess.run([PROGRAM, "monitor", "replay", *args, *LOCK, root], capture_output=True, text=True, timeout=60)
        assert (run.returncode, run.stdout) == (2, "") and "--format" in run.stderr, run


@case
def good_is_silent(root):
    """a trace that the model allows: no violation, status 0"""
    run, found, sums = replay(trace(root, "t", lock_events()[:2]), *LOCK)
    assert run.returncode == 0 and not found and sums["lock"]["steps"] == 2


@case
def time_ends_with_the_trace(root):
    """a lock that is held at the last event is not said to be held too long"""
    run, found, _ = replay(trace(root, "t", lock_events()[:1]), *LOCK)
    assert run.returncode == 0 and not found


@case
def text_condition(root):
    """conditions on texts, and what is after a violation"""
    folder = trace(root, "t", lock_events())
    bind = ["lock", "--bind", "take=srv:lock,key=lock,when=who == \"b\" && lock > 1", "--bind", "drop=srv:unlock,key=lock"]
    _, found, _ = replay(folder, *bind)
    assert [v["key"] for v in found] == [17, 18], found
    late = ["lock", "--bind", "take=srv:lock,key=thread", "--bind", "drop=srv:unlock,key=thread", "--param", "HELD_NS=1s"]
    late_events = [(S + i * MS, 0, name, {"lock": 1, "thread": 1}) for i, name in enumerate(
        ["srv:lock", "srv:lock", "srv:unlock", "srv:lock", "srv:lock"])]
    folder = trace(root, "late", late_events)
    # reset: the drop finds nothing started; keep: it ends what is held; freeze: nothing is seen any more
    for policy, times in (("reset", [1, 4]), ("keep", [1, 4]), ("freeze", [1])):
        _, found, sums = replay(folder, *late, "--after", policy)
        assert [(v["t_ns"] - S) // MS for v in found] == times, (policy, found)
        assert sums["lock"]["steps"] == {"reset": 4, "keep": 5, "freeze": 2}[policy], (policy, sums)


@case
def scopes(root):
    """global, per CPU, per task, per process: the same events, told apart otherwise"""
    model = os.path.join(root, "m.dot")
    folder = trace(root, "t", [(S + i, i % 2, "x:a", {"thread": i % 3, "v": i}) for i in range(12)])
    for scope, instances in (("global", 1), ("cpu", 2), ("task", 3), ("process", 1), ("object", 12)):
        pathlib.Path(model).write_text(
            f'digraph m {{ tocsin_scope = "{scope}"; tocsin_event = "a: x:a{",key=v" if scope == "object" else ""}";'
            ' "__init_s" -> s; s [label = "s"]; s -> s [label = "a"]; }')
        run, found, sums = replay(folder, model)
        assert run.returncode == 0 and not found, run
        assert sums["m"]["instances"] == instances, (scope, sums)


@case
def formula(root):
    """a bounded formula: late at the instant after its bound; an answer that nobody asked for"""
    events = [(S, 0, "q:ask", {"id": 1}), (S + 50 * MS, 0, "q:say", {"id": 1}), (S + 60 * MS, 0, "q:ask", {"id": 2}),
              (S + 300 * MS, 0, "q:say", {"id": 3})]
    run, found, _ = replay(trace(root, "t", events), "reply", "--bind", "REQUEST=q:ask,key=id", "--bind", "REPLY=q:say,key=id")
    assert run.returncode == 1
    assert [(v["key"], v["why"], v["t_ns"] - S) for v in found] == [(2, "time", 160 * MS + 1), (3, "rule", 300 * MS)], found


@case
def kernel_events(root):
    """the scheduler's events as the kernel records them, and as LTTng does; a wake-up of a running task is no tlob violation"""
    for pid, prefix in (("pid", "sched:"), ("tid", "")):
        def switch(at, out, state, into, pid=pid, prefix=prefix):
            return (S + at, 0, prefix + "sched_switch", {f"prev_{pid}": out, "prev_state": state, f"next_{pid}": into})

        def wake(at, who, pid=pid, prefix=prefix):
            return (S + at, 0, prefix + "sched_wakeup", {pid: who, "comm": "x"})
        folder = trace(root, "k" + pid, [
            switch(0, 5, 1, 6), wake(10, 5), switch(20, 6, 1, 5), wake(30, 5), wake(35, 6), switch(40, 5, 256, 6), switch(MS, 6, 1, 5),
            wake(2 * MS, 6), switch(5 * 1000 * MS, 5, 1, 7)])
        run, found, _ = replay(folder, "wwnr", "stall", "--param", "threshold_jiffies=1s")
        assert run.returncode == 1, run
        assert [(v["monitor"], v["key"], v["t_ns"] - S) for v in found] == [("wwnr", 5, 30), ("stall", 6, 1002 * MS)], found


@case
def coverage(root):
    """edges with their counts and how long the state had lasted"""
    _, _, sums = replay(trace(root, "t", lock_events()[:2]), *LOCK, "--coverage")
    edges = {(e["state"], e["event"]): (e["count"], e["sum_ns"]) for e in sums["lock"]["edges"]}
    assert edges == {("free", "take"): (1, 0), ("held", "drop"): (1, MS)}, edges


@case
def two_monitors_in_order(root):
    """violations of several monitors come in the order of time"""
    _, found, _ = replay(trace(root, "t", lock_events()), *LOCK, "request", "--bind", "accept=srv:lock,key=lock",
                         "--bind", "parsed=srv:unlock,key=lock", "--param", "PARSE=2ms")
    times = [v["t_ns"] for v in found]
    assert times == sorted(times) and {v["monitor"] for v in found} == {"lock", "request"}, found


@case
def no_room(root):
    """instances beyond the limit are counted, and --strict says so"""
    folder = trace(root, "t", lock_events())
    run, _, sums = replay(folder, *LOCK, "--max-instances", "1", "--strict")
    assert run.returncode == 4 and sums["lock"]["instances"] == 1 and "no room" in run.stderr, run


@case
def faults(root):
    """what cannot be bound is said, with the nearest name"""
    folder = trace(root, "t", lock_events())
    for args, words in ((["lock", "--bind", "tak=srv:lock"], "did you mean 'take'"),
                        (["lock", "--bind", "take=srv:lock,key=lok"], "no value 'lok'"),
                        (["lock", "--bind", "take=srv:lock,when=lock =="], "condition, column"),
                        (["lock", "--bind", "take"], "expected EVENT=POINT"),
                        (["lock", "--bind", "take=srv:lock,set"], "are of formulas"),
                        (["lock", "--param", "HELD=1ms"], "did you mean 'HELD_NS'"),
                        (["lock", "--param", "HELD_NS=x"], "neither a number nor a duration"),
                        (["lock", "lock"], "two models are called 'lock'"),
                        (["lock", "--after", "x"], "--after wants")):
        run, _, _ = replay(folder, *args)
        assert run.returncode == 2 and words in run.stderr, (args, run)
    run, _, _ = replay(folder, "lock", "--bind", "take=srv:lock")
    assert run.returncode == 1 and "no event of the trace is 'drop'" in run.stderr, run


def main():
    good = True
    for number, function in enumerate(CASES, 1):
        root = tempfile.mkdtemp(prefix="tocsin-replay-")
        why = ""
        try:
            function(root)
        except (AssertionError, KeyError, ValueError) as error:
            why = f"{type(error).__name__}: {error}"
        finally:
            shutil.rmtree(root)
        print(f"{'not ok' if why else 'ok'} {number} - {function.__doc__}")
        for line in why.splitlines():
            print(f"# {line}")
        good = good and not why
    print(f"1..{len(CASES)}")
    return 0 if good else 1


sys.exit(main())
