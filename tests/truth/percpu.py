#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The per-CPU toolkit under strain: what is right stays right, and what was broken on purpose is caught.

PERCPU_MS is how long each strain lasts; PERCPU_HOTPLUG=1 also takes a CPU off and on, which disturbs everybody on the
machine.
"""

import os
import pathlib
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from tocsin import Failed, Skip, Suite, check, check_equal

suite = Suite(needs=())

PROGRAMS = pathlib.Path(os.environ["TOCSIN_PERCPU"])
MS = int(os.environ.get("PERCPU_MS", "300"))
CASES = ("add", "add-cid", "each", "list", "list-cid", "copy", "cmpstore", "load", "store", "counter", "pmc")
# Variant -> the case and delay that show it; how they are broken is in src/percpu/broken.h.
BROKEN = {
    "no_fence": (("add", 300), ("list", 300)),
    "weak_fence": (("add", 300),),
    "early_fence": (("add", 300), ("list", 0)),
    "gate_outside": (("add", 0),),
    "one_cpu": (("add-cid", 300),),
    "unarmed": (("add", 300), ("list", 0), ("counter", 30)),
}
# Injection points that the pool's stress test comes by; its broken builds are run by Meson.
POOL_CASE = ("stress_pool", "1")
ROOT = pathlib.Path(__file__).resolve().parents[2]
TRIES = 40


def stress(variant, case, ms, delay, *more):
    """Returns exit status and the line that was printed."""
    program = PROGRAMS / f"stress_{variant}"
    if not program.exists():
        raise Skip("no restartable sequences on this architecture: the programs were not built")
    try:
        done = subprocess.run([program, case, str(ms), str(delay), *map(str, more)], capture_output=True, text=True,
                              timeout=60 + ms / 1000)
    except subprocess.TimeoutExpired:
        raise Failed(f"{program.name} {case}: no end") from None
    return done.returncode, (done.stdout + done.stderr).strip().replace("\n", "; ")


def right(run, case, ms, delay, *more):
    status, line = stress("right", case, ms, delay, *more)
    run.note(f"delay {delay}: {line}")
    check(status == 0, f"{case}: exit status {status}: {line}")


def add_right(case):
    @suite.test(f"{case}: holds under migration, signals, forks and delays")
    def case_holds(run):
        for delay in (0, 30, 300):
            right(run, case, MS, delay)


def add_broken(variant, case, delay):
    @suite.test(f"{case}: the broken variant {variant} is caught")
    def case_caught(run):
        # A crash counts: the list has lost its links then.
        for number in range(1, TRIES + 1):
            status, line = stress(variant, case, 250, delay)
            check(status != 2, f"the test did not run: {line}")
            if status:
                run.note(f"try {number}: {line or 'crashed'}")
                return
        raise Failed(f"not in {TRIES} tries: {line}")


for name in CASES:
    add_right(name)


@suite.test("200 threads on the CPUs that there are")
def many_threads(run):
    for case in CASES:
        right(run, case, MS, 30, 200)


for name, shown in BROKEN.items():
    for shows, turns in shown:
        add_broken(name, shows, turns)


def points_in_sources():
    found = set()
    for path in (*(ROOT / "include" / "tocsin").glob("*.h"), *(ROOT / "src" / "percpu").rglob("*.[ch]")):
        if path.name != "rseq.h":  # which explains them
            found |= {int(n) for n in re.findall(r"TOCSIN_RSEQ_INJECT\([\s\\]*(\d+)\)", path.read_text())}
    return found


@suite.test("the delays of these tests are met: every injection point of the sources")
def points(run):
    met = set()
    lines = [stress("right", case, 100, 30)[1] for case in CASES]
    if not (PROGRAMS / POOL_CASE[0]).exists():
        raise Skip("the pool's stress test was not built")
    lines.append(subprocess.run([PROGRAMS / POOL_CASE[0], *POOL_CASE[1:]], capture_output=True, text=True, timeout=60).stdout)
    for line in lines:
        found = re.search(r"points:([ \d]*)$", line, re.M)
        check(found, f"does not say which it met: {line}")
        met |= set(map(int, found[1].split()))
    wanted = points_in_sources()
    run.note(f"met: {sorted(met)}")
    check(len(wanted) >= 11, f"the sources have {wanted}")
    check_equal(sorted(met), sorted(wanted), "points met")


@suite.test("the self-test passes here, and fails where sections are not aborted")
def selftest(run):
    for name, status in (("selftest", 0), ("selftest_unarmed", 1)):
        program = PROGRAMS / name
        if not program.exists():
            raise Skip("no restartable sequences on this architecture: the programs were not built")
        done = subprocess.run([program], capture_output=True, text=True, timeout=30)
        check(done.returncode == status, f"{name}: status {done.returncode}: {done.stdout}{done.stderr}")


@suite.test("a CPU goes off and comes back")
def hotplug(run):
    switch = pathlib.Path("/sys/devices/system/cpu/cpu1/online")
    if os.environ.get("PERCPU_HOTPLUG") != "1":
        raise Skip("disturbs the whole machine; PERCPU_HOTPLUG=1 runs it")
    if not os.access(switch, os.W_OK):
        raise Skip("CPU 1 cannot be switched off here")
    stop = threading.Event()
    turns = 0

    def switch_it():
        nonlocal turns
        while not stop.is_set():
            switch.write_text("0")
            time.sleep(0.1)
            switch.write_text("1")
            time.sleep(0.1)
            turns += 1

    switcher = threading.Thread(target=switch_it)
    switcher.start()
    try:
        for case in ("add", "add-cid", "each", "list", "counter"):
            right(run, case, max(MS, 1000), 30)
    finally:
        stop.set()
        switcher.join()
    run.note(f"off and on {turns} times")
    check(turns > 2, "CPU 1 was not switched")


suite.main()
