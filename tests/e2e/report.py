#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`tocsin report`: what a trace says is what the watch said, and its page works in a browser."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import browser
import ctf_make
from tocsin import Skip, Suite, TOCSIN, check, check_equal

HELPER = os.environ.get("TOCSIN_CTF_WRITE", str(TOCSIN.parent / "tests" / "e2e" / "ctf_write"))

suite = Suite(needs=("tool",))


def report(*args, status=0, stderr=""):
    done = subprocess.run([TOCSIN, "report", *map(str, args)], capture_output=True, timeout=60, check=False,
                          env={**os.environ, "TZ": "UTC"})
    errors = done.stderr.decode()
    check_equal(done.returncode, status, f"status of report {args}\n{errors}\n")
    if stderr == "":
        check_equal(errors, "", f"standard error of report {args}")
    else:
        check(re.search(stderr, errors), f"{stderr!r} expected on standard error, not {errors!r}")
    return done.stdout.decode()


def made(run, kind):
    """A trace of a kind that the helper knows; the path, and what the helper printed."""
    path = f"{run.scratch}/{kind}"
    done = subprocess.run([HELPER, kind, path], capture_output=True, check=True)
    return path, done.stdout.decode().splitlines()


def many(run, size):
    """The trace of a watch that was killed, of at least so many bytes."""
    path = pathlib.Path(run.scratch, "many")
    writer = subprocess.Popen([HELPER, "endless", path], stdout=subprocess.DEVNULL)
    try:
        while not path.exists() or sum(f.stat().st_size for f in path.glob("watch_*")) < size:
            check(writer.poll() is None, "the helper ended")
    finally:
        writer.kill()
        writer.wait()
    return path


def data_of(page):
    """The lines of JSON in a page."""
    text = pathlib.Path(page).read_text(encoding="utf-8")
    block = re.search(r'<script type="application/x-ndjson" id="data">\n(.*?)</script>', text, re.S)[1]
    return [json.loads(line) for line in block.splitlines()]


# Names of threads are 16 bytes: one that is no UTF-8 takes three for each of them in the trace, and is cut.
@suite.test("the JSON lines of a trace are those that the watch printed")
def round_trip(run):
    path, lines = made(run, "same")
    want = [json.loads(line) for line in lines[:-1]]  # the last is the helper's own
    got = [json.loads(line) for line in report("--json", path).splitlines()]
    check_equal([g["type"] for g in got], [w["type"] for w in want], "kinds of lines")
    for g, w in zip(got, want):
        if w.get("stop_tid") == w.get("tid"):  # in the extreme one; in a trace this says that it stayed on its thread
            w.pop("stop_tid", None)
        check_equal(plain(g), plain(w), g["type"])
    check(any(w["type"] == "violation" and w["spells"] and w["causes"] for w in want), "nothing to compare")


