#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`tocsin monitor list --json` against this test's own look at tracefs and the kernel's types: monitor_list.py PROGRAM."""

import json
import os
import subprocess
import sys

EVENTS = "/sys/kernel/tracing/events"
BTF = "/sys/kernel/btf/vmlinux"


def expected(point, btf):
    """yes, no or unknown of one tracepoint."""
    group, name = point.split(":")
    can_list = os.access(f"{EVENTS}/sched/sched_switch", os.R_OK | os.X_OK)
    if can_list and os.path.isdir(f"{EVENTS}/{group}/{name}"):
        return "yes"
    if btf and b"\0btf_trace_" + name.encode() + b"\0" in btf:
        return "yes"
    return "no" if can_list and btf else "unknown"


def main():
    try:
        with open(BTF, "rb") as stream:
            btf = stream.read()
    except OSError:
        btf = b""
    run = subprocess.run([sys.argv[1], "monitor", "list", "--json"], capture_output=True, text=True, timeout=30)
    models = [json.loads(line) for line in run.stdout.splitlines()]
    good = run.returncode == 0 and not run.stderr and len(models) > 15
    print(f"{'ok' if good else 'not ok'} 1 - all shipped models are listed")
    number = 1
    for model in models:
        wrong = []
        for event in model["events"]:
            points = event["tracepoints"].split()
            order = ["no", "unknown", "yes", "bound by the user"]
            worst = min((expected(p, btf) for p in points), key=order.index, default="bound by the user")
            if worst != event["here"]:
                wrong.append(f"# {event['name']}: expected {worst}, said {event['here']}")
        number += 1
        print(f"{'not ok' if wrong else 'ok'} {number} - {model['name']}: its events")
        for line in wrong:
            print(line)
        good = good and not wrong
    print(f"1..{number}")
    return 0 if good else 1


sys.exit(main())
