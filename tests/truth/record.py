#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`tocsin record` against programs that know what they emitted: the trace, read by babeltrace2, must hold that, and what it
does not hold must be counted."""

import glob
import json
import mmap
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import machine  # noqa: E402
from tocsin import TOCSIN, Program, Skip, Suite, check, check_equal, target_path  # noqa: E402

suite = Suite(needs=("program:babeltrace2",))

COUNT = re.compile(r" record:count: .*\{ n = (\d+), twice = (\d+) \}")
DISCARDED = re.compile(r"WARNING: Tracer discarded (\d+) events?")


class Read:
    """What babeltrace2 makes of a trace."""

    def __init__(self, path, warnings=False):
        done = subprocess.run(["babeltrace2", str(path)], capture_output=True, text=True, timeout=120)
        check_equal(done.returncode, 0, f"status of babeltrace2\n{done.stderr[-2000:]}\n")
        self.lines = done.stdout.splitlines()
        self.losses = [int(n) for n in DISCARDED.findall(done.stderr)]
        self.discarded = sum(self.losses)
        rest = [line for line in done.stderr.splitlines() if line and not DISCARDED.match(line)]
        if not warnings:
            check(not rest, f"babeltrace2 says {rest[:5]}")
        self.numbers = []
        for line in self.lines:
            match = COUNT.search(line)
            if match:
                check_equal(int(match[2]), 2 * int(match[1]), "a field that is twice the other")
                self.numbers.append(int(match[1]))

    def session(self, name):
        """Events of the recording's own stream, as dictionaries of text."""
        found = []
        for line in self.lines:
            match = re.search(rf" {name}: \{{ (.*) \}}$", line)
            if match:
                found.append(dict(re.findall(r'(\w+) = ("[^"]*"|-?\d+)', match[1])))
        return found

    def summary(self):
        found = self.session("summary")
        check_equal(len(found), 1, "summaries")
        return {k: int(v) for k, v in found[0].items()}


def record(run, *args, **how):
    return run.own(Program([TOCSIN, "record", *args], stdin=subprocess.DEVNULL, **how))


def recorded(run, *args, status=0, timeout_s=60, **how):
    program = record(run, *args, **how)
    check_equal(program.wait(timeout_s), status, f"status of record\n{program.err.text()}\n")
    return program


def wait_until(predicate, what, timeout_s=10):
    end = time.monotonic() + timeout_s
    while not predicate():
        check(time.monotonic() < end, f"{what}: not within {timeout_s} s")
        time.sleep(0.01)


def running(run, path, *before):
    """A program that emits until it is killed, and has its control page."""
    target = run.own(Program([*before, target_path("record_emit"), "run", path]))
    wait_until(lambda: os.path.exists(path) and os.stat(path).st_size, "its first event")
    return target


def check_row(numbers, what):
    """Each number once, in order, with no hole."""
    check(numbers, f"{what}: no events")
    holes = [(a, b) for a, b in zip(numbers, numbers[1:]) if b != a + 1]
    check(not holes, f"{what}: {len(holes)} holes among {len(numbers)} events: {holes[:5]}")


def values_of(text):
    """Fields of an event as babeltrace2 prints them: { a = 1, b = [ [0] = 1 ], c = "x" }."""
    value = {}
    for name, enum, number, string, array in re.findall(
            r'(\w+) = (?:\( (?:"(?:[^"\\]|\\.)*"|<unknown>) : container = (\d+) \)|(-?[0-9][0-9A-Fa-fx.+-]*)|"((?:[^"\\]|\\.)*)"'
            r'|\[ ((?:\[\d+\] = [^,\]]+(?:, | ))*)\])', text):
        if name.startswith("_"):
            continue
        if enum:
            value[name] = int(enum)
        elif number:
            value[name] = float(number) if name == "f64" else int(number, 0)
        elif array or string == "" and f"{name} = [" in text:
            value[name] = [int(n, 0) for n in re.findall(r"\[\d+\] = ([0-9A-Fa-fx]+)", array)]
        else:
            value[name] = string
    return value


