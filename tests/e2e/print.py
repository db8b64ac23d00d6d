#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`tocsin print` against traces whose events are known, against babeltrace2, and against broken traces."""

import json
import math
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import ctf_make
from ctf_babeltrace import helper
from tocsin import ROOT, Skip, Suite, TOCSIN, check, check_equal, target_path

SEEDS = int(os.environ.get("PRINT_SEEDS", "40"))

suite = Suite(needs=("tool",))


def tool(*args, status=0, stderr=None):
    done = subprocess.run([TOCSIN, "print", *map(str, args)], capture_output=True, timeout=60, check=False,
                          env={**os.environ, "TZ": "UTC"})
    errors = done.stderr.decode()
    check_equal(done.returncode, status, f"status of print {args}\n{errors}\n")
    if stderr is None:
        check_equal(errors, "", f"standard error of print {args}")
    else:
        check(re.search(stderr, errors), f"{stderr!r} expected on standard error, not {errors!r}")
    return done.stdout.decode()


def lines(*args, **more):
    return [json.loads(line) for line in tool("--json", *args, **more).splitlines()]


def in_order(events):
    """Events of equal times are in the order of their streams."""
    return sorted(enumerate(events), key=lambda item: (item[1][0], item[1][2], item[0]))


def check_same(got, want, what):
    """As check_equal() for long lists: says where they part."""
    for i, (a, b) in enumerate(zip(got, want)):
        check_equal(a, b, f"{what}, line {i}")
    check_equal(len(got), len(want), f"{what}, number of lines")


# ---- known traces

@suite.test("random types and values are read as they were written")
def random_traces(run):
    known_traces(run, 1, SEEDS)


