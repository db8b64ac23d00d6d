#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Probes of a program on its own sites (tests/tracee/probes.c): it says what it got and what it wanted; beside it, what is in
its rings and what its control page has counted."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from traced import Traced  # noqa: E402
from tocsin import Suite, check  # noqa: E402

PROGRAMS = pathlib.Path(os.environ["TOCSIN_TRACEE"])
PROBES, PLUGIN = PROGRAMS / "tracee_probes", PROGRAMS / "tracee_probes_plugin.so"
suite = Suite(needs=())


def run_mode(run, mode, *more, env=None, traced=True, ring_bytes=1 << 20):
    t = Traced(run, PROBES, mode, *more, "wait", env=env)
    if traced:
        t.page.session(ring_bytes=ring_bytes, side_bytes=ring_bytes)
        t.page.enable(lambda cls: cls.name != "quiet")
    t.go().until("done")
    facts = 0
    for line in t.lines:
        name, got, wanted = line.rsplit(" ", 2)
        check(got == wanted, f"{name} is {got}, not {wanted}")
        facts += 1
    check(facts > 1, "the program said nothing")
    return t


def losses(t, **wanted):
    found = t.page.losses()
    check(found == wanted, f"counted {found}, not {wanted}")


def names(t):
    return [r.cls.name for r in t.page.records()]


for traced in (True, False):
    what = "recorded" if traced else "not recorded"

    @suite.test(f"fields, {what}")
    def _(run, traced=traced):
        t = run_mode(run, "fields", traced=traced)
        check(len(names(t)) == traced, f"{len(names(t))} records")
        losses(t)
        t.finish()

    @suite.test(f"order, patterns and limits, {what}")
    def _(run, traced=traced):
        t = run_mode(run, "order", traced=traced)
        check(names(t) == ["step", "step", "other", "step"] * traced, f"records are {names(t)}")
        losses(t)
        t.finish()


@suite.test("registered and unregistered in constructors, handlers, callbacks and sections")
def _(run):
    losses(run_mode(run, "where"))


@suite.test("a callback that emits is recorded and calls nobody")
def _(run):
    t = run_mode(run, "storm")
    check(names(t) == ["step", "step", "other"] * 1000, "the records are not those of the program and its callback")
    losses(t, tracing_inside=2000)


for how, rseq in {"": {}, ", no rseq": {"TOCSIN_RSEQ": "0"}}.items():
    for stack in ("", "-stack"):
        where = (", on an alternate stack" if stack else "") + how

        @suite.test("a handler in a handler in a handler, each inside a callback, is traced" + where)
        def _(run, stack=stack, rseq=rseq):
            t = run_mode(run, "handlers" + stack, env=rseq)
            check(len(names(t)) == 40, f"{len(names(t))} records")
            losses(t)

        @suite.test("the handler of a trap inside a callback is not" + where)
        def _(run, stack=stack, rseq=rseq):
            t = run_mode(run, "trap" + stack, env=rseq)
            check(len(names(t)) == 20, f"{len(names(t))} records")
            losses(t, tracing_trap=10)


@suite.test("tracers with flags of their own: none traces itself, one may trace another")
def _(run):
    losses(run_mode(run, "tracers"), tracing_inside=102)


@suite.test("longjmp() out of a callback")
def _(run):
    losses(run_mode(run, "longjmp"), tracing_inside=1)


@suite.test("longjmp() out of a traced handler and the callback that it interrupted")
def _(run):
    losses(run_mode(run, "handler-longjmp"))


@suite.test("stacks of swapcontext()")
def _(run):
    losses(run_mode(run, "contexts"), tracing_inside=200)


@suite.test("threads that are cancelled at any instruction")
def _(run):
    run_mode(run, "cancel", ring_bytes=1 << 16)


@suite.test("children of vfork() and fork()")
def _(run):
    run_mode(run, "vfork")  # a ring that a child of vfork() made is in its own table of descriptors
    run_mode(run, "fork")


@suite.test("unregistering under load: no call is under way on return")
def _(run):
    run_mode(run, "unregister", ring_bytes=1 << 16)


@suite.test("libraries with sites and probes come and go")
def _(run):
    t = run_mode(run, "plugin", PLUGIN, ring_bytes=1 << 23)
    check(names(t).count("step") >= 500, f"{len(names(t))} records")


if __name__ == "__main__":
    suite.main()
