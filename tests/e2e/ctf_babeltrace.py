#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Traces of known values, read back by babeltrace2: every field of every event, and what a kill or a full disk leaves.

The helper ctf_write makes the traces with the tool's own code from tests/unit/report_sample.h; what they must contain is
written down here once more.
"""

import json
import os
import pathlib
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import records
from tocsin import ROOT, Skip, Suite, TOCSIN, check, check_equal

HELPER = os.environ.get("TOCSIN_CTF_WRITE", str(TOCSIN.parent / "tests" / "e2e" / "ctf_write"))
REALTIME_NS = 1700000000 * 10**9
START = 5_000_000_000
PAGE = 4096
MAGIC = 0xC1FC1FC1

suite = Suite(needs=("program:babeltrace2",))


# ---- running the two programs

def helper(*args, status=0, env=None):
    if not os.path.exists(HELPER):
        raise Skip(f"{HELPER} was not built")
    done = subprocess.run([HELPER, *args], capture_output=True, text=True, env=env, check=False)
    check_equal(done.returncode, status, f"status of ctf_write {' '.join(args)}\n{done.stderr}\n")
    return done


def babeltrace(path, status=0):
    """What babeltrace2 prints; anything on its standard error is a fault."""
    done = subprocess.run(["babeltrace2", "--clock-seconds", str(path)], capture_output=True, check=False)
    errors = done.stderr.decode("utf-8", "replace")
    if status == 0:
        check_equal((done.returncode, errors), (0, ""), "status and standard error of babeltrace2")
    else:
        check(done.returncode != 0, "babeltrace2 read it")
    return done.stdout.decode("utf-8")


# ---- reading what babeltrace2 prints

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|<unknown>|[{}\[\]()=,:]|[^\s{}\[\]()=,:"]+')
ESCAPES = {"a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def unescaped(text):
    def one(match):
        word = match[1]
        return chr(int(word[1:], 16)) if word[0] == "x" else ESCAPES.get(word, word)
    return re.sub(r"\\(x[0-9a-f]{2}|.)", one, text[1:-1], flags=re.DOTALL)


class Reader:
    """Values of the text form: { name = value, ... }, [ [0] = value, ... ], ( "label" : container = number )."""

    def __init__(self, text):
        self.tokens = TOKEN.findall(text)
        self.at = 0

    def take(self, expected=None):
        token = self.tokens[self.at]
        check(expected in (None, token), f"{expected} expected, not {token}")
        self.at += 1
        return token

    def value(self):
        token = self.take()
        if token == "{":
            return self.fields()
        if token == "[":
            return self.items()
        if token == "(":
            return self.label()
        return unescaped(token) if token[0] == '"' else int(token, 0)

    def fields(self):
        found = {}
        while self.tokens[self.at] != "}":
            name = self.take()
            self.take("=")
            check(name not in found, f"two fields {name}")
            found[name] = self.value()
            if self.tokens[self.at] == ",":
                self.take()
        self.take("}")
        return found

    def items(self):
        found = []
        while self.tokens[self.at] != "]":
            self.take("[")
            check_equal(int(self.take()), len(found), "index")
            self.take("]")
            self.take("=")
            found.append(self.value())
            if self.tokens[self.at] == ",":
                self.take()
        self.take("]")
        return found

    def label(self):
        name = self.take()
        for word in (":", "container", "="):
            self.take(word)
        number = int(self.take())
        self.take(")")
        return number if name == "<unknown>" else unescaped(name)


LINE = re.compile(r"^\[(\d+)\.(\d{9})\] \([^)]*\) (?:(\S+) )?([a-z_]+): (\{.*\})$")


def events(path):
    """(time in ns since 1970, name, fields) of each event."""
    found = []
    for line in babeltrace(path).splitlines():
        match = LINE.match(line)
        check(match, f"not an event: {line:.300}")
        fields = Reader(match[5]).value()
        # The lengths of sequences are fields of their own.
        for name in [n for n in fields if n.startswith("_") and n.endswith("_length")]:
            check_equal(len(fields[name[1:-len("_length")]]), fields.pop(name), name)
        found.append((int(match[1]) * 10**9 + int(match[2]), match[4], fields))
    return found


# ---- what tests/unit/report_sample.h has

def split(prefix="split", **parts):
    return {f"{prefix}_{state}_ns": parts.get(state, 0) for state in records.STATES}


def head(**changes):
    made = {"number": 7, "section": "query", "tid": 4711, "pid": 4711, "comm": "postgres", "is_keyed": 1, "key": 42,
            "start_ns": START, "end_ns": START + 12600000, "elapsed_ns": 12600000, "budget_ns": 10000000,
            "split_known": 1}
    made.update(changes)
    return made


def sample_violation(**changes):
    made = {**head(), **split(running=300000, waiting=300000, blocked=12000000), "fired": 1, "fired_late_ns": 3100,
            "abandoned": "-", "stop_tid": 4711, "verdict": "blocked 12.0 ms on a row lock: woken by postgres 4712",
            "causes": 3, "spells": 2, "spells_total": 3, "spells_lost": 1, "spells_short": 9, "short_ns": 81000}
    made.update(changes)
    return made


def sample_causes(**owner):
    none = {"peer_tid": 0, "peer_pid": 0, "peer_comm": "-", "subject": "-", "text": "-", "evidence": "-"}
    return [
        {**owner, "index": 0, "kind": "heavy_lock", "confidence": "certain", "ns": 12000000, "spells": 1,
         "peer_tid": 4712, "peer_pid": 4712, "peer_comm": "postgres", "subject": "transaction 742",
         "text": "blocked 12.0 ms on a row lock: woken by postgres 4712", "evidence": "note=pg_lock waker=postgres/4712"},
        {**owner, "index": 1, "kind": "runqueue", "confidence": "likely", "ns": 300000, "spells": 2, "peer_tid": 99,
         "peer_pid": 98, "peer_comm": "xz", "subject": "-", "text": "waited 300 us for a CPU behind xz 99",
         "evidence": "-"},
        {**owner, "index": 2, "kind": "cpu", "confidence": "certain", "ns": 300000, "spells": 0, **none},
    ]


def spell(**changes):
    made = {
        "number": 7, "index": 0, "out_ns": 0, "wake_ns": 0, "in_ns": 0, "state": "blocked", "cause": "unknown",
        "wait_cause": "unknown", "throttled_ns": 0, "syscall": "-", "syscall_nr": -1, "args": [], "stack": [],
        "waker_tid": 0, "waker_pid": 0, "waker_comm": "-", "waker_syscall_nr": -1, "owner_tid": 0, "owner_pid": 0,
        "owner_comm": "-", "io_dev": "-", "io_latency_ns": 0, "io_age_ns": 0, "io_bytes": 0, "file_dev": "-",
        "file_ino": 0, "file_mode": 0, "file_name": "-", "socket_family": "-", "socket_address": "-", "socket_port": 0,
        "occupant_tid": 0, "occupant_pid": 0, "occupant_comm": "-", "occupant_prio": 0, "occupant_ns": 0, "cgroup_id": 0,
        "cgroup_name": "-", "cgroup_quota_ns": 0, "cgroup_period_ns": 0, "note_kind": 0, "note_args": [], "flags": "-"}
    unknown = changes.keys() - made.keys()
    check(not unknown, f"no such field: {unknown}")
    made.update(changes)
    return made


def sample_spells(number):
    return [
        spell(number=number, out_ns=START + 200000, wake_ns=START + 12200000, in_ns=START + 12400000, cause="heavy_lock",
              wait_cause="runqueue", syscall="semop", syscall_nr=65, args=[5, 0x7ffc00001000, 2**64 - 1],
              stack=["do_semtimedop", "__x64_sys_semtimedop"], waker_tid=4712, waker_pid=4712, waker_comm="postgres",
              waker_syscall_nr=65, owner_tid=4713, owner_pid=4713, owner_comm="postgres", occupant_tid=99,
              occupant_pid=98, occupant_comm="xz", occupant_prio=120, occupant_ns=190000, note_kind=1,
              note_args=[1, 2, 3, 4, 5, 6], flags="in_syscall"),
        spell(number=number, index=1, out_ns=START + 12450000, wake_ns=START + 12450000, in_ns=START + 12550000,
              state="waiting", cause="preempted", throttled_ns=40000, cgroup_id=77, cgroup_name="batch.slice",
              cgroup_quota_ns=50000000, cgroup_period_ns=100000000)]


def sample_fired():
    at = START + 10003100
    made = {**head(comm="exactly16bytes!!", is_keyed=0, key=0, end_ns=at, elapsed_ns=10003100),
            **split(running=200000, blocked=9803100), "state": "blocked", "late_ns": 3100, "verdict": "-", "spells": 1}
    return [("fired", made), ("spell", spell(
        out_ns=START + 200000, cause="disk", syscall="fdatasync", syscall_nr=75, args=[11, 0, 0],
        stack=["jbd2_log_wait_commit"], io_dev="253:3", io_latency_ns=9000000, io_age_ns=4000, io_bytes=16384,
        file_dev="8:1", file_ino=123456789012, file_mode=0o100644, file_name="000000010000000000000001",
        socket_family="inet", socket_address="192.0.2.7", socket_port=5432, flags="in_syscall iowait open file socket"))]


def loss_table(path):
    """Name and sentence of each loss of a table."""
    text = (ROOT / "src" / path).read_text(encoding="utf-8")
    return re.findall(r'^X\(\w+, (\w+), [01],\s*"([^"]*)"\)', text, re.MULTILINE)


def sample_summary():
    zero = {name: 0 for name in ("closed", "over", "fired", "abandoned", "still_open", "removed_open", "unreported", "mean_ns",
                                 "p50_ns", "p90_ns", "p99_ns",
                                 "p999_ns", "max_ns", "causes", "other_ns")}
    yield "summary", {"duration_ns": 30 * 10**9, "sections": 2, "records_lost": 2**64 - 1, "throttle_known": 1}
    yield "summary_section", {
        "name": "query", "text": "query: usdt:postgres:query__start .. query__done < 10ms", "budget_ns": 10000000,
        "closed": 12345, "over": 2, "fired": 2, "abandoned": 1, "still_open": 4, "removed_open": 3,
        "unreported": 1, "mean_ns": 1500000, "p50_ns": 1200000, "p90_ns": 3100000,
        "p99_ns": 9900000, "p999_ns": 12000000, "max_ns": 12600000, "causes": 3, "other_ns": 12600000,
        **split("over_split", running=600000, waiting=1000000, blocked=23600000)}
    for cause in sample_causes(section="query"):
        yield "summary_cause", cause
    yield "summary_section", {"name": "commit", "text": "func:commit < 1s", **zero, "budget_ns": 10**9,
                              **split("over_split")}
    counts = {"gap": 12, "exec_suppressed": 3}
    table = loss_table("abi/losses.def")
    check_equal([name for name, _ in table], records.LOSSES, "losses")
    for name, sentence in table + loss_table("report/sinks.def"):
        yield "loss", {"name": name, "count": counts.get(name, 0), "sentence": sentence}


def expected_events():
    """Times in ns of CLOCK_MONOTONIC; that of violation 9 is earlier than the event before, so it has that one's."""
    end, far = START + 12600000, START + 12600000 + (9 << 32)
    yield START, "process", {"what": "forked", "pid": 4800, "parent": 4711, "comm": "postgres"}
    for name, fields in sample_fired():
        yield START + 10003100, name, fields
    for number, at, start in (7, end, START), (8, far, START + (9 << 32)):
        yield at, "violation", sample_violation(number=number, start_ns=start, end_ns=at)
        for cause in sample_causes(number=number):
            yield at, "cause", cause
        for one in sample_spells(number):
            yield at, "spell", one
    yield far, "violation", sample_violation(number=9, causes=0, spells=0)
    for name, fields in sample_summary():
        yield (10 << 32) + START, name, fields