def check_all(run, *args, **how):
    trace = f"{run.scratch}/trace"
    program = recorded(run, *args, "-o", trace, "--", str(target_path("record_emit")), "all", "300", **how)
    want = [json.loads(line) for line in program.out.lines if line.startswith("{")]
    got = [values_of(line.rsplit("}, {", 1)[1]) for line in Read(trace).lines if " record:all: " in line]
    check_equal(len(got), 300, "events")
    for i, (g, w) in enumerate(zip(got, want)):
        check_equal(g, w, f"event {i}")
    return trace


@suite.test("every field of every event is what the program emitted, in every mode")
def _(run):
    for mode in ("discard", "block", "overwrite"):
        shutil.rmtree(check_all(run, "--mode", mode))


@suite.test("contexts come first and leave the fields alone")
def _(run):
    trace = f"{run.scratch}/trace"
    recorded(run, "-c", "tid,comm,cpu", "-o", trace, "--", str(target_path("record_emit")), "all", "50")
    lines = [line for line in Read(trace).lines if " record:all: " in line]
    check_equal(len(lines), 50, "events")
    for line in lines:
        match = re.search(r'pid = (\d+) \}, \{ tid = (\d+), comm = "record_emit", cpu = \d+ \}, \{ u8 = ', line)
        check(match and match[1] == match[2], f"no context: {line}")
    shutil.rmtree(trace)
    check_all(run, "-c", "tid")  # which needs padding behind it


@suite.test("metadata of CTF 2 says what that of CTF 1.8 says")
def _(run):
    trace = f"{run.scratch}/trace"
    recorded(run, "--ctf", "2", "-c", "tid", "-o", trace, "--", str(target_path("record_emit")), "all", "5")
    with open(f"{trace}/metadata", encoding="utf-8") as stream:
        parts = [json.loads(part) for part in stream.read().split("\x1e") if part]
    check_equal(parts[0], {"type": "preamble", "version": 2}, "the first fragment")
    (event,) = [p for p in parts if p.get("name") == "record:all" and "specific-context-field-class" in p]
    fields = {m["name"]: m["field-class"] for m in event["payload-field-class"]["member-classes"]}
    check_equal(fields["u16"]["length"], 16, "u16")
    check_equal(fields["s64"]["type"], "fixed-length-signed-integer", "s64")
    check_equal(fields["colour"]["mappings"], {"red": [[0, 0]], "green": [[1, 3]], 'blue "light"': [[4, 4]]}, "labels")
    check_equal(fields["seq"]["length-field-location"]["path"], ["_seq_length"], "length of a sequence")
    check_equal([m["name"] for m in event["specific-context-field-class"]["member-classes"]], ["tid"], "contexts")
    ids = {p["id"]: p for p in parts if p["type"] == "data-stream-class"}
    clocks = {p["id"] for p in parts if p["type"] == "clock-class"}
    check({s["default-clock-class-id"] for s in ids.values()} <= clocks, f"{clocks}")
    check(event["data-stream-class-id"] in ids, "the stream class of the event")


@suite.test("--where, --enable and --level choose events before they are written")
def _(run):
    emit = str(target_path("record_emit"))
    for i, (args, want) in enumerate((
            (["--where", "n >= 10 && twice != 30 && !(n & 1)"], [n for n in range(100) if n >= 10 and n != 15 and n % 2 == 0]),
            (["--enable", "record:c*t"], list(range(100))), (["--enable", "*", "--disable", "record"], []),
            (["--enable", "other"], []), (["--level", "warning"], []), (["--level", "info"], list(range(100))),
            (["-w", "string ~ \"x*\""], []))):
        program = recorded(run, *args, "-o", f"{run.scratch}/trace{i}", "--", emit, "count", "100")
        check_equal("none of the" in program.err.text(), not want and "-w" not in args, f"{args}: {program.err.text()}")
        check_equal(Read(f"{run.scratch}/trace{i}").numbers, want, f"{args}")
    target = running(run, f"{run.scratch}/next")
    recorded(run, "-p", str(target.pid), "-w", "n & 1", "-d", "200ms", "-o", f"{run.scratch}/odd")
    numbers = Read(f"{run.scratch}/odd").numbers
    check(numbers and all(n % 2 for n in numbers), f"even among them: {numbers[:20]}")


