#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`tocsin bench`: figures that fit each other, and nothing left behind.

Few rounds, and no bars: this machine has other work. What must hold on any machine is asked for.
"""

import json
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.dom.minidom

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import machine  # noqa: E402
import tocsin  # noqa: E402
from tocsin import Skip, check, check_equal  # noqa: E402

COLUMNS = {"keys", "floors", "bars", "spread", "floor_spread"}
FIELDS = COLUMNS | {"type", "name", "rounds", "kernel", "cpus", "load", "over", "notes"}

suite = tocsin.Suite()


def bench(run, *args, timeout_s=120, status=(0,)):
    """Runs a bench; returns its standard output. Nobody may be told anything else."""
    got, out, err = run.tocsin("bench", *args, timeout_s=timeout_s)
    check(got in status, f"exit status {got}\n{err}")
    check_equal(err, "", "standard error")
    return out


def measure(run, name, *args, rounds=1, **how):
    """The JSON of one bench, checked."""
    if platform.machine() != "x86_64":
        raise Skip("the bench has sites for x86-64 only")
    out = bench(run, name, "--json", "--rounds", str(rounds), *args, **how)
    check_equal(len(out.splitlines()), 1, "lines of JSON")
    found = json.loads(out)
    check_equal(set(found), FIELDS, "fields")
    check_equal((found["type"], found["name"], found["rounds"]), ("bench", name, rounds), "type, name, rounds")
    check_equal(found["kernel"], os.uname().release, "kernel")
    check_equal(set(found["spread"]), set(found["keys"]), "keys that have a spread")
    check_equal(set(found["floor_spread"]), set(found["floors"]), "floors that have a spread")
    check(set(found["bars"]) <= set(found["keys"]), "a bar without its key")
    check_equal(found["over"], any(found["keys"][k] > bar for k, bar in found["bars"].items()), "over")
    for column in COLUMNS:
        for key, value in found[column].items():
            check(value >= 0, f"{column}.{key} is {value}")
    return found


def rising(found, *path):
    """The figures of `path` ("keys", NAME, ...) in order, each no less than the one before."""
    column, *names = path
    values = [found[column][name] for name in names]
    check(values == sorted(values), f"{dict(zip(names, values))} do not rise")
    return values


@suite.test("event: what is measured fits together", needs=("tool",))
def _(run):
    found = measure(run, "event")
    keys = found["keys"]
    wanted = {"clock_ns", "event_8_ns", "event_16_ns", "event_64_ns", "event_1k_ns", "disabled_ns", "empty_loop_ns", "event16_over_clock", "section_ns"}
    check(wanted <= set(keys), f"figures are {sorted(keys)}")
    check(keys["event_16_ns"] > keys["clock_ns"] and keys["event_1k_ns"] > keys["event_64_ns"], f"{keys}")
    check(abs(keys["event16_over_clock"] - keys["event_16_ns"] / keys["clock_ns"]) < 0.01, "the ratio is none")
    check(keys["disabled_ns"] < keys["event_8_ns"] / 2, "an event that is off costs as one that is on")
    check(keys["section_ns"] > 1.5 * found["floors"]["gettime_ns"], "a section is cheaper than the two clocks in it")


@suite.test("footprint: no thread, no socket", needs=("tool",))
def _(run):
    out = bench(run, "footprint", "--json", "--rounds", "1")
    keys = json.loads(out)["keys"]
    check_equal((keys["threads"], keys["sockets"]), (0, 0), "threads, sockets")
    check(0 < keys["rss_idle_kib"] < 1000, f"resident: {keys['rss_idle_kib']} KiB")


@suite.test("attach: a section costs more than an empty program, that more than a call")
def attach(run):
    found = measure(run, "attach", rounds=2)
    for kind in ("nop5", "func", "usdt"):
        pair, empty, site = (found["keys"][f"pair_{kind}_ns"], found["floors"][f"empty_{kind}_ns"],
                             found["floors"][f"site_{kind}_ns"])
        # the first two differ by a tenth, which the noise of a busy machine can hide
        check(pair > 0.7 * empty and empty > 10 * site > 0, f"{kind}: {pair}, {empty}, {site} ns")
        check(pair < 100000, f"{kind}: {pair} ns is no probe's cost")
        check_equal(found["bars"][f"pair_{kind}_ns"], {"nop5": 550, "func": 1100, "usdt": 1000}[kind], "bar")
    check(found["floors"]["loop_ns"] < found["floors"]["clock_gettime_ns"], "a clock read is cheaper than a loop's turn")


@suite.test("deadline: three states, percentiles that rise, and nothing false")
def deadline(run):
    found = measure(run, "deadline", "--budget", "1ms", rounds=2)
    keys = found["keys"]
    states = ["running", "blocked"]
    if any("deadline_waiting_*" in note for note in found["notes"]):
        run.note(found["notes"][0])
    else:
        states.append("waiting")
    for state in states:
        names = [f"deadline_{state}_{what}_us" for what in ("p50", "p99", "max")]
        values = rising(found, "keys", *names)
        run.note(f"{state}: {values} us")
        check(0 < values[0] < 1000, f"{names[0]}: {values[0]}")
    for kind in ("signal", "sleep"):
        rising(found, "floors", *(f"{kind}_{what}_us" for what in ("p50", "p99", "max")))
    check_equal((keys["deadline_false"], keys["deadline_duplicate"], keys["deadline_unclosed"]), (0, 0, 0),
                "false, duplicate, unclosed")


@suite.test("sched: ratios on one CPU and on two")
def sched(run):
    found = measure(run, "sched")
    wanted = {"sched_pipe1_ratio", "sched_pipe1_nobody_ratio", "sched_pipe1_other_ratio", "sched_pipe1_open_ratio"}
    if len(os.sched_getaffinity(0)) > 1:
        wanted |= {"sched_pipe2_ratio", "sched_pipe2_registered_ratio", "sched_pipe2_other_ratio",
                   "sched_pipe2_open_ratio"}
    else:
        check(any("sched_pipe2_*" in note for note in found["notes"]), "no word on why there is no pipe2")
    check_equal(set(found["keys"]), wanted, "keys")
    for key, value in found["keys"].items():
        check(0.2 < value < 5, f"{key} is {value}")
    check(found["floors"]["sched_pipe1_ns"] > 300, "nothing switches that fast")


@suite.test("sched: with one CPU to run on, two are not measured and it is said")
def sched_one_cpu(run):
    everywhere = os.sched_getaffinity(0)
    run.defer(os.sched_setaffinity, 0, everywhere)
    os.sched_setaffinity(0, {max(everywhere)})
    found = measure(run, "sched")
    check(not any("pipe2" in key for key in found["keys"]), "pipe2 without a second CPU")
    check(any("sched_pipe2_*" in note and "one CPU" in note for note in found["notes"]), f"notes: {found['notes']}")


@suite.test("idle: the watch's memory and CPU time")
def idle(run):
    found = measure(run, "idle")
    keys, floors = found["keys"], found["floors"]
    check(1000 < keys["watch_rss_kib"] < 200000, f"{keys['watch_rss_kib']} KiB")
    check(keys["watch_cpu_percent"] < 100, f"{keys['watch_cpu_percent']} %")
    check(5000 < floors["sections_per_s"] < 51000, f"{floors['sections_per_s']} sections a second")


@suite.test("text: each key with its floor, its bar and what it is")
def text(run):
    out = bench(run, "attach", "-n", "1")
    check("1 rounds" not in out and "1 round," in out, "rounds in words")
    for key, bar in (("pair_nop5_ns", 550), ("pair_func_ns", 1100), ("pair_usdt_ns", 1000)):
        pattern = rf"^  {key} +[\d.]+ ns .*floor +[\d.]+ ns +bar +{bar} ns  (ok|OVER)$"
        check(re.search(pattern, out, re.MULTILINE), f"no line {pattern!r} in\n{out}")
    check(max(map(len, out.splitlines())) <= 100, "a line of more than 100 columns")


@suite.test("--check: the exit status says whether a bar was missed")
def check_status(run):
    out = bench(run, "attach", "--rounds", "1", "--json", "--check", status=(0, 1))
    over = json.loads(out)["over"]
    status, again, _ = run.tocsin("bench", "attach", "--rounds", "1", "--json", "--check")
    check_equal(status, 1 if json.loads(again)["over"] else 0, "exit status")
    run.note(f"over: {over}, {json.loads(again)['over']}")


@suite.test("killed half way: no probe, no program, no process is left")
def killed(run):
    program = run.program(tocsin.TOCSIN, "bench", "deadline", stdin=subprocess.DEVNULL)
    children = pathlib.Path(f"/proc/{program.pid}/task/{program.pid}/children")
    held = {"link": set(), "prog": set()}
    for _ in range(100):
        time.sleep(0.1)
        held = machine.bpf_objects(program.pid)
        if len(held["link"]) >= 10:
            break
    check(len(held["link"]) >= 10, f"only {len(held['link'])} links after 10 s")
    pids = [int(pid) for pid in children.read_text().split()]
    check_equal(len(pids), 2, "children")
    program.signal(signal.SIGKILL)
    program.wait(10)
    left = machine.bpf_objects_left(held, 10)
    check(not left["link"] and not left["prog"], f"left: {left}")
    end = time.monotonic() + 5
    while any(running(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    check(not any(running(pid) for pid in pids), f"still there: {[p for p in pids if running(p)]}")


def running(pid):
    """A zombie whose new parent has not come yet does not run."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@suite.test("percpu: the figures that it promises, and the picture of them", needs=("tool",))
