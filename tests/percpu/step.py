# SPDX-License-Identifier: MIT
"""Inside gdb: steps by instruction through each primitive of tests/percpu/step, and says how many steps each took.

A section that never gets done under a debugger would step for ever: STEPS_MAX instructions are far beyond what the
limit of aborts allows.
"""

import gdb

STEPS_MAX = 30000
NAMES = ("counter", "store", "add", "load", "cmpstore", "push", "pop", "copy", "do_on_cpu", "take", "give",
         "rcu", "do_on_each", "drain", "pmc", "keyed")

gdb.execute("set pagination off")
gdb.execute("set confirm off")
gdb.execute("set debuginfod enabled off")
for name in NAMES:
    gdb.execute(f"tbreak *step_{name}", to_string=True)
gdb.execute("run", to_string=True)
for name in NAMES:
    frame = gdb.newest_frame()
    while frame.type() == gdb.INLINE_FRAME:
        frame = frame.older()
    caller = frame.older().pc()
    steps = 0
    while gdb.selected_frame().pc() != caller and steps < STEPS_MAX:
        gdb.execute("stepi", to_string=True)
        steps += 1
    print(f"STEPPED {name} {steps} {'done' if steps < STEPS_MAX else 'never'}")
    if steps == STEPS_MAX:
        gdb.execute("kill")
        break
    gdb.execute("continue", to_string=True)