@suite.test("without restartable sequences nothing is lost, whatever the size of the rings")
def _(run):
    for size in ("64K", "4M", "16M", "1G"):
        trace = f"{run.scratch}/trace{size}"
        program = recorded(run, "--ring-size", size, "-o", trace, "--", str(target_path("record_emit")), "bursts", "40000", "1000",
                           env={"TOCSIN_RSEQ": "0"})
        check_equal(Read(trace).numbers, list(range(40000)), f"{size}: {program.err.text()}")


@suite.test("events of up to 64,900 bytes, which the side ring takes, are whole beside rings of any size")
def _(run):
    for size in ("64K", "1M", "16M", "64M", "1G"):
        trace = f"{run.scratch}/trace{size}"
        program = recorded(run, "--ring-size", size, "--mode", "block", "--block", "900ms", "-o", trace, "--",
                           str(target_path("record_emit")), "large", "60")
        status, out, err = run.tocsin("print", "--json", trace)
        check_equal(status, 0, err)
        found = [e["fields"] for e in map(json.loads, out.splitlines()) if e["name"] == "record:large"]
        check_equal([e["n"] for e in found], list(range(60)), f"{size}: {program.err.text()}")
        for n, event in enumerate(found):
            check(event["bytes"] == [(n + i * 31) & 255 for i in range(n * 7919 % 64901)], f"{size}: event {n} is not what was emitted")
        check_equal(sum(" record:large: " in line for line in Read(trace).lines), 60, "events in babeltrace2")


@suite.test("without an invariant counter the time is CLOCK_MONOTONIC's, in order, beside a process that has one")
def _(run):
    def monotonic():
        return run.own(Program([target_path("record_emit"), "run", f"{run.scratch}/slow"], env={"TOCSIN_CLOCK": "monotonic"}))
    trace = check_all(run, env={"TOCSIN_CLOCK": "monotonic"})
    with open(f"{trace}/metadata", encoding="utf-8") as stream:
        check("name = monotonic" in stream.read(), "no such clock in the metadata")
    targets = [monotonic(), running(run, f"{run.scratch}/fast")]
    wait_until(lambda: os.path.exists(f"{run.scratch}/slow"), "its first event")
    both = f"{run.scratch}/both"
    before = time.clock_gettime(time.CLOCK_REALTIME)
    recorded(run, "-d", "500ms", "-o", both, *(a for t in targets for a in ("-p", str(t.pid))))
    after = time.clock_gettime(time.CLOCK_REALTIME)
    done = subprocess.run(["babeltrace2", "--clock-seconds", "--no-delta", both], capture_output=True, text=True, check=True)
    spans = {}
    for line in done.stdout.splitlines():
        match = re.match(r"\[(\d+\.\d+)\].* record:count: .*\bpid = (\d+)", line)
        if match:
            spans.setdefault(int(match[2]), []).append(float(match[1]))
    for target in targets:
        times = spans[target.pid]
        check(before - 0.001 <= times[0] and times[-1] <= after + 0.001, f"{times[0]} to {times[-1]}, recorded {before} to {after}")
        check(times == sorted(times) and times[-1] - times[0] > 0.3, f"{times[-1] - times[0]} s of events")
    (slow, fast) = (spans[t.pid] for t in targets)
    check(abs(slow[-1] - fast[-1]) < 0.1, f"one ended {slow[-1] - fast[-1]} s after the other")


