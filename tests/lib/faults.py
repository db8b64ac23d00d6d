# SPDX-License-Identifier: MIT
"""Faults that make a PostgreSQL late in four known ways, and whether a verdict named them.

Each fault makes queries take longer than pg.SLOW_MS for as long as it is on, says which cause, with which words, an
explanation must give, and leaves nothing behind. The scenario switches them on one after another, beside a load that
undisturbed stays well within the budget.
"""

import collections
import contextlib
import os
import subprocess
import sys
import tempfile
import time

import machine
import pg


class CpuGroups:
    """Two control groups side by side: `server`, and `rival` with WEIGHT times its claim on the CPU."""

    WEIGHT = 20
    PERIOD_US = 100000

    def __init__(self):
        if machine.cgroup_root("cpu") is None:
            raise pg.Unavailable("no control group hierarchy with the cpu controller is mounted")
        self.server = self.rival = None
        try:
            self.server = machine.Cgroup("server")
            self.rival = machine.Cgroup("rival")
            if self.rival.version == 1:
                (self.rival.path / "cpu.shares").write_text(str(1024 * self.WEIGHT))
            else:
                (self.rival.path / "cpu.weight").write_text(str(100 * self.WEIGHT))
            self.set_quota(None)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise pg.Unavailable(f"no control group of our own: {error}") from error
            raise

    def set_quota(self, quota_us):
        """The CPU time that `server` may use in each period; None: any."""
        unlimited = -1 if self.server.version == 1 else "max"
        self.server.set_quota(unlimited if quota_us is None else quota_us, self.PERIOD_US)

    def add_server(self, server):
        """Move the server's processes in. Twice: some are born while the first are moved."""
        for pid in server.processes() + server.processes():
            with contextlib.suppress(ProcessLookupError):
                self.server.add(pid)

    def close(self):
        for group in (self.rival, self.server):
            if group:
                group.close()


class Fault:
    """One fault. `name` is a word, `title` a line for people, `needs` what a verdict must say."""

    name = title = needs = ""

    def start(self):
        raise NotImplementedError

    def stop(self):
        """Must be right also when start() was not called or failed half way."""

    def is_named_by(self, cause):
        """Whether one cause of a violation (an object of its JSON line) names this fault."""
        raise NotImplementedError


class CpuRival(Fault):
    """xz on the server's CPU, in a control group that outweighs the server's."""

    name = "cpu"
    title = f"`xz` computes on the server's CPU and counts {CpuGroups.WEIGHT} times as much"
    needs = "preempted by or queued behind `xz`"

    def __init__(self, server, groups):
        self._server = server
        self._groups = groups
        self._xz = None

    def start(self):
        with open("/dev/urandom", "rb") as random:
            self._xz = subprocess.Popen(["xz", "-6", "-c"], stdin=random, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL,
                                        preexec_fn=pg.child_setup(cpus={self._server.cpu}))
        self._groups.rival.add(self._xz.pid)
        return f"xz is pid {self._xz.pid}"

    def stop(self):
        pg.end(self._xz)

    def is_named_by(self, cause):
        peer = cause.get("peer") or {}
        return cause["kind"] in ("preempted", "runqueue") and peer.get("comm") == "xz" and peer.get("pid") == self._xz.pid


