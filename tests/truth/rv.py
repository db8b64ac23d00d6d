#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`tocsin rv mon` of shipped models: what the tests of the kernel's tool ask of it, by their names, and its lines against programs."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from tocsin import TOCSIN, Suite, check, check_equal, target_path

suite = Suite(needs=("tool", "root", "bpf", "btf"))

TARGET = str(target_path("monitored"))
HEADER = re.compile(r"^\s+<TASK>-PID\s+\[CPU\]\s+TYPE\s+(ID\s+)?STATE x EVENT\s+-> NEXT_STATE\s+FINAL$")
EVENT = re.compile(r"^\s*(.{0,16})-(\d+)\s+\[(\d{3})\] (event\S*)\s+(?:(\d+)\s+)?(\S+) x (\S+)\s+-> (\S+)\s+([YN])$")
ERROR = re.compile(r"^\s*(.{0,16})-(\d+)\s+\[(\d{3})\] (error\S*)\s+(?:(\d+)\s+)?(\S+) x (\S+)(?: with env (\S+))?$")


def rv(*words):
    return subprocess.run([TOCSIN, "rv", *words], capture_output=True, text=True, timeout=60)


class Mon:
    """A monitor that runs until it is interrupted."""

    def __init__(self, *words):
        self.is_traced = "-t" in words
        self.out = tempfile.TemporaryFile("w+")  # a pipe that nobody reads would hold it up
        self.run = subprocess.Popen([TOCSIN, "rv", "mon", "--models", *words], stdout=self.out, stderr=subprocess.PIPE, text=True)

    def wait_enabled(self, name):
        """Until `rv list` says so, and a while for its programs to be there."""
        end = time.monotonic() + 30
        while not is_on(name):
            check(time.monotonic() < end and self.run.poll() is None, f"{name} is not enabled: {self.run.poll()}")
            time.sleep(0.05)
        while self.is_traced and not os.fstat(self.out.fileno()).st_size:  # the header comes when its programs are there
            check(time.monotonic() < end and self.run.poll() is None, f"{name} has no header")
            time.sleep(0.05)

    def end(self):
        self.run.send_signal(signal.SIGINT)
        return self.lines()

    def lines(self):
        _, err = self.run.communicate(timeout=60)
        check_equal(self.run.returncode, 0, f"exit status\n{err}")
        self.out.seek(0)
        with self.out as stream:
            return stream.read().splitlines(), err


def is_on(name):
    return re.search(rf"^( - )?{name} .*\[ON\]$", rv("list", "--models").stdout, re.M) is not None


def for_seconds(seconds, *words):
    mon = Mon(*words)
    mon.wait_enabled(words[0].split(":")[-1])
    time.sleep(seconds)
    return mon.end()


@suite.test("verify mon subcommand help; mon without monitor name; invalid monitor name; substring; invalid reactor")
def refused(_):
    check_equal(rv("mon", "--help").returncode, 0, "help")
    for words, text in ((["mon"], "usage: rv mon"), (["mon", "invalid"], "monitor invalid does not exist"),
                        (["mon", "nr"], "monitor nr does not exist"), (["mon", "rtapp:wwnr"], "monitor rtapp:wwnr does not exist"),
                        (["mon", "wwnr", "-r", "invalid"], "failed to set invalid reactor, is it available?"),
                        (["mon", "wwnr", "-p", "0"], "no process id"), (["mon", "tlob", "--bind", "x=func:y"], "'x"),
                        (["mon", "tlob", "--param", "X=1"], "X")):
        done = rv(*words, "--models")
        check_equal((done.returncode, done.stdout), (1, ""), words)
        check(text in done.stderr, f"{words}: {done.stderr}")
    check(not is_on("wwnr"), "nothing stays enabled")


@suite.test("run the monitor without parameters: silent; already enabled monitor returns error; killed, it is off")
def enabled(_):
    mon = Mon("wwnr")
    mon.wait_enabled("wwnr")
    done = rv("mon", "wwnr", "--models")
    check_equal((done.returncode, done.stdout), (1, ""), "a second")
    check("monitor wwnr (tocsin) is already enabled" in done.stderr, done.stderr)
    out, err = mon.end()
    check_equal(out, [], err)
    check(not is_on("wwnr"), "off at its end")
    mon = Mon("wwnr")
    mon.wait_enabled("wwnr")
    mon.run.kill()
    mon.run.communicate()
    check(not is_on("wwnr"), "off when it was killed")


@suite.test("run the monitor as verbose")
def verbose(_):
    mon = Mon("wwnr", "-v")
    mon.wait_enabled("wwnr")
    out, err = mon.end()
    check(f"my pid is {mon.run.pid}" in err and not re.search("event|error", "\n".join(out)), err)