@suite.test("what a full ring drops is counted exactly, in the packets and in the summary")
def _(run):
    trace = f"{run.scratch}/trace"
    program = record(run, "--ring-size", "64K", "-o", trace, "--", str(target_path("record_emit")), "bursts", "1000000",
                     "20000")
    # Held up, so that the ring runs full.
    for _ in range(3):
        time.sleep(0.02)
        program.signal(signal.SIGSTOP)
        time.sleep(0.05)
        program.signal(signal.SIGCONT)
    check_equal(program.wait(), 0, program.err.text())
    read = Read(trace)
    summary = read.summary()
    check_equal(len(read.numbers), summary["events"], "events of the summary")
    check_equal(len(read.numbers) + summary["lost"], 1000000, "written and lost")
    check_equal(read.discarded, summary["lost"], "events_discarded in the packets")
    check_equal(sorted(set(read.numbers)), read.numbers, "their order")
    check(len(read.losses) > 1, f"told in one piece: {read.losses}")
    run.note(f"{summary['lost']} of 1000000 lost")


@suite.test("a running process is attached to, left and attached to again, without a hole")
def _(run):
    target = running(run, f"{run.scratch}/next")
    last = -1
    for i, contexts in enumerate(("", "tid", "")):
        trace = f"{run.scratch}/trace{i}"
        more = ["-c", contexts] if contexts else []
        recorded(run, "-p", str(target.pid), "-d", "300ms", *more, "-o", trace)
        numbers = Read(trace).numbers
        check_row(numbers, f"recording {i}")
        check(numbers[0] > last, f"recording {i} begins with {numbers[0]}, the one before ended with {last}")
        last = numbers[-1]
    status, out, err = run.tocsin("ps", "--json", "-p", str(target.pid))
    check_equal(status, 0, err)
    check_equal((json.loads(out)["state"], json.loads(out)["on"]), ("idle", 0), "after the last")


@suite.test("a second recording of a process is refused, and says by whom")
def _(run):
    target = running(run, f"{run.scratch}/next")
    first = record(run, "-p", str(target.pid), "-o", f"{run.scratch}/a")
    first.err.wait(lambda: "recording" in first.err.text(), 10)
    second = recorded(run, "-p", str(target.pid), "-o", f"{run.scratch}/b", status=2)
    check(f"is being recorded by process {first.pid}" in second.err.text(), second.err.text())
    first.signal(signal.SIGINT)
    check_equal(first.wait(), 0, first.err.text())
    check_row(Read(f"{run.scratch}/a").numbers, "the first")


def check_killed(run, which, kill, want_signal, cgroup=None):
    """Records a process that emits, has it killed, and looks whether its last event is there."""
    path, trace = f"{run.scratch}/next{which}", f"{run.scratch}/trace{which}"
    target = running(run, path, *(["sh", "-c", f'echo $$ > {cgroup}/cgroup.procs; exec "$@"', "sh"] if cgroup else []))
    program = record(run, "-p", str(target.pid), "-o", trace)
    program.err.wait(lambda: "recording" in program.err.text(), 10)
    kill(target)
    check_equal(program.wait(), 0, program.err.text())
    check_equal(target.wait(), 128 + want_signal, "how the process ended")
    with open(path, "rb") as stream:
        done = struct.unpack("<Q", stream.read(8))[0]
    numbers = Read(trace).numbers
    check_row(numbers, "events")
    check(numbers[-1] in (done - 1, done), f"the last event is {numbers[-1]}, the program had done {done}")


@suite.test("a process that is killed leaves everything up to its last event")
def _(run):
    def kill(target, sig, after_s):
        time.sleep(after_s)
        target.signal(sig)
    for i in range(4):
        check_killed(run, i, lambda t, i=i: kill(t, signal.SIGKILL, 0.05 + 0.037 * i), signal.SIGKILL)
    for sig in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS):
        check_killed(run, sig.name, lambda t, sig=sig: kill(t, sig, 0.1), sig)