def plain(value):
    """An empty text is written as '-' and read as empty, and where JSON can leave it out it is."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if v not in ("", "-")}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return re.sub("\ufffd.*", "\ufffd", value, flags=re.S) if isinstance(value, str) else value


@suite.test("text: the summary, and the worst first, as many as are wanted")
def worst(run):
    path, _ = made(run, "known")
    text = report(path)
    check("12345 ended" in text and "nothing was lost" not in text, text)
    check("late by the most (3 of 3)" in text, text)
    check_equal(len(re.findall(r"^\d\d:\d\d:\d\d\.\d{3} query", report(path, "--worst", "2"), re.M)), 2, "--worst 2")
    check("late by the most" not in report(path, "--worst", "0"), "--worst 0")
    some = report(path, "--section", "q*")
    check("only some sections" in some and "3 over their budget" in some, some)
    check("no violation of such a section" in report(path, "--section", "none"), "another section")
    check_equal(len(re.findall(r"still open", report(path, "--all"))), 2, "notices with --all: one line, and the summary's count")


@suite.test("many violations: the worst are the worst")
def heap(run):
    path = many(run, 3 << 20)
    lines = [json.loads(line) for line in report("--json", path).splitlines()]
    late = sorted((v["elapsed_ns"] - v["budget_ns"] for v in lines if v["type"] == "violation"), reverse=True)
    check(len(late) > 100, f"only {len(late)} violations")
    text = report(path, "--worst", "20")
    check("the watch did not come to its end" in text, text)
    check_equal(len(re.findall(r"^\d\d:\d\d:\d\d\.\d{3} ", text, re.M)), 20, "--worst 20")
    report("--strict", path)
    stream = next(f for f in pathlib.Path(path).iterdir() if f.name != "metadata")
    os.truncate(stream, stream.stat().st_size // 2 + 7)
    report("--strict", path, status=4, stderr=re.escape(stream.name))


@suite.test("a trace without a watch is said to be one, and a directory without a trace is refused")
def foreign(run):
    path = f"{run.scratch}/other"
    ctf_make.make(path, 3)
    text = report(path)
    check("no section was watched" in text and "tocsin print" in text, text)
    report(f"{run.scratch}/none", status=2, stderr="cannot open")
    report(path, "--html", f"{run.scratch}/no/such/folder/x.html", status=2, stderr="no such file or directory")
    check_equal(os.listdir(run.scratch), ["other"], "files left")


@suite.test("a page holds its data whatever stands in them, and takes the old one's place only when it is whole")
def page_data(run):
    path, _ = made(run, "same")
    metadata = pathlib.Path(path, "watch_0")
    raw = metadata.read_bytes()
    evil = b"</script><!--<script>"
    name = b"do_semtimedop"
    check(name in raw and len(evil) > len(name), "the stack of the sample")
    metadata.write_bytes(raw.replace(name, evil[:len(name)]))
    page = pathlib.Path(run.scratch, "report.html")
    page.write_text("old")
    report(path, "--html", page, "--worst", "0")
    text = page.read_text(encoding="utf-8")
    check_equal(text.lower().count("</script"), 2, "ends of scripts")
    lines = data_of(page)
    check(any(evil[:len(name)].decode() in json.dumps(line) for line in lines), "the name is in the data")
    check_equal([x for x in lines if x["type"] in ("violation", "fired", "summary")],
                [json.loads(x) for x in report("--json", path).splitlines() if json.loads(x)["type"] != "process"], "data")
    full = subprocess.run(["/bin/sh", "-c", f"ulimit -f 8; trap '' XFSZ; exec {TOCSIN} report {path} --html {page}"],
                          capture_output=True, check=False)
    check_equal(full.returncode, 3, f"status when the page cannot be written: {full.stderr}")
    check_equal(page.read_text(encoding="utf-8"), text, "the old page")
    check_equal(sorted(os.listdir(run.scratch)), ["report.html", "same"], "files left")


@suite.test("the page in a browser: points, zoom, search, the list, a violation, flames, themes, a phone")
def in_browser(run):
    if not browser.program():
        raise Skip("Chromium is not installed")
    path = many(run, 1 << 20)
    page_file = f"{run.scratch}/report.html"
    report(path, "--html", page_file, "--worst", "0")
    nr = sum(line["type"] == "violation" for line in data_of(page_file))
    with browser.Browser(run.scratch) as b:
        page = b.open(f"file://{page_file}")
        check_equal(page.run("document.getElementById('shown').textContent"), f"{nr} of {nr} violations", "what is shown")
        painted = "(c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; })(document.getElementById('time'))"
        dots = page.run(painted)
        check(dots > 500, f"{dots} pixels drawn")
        page.run("document.getElementById('time').focus()")
        for _ in range(10):
            page.key("+", 187)
        zoomed = int(page.wait(f"(t => parseInt(t) < {nr} && t)(document.getElementById('shown').textContent)").split()[0])
        check(0 < zoomed < nr, f"{zoomed} shown after zooming in")
        page.click("#zoom-out")
        page.click("#list .open", 2)
        check(not page.run("document.getElementById('detail').hidden"), "the violation is shown")
        check("row lock" in page.run("document.getElementById('detail-body').textContent"), "its verdict")
        check(page.run("document.querySelectorAll('.lanes rect').length") >= 3, "stretches of its lanes")
        page.type("#search", "no such thing")
        check_equal(page.run("document.getElementById('shown').textContent"), f"0 of {nr} violations", "nothing found")
        page.type("#search", "row lock")
        check_equal(page.run("document.getElementById('shown').textContent"), f"{nr} of {nr} violations", "all found")
        page.type("#flame-search", "semtimedop")
        check(page.run("document.querySelectorAll('#flame .found').length") >= 1, "a frame found")
        before = page.run("document.querySelectorAll('#flame button').length")
        page.click("#flame button", before - 1)
        check(page.run("document.querySelectorAll('#flame button').length") < before, "zoomed into the flames")
        page.click("#mode")
        check(page.run(painted) > 500, "the heat map is drawn")
        light = page.run("getComputedStyle(document.body).backgroundColor")
        page.type("#theme", "dark")
        check(page.run("getComputedStyle(document.body).backgroundColor") != light, "the dark theme")
        dark = b.open(f"file://{page_file}", dark=True)
        check(dark.run("getComputedStyle(document.body).backgroundColor") != light, "dark as the system is")
        phone = b.open(f"file://{page_file}", width=390, height=800, mobile=True)
        phone.click("#list .open")
        check(phone.run("document.documentElement.scrollWidth") <= 390, "wider than the phone")
        page.picture(f"{run.scratch}/page.png")
        check(os.path.getsize(f"{run.scratch}/page.png") > 20000, "a picture")
        check_equal([s for s in b.said if "willReadFrequently" not in s], [], "console, but for what this test does itself")
    run.note(f"{nr} violations, {os.path.getsize(page_file) / 2**20:.2f} MiB")


if __name__ == "__main__":
    suite.main()
