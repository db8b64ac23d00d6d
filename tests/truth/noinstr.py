#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Code that must not be traced, in the library as it was linked: it stands apart, calls nothing but its own slow paths, no
restartable sequence contains a call, and `tocsin watch` binds no probe there."""

import os
import pathlib
import re
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from elf import Elf  # noqa: E402
from tocsin import TOCSIN, Skip, Suite, check  # noqa: E402

LIBRARY = pathlib.Path(os.environ["TOCSIN_LIBRARY"]) / "libtocsin.so.0.1.0"
SECTION = "tocsin_noinstr"
# What the fast paths may leave for. A new one is a decision.
ALLOWED = {"emit_ring", "write_slow", "chains_run",  # events: not plainly on; a ring that is full or not there; callbacks
           "begin_deeper", "budget_seen", "split_read", "end_over", "end_odd",  # sections: nested deep, over budget
           "clock_gettime@plt"}  # of sections; the kernel's own page
suite = Suite(needs=())


def sections(elf):
    """{name: (address, file offset, bytes)}"""
    index = struct.unpack_from("<H", elf.data, 62)[0]
    names = elf.sections[index][4]
    return {elf.data[names + s[0]:elf.data.index(b"\0", names + s[0])].decode(): (s[3], s[4], s[5]) for s in elf.sections}


def function_at(elf, address):
    for symbol in elf.symbols():
        if symbol.value <= address < symbol.value + max(symbol.size, 1):
            return symbol.name
    return None


def instructions():
    """(address, mnemonic, operand) of the whole library's code."""
    out = subprocess.run(["objdump", "-d", "--no-show-raw-insn", str(LIBRARY)], stdout=subprocess.PIPE, text=True, check=True).stdout
    for address, mnemonic, operand in re.findall(r"^\s+([0-9a-f]+):\t(?:bnd |notrack |lock |rep[a-z]* )?(\S+)\s*(.*)$", out, re.M):
        yield int(address, 16), mnemonic, operand


def critical_sections(elf):
    """(start, end, abort) of each, by the descriptors and the relocations that fill them in."""
    address, offset, size = sections(elf)["__rseq_cs"]
    filled = {}
    for kind, s in ((4, s) for s in elf.sections if s[1] == 4):  # SHT_RELA
        for at in range(s[4], s[4] + s[5], 24):
            where, info, addend = struct.unpack_from("<QQq", elf.data, at)
            if info & 0xffffffff == 8:  # R_X86_64_RELATIVE
                filled[where] = addend
    for at in range(address, address + size, 32):
        start = filled[at + 8]
        length = struct.unpack_from("<Q", elf.data, offset + at - address + 16)[0]
        yield start, start + length, filled[at + 24]


def needs_x86():
    if os.uname().machine != "x86_64":
        raise Skip("the disassembly is read for x86-64 only")


@suite.test("the fast paths stand apart and call only their slow paths")
def _(_run):
    needs_x86()
    elf = Elf(LIBRARY)
    begin, _, size = sections(elf)[SECTION]
    inside = [s.name for s in elf.symbols() if begin <= s.value < begin + size and s.size]
    for name in ("tocsin_site_emit", "tocsin_site_emit8", "tocsin_site_emit16", "tocsin_section_begin_", "tocsin_section_end_"):
        check(name in inside, f"{name} is not in {SECTION}")
    wrong = []
    for address, mnemonic, operand in instructions():
        if not begin <= address < begin + size or not mnemonic.startswith(("call", "j")):
            continue
        target = re.match(r"([0-9a-f]+)", operand)
        if not target:
            wrong.append(f"{address:x}: {mnemonic} {operand}: through a pointer")
        elif not begin <= int(target[1], 16) < begin + size:
            name = function_at(elf, int(target[1], 16)) or re.sub(r".*<(.*)>.*", r"\1", operand)
            if name not in ALLOWED:
                wrong.append(f"{address:x} in {function_at(elf, address)}: {mnemonic} {name}")
    check(not wrong, "code that must not be traced leaves for others:\n" + "\n".join(wrong))


@suite.test("no restartable sequence contains a call")
def _(_run):
    needs_x86()
    elf = Elf(LIBRARY)
    ranges = list(critical_sections(elf))
    check(len(ranges) > 10, f"only {len(ranges)} restartable sequences were found")
    calls = [f"{address:x}: {mnemonic} {operand}" for address, mnemonic, operand in instructions()
             if mnemonic.startswith(("call", "syscall", "int")) and any(start <= address < end for start, end, _ in ranges)]
    check(not calls, "calls inside restartable sequences:\n" + "\n".join(calls))


@suite.test("tocsin watch binds no probe there, and says why")
def _(run):
    if os.geteuid():
        raise Skip("needs root")
    elf = Elf(LIBRARY)
    needs_x86()
    inside = next(start for start, _, _ in critical_sections(elf) if function_at(elf, start) == "ring_write_slow")
    for place, why in ((f"func:{LIBRARY}:tocsin_site_emit16", "a probe there would trace the tracer"),
                       (f"{LIBRARY}:{elf.offset('tocsin_site_emit16'):#x}", "a probe there would trace the tracer"),
                       (f"{LIBRARY}:{elf.file_offset(inside):#x}", "is a restartable sequence")):
        watch = run.program(TOCSIN, "watch", "-a", "-d", "100ms", f"x: {place} .. func:{LIBRARY}:tocsin_stop < 1ms")
        status = watch.wait(20)
        check(status and why in watch.err.text(), f"for {place} tocsin watch says {status}: {watch.err.text()}")


if __name__ == "__main__":
    suite.main()
