# SPDX-License-Identifier: MIT
"""Rules that a file keeps or breaks by itself."""

import re

from tree import c_code

C_FILES = ("*.c", "*.h", "*.cpp")
SCRIPTS = ("*.py", "*.sh", "*.build", "meson_options.txt", "Makefile", "tools/*", ".ci/run", "examples/*/run")


# ---- spdx: the first line names the licence, and no file carries its text

SPDX = re.compile(r"SPDX-License-Identifier: (MIT|MIT OR GPL-2\.0-only)(\s|$)")


def check_spdx(tree):
    for path in tree.paths(*C_FILES, "*.def", *SCRIPTS):
        lines = tree.text(path).splitlines()
        if lines and lines[0].startswith("#!"):
            lines = lines[1:]
        if not lines or not SPDX.search(lines[0]):
            yield f"{path}:1: no SPDX-License-Identifier in the first line"
        elif path.endswith(".bpf.c") and "GPL" not in lines[0]:
            yield f"{path}:1: a BPF object is 'MIT OR GPL-2.0-only'"


GOOD_SPDX = [
    {"src/base/a.c": "// SPDX-License-Identifier: MIT\n"},
    {"src/bpf/a.bpf.c": "// SPDX-License-Identifier: MIT OR GPL-2.0-only\n"},
    {"tools/x": "#!/bin/sh\n# SPDX-License-Identifier: MIT\n"},
    {"README.md": "# no licence line needed\n"},
]
BAD_SPDX = [
    {"src/base/a.c": "#include <stdio.h>\n"},
    {"src/base/a.h": ""},
    {"src/bpf/a.bpf.c": "// SPDX-License-Identifier: MIT\n"},
    {"tools/x": "#!/bin/sh\necho\n"},
    {"tests/meson.build": "\n# SPDX-License-Identifier: MIT\n"},
]


# ---- banned: calls of the functions that src/base/banned.h lists, also where that header is not included

BANNED_HEADER = "src/base/banned.h"
BANNED_ENTRY = re.compile(r"^TOCSIN_BANNED\((\w+),", re.MULTILINE)
# Target programs are small, and what they wait for and how is their subject.
FINE_IN_TESTS = {"atoi", "atol", "atoll", "strtol", "strtoll", "strtoul", "strtoull", "system", "signal", "usleep",
                 "strtok"}


def check_banned(tree):
    if not tree.has(BANNED_HEADER):
        yield f"{BANNED_HEADER}: missing"
        return
    names = set(BANNED_ENTRY.findall(tree.text(BANNED_HEADER)))
    if not names:
        yield f"{BANNED_HEADER}: no TOCSIN_BANNED() entry found"
        return
    call = re.compile(r"(?<![\w.>])(" + "|".join(sorted(names)) + r")\s*\(")
    for path in tree.paths(*C_FILES):
        if path == BANNED_HEADER:
            continue
        for number, line in enumerate(c_code(tree.text(path)).splitlines(), 1):
            for name in call.findall(line):
                if not (path.startswith("tests/") and name in FINE_IN_TESTS):
                    yield f"{path}:{number}: {name}() is banned, see {BANNED_HEADER}"


_HEADER = {BANNED_HEADER: 'TOCSIN_BANNED(strcpy, "");\nTOCSIN_BANNED(usleep, "");\n'}
GOOD_BANNED = [
    {**_HEADER, "src/base/a.c": '/* strcpy(a, b) */ x.strcpy(a); y->usleep(1); my_strcpy(a); f("strcpy(a, b)");\n'},
    {**_HEADER, "tests/targets/a.c": "usleep(10);\n"},
]
BAD_BANNED = [
    {**_HEADER, "src/base/a.c": "\n\tstrcpy(a, b);\n"},
    {**_HEADER, "tests/targets/a.c": "strcpy (a, b);\n"},
    {**_HEADER, "src/base/a.c": "usleep(10);\n"},
    {"src/base/a.c": ""},
]


# ---- length: a file is one room

LONGEST = 700


def check_length(tree):
    for path in tree.paths(*C_FILES, *SCRIPTS):
        lines = tree.text(path).count("\n")
        if lines > LONGEST:
            yield f"{path}: {lines} lines, more than {LONGEST}: which part is a file of its own?"


GOOD_LENGTH = [{"src/base/a.c": "x\n" * LONGEST}]
BAD_LENGTH = [{"src/base/a.c": "x\n" * (LONGEST + 1)}, {"tests/e2e/a.py": "x\n" * 1000}]


# ---- markers: work left in the code has an issue

MARKER = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")


def check_markers(tree):
    for path in tree.paths(*C_FILES, "*.def", "*.md", *SCRIPTS):
        for number, line in tree.lines(path):
            match = MARKER.search(line)
            if match and not re.search(r"#\d+", line):
                yield f"{path}:{number}: {match[1]} without an issue number"


GOOD_MARKERS = [
    {"src/base/a.c": "/* TO" "DO(#12): the other half */\n"},
    {"src/base/a.c": 'mkstemp("/tmp/x.XX' 'XXXX");\n'},
]
BAD_MARKERS = [
    {"src/base/a.c": "/* TO" "DO: the other half */\n"},
    {"tools/x": "# FIX" "ME\n"},
]


# ---- paths: nothing from the machine it was written on

HOME = re.compile(r"(?<![\w/}>*.-])/(?:home/\w|Users/\w|root/\w|work/)")


def check_paths(tree):
    for path in tree.paths(*C_FILES, "*.def", "*.md", "*.scd*", "*.json", "*.txt", *SCRIPTS):
        if path.startswith("tests/lint/"):
            continue
        for number, line in tree.lines(path):
            match = HOME.search(line)
            if match:
                yield f"{path}:{number}: a path of one machine: {match[0]}..."


GOOD_PATHS = [
    {"src/collector/a.c": 'snprintf(p, n, "/proc/%d/root/%s", pid, "/root");\n'},
    {"docs/a.md": "`/proc/PID/root/usr/bin/x`, ./work/x, network/x\n"},
]
BAD_PATHS = [
    {"docs/a.md": "see /work/main/x\n"},
    {"src/base/a.c": 'open("/home/jane/x", 0);\n'},
    {"tools/x": "cd /root/src\n"},
]
