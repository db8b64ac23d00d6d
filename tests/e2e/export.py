#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`tocsin export`: each format against what `tocsin report --json` and `tocsin print --json` say of the same trace."""

import collections
import json
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import ctf_make
from tocsin import Suite, TOCSIN, check, check_equal

HELPER = os.environ.get("TOCSIN_CTF_WRITE", str(TOCSIN.parent / "tests" / "e2e" / "ctf_write"))

suite = Suite(needs=("tool",))


def tool(*args, status=0, stderr=""):
    done = subprocess.run([TOCSIN, *map(str, args)], capture_output=True, timeout=60, check=False)
    errors = done.stderr.decode()
    check_equal(done.returncode, status, f"status of {args}\n{errors}\n")
    check(re.search(stderr, errors) if stderr else not errors, f"standard error of {args}: {errors!r}")
    return done.stdout.decode()


def known(run):
    path = f"{run.scratch}/known"
    subprocess.run([HELPER, "known", path], capture_output=True, check=True)
    lines = [json.loads(line) for line in tool("report", "--json", path).splitlines()]
    return path, [v for v in lines if v["type"] == "violation"]


def parts(v):
    """(state, cause, begin, end) of what a violation spent off the CPU; what lies outside it does not count."""
    at = v["start_ns"]

    def until(end, state, cause):
        nonlocal at
        end = min(end, v["end_ns"])
        if end > at:
            yield state, cause, at, end
            at = end

    for s in v["spells"]:
        slept = s["state"] in ("blocked", "stopped")
        end = s.get("in_ns", v["end_ns"])
        at = max(at, s["out_ns"]) if s["out_ns"] < v["end_ns"] else at
        if slept:
            yield from until(s.get("wake_ns", end), s["state"], s["cause"])
        yield from until(min(at + s["throttled_ns"], end), "throttled", "quota")
        yield from until(end, "waiting", s.get("wait_cause", s["cause"]))


def off_cpu(violations):
    total = collections.Counter()
    for v in violations:
        for state, cause, begin, end in parts(v):
            total[state, cause] += end - begin
    return total


@suite.test("folded: the time of each state and cause is in the lines")
def folded(run):
    path, violations = known(run)
    got = collections.Counter()
    for line in tool("export", "--to", "folded", path).splitlines():
        stack, us = line.rsplit(" ", 1)
        got[tuple(stack.split(";")[1:3])] += int(us)
    want = {k: v / 1000 for k, v in off_cpu(violations).items()}
    check_equal(set(got), set(want), "states and causes")
    check(len(want) >= 3, f"little to compare: {want}")
    for key, us in want.items():
        check(abs(got[key] - us) <= 1, f"{key}: {got[key]} us, want {us}")


@suite.test("speedscope: the same stacks, to the nanosecond")
def speedscope(run):
    path, violations = known(run)
    profile = json.loads(tool("export", "--to", "speedscope", path))
    frames = [f["name"] for f in profile["shared"]["frames"]]
    check_equal(len(set(frames)), len(frames), "each frame once")
    (only,) = profile["profiles"]
    got = collections.Counter()
    for sample, weight in zip(only["samples"], only["weights"], strict=True):
        got[frames[sample[1]], frames[sample[2]]] += weight
    check_equal(dict(got), dict(off_cpu(violations)), "time by state and cause")
    check_equal(only["endValue"], sum(only["weights"]), "endValue")