@suite.test("a process that faults, or runs out of its memory cgroup, leaves everything up to its last event", needs=("root", "memory-cgroup"))
def _(run):
    def wish(target, what):
        time.sleep(0.1)
        target.process.stdin.write(what)
        target.process.stdin.flush()
    check_killed(run, "fault", lambda t: wish(t, b"f"), signal.SIGSEGV)
    group = machine.Cgroup("oom", "memory")
    run.defer(group.close)
    group.set_memory(64 << 20)  # its rings are charged to it, too
    check_killed(run, "oom", lambda t: wish(t, b"m"), signal.SIGKILL, group.path)
    check_equal(group.kills(), 1, "processes killed for want of memory")


@suite.test("rings that do not fit into the memory cgroup of a process are refused, and nobody is killed", needs=("memory-cgroup",))
def _(run):
    group = machine.Cgroup("room", "memory")
    run.defer(group.close)
    group.set_memory(24 << 20)
    target = running(run, f"{run.scratch}/next", "sh", "-c", f'echo $$ > {group.path}/cgroup.procs; exec "$@"', "sh")
    for args in (["-o", f"{run.scratch}/a"], ["--flight"]):
        program = recorded(run, "-p", str(target.pid), "--ring-size", "64M", "-d", "100ms", *args, status=2)
        check(re.search(rf"process {target.pid} 'record_emit' needs 65\d\d\d KiB for 1 ring, .*{group.path} has only \d+ KiB left",
                        program.err.text()) and "--ring-size" in program.err.text(), program.err.text())
    recorded(run, "-p", str(target.pid), "--ring-size", "1M", "-d", "200ms", "-o", f"{run.scratch}/b")
    check_row(Read(f"{run.scratch}/b").numbers, "in rings that fit")
    check_equal(group.kills(), 0, "processes killed for want of memory")
    check(target.running(), "the process is gone")


@suite.test("a recording that is killed leaves a whole trace, and the next one continues it")
def _(run):
    target = running(run, f"{run.scratch}/next")
    traces = []
    for i in range(4):
        traces.append(f"{run.scratch}/trace{i}")
        program = record(run, "-p", str(target.pid), "--ring-size", "16M", "-o", traces[-1])
        program.err.wait(lambda: "recording" in program.err.text(), 10)
        time.sleep(0.15 + 0.021 * i)
        if i < 3:
            program.signal(signal.SIGKILL)
            program.wait()
            status, out, _ = run.tocsin("ps", "--json", "-p", str(target.pid))
            check_equal(json.loads(out)["state"], "left", "after the kill")
            time.sleep(0.05)
        else:
            program.signal(signal.SIGINT)
            check_equal(program.wait(), 0, program.err.text())
    numbers = []
    for trace in traces:
        part = Read(trace).numbers
        check_row(part, trace)
        # What was written and not yet given back is in both.
        check(not numbers or numbers[0] <= part[0] <= numbers[-1] + 1,
              f"hole: {numbers[-1:]} is followed by {part[0]}")
        numbers = part
    before = sum(os.stat(f).st_size for f in glob.glob(f"{traces[0]}/process_*"))
    status, out, err = run.tocsin("record", "--recover", traces[0])
    check_equal(status, 0, err)
    after = sum(os.stat(f).st_size for f in glob.glob(f"{traces[0]}/process_*"))
    check(after < before, f"nothing was cut off: {before} to {after}")
    check_row(Read(traces[0]).numbers, "recovered")