# ---- the tests

@suite.test("every field of every event is read back")
def every_field(run):
    helper("known", f"{run.scratch}/t")
    got = events(f"{run.scratch}/t")
    want = [(REALTIME_NS + at, name, fields) for at, name, fields in expected_events()]
    for i, (a, b) in enumerate(zip(got, want)):
        check_equal(a[:2], b[:2], f"event {i}")
        check_equal(sorted(a[2]), sorted(b[2]), f"fields of event {i}, {a[1]}")
        for name in a[2]:
            check_equal(a[2][name], b[2][name], f"{name} of event {i}, {a[1]}")
    check_equal(len(got), len(want), "number of events")


@suite.test("every event and field is in docs/formats/ctf.md")
def page_is_whole(run):
    page = (ROOT / "docs" / "formats" / "ctf.md").read_text(encoding="utf-8")
    for _, name, fields in expected_events():
        for word in [name, *fields]:
            known = re.sub(r"split_\w+_ns$", "split_STATE_ns", word)
            check(f"`{known}`" in page, f"{name}: {word} is not in the page")


EVIL = 'a\x1b[31mb\r\n\t"\\\x7f\u009b2J' + "\ufffd" * 6 + "\u202e" + "\ufffd" * 2


@suite.test("extreme values are read back")
def extreme_values(run):
    helper("extreme", f"{run.scratch}/t")
    got = events(f"{run.scratch}/t")
    check_equal([name for _, name, _ in got], ["violation", "cause", "cause", "spell"], "events")
    # Its time is beyond all reason; readers get one that they can add an offset to.
    check_equal({at for at, _, _ in got}, {REALTIME_NS}, "times")
    violation, cause, other, one = (fields for _, _, fields in got)
    for name in ("number", "key", "end_ns", "elapsed_ns", "budget_ns", "fired_late_ns", "short_ns",
                 *split()):
        check_equal(violation[name], 2**64 - 1, name)
    for name in ("tid", "pid", "stop_tid", "spells_total", "spells_lost", "spells_short"):
        check_equal(violation[name], 2**32 - 1, name)
    check_equal(violation["section"], "s" * 300, "section")
    check_equal(violation["verdict"], EVIL, "verdict")
    check_equal(violation["comm"], EVIL[:EVIL.index("2") + 1], "comm")
    check_equal((violation["split_known"], violation["abandoned"]), (0, "frame"), "split, abandoned")
    check_equal((cause["text"], cause["ns"], cause["kind"], cause["confidence"]), (EVIL, 2**64 - 1, "unknown", "none"),
                "cause")
    check_equal(other["text"], "t" * 255, "text")
    check_equal(one["stack"], [EVIL] + ["-"] * 23, "stack")
    check_equal((one["state"], one["syscall_nr"], one["args"]), (255, 2**31 - 1, [2**64 - 1] * 3), "spell")
    check_equal((one["occupant_prio"], one["waker_comm"]), (-1, "\ufffd" * 16), "spell")


