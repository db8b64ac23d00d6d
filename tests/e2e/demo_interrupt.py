#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ctrl-C in the middle of the demo: what it started is ended and what it made is gone."""

import glob
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import machine  # noqa: E402
import pg  # noqa: E402
import tocsin  # noqa: E402
from tocsin import Skip, check, check_equal  # noqa: E402

suite = tocsin.Suite(needs=("tool", "root", "bpf", "btf", "cgroup", "program:xz"))


def stat_of(pid):
    """(parent, start time, name) of a process that lives, or None."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, fields = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
    return None if fields[0] == "Z" else (int(fields[1]), fields[19], name)


def family(root):
    """{pid: (start time, name)} of a process and all below it."""
    everybody = {int(p.name): s for p in pathlib.Path("/proc").iterdir() if p.name.isdigit() and (s := stat_of(p.name))}
    found = {root}
    while more := {pid for pid, stat in everybody.items() if stat[0] in found} - found:
        found |= more
    return {pid: everybody[pid][1:] for pid in found if pid in everybody}


def alive(members):
    return {pid: name for pid, (start, name) in members.items() if (s := stat_of(pid)) and s[1] == start}


def made(run, demo, members):
    """What a running demo has made: its own directory, the server's, its control groups, the watch's socket."""
    by_name = {}
    for pid, (_, name) in members.items():
        by_name.setdefault(name, []).append(pid)
    found = glob.glob(f"{run.scratch}/*")
    found += {os.readlink(f"/proc/{pid}/cwd") for pid in by_name["pgbench"]}
    found += glob.glob(f"{machine.cgroup_root('cpu')[1]}/tocsin-test-{demo}-*")
    found += glob.glob(f"/run/tocsin/watch.{by_name['tocsin'][0]}")
    return found


def interrupt(run, chapter, how):
    """The demo is told to end when a chapter of it begins; by `how`, a function of its Program."""
    try:
        pg.find_binaries()
    except pg.Unavailable as missing:
        raise Skip(str(missing)) from None
    demo = run.program(sys.executable, tocsin.ROOT / "examples" / "demo" / "run", stdin=subprocess.DEVNULL,
                       env={"TOCSIN": str(tocsin.TOCSIN), "TMPDIR": run.scratch})
    begun = demo.out.wait(lambda: any(line.startswith(f"== {chapter}:") for line in demo.out.lines), 60)
    check(begun, f"the chapter did not begin\n{demo.out.text()}\n{demo.err.text()}")
    time.sleep(1.5)  # in the middle of it
    members = family(demo.pid)
    names = {name for _, name in members.values()}
    check({"postgres", "pgbench", "tocsin"} <= names, f"not all of it runs: {names}")
    mine = made(run, demo.pid, members)
    check_equal(len(mine), 5, f"things made: {mine}")
    watch = next(pid for pid, (_, name) in members.items() if name == "tocsin")
    held = machine.bpf_objects(watch)
    check(held["link"], "the watch holds no links")
    how(demo)
    check_equal(demo.wait(30), 130, f"exit status\n{demo.out.text()}\n{demo.err.text()}\n")
    check("interrupted" in demo.err.text() and "Traceback" not in demo.err.text(), f"said: {demo.err.text()}")
    end = time.monotonic() + 3
    while alive(members) and time.monotonic() < end:
        time.sleep(0.05)
    check_equal(alive(members), {}, "processes left")
    check_equal([path for path in mine if os.path.exists(path)], [], "directories and sockets left")
    check_equal(machine.bpf_objects_left(held, 5), {"link": set(), "prog": set()}, "left in the kernel")


@suite.test("Ctrl-C while a fault is on, to all of its processes as a terminal sends it")
def terminal(run):
    interrupt(run, "cpu", lambda demo: os.killpg(demo.pid, signal.SIGINT))


@suite.test("SIGTERM to the demo alone, behind the first fault")
def terminated(run):
    interrupt(run, "lock", lambda demo: demo.signal(signal.SIGTERM))


suite.main()
