#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every kind of section that the language knows, on programs built in every way, each start and stop where it belongs."""

import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import elf
from tocsin import Suite, Target, check, check_bracketed, check_equal, matching, target_path, with_libraries

suite = Suite(needs=("tool", "root", "bpf", "btf"))

N, DURATION_US, GAP_US = 4, 3000, 500


def started(run, mode, program="kinds", n=N, duration_us=DURATION_US, gap_us=GAP_US, **how):
    return run.target(program, mode, str(n), str(duration_us), str(gap_us), **how)


def each_reported(target, watch, name, section=None, key=None):
    """Each section of a name that the target went through has exactly one violation, where the target puts it."""
    found = [o for o in target.objects() if o.get("s") == name]
    check(found, f"the target went through no section {name}")
    for one in found:
        mine = matching(watch.violations(section=section), one["t"])
        mine = [v for v in mine if v["tid"] == one["tid"] and (key is None or v.get("key") == key(one))]
        check_equal(len(mine), 1, f"violations of {one}")
        check_bracketed(mine[0], one["t"])
        check_equal(mine[0]["pid"], one["pid"], "pid")
    return found


def simple(run, mode, section, name=None, program="kinds", losses=(), options=(), **how):
    """One section over budget each time: as many violations as sections, and no more."""
    target = started(run, mode, program=program, **how)
    watch = run.watch("-p", str(target.pid), *options, section)
    check_equal(target.go().finish(), 0, f"exit status of the target\n{target.err.text()}\n")
    watch.stop(losses)
    found = each_reported(target, watch, name or mode)
    check_equal(len(watch.violations()), len(found), "violations")
    check_equal(watch.section()["closed"], len(found), "sections closed")
    return target, watch


# USDT.

@suite.test("USDT pair, the provider left out of the stop")
def usdt(run):
    simple(run, "tick", "usdt:kinds:tick_begin .. tick_end < 1ms")


@suite.test("USDT pair with path and full names")
def usdt_path(run):
    path = target_path("kinds")
    simple(run, "tick", f"a-name: usdt:{path}:kinds:tick_begin .. usdt:{path}:kinds:tick_end < 1ms")


@suite.test("USDT behind semaphores: raised while watched, and lowered after")
def usdt_semaphore(run):
    target = started(run, "sem")
    watch = run.watch("-p", str(target.pid), "usdt:kinds:sem_begin .. sem_end < 1ms")
    target.go()
    watch.wait_violations(N)
    watch.stop()
    target.go()
    check_equal(target.finish(), 0, "exit status of the target")
    each_reported(target, watch, "sem")
    last = target.objects()[-1]
    check_equal((last["wanted"], last["wanted_after"]), (N, 0), "times the semaphore was up, and what is left of it")


@suite.test("USDT arguments as keys: register and memory, begun and ended on different threads")
def usdt_keys(run):
    target = started(run, "keyed")
    watch = run.watch("-p", str(target.pid), "reg: usdt:kinds:key_reg_begin .. key_reg_end by arg1 < 1ms",
                      "mem: usdt:kinds:key_mem_begin .. key_mem_end by arg1 < 1ms")
    check_equal(target.go().finish(), 0, "exit status of the target")
    watch.stop()
    for name in ("reg", "mem"):
        for one in each_reported(target, watch, f"key_{name}", section=name, key=lambda o: o["key"]):
            violation = matching(watch.violations(section=name), one["t"])[0]
            check_equal(violation.get("stop_tid"), one["stop_tid"], "thread that ended it")


@suite.test("USDT argument as key: a constant")
def usdt_constant(run):
    target = started(run, "keyed_const")
    watch = run.watch("-p", str(target.pid), "usdt:kinds:key_const_begin .. key_const_end by arg1 < 1ms")
    check_equal(target.go().finish(), 0, "exit status of the target")
    watch.stop()
    each_reported(target, watch, "key_const", key=lambda _: 77)


