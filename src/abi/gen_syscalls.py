#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the system calls of the machine that a compiler compiles for, as a C table for abi/syscalls.c.

gen_syscalls.py OUTPUT COMPILER [ARGUMENT]...

The kernel's own header is the list: the compiler prints every macro that <asm/unistd.h> leaves defined, and the __NR_
ones that lead to a number are system calls. Some lead there through another macro (aarch64: __NR_fcntl is
__NR3264_fcntl is 25).
"""

import re
import subprocess
import sys

DEFINE = re.compile(r"^#define (__NR\w*) (.+)$", re.MULTILINE)
# Macros of the header's own bookkeeping, whose names look like calls: how many there are, where others begin.
NOT_CALLS = {"syscalls", "arch_specific_syscall", "SYSCALL_BASE", "OABI_SYSCALL_BASE"}
NUMBER_MAX = 4095


def number(macros, value):
    """The number that a macro's value leads to, or None."""
    for _ in range(8):
        value = value.strip().strip("()").strip()
        if re.fullmatch(r"0[xX][0-9a-fA-F]+|[0-9]+", value):
            return int(value, 0)
        if value not in macros:
            return None
        value = macros[value]
    return None


def syscalls(macros):
    table = {}
    for macro, value in macros.items():
        if not macro.startswith("__NR_") or macro[5:] in NOT_CALLS:
            continue
        found = number(macros, value)
        # Two names of one number: the first in the alphabet, so that two builds agree.
        if found is not None and found <= NUMBER_MAX:
            table[found] = min(table.get(found, macro[5:]), macro[5:])
    return table


def main():
    output, compiler = sys.argv[1], sys.argv[2:]
    text = subprocess.run(compiler + ["-E", "-dM", "-x", "c", "-"], input="#include <asm/unistd.h>\n", text=True,
                          capture_output=True, check=True).stdout
    table = syscalls(dict(DEFINE.findall(text)))
    if len(table) < 100:
        sys.exit(f"gen_syscalls.py: only {len(table)} system calls in <asm/unistd.h>")
    with open(output, "w", encoding="ascii") as file:
        file.write("/* Made by gen_syscalls.py from <asm/unistd.h>. */\n"
                   "extern const char *const syscall_names[];\nextern const long syscall_names_nr;\n"
                   "const char *const syscall_names[] = {\n")
        for nr in sorted(table):
            file.write(f'\t[{nr}] = "{table[nr]}",\n')
        file.write(f"}};\nconst long syscall_names_nr = {max(table) + 1};\n")


if __name__ == "__main__":
    main()
