# SPDX-License-Identifier: MIT
"""What the end-to-end tests share: a TAP printer, target programs, the watch, and what a machine can do.

A test program makes a Suite, adds tests to it with @suite.test(...), and ends with suite.main(). Each test gets a Run,
which starts programs and takes them all down again, whatever happened. Only the standard library is used.

Environment:
  TOCSIN          the tool (default: build/tocsin of this tree)
  TOCSIN_TARGETS  the directory of the target programs (default: tests/targets beside the tool)
  TOCSIN_SCRATCH  where scratch directories are made, on a disk (default: /var/tmp)
"""

import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import records
from machine import lacks

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOCSIN = pathlib.Path(os.environ.get("TOCSIN", ROOT / "build" / "tocsin"))
TARGETS = pathlib.Path(os.environ.get("TOCSIN_TARGETS", TOCSIN.parent / "tests" / "targets"))
SCRATCH = os.environ.get("TOCSIN_SCRATCH", "/var/tmp")

ARM_TIMEOUT_S = 30
STOP_TIMEOUT_S = 20


class Skip(Exception):
    """This test cannot be run here; the reason is printed."""


class Failed(AssertionError):
    """A check did not hold."""


def check(condition, text):
    if not condition:
        raise Failed(text)


def check_equal(got, want, what):
    if got != want:
        raise Failed(f"{what}: got {got!r}, want {want!r}")


def target_path(name):
    """Path of a target program; skips the test when it was not built."""
    path = TARGETS / name
    if not path.exists():
        raise Skip(f"the target program {name} was not built")
    return str(path)


def with_libraries():
    """Environment for a copy of a target elsewhere, which does not find its library beside it."""
    return {"LD_LIBRARY_PATH": str(TARGETS)}


class Lines:
    """Collects the lines of a stream in a thread, so that a test can wait for one."""

    def __init__(self, stream, on_line=None):
        self.lines = []
        self.on_line = on_line
        self.changed = threading.Condition()
        self.closed = False
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def _read(self, stream):
        for raw in stream:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            with self.changed:
                self.lines.append(line)
                if self.on_line:
                    self.on_line(line)
                self.changed.notify_all()
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def wait(self, predicate, timeout_s):
        """Waits until predicate() is true or the stream is closed or time is up. Returns its last value."""
        end = time.monotonic() + timeout_s
        with self.changed:
            while not (value := predicate()):
                left = end - time.monotonic()
                if self.closed or left <= 0:
                    return value
                self.changed.wait(left)
            return value

    def text(self):
        with self.changed:
            return "\n".join(self.lines)


class Program:
    """A child process with its output collected; killed by its own process group when the test ends."""

    def __init__(self, argv, env=None, cwd=None, stdin=subprocess.PIPE, stdout=subprocess.PIPE):
        self.argv = [str(a) for a in argv]
        full_env = dict(os.environ)
        full_env.update(env or {})
        self.process = subprocess.Popen(self.argv, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE,
                                        env=full_env, cwd=cwd, start_new_session=True)
        self.pid = self.process.pid
        self.out = Lines(self.process.stdout or [], self._on_out)
        self.err = Lines(self.process.stderr)

    def _on_out(self, line):
        pass

    def wait(self, timeout_s=60):
        """The exit status as a shell gives it; raises Failed when the program does not end."""
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.argv[0]} did not end within {timeout_s} s\n{self.err.text()}") from None
        self.out.thread.join(5)
        self.err.thread.join(5)
        return status if status >= 0 else 128 - status

    def running(self):
        return self.process.poll() is None

    def signal(self, sig):
        if self.running():
            self.process.send_signal(sig)

    def close_stdin(self):
        try:
            self.process.stdin.close()
        except (BrokenPipeError, OSError, AttributeError):
            pass

    def destroy(self):
        """Ends the process and what it has started in its own group."""
        if self.running():
            self.process.kill()
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self.process.wait()
        self.close_stdin()
        self.out.thread.join(5)
        self.err.thread.join(5)
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()


class Target(Program):
    """A target program: waits until the test lets it go, and prints JSON lines."""

    def wait_ready(self, timeout_s=10):
        ready = self.out.wait(lambda: any('"ready"' in line for line in self.out.lines), timeout_s)
        check(ready, f"the target did not get ready\n{self.err.text()}")
        return self

    def go(self):
        try:
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"the target is gone\n{self.err.text()}") from None
        return self

    def finish(self, timeout_s=60):
        """Lets it run to its end; returns the exit status."""
        self.close_stdin()
        return self.wait(timeout_s)

    def objects(self):
        """What it printed, but for the hand-shake."""
        found = []
        for line in self.out.lines:
            if not line.startswith("{"):
                continue
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError as fault:
                raise Failed(f"the target printed no JSON ({fault}): {line}") from None
        return [o for o in found if "ready" not in o and "done" not in o]