@suite.test("keyed sections that stay on one thread have their split, their spells and their cause")
def keyed_on_one_thread(run):
    target = started(run, "keyed_own")
    watch = run.watch("-p", str(target.pid), "usdt:kinds:key_reg_begin .. key_reg_end by arg1 < 1ms")
    check_equal(target.go().finish(), 0, "exit status of the target")
    watch.stop()
    clean = unknown = nr = 0
    for one in each_reported(target, watch, "keyed_own", key=lambda o: o["key"]):
        violation = next(v for v in matching(watch.violations(), one["t"]) if v["key"] == one["key"])
        nr += 1
        # On a busy machine others come in between: a switch that the kernel did not tell, a long wait for a CPU.
        if not violation["split_known"] or violation["split_ns"]["waiting"] > 500_000:
            continue
        off = violation["elapsed_ns"] - violation["split_ns"]["running"]
        check(abs(off - one["slept"]) < 500_000 + violation["split_ns"]["waiting"], f"off the CPU for {off} ns, slept for {one['slept']} ns")
        check_equal(violation["spells_total"], one["sleeps"], "long spells")
        check_equal(len(violation["spells"]), one["sleeps"], "spells in the record")
        for spell in violation["spells"]:
            check(one["t"][0] <= spell["out_ns"] and spell["in_ns"] <= one["t"][3], f"a spell from outside: {spell}")
        check(violation["causes"][0]["kind"] in ("sleep", "unknown"), f"cause: {violation['verdict']}")
        unknown += violation["causes"][0]["kind"] == "unknown"
        clean += 1
    check(2 * clean >= nr, f"only {clean} of {nr} were left alone by others")
    check(unknown <= 1, f"{unknown} of {clean} without a cause")


@suite.test("a key that begins again gives up its older section, which is counted")
def keyed_again(run):
    target = started(run, "keyed_again")
    watch = run.watch("-p", str(target.pid), "usdt:kinds:key_reg_begin .. key_reg_end by arg1 < 1ms")
    check_equal(target.go().finish(), 0, "exit status of the target")
    watch.stop(losses=("key_reused",))
    each_reported(target, watch, "keyed_again", key=lambda o: o["key"])
    section = watch.section()
    check_equal((section["closed"], section["abandoned"]), (N, N), "closed, and given up")
    check_equal(watch.summary()["losses"]["key_reused"], N, "keys used again")


@suite.test("a key that the probe does not have is refused")
def usdt_no_argument(run):
    target = started(run, "tick")
    status, _, err = run.tocsin("watch", "-p", str(target.pid), "usdt:kinds:tick_begin .. tick_end by arg5 < 1ms")
    check_equal(status, 2, f"exit status\n{err}\n")
    check("arg5" in err, f"the argument is not named: {err}")


def across(run, mode, closed, left):
    target = run.target("hurt_across", mode, "300")
    watch = run.watch("-p", str(target.pid), "func:across_each < 1s")
    check_equal(target.go().finish(), 0, f"exit status of the target\n{target.err.text()}\n")
    watch.stop(losses=("left_open",))
    check("no return probe: 'hurt_across' is mapped with it" in watch.err.text(), watch.err.text())
    section = watch.section()
    check_equal((section["closed"], section["abandoned"]), (closed, left), "closed, and left")


@suite.test("a C library between a C++ program and its callback, which throws: the program goes on")
def across_throw(run):
    across(run, "throw", 0, 300)


@suite.test("a C library whose callback leaves the stack in the middle of it: paired on each stack")
def across_switch(run):
    across(run, "switch", 98, 2)  # two are open when it ends


@suite.test("several sections of one function, each with its own budget")
def same_function(run):
    target = started(run, "func")
    watch = run.watch("-p", str(target.pid), "long: func:kinds_work < 1s", "short: func:kinds_work < 1ms", "mid: func:kinds_work < 2ms")
    check_equal(target.go().finish(), 0, "exit status of the target")
    watch.stop()
    for name, over in (("long", 0), ("short", N), ("mid", N)):
        section = watch.section(name)
        check_equal((section["closed"], section["over"], section["abandoned"]), (N, over, 0), f"{name}: closed, over, left")


@suite.test("three sections on one thread, overlapping and nested")
def overlap(run):
    target = started(run, "overlap")
    watch = run.watch("-p", str(target.pid), "a: usdt:kinds:a_begin .. a_end < 1ms", "b: usdt:kinds:b_begin .. b_end < 1ms",
                      "t: usdt:kinds:tick_begin .. tick_end < 1ms")
    check_equal(target.go().finish(), 0, "exit status of the target")
    watch.stop()
    for name, section in (("a", "a"), ("b", "b"), ("tick", "t")):
        each_reported(target, watch, name, section=section)
    check_equal(len(watch.violations()), 3 * N, "violations")