def percpu(run):
    with tempfile.TemporaryDirectory() as made:
        picture = pathlib.Path(made) / "percpu.svg"
        found = measure(run, "percpu", "--svg", str(picture))
        keys = found["keys"] | found["floors"]
        wanted = {"getcpu_rseq_ns", "counter_rseq_ns", "counter_lock_ns", "plain_memory_inc_ns", "op_add_ns", "pool_pair_ns",
                  "rcu_pair_ns", "pmc_read_ns"}
        if os.cpu_count() > 1:
            wanted |= {"counter_shared2_ns", "do_on_cpu_us", "affinity_trip_us", "do_on_cpu_other_us", "affinity_other_us",
                       "fence_us"}
        check(wanted <= set(keys), f"missing: {wanted - set(keys)}")
        # Whatever the load: a system call is dearer than a load from memory, and moving there than reaching there.
        check(keys["getcpu_rseq_ns"] < keys["getcpu_syscall_ns"], f"{keys}")
        bars = xml.dom.minidom.parse(str(picture)).getElementsByTagName("rect")
        check(len(bars) >= 10, f"{len(bars)} bars")
    status, out, err = run.tocsin("bench", "attach", "--svg", "/dev/null")
    check_equal((status, out), (2, ""), "a picture of another bench")
    status, out, err = run.tocsin("bench", "percpu", "--rounds", "1", "--svg", "/nowhere/x.svg", timeout_s=60)
    check(status == 3 and "/nowhere/x.svg" in err, f"a picture that cannot be written: {status} {err}")


@suite.test("wrong usage: exit 2, one line, the nearest name", needs=())
def usage(run):
    for args, words in ((["atach"], "nearest is 'attach'"), (["attach", "sched"], "one bench at a time"),
                        (["--rounds", "0"], "rounds"), (["--rounds", "1000"], "rounds"), (["--budget", "2"], "unit")):
        status, out, err = run.tocsin("bench", *args)
        check_equal((status, out), (2, ""), f"{args}: status and output")
        check(words in err and len(err.splitlines()) == 1, f"{args}: {err!r}")


@suite.test("without privilege: exit 3, and what is missing")
def unprivileged(run):
    program = run.program("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", tocsin.TOCSIN, "bench",
                          "attach", stdin=subprocess.DEVNULL)
    if program.wait(60) == 126:
        raise Skip("nobody may not run the tool where it lies")
    check_equal((program.process.returncode, program.out.text()), (3, ""), f"status and output\n{program.err.text()}\n")
    check("cap_" in program.err.text(), program.err.text())


if __name__ == "__main__":
    suite.main()
