# SPDX-License-Identifier: MIT
"""The built program against its own tables: help texts and manual pages.

`tocsin --dump-cli` prints the command and option tables as JSON. Help is made from them while the program runs, the
manual while it is built; both are checked as a reader gets them.
"""

import glob
import json
import os
import re
import subprocess

from settings import Missing

WIDEST = 79


class Built:
    """The program that was built, and the sources of its manual pages."""

    def __init__(self, root, program, man):
        if not program:
            raise Missing("tocsin was not built")
        self.root = root
        self.program = program
        self.man = man

    def run(self, *arguments):
        """(exit status, standard output, standard error)"""
        run = subprocess.run([self.program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                             timeout=20)
        return run.returncode, run.stdout, run.stderr

    def table(self):
        return json.loads(self.run("--dump-cli")[1])

    def pages(self):
        """Name of a page -> its scdoc text."""
        if not self.man:
            raise Missing("the manual was not built (scdoc)")
        pages = {}
        for path in glob.glob(os.path.join(self.man, "*.scd")):
            with open(path, encoding="utf-8") as stream:
                pages[os.path.basename(path).removesuffix(".scd")] = stream.read()
        return pages


def check_help(built):
    commands = [[]] + [[c["name"]] for c in built.table()["commands"]]
    for command in commands:
        name = " ".join(["tocsin"] + command)
        status, out, err = built.run(*command, "--help")
        if status or err:
            yield f"{name} --help: exit status {status}, standard error '{err.strip()[:100]}'"
        if not out.startswith("Usage:"):
            yield f"{name} --help: does not begin with 'Usage:'"
        for line in out.splitlines():
            if len(line) > WIDEST:
                yield f"{name} --help: {len(line)} columns: {line}"
        status, out, err = built.run(*command, "--no-such-option")
        if status != 2 or out:
            yield f"{name} --no-such-option: exit status {status}, standard output '{out[:100]}'"
        if "no-such-option" not in err or "--help" not in err or err.count("\n") > 3:
            yield f"{name} --no-such-option: not a short word with a way to the help: '{err[:300]}'"


def check_man(built):
    table = built.table()
    pages = built.pages()
    if not table["commands"]:
        yield "--dump-cli: no commands"
    known = {o["name"] for c in table["commands"] for o in c["options"]} | {"help", "version"}
    for command in table["commands"]:
        page = pages.get(f"tocsin-{command['name']}.1")
        if page is None:
            yield f"docs/man: no page tocsin-{command['name']}.1"
            continue
        yield from check_page(command, page, known)
        if f"tocsin-{command['name']}*(1)" not in pages.get("tocsin.1", ""):
            yield f"docs/man: tocsin(1) does not lead to tocsin-{command['name']}(1)"


def check_page(command, page, known):
    """`known`: options of all commands, which a page may speak of."""
    name = f"tocsin-{command['name']}(1)"
    sections = dict(re.findall(r"^# ([A-Z ]+)\n(.*?)(?=^# |\Z)", page, re.MULTILINE | re.DOTALL))
    for wanted in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "SEE ALSO"):
        if not sections.get(wanted, "").strip():
            yield f"{name}: no section {wanted}"
    want = {o["name"] for o in command["options"] if o["kind"] != "group"} | {"help"}
    have = set(re.findall(r"^[^\n]*\*--([a-z][a-z-]*)\*", sections.get("OPTIONS", ""), re.MULTILINE))
    for option in sorted(want - have):
        yield f"{name}: OPTIONS lacks --{option}"
    for option in sorted(have - want):
        yield f"{name}: OPTIONS has --{option}, the program has not"
    prose = page.replace(sections.get("OPTIONS", ""), "")
    for option in sorted(set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", prose)) - known):
        if option.removeprefix("no-") not in known:
            yield f"{name}: speaks of --{option}, which no command has"


class Sample:
    """A program and its pages, as a check would find them."""

    def __init__(self, commands, runs=None, pages=None):
        self.commands = commands
        self.runs = runs or {}
        self._pages = pages or {}

    def __repr__(self):
        return f"{self.runs} {self._pages}"

    def table(self):
        return {"commands": self.commands}

    def run(self, *arguments):
        return self.runs.get(arguments, (0, "Usage: tocsin\n", ""))

    def pages(self):
        return self._pages


_REFUSED = (2, "", "tocsin: unknown option '--no-such-option'; see 'tocsin --help'\n")
_RUNS = {("--no-such-option",): _REFUSED, ("x", "--no-such-option"): _REFUSED}
_X = {"name": "x", "options": [{"kind": "group", "name": "Targets"}, {"kind": "flag", "name": "all"}]}
_PAGE = ("tocsin-x(1)\n\n# NAME\n\nx\n\n# SYNOPSIS\n\nx\n\n# DESCRIPTION\n\nWith --all.\n\n# OPTIONS\n\n"
         "*-a*, *--all*\n\tAll.\n\n*--help*\n\tHelp.\n\n# EXAMPLES\n\nx\n\n# EXIT STATUS\n\n0\n\n# SEE ALSO\n\nx\n")
_TOP = "# COMMANDS\n\n*tocsin-x*(1)\n"

GOOD_HELP = [Sample([_X], _RUNS)]
BAD_HELP = [
    Sample([_X], {**_RUNS, ("x", "--help"): (0, "Usage: tocsin x\n" + "y" * 80 + "\n", "")}),
    Sample([_X], {**_RUNS, ("x", "--help"): (1, "Usage: tocsin x\n", "")}),
    Sample([_X], {**_RUNS, ("--help",): (0, "tocsin\n", "")}),
    Sample([_X], {**_RUNS, ("x", "--no-such-option"): (0, "", "")}),
    Sample([_X], {**_RUNS, ("x", "--no-such-option"): (2, "", "bad\n" * 9)}),
]
GOOD_MAN = [Sample([_X], pages={"tocsin.1": _TOP, "tocsin-x.1": _PAGE})]
BAD_MAN = [
    Sample([], pages={"tocsin.1": _TOP}),
    Sample([_X], pages={"tocsin.1": _TOP}),
    Sample([_X], pages={"tocsin.1": "", "tocsin-x.1": _PAGE}),
    Sample([_X], pages={"tocsin.1": _TOP, "tocsin-x.1": _PAGE.replace("*-a*, *--all*", "*--every*")}),
    Sample([_X], pages={"tocsin.1": _TOP, "tocsin-x.1": _PAGE.replace("With --all", "With --every")}),
    Sample([_X], pages={"tocsin.1": _TOP, "tocsin-x.1": _PAGE.replace("# EXIT STATUS", "# EXIT")}),
]