@suite.test("the same places with two budgets are two sections")
def two_budgets(run):
    target = started(run, "tick")
    watch = run.watch("-p", str(target.pid), "short: usdt:kinds:tick_begin .. tick_end < 1ms",
                      "long: usdt:kinds:tick_begin .. tick_end < 10s")
    check_equal(target.go().finish(), 0, "exit status of the target")
    watch.stop()
    check_equal((watch.section("short")["over"], watch.section("long")["over"]), (N, 0), "over budget")
    check_equal((watch.section("short")["closed"], watch.section("long")["closed"]), (N, N), "closed")


# Functions.

@suite.test("C function, entry to return")
def function(run):
    simple(run, "func", "func:kinds_work < 1ms")


@suite.test("C function, start and stop")
def function_pair(run):
    simple(run, "tick", "func:probe_tick_begin .. probe_tick_end < 1ms")


@suite.test("function of the full symbol table only")
def function_static(run):
    simple(run, "hidden", "func:kinds_hidden < 1ms")


@suite.test("function of a program at a fixed address")
def function_fixed(run):
    simple(run, "func", "func:kinds_work < 1ms", program="kinds_fixed")


@suite.test("stripped program: the dynamic table serves")
def function_dynsym(run):
    simple(run, "func", "func:kinds_work < 1ms", program="kinds_dynsym")


@suite.test("stripped program without the symbol: refused, and USDT still works")
def function_bare(run):
    target = started(run, "func", program="kinds_bare")
    status, _, err = run.tocsin("watch", "-p", str(target.pid), "func:kinds_work < 1ms")
    check_equal(status, 2, f"exit status\n{err}\n")
    check("kinds_work" in err, f"the symbol is not named: {err}")
    simple(run, "tick", "usdt:kinds:tick_begin .. tick_end < 1ms", program="kinds_bare")


@suite.test("function in a shared library, by its path")
def library(run):
    simple(run, "lib", f"func:{target_path('libkinds.so')}:kinds_lib_work < 1ms")


@suite.test("versioned symbols: the default, and the old one by name@VERSION")
def versions(run):
    path = target_path("libkinds.so")
    for text, name, other in ((f"func:{path}:kinds_versioned < 1ms", "ver2", "ver1"),
                              (f"func:{path}:kinds_versioned@KINDS_1 < 1ms", "ver1", "ver2"),
                              (f"func:{path}:kinds_versioned@@KINDS_2 < 1ms", "ver2", "ver1")):
        target = started(run, "versions")
        watch = run.watch("-p", str(target.pid), text)
        check_equal(target.go().finish(), 0, "exit status of the target")
        watch.stop()
        each_reported(target, watch, name)
        for one in (o for o in target.objects() if o["s"] == other):
            check_equal(matching(watch.violations(), one["t"]), [], f"violations of the other version with {text}")


@suite.test("file offsets")
def offset(run):
    path = target_path("kinds")
    file = elf.Elf(path)
    begin, end = file.offset("probe_tick_begin"), file.offset("probe_tick_end")
    simple(run, "tick", f"{path}:{begin:#x} .. {path}:{end} < 1ms")


CXX = {
    "method": ("_ZN4demo6Engine3runEmPm", "demo::Engine::run(unsigned long, unsigned long*)"),
    "work(int)": ("_ZN4demo4workEiPm", "demo::work(int, unsigned long*)"),
    "work(double)": ("_ZN4demo4workEdPm", "demo::work(double, unsigned long*)"),
    "scale<short>": ("_ZN4demo5scaleIsEEvT_Pm", "void demo::scale<short>(short, unsigned long*)"),
}


def cxx(run, symbol, name):
    target = run.target("kinds_cxx", "3", "3000")
    watch = run.watch("-p", str(target.pid), f"func:{symbol} < 1ms")
    check_equal(target.go().finish(), 0, "exit status of the target")
    watch.stop()
    each_reported(target, watch, name)
    check_equal(len(watch.violations()), 3, "violations")


@suite.test("C++ functions by their mangled names, entry to return")
def cxx_mangled(run):
    for name, (mangled, _) in CXX.items():
        cxx(run, mangled, name)


@suite.test("C++ functions by their readable names, entry to return")
def cxx_readable(run):
    for name, (_, readable) in CXX.items():
        cxx(run, readable, name)


