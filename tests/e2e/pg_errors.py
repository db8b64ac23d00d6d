#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Statements of PostgreSQL that fail: their stop never comes, and nothing may be made of that."""

import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import pg  # noqa: E402
import tocsin  # noqa: E402
from tocsin import check, check_equal  # noqa: E402

SECTION = "query: usdt:postgres:query__start .. query__done < 50ms"
TRIES = 3  # a statement of an idle server takes 50 ms only on a machine that stands still

suite = tocsin.Suite(needs=("tool", "root", "bpf", "btf"))


def talk(server, lines):
    """One session: (SQL, seconds that its client thinks afterwards)."""
    psql = server.psql(stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    psql.stdin.write("\\set ON_ERROR_STOP off\n")
    for sql, pause in lines:
        psql.stdin.write(sql + ";\n")
        psql.stdin.flush()
        time.sleep(pause)
    psql.stdin.close()
    psql.wait(20)


def watched(run, lines):
    try:
        with pg.Server() as server:
            watch = run.watch("-p", server.pid, "--follow-children", SECTION)
            talk(server, lines)
            check_equal(watch.interrupt(30), 0, "exit status of the watch")
    except pg.Unavailable as missing:
        raise tocsin.Skip(str(missing)) from missing
    return watch


@suite.test("a failing statement and a client that thinks: no alarm, and the next ones are seen")
def failing(run):
    for left in reversed(range(TRIES)):
        watch = watched(run, [("select 1/0", 0.3)] * 3 + [("select 1", 0.1)] * 5)
        found = watch.of_type("fired") + watch.violations()
        if not found or not left:
            break
    check_equal(found, [], "alarms")
    check(watch.section()["closed"] >= 5, f"only {watch.section()['closed']} statements were seen to end")


@suite.test("a lock wait that was given up is not blamed for the next statement")
def given_up(run):
    try:
        with pg.Server() as server:
            watch = run.watch("-p", server.pid, "--follow-children", SECTION)
            holder = server.psql(stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            holder.stdin.write("create table held(a int); insert into held values (1); begin; update held set a = 2;\n")
            holder.stdin.flush()
            time.sleep(0.5)
            talk(server, [("set lock_timeout = '200ms'", 0.1), ("update held set a = 3", 0.5), ("select pg_sleep(0.2)", 0.4)])
            holder.stdin.close()
            holder.wait(20)
            check_equal(watch.interrupt(30), 0, "exit status of the watch")
    except pg.Unavailable as missing:
        raise tocsin.Skip(str(missing)) from missing
    slept = [v for v in watch.violations() if 190e6 < v["elapsed_ns"] < 400e6 and "abandoned" not in v]
    check(slept, f"the statement that sleeps was not reported: {[v['verdict'] for v in watch.violations()]}")
    kinds = {cause["kind"] for v in slept for cause in v["causes"] if cause["share"] > 0.5}
    check("heavy_lock" not in kinds, f"the lock of the statement before is blamed: {[v['verdict'] for v in slept]}")


suite.main()
