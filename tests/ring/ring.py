#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rings under strain: what was read and what was counted as lost is what was written, whole, in order, for every kind of
trouble; and rings that are broken on purpose do not get through. `ring.py long` runs longer, and takes CPUs away."""

import os
import pathlib
import subprocess
import sys
import time

import broken

PROGRAMS = pathlib.Path(os.environ["TOCSIN_RING_TESTS"])
LONG = sys.argv[1:] == ["long"]

CASES = [
    "threads=8",
    "threads=2 ring=1048576 pause=100",
    "signals=1 migrate=1",
    "signals=1 migrate=1 large=1 delay=all:100",
    "signals=1 delay=1:2000",
    "signals=1 delay=2:2000",
    "signals=1 delay=3:2000 delay=4:200",
    "signals=1 delay=5:2000",
    "signals=1 retire=1 delay=6:2000 delay=7:200 delay=8:2000",
    "signals=1 retire=1 delay=9:2000 delay=10:500 delay=11:500",
    "mode=block",
    "mode=block signals=1 large=1 delay=all:50",
    "mode=overwrite",
    "mode=overwrite signals=1 migrate=1 delay=all:100",
    "mode=overwrite large=1 signals=1 delay=12:500 delay=17:5000 delay=19:5000",
    "mode=overwrite retire=1 kill=1",
    "forks=1 signals=1 large=1",
    "forks=1 signals=1 delay=all:100",
    "restarts=1 large=1 signals=1 delay=18:1000",
    "kill=1 signals=1 delay=all:100 large=1",
    "kill=1 large=1",
    "monotonic=1 signals=1 migrate=1",
    "monotonic=1 signals=1 migrate=1 delay=all:100",
    "retire=1 large=1 signals=1 delay=all:100 pause=200",
    "rseq=0",
    "rseq=0 signals=1 delay=13:100 delay=14:100 delay=15:100",
    "rseq=0 mode=overwrite signals=1 delay=16:200",
    "rseq=0 mode=block large=1",
    "rseq=0 kill=1 delay=14:5000 signals=1",
    "rseq=0 forks=1 retire=1 signals=1 restarts=1",
    "GLIBC_TUNABLES=glibc.pthread.rseq=0 signals=1 migrate=1 forks=1",
    "TOCSIN_RSEQ=cpu signals=1 migrate=1 large=1 delay=all:50",
]
HOTPLUG = ["signals=1 migrate=1", "mode=overwrite migrate=1 signals=1"]


def run(program, options, milliseconds):
    """Returns (right, what it said)."""
    words = options.split()
    env = dict(word.split("=", 1) for word in words if word[0].isupper())
    argv = [PROGRAMS / program, f"ms={milliseconds}", *(word for word in words if not word[0].isupper())]
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=60 + milliseconds / 1000, env={**os.environ, **env})
    except subprocess.TimeoutExpired as hung:
        return False, f"# hangs\n# {hung.stdout}"
    return done.returncode == 0, done.stdout + ("" if done.returncode in (0, 1) else f"# status {done.returncode}\n")


class Tap:
    def __init__(self):
        self.number, self.failed = 0, 0

    def result(self, right, name, said=""):
        self.number += 1
        self.failed += not right
        print(said, end="")
        print(f"{'ok' if right else 'not ok'} {self.number} - {name}", flush=True)

    def skip(self, name, why):
        self.number += 1
        print(f"ok {self.number} - {name} # SKIP {why}", flush=True)


def stepped(tap):
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        tap.skip("single-stepped", "stepping is tested on x86-64")
        return
    done = subprocess.run([PROGRAMS / "ring_step"], stdout=subprocess.PIPE, text=True, timeout=120)
    if done.returncode == 77:
        tap.skip("single-stepped", "no restartable sequences here")
    else:
        tap.result(done.returncode == 0, "single-stepped, records get out by the side ring",
                   done.stdout + ("" if not done.returncode else f"# status {done.returncode}\n"))


def unplugged(tap):
    """CPU 1 goes and comes back under load."""
    online = pathlib.Path("/sys/devices/system/cpu/cpu1/online")
    if os.geteuid() or not os.access(online, os.W_OK):
        for options in HOTPLUG:
            tap.skip(f"a CPU goes and comes: {options}", "needs root and a second CPU that can be taken away")
        return
    for options in HOTPLUG:
        writer = subprocess.Popen([PROGRAMS / "ring_stress", "ms=5000", *options.split()], stdout=subprocess.PIPE, text=True)
        try:
            for turn in range(8):
                time.sleep(0.5)
                online.write_text("01"[turn % 2])
        finally:
            online.write_text("1")
        said, _ = writer.communicate(timeout=60)
        tap.result(writer.returncode == 0, f"a CPU goes and comes: {options}", said)


def main():
    tap = Tap()
    print(f"1..{len(CASES) + len(broken.BROKEN) + 1 + len(HOTPLUG) * LONG}", flush=True)
    for options in CASES:
        right, said = run("ring_stress", options, 8000 if LONG else 150)
        tap.result(right, options, said)
    for name, how in broken.BROKEN.items():
        for attempt in range(8):
            right, said = run(f"ring_broken_{name}", how[3], 150 * (attempt + 1))
            if not right:
                break
        tap.result(not right, f"{name} is caught", said if right else "".join(said.splitlines(True)[:1]))
    stepped(tap)
    if LONG:
        unplugged(tap)
    sys.exit(1 if tap.failed else 0)


if __name__ == "__main__":
    main()
