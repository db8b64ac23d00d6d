#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`tocsin rv` beside what `tocsin monitor` says of the same models: rv.py PROGRAM."""

import json
import re
import subprocess
import sys

PROGRAM = sys.argv[1]
LINE = re.compile(r"^( - )?(\S+)\s+(\S.*) \[(ON|OFF)\]$")
results = []


def check(good, name, why=""):
    results.append(good)
    print(f"{'ok' if good else 'not ok'} {len(results)} - {name}")
    if not good:
        for line in str(why).splitlines():
            print(f"# {line}")


def tool(*words):
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=60)


def rows(run):
    found = [LINE.match(line) for line in run.stdout.splitlines()]
    return [m.groups() for m in found if m] if all(found) else None


def lists():
    models = [json.loads(line) for line in tool("monitor", "list", "--json").stdout.splitlines()]
    here = set(re.findall(r"^(\S+) +\S+ +(?:runs here|cannot tell about .*)$", tool("monitor", "list").stdout, re.M))
    about = {m["name"]: m["about"] for m in models}
    run = tool("rv", "list", "--models")
    listed = rows(run)
    check(run.returncode == 0 and not run.stderr and listed, "every line is of a monitor", run)
    nested = [name for dash, name, _, _ in listed if dash]
    alone = [name for dash, name, _, _ in listed if not dash]
    containers = {name for name in alone if name not in about}
    missing = here ^ (set(nested) | set(alone) - containers)
    check(here and not missing and len(nested) + len(alone) - len(containers) == len(set(nested) | (set(alone) - containers)),
          "each model that this kernel has the events for is there once", missing)
    check(all(desc == about[name] for _, name, desc, _ in listed if name in about), "with its description", run.stdout)
    inside = [name for c in sorted(containers) for _, name, _, _ in rows(tool("rv", "list", "--models", c))]
    check(sorted(inside) == sorted(nested) and containers, "containers hold what is indented", (inside, nested))
    run = tool("rv", "list", "--models", "wwnr")
    check((run.returncode, run.stdout) == (0, "-- No monitor found in container wwnr --\n"), "a model is no container", run)


lists()
print(f"1..{len(results)}")
sys.exit(0 if all(results) else 1)