@suite.test("a trace that was cut anywhere is readable after --recover, up to the last whole packet")
def _(run):
    trace = f"{run.scratch}/trace"
    recorded(run, "-o", trace, "--", str(target_path("record_emit")), "count", "2000", "100000")
    whole = Read(trace).numbers
    check_row(whole, "whole")
    (stream,) = glob.glob(f"{trace}/process_*")
    size = os.stat(stream).st_size
    check(size > 8192, f"{size} bytes: no packets to cut")
    for cut in (size - 1, size - 4096, size // 2 + 77, 5000, 4096, 100, 0):
        os.truncate(stream, cut)
        status, _, err = run.tocsin("record", "--recover", trace)
        check_equal(status, 0, err)
        part = Read(trace).numbers
        check_equal(part, whole[:len(part)], f"cut at {cut}")
        check(part or cut < 5000, f"cut at {cut}: nothing left")


@suite.test("a thousand children that live for a moment lose nothing that is not counted")
def _(run):
    trace = f"{run.scratch}/trace"
    began = time.monotonic()
    program = recorded(run, "--ring-size", "64K", "-o", trace, "--", str(target_path("record_emit")), "storm", "1000", "20",
                       timeout_s=120)
    want = int(program.out.lines[-1])
    run.note(f"{time.monotonic() - began:.1f} s")
    read = Read(trace)
    summary = read.summary()
    check_equal(len(read.numbers) + summary["lost"], want, "written and lost")
    check_equal(sorted(set(read.numbers)), sorted(read.numbers), "each once")
    run.note(f"{summary['processes']} processes, {summary['lost']} lost")


@suite.test("a full disk: recording goes on in memory, the trace is readable, losses are counted", needs=("root",))
def _(run):
    disk = f"{run.scratch}/disk"
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
    run.defer(subprocess.run, ["umount", "-l", disk])
    # In rings that wait a little for room, so that the disk is what is full.
    program = recorded(run, "--ring-size", "256K", "--mode", "block", "--block", "900ms", "-o", f"{disk}/trace", "--",
                       str(target_path("record_emit")), "count", "300000")
    check("300000" in program.out.text(), "the program did not end as it should")
    match = re.search(r"(\d+) events of .* (\d+) lost", program.err.text())
    check(match, program.err.text())
    read = Read(f"{disk}/trace")
    check_equal(len(read.numbers), int(match[1]), "events of the summary")
    check_equal(int(match[1]) + int(match[2]), 300000, "written and lost")
    check("lost: the disk did not take them" in program.err.text(), program.err.text())


@suite.test("what was written a while ago does not stay in the page cache", needs=("program:fincore",))
def _(run):
    kind = subprocess.run(["stat", "-f", "-c", "%T", run.scratch], capture_output=True, text=True, check=True).stdout.strip()
    if kind in ("tmpfs", "ramfs"):
        raise Skip(f"the scratch directory is in memory: {kind}")
    trace = f"{run.scratch}/trace"
    # 240 MB: at a pace, so that the disk can follow while others use it
    program = recorded(run, "--mode", "block", "--block", "1s", "-o", trace, "--", str(target_path("record_emit")), "bursts",
                       "10000000", "30000")
    (stream,) = glob.glob(f"{trace}/process_*")
    size = os.stat(stream).st_size
    check(size >= 240_000_000, f"{size} bytes\n{program.err.text()}")
    cached = int(subprocess.run(["fincore", "-nb", "-o", "RES", stream], capture_output=True, text=True, check=True).stdout)
    run.note(f"{cached >> 20} of {size >> 20} MiB are in the page cache")
    check(cached < size * 3 // 4, "all of it stays in memory")
    check(cached > 32 << 20, "the newest is gone, too")


@suite.test("chunks by size: each whole by itself, together everything")
def _(run):
    trace = f"{run.scratch}/chunks"
    recorded(run, "--rotate", "300K", "-o", trace, "--", str(target_path("record_emit")), "count", "20000", "1")
    chunks = sorted(glob.glob(f"{trace}/chunk_*"))
    check(len(chunks) > 1, f"{len(chunks)} chunks")
    numbers = []
    for chunk in chunks:
        numbers += Read(chunk).numbers
    check_equal(numbers, list(range(20000)), "all chunks")
    run.note(f"{len(chunks)} chunks")


@suite.test("chunks by time, of which some are kept, compressed", needs=("program:zstd",))
def _(run):
    trace = f"{run.scratch}/chunks"
    target = running(run, f"{run.scratch}/next")
    recorded(run, "-p", str(target.pid), "-d", "1300ms", "--rotate", "200ms", "--keep", "3", "--zstd", "-o", trace)
    chunks = sorted(glob.glob(f"{trace}/chunk_*"))
    check_equal(len(chunks), 3, f"chunks kept: {chunks}")
    last = None
    for chunk in chunks:
        check(os.path.exists(f"{chunk}/metadata.zst") and not os.path.exists(f"{chunk}/metadata"), os.listdir(chunk))
        subprocess.run(["zstd", "-q", "-d", "--rm", *glob.glob(f"{chunk}/*.zst")], check=True)
        numbers = Read(chunk).numbers
        if not numbers and chunk == chunks[-1]:
            continue  # begun as the recording ended
        check_row(numbers, chunk)
        check(last is None or numbers[0] == last + 1, f"{numbers[0]} follows {last}")
        last = numbers[-1]


@suite.test("the flight recorder keeps the newest; snapshots do not disturb it")
def _(run):
    # On one CPU: each ring keeps its own newest, and those of two would not be a row.
    target = running(run, f"{run.scratch}/next", "taskset", "-c", "0")
    status, _, err = run.tocsin("record", "--flight", "-p", str(target.pid), "--ring-size", "64K")
    check_equal(status, 0, err)
    time.sleep(0.3)
    last = -1
    for i in range(3):
        status, _, err = run.tocsin("snapshot", "-p", str(target.pid), "-o", f"{run.scratch}/late{i}")
        check_equal(status, 0, err)
        read = Read(f"{run.scratch}/late{i}")
        numbers = read.numbers
        holes = sum(b != a + 1 for a, b in zip(numbers, numbers[1:]))
        # Where the writer overtook the reader, on a loaded machine, the snapshot says so.
        told = sum(p["what"] == '"lapped"' for p in read.session("process"))
        check(holes == told, f"snapshot {i}: {holes} holes, {told} told")
        check(numbers[-1] > last, f"snapshot {i} ends with {numbers[-1]}, the one before with {last}")
        check(len(numbers) > 500, f"only {len(numbers)} events in 64 KiB")
        last = numbers[-1]
        time.sleep(0.1)
    status, out, _ = run.tocsin("ps", "--json", "-p", str(target.pid))
    check_equal(json.loads(out)["state"], "flight", "ps")
    status, _, err = run.tocsin("record", "--flight", "--off", "-p", str(target.pid))
    check_equal(status, 0, err)
    status, _, err = run.tocsin("snapshot", "-p", str(target.pid), "-o", f"{run.scratch}/none")
    check_equal(status, 2, "snapshot without a recorder")
    check("no flight recorder" in err, err)


@suite.test("another version of the library is refused with both versions")
def _(run):
    target = running(run, f"{run.scratch}/next")
    links = f"/proc/{target.pid}/fd"
    wait_until(lambda: any("tocsin-control" in os.readlink(f"{links}/{fd}") for fd in os.listdir(links)), "its page")
    (fd,) = (f for f in os.listdir(links) if "tocsin-control" in os.readlink(f"{links}/{f}"))
    for abi in (77, 0):
        with open(f"{links}/{fd}", "r+b", buffering=0) as page:
            page.seek(8)
            page.write(struct.pack("<I", abi))
        program = recorded(run, "-p", str(target.pid), "-o", f"{run.scratch}/trace{abi}", status=2)
        check(re.search(rf"libtocsin 0\.1\.0 speaks version {abi} .* this tocsin version 1", program.err.text()), program.err.text())


@suite.test("a command with another version of the library is said to be, with both versions", needs=("program:gcc",))
def _(run):
    root = pathlib.Path(__file__).resolve().parents[2]
    other = f"{run.scratch}/libtocsin.so.0"
    sources = [*glob.glob(f"{root}/src/tracee/*.c"), *glob.glob(f"{root}/src/percpu/*.c"),
               *(f"{root}/src/ring/{name}.c" for name in ("make", "side", "slow"))]
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-std=gnu17", "-D_GNU_SOURCE", "-DTOCSIN_LIBRARY", "-DCONTROL_ABI=77", "-w",
                    "-fvisibility=hidden", "-ftls-model=initial-exec", f"-I{root}/include", f"-I{root}/src", *sources, "-o", other,
                    f"-Wl,-soname,libtocsin.so.0,--version-script,{root}/src/tracee/libtocsin.map,-z,nodelete", "-pthread"],
                   check=True)
    program = recorded(run, "-o", f"{run.scratch}/trace", "--", str(target_path("record_emit")), "count", "100", "5000000",
                       env={"LD_LIBRARY_PATH": run.scratch, "LD_PRELOAD": ""})
    check("speaks version 77" in program.err.text() and "this tocsin version 1" in program.err.text(), program.err.text())
    check(re.search(r"\b0 events of 0 processes", program.err.text()), program.err.text())


