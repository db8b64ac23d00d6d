#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`tocsin record` while CPUs go and come. TOCSIN_HOTPLUG=1 asks for it: everybody on the machine feels that.

Without it the affinity of the threads is moved about, which others do not feel.
"""

import glob
import json
import os
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from tocsin import TOCSIN, Skip, Suite, check, check_equal, target_path  # noqa: E402

suite = Suite(needs=("tool",))
EVENTS = 400_000


def recorded_while(run, disturb, *args, env=None):
    """Records a program of EVENTS numbered events while disturb(pid) is called again and again; written + lost = emitted."""
    trace = f"{run.scratch}/trace"
    # Bursts of 2,000 and 5 ms of rest: a second and more.
    record = run.program(TOCSIN, "record", "-o", trace, *args, "--", target_path("record_emit"), "bursts", str(EVENTS), "2000", env=env)
    turns = 0
    while record.running():
        disturb(record.pid)
        turns += 1
    check_equal(record.wait(60), 0, f"status of record\n{record.err.text()}\n")
    check(turns > 3, f"it ended after {turns} turns")
    status, out, err = run.tocsin("print", "--json", trace)
    check_equal(status, 0, err)
    numbers, lost = [], 0
    for event in map(json.loads, out.splitlines()):
        if event["name"] == "record:count":
            numbers.append(event["fields"]["n"])
        elif event["name"] == "summary":
            lost = event["fields"]["lost"]
    check_equal(len(numbers) + lost, EVENTS, "written and lost")
    check_equal(numbers, sorted(set(numbers)), "their order")
    run.note(f"{turns} turns, {lost} lost")


def threads(pid):
    """The recording's and its command's threads."""
    for entry in glob.glob(f"/proc/{pid}/task/*") + glob.glob(f"/proc/{pid}/task/*/children"):
        if entry.endswith("children"):
            try:
                yield from map(int, pathlib.Path(entry).read_text().split())
            except OSError:
                pass
        else:
            yield int(entry.rsplit("/", 1)[1])


for how, env in {"": {}, ", rings by CPU": {"TOCSIN_RSEQ": "cpu"}, ", no rseq": {"TOCSIN_RSEQ": "0"}}.items():
    @suite.test(f"threads that are moved from CPU to CPU{how}", needs=("two-cpus",))
    def _(run, env=env):
        cpus = sorted(os.sched_getaffinity(0))

        def move(pid):
            for tid in threads(pid):
                try:
                    os.sched_setaffinity(tid, {random.choice(cpus)})
                except OSError:
                    pass  # it has ended
            time.sleep(0.001)
        recorded_while(run, move, env=env)

    @suite.test(f"a CPU that goes and comes{how}", needs=("root", "two-cpus"))
    def _(run, env=env):
        online = pathlib.Path("/sys/devices/system/cpu/cpu1/online")
        if os.environ.get("TOCSIN_HOTPLUG") != "1":
            raise Skip("TOCSIN_HOTPLUG=1 asks for it")
        if not online.exists():
            raise Skip("CPU 1 cannot be switched off here")
        run.defer(online.write_text, "1")

        def plug(_):
            online.write_text("0")
            time.sleep(0.02)
            online.write_text("1")
            time.sleep(0.02)
        recorded_while(run, plug, env=env)


if __name__ == "__main__":
    suite.main()
