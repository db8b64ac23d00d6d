# SPDX-License-Identifier: MIT
"""Inside gdb: a breakpoint on the committing instruction of the counter's section, stepped over in place.

Each stop aborts the section, which then starts again and meets the breakpoint again: the limit of aborts must end it.
"""

import re

import gdb

gdb.execute("set pagination off")
gdb.execute("set confirm off")
gdb.execute("set debuginfod enabled off")
gdb.execute("set displaced-stepping off")
gdb.execute("break step_counter", to_string=True)
gdb.execute("run", to_string=True)
gdb.execute("delete")
commits = []
for function in ("step_counter", "tocsin_counter_add_slow_"):  # the first try is inline, the others are not
    code = gdb.execute(f"disassemble {function}", to_string=True)
    for address in re.findall(r"(0x[0-9a-f]+) <\+\d+>:\s+(?:add|inc)[a-z]* [^\n]*\(%rax\)", code):
        gdb.execute(f"break *{address}", to_string=True)
        commits.append(int(address, 16))
hits = 0
try:
    while hits < 300:
        gdb.execute("continue", to_string=True)
        hits += gdb.selected_frame().pc() in commits
except gdb.error:
    pass  # the program has ended
print(f"COMMITS {len(commits)} HITS {hits}")