@suite.test("a function left by an exception: no alarm for what its caller does afterwards")
def cxx_left(run):
    target = run.target("left_throw", "20")
    watch = run.watch("-p", str(target.pid), "func:thrower < 50ms")
    target.go()
    check_equal(target.finish(), 0, f"exit status of the target\n{target.err.text()}\n")
    watch.stop(losses=("left_open",))
    check_equal(watch.of_type("fired") + watch.violations(), [], "alarms")
    check_equal(watch.section()["closed"], 10, "functions that returned")
    check_equal(watch.summary()["losses"]["left_open"], 10, "functions that were left")


@suite.test("a C++ name that fits two overloads is refused, and both are named")
def cxx_ambiguous(run):
    target = run.target("kinds_cxx", "1", "1000")
    status, _, err = run.tocsin("watch", "-p", str(target.pid), "func:demo::work < 1ms")
    check_equal(status, 2, f"exit status\n{err}\n")
    check("int" in err and "double" in err, f"the candidates are not named: {err}")


# The kernel's side.

@suite.test("system call, enter to exit")
def syscall(run):
    target = started(run, "read")
    watch = run.watch("-p", str(target.pid), "syscall:read < 1ms")
    check_equal(target.go().finish(), 0, "exit status of the target")
    watch.stop(losses=("stop_unmatched",))  # the read that waited for the test was there before the watch
    found = [o for o in target.objects() if o.get("s") == "read"]
    for one in found:
        mine = [v for v in watch.violations(tid=one["tid"]) if one["t"][0] <= v["start_ns"] and v["end_ns"] <= one["t"][3]]
        check_equal(len(mine), 1, f"violations of {one}")
        check(mine[0]["elapsed_ns"] > DURATION_US * 900, f"only {mine[0]['elapsed_ns']} ns of {DURATION_US} us")
        check_equal(max(mine[0]["causes"], key=lambda c: c["ns"])["kind"], "ipc", f"cause: {mine[0]['verdict']}")


def sleeps(run, watch_first, text):
    """Sections of one tracepoint or system call, of a thread that goes through it N times, and what was closed and over."""
    target = started(run, "read")
    watch = run.watch("-p", str(target.pid), *(f"{name}: {text} < {budget}" for name, budget in watch_first))
    return target, watch


def closed_over(watch, name):
    section = watch.section(name)
    return section["closed"], section["over"]


@suite.test("one system call in several sections, each with its own budget; they come and go by themselves")
def same_syscall(run):
    target, watch = sleeps(run, (("short", "1ms"), ("long", "1s"), ("mid", "2ms")), "syscall:read")
    for words in (("remove", "short"), ("add", "late: syscall:read < 1100us"), ("remove", "mid"), ("add", "last: syscall:read < 2s")):
        status, _, err = run.ctl(watch, *words)
        check_equal(status, 0, f"exit status of ctl {words}\n{err}\n")
    check_equal(target.go().finish(), 0, "exit status of the target")
    watch.stop(losses=("stop_unmatched",))
    made = len([o for o in target.objects() if o.get("s") == "read"])
    check(made >= N, f"{made} reads")
    for name, over in (("long", 0), ("late", made), ("last", 0)):
        closed, late = closed_over(watch, name)
        # the target also reads what lets it go, before and after
        check(made <= closed <= made + 2 and over <= late <= over + 2, f"{name}: {closed} closed, {late} over, {made} were made")
    for name in ("short", "mid"):
        check_equal(closed_over(watch, name), (0, 0), f"{name}, which was removed")


@suite.test("one tracepoint as start and stop of several sections")
def same_tracepoint(run):
    target, watch = sleeps(run, (("short", "1ms"), ("long", "10s")), "tracepoint:syscalls:sys_enter_read .. sys_exit_read")
    status, _, err = run.ctl(watch, "add", "back: tracepoint:syscalls:sys_exit_read .. sys_enter_read < 1s")
    check_equal(status, 0, f"exit status of ctl\n{err}\n")
    check_equal(target.go().finish(), 0, "exit status of the target")
    watch.stop(losses=("stop_unmatched",))
    made = len([o for o in target.objects() if o.get("s") == "read"])
    for name in ("short", "long"):
        check(made <= closed_over(watch, name)[0] <= made + 2, f"{name}: {closed_over(watch, name)}, {made} were made")
    check_equal((closed_over(watch, "short")[1] >= made, closed_over(watch, "long")[1]), (True, 0), "over budget")
    check(closed_over(watch, "back")[0] >= made - 1, f"the other way round: {closed_over(watch, 'back')}")


