#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`tocsin query` against what `tocsin print --json` says of the same traces, which babeltrace2 has been asked about, and
the same tables in another program with SQLite in it."""

import json
import os
import pathlib
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import ctf_make
from ctf_babeltrace import helper
from tocsin import ROOT, Skip, Suite, TOCSIN, check, check_equal

EXTENSION = os.environ.get("TOCSIN_QUERY", str(TOCSIN.parent / "src" / "query" / "tocsin_query.so"))
BASE = ("time_ns", "pid", "tid", "comm", "cpu")
SEEDS = 12

suite = Suite(needs=("tool",))


def run(command, *args, status=0, stderr="", stdin=None):
    done = subprocess.run([TOCSIN, command, *map(str, args)], capture_output=True, timeout=60, check=False, input=stdin)
    errors = done.stderr.decode()
    check_equal(done.returncode, status, f"status of {command} {args}\n{errors}\n")
    if stderr == "":
        check_equal(errors, "", f"standard error of {command} {args}")
    else:
        check(re.search(stderr, errors), f"{stderr!r} expected on standard error, not {errors!r}")
    return done.stdout.decode()


def rows(path, sql, **more):
    return [json.loads(line) for line in run("query", path, "--json", sql, **more).splitlines()]


def printed(path, *args, **more):
    return [json.loads(line) for line in run("print", "--json", path, *args, **more).splitlines()]


def nodes(value, path=""):
    """(name, value) of everything in an object, structures and what is in them."""
    for name, below in value.items():
        yield path + name, below
        if isinstance(below, dict):
            yield from nodes(below, f"{path}{name}.")


def same(cell, want):
    """A number over 2^63 - 1 is its digits, what is no number is NULL, what has parts is JSON."""
    if isinstance(want, (dict, list)):
        try:
            return json.loads(cell) == want
        except (TypeError, ValueError):
            return False
    if isinstance(want, int) and want > 2**63 - 1:
        return cell == str(want)
    return cell == want


def random_trace(run_, seed, **more):
    path = f"{run_.scratch}/q{seed}"
    ctf_make.make(path, seed, **more)
    return path, printed(path)


def renamed_trace(run_, seed, name):
    """A trace in which one kind of event is called otherwise; its path."""
    for seed in range(seed, seed + 20):
        path, _ = random_trace(run_, seed)
        metadata = pathlib.Path(path, "metadata")
        text = metadata.read_bytes()
        if text.startswith(b"/* CTF"):  # else it is in packets, with sizes
            old = re.search(rb'event \{[^}]*?name = "([^"]*)"', text, re.S)[1]
            metadata.write_bytes(text.replace(b'name = "%s"' % old, b'name = "%s"' % name.encode()))
            return path
    raise AssertionError("no trace with plain metadata")


@suite.test("events has every event with its fields, and each event's own table has them in columns")
def tables(run_):
    nr = cells = 0
    for seed in range(SEEDS):
        path, items = random_trace(run_, seed, version=1 + seed % 2)
        events = [e for e in items if e["type"] == "event"]
        got = ask(path, "SELECT * FROM events")
        check_equal(len(got), len(events), f"events, seed {seed}")
        for a, b in zip(got, events):
            check_equal((a["time_ns"], a["name"], a["stream"]), (b["time_ns"], b["name"], b["stream"]), f"event, seed {seed}")
            check_equal(json.loads(a["fields"]), b.get("fields", {}), f"fields, seed {seed}")
        for name in sorted({e["name"] for e in events}):
            mine = [e for e in events if e["name"] == name]
            own = ask(path, f'SELECT * FROM "{name}"')
            check_equal(len(own), len(mine), f"rows of {name}, seed {seed}")
            for row, event in zip(own, mine):
                cells += compare(row, event, f"{name}, seed {seed}")
        nr += len(events)
        shutil.rmtree(path)
    check(cells > nr, f"only {cells} cells compared")
    run_.note(f"{nr} events, {cells} cells")


def ask(path, sql):
    """Traces of ctf_make have losses, which query says on standard error."""
    return rows(path, sql, stderr=r"^(tocsin: \d+ events are missing in the traces: SELECT \* FROM gaps\n)?$")


def compare(row, event, what):
    known = {}
    for scope in ("stream_context", "event_context", "fields"):
        for name, value in nodes(event.get(scope, {})):
            known.setdefault(name.lower(), []).append(value)
    nr = 0
    for column, cell in row.items():
        name = column.lower()
        wanted = known.get(name) or known.get(re.sub(r"_\d+$", "", name))
        if column in BASE and wanted is None:
            continue
        check(wanted is not None, f"{what}: column {column} is no field of {sorted(known)}")
        check(any(same(cell, w) for w in wanted), f"{what}: column {column} is {cell!r}, not one of {wanted!r}")
        nr += 1
    return nr


@suite.test("ranges of time, names and processes in WHERE give the rows that they say")
def pushed_down(run_):
    r = random.Random(7)
    for seed in range(4):
        path, items = random_trace(run_, 100 + seed)
        events = [e for e in items if e["type"] == "event"]
        times = [e["time_ns"] for e in events]
        for _ in range(12):
            a, b = sorted((r.choice(times), r.choice(times)))
            name = r.choice(events)["name"]
            cases = {
                f"time_ns >= {a} AND time_ns <= {b}": lambda e: a <= e["time_ns"] <= b,
                f"time_ns > {a} AND time_ns < {b}": lambda e: a < e["time_ns"] < b,
                f"time_ns BETWEEN {b + 1} AND {a}": lambda e: False,
                f"time_ns = {a}": lambda e: e["time_ns"] == a,
                f"time_ns IN ({a}, {b})": lambda e: e["time_ns"] in (a, b),
                f"time_ns >= '{a}'": lambda e: e["time_ns"] >= a,
                f"time_ns + 0 >= {a}": lambda e: e["time_ns"] >= a,
                f"name = '{name}' AND time_ns >= {a}": lambda e: e["name"] == name and e["time_ns"] >= a,
                f"name IN ('{name}', 'none')": lambda e: e["name"] == name,
                f"name > '{name}'": lambda e: e["name"] > name,
            }
            for where, holds in cases.items():
                got = ask(path, f"SELECT count(*) AS n FROM events WHERE {where}")
                check_equal(got[0]["n"], sum(map(holds, events)), f"{where}, seed {seed}")
        for row in ask(path, "SELECT pid, count(*) AS n FROM events WHERE pid IS NOT NULL GROUP BY pid"):
            got = ask(path, f"SELECT count(*) AS n FROM events WHERE pid = {row['pid']}")
            check_equal(got[0]["n"], row["n"], f"pid {row['pid']}, seed {seed}")
        back = ask(path, "SELECT time_ns FROM events ORDER BY time_ns DESC")
        check_equal([b["time_ns"] for b in back], sorted(times, reverse=True), f"the other way round, seed {seed}")


@suite.test("gaps has what the trace says is missing")
def gaps(run_):
    nr = 0
    for seed in range(SEEDS):
        path, items = random_trace(run_, 200 + seed)
        lost = [(e["time_ns"], e["events"], e["begin_ns"], e["end_ns"]) for e in items if e["type"] == "lost"]
        got = [(g["time_ns"], g["events"], g["begin_ns"], g["end_ns"]) for g in ask(path, "SELECT * FROM gaps WHERE what = 'lost'")]
        check_equal(got, lost, f"seed {seed}")
        nr += len(lost)
    check(nr, "no trace had a loss")


@suite.test("a stream that is cut is told of, and --strict makes it an exit status")
def cut(run_):
    path, items = random_trace(run_, 300)
    stream = max((p for p in pathlib.Path(path).iterdir() if p.name != "metadata"), key=lambda p: p.stat().st_size)
    with open(stream, "r+b") as f:
        f.truncate(stream.stat().st_size - 3)
    run("query", path, "SELECT count(*) FROM events", stderr=re.escape(stream.name))
    run("query", path, "--strict", "SELECT count(*) FROM events", status=4, stderr=re.escape(stream.name))
    got = rows(path, "SELECT what, text FROM gaps WHERE what = 'cut'", stderr=".")
    check_equal([g["what"] for g in got], ["cut"], "what is cut")
    check(stream.name in got[0]["text"], got[0]["text"])


@suite.test("views of a watch's trace: sections, violations, spells, causes, and where the time went")
def views(run_):
    path = f"{run_.scratch}/watch"
    helper("known", path)
    items = [e for e in printed(path) if e["type"] == "event"]

    def of(name):
        return [{"time_ns": e["time_ns"], **e["fields"]} for e in items if e["name"] == name]

    late = {(v["number"], v["time_ns"]): v for v in of("violation")}
    check_equal([(v["number"], v["elapsed_ns"], v["verdict"]) for v in rows(path, "SELECT * FROM violations")],
                [(v["number"], v["elapsed_ns"], v["verdict"]) for v in of("violation")], "violations")
    spells = [s for s in of("spell") if (s["number"], s["time_ns"]) in late]
    check(len(spells) < len(of("spell")), "a notice has the spell of another number: not one of these")
    check_equal([(s["number"], s["index"], s["cause"], s["waker_comm"], s["section"], s["ns"]) for s in
                 rows(path, "SELECT * FROM spells ORDER BY time_ns, number, \"index\"")],
                [(s["number"], s["index"], s["cause"], s["waker_comm"], late[s["number"], s["time_ns"]]["section"],
                  s["in_ns"] - s["out_ns"]) for s in spells], "spells")
    check_equal(sum(r["ns"] for r in rows(path, "SELECT ns FROM off_cpu")),
                sum(s["in_ns"] - s["out_ns"] for s in spells), "sum of off_cpu")
    for row in rows(path, "SELECT number, min(begin_ns) AS b, max(end_ns) AS e, sum(ns) AS ns FROM critical_path GROUP BY number"):
        v = next(v for v in late.values() if v["number"] == row["number"])
        check_equal(row["e"], v["end_ns"], "the path ends where the section does")
        check_equal(row["ns"], row["e"] - row["b"], "the path has no hole")
    check_equal({r["name"]: r["count"] for r in rows(path, "SELECT place AS name, count FROM lost WHERE what = 'counter'")},
                {e["name"]: e["count"] for e in of("loss") if e["count"]}, "lost")
    check_equal(rows(path, "SELECT value FROM environment WHERE name = 'domain'"), [{"value": "watch"}], "environment")


@suite.test("user stacks and their frames")
def stacks(run_):
    path = f"{run_.scratch}/same"
    helper("same", path)
    want = [e["fields"] for e in printed(path) if e["type"] == "event" and e["name"] == "user_stack"]
    check(want, "no stacks")
    got = rows(path, "SELECT number, spell, reach, frames FROM stacks")
    check_equal([(g["number"], g["spell"], g["reach"], json.loads(g["frames"])) for g in got],
                [(w["number"], w["spell"], w["reach"], w["frames"]) for w in want], "stacks")
    got = rows(path, "SELECT depth, function, place, address FROM frames")
    check_equal(["\t".join((g["function"] or "?", g["place"] or "?:0", g["address"])) for g in got],
                [f for w in want for f in w["frames"]], "frames")
    check_equal([g["depth"] for g in got], [i for w in want for i in range(len(w["frames"]))], "depths")


@suite.test("views are empty where a trace has no such events, and a table of a name that is taken has another")
def absent(run_):
    path, _ = random_trace(run_, 400)
    for view in ("violations", "spells", "causes", "sections", "off_cpu", "wakers", "critical_path", "violation"):
        check_equal(ask(path, f"SELECT * FROM {view}"), [], view)
    path = renamed_trace(run_, 410, "events")
    check_equal(ask(path, 'SELECT count(*) AS n FROM "event:events"')[0]["n"],
                ask(path, "SELECT count(*) AS n FROM events WHERE name = 'events'")[0]["n"], "table event:events")


@suite.test("names that would be SQL are names")
def hostile(run_):
    evil = r'x\"); DROP TABLE y; --'
    path = renamed_trace(run_, 430, evil)
    quoted = evil.replace("\\", "").replace('"', '""')
    got = ask(path, f'SELECT count(*) AS n FROM "{quoted}"')
    check_equal(got, ask(path, "SELECT count(*) AS n FROM events WHERE name LIKE 'x\"%'"), "events of the name")
    check(got[0]["n"], "no events")
    check("DROP" in run("query", path, "--schema"), "--schema shows it")


@suite.test("forms: a table, CSV, JSON; SQL from a file and from standard input")
def forms(run_):
    path = f"{run_.scratch}/watch"
    helper("known", path)
    sql = "SELECT 'a,b' AS x, 1 AS n, NULL AS none, 'say \"x\"' AS y UNION ALL SELECT 'c', 23, 1.5, ''"
    check_equal(run("query", path, sql), 'x     n  none  y\n---  --  ----  -------\n'
                'a,b   1        say "x"\nc    23   1.5  \n', "table")
    check_equal(run("query", path, "--format", "csv", sql), 'x,n,none,y\r\n"a,b",1,,"say ""x"""\r\nc,23,1.5,\r\n', "CSV")
    check_equal(rows(path, sql), [{"x": "a,b", "n": 1, "none": None, "y": 'say "x"'},
                                  {"x": "c", "n": 23, "none": 1.5, "y": ""}], "JSON")
    file = pathlib.Path(run_.scratch, "q.sql")
    file.write_text("SELECT 1 AS a;\n-- a comment\nSELECT 2 AS b")
    check_equal(run("query", path, "--json", "--file", file), '{"a":1}\n{"b":2}\n', "two statements of a file")
    check_equal(run("query", path, "--json", "-f-", stdin=b"SELECT 3 AS c;"), '{"c":3}\n', "standard input")
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT i FROM n"
    check_equal([int(x) for x in run("query", path, many).split()[2:]], list(range(1, 3001)), "more rows than are kept")
    file.write_text("SELECT 1;\nSELECT\n  nope FROM events")
    run("query", path, "--file", file, status=2, stderr=r"q\.sql:3:3: error: no such column: nope\n  nope FROM events\n  \^")


