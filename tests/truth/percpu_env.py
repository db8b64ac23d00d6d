#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The per-CPU toolkit where sections are not to be had, or never get done: the results are the same everywhere."""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from tocsin import Failed, Skip, Suite, check, check_equal

suite = Suite(needs=())

PROGRAMS = pathlib.Path(os.environ["TOCSIN_PERCPU"])
HERE = pathlib.Path(__file__).resolve().parent.parent / "percpu"
STRESS = ("add", "add-cid", "each", "list", "copy", "cmpstore", "load", "store", "counter", "pmc")
WORKS = "restartable sequences work"


def sh(*args, env=None, timeout_s=120, status=0):
    """Runs a program of this test; returns all that it printed."""
    for word in args:
        if isinstance(word, pathlib.Path) and not word.exists():
            raise Skip("no restartable sequences on this architecture: the programs were not built")
    try:
        done = subprocess.run(args, capture_output=True, text=True, timeout=timeout_s, env={**os.environ, **(env or {})})
    except subprocess.TimeoutExpired:
        raise Failed(f"{args[0]}: no end") from None
    text = done.stdout + done.stderr
    if status is not None:
        check_equal(done.returncode, status, f"exit status of {' '.join(map(str, args))}: {text}")
    return text


def everything(run, before=(), env=None, why=WORKS):
    """The whole life of a process and each strain, in some environment; the process must say why it is as it is."""
    text = sh(*before, PROGRAMS / "life", env=env)
    for name, least in MOMENTS.items():
        moment(text, "life", name, least)
    run.note(text.splitlines()[-1])
    check(why in text, f"'{why}' is not what it says: {text}")
    # As many at once as there are CPUs: each has more threads than that, and they only disturb each other the more.
    strains = [(PROGRAMS / "stress_right", case, "100", "30") for case in STRESS]
    strains += [(PROGRAMS / program, "1") for program in ("stress_pool", "stress_rcu")]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        *_, pooled, read = pool.map(lambda words: sh(*before, *words, env=env), strains)
    for text in (pooled, read):
        run.note(text.splitlines()[-1])


def moment(text, who, name, least):
    """How often everything was used then, and that nothing of it was lost."""
    found = re.search(rf"^{who}: moment {name} (\d+)( LOST)?$", text, re.M)
    check(found, f"{who} does not say how often in {name}: {text}")
    check(not found[2], f"lost: {found[0]}")
    check(int(found[1]) >= least, f"{found[0]}, at least {least} are wanted")


# When a program uses everything, and how often at least; a static one has no thread-local storage yet in an IFUNC resolver
# and asks there only for its CPU.
MOMENTS = {"ifunc": 1, "preinit": 1, "constructor": 2, "main": 1, "thread": 1002, "handler": 100, "nested_handler": 100,
           "pthread_exit": 1, "key_destructor": 8, "atexit": 1, "destructor": 2}


def add_moment(name, least):
    @suite.test(f"in a program's life: {name.replace('_', ' ')}")
    def case(run):
        text = sh(PROGRAMS / "life")
        check(WORKS in text, text)
        moment(text, "life", name, least)
        if name != "ifunc":
            moment(sh(PROGRAMS / "life_static"), "life", name, least)


for moment_name, moment_least in MOMENTS.items():
    add_moment(moment_name, moment_least)


@suite.test("in a program's life: the child of a fork")
def fork_child(run):
    for program in ("life", "life_static"):
        moment(sh(PROGRAMS / program), "child", "fork_child", 1)


@suite.test("a preloaded library: its IFUNC resolver, constructor and destructor")
def preloaded(run):
    text = sh(PROGRAMS / "life", env={"LD_PRELOAD": str(PROGRAMS / "liblife_lib.so")})
    check(text.count(WORKS) == 3, text)
    moment(text, "library", "constructor", 1)
    moment(text, "library", "destructor", 1)


@suite.test("an auditing library: from the linker's first call on")
def auditing(run):
    text = sh(PROGRAMS / "life", env={"LD_AUDIT": str(PROGRAMS / "liblife_lib.so")})
    check(text.count(WORKS) == 3, text)
    moment(text, "library", "constructor", 1)
    moment(text, "library", "audit", 3)


@suite.test("libc does not register: Tocsin does, thread by thread")
def own_registration(run):
    everything(run, env={"GLIBC_TUNABLES": "glibc.pthread.rseq=0"})


@suite.test("rseq switched off by TOCSIN_RSEQ=0")
def switched_off(run):
    everything(run, env={"TOCSIN_RSEQ": "0"}, why="switched off")


@suite.test("no rseq system call (ENOSYS), as in recorders and old kernels")
def no_rseq(run):
    everything(run, before=(PROGRAMS / "deny", "rseq", "ENOSYS"), why="has no rseq system call")


@suite.test("rseq forbidden (EPERM), as in sandboxes")
def forbidden(run):
    everything(run, before=(PROGRAMS / "deny", "rseq", "EPERM"), why="not permitted")


@suite.test("no membarrier: the gate is a lock")
def no_membarrier(run):
    everything(run, before=(PROGRAMS / "deny", "membarrier", "ENOSYS"))