class Watch(Program):
    """`tocsin watch --json`. Each line of it is checked as it comes; faults() has what was wrong.

    mixed: the command that the watch started prints to the same standard output; its lines are in `others`.
    store: a file for its output, read when the watch has ended, for runs in which reading along would cost too much.
    """

    def __init__(self, argv, env=None, cwd=None, stdin=subprocess.DEVNULL, mixed=False, store=None):
        self.events = []
        self.store = store
        self.mixed = mixed
        self.others = []
        self.malformed = []
        self.checker = records.StreamChecker()
        if store:
            with open(store, "wb") as stdout:
                super().__init__(argv, env=env, cwd=cwd, stdin=stdin, stdout=stdout)
        else:
            super().__init__(argv, env=env, cwd=cwd, stdin=stdin)

    def wait(self, timeout_s=60):
        status = super().wait(timeout_s)
        if self.store:
            with open(self.store, encoding="utf-8", errors="replace") as stored:
                for line in stored:
                    self._on_out(line.rstrip("\n"))
            self.store = None
        return status

    def _on_out(self, line):
        try:
            event = json.loads(line)
            fault = None if isinstance(event, dict) else "no object"
        except json.JSONDecodeError as why:
            event, fault = {}, f"no JSON ({why})"
        if self.mixed and "type" not in event:
            self.others.append(line)
            return
        if fault:
            self.malformed.append(f"{fault}: {line[:200]}")
            return
        self.events.append(event)
        self.checker.add(event)

    def wait_armed(self, timeout_s=ARM_TIMEOUT_S):
        """Waits for `armed: N sections, N probes` on standard error; returns both numbers."""
        pattern = re.compile(r"armed: (\d+) sections?, (\d+) probes?")
        self.err.wait(lambda: any(pattern.search(line) for line in self.err.lines), timeout_s)
        match = pattern.search(self.err.text())
        if not match:
            status = self.process.poll()
            how = f"it ended with status {status}" if status is not None else f"not within {timeout_s} s"
            raise Failed(f"the watch was not armed: {how}\n{' '.join(self.argv)}\n{self.err.text()}")
        return int(match[1]), int(match[2])

    def of_type(self, kind):
        with self.out.changed:
            return [e for e in self.events if e.get("type") == kind]

    def violations(self, section=None, tid=None):
        return [v for v in self.of_type("violation")
                if section in (None, v.get("section")) and tid in (None, v.get("tid"))]

    def wait_violations(self, count, timeout_s=20, **match):
        """Waits until there are at least `count` violations; returns them, however many there are then."""
        self.out.wait(lambda: len(self.violations(**match)) >= count, timeout_s)
        found = self.violations(**match)
        check(len(found) >= count, f"{len(found)} violations, want {count}\n{self.err.text()}")
        return found

    def interrupt(self, timeout_s=STOP_TIMEOUT_S):
        """Ctrl-C; returns the exit status."""
        self.signal(signal.SIGINT)
        return self.wait(timeout_s)

    def summary(self):
        found = self.of_type("summary")
        check(len(found) == 1, f"{len(found)} summaries, want one\n{self.err.text()}")
        return found[0]

    def section(self, name=None):
        """The summary of one section; of the only one when no name is given."""
        sections = self.summary()["sections"]
        if name is None:
            check_equal(len(sections), 1, "sections in the summary")
            return sections[0]
        found = [s for s in sections if s["name"] == name]
        check(len(found) == 1, f"section {name!r} is not in the summary: {[s['name'] for s in sections]}")
        return found[0]

    def faults(self):
        return self.malformed + self.checker.finish()

    def check_sound(self, losses=()):
        """Nothing malformed, nothing inconsistent, nothing lost but in the counters named.

        A switch that the kernel's tracepoint did not show is no fault of the watch, which then claims no split; the soak
        says how often that may be.
        """
        faults = self.faults()
        check(not faults, "the output is not sound:\n  " + "\n  ".join(faults[:20]))
        lost = {k: v for k, v in self.summary()["losses"].items() if v and k not in losses and k != "gap"}
        check(not lost, f"losses: {lost}")
        check_equal(self.summary()["records_lost"], 0, "records lost")

    def stop(self, losses=(), status=0):
        """Ctrl-C, and everything that must then hold."""
        check_equal(self.interrupt(), status, f"exit status of the watch\n{self.err.text()}\n")
        self.check_sound(losses)
        return self


def matching(found, stamps):
    """Those violations that started between stamps[0] and stamps[1]."""
    return [v for v in found if stamps[0] <= v["start_ns"] <= stamps[1]]