@suite.test("chrome: slices are nested, and lie where the trace has them")
def chrome(run):
    path, violations = known(run)
    trace = json.loads(tool("export", "--to", "chrome", path))
    base = int(trace["otherData"]["begin_ns"])
    open_slices, closed = collections.defaultdict(list), []
    for e in trace["traceEvents"]:
        if e["ph"] == "b":
            open_slices[e["id"]].append(e)
        elif e["ph"] == "e":
            begun = open_slices[e["id"]].pop()
            check_equal(begun["name"], e["name"], "what ends is what began last")
            closed.append((begun, e))
    check_equal(sum(map(len, open_slices.values())), 0, "slices that do not end")
    offset = round(base / 1e9 - violations[0]["start_ns"] / 1e9) * 10**9
    for v in violations:
        own = [(b, e) for b, e in closed if b["id"] == v["number"]]
        (section,) = [(b, e) for b, e in own if b["name"] == v["section"]]
        begin = round(section[0]["ts"] * 1000) + base - offset
        check_equal((begin, round(section[1]["ts"] * 1000) + base - offset), (v["start_ns"], v["end_ns"]), "section")
        states = [(round(b["ts"] * 1000), round(e["ts"] * 1000)) for b, e in own if b["name"] != v["section"]]
        check_equal(sum(e - b for b, e in states), v["elapsed_ns"], "the states fill the section")
    arrows = [e for e in trace["traceEvents"] if e["ph"] in "sf"]
    check_equal(len(arrows) % 2, 0, "arrows have two ends")
    check(arrows, "no arrows")


@suite.test("chrome: events of programs with their fields")
def chrome_events(run):
    path = f"{run.scratch}/other"
    ctf_make.make(path, 3)
    events = [e for e in map(json.loads, tool("print", "--json", path).splitlines()) if e["type"] == "event"]
    trace = json.loads(tool("export", "--to", "chrome", path, stderr=r"^(tocsin: \d+ events and \d+ packets are missing in the traces\n)?$"))
    got = [e for e in trace["traceEvents"] if e["ph"] == "i"]
    check_equal([(e["name"], e["args"]) for e in got], [(e["name"], e.get("fields", {})) for e in events], "events")
    base = int(trace["otherData"]["begin_ns"])
    check_equal([round(e["ts"] * 1000) + base for e in got], [e["time_ns"] for e in events], "times")
    tool("export", "--to", "folded", path, stderr=f"{len(events)} events have no place in the format 'folded'")


@suite.test("otlp: a span for each violation, with its spells below it")
def otlp(run):
    path, violations = known(run)
    lines = tool("export", "--to", "otlp", path).splitlines()
    check_equal(len(lines), len(violations), "lines")
    ids = set()
    for line, v in zip(lines, violations):
        spans = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
        root, below = spans[0], spans[1:]
        check_equal((root["name"], root["status"]["message"]), (v["section"], v["verdict"]), "root")
        check_equal(int(root["endTimeUnixNano"]) - int(root["startTimeUnixNano"]), v["elapsed_ns"], "duration")
        for s in spans:
            check(re.fullmatch("[0-9a-f]{32}", s["traceId"]) and re.fullmatch("[0-9a-f]{16}", s["spanId"]), f"ids {s}")
            check(int(root["startTimeUnixNano"]) <= int(s["startTimeUnixNano"]) <= int(s["endTimeUnixNano"]) <=
                  int(root["endTimeUnixNano"]), "a span outside its parent")
        check(all(s["parentSpanId"] == root["spanId"] for s in below), "parents")
        check_equal([s["name"] for s in below], [part[0] for part in parts(v)], "states")
        ids |= {s["spanId"] for s in spans}
    check_equal(len(ids), sum(len(json.loads(x)["resourceSpans"][0]["scopeSpans"][0]["spans"]) for x in lines), "ids are different")


@suite.test("wrong usage, a full disk, a reader that goes away")
def wrong(run):
    path, _ = known(run)
    tool("export", path, status=2, stderr="--to what")
    tool("export", path, "--to", "crome", status=2, stderr="no format 'crome', nearest is 'chrome'")
    tool("export", f"{run.scratch}/none", "--to", "chrome", status=2, stderr="cannot open")
    tool("export", path, "--to", "chrome", "-o", "/dev/full", status=3, stderr="no space left")
    tool("export", path, "--to", "chrome", "-o", f"{run.scratch}/no/x", status=2, stderr="no such file")
    done = subprocess.run(f"{TOCSIN} export {path} --to chrome | head -c 1", shell=True, capture_output=True, check=True)
    check_equal((done.stdout, done.stderr), (b"{", b""), "head")


if __name__ == "__main__":
    suite.main()
