#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Patched sites: switched under load from inside, and by tocsin record from outside; probed by bpftrace, perf and gdb on the nop
beside the byte that is switched, with the right arguments."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from tocsin import TOCSIN, Skip, Suite, check  # noqa: E402

PROGRAM = pathlib.Path(os.environ["TOCSIN_TRACEE"]) / "tracee_patched"
TOGGLES = int(os.environ.get("PATCHED_TOGGLES", "10000"))
suite = Suite(needs=())


def needs(*tools):
    if os.uname().machine != "x86_64":
        raise Skip("sites are patched on x86-64 only")
    if os.geteuid():
        raise Skip("needs root")
    for tool in tools:
        if not shutil.which(tool):
            raise Skip(f"{tool} is not installed")


def facts(text):
    lines = [line.rsplit(" ", 2) for line in text.splitlines() if re.fullmatch(r".* -?\d+ -?\d+", line)]
    check(len(lines) > 1, f"the program said nothing: {text}")
    for name, got, wanted in lines:
        check(got == wanted, f"{name} is {got}, not {wanted}")


def run_program(*argv, **how):
    done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, **how)
    check(done.returncode == 0, f"{argv} ended with {done.returncode}: {done.stdout}")
    return done.stdout


def folder(run):
    path = pathlib.Path(tempfile.mkdtemp(prefix="tocsin-patched-"))
    run.defer(lambda: shutil.rmtree(path))
    return path


@suite.test("on with a probe, off without, refused where the code may no longer be written")
def _(_run):
    needs()
    facts(run_program(PROGRAM, "life"))


@suite.test("a process that may never write to its code looks each time, and works")
def _(run):
    needs()
    os.chmod(base := folder(run), 0o755)
    hidden = shutil.copy(PROGRAM, base / "hidden")
    os.chmod(hidden, 0o111)  # may be run but not read: not dumpable
    library = shutil.copy(PROGRAM.parents[2] / "src" / "tracee" / "libtocsin.so.0.1.0", base / "libtocsin.so.0")
    os.chmod(library, 0o755)
    facts(run_program(hidden, "armed", user=65534, group=65534, env=dict(os.environ, LD_LIBRARY_PATH=str(base))))


@suite.test(f"{TOGGLES} switches while both CPUs run the site: none missed, none too many")
def _(_run):
    needs()
    facts(run_program(PROGRAM, "stress", TOGGLES))


