#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`tocsin doctor`: as root, as nobody, with exactly the capabilities it asks for, and where something is missing.

What a row says is compared with what this test finds out for itself, and the remedies are followed.
"""

import json
import os
import pathlib
import re
import resource
import shlex
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import tocsin  # noqa: E402
from tocsin import Skip, check, check_equal  # noqa: E402

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
GROUPS = ["linked", "rings", "watch", "deadlines", "stacks", "causes"]
ROW_FIELDS = {"id", "group", "name", "needs", "weight", "verdict", "seen", "means"}
ROW_OPTIONAL = {"lacks", "errno", "remedy"}
CPU_S = 2.0

suite = tocsin.Suite(needs=())


def doctor(run, *args, before=(), tool=None):
    """Runs the doctor; returns (status, standard output). Its standard error must be empty."""
    program = run.program(*before, tool or tocsin.TOCSIN, "doctor", *args, stdin=subprocess.DEVNULL)
    status = program.wait(60)
    check_equal(program.err.text(), "", "standard error")
    return status, program.out.text()


def report(run, **how):
    """The report as JSON, checked, with its rows by id."""
    status, out = doctor(run, "--json", **how)
    check_equal(len(out.splitlines()), 1, "lines of JSON")
    found = json.loads(out)
    check_sound(found)
    check_equal(status, 0 if found["watch_works"] else 1, "exit status")
    found["row"] = {row["id"]: row for row in found["rows"]}
    return found


def check_sound(found):
    check_equal(found["type"], "doctor", "type")
    ids = [row["id"] for row in found["rows"]]
    check_equal(len(ids), len(set(ids)), "number of different ids")
    check(len(ids) >= 30, f"only {len(ids)} rows")
    check_equal(list(found["groups"]), GROUPS, "groups")
    for row in found["rows"]:
        fields = set(row)
        check(ROW_FIELDS <= fields <= ROW_FIELDS | ROW_OPTIONAL, f"fields of {row['id']}: {sorted(fields)}")
        check(row["verdict"] in ("yes", "partly", "no"), f"{row['id']}: verdict {row['verdict']}")
        check(row["seen"] and row["means"], f"{row['id']} says nothing")
        check_equal("remedy" in row, row["verdict"] != "yes", f"{row['id']}: a remedy if not a yes")
        check(re.fullmatch(r"\d+\.\d+", row["needs"]["kernel"]), f"{row['id']}: needs {row['needs']}")
        check(row["seen"].startswith(row.get("errno", "")), f"{row['id']}: the errno is not in {row['seen']!r}")
    for group in GROUPS:
        rows = [r for r in found["rows"] if r["group"] == group and r["weight"] != "note"]
        want = "yes" if all(r["verdict"] == "yes" for r in rows) else "partly"
        if any(r["verdict"] == "no" and r["weight"] == "need" for r in rows):
            want = "no"
        check_equal(found["groups"][group], want, f"verdict of the group {group}")
    works = found["groups"]["watch"] != "no" and found["groups"]["deadlines"] != "no"
    check_equal(found["watch_works"], works, "watch_works")


def copy_of_tool(run):
    """A copy that nobody may run, and that may be given capabilities."""
    path = pathlib.Path(run.scratch, "tocsin")
    shutil.copy(tocsin.TOCSIN, path)
    path.chmod(0o755)
    return path


def state_of_tracing():
    """What the doctor might leave behind in tracefs, in /proc and among the mounts."""
    paths = ["/proc/sys/kernel/perf_event_paranoid", "/proc/sys/kernel/unprivileged_bpf_disabled",
             "/proc/sys/kernel/kptr_restrict", "/proc/self/mounts"]
    for name in ("uprobe_events", "kprobe_events", "current_tracer", "tracing_on", "events/enable"):
        paths.append(f"/sys/kernel/tracing/{name}")
    state = {}
    for path in paths:
        try:
            state[path] = pathlib.Path(path).read_text()
        except OSError as fault:
            state[path] = fault.errno
    return state


def machine_is_described(found):
    machine = found["machine"]
    check_equal(machine["release"], os.uname().release, "release")
    check_equal(machine["architecture"], os.uname().machine, "architecture")
    check_equal(machine["cpus_allowed"], len(os.sched_getaffinity(0)), "CPUs allowed")
    check_equal(machine["perf_event_paranoid"],
                pathlib.Path("/proc/sys/kernel/perf_event_paranoid").read_text().strip(), "perf_event_paranoid")


@suite.test("as JSON: every row has its fields, groups and exit status follow from the rows")
def json_is_sound(run):
    found = report(run)
    machine_is_described(found)
    check_equal(found["row"]["btf"]["verdict"] == "yes", os.path.exists("/sys/kernel/btf/vmlinux"), "BTF is there")
    check_equal(found["row"]["memory"]["verdict"], "yes", "memfds work")


@suite.test("as text: aligned, under 100 columns, the same verdicts, one sentence at the end")
def text_is_readable(run):
    status, out = doctor(run)
    found = report(run)
    lines = out.splitlines()
    check_equal(status, 0 if found["watch_works"] else 1, "exit status")
    long = [line for line in lines if len(line) >= 100]
    check(not long, f"lines of 100 columns or more: {long}")
    for row in found["rows"]:
        line = next((text for text in lines if text[9:44].rstrip() == row["name"]), None)
        check(line, f"no line for {row['name']!r}")
        check_equal(line[:9].strip(), row["verdict"], f"verdict of {row['name']!r}")
        check_equal(line[44:49].strip(), row["needs"]["kernel"], f"kernel of {row['name']!r}")
    sentence = " ".join(out.split("\n\n")[-1].split())
    check_equal(sentence, " ".join(found["summary"].split()), "last sentence")


@suite.test("it takes little of the CPU, and changes nothing", needs=("root",))
def changes_nothing(run):
    before, used = state_of_tracing(), resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([tocsin.TOCSIN, "doctor", "--json"], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    run.note(f"{cpu_s:.2f} s of CPU in {json.loads(result.stdout)['took_ns'] / 1e9:.2f} s")
    check(cpu_s < CPU_S, f"{cpu_s:.2f} s of CPU")
    check_equal(state_of_tracing(), before, "what could have been left behind")


@suite.test("as root on a kernel that can: watch works, and the probe's row is true", needs=("root", "bpf", "btf"))
def root_can(run):
    found = report(run)
    check(found["watch_works"], found["summary"])
    check_equal(found["row"]["privilege"]["verdict"], "yes", "privileges")
    match = re.fullmatch(r"([\d.]+ \w+) nop5, ([\d.]+ \w+) push, ([\d.]+ \w+) single-stepped",
                         found["row"]["probe_cost"]["seen"])
    check(match, f"cost of a probe: {found['row']['probe_cost']['seen']}")
    unit = {"ns": 1, "us": 1e3, "ms": 1e6}
    nop5, push, stepped = (float(n) * unit[u] for n, u in (text.split() for text in match.groups()))
    check(50 < push < 50_000, f"a probe on a push costs {push} ns")
    check(stepped > push, f"single-stepping at {stepped} ns is cheaper than a push at {push} ns")
    if found["row"]["nop5"]["verdict"] == "yes":
        check(nop5 < push, f"an optimised nop at {nop5} ns is dearer than a push at {push} ns")


@suite.test("as nobody: says what is missing and what would help", needs=("root", "program:setpriv"))
def nobody_is_told(run):
    tool = copy_of_tool(run)
    found = report(run, before=NOBODY, tool=tool)
    check(not found["watch_works"], "watch is said to work")
    check_equal(found["machine"]["capabilities"], [], "capabilities")
    check({"cap_bpf", "cap_perfmon"} <= set(found["row"]["sched_hooks"]["lacks"]), "what the hooks lack")
    check_equal(found["row"]["sched_hooks"]["errno"], "EPERM", "errno of the hooks")
    check(str(tool) in found["row"]["uprobe"]["remedy"], f"remedy {found['row']['uprobe']['remedy']!r}")
    check(found["groups"]["linked"] != "no", "linked tracing needs no privilege")
    check("run as root" in found["summary"], found["summary"])


@suite.test("as nobody without a bounding set: setcap is not offered", needs=("root", "program:setpriv"))
def bounded_nobody_is_told(run):
    found = report(run, before=NOBODY + ["--bounding-set=-all"], tool=copy_of_tool(run))
    remedy = found["row"]["privilege"]["remedy"]
    check("bounding set" in remedy and "setcap" not in remedy, remedy)


@suite.test("in a user namespace of its own, root is told so", needs=("root", "program:unshare"))
def user_namespace_is_told(run):
    if subprocess.run(["unshare", "-U", "-r", "true"], capture_output=True, check=False).returncode:
        raise Skip("cannot make a user namespace")
    found = report(run, before=["unshare", "-U", "-r"])
    check(not found["watch_works"], "watch is said to work")
    check("user namespace" in found["row"]["privilege"]["remedy"], found["row"]["privilege"]["remedy"])


@suite.test("the remedy for nobody is followed, and helps", needs=("root", "bpf", "btf", "program:setpriv", "program:setcap"))
def remedy_helps(run):
    tool = copy_of_tool(run)
    of_root = report(run, tool=tool)
    if not of_root["watch_works"]:
        raise Skip("watch does not work here even for root")
    remedy = report(run, before=NOBODY, tool=tool)["row"]["privilege"]["remedy"]
    match = re.search(r"setcap \S+ \S+$", remedy)
    if not match:
        raise Skip(f"another remedy: {remedy}")
    given = subprocess.run(shlex.split(match[0]), capture_output=True, text=True, check=False)
    if given.returncode:
        raise Skip(f"setcap: {given.stderr.strip()}")
    found = report(run, before=NOBODY, tool=tool)
    worse = {i: row["seen"] for i, row in found["row"].items() if row["verdict"] != of_root["row"][i]["verdict"]}
    check_equal(worse, {}, "rows that are not as root's")
    check(found["watch_works"], found["summary"])


@suite.test("without CAP_SYS_ADMIN the probe is refused, and only what uses one",
            needs=("root", "bpf", "btf", "program:setpriv", "program:setcap"))
def half_the_capabilities(run):
    tool = copy_of_tool(run)
    given = subprocess.run(["setcap", "cap_bpf,cap_perfmon,cap_sys_ptrace=ep", str(tool)], capture_output=True,
                           text=True, check=False)
    if given.returncode:
        raise Skip(f"setcap: {given.stderr.strip()}")
    found = report(run, before=NOBODY, tool=tool)
    check_equal(found["row"]["sched_hooks"]["verdict"], "yes", "scheduler hooks")
    check_equal(found["row"]["ring_buffer"]["verdict"], "yes", "ring buffer")
    check_equal(found["row"]["task_storage"]["verdict"], "yes", "task storage")
    if found["row"]["uprobe"]["verdict"] == "no":  # a kernel may come to be content with CAP_PERFMON
        check_equal(found["row"]["uprobe"]["lacks"], ["cap_sys_admin"], "what the probe lacks")
        check(not found["watch_works"], "watch is said to work")


@suite.test("without tracefs: said, with the mount that helps", needs=("root", "bpf", "btf", "namespace"))
def no_tracefs(run):
    gone = "for i in 1 2 3; do umount /sys/kernel/tracing || umount /sys/kernel/debug; done 2>/dev/null; exec \"$@\""
    inside = ["unshare", "-m", "--propagation", "private", "sh", "-c"]
    found = report(run, before=inside + [gone, "sh"])
    check_equal(found["row"]["tracefs"]["verdict"], "no", "tracefs")
    check_equal(found["row"]["tracefs"]["seen"], "not mounted", "what was seen of tracefs")
    check_equal(found["row"]["syscalls"]["verdict"], "no", "system calls")
    check(found["watch_works"], f"watch needs no tracefs: {found['summary']}")
    remedy = found["row"]["tracefs"]["remedy"]
    check(remedy.startswith("mount -t tracefs "), remedy)
    mended = gone.replace("exec", f"{remedy}; exec")
    found = report(run, before=inside + [mended, "sh"])
    check_equal(found["row"]["tracefs"]["verdict"], "yes", f"tracefs after {remedy!r}")
    check_equal(found["row"]["syscalls"]["verdict"], "yes", "system calls")


@suite.test("without /sys: no kernel types, and what does not need them still tried", needs=("root", "bpf", "namespace"))
def no_sys(run):
    if any(pathlib.Path("/boot").glob("vmlinux*")):
        raise Skip("there is a vmlinux in /boot, which may have the types")
    found = report(run, before=["unshare", "-m", "--propagation", "private", "sh", "-c", "umount -l /sys; exec \"$@\"", "sh"])
    check(not found["watch_works"], "watch is said to work")
    check_equal(found["row"]["btf"]["errno"], "ENOENT", "errno of the types")
    check("CONFIG_DEBUG_INFO_BTF" in found["summary"], found["summary"])
    check_equal(found["row"]["ring_buffer"]["verdict"], "yes", "ring buffer")
    check_equal(found["row"]["prog_types"]["verdict"], "yes", "program types")
    check_equal(found["row"]["timer"]["verdict"], "yes", "timer")
    check_equal(found["row"]["cgroup_cpu"]["verdict"], "no", "cgroups")


@suite.test("wrong usage is 2, an output that cannot be written 3")
def exit_statuses(run):
    status, out, err = run.tocsin("doctor", "foo")
    check_equal((status, out), (2, ""), "an argument")
    check("'foo'" in err and "tocsin doctor --help" in err, err)
    full = run.program("sh", "-c", 'exec "$0" doctor > /dev/full', tocsin.TOCSIN, stdin=subprocess.DEVNULL)
    check_equal(full.wait(60), 3, "a full disk")
    check("standard output" in full.err.text(), full.err.text())


suite.main()