@suite.test("a watch without events is a trace without events")
def empty_trace(run):
    helper("empty", f"{run.scratch}/t")
    check_equal(events(f"{run.scratch}/t"), [], "events")
    check_equal(sorted(os.listdir(f"{run.scratch}/t")), ["metadata", "watch_0"], "files")


@suite.test("a directory that is not empty is refused, and left alone")
def full_directory(run):
    helper("known", f"{run.scratch}/t")
    before = {p.name: p.read_bytes() for p in pathlib.Path(f"{run.scratch}/t").iterdir()}
    done = helper("known", f"{run.scratch}/t", status=1)
    check("is not empty" in done.stderr, done.stderr)
    check_equal({p.name: p.read_bytes() for p in pathlib.Path(f"{run.scratch}/t").iterdir()}, before, "files")


def packets(path):
    """Walks over the packets by their sizes; returns how many there are and those that have content."""
    data = pathlib.Path(path).read_bytes()
    at = total = filled = 0
    while at < len(data):
        check(at + 64 <= len(data), f"a head is cut at {at} of {len(data)}")
        magic, content, packet = struct.unpack_from("<I36xQQ", data, at)
        check_equal(magic, MAGIC, f"magic at {at} of {len(data)}")
        check(64 * 8 <= content <= packet and packet % (8 * PAGE) == 0, f"sizes at {at}: {content}, {packet}")
        at += packet // 8
        total += 1
        filled += content > 64 * 8
    check_equal(at, len(data), "sum of the packets")
    return total, filled