@suite.test("run per-task monitor with tracing: a line each event, each goes on where the last one ended; not of itself")
def traced(_):
    mon = Mon("sched:sssw", "-t")
    mon.wait_enabled("sssw")
    time.sleep(1.5)
    out, err = mon.end()
    check(HEADER.match(out[0]) and HEADER.match(out[0])[1], out[0])
    state, last, seen, breaks = {}, {}, 0, []
    for line in out[2:]:
        event, error = EVENT.match(line), ERROR.match(line)
        check(event or error, f"no such line: {line}")
        key = (event or error)[5]
        check(int(key) != mon.run.pid, f"itself: {line}")
        if event:
            seen += 1
            if state.get(key, event[6]) != event[6]:
                breaks.append(f"{last[key]}\n{line}")
            state[key], last[key] = event[8], line
        else:
            state.pop(key, None)
    check(seen > 50, f"{seen} events\n{err}")
    # What is begun anew for a switch that was not traced is said at the end, and is no more than that.
    gaps = sum(int(n) for n in re.findall(r"(\d+) instances begun anew", err))
    lost = sum(int(n) for n in re.findall(r"(\d+) ", err))
    check(len(breaks) <= max(gaps, lost), f"{len(breaks)} breaks in {seen} events\n{err}" + "\n".join(breaks[:6]))


@suite.test("run per-task monitor tracing also self")
def itself(_):
    mon = Mon("sssw", "-t", "-s")
    mon.wait_enabled("sssw")
    time.sleep(1.5)
    out, err = mon.end()
    check(any((EVENT.match(line) or [0] * 6)[5] == str(mon.run.pid) for line in out), f"{len(out)} lines\n{err}")


@suite.test("run per-cpu monitor with tracing: no ID; a container: the monitor's name in each line")
def per_cpu(_):
    out, err = for_seconds(1, "sched:tss", "-t")
    check(HEADER.match(out[0]) and not HEADER.match(out[0])[1] and len(out) > 50, f"{out[:3]}\n{err}")
    check(all(EVENT.match(line) and not EVENT.match(line)[5] for line in out[2:]), out[2])
    mon = Mon("sched", "-t")
    mon.wait_enabled("nrp")
    time.sleep(1.5)
    out, err = mon.end()
    kinds = {(EVENT.match(line) or ERROR.match(line))[4] for line in out[2:]}
    # A request to reschedule in the kernel (nrp) may be absent for so long on a quiet machine.
    check({"event_sssw", "event_tss"} <= kinds <= {f"{a}_{b}" for a in ("event", "error") for b in ("sssw", "tss", "nrp")},
          f"{kinds}\n{err}")


@suite.test("a violation of clocks is shown, with its variables, and by printk in the kernel's log")
def clocks(_):
    mark = open("/dev/kmsg", "rb", buffering=0)
    os.set_blocking(mark.fileno(), False)
    os.lseek(mark.fileno(), 0, os.SEEK_END)
    target = subprocess.Popen([TARGET, "sleep:4000", "times:1", "take:1", "sleep:60", "drop:1"], stdout=subprocess.DEVNULL)
    mon = Mon("tlob", "-t", "-r", "printk", "-p", str(target.pid), "--param", "BUDGET_NS=5ms",
              "--bind", f"start=func:{TARGET}:monitored_take,key=thread", "--bind", f"stop=func:{TARGET}:monitored_drop,key=thread")
    out, err = mon.lines()  # it ends with the process that it watches
    target.wait()
    errors = [m for m in map(ERROR.match, out) if m]
    check_equal([(m[5], m[6], m[7]) for m in errors], [(str(target.pid), "sleeping", "none")], f"{out}\n{err}")
    check_equal(errors[0][8], "clk_elapsed=5000000", "the clock")
    log = b""
    try:
        while True:
            log += os.read(mark.fileno(), 8192)
    except BlockingIOError:
        pass
    mark.close()
    check(b"rv: monitor tlob does not allow event none on state sleeping with env clk_elapsed=5000000" in log, log[-500:])


@suite.test("a violation of a formula is shown")
def formulas(_):
    out, err = for_seconds(1.5, "pagefault", "-t")
    check(HEADER.match(out[0]), err)
    check(all(EVENT.match(line) or ERROR.match(line) for line in out[2:]), out[:5])
    mon = Mon("pagefault", "-t")
    mon.wait_enabled("pagefault")
    time.sleep(1)
    fault = "import mmap\nfor i in range(50):\n m = mmap.mmap(-1, 1 << 20)\n for k in range(0, 1 << 20, 4096): m[k] = 1\n"
    late = subprocess.run(["chrt", "-f", "1", sys.executable, "-c", fault], timeout=60)
    check_equal(late.returncode, 0, "the real-time task")
    out, err = mon.end()
    errors = [m for m in map(ERROR.match, out) if m]
    check(errors and all("PAGEFAULT" in m[7] and "RT" in m[7] for m in errors), f"{out[-5:]}\n{err}")


suite.main()