@suite.test("the same while a uprobe fires on the same page")
def _(_run):
    needs("bpftrace")
    script = f"usdt:{PROGRAM}:patched:step {{ @hits = count(); }}"
    out = run_program("bpftrace", "-e", script, "-c", f"{PROGRAM} stress {TOGGLES // 20}")
    facts(out)
    hits = re.search(r"@hits: (\d+)", out)
    check(hits and int(hits[1]) > TOGGLES // 20 * 100, f"the uprobe fired seldom: {out}")


@suite.test("tocsin record switches the sites of a process that runs, and off again")
def _(run):
    needs()
    program = subprocess.Popen([str(PROGRAM), "events", "1000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    run.defer(program.wait)
    run.defer(program.kill)
    check(program.stdout.readline() == "ready\n", "the program did not get ready")
    trace = folder(run) / "trace"
    record = run.program(TOCSIN, "record", "-o", trace, "-p", program.pid)

    def byte():
        with open(f"/proc/{program.pid}/maps", encoding="utf-8") as maps:
            base = int(next(line for line in maps if line.rstrip().endswith("/tracee_patched")).split("-")[0], 16)
        with open(f"/proc/{program.pid}/mem", "rb") as mem:
            mem.seek(base + site_offset())
            return mem.read(1)[0]

    check(wait_for(lambda: byte() == 0xE9), "the site was not switched on")
    program.stdin.write("go\n")
    program.stdin.flush()
    check(program.stdout.readline() == "done\n", "the program did not end its work")
    record.signal(2)
    check(record.wait(30) == 0, f"tocsin record failed: {record.err.text()}")
    check(byte() == 0xA9, "the site was not switched off")
    out = run_program(TOCSIN, "print", "--json", trace)
    numbers = [e["fields"]["n"] for e in map(json.loads, out.splitlines()) if e.get("name") == "patched:step" or e.get("event") == "patched:step"]
    check(numbers == list(range(1000)), f"{len(numbers)} events of 1000 were recorded: {out[:300]}")


def wait_for(what, tries=200):
    import time
    for _ in range(tries):
        if what():
            return True
        time.sleep(0.05)
    return False


def site_offset():
    """Of the patched byte, from where the program is loaded: behind the nop of the note."""
    out = subprocess.run(["readelf", "-n", str(PROGRAM)], stdout=subprocess.PIPE, text=True, check=True).stdout
    return int(re.search(r"Name: step\s+Location: 0x([0-9a-f]+)", out)[1], 16) + 1


@suite.test("aarch64, by qemu-user: a site that nobody can switch looks each time")
def _(run):
    compiler, emulator = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    if not compiler or not emulator:
        raise Skip("aarch64-linux-gnu-gcc or qemu-aarch64 is not installed")
    root = pathlib.Path(__file__).resolve().parents[2]
    program = folder(run) / "patched"
    sources = [p for part in ("percpu", "tracee") for p in sorted((root / "src" / part).glob("*.c"))]
    sources += [root / "src" / "ring" / name for name in ("make.c", "side.c", "slow.c")]
    library = [compiler, "-O2", "-std=gnu17", "-D_GNU_SOURCE", "-DTOCSIN_LIBRARY", "-I", root / "include", "-c"]
    objects = []
    for source in sources:
        objects.append(program.with_name(f"{source.parent.name}-{source.stem}.o"))
        run_program(*library, source, "-o", objects[-1])
    run_program(compiler, "-O2", "-std=gnu17", "-D_GNU_SOURCE", "-static", "-pthread", "-I", root / "include",
                root / "tests" / "tracee" / "patched.c", *objects, "-o", program)
    facts(run_program(emulator, program, "armed"))


@suite.test("bpftrace reads the arguments")
def _(_run):
    needs("bpftrace")
    script = f'usdt:{PROGRAM}:patched:step /arg0 == 7/ {{ printf("%d %d %s\\n", arg0, (int64)arg1, str(arg2)); }}'
    out = subprocess.run(["bpftrace", "-e", script, "-c", f"{PROGRAM} events 10"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, timeout=60).stdout
    check("7 -7 hello" in out, f"bpftrace says {out}")


@suite.test("perf probe and perf record -e sdt_patched:step read them")
def _(run):
    needs("perf")
    where = folder(run)
    perf = ["perf", "--buildid-dir", str(where)]
    run_program(*perf, "buildid-cache", "--add", PROGRAM)
    run.defer(lambda: subprocess.run([*perf, "probe", "-q", "-d", "sdt_patched:*"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     check=False))
    run_program(*perf, "probe", "sdt_patched:step")
    run_program(*perf, "record", "-q", "-o", where / "data", "-e", "sdt_patched:step", "--", PROGRAM, "events", 10, stdin=subprocess.DEVNULL)
    out = run_program(*perf, "script", "-i", where / "data")
    check(len(re.findall(r"sdt_patched:step", out)) == 10, f"perf saw {out}")
    check(re.search(r"arg1=7 arg2=-7 ", out), f"perf saw {out}")


@suite.test("gdb: info probes, and the arguments at the probe")
def _(_run):
    needs("gdb")
    commands = ["info probes stap patched", "break -probe-stap patched:step", "run events 3 < /dev/null",
                r'printf "ARGS %d %d %d %s\n", $_probe_argc, $_probe_arg0, $_probe_arg1, (char *)$_probe_arg2', "continue",
                r'printf "ARGS %d %d %d %s\n", $_probe_argc, $_probe_arg0, $_probe_arg1, (char *)$_probe_arg2', "kill"]
    argv = ["gdb", "-q", "-batch", "-nx"] + [a for c in commands for a in ("-ex", c)] + [str(PROGRAM)]
    out = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120).stdout
    check(re.search(r"stap\s+patched\s+step\s", out), f"gdb does not list the probe: {out}")
    check("ARGS 3 0 0 hello" in out and "ARGS 3 1 -1 hello" in out, f"gdb says {out}")


if __name__ == "__main__":
    suite.main()
