#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs command lines and compares what they print with what is stored.

A case is a folder tests/golden/COMMAND/CASE with

    cmd     lines for sh, run in the folder; `tocsin` is the program under test
    out     its standard output
    err     its standard error
    status  its exit status

and whatever files `cmd` needs. `golden.py --update` writes out, err and status anew, for review with git diff.

    tests/golden/golden.py [--program build/tocsin] [--update] [COMMAND[/CASE]]...
"""

import argparse
import difflib
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PARTS = ("out", "err", "status")
TIMEOUT_S = 30


def find_cases(wanted):
    """Folders of the wanted cases, in order. A folder that is no case is an error, so that none is forgotten."""
    cases = []
    for folder in sorted(p for p in HERE.glob("*/*") if p.is_dir() and p.parent.name != "__pycache__"):
        name = f"{folder.parent.name}/{folder.name}"
        if not wanted or name in wanted or folder.parent.name in wanted:
            cases.append((name, folder))
    for item in wanted:
        if not any(item in (name, name.split("/")[0]) for name, _ in cases):
            sys.exit(f"golden.py: no case '{item}'")
    return cases


def run(folder, path):
    """{part: bytes} of a case as the program does it now."""
    env = {"PATH": path, "LC_ALL": "C", "TERM": "dumb", "HOME": "/"}
    # A file named "in" is standard input; without one there is nothing to read.
    stdin = folder / "in"
    with open(stdin if stdin.exists() else os.devnull, "rb") as stream:
        done = subprocess.run(["sh", "-c", (folder / "cmd").read_text()], cwd=folder, env=env, stdin=stream,
                              capture_output=True, timeout=TIMEOUT_S)
    return {"out": done.stdout, "err": done.stderr, "status": b"%d\n" % done.returncode}


def difference(part, stored, now):
    """Lines that tell how a part changed."""
    def lines(data):
        return data.decode("utf-8", "backslashreplace").splitlines()
    return list(difflib.unified_diff(lines(stored), lines(now), f"stored {part}", f"{part} now", lineterm="", n=2)) or \
        [f"{part} differs in how its lines end"]


def check(folder, path):
    """What is wrong with a case, as lines; none if it is right."""
    if not (folder / "cmd").is_file():
        return ["no file 'cmd'"]
    missing = [part for part in PARTS if not (folder / part).is_file()]
    if missing:
        return [f"no file '{part}'; golden.py --update writes it" for part in missing]
    try:
        now = run(folder, path)
    except subprocess.TimeoutExpired:
        return [f"still running after {TIMEOUT_S} s"]
    wrong = []
    for part in PARTS:
        stored = (folder / part).read_bytes()
        if stored != now[part]:
            wrong += difference(part, stored, now[part])
    return wrong


def main():
    parser = argparse.ArgumentParser(description="compare what commands print with what is stored")
    parser.add_argument("--program", type=pathlib.Path,
                        default=os.environ.get("TOCSIN", HERE.parents[1] / "build" / "tocsin"))
    parser.add_argument("--update", action="store_true", help="store what they print now")
    parser.add_argument("case", nargs="*", help="COMMAND or COMMAND/CASE")
    options = parser.parse_args()
    if not os.access(options.program, os.X_OK):
        sys.exit(f"golden.py: cannot run '{options.program}'")
    cases = find_cases(options.case)
    with tempfile.TemporaryDirectory(prefix="tocsin-golden.") as folder:
        os.symlink(pathlib.Path(options.program).resolve(), os.path.join(folder, "tocsin"))
        path = folder + os.pathsep + os.environ.get("PATH", os.defpath)
        if options.update:
            for _, case in cases:
                for part, data in run(case, path).items():
                    (case / part).write_bytes(data)
            return 0
        print(f"1..{len(cases)}")
        failed = 0
        for number, (name, case) in enumerate(cases, 1):
            wrong = check(case, path)
            failed += bool(wrong)
            print(f"{'not ok' if wrong else 'ok'} {number} - {name}", flush=True)
            for line in wrong:
                print(f"#   {line}")
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
