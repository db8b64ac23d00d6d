#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The examples of examples/tracing, built against the installed package as a user's project would be, and recorded: from the
start, attached, snapshotted, killed, recovered. What they did is known, so what must be in the trace is, too."""

import collections
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import installed  # noqa: E402
import tocsin  # noqa: E402
from tocsin import check, check_equal  # noqa: E402

suite = tocsin.Suite(needs=("tool",))


def text_of(run, trace):
    """The trace by babeltrace2, or by tocsin print where that is missing."""
    if shutil.which("babeltrace2"):
        done = subprocess.run(["babeltrace2", str(trace)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        check(done.returncode == 0, done.stderr)
        return done.stdout
    status, text, err = run.tocsin("print", str(trace))
    check(status == 0, err)
    return text


def events(run, trace):
    """How many of each event."""
    return collections.Counter(re.findall(r"\b((?:server|plugin|words|section):\w+)", text_of(run, trace)))


def jobs(run, trace):
    """The numbers of the texts that the program in C++ has counted or refused, sorted: each once, no hole among them. Its
    threads end them in any order, so up to two may be missing before the last and after the first."""
    found = sorted(int(n) for n in re.findall(r"\bwords:(?:counted|refused)\b.*\bjob ?= ?(\d+)", text_of(run, trace)))
    check(found, "no texts in the trace")
    check(len(set(found)) == len(found), "a text twice")
    missing = sorted(set(range(found[0], found[-1])) - set(found))
    check(all(n - found[0] < 3 or found[-1] - n < 3 for n in missing), f"texts {missing} of {found[0]} to {found[-1]} are missing")
    return found


def recording(run, trace, pid):
    """A recording of a process, when it has begun."""
    record = run.program(tocsin.TOCSIN, "record", "-o", trace, "-p", str(pid))
    check(record.err.wait(lambda: "recording" in record.err.text(), 10), "no recording\n" + record.err.text())
    return record


def ended(record):
    record.signal(signal.SIGINT)
    check_equal(record.wait(20), 0, "exit status\n" + record.err.text())


def done_well(run, *args):
    status, _, err = run.tocsin(*map(str, args))
    check_equal(status, 0, f"{args}: {err}")


def in_trace(trace, least):
    """Waits until the streams of a trace that is being written have at least as many bytes."""
    end = time.monotonic() + 10
    while sum(f.stat().st_size for f in trace.glob("process_*")) < least:
        check(time.monotonic() < end, f"the trace has no {least} bytes after 10 s")
        time.sleep(0.02)


def ask(port, nr):
    for n in range(nr):
        with socket.create_connection(("127.0.0.1", port)) as s:
            s.sendall(b"request %d\n" % n)
            check_equal(s.recv(100), b"REQUEST %d\n" % n, "answer")


def serve(run):
    where = installed.examples("tracing")
    server = run.program(where / "server", cwd=where)
    check(server.out.wait(lambda: server.out.lines, 10), "the server did not start")
    return server, int(server.out.lines[0].split()[1])


def count_on(run):
    """The program in C++, counting until it is killed."""
    where = installed.examples("tracing")
    words = run.program(where / "words", "0", cwd=where)
    check(words.out.wait(lambda: len(words.out.lines) > 20, 10), "the program does not count")
    return words


def count_more(words, nr):
    already = len(words.out.lines)
    check(words.out.wait(lambda: len(words.out.lines) >= already + nr, 20), "the program stopped counting")


@suite.test("the server in C and its plugin, recorded from the start")
def _(run):
    where = installed.examples("tracing")
    trace = pathlib.Path(run.scratch) / "trace"
    done = subprocess.run([str(tocsin.TOCSIN), "record", "-o", str(trace), "--", "./server", "--requests", "300"], cwd=where,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    check(done.returncode == 0, done.stderr)
    found = events(run, trace)
    found.pop("section:handle", None)  # on a loaded machine
    check_equal(found, {"server:accept": 300, "server:request": 300, "server:done": 300, "plugin:change": 300}, "events")


@suite.test("the program in C++, recorded from the start")
def _(run):
    where = installed.examples("tracing")
    trace = pathlib.Path(run.scratch) / "trace"
    done = subprocess.run([str(tocsin.TOCSIN), "record", "-o", str(trace), "--", "./words", "200"], cwd=where,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    check(done.returncode == 0, done.stderr)
    found = {k: v for k, v in events(run, trace).items() if k.startswith("words:")}
    check_equal(found, {"words:put": 203, "words:counted": 180, "words:refused": 20}, "events")


@suite.test("the server and its plugin: attached to while they run, and again")
def _(run):
    server, port = serve(run)
    ask(port, 5)
    for turn in range(2):
        trace = pathlib.Path(run.scratch) / f"trace{turn}"
        record = recording(run, trace, server.pid)
        ask(port, 50)
        ended(record)
        found = events(run, trace)
        check_equal((found["server:request"], found["plugin:change"]), (50, 50), "requests and changes")
    check(server.running(), "the server is gone")


@suite.test("the server and its plugin: snapshots of the flight recorder")
def _(run):
    server, port = serve(run)
    done_well(run, "record", "--flight", "-p", server.pid)
    for turn in (1, 2):
        ask(port, 40)
        done_well(run, "snapshot", "-p", server.pid, "-o", f"{run.scratch}/late{turn}")
        found = events(run, f"{run.scratch}/late{turn}")
        check_equal((found["server:request"], found["plugin:change"]), (40 * turn, 40 * turn), "requests and changes")
    done_well(run, "record", "--flight", "--off", "-p", server.pid)
    ask(port, 5)


@suite.test("the server and its plugin, killed: everything up to the last event is there")
def _(run):
    server, port = serve(run)
    trace = pathlib.Path(run.scratch) / "trace"
    record = recording(run, trace, server.pid)
    ask(port, 80)
    server.signal(signal.SIGKILL)
    check_equal(record.wait(20), 0, "exit status\n" + record.err.text())
    found = events(run, trace)
    check_equal((found["server:request"], found["plugin:change"]), (80, 80), "requests and changes")


@suite.test("the server and its plugin: the recording killed, recovered, continued")
def _(run):
    server, port = serve(run)
    traces = [pathlib.Path(run.scratch) / f"trace{n}" for n in range(2)]
    record = recording(run, traces[0], server.pid)
    ask(port, 60)
    in_trace(traces[0], 1)
    record.signal(signal.SIGKILL)
    record.wait(20)
    ask(port, 30)
    done_well(run, "record", "--recover", traces[0])
    before = events(run, traces[0])
    record = recording(run, traces[1], server.pid)
    ask(port, 20)
    ended(record)
    after = events(run, traces[1])
    check(before["server:request"], "nothing was recovered")
    for name in ("server:request", "plugin:change"):
        # What the first had written and not yet given back is in both.
        check(110 <= before[name] + after[name] and before[name] <= 60 and after[name] >= 50,
              f"{name}: {before[name]} recovered, {after[name]} recorded after that, of 110")
    check(server.running(), "the server is gone")


@suite.test("the program in C++: attached to while it runs, and again")
def _(run):
    words, last = count_on(run), -1
    for turn in range(2):
        trace = pathlib.Path(run.scratch) / f"trace{turn}"
        record = recording(run, trace, words.pid)
        began = len(words.out.lines)
        count_more(words, 50)
        ended(record)
        found = jobs(run, trace)
        check(found[0] > last and found[0] <= began + 3 and len(found) >= 50, f"{len(found)} texts from {found[0]} on")
        last = found[-1]
        count_more(words, 10)
    check(words.running(), "the program is gone")


@suite.test("the program in C++: snapshots of the flight recorder")
def _(run):
    words = count_on(run)
    done_well(run, "record", "--flight", "-p", words.pid)
    first = len(words.out.lines)
    count_more(words, 50)
    done_well(run, "snapshot", "-p", words.pid, "-o", f"{run.scratch}/late")
    found = jobs(run, f"{run.scratch}/late")
    check(found[0] <= first + 3 and len(found) >= 45, f"{len(found)} texts from {found[0]} on, the recorder began with {first}")
    done_well(run, "record", "--flight", "--off", "-p", words.pid)
    count_more(words, 5)


@suite.test("the program in C++, killed: everything up to the last event is there")
def _(run):
    words = count_on(run)
    trace = pathlib.Path(run.scratch) / "trace"
    record = recording(run, trace, words.pid)
    count_more(words, 100)
    words.signal(signal.SIGKILL)
    check_equal(record.wait(20), 0, "exit status\n" + record.err.text())
    words.wait()
    said = [int(line.split()[1]) for line in words.out.lines]
    found, puts = jobs(run, trace), events(run, trace)["words:put"]
    # The text that was put last may be the one whose number was not printed any more.
    check(said[-1] - 3 <= found[-1] <= said[-1] + 1, f"the last text is {found[-1]}, the program said {said[-1]}")
    check(abs(puts - (said[-1] + 1 - found[0])) <= 3, f"{puts} puts from {found[0]} to {said[-1]}")


@suite.test("the program in C++: the recording killed, recovered, continued")
def _(run):
    words = count_on(run)
    traces = [pathlib.Path(run.scratch) / f"trace{n}" for n in range(2)]
    record = recording(run, traces[0], words.pid)
    in_trace(traces[0], 4096)
    record.signal(signal.SIGKILL)
    record.wait(20)
    count_more(words, 50)
    done_well(run, "record", "--recover", traces[0])
    before = jobs(run, traces[0])
    record = recording(run, traces[1], words.pid)
    count_more(words, 50)
    ended(record)
    after = jobs(run, traces[1])
    check(after[0] <= before[-1] + 3 and after[-1] >= before[-1] + 100,
          f"recovered up to {before[-1]}, recorded after that {after[0]} to {after[-1]}")
    check(words.running(), "the program is gone")


if __name__ == "__main__":
    suite.main()
