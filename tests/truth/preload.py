#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`tocsin record --trace` on programs that are not linked with libtocsin and say what they called: the trace must hold that."""

import collections
import glob
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from tocsin import TOCSIN, Skip, Suite, check, check_equal  # noqa: E402

PROGRAMS = pathlib.Path(os.environ["TOCSIN_PRELOAD"])
LIBRARIES = pathlib.Path(os.environ["TOCSIN_PRELOAD_LIBRARIES"])
MARK_BEGIN, MARK_END = 777771, 777773
suite = Suite(needs=())


def program(name):
    path = PROGRAMS / f"preload_{name}"
    if not path.exists():
        raise Skip(f"preload_{name} was not built")
    return str(path)


def record(run, trace, *command, status=0, options=(), env=None):
    """-> what the command wrote, the events, what was said."""
    path = f"{run.scratch}/trace"
    done = subprocess.run([TOCSIN, "record", "--strict", "-c", "tid,pid", "--ring-size", "16M", *options, "--trace", trace, "-o", path,
                           "--", *command], capture_output=True, text=True, timeout=120, env=dict(os.environ, **(env or {})))
    check_equal(done.returncode, status, f"status of record\n{done.stderr[-2000:]}\n")
    if not os.path.exists(path):
        return done.stdout, [], done.stderr
    printed = subprocess.run([TOCSIN, "print", "--json", path], capture_output=True, text=True, timeout=120)
    check_equal(printed.returncode, 0, f"status of print\n{printed.stderr[-2000:]}\n")
    events = []
    for line in printed.stdout.splitlines():
        event = json.loads(line)
        if ":" in event.get("name", ""):
            events.append(dict(event["fields"], name=event["name"], **event["event_context"]))
    return done.stdout, events, done.stderr


def by_thread(lines):
    found = collections.defaultdict(list)
    for line in lines:
        found[line.pop("tid")].append(line)
    return found


def marked(events):
    """Of each thread what is between its marks, without what the program cannot know."""
    found = {}
    for tid, list_ in by_thread(events).items():
        inside, out, marks = False, [], 0
        skip = False
        for e in list_:
            e = {k: v for k, v in e.items() if k not in ("caller", "pid")}
            if skip:  # the free of a mark
                check_equal(e["name"], "malloc:free", "behind a mark")
                skip = False
            elif e.get("size") in (MARK_BEGIN, MARK_END) and e["name"] == "malloc:malloc":
                inside = e["size"] == MARK_BEGIN
                skip = True
                marks += 1
                if not inside and out and out[-1] is None:
                    out.pop()
            elif inside:
                out.append(e)
        if marks:
            found[tid] = out
    return found


def check_truth(run, *args, env=None):
    out, events, said = record(run, "malloc", program("malloc"), *args, env=env)
    truth = by_thread([json.loads(line) for line in out.splitlines()])
    got = marked(events)
    check_equal(sorted(got), sorted(truth), "threads")
    check(truth, "the program said nothing")
    for tid, want in truth.items():
        for i, (g, w) in enumerate(zip(got[tid], want)):
            check_equal(g, w, f"thread {tid}, event {i}")
        check_equal(len(got[tid]), len(want), f"events of thread {tid}")
    return events, said


for mode in ("once", "threads", "fork", "vfork", "signals", "cancel"):
    @suite.test(f"malloc: {mode}")
    def _(run, mode=mode):
        check_truth(run, mode)


@suite.test("malloc: of jemalloc, preloaded behind")
def _(run):
    found = glob.glob("/usr/lib/*/libjemalloc.so.2")
    if not found:
        raise Skip("jemalloc is not installed")
    check_truth(run, "threads", "no_pvalloc", env={"LD_PRELOAD": found[0]})


@suite.test("malloc: before constructors")
def _(run):
    _, events, _ = record(run, "malloc", program("early_main"))
    mine = [e for e in events if e.get("size") in (555551, 2 * 555551)]
    check_equal([e["name"] for e in mine], ["malloc:malloc", "malloc:realloc"], "of the constructor")
    check_equal(mine[1]["old"], mine[0]["address"], "old address")
    check([e for e in events if e["name"] == "malloc:free" and e["address"] == mine[1]["address"]], "main()'s free is not there")


@suite.test("malloc: a probe that allocates does not trace itself")
def _(run):
    out, events, said = record(run, "malloc", program("probed"), status=4)  # what is not traced is counted as lost
    for line in out.splitlines():
        name, got, want = line.rsplit(" ", 2)
        check_equal(got, want, name)
    count = collections.Counter(e["size"] for e in events if e["name"] == "malloc:malloc")
    check_equal((count[44444], count[33333]), (100, 0), "allocations told")