def check_bracketed(violation, stamps):
    """The kernel's two clock readings lie where the program knows its probes to be."""
    check(stamps[0] <= violation["start_ns"] <= stamps[1],
          f"start {violation['start_ns']} is not within {stamps[0]}..{stamps[1]}")
    check(stamps[2] <= violation["end_ns"] <= stamps[3],
          f"end {violation['end_ns']} is not within {stamps[2]}..{stamps[3]}")


class Run:
    """One test in progress: owns what it starts."""

    def __init__(self, name, verbose):
        self.name = name
        self.verbose = verbose
        self.notes = []
        self.undo = []
        self._scratch = None

    @property
    def scratch(self):
        """A directory of this test's own, on a disk."""
        if self._scratch is None:
            self._scratch = tempfile.mkdtemp(prefix="tocsin-test-", dir=SCRATCH)
            os.chmod(self._scratch, 0o755)
        return self._scratch

    def note(self, text):
        """A diagnostic line, printed with the result."""
        self.notes.append(text)

    def defer(self, function, *args):
        """Calls function(*args) when the test ends; the last given goes first."""
        self.undo.append((function, args))

    def own(self, program):
        self.defer(program.destroy)
        return program

    def program(self, *argv, **how):
        return self.own(Program(argv, **how))

    def target(self, name, *args, urgent=False, **how):
        """Starts a target program and waits until it is ready. urgent: other load of the machine gives way to it."""
        path = name if "/" in str(name) else target_path(name)
        before = ["nice", "-n", "-20"] if urgent else []
        return self.own(Target([*before, path, *args], **how)).wait_ready()

    def tocsin(self, *args, timeout_s=60, **how):
        """Runs `tocsin ARGS` to its end; returns (status, standard output, standard error)."""
        program = self.own(Program([TOCSIN, *args], stdin=subprocess.DEVNULL, **how))
        status = program.wait(timeout_s)
        return status, program.out.text(), program.err.text()

    def ctl(self, watch, *args):
        """Runs `tocsin ctl ARGS` against one watch: others may run on this machine."""
        return self.tocsin("ctl", "--watch", str(watch.pid), *args)

    def watch(self, *args, armed=True, urgent=False, **how):
        """Starts `tocsin watch --json ARGS`, and waits until it is armed. urgent: as in target()."""
        before = ["nice", "-n", "-20"] if urgent else []
        watch = self.own(Watch([*before, TOCSIN, "watch", "--json", *args], **how))
        if armed:
            watch.wait_armed()
        return watch

    def close(self, keep):
        while self.undo:
            function, args = self.undo.pop()
            try:
                function(*args)
            except Exception as fault:  # a test's clean-up must not stop the others
                self.note(f"clean-up: {fault!r}")
        if self._scratch and keep:
            self.note(f"kept: {self._scratch}")
        elif self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)


TestCase = collections.namedtuple("TestCase", "name needs function")


class Suite:
    """The tests of one program, in order, printed as TAP."""

    def __init__(self, needs=("tool", "root", "bpf")):
        self.needs = tuple(needs)
        self.cases = []

    def test(self, name, needs=()):
        def add(function):
            self.cases.append(TestCase(name, self.needs + tuple(needs), function))
            return function
        return add

    def _run_one(self, number, case, options):
        missing = next((text for need in case.needs if (text := lacks(need, TOCSIN))), None)
        if missing:
            print(f"ok {number} {case.name} # SKIP {missing}", flush=True)
            return True
        run = Run(case.name, options.verbose)
        result, keep = "ok", False
        began = time.monotonic()
        try:
            case.function(run)
        except Skip as why:
            result = f"skip {why}"
        except Exception as fault:
            keep = options.keep
            result = "not ok"
            text = str(fault) if isinstance(fault, Failed) else traceback.format_exc()
            run.notes += text.splitlines()
        finally:
            run.close(keep)
        took = time.monotonic() - began
        if result.startswith("skip "):
            print(f"ok {number} {case.name} # SKIP {result[5:]}")
        else:
            print(f"{result} {number} {case.name}")
        if options.verbose:
            run.note(f"took {took:.2f} s")
        for line in run.notes:
            print(f"# {line}")
        sys.stdout.flush()
        return result != "not ok"

    def main(self):
        parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
        parser.add_argument("name", nargs="*", help="run only tests whose name contains one of these")
        parser.add_argument("-v", "--verbose", action="store_true", help="say how long each took")
        parser.add_argument("-k", "--keep", action="store_true", help="keep the scratch directory of a test that fails")
        parser.add_argument("-l", "--list", action="store_true", help="print the names and do nothing")
        options = parser.parse_args()
        chosen = [c for c in self.cases if not options.name or any(n in c.name for n in options.name)]
        if options.list:
            print("\n".join(c.name for c in chosen))
            return
        # A killed test must still take its programs down.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        print(f"1..{len(chosen)}", flush=True)
        results = [self._run_one(i, case, options) for i, case in enumerate(chosen, 1)]
        sys.exit(0 if all(results) else 1)
