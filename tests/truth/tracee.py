#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""libtocsin against programs that say what they emitted: what is in their rings must be that, in order, nothing more.

The collector here is tests/lib/traced.py, which was written from the format pages.
"""

import collections
import json
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import traced  # noqa: E402
from traced import Traced  # noqa: E402
from tocsin import TOCSIN, Skip, Suite, check  # noqa: E402

PROGRAMS = pathlib.Path(os.environ["TOCSIN_TRACEE"])
KINDS, KINDS_STATIC, LIFE = PROGRAMS / "tracee_kinds", PROGRAMS / "tracee_kinds_static", PROGRAMS / "tracee_life"
PLUGIN, PLUGIN_STATIC = PROGRAMS / "tracee_plugin.so", PROGRAMS / "tracee_plugin_static.so"
# How threads may be without restartable sequences: libc does not register them; Tocsin does not use them.
RSEQ = {"": {}, ", rseq registered by Tocsin": {"GLIBC_TUNABLES": "glibc.pthread.rseq=0"}, ", no rseq": {"TOCSIN_RSEQ": "0"},
        ", rings by CPU": {"TOCSIN_RSEQ": "cpu"}}

suite = Suite(needs=())


def same(truth, records):
    check(len(truth) == len(records), f"{len(truth)} events were emitted, {len(records)} are in the rings")
    for number, (said, record) in enumerate(zip(truth, records)):
        said = dict(said)
        check(said.pop("event") == record.cls.name and said == record.fields,
              f"event {number}: emitted {said}, recorded {record}")


def run_kinds(run, program, env=None, **session):
    t = Traced(run, program, env=env)
    t.page.session(**session)
    t.page.enable(lambda cls: cls.provider == "kinds", layout=1 if session.get("contexts") else 0)
    t.go().until("done")
    return t


for how, env in RSEQ.items():
    @suite.test(f"every kind of field{how}")
    def _(run, env=env):
        t = run_kinds(run, KINDS, env)
        same(t.truth(), t.page.records())
        check(not t.page.lost and not t.page.losses(), "something was lost")
        check("evaluated 0" in t.lines, "fields of an event that is off were evaluated")
        t.finish()


@suite.test("every kind of field, linked statically")
def _(run):
    t = run_kinds(run, KINDS_STATIC)
    same(t.truth(), t.page.records())


@suite.test("contexts")
def _(run):
    t = run_kinds(run, KINDS, contexts=[name for name, _, _ in traced.CONTEXTS])
    records = t.page.records()
    same(t.truth(), records)
    cpus = os.cpu_count()
    for r in records:
        c = r.context
        check(c["tid"] == c["pid"] == t.process.pid and c["comm"] == "tracee_kinds" and c["cpu"] < cpus, f"contexts are {c}")


@suite.test("off: nothing is recorded, nothing is made")
def _(run):
    t = Traced(run, KINDS)
    t.page.session()
    t.go().until("done")
    check(not list(t.page.ring_table()), "a ring was made")
    check(sum('"wrong"' in line for line in t.lines) == 300, "tocsin_event_enabled() says that an event is on that is off")


@suite.test("descriptions")
def _(run):
    t = Traced(run, KINDS)
    found = {cls.name: cls for cls in t.page.classes()}
    check(len(found) == 9, f"classes are {list(found)}")
    other = found["other"]
    check(other.level == 6 and other.file.endswith("kinds.c") and other.line > 0, "level, file or line is wrong")
    check([(f.name, f.type) for f in other.fields] == [("f", 9), ("b", 11), ("g", 10), ("p", 12), ("e", 7)], "fields are wrong")
    check(other.fields[4].labels == [(0, 0, "idle"), (1, 3, "busy"), (-1, -1, "gone")], "labels are wrong")
    check(found["off"].provider == "quiet" and found["off"].level == 7, "the level of a debug event is wrong")
    check(all(f.flags == 1 for f in found["hex"].fields), "hexadecimal fields are not marked")


def run_life(run, mode, *more, env=None, ring_bytes=1 << 23, **how):
    """-> what was emitted by whom, what is in the rings by whom, lost, the arena"""
    arena = traced.Arena([("life:*", 8, 1, 0)], ring_bytes=ring_bytes, side_bytes=max(ring_bytes, 1 << 18), **how)
    done = subprocess.run([str(LIFE), mode, *map(str, more)], env=dict(os.environ, **arena.env, **(env or {})), pass_fds=[arena.fd],
                          stdout=subprocess.PIPE, text=True, timeout=60)
    check(done.returncode == 0, f"the program ended with {done.returncode}")
    want, got, lost = collections.Counter(), collections.Counter(), collections.Counter()
    for who, nr in re.findall(r"^emitted (\d+) (\d+)$", done.stdout, re.M):
        want[int(who)] += int(nr)
    for page in arena.pages():
        check(page.tgid == page.pid, f"the page of process {page.tgid} stands in the place of {page.pid}")
        last = {}
        for record in page.records():
            who, seq = record.fields["who"], record.fields["seq"]
            check(last.get(who, -1) < seq, f"process {page.pid}: event {seq} of {who} comes after {last.get(who)}")
            last[who] = seq
            got[who] += 1
        lost["ring"] += page.lost
        lost.update(page.losses())
    for noise in (60, 61):
        got.pop(noise, None)
    run.defer(os.close, arena.fd)
    return want, got, +lost, arena, done.stdout


MODES = ["forks", "vfork", "rawfork", "spawn", "exec", "threads", "signals", "filter"]
for how, env in RSEQ.items():
    for mode in MODES:
        @suite.test(f"{mode}{how}")
        def _(run, mode=mode, env=env):
            want, got, lost, _, _ = run_life(run, mode, env=env)
            check(want == got and not lost, f"emitted {dict(want)}, recorded {dict(got)}, lost {dict(lost)}")


@suite.test("early and late: constructors and destructors")
def _(run):
    arena = traced.Arena([("life:*", 8, 1, 0)])
    subprocess.run([str(LIFE), "plain"], env=dict(os.environ, **arena.env), pass_fds=[arena.fd], check=True, stdout=subprocess.PIPE)
    who = [r.fields["who"] for r in arena.pages()[0].records()]
    check(who[0] == 60 and who[-2:] == [61, 61] and len(who) == 1003, f"recorded {len(who)}, {who[:2]} .. {who[-3:]}")


@suite.test("200 children killed at once after their last event")
def _(run):
    want, got, lost, arena, _ = run_life(run, "storm", ring_bytes=1 << 16)
    check(want == got == {5: 4000} and not lost, f"emitted {dict(want)}, recorded {dict(got)}, lost {dict(lost)}")
    check(not arena.refused and len(arena.pages()) == 201, f"{len(arena.pages())} pages, {arena.refused} refused")


for mode in ("setuid", "jail"):
    @suite.test(mode, needs=("root",))
    def _(run, mode=mode):
        want, got, lost, _, _ = run_life(run, mode)
        check(want == got and not lost, f"emitted {dict(want)}, recorded {dict(got)}, lost {dict(lost)}")


@suite.test("seccomp's strict mode: stopped, and counted")
def _(run):
    want, got, lost, _, out = run_life(run, "strict")
    check(want == got == {0: 100} and lost == {"stopped": 1000}, f"emitted {dict(want)}, recorded {dict(got)}, lost {dict(lost)}")


@suite.test("a plugin loaded and unloaded while another thread traces")
def _(run):
    want, got, lost, _, _ = run_life(run, "plugin", PLUGIN)
    check(want == got and not lost, f"emitted {dict(want)}, recorded {dict(got)}, lost {dict(lost)}")


@suite.test("a plugin with a library of its own")
def _(run):
    want, got, lost, arena, _ = run_life(run, "plugin", PLUGIN_STATIC, ring_bytes=1 << 20)
    check(len(arena.pages()) > 1, "there is one page only")
    check(want[30] == got[30] and lost == +collections.Counter({"ring": want[20] - got[20]}),
          f"emitted {dict(want)}, recorded {dict(got)}, lost {dict(lost)}")


for mode in ("threads", "signals"):
    for how, env in RSEQ.items():
        @suite.test(f"rings too small, {mode}{how}: recorded and lost are what was emitted")
        def _(run, mode=mode, env=env):
            want, got, lost, _, _ = run_life(run, mode, env=env, ring_bytes=1 << 16)
            check(set(lost) == {"ring"} and sum(want.values()) == sum(got.values()) + lost["ring"],
                  f"emitted {sum(want.values())}, recorded {sum(got.values())}, lost {dict(lost)}")


@suite.test("no room in the arena: refused, counted, memfds instead")
def _(run):
    arena = traced.Arena([("life:*", 8, 1, 0)], size=traced.ARENA_HEAD_BYTES + 0x80000)
    subprocess.run([str(LIFE), "plain"], env=dict(os.environ, **arena.env), pass_fds=[arena.fd], check=True, stdout=subprocess.PIPE)
    check(arena.refused > 0 and not arena.pages(), f"refused {arena.refused}, pages {len(arena.pages())}")


@suite.test("a child of a process that is not recorded answers the roll")
def _(run):
    t = Traced(run, LIFE, "forks", "wait")
    # What the children inherit: off, but called.
    t.page.session(flags=0)
    t.page.call()
    t.go().until("done")
    check(t.page.attended == t.page.u32(0x1004), "the process did not attend")
    check(not list(t.page.ring_table()), "an event that is off made a ring")


@suite.test("a session with other rings: renewed at the roll call, nothing lost")
def _(run):
    t = Traced(run, KINDS)
    t.page.session(ring_bytes=1 << 17)
    t.page.enable(lambda cls: cls.provider == "kinds")
    t.go()
    while not t.page.records():
        time.sleep(0.001)
    t.page.session(ring_bytes=1 << 21)
    t.page.call()
    t.until("done")
    sizes = {ring.data_bytes for ring in t.page.open_rings().values()}
    check(1 << 17 in sizes, f"rings of {sizes}")


@suite.test("another version of the page is left alone")
def _(run):
    t = Traced(run, KINDS)
    t.page.session()
    struct.pack_into("<I", t.page.map, traced.SESSION_AT, traced.CONTROL_ABI + 1)
    t.page.enable(call=True)
    t.go().until("done")
    check(not list(t.page.ring_table()), "events were recorded for a collector of another version")


@suite.test("descriptors closed by the program", needs=("root",))
def _(run):
    t = Traced(run, LIFE, "closed", "wait")
    pid = t.process.pid
    t.page.session()
    t.page.enable()
    t.go().until("done")
    check(not traced.find(pid), "the descriptor is still there")
    names = [line.split()[0] for line in open(f"/proc/{pid}/maps") if "tocsin-control" in line]
    again = traced.Page(os.open(f"/proc/{pid}/map_files/{names[0]}", os.O_RDWR), pid)
    check(traced.is_page(again.map) and again.tgid == pid, "the page was not found in the mappings")
    _, fd, _, size, _ = next(iter(again.ring_table()))
    maps = [line.split()[0] for line in open(f"/proc/{pid}/maps") if "tocsin-ring" in line]
    ring = traced.Ring(os.open(f"/proc/{pid}/map_files/{maps[0]}", os.O_RDWR), 0, size)
    check(len(ring.raw()) == 20, "not all events are in the ring")


@suite.test("passive: no thread, no socket, no signal handler; one descriptor, high")
def _(run):
    t = Traced(run, KINDS)
    proc = f"/proc/{t.process.pid}"
    check(len(os.listdir(f"{proc}/task")) == 1, "a thread was started")
    links = {int(fd): os.readlink(f"{proc}/fd/{fd}") for fd in os.listdir(f"{proc}/fd")}
    check(not any("socket:" in link for link in links.values()), f"a socket is open: {links}")
    check(set(links) - {0, 1, 2} == {max(links)} and max(links) > 100, f"descriptors are {links}")
    status = open(f"{proc}/status").read()
    check(re.search(r"SigCgt:\s*0+\n", status), "a signal is handled")


@suite.test("sections over budget, with their split")
def _(run):
    t = Traced(run, PROGRAMS / "tracee_sections")
    check(t.page.u64(112) == 0, "a section slot is published before there is a section")
    t.page.session()
    t.page.enable(lambda cls: cls.flags == 1)
    t.go().until("done")
    check("all returned what they should" in t.lines, "\n".join(line for line in t.lines if "wrong" in line))
    records, want = t.page.records(), t.truth()
    check([r.cls.name for r in records] == [w["name"] for w in want], f"emitted {want}, recorded {records}")
    for r, w in zip(records, want):
        f = r.fields
        check(f["elapsed_ns"] > f["budget_ns"] and f["elapsed_ns"] >= w["least_ms"] * 1e6, f"{r} should take {w}")
        check(f["running_ns"] + f["waiting_ns"] + f["sleeping_ns"] + f["unknown_ns"] == f["elapsed_ns"], f"{r} does not sum")
        check(f["keyed"] == bool(w["keyed"]) and f["key"] == w["key"], f"{r}: the key is wrong")
        if w["keyed"]:
            check(f["split"] == 0 and f["unknown_ns"] == f["elapsed_ns"], f"{r} claims a split")
        else:
            check(f["split"] == 1, f"{r} has no split")
            busy = "inner late" == w["name"]
            check((f["running_ns"] + f["waiting_ns"] > 3e6) if busy else f["sleeping_ns"] >= 1.5e6, f"{r}: the split is wrong")
    offset, rseq_offset, size, abi, magic, budget = struct.unpack_from("<qqIIQQ", t.page.map, 88)
    check(offset < 0 and size == 704 and abi == 1 and magic == 0x6E6F697463657354 and budget == 1_000_000, "the slot is published wrongly")
    check(t.page.losses() == {"sections_deep": 5}, f"lost {t.page.losses()}")


def recorded(run, program):
    """What a program said that it emitted, and the trace that `tocsin record` made of it."""
    trace = pathlib.Path(run.scratch) / "trace"
    done = subprocess.run([str(TOCSIN), "record", "-o", str(trace), "-e", "kinds:*", "--", str(program)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, input="go\nend\n", timeout=60)
    check(done.returncode == 0, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")], trace


def check_recorded(run, mode, lost_want, *, attached):
    """A process in unusual circumstances, recorded by the tool: emitted = recorded, by whom."""
    trace = f"{run.scratch}/trace"
    if attached:
        t = Traced(run, LIFE, mode, "wait")
        record = run.program(TOCSIN, "record", "-f", "-o", trace, "-e", "life:*", "-p", str(t.process.pid))
        check(record.err.wait(lambda: "recording" in record.err.text(), 10), record.err.text())
        t.go()
        time.sleep(0.5)  # rings of a process that ends at once may go before they are found; that is counted, by ring
        if mode != "filter":
            t.go()
        lines = t.process.stdout.read()
        check(record.wait(30) == 0, record.err.text())
        summary = record.err.text()
    else:
        done = subprocess.run([str(TOCSIN), "record", "-o", trace, "-e", "life:*", "--", str(LIFE), mode], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60)
        check(done.returncode == 0, done.stderr)
        lines, summary = done.stdout, done.stderr
    want, got = collections.Counter(), collections.Counter()
    for who, nr in re.findall(r"^emitted (\d+) (\d+)$", lines, re.M):
        want[int(who)] += int(nr)
    status, out, err = run.tocsin("print", "--json", trace)
    check(status == 0, err)
    for event in map(json.loads, out.splitlines()):
        if event["name"] == "life:step" and event["fields"]["who"] < 60:
            got[event["fields"]["who"]] += 1
    lost = int(re.search(r"(\d+) lost$", summary, re.M)[1])
    if mode == "signals":  # a handler may meet its own thread making a ring
        check(sum(want.values()) == sum(got.values()) + lost, f"emitted {dict(want)}, recorded {dict(got)}\n{summary}")
        return
    check(want == got and sum(want.values()), f"emitted {dict(want)}, recorded {dict(got)}\n{summary}")
    check(lost == lost_want, f"{lost} lost, not {lost_want}\n{summary}")


for mode in (*MODES, "setuid", "jail", "strict"):
    for attached in (False, True) if mode in ("vfork", "filter", "setuid", "jail", "signals") else (False,):
        @suite.test(f"{mode}, {'attached to' if attached else 'a command'}, through tocsin record and tocsin print",
                    needs=("tool", "root") if mode in ("setuid", "jail") else ("tool",))
        def _(run, mode=mode, attached=attached):
            check_recorded(run, mode, 1000 if mode == "strict" else 0, attached=attached)


@suite.test("through tocsin record and tocsin print", needs=("tool",))
def _(run):
    truth, trace = recorded(run, KINDS)
    status, out, err = run.tocsin("print", "--json", str(trace))
    check(status == 0, err)
    found = [o for o in map(json.loads, out.splitlines()) if o["name"].startswith("kinds:")]
    check(len(truth) == len(found) == 2400, f"{len(truth)} emitted, {len(found)} printed")
    labels = {-1: "gone", 0: "idle", 1: "busy", 2: "busy", 3: "busy"}
    for said, event in zip(truth, found):
        fields = {k: v for k, v in event["fields"].items() if not (k.startswith("_") and k.endswith("_length"))}
        if said["event"] == "other":
            said["e"], said["b"] = labels[said["e"]], str(said["b"]).lower()
        check(event["name"] == "kinds:" + said.pop("event") and fields == said, f"emitted {said}, printed {event}")


@suite.test("through tocsin record and babeltrace2", needs=("tool",))
def _(run):
    if not shutil.which("babeltrace2"):
        raise Skip("no babeltrace2")
    truth, trace = recorded(run, KINDS_STATIC)
    done = subprocess.run(["babeltrace2", str(trace)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True)
    check(not done.stderr, done.stderr)
    found = re.findall(r" kinds:(\w+): \{[^}]*\}, \{ (?:(.*) )?\}$", done.stdout, re.M)
    check([name for name, _ in found] == [said["event"] for said in truth], "other events, or in another order")
    for said, (name, text) in zip(truth, found):
        if name in ("unsigned", "signed", "sixteen"):
            fields = {k: int(v) for k, v in (part.split(" = ") for part in text.split(", "))}
            check(fields == {k: v for k, v in said.items() if k != "event"}, f"emitted {said}, babeltrace2 prints {text}")
        elif name == "text" and said["all"]:  # for an empty text babeltrace2 before 2.0.5 shows the one before
            check(re.findall(r'= "([^"]*)"', text) == [said["all"], said["some"], said["none"]], f"emitted {said}, babeltrace2 prints {text}")


FILTERS = [  # what, tests, names, which records of kinds:unsigned and kinds:text pass
    ("number", [(2, 2, 0, 0xFFFE, 0xFFFF, 250)], ["a"], lambda n, f: f.get("a", 999) >= 250),  # !(a < 250), so also without a
    ("negative", [(2, 1, 0, 0xFFFF, 0xFFFE, -5)], ["b"], lambda n, f: isinstance(f.get("b"), int) and n != "other" and f["b"] < -5),
    ("text", [(5, 4, 0, 0xFFFF, 0xFFFE, b"*xy?*")], ["all"], lambda n, f: re.search("xy.", f.get("all", "")) is not None),
    ("both", [(3, 1, 0, 1, 0xFFFE, 100), (1, 1, 1, 0xFFFF, 0xFFFE, 50)], ["n", "n"], lambda n, f: f.get("n") == 50),
    ("context", [(5, 4, 0, 0xFFFF, 0xFFFE, b"other*")], ["$comm"], lambda n, f: False),
    ("fraction", [(2, 3, 0, 0xFFFF, 0xFFFE, struct.unpack("<Q", struct.pack("<d", 1.05))[0])], ["g"], lambda n, f: f.get("g", 9) < 1.05),
]
for what, tests, names, passes in FILTERS:
    @suite.test(f"filter: {what}")
    def _(run, tests=tests, names=names, passes=passes):
        t = Traced(run, KINDS)
        t.page.session()
        t.page.put_filter(3, traced.filter_program(tests, names))
        t.page.enable(lambda cls: cls.provider == "kinds", filter_=3)
        t.go().until("done")
        want = [said for said in t.truth() if passes(said["event"], {k: v for k, v in said.items() if k != "event"})]
        same(want, t.page.records())


@suite.test("a page that somebody scribbles over does not hurt the program")
def _(run):
    t = Traced(run, LIFE, "threads", "wait")
    t.page.session(ring_bytes=1 << 16, side_bytes=1 << 18)
    t.page.enable()
    dice = random.Random(7)
    t.go()
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        for _ in range(200):
            at = dice.choice([traced.SESSION_AT + dice.randrange(2208), traced.ENABLE_AT + dice.randrange(8), traced.FILTER_OF_AT + dice.randrange(16),
                              traced.FILTERS_AT + dice.randrange(0x900), dice.randrange(280)])
            if traced.SESSION_AT + 36 <= at < traced.SESSION_AT + 56:
                continue  # sizes of rings up to 1 GiB are what it asked for
            t.page.map[at] = dice.randrange(256)
    t.page.map[traced.SESSION_AT + 28:traced.SESSION_AT + 32] = bytes(4)
    t.until("done")
    t.finish()


@suite.test("a plugin in a program that is not linked with the library")
def _(run):
    # Its thread-local storage must fit into what the loader keeps for late comers.
    code = (f"import ctypes, sys; p = ctypes.CDLL({str(PLUGIN)!r}); print('ready', flush=True); sys.stdin.readline(); "
            "p.plugin_work(7, 20); print('done', flush=True); sys.stdin.readline()")
    t = Traced(run, sys.executable, "-c", code)
    t.page.session()
    t.page.enable()
    t.go().until("done")
    check([r.fields["seq"] for r in t.page.records()] == list(range(7, 27)), "events of the plugin are wrong")


@suite.test("USDT probes fire with the event off", needs=("root",))
def _(run):
    if not shutil.which("bpftrace"):
        raise Skip("no bpftrace")
    t = Traced(run, KINDS)
    probe = f'usdt:{KINDS}:kinds:unsigned {{ @a[arg0] = count(); @sum = sum(arg3); }} usdt:{KINDS}:kinds:text /str(arg1) != ""/ {{ @texts = count(); }}'
    trace = subprocess.Popen(["bpftrace", "-p", str(t.process.pid), "-e", probe + ' BEGIN { printf("armed\\n"); }'], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    run.defer(trace.kill)
    for line in trace.stdout:
        if line.strip() == "armed":
            break
    time.sleep(2)  # BEGIN runs before the other probes are there
    t.go().until("done")
    t.finish()
    out = trace.communicate(timeout=20)[0]
    check(f"@sum: {sum(i * 70000 for i in range(300))}" in out and "@a[255]: 1" in out, out[-1500:])
    check("@texts: " in out, out[-500:])
    check(not list(t.page.ring_table()), "an event that is off was recorded")


@suite.test("USDT notes with arguments")
def _(run):
    notes = subprocess.run(["readelf", "-n", str(KINDS)], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = {}
    for name, arguments in re.findall(r"Provider: kinds\n\s*Name: (\w+)\n.*?Semaphore: 0x0*[1-9a-f].*?\n\s*Arguments: ?([^\n]*)", notes):
        found[name] = arguments.split()
    check({k: len(v) for k, v in found.items() if k != "nothing"} ==
          {"unsigned": 4, "signed": 4, "hex": 4, "other": 5, "text": 4, "many": 5, "sixteen": 12}, f"notes are {found}")
    check([a.split("@")[0] for a in found["unsigned"]] == ["1", "8", "2", "4"], f"argument types are {found['unsigned']}")
    check([a.split("@")[0] for a in found["signed"]] == ["-1", "-2", "-4", "-8"], f"argument types are {found['signed']}")


if __name__ == "__main__":
    suite.main()
