#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""User stacks of violations: the functions that the program says were on its stack, through the C library's code."""

import json
import lzma
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from tocsin import Skip, Suite, check, check_equal, target_path

suite = Suite(needs=("tool", "root", "bpf", "btf"))

SECTION = "work: func:work < 3ms"


def own_frames(stack):
    """The functions of the program itself, innermost first."""
    return [f["function"] for f in stack["frames"] if f["module"].endswith("/stacks") and f["function"] != "_start"]


def watched(run, n, *more):
    cache = pathlib.Path(run.scratch) / "cache"
    target = run.target("stacks", str(n))
    watch = run.watch("--stacks", "--stack-cache", str(cache), "-p", str(target.pid), *more, SECTION)
    target.go()
    check_equal(target.finish(), 0, "exit status of the target")
    watch.stop()
    return target, watch, cache


@suite.test("each violation has the stack with which it was late; libc's frames between; tables are kept")
def chains(run):
    target, watch, cache = watched(run, 6)
    said = {}
    for o in target.objects():
        said.setdefault(o["tid"], []).append(o["chain"])
    whole = checked = spells = 0
    for tid, chains_of in said.items():
        late = watch.violations(tid=tid)
        check_equal(len(late), len(chains_of), "violations of the thread")
        for violation, chain in zip(late, chains_of):
            stack = violation["user_stack"]
            if not violation["fired"]:
                check_equal(stack, {"reach": "not_asked", "frames": []}, "the stack of one that was not noticed")
                continue
            checked += 1
            check_equal(stack["reach"], "complete", f"the reach of {own_frames(stack)}")
            # The deadline may pass in the frame's own last instructions: what is below `work` is then gone.
            tail = chain[chain.index("work"):]
            check_equal(own_frames(stack)[-len(tail):], tail, "frames from work on")
            whole += own_frames(stack) == chain
            check(all(f.get("line") for f in stack["frames"] if f["function"] in chain), "a frame without its line")
            for spell in violation["spells"]:
                if "user_stack" in spell and spell["state"] == "blocked":
                    spells += 1
                    check_equal(own_frames(spell["user_stack"]), chain, "frames of the spell")
                    libc = [f for f in spell["user_stack"]["frames"] if "libc.so" in f["module"]]
                    check(libc and all(f["build_id"] for f in libc), "no frame of the C library")
    check(checked >= 30 and whole >= 0.8 * checked and spells >= 20, f"{checked} checked, {whole} whole, {spells} spells")
    run.note(f"{checked} stacks at deadlines, {whole} to the innermost function, {spells} of spells; 0 wrong")
    check(list((cache / "unwind").glob("*/*")), "no table was kept")


def right_or_said(late, chains_of, allowed):
    """Each stack at a deadline is what the program says, or is missing for an allowed reason. Returns (right, missing)."""
    right = missing = 0
    check_equal(len(late), len(chains_of), "violations of the thread")
    for violation, chain in zip(late, chains_of):
        stack = violation["user_stack"]
        if not stack["frames"]:
            check(stack["reach"] in allowed, f"reach {stack['reach']}")
            missing += 1
            continue
        tail = chain[chain.index("work"):]
        check_equal(own_frames(stack)[-len(tail):], tail, f"frames from work on, reach {stack['reach']}")
        right += 1
        for spell in violation["spells"]:
            mine = spell.get("user_stack")
            if mine and mine["frames"] and spell["state"] == "blocked":
                check_equal(own_frames(mine), chain, "frames of the spell")
    return right, missing


def by_thread(target):
    said = {}
    for o in target.objects():
        said.setdefault(o["tid"], []).append(o["chain"])
    return said


@suite.test("a tiny ring and a stopped reader: right, or lost and counted")
def dropped(run):
    target = run.target("stacks", "16")
    watch = run.watch("--stacks", "--stack-cache", "", "--stack-ring", "64K", "-p", str(target.pid), SECTION)
    target.go()
    for _ in range(3):
        time.sleep(0.15)
        watch.signal(signal.SIGSTOP)
        time.sleep(0.25)
        watch.signal(signal.SIGCONT)
    target.finish()
    watch.stop(losses=("stack_ring_full",))
    right = missing = 0
    for tid, chains_of in by_thread(target).items():
        some = right_or_said(watch.violations(tid=tid), chains_of, ("lost", "not_asked"))
        right, missing = right + some[0], missing + some[1]
    lost = watch.summary()["losses"]["stack_ring_full"]
    check(lost > 0 and missing > 0, f"nothing was lost: {lost} counted, {missing} missing")
    run.note(f"{right} right, {missing} missing, {lost} stacks counted as lost, 0 wrong")