@suite.test("malloc: by hand, and nobody records")
def _(run):
    done = subprocess.run([program("malloc"), "threads"], capture_output=True, text=True, timeout=60,
                          env=dict(os.environ, LD_PRELOAD=str(LIBRARIES / "libtocsin-malloc.so")))
    check_equal((done.returncode, done.stderr), (0, ""), "status, and what it said")


@suite.test("malloc: a program's own allocator is left alone")
def _(run):
    out, events, said = record(run, "malloc", program("own"))
    check_equal(out, "mine\n", "output")
    check("tocsin: malloc is not traced: the program has an allocator of its own" in said, f"said {said}")
    check_equal([e["why"] for e in events], ["the program has an allocator of its own"], "events")


for name, text in (("static", "linked statically"), ("address", "AddressSanitizer"), ("thread", "ThreadSanitizer")):
    @suite.test(f"refused: {text}")
    def _(run, name=name, text=text):
        out, events, said = record(run, "malloc", program(name), status=125)
        check(text in said and "cannot trace" in said, f"said {said}")


for name, text in (("address", "AddressSanitizer"), ("thread", "ThreadSanitizer")):
    @suite.test(f"started by a traced program: {text}")
    def _(run, name=name, text=text):
        out, events, said = record(run, "malloc", "/bin/sh", "-c", f"{program(name)}; echo status $?")
        check_equal(out, "status 0\n", f"output, {said}")
        check(f"malloc is not traced: {text}" in said, f"said {said}")


def functions(run, *args, options=()):
    """-> what the program says of each thread, what the trace says, the graph: (what, name, depth) each."""
    out, events, _ = record(run, "functions", program("functions"), *args, options=options)
    graph = subprocess.run([TOCSIN, "print", "--graph", f"{run.scratch}/trace"], capture_output=True, text=True, timeout=60)
    check_equal(graph.returncode, 0, f"status of print --graph: {graph.stderr}")
    truth, got = collections.defaultdict(list), collections.defaultdict(list)
    for line in out.splitlines():
        tid, what, name, depth = line.split()
        truth[int(tid)].append((what, name, int(depth)))
    for e in events:
        if e["name"] in ("functions:enter", "functions:exit"):
            got[e["tid"]].append((e["name"].split(":")[1], e["depth"]))
    return truth, got, drawn(graph.stdout)


def drawn(text):
    found = collections.defaultdict(list)
    for line in text.splitlines()[1:]:
        tid, rest = int(line[14:21]), line[23:]
        depth = (len(rest) - len(rest.lstrip())) // 2
        rest = rest.strip()
        if rest.endswith("();"):
            found[tid] += [("enter", rest[:-3], depth), ("exit", rest[:-3], depth)]
        elif rest.endswith("() {"):
            found[tid].append(("enter", rest[:-4], depth))
        else:
            found[tid].append(("exit", rest.split()[2], depth))
    return found


for mode in ("once", "left"):
    @suite.test(f"functions: {mode}")
    def _(run, mode=mode):
        truth, got, graph = functions(run, mode)
        check_equal(len(truth), 2, "threads")
        check_equal(graph, truth, "graph")
        check_equal(got, {tid: [(what, depth) for what, _, depth in list_] for tid, list_ in truth.items()}, "events")


@suite.test("functions: down to a depth")
def _(run):
    truth, _, graph = functions(run, "once", options=["--function-depth", "3"])
    check_equal(graph, {tid: [t for t in list_ if t[2] < 3] for tid, list_ in truth.items()}, "graph")
    check(any(depth >= 3 for list_ in truth.values() for _, _, depth in list_), "nothing was deeper")


@suite.test("functions: of a least duration")
def _(run):
    truth, got, graph = functions(run, "once", options=["--function-min", "15ms"])
    check_equal(got, {}, "entries and exits")
    main = min(graph)
    check_equal([name for what, name, _ in graph[main] if what == "enter"], ["main", "slow"], "slow ones")


@suite.test("wrong use")
def _(run):
    for args, text in ((["--trace", "maloc", "--", "true"], "knows no 'maloc', nearest is 'malloc'"),
                       (["--trace", "malloc", "-a"], "--trace goes with -- CMD"), (["--trace", ",", "--", "true"], "")):
        done = subprocess.run([TOCSIN, "record", "-o", f"{run.scratch}/t{len(args[1])}", *args], capture_output=True, text=True, timeout=20)
        check_equal(done.returncode, 2, f"status of {args}: {done.stderr}")
        check(text in done.stderr, f"said {done.stderr}")


if __name__ == "__main__":
    suite.main()
