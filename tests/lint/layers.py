# SPDX-License-Identifier: MIT
"""Who may include whom in src/: the drawing of docs/ARCHITECTURE.md as a table.

The path says where code runs, so an include edge against the table is code in the wrong place. A folder that the table
does not know is a finding too: whoever adds one says here what it may use.
"""

import posixpath
import re

from tree import c_code

# Folder -> what its files may include besides their own folder: whole folders, or single files.
ALLOWED = {
    "base": ["abi/hist.h"],
    "abi": [],
    "percpu": ["abi", "base/banned.h", "base/clock.h"],
    # Of the models only their stepper, which is a header without a library: text is compiled by tocsin, before.
    "inprocess": ["abi", "automata/step.h", "percpu", "base/banned.h", "base/clock.h"],
    "ring": ["abi", "percpu"],
    "tracee": ["abi", "percpu", "ring"],
    "preload": [],
    "elf": ["base", "abi"],
    "unwind": ["base", "abi", "elf"],
    "automata": ["base", "abi"],
    "bpf": ["base", "abi", "automata/step.h"],
    "collector": ["base", "abi", "elf", "unwind", "bpf", "ctf", "ring/reader.h"],
    "analysis": ["base", "abi", "collector/section.h", "unwind/named.h"],
    "ctf": ["base", "abi", "analysis/model.h", "analysis/causes.def", "unwind/named.h"],
    "trace": ["base", "abi", "ctf"],
    "monitor": ["base", "abi", "automata", "bpf", "collector", "ctf", "trace"],
    "report": ["base", "abi", "automata/model.h", "ctf", "trace", "analysis/model.h", "analysis/causes.def", "monitor/violated.h",
               "unwind/named.h"],
    "export": ["base", "abi", "ctf", "trace", "report", "analysis/model.h"],
    "query": ["base", "abi", "ctf", "trace", "report/out.h", "report/pen.h", "report/print.h", "report/trace.def"],
    "cli": ["base", "abi", "percpu", "ring", "elf", "unwind", "automata", "bpf", "collector", "analysis", "ctf", "trace",
            "monitor", "report", "query", "export"],
}
# The kernel half is compiled for another machine: only layouts shared with it, whatever its loader may use.
ALLOWED_IN_KERNEL = ["abi", "automata/step.h"]

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')


def check(tree):
    for path in tree.paths("src/*.c", "src/*.h", "src/*.def"):
        parts = path.split("/")
        if len(parts) < 3:
            yield f"{path}: a source file belongs into a folder of src/"
            continue
        folder = parts[1]
        if folder not in ALLOWED:
            yield f"{path}: folder '{folder}' is not in the table of tests/lint/layers.py"
            continue
        allowed = ALLOWED_IN_KERNEL if path.endswith(".bpf.c") else ALLOWED[folder]
        for number, line in tree.lines(path):
            match = INCLUDE.match(line)
            if match:
                yield from check_edge(tree, path, folder, allowed, number, match[1])
    yield from check_printing(tree)


def check_edge(tree, path, folder, allowed, number, name):
    near = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
    from_src = posixpath.normpath(posixpath.join("src", name))
    if name.endswith(".skel.h"):
        return  # made by the build beside its loader
    if tree.has(near):
        target = near
    elif tree.has(from_src):
        target = from_src
    elif name.startswith("tocsin/"):
        return  # include/tocsin is there for everybody
    else:
        yield f"{path}:{number}: includes '{name}', which is not in the tree"
        return
    target = target.removeprefix("src/")
    other = target.split("/")[0]
    if other != folder and other not in allowed and target not in allowed:
        yield f"{path}:{number}: {folder}/ may not include '{target}'"


PRINTS = re.compile(r"(?<![\w.>])(printf|vprintf|puts|putchar|perror|exit)\s*\(")


def check_printing(tree):
    """Only cli/ and report/ talk to people and end the process."""
    for path in tree.paths("src/*.c", "src/*.h"):
        if path.startswith(("src/cli/", "src/report/")):
            continue
        for number, line in enumerate(c_code(tree.text(path)).splitlines(), 1):
            match = PRINTS.search(line)
            if match and not line.lstrip().startswith("extern"):
                yield f"{path}:{number}: {match[1]}() below cli/ and report/"


GOOD = [
    {"src/base/err.h": "", "src/collector/bind.c": '#include "../base/err.h"\n#include <stdio.h>\n'},
    {"src/analysis/model.h": "", "src/ctf/writer.c": '#include "../analysis/model.h"\n'},
    {"src/base/err.c": '/* printf("x") */ snprintf(b, n, "exit(1)"); _exit(3);\n'},
    {"src/bpf/watch.c": '#include "watch.skel.h"\n'},
]
BAD = [
    {"src/cli/main.h": "", "src/base/err.c": '#include "../cli/main.h"\n'},
    {"src/analysis/verdict.h": "", "src/ctf/writer.c": '#include "../analysis/verdict.h"\n'},
    {"src/base/err.h": "", "src/bpf/watch.bpf.c": '#include "../base/err.h"\n'},
    {"src/base/err.h": "", "src/abi/asserts.c": '#include "base/err.h"\n'},
    {"src/base/a.c": '#include "gone.h"\n'},
    {"src/newfolder/a.c": ""},
    {"src/collector/a.c": 'int f(void)\n{\n\tprintf("x");\n}\n'},
    {"src/stray.c": ""},
]