@suite.test("no permission: which process, whose, and what would help", needs=("root", "program:setpriv"))
def _(run):
    target = running(run, f"{run.scratch}/next")
    os.chmod(run.scratch, 0o777)
    done = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all", str(TOCSIN), "record", "-p",
                           str(target.pid), "-o", f"{run.scratch}/trace"], capture_output=True, text=True, timeout=20)
    check_equal(done.returncode, 2, done.stderr)
    check(f"process {target.pid} 'record_emit' of user 0" in done.stderr and "CAP_SYS_PTRACE" in done.stderr, done.stderr)
    check(not os.path.exists(f"{run.scratch}/trace"), "an empty trace is in the way of the next try")
    for args in (["--rotate", "1s"], []):
        recorded(run, "-p", str(os.getpid()), *args, "-o", f"{run.scratch}/trace", status=2)
        check(not os.path.exists(f"{run.scratch}/trace"), f"{args}: an empty trace is in the way of the next try")
    status, _, err = run.tocsin("snapshot", "-p", str(target.pid), "-o", f"{run.scratch}/trace")
    check(status == 2 and not os.path.exists(f"{run.scratch}/trace"), f"{status} {err}")


@suite.test("wrong usage")
def _(run):
    for args, words in ((["-p", "x"], "'x' is no process id"), ([], "no process to record"),
                        (["-p", "1", "--mode", "discrad"], "nearest is 'discard'"),
                        (["-p", "1", "-c", "tdi"], "unknown context 'tdi'"), (["-p", "1", "-w", "a >"], "--where"),
                        (["-p", "1", "--ring-size", "100K"], "power of two"),
                        (["-p", "1", "--keep", "3"], "go with --rotate"), (["--recover", "/nonexistent"], "cannot open"),
                        (["-p", str(2 ** 22 + 5)], "no process"), (["-p", str(os.getpid())], "has no libtocsin")):
        status, _, err = run.tocsin("record", "-o", f"{run.scratch}/x", *args)
        shutil.rmtree(f"{run.scratch}/x", ignore_errors=True)
        check(status == 2 and words in err, f"{args}: {status} {err}")