@suite.test("two watches at once: both have every stack")
def two(run):
    target = run.target("stacks", "4")
    both = [run.watch("--stacks", "--stack-cache", "", "-p", str(target.pid), SECTION) for _ in range(2)]
    target.go()
    target.finish()
    for watch in both:
        watch.stop()
    for watch in both:
        for tid, chains_of in by_thread(target).items():
            right, missing = right_or_said(watch.violations(tid=tid), chains_of, ("not_asked",))
            check(right >= len(chains_of) - 1, f"{right} right, {missing} missing")


@suite.test("a thread's number given to one thread after another")
def reused(run):
    if not os.access("/proc/sys/kernel/ns_last_pid", os.W_OK):
        raise Skip("the kernel does not let thread ids be chosen (ns_last_pid)")
    target = run.target("stacks", "reuse", "12")
    watch = run.watch("--stacks", "--stack-cache", "", "-p", str(target.pid), SECTION)
    target.go()
    check_equal(target.finish(), 0, "exit status of the target")
    watch.stop()
    said = by_thread(target)
    tid, chains_of = max(said.items(), key=lambda item: len(item[1]))
    check(len(chains_of) >= 6, f"the same number only {len(chains_of)} times")
    right, missing = right_or_said(watch.violations(tid=tid), chains_of, ("not_asked",))
    run.note(f"{len(chains_of)} threads had number {tid}: {right} right, {missing} missing, 0 wrong")


@suite.test("killed while asleep: the stack is taken on the way out")
def killed(run):
    target = run.target("stacks", "hang")
    watch = run.watch("--stacks", "--stack-cache", "", "-p", str(target.pid), "work: func:work < 1ms")
    target.go()
    time.sleep(0.5)
    target.signal(signal.SIGKILL)
    target.wait()
    watch.stop()
    gone = [v for v in watch.violations() if v.get("abandoned") == "exit"]
    if not gone:
        return run.note("it was killed between two sections")
    stack = gone[0]["user_stack"]
    if gone[0]["fired"]:
        check_equal(own_frames(stack), ["nap", "work", "main"], f"frames, reach {stack['reach']}")


def stripped(run, variant):
    """The target without symbols of its own, and its debugging information beside it, or packed into it."""
    folder = pathlib.Path(run.scratch)
    whole, bare, debug = target_path("stacks"), folder / "stacks", folder / "stacks.debug"
    subprocess.run(["objcopy", "--only-keep-debug", whole, debug], check=True)
    subprocess.run(["strip", "-o", bare, whole], check=True)
    if variant == "link":
        subprocess.run(["objcopy", f"--add-gnu-debuglink={debug}", bare], check=True)
    else:
        subprocess.run(["objcopy", "--strip-debug", debug], check=True)
        packed = folder / "packed"
        packed.write_bytes(lzma.compress(debug.read_bytes()))
        subprocess.run(["objcopy", f"--add-section=.gnu_debugdata={packed}", bare], check=True)
        debug.unlink()
    return bare


def names_of(run, variant):
    target = run.target(str(stripped(run, variant)), "2")
    watch = run.watch("--stacks", "--stack-cache", "", "-p", str(target.pid), SECTION)
    target.go()
    check_equal(target.finish(), 0, "exit status of the target")
    watch.stop()
    found = [v["user_stack"] for v in watch.violations() if v["user_stack"]["frames"]]
    check(found and any(own_frames(s)[-3:-1] == ["work", "all"] for s in found), "no names")
    return [f for s in found for f in s["frames"] if f.get("function") == "work"]


@suite.test("stripped, with a .gnu_debuglink: names and lines", needs=("program:objcopy",))
def debuglink(run):
    check(all(f.get("line") for f in names_of(run, "link")), "a frame without its line")


@suite.test("stripped, with a .gnu_debugdata: names", needs=("program:objcopy",))
def debugdata(run):
    check(not any(f.get("line") for f in names_of(run, "data")), "a line out of nothing")


@suite.test("without --stacks there are none, and nothing is written")
def without(run):
    target = run.target("stacks", "1")
    watch = run.watch("-p", str(target.pid), SECTION)
    target.go()
    target.finish()
    watch.stop()
    check(watch.violations() and not any("user_stack" in v for v in watch.violations()), "a stack that nobody wanted")


@suite.test("a trace has them as events")
def in_trace(run):
    trace = pathlib.Path(run.scratch) / "trace"
    _, watch, _ = watched(run, 1, "-o", str(trace))
    printed = "".join(str(part) for part in run.tocsin("print", "--json", str(trace)))
    events = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    stacks = [e for e in events if "user_stack" in json.dumps(e)]
    check(len(stacks) >= len(watch.violations()), f"{len(stacks)} events for {len(watch.violations())} violations")
    check(any("by_value" in json.dumps(e) for e in stacks), "no frame of the program")


suite.main()
