# SPDX-License-Identifier: MIT
"""Documents that must keep up with the code, and with one another."""

import posixpath
import re

# ---- losses: a reader who meets a count in a record finds in docs/formats/ what it means

LOSS = re.compile(r"^X\((\w+), (\w+),", re.MULTILINE)


def check_losses(tree):
    names = [name for _, name in LOSS.findall(tree.text("src/abi/losses.def"))]
    if not names:
        yield "src/abi/losses.def: no X() entry found"
    pages = "\n".join(tree.text(p) for p in tree.paths("docs/formats/*.md", "docs/formats/*.json"))
    for name in names:
        if not re.search(rf"\b{name}\b", pages):
            yield f"src/abi/losses.def: '{name}' is not in docs/formats/"


GOOD_LOSSES = [{"src/abi/losses.def": 'X(GAP, gap, 0, "x")\n', "docs/formats/json.md": "`gap`: a switch was missed\n"}]
BAD_LOSSES = [
    {"src/abi/losses.def": 'X(GAP, gap, 0, "x")\n', "docs/formats/json.md": "`gaps`\n"},
    {"src/abi/losses.def": 'X(GAP, gap, 0, "x")\n'},
    {"src/abi/losses.def": "\n"},
]


# ---- adr: decisions are numbered without holes, dated, have a status, and ARCHITECTURE.md leads to them

ADR_PATH = re.compile(r"^docs/adr/(\d{4})-[a-z0-9-]+\.md$")
ADR_STATUS = re.compile(r"^Status: (proposed|accepted|superseded by \d{4})$", re.MULTILINE)
ADR_DATE = re.compile(r"^Date: \d{4}-\d\d-\d\d$", re.MULTILINE)


def check_adr(tree):
    expected = 1
    architecture = tree.text("docs/ARCHITECTURE.md") if tree.has("docs/ARCHITECTURE.md") else ""
    for path in tree.paths("docs/adr/*"):
        match = ADR_PATH.match(path)
        if not match:
            yield f"{path}: not named NNNN-title.md"
            continue
        if int(match[1]) != expected:
            yield f"{path}: expected number {expected:04}"
        expected = int(match[1]) + 1
        text = tree.text(path)
        if not text.startswith(f"# {match[1]}: "):
            yield f"{path}:1: does not begin with '# {match[1]}: '"
        if not ADR_STATUS.search(text):
            yield f"{path}: no line 'Status: proposed', 'accepted' or 'superseded by NNNN'"
        if not ADR_DATE.search(text):
            yield f"{path}: no line 'Date: YYYY-MM-DD'"
        if posixpath.basename(path) not in architecture:
            yield f"{path}: docs/ARCHITECTURE.md has no link to it"


_ADR = "# 0001: x\n\nStatus: accepted\nDate: 2025-01-31\n"
_ARCH = {"docs/ARCHITECTURE.md": "[x](adr/0001-x.md)\n"}
GOOD_ADR = [{**_ARCH, "docs/adr/0001-x.md": _ADR}]
BAD_ADR = [
    {"docs/ARCHITECTURE.md": "", "docs/adr/0001-x.md": _ADR},
    {**_ARCH, "docs/adr/0002-x.md": _ADR},
    {**_ARCH, "docs/adr/x.md": _ADR},
    {**_ARCH, "docs/adr/0001-x.md": _ADR.replace("Status: accepted", "")},
    {**_ARCH, "docs/adr/0001-x.md": _ADR.replace("2025-01-31", "soon")},
]


# ---- links: a relative link in a document leads to something

LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)(#[^)]*)?\)")


def check_links(tree):
    folders = {posixpath.dirname(p) for p in tree.paths("*")}
    folders |= {f.rsplit("/", n)[0] for f in folders for n in range(1, f.count("/") + 1)}
    for path in tree.paths("*.md"):
        for number, line in tree.lines(path):
            for target, _ in LINK.findall(line):
                if re.match(r"[a-z]+:", target):
                    continue
                found = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
                if not tree.has(found) and found.rstrip("/") not in folders:
                    yield f"{path}:{number}: nothing at '{target}'"


GOOD_LINKS = [{"README.md": "[a](docs/A.md) [b](https://example.org/x) [c](#here) [d](docs/) [e](docs/A.md#x)\n",
               "docs/A.md": "[up](../README.md)\n"}]
BAD_LINKS = [{"README.md": "[a](docs/A.md)\n"}, {"docs/A.md": "[a](docs/A.md)\n"}]