class RowLock(Fault):
    """A client that locks every branch's row and thinks before it commits, again and again."""

    name = "lock"
    title = "a transaction locks the rows that every other one needs, and its client thinks for 0.2 s"
    needs = "a lock of PostgreSQL's lock manager, with the holder's pid"

    def __init__(self, server):
        self._server = server
        self._psql = None
        self._holder = None

    def start(self):
        self._psql = self._server.psql(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._psql.stdin.write("SELECT pg_backend_pid();\n")
        self._psql.stdin.flush()
        self._holder = int(self._psql.stdout.readline())
        turn = ("BEGIN;\nUPDATE pgbench_branches SET bbalance = bbalance;\n\\! sleep 0.2\nCOMMIT;\n"
                "\\! sleep 0.2\n")
        self._psql.stdin.write(turn * 300)
        self._psql.stdin.flush()
        return f"its server process is pid {self._holder}"

    def stop(self):
        if self._psql and self._psql.poll() is None:
            pg.end(self._psql)
        if self._psql:
            self._psql.stdout.close()
            try:
                self._psql.stdin.close()
            except BrokenPipeError:
                pass  # it ended with some of its text unread, as it should

    def is_named_by(self, cause):
        peer = cause.get("peer") or {}
        return cause["kind"] == "heavy_lock" and peer.get("pid") == self._holder


class Quota(Fault):
    """A CPU quota on the server's control group, below what it needs."""

    name = "quota"
    title = "the server's control group may use 2 ms of CPU in each 100 ms"
    QUOTA_US = 2000
    needs = "the quota of its control group, by name"

    def __init__(self, groups):
        self._groups = groups

    def start(self):
        self._groups.set_quota(self.QUOTA_US)
        return f"control group {self._groups.server.path.name}"

    def stop(self):
        self._groups.set_quota(None)

    def is_named_by(self, cause):
        words = " ".join(str(cause.get(k) or "") for k in ("subject", "text", "evidence"))
        return cause["kind"] == "quota" and self._groups.server.path.name in words


# Writes its file again and again, past the page cache, until it is ended.
_WRITER = """
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600)
block = mmap.mmap(-1, 4 << 20)
at = 0
while True:
    os.pwritev(fd, [block], at)
    at = (at + len(block)) % (64 << 20)
"""


class DiskWriters(Fault):
    """Writers that fill the disk's queue, as many as it takes for a small fdatasync() to be slow."""

    name = "disk"
    title = "writers keep the disk busy"
    needs = "the disk"
    MOST = 24

    def __init__(self, server):
        self._server = server
        self._folder = None
        self._writers = []

    def start(self):
        self._folder = tempfile.mkdtemp(prefix="writers-", dir=os.path.dirname(self._server.directory))
        others = os.sched_getaffinity(0) - {self._server.cpu} or None
        with open(os.path.join(self._folder, "probe"), "wb", buffering=0) as probe:
            while True:
                for _ in range(2):
                    path = os.path.join(self._folder, str(len(self._writers)))
                    self._writers.append(subprocess.Popen([sys.executable, "-c", _WRITER, path],
                                                          preexec_fn=pg.child_setup(cpus=others)))
                time.sleep(0.1)
                slow_ms = self._measure_ms(probe)
                if slow_ms > 2 * pg.SLOW_MS or len(self._writers) >= self.MOST:
                    break
        return f"{len(self._writers)} writers; fdatasync() of 8 KiB now takes {slow_ms:.0f} ms"

    @staticmethod
    def _measure_ms(probe):
        """The median of a few commits, as the server would make them."""
        times = []
        for _ in range(5):
            probe.seek(0)
            probe.write(b"x" * 8192)
            begin = time.monotonic()
            os.fdatasync(probe.fileno())
            times.append((time.monotonic() - begin) * 1e3)
        return sorted(times)[len(times) // 2]

    def stop(self):
        for writer in self._writers:
            writer.kill()
        for writer in self._writers:
            writer.wait()
        self._writers.clear()
        if self._folder:
            for name in os.listdir(self._folder):
                os.unlink(os.path.join(self._folder, name))
            os.rmdir(self._folder)
            self._folder = None

    def is_named_by(self, cause):
        return cause["kind"] == "disk"


class Scenario:
    """The four faults on a running server, and the times at which each was on."""

    QUIET_S = 2.0
    FAULT_S = 4.0
    PAUSE_S = 1.0
    RATE = 60

    def __init__(self, server):
        self._server = server
        self._groups = None
        self.faults = []
        self.windows = {}  # name of a fault or "quiet" -> (start, end) in ns of CLOCK_MONOTONIC

    def __enter__(self):
        try:
            self._groups = CpuGroups()
            self._groups.add_server(self._server)
        except BaseException:
            self.close()
            raise
        self.faults = [CpuRival(self._server, self._groups), RowLock(self._server), Quota(self._groups),
                       DiskWriters(self._server)]
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for fault in self.faults:
            fault.stop()
        if self._groups:
            self._server.stop()  # its processes must be gone before their group can be
            self._groups.close()

    def run(self, say):
        """Load the server, then the faults in turn. say(name, sentence) is called as each begins."""
        self._server.load(self.RATE)
        time.sleep(0.5)  # pgbench's connections
        say("quiet", f"{pg.CLIENTS} clients, {self.RATE} transactions a second, and nothing wrong")
        self._window("quiet", self.QUIET_S)
        for fault in self.faults:
            say(fault.name, fault.title)
            begin = time.monotonic_ns()
            try:
                detail = fault.start()
                say(fault.name, detail)
                time.sleep(self.FAULT_S)
            finally:
                fault.stop()
            self.windows[fault.name] = (begin, time.monotonic_ns())
            time.sleep(self.PAUSE_S)

    def _window(self, name, seconds):
        begin = time.monotonic_ns()
        time.sleep(seconds)
        self.windows[name] = (begin, time.monotonic_ns())

    def slow_statements(self, name):
        """The server's own account of a window: (ms, text) of statements over pg.SLOW_MS that ended in it."""
        offset = time.time_ns() - time.monotonic_ns()
        begin, stop = self.windows[name]
        return [(ms, text) for end_s, _, ms, text in self._server.slow_statements()
                if begin <= end_s * 1e9 - offset <= stop]


class Verdict(collections.namedtuple("Verdict", "fault late naming sentence named_ns other other_ns")):
    """What the watch said of a fault: how many violations there were while it was on, how many of them named it, the
    sentence with the most time, and the time it was given, beside that of the largest other cause."""

    @property
    def is_named(self):
        return self.named_ns > self.other_ns


def judge(faults, windows, violations):
    """A Verdict per fault: it is named when it is the dominant cause of the violations that overlap its window.

    Where one late query waits for another, which holds a lock, that is no cause but a consequence: what the other waited for
    is in its own violation. `violations` are the objects of type "violation" of `tocsin watch --json`.
    """
    verdicts = []
    for fault in faults:
        begin, stop = windows.get(fault.name, (0, 0))
        during = [v for v in violations if v["start_ns"] < stop and v["end_ns"] > begin]
        late = {v["pid"] for v in during}
        naming, others = [], collections.Counter()
        for violation in during:
            mine = [c for c in violation["causes"] if fault.is_named_by(c)]
            naming += [mine] if mine else []
            for cause in violation["causes"]:
                if cause not in mine and (cause.get("peer") or {}).get("pid") not in late:
                    others[f"{cause['kind']} {cause.get('subject') or ''}".strip()] += cause["ns"]
        other, other_ns = (others.most_common(1) or [("", 0)])[0]
        named = [c for mine in naming for c in mine]
        sentence = max(named, key=lambda c: c["ns"])["text"] if named else None
        verdicts.append(Verdict(fault, len(during), len(naming), sentence, sum(c["ns"] for c in named), other, other_ns))
    return verdicts
