#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""gen_shipped.py OUTPUT MODEL...: the shipped models as a C table, so that the program needs no files for them."""

import os
import sys


def main():
    output, *paths = sys.argv[1:]
    with open(output, "w", encoding="ascii") as out:
        out.write('/* Made by gen_shipped.py. */\n#include "automata/shipped.h"\n\n')
        out.write("const struct shipped_model shipped_models[] = {\n")
        for path in sorted(p for p in paths if not p.endswith(".py")):
            with open(path, "rb") as stream:
                text = stream.read()
            out.write(f'\t{{"{os.path.basename(path)}", {len(text)}, (const char[]){{')
            out.write(",".join(str(byte if byte < 128 else byte - 256) for byte in text) + ",0}},\n")
        out.write("\t{0, 0, 0},\n};\n")


main()