def kill_one(directory, after_s):
    writer = subprocess.Popen([HELPER, "endless", directory], stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 10
        while not os.path.exists(f"{directory}/watch_0") and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(after_s)
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()


NUMBERED = re.compile(r" (violation|cause|spell): \{ number = (\d+), (?:.* causes = (\d+), spells = (\d+), )?")


def check_numbers(path):
    """Violations are numbered from 1 without a hole, each but the last with all that belongs to it."""
    numbers, belong = [], 0
    for line in babeltrace(path).splitlines():
        name, number, causes, spells = NUMBERED.search(line).groups()
        if name == "violation":
            check(belong == 0, f"violation {number} comes before {belong} events of the one before")
            numbers.append(int(number))
            belong = int(causes) + int(spells)
        else:
            check_equal(int(number), numbers[-1], name)
            belong -= 1
    check_equal(numbers, list(range(1, len(numbers) + 1)), "numbers")
    return len(numbers)


@suite.test("kill -9 at any time leaves whole packets")
def killed(run):
    helper("empty", f"{run.scratch}/probe")
    draw = random.Random(7)
    read = unfinished = 0
    places = [run.scratch] + ([f"/dev/shm/tocsin-ctf-{os.getpid()}"] if os.access("/dev/shm", os.W_OK) else [])
    for place in places:
        os.makedirs(place, exist_ok=True)
        run.defer(shutil.rmtree, place, True)
        for i in range(30):
            trace = f"{place}/k{i}"
            kill_one(trace, draw.random() * 0.03)
            total, filled = packets(f"{trace}/watch_0")
            unfinished += total - filled
            # Reading is slower than writing by far, so babeltrace2 gets some of them.
            if i % 10 == 0:
                read += check_numbers(trace)
            shutil.rmtree(trace)
    run.note(f"{len(places) * 30} kills, {unfinished} empty packets left by unfinished ones, {read} violations read")
    check(read > 0, "nothing was written before the kills")


@suite.test("a packet that is cut is refused, so that the test above would see one")
def cut(run):
    helper("known", f"{run.scratch}/t")
    with open(f"{run.scratch}/t/watch_0", "r+b") as f:
        f.truncate(os.path.getsize(f.name) - 100)
    babeltrace(f"{run.scratch}/t", status=1)


@suite.test("a full disk leaves a whole trace, and the loss is counted", needs=("root", "program:unshare"))
def full_disk(run):
    for size in ("64k", "68k", "300k"):
        target, trace = f"{run.scratch}/mount", f"{run.scratch}/t{size}"
        os.makedirs(target, exist_ok=True)
        script = 'mount -t tmpfs -o size="$1" none "$2" && "$3" fill "$2/t" && cp -r "$2/t" "$4"'
        done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", size, target, HELPER, trace],
                              capture_output=True, text=True, check=False)
        if "unshare" in done.stderr or "mount" in done.stderr:
            raise Skip(f"no mount of its own: {done.stderr.strip()}")
        check_equal((done.returncode, done.stderr), (0, ""), "status of the writer")
        stats = json.loads(done.stdout)
        check_equal(stats["last_failure"], -28, "last failure")
        check(stats["lost"] > 0 and stats["failures"] > 0, f"nothing was lost: {stats}")
        packets(f"{trace}/watch_0")
        check_equal(os.path.getsize(f"{trace}/watch_0"), stats["bytes"], "bytes")
        check_equal(len(events(trace)), stats["events"], "events")
        check_numbers(trace)
        run.note(f"{size}: {stats['events']} events written, {stats['lost']} lost")


if __name__ == "__main__":
    suite.main()
