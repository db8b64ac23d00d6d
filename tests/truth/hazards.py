# SPDX-License-Identifier: MIT
"""Programs that careless probes kill or corrupt, and the sections to watch them with.

Each case names a target program with its arguments, and ways to watch it. A way is accepted (the probes must then fire),
or refused with a reason, or either; whatever happens, the program must print and end as it does unwatched.
"""

import collections

import elf
from tocsin import check

ACCEPTED, REFUSED, EITHER = "accepted", "refused", "either"

Way = collections.namedtuple("Way", "name section answer hits reason", defaults=(0, None))
# section: {path} is the program's file, {SYMBOL} and {SYMBOL+N} are file offsets in it
# hits:    sections that must have closed when it was accepted; None: that cannot be said
# reason:  pattern that the refusal must match
Case = collections.namedtuple("Case", "name program args ways")


def _pair(hits):
    return Way("start and stop", "func:watched .. watched_done < 10s", ACCEPTED, hits)


def _flow(mode, n, *ways):
    return Case(f"C, {mode.replace('_', ' ')}", "hurt_flow", (mode, str(n)), ways)


CASES = [
    Case("leaf with a red zone", "hurt_leaf", ("20000",), (
        Way("USDT on a five-byte nop", "usdt:hurt:leaf .. leaf_done < 10s", REFUSED, reason=r"below the stack pointer"),
        Way("the nop by its offset", "{path}:{hurt_leaf_site} .. {path}:{leaf_done} < 10s", REFUSED, reason=r"below the stack pointer"),
        Way("start and stop", "func:leaf .. leaf_done < 10s", ACCEPTED, 20000),
        Way("entry to return", "func:leaf < 10s", EITHER, 20000))),
    Case("C++ throw", "hurt_throw", ("1000",), (
        Way("entry to return of what throws", "func:watched < 10s", EITHER, None),
        Way("entry to return of what is thrown through", "func:watched_guard < 10s", EITHER, None),
        Way("entry to return of what catches", "func:watched_catch < 10s", EITHER, 1000),
        Way("entry to return of a method", "func:_ZN4demo6Engine4stepEj < 10s", EITHER, None),
        Way("start and stop", "func:watched_guard .. watched_done < 10s", ACCEPTED, 1000),
        Way("short budget", "func:watched_guard < 20us", EITHER, None))),
    Case("coroutines", "hurt_coro", ("500",), (
        Way("entry to return", "func:watched < 10s", EITHER, None),
        Way("start and stop", "func:watched .. watched_done < 10s", ACCEPTED, None),
        Way("short budget", "func:watched .. watched_done < 20us", ACCEPTED, None))),
    Case("boost fibres", "hurt_boost", ("500",), (
        Way("entry to return", "func:watched < 10s", EITHER, None),
        Way("start and stop", "func:watched .. watched_done < 10s", ACCEPTED, None))),
    _flow("plain", 200, _pair(200),
          Way("entry to return", "func:watched < 10s", ACCEPTED, 200),
          Way("return bound behind the push", "{path}:{watched+1} < 10s", REFUSED),
          Way("start behind the push, and stop", "{path}:{watched+1} .. {path}:{watched_done} < 10s", EITHER, 200)),
    _flow("recurse", 20,
          Way("entry to return", "func:watched < 10s", EITHER, None),
          Way("short budget", "func:watched < 20us", EITHER, None)),
    _flow("longjmp", 100000, _pair(100000),
          Way("entry to return", "func:watched < 10s", EITHER, None)),
    _flow("tail", 1000,
          Way("entry to return", "func:watched_tail < 10s", EITHER, None),
          Way("entry to return of the callee", "func:watched_next < 10s", ACCEPTED, 1000)),
    _flow("pthread_exit", 50, Way("entry to return", "func:watched < 10s", EITHER, None),
          Way("short budget", "func:watched < 20us", EITHER, None)),
    _flow("fork", 20, _pair(None),
          Way("entry to return", "func:watched < 10s", EITHER, None),
          Way("short budget", "func:watched < 20us", EITHER, None)),
    _flow("signal", 200, _pair(None), Way("entry to return", "func:watched < 10s", EITHER, 400)),
    _flow("exec", 5, Way("entry to return", "func:watched < 10s", EITHER, None),
          Way("short budget", "func:watched .. watched_done < 20us", EITHER, None)),
    _flow("backtrace", 50, _pair(50), Way("entry to return", "func:watched < 10s", EITHER, 50)),
    _flow("syscall", 50,
          Way("the syscall instruction", "{path}:{raw_getppid_site} .. {path}:{watched_done} < 10s", REFUSED,
              reason=r"syscall"),
          Way("start and stop", "func:raw_getppid .. watched_done < 10s", ACCEPTED, 50),
          Way("entry to return", "func:raw_getppid < 10s", EITHER, 50)),
    Case("seccomp strict", "hurt_seccomp", ("strict",), (
        _pair(1000), Way("entry to return", "func:watched < 10s", EITHER, 1000),
        Way("five-byte nop at the entry", "func:watched_done < 10s", EITHER, 1000))),
    Case("seccomp filter", "hurt_seccomp", ("filter",), (
        _pair(1000), Way("entry to return", "func:watched < 10s", EITHER, 1000),
        Way("five-byte nop at the entry", "func:watched_done < 10s", EITHER, 1000))),
]


def section_text(way, path):
    """The section of a way, with the offsets of this build put in."""
    file = elf.Elf(path)

    class Offsets(dict):
        def __missing__(self, key):
            name, _, add = key.partition("+")
            return hex(file.offset(name) + int(add or 0))

    return way.section.format_map(Offsets(path=path))


def outcome(target):
    """Lets a target run to its end; what it printed, and its exit status."""
    target.go()
    status = target.finish(120)
    lines = [line for line in target.out.lines if '"ready"' not in line]
    check(lines or status, "the program printed nothing")
    return status, "\n".join(lines)