@suite.test("the same with metadata of CTF 2")
def random_traces_two(run):
    known_traces(run, 2, SEEDS // 2)


def known_traces(run, version, nr_seeds):
    nr = 0
    for seed in range(nr_seeds):
        path = f"{run.scratch}/t{seed}"
        events, lost = ctf_make.make(path, seed, version=version)
        got = lines(path)
        want = [event for _, event in in_order(events)]
        seen = [e for e in got if e["type"] == "event"]
        check_equal(sum(e["events"] for e in got if e["type"] == "lost"), lost, f"lost, seed {seed}")
        for a, b in zip(seen, want):
            check_equal((a["time_ns"], a["name"], a["stream"]), (b[0], b[1], f"s_{b[2]}"), f"event, seed {seed}")
            for scope in ("stream_context", "event_context", "fields"):
                check_equal(a.get(scope), b[3].get(scope), f"{scope} of {b[1]}, seed {seed}")
        check_equal(len(seen), len(want), f"number of events, seed {seed}")
        nr += len(want)
        shutil.rmtree(path)
    run.note(f"{nr} events of {nr_seeds} traces")


@suite.test("what babeltrace2 reads is the same", needs=("program:babeltrace2",))
def differential(run):
    nr = failed = 0
    for seed in range(SEEDS // 4):
        path = f"{run.scratch}/t{seed}"
        ctf_make.make(path, 1000 + seed)
        compared = compare(path)
        nr += compared
        failed += not compared
        shutil.rmtree(path)
    check(failed <= SEEDS // 8, f"babeltrace2 failed on {failed} traces")
    for kind in ("known", "extreme"):
        helper(kind, f"{run.scratch}/{kind}")
        nr += compare(f"{run.scratch}/{kind}")
    run.note(f"{nr} events; babeltrace2 aborted on {failed} traces")


NUMBER = re.compile(r"^\[(\d+)\.(\d{9})\] \(\S+\) (?:there )?(.*?): (\{.*)$")


def others_of(path):
    done = subprocess.run(["babeltrace2", "--clock-seconds", path], capture_output=True, check=False)
    if done.returncode == -6:
        return None  # 2.0 fails an assertion of its own on some variants
    check_equal(done.returncode, 0, f"status of babeltrace2\n{done.stderr.decode()}")
    events = []
    for line in done.stdout.decode().splitlines():
        head = NUMBER.match(line)
        check(head, f"line of babeltrace2: {line}")
        text = re.sub(r'\( (?:<unknown>|"([^"]*)") : container = (-?\d+) \)', lambda m: f'"{m[1]}"' if m[1] is not None else m[2],
                      head[4])
        events.append((int(head[1]) * 10**9 + int(head[2]), head[3].split(" ")[-1], text))
    return events


def canonical(text):
    """Numbers and texts of a line, in their order: what is left when the two programs' brackets are taken away."""
    words = re.findall(r'"((?:[^"\\]|\\.)*)"|(?<![\w\[])(-?(?:0x[0-9A-Fa-f]+|0[0-7]+|\d[\d.]*(?:e[+-]?\d+)?))(?![\w:\]])', text)
    return [w[0] if w[0] or not w[1] else number(w[1]) for w in words]


def number(word):
    if "." in word or "e" in word and not word.startswith("0x"):
        return float(word)
    return int(word, 8) if len(word) > 1 and word[0] == "0" and word[1] in "01234567" else int(word, 0)


def flat(value):
    """Every value of an event in its order."""
    if isinstance(value, dict):
        return [v for item in value.values() for v in flat(item)]
    if isinstance(value, list):
        return [v for item in value for v in flat(item)]
    return [value]


def unmarked(text):
    return re.sub(r'\\(x[0-9a-f]{2}|.)', lambda m: {"t": "\t", "n": "\n", "r": "\r", "e": "\x1b"}.get(
        m[1], chr(int(m[1][1:], 16)) if m[1][0] == "x" and len(m[1]) == 3 else m[1]), text)


def close(a, b):
    if isinstance(a, float) or isinstance(b, float):
        return not isinstance(b, str) and math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-5)
    if isinstance(b, str):
        return a == unmarked(b)
    return a == b


def compare(path):
    """Times, names and values of each stream in its order: that of equal times of several streams is anybody's."""
    ours = [e for e in lines(path) if e["type"] == "event"]
    theirs = others_of(path)
    if theirs is None:
        return 0
    check_equal(len(ours), len(theirs), "number of events")
    a = [(e["time_ns"], e["name"], flat(e.get("packet", {})) + flat(e.get("stream_context", {})) +
          flat(e.get("event_context", {})) + flat(e["fields"])) for e in ours]
    b = [(t, n, canonical(text)) for t, n, text in theirs]
    if ours and "packet" in ours[0]:  # with the number of the CPU in front
        a.sort(key=lambda e: e[2][0])
        b.sort(key=lambda e: e[2][0])
    for (at, an, av), (bt, bn, bv) in zip(a, b):
        # It divides in floating point where the frequency is not 10^9.
        check(abs(at - bt) <= 512, f"time of {an}: {at}, babeltrace2 {bt}")
        check_equal(an, bn, "name")
        check(len(av) == len(bv) and all(map(close, av, bv)), f"{an} at {at}: {av}, babeltrace2 {bv}")
    return len(ours)


# ---- choosing

@suite.test("names, conditions, times and counts choose what is printed")
def choosing(run):
    path = f"{run.scratch}/t"
    helper("known", path)
    everything = lines(path)
    def fields(name, **want):
        return [e for e in everything if e["name"] == name and all(e["fields"].get(k) == v for k, v in want.items())]
    check_equal(lines(path, "--event", "spell"), fields("spell"), "--event")
    check_equal(lines(path, "-e", "sp*", "-e", "fired"), [e for e in everything if e["name"] in ("spell", "fired")], "globs")
    check_equal(lines(path, "-w", 'state == "waiting" && cause == "preempted"'), fields("spell", state="waiting"), "--where")
    check_equal(lines(path, "-w", "!(index >= 0) && budget_ns"), [e for e in everything if "index" not in e["fields"] and
                                                                  "budget_ns" in e["fields"]], "! and a field alone")
    check_equal(lines(path, "-w", "number == 7 && index < 1 || number == 8 && index > 0"),
                [e for e in everything if e["fields"].get("number") == 7 and e["fields"].get("index", 9) < 1 or
                 e["fields"].get("number") == 8 and e["fields"].get("index", 0) > 0], "precedence")
    check_equal(lines(path, "-w", 'waker_comm ~ "post*"'), [e for e in everything if
                                                            e["fields"].get("waker_comm", "").startswith("post")], "~")
    check_equal(lines(path, "-n", "3"), everything[:3], "--count")
    start = everything[0]["time_ns"]
    for offset in (0, 10003100, 12600000, 40 * 10**9):
        check_equal(lines(path, "--from", f"+{offset}ns"), [e for e in everything if e["time_ns"] >= start + offset], "--from")
        check_equal(lines(path, "--to", f"+{offset}ns"), [e for e in everything if e["time_ns"] <= start + offset], "--to")
    at = f"@{start // 10**9}.{start % 10**9:09d}"
    check_equal(lines(path, "--from", at, "--to", at), [e for e in everything if e["time_ns"] == start], "@")
    tool(path, "-w", "stat == 3", status=2, stderr="no event has a field 'stat', nearest is 'state'")
    tool(path, "-w", "number ==", status=2, stderr="column 10: expected a number")
    tool(path, "-w", "(number", status=2, stderr="without '\\)'")
    tool(path, "--from", "noon", status=2, stderr="--from wants a time")


@suite.test("a range by packets is the same as a range by events")
def ranges(run):
    path = f"{run.scratch}/t"
    events, _ = ctf_make.make(path, 3, nr_packets=12)
    times = sorted(e[0] for e in events)
    for i in range(0, len(times), max(1, len(times) // 9)):
        for k in range(i, len(times), max(1, len(times) // 5)):
            a, b = times[i], times[k]
            got = lines(path, "--from", f"@{a // 10**9}.{a % 10**9:09d}", "--to", f"@{b // 10**9}.{b % 10**9:09d}")
            check_equal([e["time_ns"] for e in got if e["type"] == "event"], [t for t in times if a <= t <= b], f"{a} to {b}")


@suite.test("every line is as docs/formats/print.schema.json says")
def schema(run):
    try:
        import jsonschema
    except ImportError:
        raise Skip("python3-jsonschema is not installed") from None
    validator = jsonschema.Draft202012Validator(json.loads((ROOT / "docs" / "formats" / "print.schema.json").read_text()))
    helper("known", f"{run.scratch}/known")
    ctf_make.make(f"{run.scratch}/made", 6)
    data = pathlib.Path(f"{run.scratch}/made/s_0").read_bytes()
    pathlib.Path(f"{run.scratch}/made/s_0").write_bytes(data[:-50])
    out = subprocess.run([TOCSIN, "print", "--json", f"{run.scratch}/known", f"{run.scratch}/made"], capture_output=True, check=False)
    seen = {}
    for line in out.stdout.decode().splitlines():
        value = json.loads(line)
        errors = list(validator.iter_errors(value))
        check(not errors, f"{line[:200]}: {errors[:1]}")
        seen[value["type"]] = seen.get(value["type"], 0) + 1
    check({"event", "lost", "cut"} <= seen.keys(), f"lines of {seen}")


@suite.test("lines for people")
def text(run):
    helper("known", f"{run.scratch}/t")
    out = tool(f"{run.scratch}/t", "-n", "2", "--time", "date").splitlines()
    check_equal(out[0], '2023-11-14 22:13:25.000000000 +0.000000000 process what=forked pid=4800 parent=4711 comm="postgres"',
                "first line")
    check(out[1].startswith("2023-11-14 22:13:25.010003100 +0.010003100 fired number=7 "), out[1])


# ---- broken traces

@suite.test("a stream that is cut is read up to its last whole packet")
def cut(run):
    path = f"{run.scratch}/t"
    ctf_make.make(path, 5)
    whole = lines(path)
    data = pathlib.Path(f"{path}/s_1").read_bytes()
    for keep in range(0, len(data), max(1, len(data) // 23)):
        pathlib.Path(f"{path}/s_1").write_bytes(data[:keep])
        done = subprocess.run([TOCSIN, "print", "--json", "--strict", path], capture_output=True, timeout=60, check=False)
        got = [json.loads(line) for line in done.stdout.decode().splitlines()]
        events = [e for e in got if e["type"] == "event"]
        rest = [e for e in whole if e["type"] == "event" and e["stream"] != "s_1"]
        check_equal([e for e in events if e["stream"] != "s_1"], rest, f"other streams, {keep} bytes kept")
        mine = [e for e in whole if e["type"] == "event" and e["stream"] == "s_1"]
        check_equal([e for e in events if e["stream"] == "s_1"], mine[:len(events) - len(rest)], f"{keep} bytes kept")
        told = [e for e in got if e["type"] == "cut"]
        check(len(told) <= 1 and done.returncode in (0, 4), f"{keep}: {told} {done.returncode} {done.stderr}")
        if told:
            check(re.search(r"s_1' byte \d+: ", told[0]["text"]), told[0]["text"])
            check_equal(done.returncode, 4, "status with --strict")


@suite.test("compressed files are read as if they were not", needs=("program:zstd",))
def compressed(run):
    path = f"{run.scratch}/t"
    ctf_make.make(path, 9, nr_packets=40)
    plain = lines(path)

    def pack(*args):
        subprocess.run(["zstd", "-q", "--rm", *args, *(f"{path}/{f}" for f in os.listdir(path))], check=True)
    def restem(events):
        return [{**e, "stream": e["stream"].removesuffix(".zst")} for e in events]
    pack()
    check_equal(sorted(os.listdir(path))[0], "metadata.zst", "files")
    check_equal(restem(lines(path)), plain, "events")
    check_equal(restem(lines(f"{path}/..")), plain, "found from above")
    at = [e["time_ns"] for e in plain][len(plain) // 2]
    check_equal(restem(lines(path, "--from", f"@{at // 10**9}.{at % 10**9:09d}")), [e for e in plain if e["time_ns"] >= at], "--from")
    name = f"{path}/s_0.zst"
    data = pathlib.Path(name).read_bytes()
    events = [e for e in plain if e["type"] == "event"]
    first, rest = [[e for e in events if (e["stream"] == "s_0") == mine] for mine in (True, False)]
    for keep in range(1, len(data), max(1, len(data) // 40)):
        pathlib.Path(name).write_bytes(data[:keep])
        got = restem(e for e in lines(path, stderr=rf"s_0.zst' byte {keep}: ") if e["type"] == "event")
        check_equal([e for e in got if e["stream"] != "s_0"], rest, f"other streams, {keep} bytes kept")
        mine = [e for e in got if e["stream"] == "s_0"]
        check_equal(mine, first[:len(mine)], f"{keep} bytes kept")
    draw = random.Random(3)
    for _ in range(40):
        bad = bytearray(data)
        bad[draw.randrange(len(bad))] ^= 1 << draw.randrange(8)
        pathlib.Path(name).write_bytes(bad)
        done = subprocess.run([TOCSIN, "print", "--json", path], capture_output=True, timeout=60, check=False)
        check(done.returncode in (0, 2), f"status {done.returncode}: {done.stderr!r}")
        got = restem(e for e in map(json.loads, done.stdout.decode().splitlines()) if e["type"] == "event")
        check([e for e in got if e["stream"] != "s_0"] == rest, "other streams")
        check(b"s_0.zst' byte " in done.stderr or got == events, f"{done.stderr!r}")
    pathlib.Path(name).write_bytes(data)
    subprocess.run(["zstd", "-q", "-d", name], check=True)  # killed between making the one and removing the other
    check_equal(restem(lines(path)), plain, "with a file both plain and compressed")


@suite.test("a file that unpacks to very much takes no more memory than a packet", needs=("program:zstd",))
def bomb(run):
    path = f"{run.scratch}/t"
    helper("known", path)
    want = lines(path)
    with open(f"{path}/watch_0", "ab") as stream:
        stream.truncate(3 << 30)  # zeros: no packet begins there
    subprocess.run(["zstd", "-q", "--rm", f"{path}/watch_0"], check=True)
    done = subprocess.run(["sh", "-c", 'ulimit -v 300000; exec "$@"', "sh", TOCSIN, "print", "--json", path], capture_output=True,
                          timeout=60, check=False)
    check_equal(done.returncode, 2, done.stderr.decode())
    check(b"watch_0.zst' byte " in done.stderr and b" unpacked: no packet begins here" in done.stderr, done.stderr)
    got = [json.loads(line) for line in done.stdout.decode().splitlines()]
    check_equal([{**e, "stream": "watch_0"} for e in got if e["type"] == "event"], want, "events before it")


@suite.test("random bytes in a trace are an error at most")
def hostile(run):
    draw = random.Random(11)
    sources = []
    for seed in (1, 2, 4, 8):
        ctf_make.make(f"{run.scratch}/s{seed}", seed, version=1 + seed // 4 % 2)
        sources.append(f"{run.scratch}/s{seed}")
    helper("known", f"{run.scratch}/known")
    sources.append(f"{run.scratch}/known")
    counts = {}
    for turn in range(int(os.environ.get("PRINT_HOSTILE", "120"))):
        path = f"{run.scratch}/h"
        shutil.copytree(draw.choice(sources), path)
        victim = draw.choice(sorted(os.listdir(path)))
        data = bytearray(pathlib.Path(f"{path}/{victim}").read_bytes())
        for _ in range(draw.choice([1, 1, 4, 40])):
            at = draw.randrange(len(data))
            data[at:at + draw.choice([1, 4, 8])] = draw.choice([b"\0" * 8, b"\xff" * 8, draw.randbytes(8)])[:draw.choice([1, 4, 8])]
        pathlib.Path(f"{path}/{victim}").write_bytes(data[:draw.randrange(len(data))] if draw.random() < 0.2 else data)
        done = subprocess.run([TOCSIN, "print", draw.choice(["--json", "--time=date"]), path], capture_output=True, timeout=30,
                              check=False)
        check(done.returncode in (0, 2), f"turn {turn}, {victim}: status {done.returncode} {done.stderr[-300:]}")
        counts[done.returncode] = counts.get(done.returncode, 0) + 1
        if done.returncode == 2:
            check(path.encode() in done.stderr, f"turn {turn}: {done.stderr!r} names no file")
        shutil.rmtree(path)
    run.note(f"exit statuses {counts}")


@suite.test("directories that are no traces, or hold more than streams")
def odd_directories(run):
    path = f"{run.scratch}/t"
    os.makedirs(path)
    tool(path, status=2, stderr="no trace in")
    tool(f"{path}/none", status=2, stderr="No such file|no such file")
    pathlib.Path(f"{path}/metadata").write_bytes(b"")
    tool(path, status=2, stderr="metadata")
    helper("known", f"{run.scratch}/k")
    want = lines(f"{run.scratch}/k")
    os.mkdir(f"{run.scratch}/k/index")
    pathlib.Path(f"{run.scratch}/k/index/watch_0.idx").write_bytes(b"\0" * 100)
    pathlib.Path(f"{run.scratch}/k/.hidden").write_bytes(b"x")
    pathlib.Path(f"{run.scratch}/k/empty").write_bytes(b"")
    os.symlink(".", f"{run.scratch}/k/cycle")
    check_equal(lines(f"{run.scratch}/k"), want, "with things beside the streams")
    check_equal(lines(f"{run.scratch}/k", f"{run.scratch}/k/."), want, "the same twice")
    os.mkfifo(f"{run.scratch}/k/pipe")
    tool(f"{run.scratch}/k", status=2, stderr="pipe': not a regular file")
    os.unlink(f"{run.scratch}/k/pipe")
    os.symlink("/nowhere", f"{run.scratch}/k/dangling")
    check_equal(lines(f"{run.scratch}/k"), want, "with a link to nowhere")


@suite.test("several traces are one row of events")
def several(run):
    made = []
    for seed in (21, 22):
        made += [(e[0], e[1]) for e in ctf_make.make(f"{run.scratch}/all/deep/t{seed}", seed)[0]]
    got = [(e["time_ns"], e["name"]) for e in lines(f"{run.scratch}/all") if e["type"] == "event"]
    check_equal([t for t, _ in got], sorted(t for t, _ in made), "times")
    check_equal(sorted(got), sorted(made), "events")


# ---- following, and traces of others

@suite.test("--follow shows a trace as it grows")
def follow(run):
    path = f"{run.scratch}/t"
    writer = subprocess.Popen([os.environ["TOCSIN_CTF_WRITE"], "endless", path], stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 10
        while not os.path.exists(f"{path}/watch_0") and time.monotonic() < end:
            time.sleep(0.01)
        reader = subprocess.Popen([TOCSIN, "print", "--json", "--follow", "-n", "3000", path], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        time.sleep(0.2)
    finally:
        writer.kill()
        writer.wait()
    try:
        out, errors = reader.communicate(timeout=20)
    finally:
        reader.kill()
    check_equal((reader.returncode, errors), (0, b""), "status and standard error")
    got = out.decode().splitlines()
    check_equal(got, tool("--json", "-n", "3000", path).splitlines(), "events")


@suite.test("--follow goes from chunk to chunk, also when old ones are removed", needs=("program:babeltrace2",))
def chunks(run):
    program, path, nr = target_path("record_emit"), f"{run.scratch}/t", 20000
    recorder = subprocess.Popen([TOCSIN, "record", "-o", path, "--rotate", "500ms", "--keep", "3", "--", program, "count", str(nr), "150000"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    run.defer(recorder.wait)
    run.defer(recorder.kill)
    end = time.monotonic() + 10
    while not os.path.exists(f"{path}/chunk_000001/metadata") and recorder.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    live = subprocess.run([TOCSIN, "print", "--json", "--follow", path], capture_output=True, timeout=60, check=False)
    errors = recorder.communicate(timeout=30)[1].decode()
    check_equal((recorder.returncode, live.returncode, live.stderr), (0, 0, b""), f"statuses, and what print says\n{errors}\n")
    left = sorted(p.name for p in pathlib.Path(path).iterdir())
    check(len(left) <= 4 and left[-1] > "chunk_000004", f"chunks came and went: {left}")
    shown = [json.loads(line) for line in live.stdout.decode().splitlines()]
    numbers = [e["fields"]["n"] for e in shown if e["type"] == "event" and e["name"] == "record:count"]
    check_equal(numbers, list(range(nr)), "numbers")
    check_equal(shown[-1]["name"], "summary", "last event")


@suite.test("what tocsin record writes, live and afterwards", needs=("program:babeltrace2",))
def recorded(run):
    program, path, nr = target_path("record_emit"), f"{run.scratch}/t", 3000
    recorder = subprocess.Popen([TOCSIN, "record", "-o", path, "--", program, "count", str(nr), "100000"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    run.defer(recorder.wait)
    run.defer(recorder.kill)
    end = time.monotonic() + 10
    while not os.path.exists(f"{path}/session_0") and recorder.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    live = subprocess.run([TOCSIN, "print", "--json", "--follow", path], capture_output=True, timeout=60, check=False)
    errors = recorder.communicate(timeout=30)[1].decode()
    check_equal((recorder.returncode, live.returncode, live.stderr), (0, 0, b""), f"statuses, and what print says\n{errors}\n")
    after = lines(path)
    shown = [json.loads(line) for line in live.stdout.decode().splitlines()]
    for a, b in zip(shown, after):  # by the line of the clock that was known then, and by the one that was drawn in the end
        check(abs(a["time_ns"] - b["time_ns"]) <= 10000, f"live {a}, afterwards {b}")
    check_same([{**e, "time_ns": 0} for e in shown], [{**e, "time_ns": 0} for e in after], "live and afterwards")
    check_equal([e["fields"]["n"] for e in after if e["name"] == "record:count"], list(range(nr)), "numbers")
    check_equal(after[-1]["name"], "summary", "last event")
    compare(path)


@suite.test("what tocsin record writes with --ctf 2")
def recorded_two(run):
    program, path, nr = target_path("record_emit"), f"{run.scratch}/t", 3000
    begin = time.time_ns()
    done = subprocess.run([TOCSIN, "record", "--ctf", "2", "-o", path, "--", program, "count", str(nr)], capture_output=True,
                          timeout=60, check=False)
    check_equal(done.returncode, 0, f"status of record\n{done.stderr.decode()}")
    got = lines(path)
    check_equal([e["fields"]["n"] for e in got if e["name"] == "record:count"], list(range(nr)), "numbers")
    outside = [e for e in got if not begin <= e["time_ns"] <= time.time_ns()]
    check(not outside, f"times from {begin} on: {outside[:1]}")


# ---- through babeltrace2's library

def needs_library(run):
    done = subprocess.run([TOCSIN, "print", "/dev/null"], capture_output=True, timeout=60, check=False)
    if b"without which this tocsin was built" in done.stderr:
        raise Skip("built without libbabeltrace2")


def read_both(path, freq_exact=True):
    """Each stream's events through our reader and through the library, which must be equal."""
    def streams(events):
        rows = {}
        for e in events:
            if e["type"] == "event":
                rows.setdefault(e["stream"], []).append({k: v for k, v in e.items() if k not in ("stream", "trace")})
        return rows
    own, other = streams(lines(path)), streams(lines("--reader", "babeltrace2", path))
    check_equal(sorted(own), sorted(other), "streams")
    for name, events in own.items():
        check_equal(len(other[name]), len(events), f"events of {name}")
        for a, b in zip(events, other[name]):
            # It divides in floating point where the frequency is not 10^9.
            check(a["time_ns"] == b["time_ns"] or (not freq_exact and abs(a["time_ns"] - b["time_ns"]) <= 512), f"{a}, library {b}")
            check_equal({**b, "time_ns": 0}, {**a, "time_ns": 0}, f"event of {name}, library and own")
    return sum(map(len, own.values()))


@suite.test("babeltrace2's library and our reader agree", needs=("program:babeltrace2",))
def both_readers(run):
    needs_library(run)
    helper("known", f"{run.scratch}/known")
    nr = read_both(f"{run.scratch}/known")
    subprocess.run([TOCSIN, "record", "-q", "-o", f"{run.scratch}/recorded", "--", target_path("record_emit"), "count", "500"],
                   check=True, capture_output=True, timeout=60)
    nr += read_both(f"{run.scratch}/recorded", False)
    # As LTTng's kernel tracer has it: babeltrace2's own sink writes a trace with the CPU in each packet.
    subprocess.run(["babeltrace2", f"{run.scratch}/known", "-c", "sink.ctf.fs", "-p", f'path="{run.scratch}/sunk",assume-single-trace=true'],
                   check=True, capture_output=True, timeout=60)
    nr += read_both(f"{run.scratch}/sunk")
    run.note(f"{nr} events")
    start = lines(f"{run.scratch}/known")[0]["time_ns"]
    at = f"@{start // 10**9}.{start % 10**9:09d}"
    check_equal(len(lines("--reader", "babeltrace2", "--to", at, f"{run.scratch}/known")), 1, "--to")
    check_equal(len(lines("--reader", "babeltrace2", "-w", "number == 7 && index == 0", f"{run.scratch}/known")),
                len(lines("-w", "number == 7 && index == 0", f"{run.scratch}/known")), "--where")


@suite.test("what only a plugin of babeltrace2 knows", needs=("program:babeltrace2",))
def plugins(run):
    needs_library(run)
    log = pathlib.Path(f"{run.scratch}/dmesg")
    log.write_text("[    0.000000] Linux version 6.1\n[    1.250000] eth0: link up\n[    2.500000] eth0: link \x1b[31m down\n")
    got = lines("--reader", "text.dmesg", log)
    check_equal([e["fields"]["str"] for e in got], ["Linux version 6.1", "eth0: link up", "eth0: link \x1b[31m down"], "messages")
    check_equal([e["time_ns"] for e in got], [0, 1250000000, 2500000000], "times")
    check("\x1b" not in tool("--reader", "text.dmesg", log), "an escape on its way to a terminal")
    tool(log, status=2, stderr="no plugin of babeltrace2 reads")
    tool("--reader", "text.nothing", log, status=2, stderr="babeltrace2 has no source 'text.nothing'")
    tool("/dev/null", status=2, stderr="no plugin of babeltrace2 reads '/dev/null'")
    tool("--reader", "own", log, status=2, stderr="is no directory")
    tool("--reader", "other", log, status=2, stderr="--reader wants auto, own, babeltrace2 or PLUGIN.CLASS")
    tool("net://127.0.0.1:1/host/nobody/none", status=2, stderr="babeltrace2 cannot read|read by babeltrace2")


LTTNG_HEADER = r"""
#undef TRACEPOINT_PROVIDER
#define TRACEPOINT_PROVIDER demo
#undef TRACEPOINT_INCLUDE
#define TRACEPOINT_INCLUDE "./tp.h"
#if !defined(TP_H) || defined(TRACEPOINT_HEADER_MULTI_READ)
#define TP_H
#include <lttng/tracepoint.h>
TRACEPOINT_ENUM(demo, color, TP_ENUM_VALUES(ctf_enum_value("red", 0) ctf_enum_range("mid", 1, 5) ctf_enum_value("blue", 6)))
TRACEPOINT_EVENT(demo, all, TP_ARGS(int, n, const char *, s, const int *, arr, int, len),
	TP_FIELDS(ctf_integer(int, n, n) ctf_string(s, s) ctf_sequence(int, seq, arr, size_t, len) ctf_array(short, fix,
	(const short *)arr, 3) ctf_float(double, d, n * 0.5) ctf_float(float, f, n * 0.25f) ctf_enum(demo, color, int, c, n % 9)
	ctf_sequence_text(char, txt, s, size_t, strlen(s)) ctf_array_text(char, at, "abcdefgh", 4) ctf_integer(signed char, neg, -n)))
TRACEPOINT_EVENT(demo, small, TP_ARGS(int, n), TP_FIELDS(ctf_integer(int, n, n)))
#endif
#include <lttng/tracepoint-event.h>
"""
LTTNG_PROGRAM = r"""
#include <string.h>
#define TRACEPOINT_CREATE_PROBES
#define TRACEPOINT_DEFINE
#include "tp.h"
int main(void)
{
	int arr[16];
	const char *s[] = {"hello", "tab\there", "quote\"x", "z"};
	for (int i = 0; i < 2000; i++) {
		for (int k = 0; k < 16; k++)
			arr[k] = i * k - 3;
		tracepoint(demo, all, i, s[i % 4], arr, i % 16);
		tracepoint(demo, small, i);
	}
	return 0;
}
"""


@suite.test("a user-space trace of LTTng", needs=("root", "program:lttng-sessiond", "program:lttng", "program:babeltrace2"))
def lttng(run):
    if not os.path.exists("/usr/include/lttng/tracepoint.h") and not list(pathlib.Path("/usr/include").glob("*/lttng/tracepoint.h")):
        raise Skip("liblttng-ust-dev is not installed")
    home, trace = f"{run.scratch}/home", f"{run.scratch}/trace"
    os.makedirs(home)
    pathlib.Path(f"{home}/tp.h").write_text(LTTNG_HEADER)
    pathlib.Path(f"{home}/app.c").write_text(LTTNG_PROGRAM)
    subprocess.run(["cc", "-I.", "app.c", "-o", "app", "-llttng-ust", "-llttng-ust-common", "-ldl"], cwd=home, check=True,
                   capture_output=True)
    env = {**os.environ, "LTTNG_HOME": home, "LTTNG_UST_REGISTER_TIMEOUT": "5000"}
    daemon = subprocess.Popen(["lttng-sessiond", "--no-kernel"], env=env, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    run.defer(daemon.wait)
    run.defer(daemon.terminate)

    def session(*words):
        return subprocess.run(["lttng", "--no-sessiond", *words], env=env, capture_output=True, timeout=30, check=False)
    end = time.monotonic() + 10
    while session("create", "one", f"--output={trace}").returncode and time.monotonic() < end:
        time.sleep(0.1)
    for words in (["enable-channel", "-u", "c", "--subbuf-size=4k", "--num-subbuf=4"], ["enable-event", "-u", "-c", "c", "demo:*"],
                  ["add-context", "-u", "-c", "c", "-t", "vpid", "-t", "vtid", "-t", "procname"], ["start"]):
        done = session(*words)
        if done.returncode:
            raise Skip(f"lttng {words[0]}: {done.stderr.decode()[-200:]}")
    subprocess.run([f"{home}/app"], env=env, check=True, timeout=30)
    session("stop")
    session("destroy")
    run.note(f"{compare(trace)} events")
    if b"without which" not in subprocess.run([TOCSIN, "print", "/dev/null"], capture_output=True, check=False).stderr:
        run.note(f"{read_both(trace)} through babeltrace2's library")
    got = lines(trace)
    check(any(e["type"] == "event" for e in got), "no events")
    first = tool(trace, "-n", "1")
    check(re.search(r" \[\d\] app \d+ demo:all n=0 ", first), first)


if __name__ == "__main__":
    suite.main()