@suite.test("the examples of docs/formats/query.md run")
def examples(run_):
    path = f"{run_.scratch}/watch"
    helper("known", path)
    found = re.findall(r"^ +`((?:SELECT|WITH) .*)`$", (ROOT / "docs" / "formats" / "query.md").read_text(), re.M)
    check_equal(len(found), 10, "examples")
    for sql in found:
        run("query", path, sql.replace('"server:reply"', "(SELECT 4096 AS bytes)"))


@suite.test("Ctrl-C ends a long statement, and a reader that goes away is no failure")
def interrupted(run_):
    path = f"{run_.scratch}/watch"
    helper("known", path)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT {} FROM n"
    child = subprocess.Popen([TOCSIN, "query", path, endless.format("max(i)")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=10)
    check_equal(child.returncode, 3, "status after SIGINT")
    child = subprocess.Popen([TOCSIN, "query", path, "--json", endless.format("i")], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
    check_equal(child.stdout.readline(), b'{"i":1}\n', "first line")
    child.stdout.close()
    check_equal((child.wait(timeout=10), child.stderr.read()), (0, b""), "after the pipe is closed")
    child.stderr.close()


@suite.test("the same tables in another program: the extension of SQLite")
def extension(run_):
    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        raise Skip("this Python's sqlite3 loads no extensions")
    path = f"{run_.scratch}/watch"
    helper("known", path)
    db = sqlite3.connect(f"{run_.scratch}/x.db")
    db.enable_load_extension(True)
    db.load_extension(EXTENSION.removesuffix(".so"))
    for wrong, text in ((f"'{run_.scratch}/none'", "cannot open"), ("NULL", "NULL"), ("", "path of a trace")):
        try:
            db.execute(f"SELECT tocsin_open({wrong})").fetchall()
            check(False, f"tocsin_open({wrong}) did not fail")
        except sqlite3.OperationalError as e:
            check(text in str(e), f"tocsin_open({wrong}): {e}")
    check_equal(db.execute("SELECT tocsin_open(?)", (path,)).fetchall(), [(1,)], "tocsin_open()")
    got = db.execute("SELECT number, section, cause, ns FROM spells ORDER BY time_ns, number, \"index\"").fetchall()
    check_equal(got, [tuple(r.values()) for r in
                      rows(path, "SELECT number, section, cause, ns FROM spells ORDER BY time_ns, number, \"index\"")], "spells")
    other, items = random_trace(run_, 500)
    check_equal(db.execute("SELECT tocsin_open(?)", (other,)).fetchall(), [(1,)], "tocsin_open() again")
    check_equal(db.execute("SELECT count(*) FROM events").fetchone()[0], sum(e["type"] == "event" for e in items), "events")
    db.close()
    # Nothing of it stays in the file.
    db = sqlite3.connect(f"{run_.scratch}/x.db")
    check_equal(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0], 0, "tables in the file")
    db.close()


if __name__ == "__main__":
    suite.main()
