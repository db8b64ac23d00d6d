#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The examples of examples/percpu, built against the installed package as a user's project would be; each prints what it did,
which is known, with and without restartable sequences."""

import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import installed  # noqa: E402
from tocsin import ROOT, Suite, check, check_equal  # noqa: E402

suite = Suite(needs=())

# What each must say, as a regular expression.
SAYS = {
    "counter": r"400000 requests, 40000000 bytes",
    "cpu": r"CPU \d+ of \d+, node \d+, concurrency id -?\d+; (fast|slow): \w",
    "do_on_cpu": r"200000 collected of 200000",
    "keyed": r"59 connections, 1 refused while it was full",
    "pmc": r"\d+: (the|no) hardware counter",
    "pool": r"\d+ taken, at least 1000 were promised; then: No space left on device",
    "pool_debug": r"(misuse \d of 0x\w+\n)+never given back: 0x\w+",
    "rcu": r"0 wrong reads",
}


def add(name, says):
    @suite.test(f"{name}: built with pkg-config alone, and right")
    def case(run):
        where = installed.examples("percpu")
        for rseq in ("1", "0"):
            done = subprocess.run([where / name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
                                  env=dict(os.environ, TOCSIN_RSEQ=rseq))
            check_equal(done.returncode, 0, f"exit status, TOCSIN_RSEQ={rseq}: {done.stdout}")
            check(re.search(says, done.stdout), f"TOCSIN_RSEQ={rseq}: {done.stdout}")
            run.note(done.stdout.splitlines()[-1])


@suite.test("every example of the folder is here, and uses the installed library")
def complete(run):
    check_equal(sorted(path.stem for path in (ROOT / "examples" / "percpu").glob("*.c")), sorted(SAYS), "examples")
    where, root = installed.examples("percpu"), installed.install()
    for name in SAYS:
        done = subprocess.run(["ldd", where / name], stdout=subprocess.PIPE, text=True, check=True)
        check(re.search(rf"libtocsin\.so\.\d+ => {re.escape(str(root))}/", done.stdout), f"{name}: {done.stdout}")


for example, wanted in SAYS.items():
    add(example, wanted)
suite.main()
