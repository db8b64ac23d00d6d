#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""As many threads as a machine takes, all with a section open at the same time."""

import pathlib
import resource
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from tocsin import Skip, Suite, check_equal, with_libraries

suite = Suite(needs=("tool", "root", "bpf", "btf"))

THREADS = 20_000
KIB_EACH = 64  # kernel stack, thread state, the touched part of its own stack, and what the watch keeps


def need_room():
    """Skips where so many threads do not fit, with what is in the way."""
    room = {
        "/proc/sys/kernel/threads-max": 2 * THREADS, "/proc/sys/kernel/pid_max": THREADS + 5000,
        "/proc/sys/vm/max_map_count": 2 * THREADS + 1000, "/sys/fs/cgroup/pids/pids.max": THREADS + 1000,
    }
    for path, wanted in room.items():
        file = pathlib.Path(path)
        if file.exists() and (text := file.read_text().strip()) != "max" and int(text) < wanted:
            raise Skip(f"{path} is {text}, {wanted} are needed")
    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if soft != resource.RLIM_INFINITY and soft < THREADS + 1000:
        raise Skip(f"RLIMIT_NPROC is {soft}")
    free = dict(line.split(":") for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
    if int(free["MemAvailable"].split()[0]) < THREADS * KIB_EACH:
        raise Skip("not enough memory")


def crowd(run, *options, budget="1h", losses=("spells_full",)):
    target = run.target("kinds", "crowd", str(THREADS), "1000000", env=with_libraries())
    watch = run.watch("-p", str(target.pid), *options, f"tick: usdt:kinds:tick_begin .. tick_end < {budget}")
    target.go()
    check_equal(target.finish(200), 0, f"exit status of the target\n{target.err.text()}\n")
    watch.stop(losses)
    check_equal(target.objects()[-1]["threads"], THREADS, "threads at once")
    return watch


@suite.test(f"{THREADS} threads at once: each is registered, none is lost")
def all_registered(run):
    need_room()
    watch = crowd(run, "--strict")
    check_equal([watch.section()[k] for k in ("closed", "over")], [THREADS, 0], "sections closed, over")


@suite.test(f"{THREADS} threads at once, 1000 too many for --max-threads: counted exactly")
def some_refused(run):
    need_room()
    watch = crowd(run, "--max-threads", str(THREADS - 1000), losses=("threads_full", "stop_unmatched", "spells_full"))
    losses = watch.summary()["losses"]
    check_equal(losses["threads_full"], 1000, "threads not watched")
    check_equal(watch.section()["closed"], THREADS - 1000, "sections closed")


@suite.test(f"{THREADS} threads off the CPU, each over its budget: each deadline is noticed or counted")
def all_late(run):
    need_room()
    watch = crowd(run, "--ring", "256M", "--max-deadlines", str(THREADS), "--max-spells", str(THREADS * 8), budget="500ms")
    check_equal([watch.section()[k] for k in ("closed", "over", "fired")], [THREADS] * 3, "sections closed, over, fired")
    check_equal(len(watch.violations()), THREADS, "violations")


suite.main()
