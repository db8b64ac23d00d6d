#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The protocols of percpu/ searched completely by spin: the right ones hold, and each broken one has an error.

What a model leaves out is said at its head. A broken variant that shows no error would mean that the model cannot tell.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from tocsin import Failed, Skip, Suite, check

suite = Suite(needs=())
HERE = pathlib.Path(__file__).resolve().parent

# MODELS_LONG=1 searches more: two sections a reader also beside two updaters, two updates a thread at the gate.
SHORT = () if os.environ.get("MODELS_LONG") else ("SECTIONS=1",)
GATE = () if os.environ.get("MODELS_LONG") else ("UPDATES=1",)
# Name of the test, model, definitions, whether it holds.
CASES = (
    ("rcu: one updater, three updates", "rcu", ("ALONE", "UPDATES=3"), True),
    ("rcu: two updaters that share periods", "rcu", ("UPDATES=1", *SHORT), True),
    ("rcu: a reader without a slot", "rcu", ("COUNTED", "ALONE", "UPDATES=3"), True),
    ("rcu without membarrier", "rcu", ("ALONE", "BUG=1"), False),
    ("rcu with a period of one bit", "rcu", ("ALONE", "UPDATES=3", "BUG=2"), False),
    ("rcu looking at one phase of counted sections", "rcu", ("COUNTED", "ALONE", "UPDATES=3", "BUG=3"), False),
    ("rcu sharing a period that had begun", "rcu", ("UPDATES=1", "BUG=4"), False),
    ("rcu looking before the membarrier", "rcu", ("ALONE", "BUG=5"), False),
    ("pool: two threads of a CPU and a drain", "pool", (), True),
    ("pool: a drain without its fence", "pool", ("BUG=1",), False),
    ("pool: sections that are not aborted", "pool", ("BUG=2",), False),
    ("pool: the top stored before the cell", "pool", ("BUG=3",), False),
    ("pool: the gate opened too early", "pool", ("BUG=4",), False),
    ("gate: two threads of a CPU and two callers elsewhere", "gate", GATE, True),
    ("gate without its fence", "gate", (*GATE, "BUG=1"), False),
    ("gate with a fence that aborts nothing", "gate", (*GATE, "BUG=2"), False),
    ("gate closed after the fence", "gate", (*GATE, "BUG=3"), False),
    ("gate tested before the section", "gate", (*GATE, "BUG=4"), False),
    ("gate where a switch does not abort", "gate", (*GATE, "BUG=5"), False),
    ("gate whose holder does not wait for the fence", "gate", (*GATE, "BUG=6"), False),
    ("gate that its value's load may pass", "gate", (*GATE, "BUG=7"), False),
)


def step(folder, *command, timeout=60):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise Failed(f"{command[0]}: {done.stdout}{done.stderr}")
    return done.stdout


def search(model, definitions, optimise):
    """Returns what the verifier says: errors and states."""
    for program in ("spin", "cc"):
        if not shutil.which(program):
            raise Skip(f"{program} is not installed")
    with tempfile.TemporaryDirectory() as folder:
        step(folder, "spin", "-a", *(f"-D{d}" for d in definitions), str(HERE / f"{model}.pml"))
        step(folder, "cc", optimise, "-DSAFETY", "-o", "pan", "pan.c")
        said = step(folder, "./pan", "-m100000", timeout=120)
    found = re.search(r"errors: (\d+)\s+(\d+) states, stored", " ".join(said.split()))
    check(found, f"no result: {said}")
    check("max search depth too small" not in said and "out of memory" not in said, f"the search was cut short: {said}")
    return int(found[1]), int(found[2]), said


def add(name, model, definitions, holds):
    @suite.test(f"{name}: {'holds' if holds else 'is caught'}")
    def case(run):
        errors, states, said = search(model, definitions, "-O1" if holds else "-O0")
        run.note(f"{states} states, {errors} errors")
        if holds:
            check(errors == 0, said)
        else:
            check("assertion violated" in said, f"nothing was found: {said}")


for row in CASES:
    add(*row)
suite.main()