@suite.test("a program that scribbles over its page and its rings hurts only its own events")
def _(run):
    for seed, which in enumerate(("control", "rings", "both")):
        trace = f"{run.scratch}/trace{seed}"
        os.mkdir(trace)
        before = set(os.listdir(run.scratch))
        target = run.own(Program([target_path("record_hostile"), "2", str(seed + int(time.time())), which]))
        wait_until(lambda: "tocsin-control" in open(f"/proc/{target.pid}/maps").read(), "its page")
        began = time.monotonic()
        program = record(run, "-p", str(target.pid), "-f", "--ring-size", "64K", "-o", trace)
        status = program.wait(20)
        took = time.monotonic() - began
        check(status in (0, 2, 3), f"{which}: status {status}\n{program.err.text()}")
        check(took < 10, f"{which}: {took:.1f} s")
        check_equal(set(os.listdir(run.scratch)), before, "files beside the trace")
        strange = [f for f in os.listdir(trace) if not re.fullmatch(r"metadata|session_0|process_\d+_\d+_ring_\d+_\d+", f)]
        check_equal(strange, [], "files in the trace")
        target.wait(20)  # whatever became of it
        run.note(f"{which}: record ended with {status} after {took:.1f} s; {program.err.lines[-1:]}")


if __name__ == "__main__":
    suite.main()
