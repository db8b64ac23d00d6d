#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The kernel half's ring, nested at each place of its protocol: right as it is, and caught when it is broken. Prints TAP.

    nest.py SOURCE_ROOT BUILD_DIR CLANG ARCH MULTIARCH
"""

import os
import subprocess
import sys
import tempfile

ROOT, BUILD, CLANG, ARCH, MULTIARCH = sys.argv[1:6]
RUNS = "2000"

# name: (what it does, text, its replacement, places where it must be seen)
BROKEN = {
    "alone": ("a writer on top of another publishes", "if ((was & KERNEL_RING_WRITERS) == 1)\n\t\t\thead_store(c->ring, was - 1);",
              "head_store(c->ring, was & ~KERNEL_RING_WRITERS);", (2, 3)),
    "exchange": ("a writer takes itself off without looking again",
                 "if (__sync_val_compare_and_swap(&st->reserved, was, was - 1) == was)\n\t\t\treturn;",
                 "__sync_fetch_and_sub(&st->reserved, 1);\n\t\treturn;", (4, 5)),
    "claim": ("bytes are claimed by a plain store", "if (__sync_val_compare_and_swap(&st->reserved, was, was + c->bytes + 1) != was)\n\t\treturn 2;",
              "*(volatile __u64 *)&st->reserved = was + c->bytes + 1;", (1,)),
}


def compile_object(directory, name, header):
    done = subprocess.run([CLANG, "-g", "-O2", "-target", "bpf", "-mcpu=v3", f"-D__TARGET_ARCH_{ARCH}", "-I", f"{ROOT}/src",
                           "-I", f"{ROOT}/src/bpf", "-I", f"{ROOT}/include", "-idirafter", f"/usr/include/{MULTIARCH}",
                           f'-DRECORD_RING_H="{header}"', "-c", f"{ROOT}/tests/ring/nest.bpf.c", "-o", f"{directory}/{name}.o"],
                          capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"Bail out! {done.stderr}")
    return f"{directory}/{name}.o"


def run(path, place, mode):
    return subprocess.run([f"{BUILD}/nest", path, str(place), mode, RUNS], capture_output=True, text=True, timeout=120)


def main():
    with tempfile.TemporaryDirectory() as scratch:
        right = compile_object(scratch, "right", "bpf/record_ring.h")
        probe = run(right, 0, "discard")
        if probe.returncode == 77:
            print(f"1..0 # SKIP {probe.stderr.strip()}")
            return 0
        cases = [(f"a record at place {place}, {mode}", right, (place,), mode, True) for place in range(6)
                 for mode in ("discard", "overwrite")]
        with open(f"{ROOT}/src/bpf/record_ring.h", encoding="utf-8") as f:
            text = f.read()
        for name, (what, old, new, places) in BROKEN.items():
            if text.count(old) != 1:
                print(f"Bail out! record_ring.h has no longer what '{name}' breaks")
                return 1
            header = f"{scratch}/{name}.h"
            with open(header, "w", encoding="utf-8") as f:
                f.write(text.replace(old, new).replace('"../abi/', f'"{ROOT}/src/abi/'))
            cases.append((f"seen when broken: {what}", compile_object(scratch, name, header), places, "discard", False))
        print(f"1..{len(cases)}")
        failed = 0
        for number, (what, path, places, mode, is_right) in enumerate(cases, 1):
            done = [run(path, place, mode) for place in places]
            good = all(d.returncode == 0 for d in done) if is_right else any(d.returncode == 1 for d in done)
            failed += not good
            print(f"{'ok' if good else 'not ok'} {number} {what}")
            for d in done:
                print(f"# {d.stdout.strip()}{d.stderr.strip()}")
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