@suite.test("neither rseq nor membarrier")
def neither(run):
    everything(run, before=(PROGRAMS / "deny", "both", "EPERM"), why="not permitted")


@suite.test("in a cpuset without the other CPUs, whose data is worked on all the same")
def cpuset(run):
    root = pathlib.Path("/sys/fs/cgroup/cpuset")
    if not os.access(root / "tasks", os.W_OK) or os.cpu_count() < 2:
        raise Skip("no cpuset of cgroup v1 that can be written to, or one CPU only")
    group = root / f"tocsin-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "cpuset.cpus").write_text("0")
        (group / "cpuset.mems").write_text("0")
        # Into the group, see that CPU 1 is refused there, and become the program.
        enter = ("sh", "-c", f'echo $$ >{group}/tasks && ! taskset -c 1 true 2>/dev/null && exec "$@"', "sh")
        everything(run, before=enter)
    finally:
        for _ in range(100): # the kernel takes a moment to see that the last one has gone
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.05)


@suite.test("under valgrind")
def valgrind(run):
    if not shutil.which("valgrind"):
        raise Skip("valgrind is not installed")
    text = sh("valgrind", "--error-exitcode=9", PROGRAMS / "life")
    check("ERROR SUMMARY: 0 errors" in text and "has no rseq system call" in text, text)
    sh("valgrind", "-q", "--error-exitcode=9", PROGRAMS / "step")


def gdb(run, *commands, status=0):
    if not shutil.which("gdb"):
        raise Skip("gdb is not installed")
    return sh("gdb", "-q", "-batch", "-nx", *commands, "--args", PROGRAMS / "step", status=status)


@suite.test("gdb steps through every primitive by instruction, and each comes to its end")
def stepped(run):
    text = gdb(run, "-x", str(HERE / "step.py"))
    found = re.findall(r"^STEPPED (\w+) (\d+) (\w+)$", text, re.M)
    run.note(", ".join(f"{name} {steps}" for name, steps, _ in found))
    check_equal([name for name, _, _ in found],
                ["counter", "store", "add", "load", "cmpstore", "push", "pop", "copy", "do_on_cpu", "take", "give",
                 "rcu", "do_on_each", "drain", "pmc", "keyed"], "stepped")
    check_equal({how for _, _, how in found}, {"done"}, "how they ended")
    check("count 1" in text and "exited normally" in text, text[-500:])
    # A section cannot get done in steps: whoever takes few of them did not abort, so this test would test nothing.
    without = ("do_on_cpu", "do_on_each", "drain", "rcu")
    check(all(int(steps) > 400 for name, steps, _ in found if name not in without), f"too few steps: {found}")


@suite.test("a software watchpoint, which steps through everything")
def watched(run):
    text = gdb(run, "-ex", "set can-use-hw-watchpoints 0", "-ex", "break step_counter", "-ex", "run", "-ex", "watch result",
               "-ex", "delete 1", *["-ex", "continue"] * 12, status=None) # continues more often than there are stops
    check("count 1" in text and "exited normally" in text, text[-800:])


@suite.test("a breakpoint on the commit of a section, stepped over in place")
def breakpoint_on_commit(run):
    if os.uname().machine != "x86_64":
        raise Skip("the commit is looked for in x86-64's instructions")
    found = re.search(r"^COMMITS 2 HITS (\d+)$", gdb(run, "-x", str(HERE / "step_break.py")), re.M)
    check(found, "the commits were not found")
    run.note(f"{found[1]} hits")
    check(1 < int(found[1]) <= 64, f"{found[1]} hits: with one the section was not aborted, with many it never ends")


@suite.test("every section computes what it should, without a kernel's help")
def sections(run):
    sh(PROGRAMS / "sections")


@suite.test("aarch64: compiled, and run by qemu-user")
def aarch64(run):
    compiler, emulator = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    if not compiler or not emulator:
        raise Skip("aarch64-linux-gnu-gcc or qemu-aarch64 is not installed")
    root = HERE.parent.parent
    flags = ("-std=gnu17", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers",
             "-DTOCSIN_RSEQ_WITH_INJECT", "-DLIFE_STATIC", f"-I{root}/include", f"-I{root}/src")
    toolkit = sorted((root / "src" / "percpu").glob("*.c")) + [root / "src" / "base" / f"{name}.c"
                                                              for name in ("err", "parse", "text")]
    with tempfile.TemporaryDirectory(prefix="tocsin-aarch64-") as made:
        objects = [f"{made}/{path.stem}.o" for path in toolkit]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda one: sh(compiler, *flags, "-c", str(one[0]), "-o", one[1]), zip(toolkit, objects)))
        for name in ("sections", "life", "stress"):
            sh(compiler, *flags, "-static", "-pthread", str(HERE / f"{name}.c"), *objects, "-o", f"{made}/{name}")
        sh(emulator, f"{made}/sections")
        run.note(sh(emulator, f"{made}/life").splitlines()[-1])
        for case in ("add", "list"):
            sh(emulator, f"{made}/stress", case, "100", "0")


suite.main()
