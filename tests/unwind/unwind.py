#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Walks by our tables against walks by libdwfl, on the same stopped thread: equal frames, or fewer and a reason.

UNWIND_PLACES is how many places are compared in each program.
"""

import os
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import pg
from tocsin import Skip, Suite, check

suite = Suite(needs=())

PROGRAMS = pathlib.Path(os.environ["TOCSIN_UNWIND"])
PLACES = int(os.environ.get("UNWIND_PLACES", "2000"))


def oracle(run, *args):
    """Runs the oracle; returns its figures."""
    program = PROGRAMS / "oracle"
    if not program.exists():
        raise Skip("x86-64 only, and a C++ compiler is needed")
    done = subprocess.run([program, "-n", str(PLACES), *map(str, args)], capture_output=True, text=True, timeout=600)
    text = done.stdout.strip()
    run.note(text.splitlines()[-1] if text else done.stderr.strip())
    check(done.returncode == 0, f"exit status {done.returncode}:\n{text[-3000:]}{done.stderr}")
    return {key: int(value) for key, value in re.findall(r"([\w-]+)=(\d+)", text.splitlines()[-1])}


def all_whole(figures, cut_of_a_thousand):
    """All places were compared, and few walks ended before the outermost frame."""
    check(figures["points"] >= PLACES, f"only {figures['points']} places")
    check(figures["wrong"] == 0, "wrong frames")
    check(figures["frames"] > 3 * figures["points"], "walks of hardly any frame")
    check(figures["cut"] * 1000 <= cut_of_a_thousand * figures["points"], f"{figures['cut']} walks were cut")


@suite.test("stepped: -O3 without frame pointers, callbacks, signals, lazy calls, realigned stacks, exceptions")
def stepped_o3(run):
    # Those that are cut: calls that are bound lazily go through code of the dynamic linker that keeps its frame in rbx.
    all_whole(oracle(run, "-s", 150, "--", PROGRAMS / "target_o3"), 500)


@suite.test("stepped: -O0 with frame pointers")
def stepped_o0(run):
    all_whole(oracle(run, "-s", 150, "--", PROGRAMS / "target_o0"), 500)


def busiest(server):
    """The process of the server that serves a client, or 0 when there is none yet."""
    for pid in server.processes():
        try:
            if b"[local]" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        except OSError:
            continue
    time.sleep(0.05)
    return 0


@suite.test("sampled: a PostgreSQL backend under load")
def postgres(run):
    try:
        with pg.Server() as server:
            server.load(500)
            backend = next(p for p in iter(lambda: busiest(server), None) if p)
            all_whole(oracle(run, "-p", backend), 10)
    except pg.Unavailable as missing:
        raise Skip(str(missing)) from None


suite.main()
