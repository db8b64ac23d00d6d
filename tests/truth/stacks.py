#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""User stacks of violations: the functions that the program says were on its stack, through the C library's code."""

import json
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from tocsin import Suite, check, check_equal

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
                check_equal(stack, {"reach": "not-asked", "frames": []}, "the stack of one that was not noticed")
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
    check(checked >= 30 and whole >= checked - 2 and spells >= 20, f"{checked} checked, {whole} whole, {spells} spells")
    run.note(f"{checked} stacks at deadlines, {whole} to the innermost function, {spells} of spells; 0 wrong")
    check(list((cache / "unwind").glob("*/*")), "no table was kept")


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
