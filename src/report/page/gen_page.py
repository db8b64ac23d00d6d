#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""gen_page.py OUTPUT page.html page.css page.js: the page as two C arrays, what stands before the data and what behind."""

import pathlib
import sys


def array(name, text):
    data = text.encode()
    body = ",".join(str(byte if byte < 128 else byte - 256) for byte in data)
    return f"const char {name}[] = {{{body}}};\nconst size_t {name}_len = {len(data)};\n"


def main():
    output, page, style, program = map(pathlib.Path, sys.argv[1:])
    text = page.read_text(encoding="utf-8").replace("@STYLE@", style.read_text(encoding="utf-8").strip())
    script = program.read_text(encoding="utf-8").strip()
    if "</script" in script.lower():
        sys.exit(f"{program}: would end its own element")
    head, tail = text.replace("@PROGRAM@", script).split("@DATA@\n")
    output.write_text('/* Made by gen_page.py. */\n#include "report/page.h"\n\n' + array("page_head", head) + array("page_tail", tail),
                      encoding="ascii")


main()