@suite.test("a system call that does not exist is refused")
def syscall_unknown(run):
    target = started(run, "read")
    status, _, err = run.tocsin("watch", "-p", str(target.pid), "syscall:raed < 1ms")
    check_equal(status, 2, f"exit status\n{err}\n")
    check("read" in err, f"the nearest name is not offered: {err}")


@suite.test("pair of tracepoints", needs=["tracepoint:ext4/ext4_sync_file_enter"])
def tracepoint(run):
    target = started(run, "fsync", n=20, env={"TARGET_DIR": run.scratch})
    watch = run.watch("-p", str(target.pid), "sync: tracepoint:ext4:ext4_sync_file_enter .. ext4_sync_file_exit < 20us")
    check_equal(target.go().finish(), 0, f"exit status of the target\n{target.err.text()}\n")
    watch.stop()
    found = [o for o in target.objects() if o.get("s") == "fsync"]
    if watch.section()["closed"] == 0 and subprocess.run(
            ["stat", "-f", "-c", "%T", run.scratch], capture_output=True, text=True,
            check=True).stdout.strip() != "ext2/ext3":
        run.note("the scratch directory is not on ext4: nothing seen")
        return
    check_equal(watch.section()["closed"], len(found), "sections closed")
    for violation in watch.violations():
        check(any(o["t"][0] <= violation["start_ns"] and violation["end_ns"] <= o["t"][3] for o in found),
              f"outside every fsync(): {violation['start_ns']}..{violation['end_ns']}")


# Other namespaces.

@suite.test("binary in another mount namespace", needs=["namespace"])
def namespace(run):
    hidden = pathlib.Path(run.scratch, "inside")
    hidden.mkdir()
    script = 'mount -t tmpfs none "$1" && cp "$2" "$1/kinds_here" && exec "$1/kinds_here" tick "$3" "$4" "$5"'
    target = run.own(Target(["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", str(hidden),
                                  target_path("kinds"), str(N), str(DURATION_US), str(GAP_US)],
                             env=with_libraries())).wait_ready()
    check(not (hidden / "kinds_here").exists(), "the binary can be seen from outside")
    # The program's own binary, and the same by a path that is good in its namespace only.
    run.watch("-p", str(target.pid), "usdt:kinds:tick_begin .. tick_end < 1ms").stop()
    watch = run.watch("-p", str(target.pid), f"usdt:{hidden}/kinds_here:kinds:tick_begin .. tick_end < 1ms")
    check_equal(target.go().finish(), 0, f"exit status of the target\n{target.err.text()}\n")
    watch.stop()
    each_reported(target, watch, "tick")


@suite.test("process in another PID namespace", needs=["namespace"])
def pid_namespace(run):
    wrapper = run.own(Target(["unshare", "-p", "-f", "--kill-child", target_path("kinds"), "tick", str(N),
                                   str(DURATION_US), str(GAP_US)])).wait_ready()
    children = pathlib.Path(f"/proc/{wrapper.pid}/task/{wrapper.pid}/children").read_text().split()
    check_equal(len(children), 1, "children of unshare")
    watch = run.watch("-p", children[0], "usdt:kinds:tick_begin .. tick_end < 1ms")
    check_equal(wrapper.go().finish(), 0, f"exit status of the target\n{wrapper.err.text()}\n")
    watch.stop()
    check_equal({v["tid"] for v in watch.violations()}, {int(children[0])}, "threads, by their numbers outside")
    check_equal(len(watch.violations()), N, "violations")


@suite.test("binary deleted while it runs")
def deleted(run):
    copy = pathlib.Path(run.scratch, "kinds_gone")
    shutil.copy(target_path("kinds"), copy)
    target = run.target(str(copy), "tick", str(N), str(DURATION_US), str(GAP_US), env=with_libraries())
    copy.unlink()
    watch = run.watch("-p", str(target.pid), "usdt:kinds:tick_begin .. tick_end < 1ms")
    check_equal(target.go().finish(), 0, "exit status of the target")
    watch.stop()
    each_reported(target, watch, "tick")


suite.main()
