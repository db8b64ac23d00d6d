# SPDX-License-Identifier: MIT
"""The settings of other programs, and our own small tools: do they do what their files say?"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Missing(Exception):
    """A program that a check needs is not installed."""


def need(name):
    path = shutil.which(name)
    if not path:
        raise Missing(f"{name} is not installed")
    return path


# ---- format: clang-format has nothing to change

FORMATTED = ("src/*.c", "src/*.h", "include/*.h", "tests/*.c", "tests/*.h", "tests/*.cpp", "bench/*.c", "bench/*.h",
             "examples/*.c", "examples/*.h")
COMPLAINT = re.compile(r"^(\S+?):(\d+):\d+: error: code should be clang-formatted", re.MULTILINE)


def check_format(tree):
    command = [need("clang-format"), "--dry-run", "-Werror"]
    paths = tree.paths(*FORMATTED)
    if tree.root:
        errors = subprocess.run(command + paths, cwd=tree.root, capture_output=True, text=True).stderr if paths else ""
        lines = {}
        for path, line in COMPLAINT.findall(errors):
            lines.setdefault(path, set()).add(int(line))
        for path, numbers in sorted(lines.items()):
            yield f"{path}:{min(numbers)}: clang-format would change {len(numbers)} places (make format)"
    else:
        for path in paths:
            run = subprocess.run(command + ["--assume-filename=" + os.path.join(ROOT, path)], cwd=ROOT,
                                 input=tree.text(path), capture_output=True, text=True)
            if run.returncode:
                yield f"{path}: clang-format would change it"


GOOD_FORMAT = [{"src/base/a.c": "int f(void)\n{\n\treturn 0;\n}\n"}]
BAD_FORMAT = [{"src/base/a.c": "int f(void) {\n    return 0;\n}\n"}, {"tests/targets/a.c": "int  x;\n"}]


# ---- tidy: clang-tidy ignores names it does not know, and two names with a forgotten comma between them are one of those

def check_tidy(tree):
    tidy = need("clang-tidy")
    known = set(subprocess.run([tidy, "--list-checks", "-checks=*"], capture_output=True, text=True).stdout.split())
    dump = subprocess.run([tidy, "--dump-config", "-checks=*"], capture_output=True, text=True).stdout
    options = set(re.findall(r"key:\s*(\S+)", dump))
    text = tree.text(".clang-tidy")
    block = re.search(r"^Checks: >\n((?:  .*\n)+)", text, re.MULTILINE)
    if not block:
        yield ".clang-tidy: no 'Checks: >' block"
        return
    for item in block[1].replace("\n", " ").split(","):
        name = item.strip()
        pattern = re.escape(name.removeprefix("-")).replace(r"\*", ".*")
        if name and name != "-*" and not any(re.fullmatch(pattern, k) for k in known):
            yield f".clang-tidy: no check is named '{name}'"
    for key in re.findall(r"key:\s*([\w.-]+)", text):
        # clang-tidy lists only options that have a default; a check that is there with others is as much as can be seen.
        if key not in options and key.split(".")[0] not in known:
            yield f".clang-tidy: no option is named '{key}'"


_TIDY = "Checks: >\n  -*,\n  bugprone-*,\n  misc-static-assert\nCheckOptions:\n"
GOOD_TIDY = [{".clang-tidy": _TIDY + "  - { key: readability-function-size.LineThreshold, value: '80' }\n"}]
BAD_TIDY = [
    {".clang-tidy": _TIDY.replace("bugprone-*,", "bugprone-*")},
    {".clang-tidy": _TIDY.replace("misc-static-assert", "misc-static-asserts")},
    {".clang-tidy": _TIDY.replace("bugprone-*", "bugprne-*")},
    {".clang-tidy": _TIDY + "  - { key: readability-function-sizes.LineThreshold, value: '80' }\n"},
    {".clang-tidy": "Checks: 'bugprone-*'\n"},
]


# ---- tap_count: the counter behind `make check` against logs whose count is known

class Log:
    """A test log and what tools/tap-count must say of it: its last line, and what it must repeat before."""

    def __init__(self, total, *records, told=""):
        self.total = total
        self.records = records
        self.told = told

    def __repr__(self):
        return f"{self.total}: {self.records}"


def record(name, result, stdout="", returncode=0):
    return {"name": name, "result": result, "stdout": stdout, "returncode": returncode}


def check_tap_count(sample):
    logs = [sample] if isinstance(sample, Log) else GOOD_TAP_COUNT
    for log in logs:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as stream:
            stream.write("".join(json.dumps(r) + "\n" for r in log.records))
            stream.flush()
            run = subprocess.run([sys.executable, os.path.join(ROOT, "tools/tap-count"), stream.name],
                                 capture_output=True, text=True)
        last = (run.stdout.splitlines() or [""])[-1]
        passed, failed = (int(n) for n in re.findall(r"(\d+) (?:passed|failed)", log.total))
        if last != log.total:
            yield f"tools/tap-count: said '{last}', not '{log.total}'"
        elif log.told not in run.stdout:
            yield f"tools/tap-count: did not say '{log.told}'"
        elif run.returncode != (1 if failed or not passed else 0):
            yield f"tools/tap-count: exit status {run.returncode} after '{last}'"


GOOD_TAP_COUNT = [
    Log("2 passed, 0 failed, 1 skipped",
        record("a:unit / x", "OK", "1..3\nok 1 - a\nok 2 - b # SKIP no BPF\nok 3 - c # note\n")),
    Log("0 passed, 0 failed, 1 skipped", record("x", "SKIP", "1..0 # SKIP no PostgreSQL\n")),
    Log("1 passed, 1 failed, 0 skipped", record("x", "FAIL", "ok 1 - a\nnot ok 2 - b\n1..2\n")),
    Log("1 passed, 1 failed, 0 skipped", record("x", "FAIL", "not ok 1 - a\n# 3 is not 4\nok 2\n# fine\n"),
        told="FAILED: x: a\n        # 3 is not 4\n1 passed"),
    Log("1 passed, 1 failed, 0 skipped", record("x", "ERROR", "1..2\nok 1\n", -11)),
    Log("1 passed, 1 failed, 0 skipped", record("x", "TIMEOUT", "1..2\nok 1 - a\n", -15)),
    Log("1 passed, 1 failed, 0 skipped", record("x", "ERROR", "1..2\nok 1 - a\nBail out! no memory\n", 1)),
    Log("1 passed, 0 failed, 1 skipped", record("a", "OK"), record("b", "SKIP", "", 77)),
    Log("0 passed, 0 failed, 0 skipped"),
]
BAD_TAP_COUNT = [
    Log("1 passed, 0 failed, 0 skipped", record("x", "FAIL", "not ok 1 - a\n")),
    Log("2 passed, 0 failed, 0 skipped", record("x", "ERROR", "1..2\nok 1 - a\nok 2 - b\n", 1)),
    Log("1 passed, 1 failed, 0 skipped", record("x", "FAIL", "not ok 1 - a\n# b\nok 2\n# c\n"), told="# c"),
]
