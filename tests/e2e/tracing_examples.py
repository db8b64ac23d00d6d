#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The examples of examples/tracing, built against the installed package as a user's project would be, and recorded: from the
start, attached, killed. What they did is known, so what must be in the trace is, too."""

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


def events(run, trace):
    """How many of each event, by babeltrace2, or by tocsin print where that is missing."""
    if shutil.which("babeltrace2"):
        done = subprocess.run(["babeltrace2", str(trace)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        check(done.returncode == 0, done.stderr)
        text = done.stdout
    else:
        status, text, err = run.tocsin("print", str(trace))
        check(status == 0, err)
    return collections.Counter(re.findall(r"\b((?:server|plugin|words|section):\w+)", text))


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


@suite.test("attached to while it runs, and again")
def _(run):
    server, port = serve(run)
    ask(port, 5)
    for turn in range(2):
        trace = pathlib.Path(run.scratch) / f"trace{turn}"
        record = run.program(tocsin.TOCSIN, "record", "-o", trace, "-p", str(server.pid))
        # Recorded from when an event arrives; what was asked before that is not.
        time.sleep(1)
        ask(port, 50)
        record.signal(signal.SIGINT)
        check_equal(record.wait(20), 0, "exit status\n" + record.err.text())
        found = events(run, trace)
        check_equal((found["server:request"], found["plugin:change"]), (50, 50), "requests and changes")
    check(server.running(), "the server is gone")


@suite.test("killed: everything up to the last event is there")
def _(run):
    server, port = serve(run)
    trace = pathlib.Path(run.scratch) / "trace"
    record = run.program(tocsin.TOCSIN, "record", "-o", trace, "-p", str(server.pid))
    time.sleep(1)
    ask(port, 80)
    server.signal(signal.SIGKILL)
    check_equal(record.wait(20), 0, "exit status\n" + record.err.text())
    found = events(run, trace)
    check_equal((found["server:request"], found["plugin:change"]), (80, 80), "requests and changes")


if __name__ == "__main__":
    suite.main()
