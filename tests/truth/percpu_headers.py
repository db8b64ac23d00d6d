#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tocsin/percpu.h in other people's programs: C11 and C++17, gcc and clang, and C++ that the linker folds."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from tocsin import Failed, Skip, Suite, check

suite = Suite(needs=())

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = pathlib.Path(os.environ["TOCSIN_PERCPU"]).parents[1] / "src" / "percpu" / "libpercpu.a"
WARNINGS = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef -Wcast-qual -Werror".split()

USE = """
#include <tocsin/{header}>
#include <tocsin/percpu.h>
unsigned use(struct tocsin_counter *c);
unsigned use(struct tocsin_counter *c)
{{
	tocsin_counter_add(c, 3, 1);
	return tocsin_cpu() + tocsin_node() + (unsigned)tocsin_cid();
}}
"""

# An inline function with sections, in two files: one of its copies is thrown away, with its descriptors.
FOLDED = """
#include <tocsin/percpu.h>
extern struct tocsin_counter *c;
template <int N> inline void bump(unsigned n) { tocsin_counter_add(c, N, n); }
inline __attribute__((noinline)) void both() { tocsin_counter_add(c, 1, 1); bump<3>(2); }
void other();
"""
FIRST = FOLDED + """
struct tocsin_counter *c;
int main()
{
	if (tocsin_counter_new(8, &c))
		return 3;
	for (int i = 0; i < 1000; i++) {
		both();
		other();
	}
	return tocsin_counter_sum(c, 1) == 2000 && tocsin_counter_sum(c, 3) == 4000 ? 0 : 1;
}
"""
SECOND = FOLDED + "void other() { both(); }\n"


def sh(*args, stdin=None):
    done = subprocess.run(list(map(str, args)), input=stdin, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, args))}: status {done.returncode}: {done.stderr[:1500]}")


def compilers(*names):
    found = [name for name in names if shutil.which(name)]
    if not found:
        raise Skip(f"none of {', '.join(names)} is installed")
    return found


@suite.test("alone, as C11 and C++17, at every level of optimisation")
def alone(run):
    for language, standard, names in (("c", "c11", ("gcc", "clang")), ("c++", "c++17", ("g++", "clang++"))):
        for compiler in compilers(*names):
            for level in range(4):
                # Those without sections of their own, once.
                for header in ("rseq.h", "percpu.h") + (("keyed.h", "monitor.h", "pmc.h", "pool.h", "rcu.h", "tracing.h", "probe.h") if level == 2 else ()):
                    sh(compiler, "-x", language, f"-std={standard}", f"-O{level}", *WARNINGS, f"-I{ROOT}/include", "-c", "-",
                       "-o", "/dev/null", stdin=USE.format(header=header))


@suite.test("without inline sections: TOCSIN_PERCPU_OUTLINE")
def outline(run):
    for compiler in compilers("gcc", "clang"):
        with tempfile.TemporaryDirectory() as made:
            sh(compiler, "-x", "c", "-O2", *WARNINGS, "-DTOCSIN_PERCPU_OUTLINE", f"-I{ROOT}/include", "-c", "-", "-o",
               f"{made}/use.o", stdin=USE.format(header="percpu.h"))
            listing = subprocess.run(["objdump", "-h", f"{made}/use.o"], capture_output=True, text=True, check=True).stdout
            check("__rseq_cs" not in listing, "there is a section all the same")


@suite.test("inline functions of C++ that the linker folds and sweeps")
def folded(run):
    check(LIBRARY.exists(), f"no {LIBRARY}")
    for compiler in compilers("g++", "clang++"):
        with tempfile.TemporaryDirectory() as made:
            for name, text in (("first", FIRST), ("second", SECOND)):
                pathlib.Path(f"{made}/{name}.cpp").write_text(text)
            for level in (0, 2):
                sh(compiler, "-std=c++17", f"-O{level}", "-ffunction-sections", f"-I{ROOT}/include", f"{made}/first.cpp",
                   f"{made}/second.cpp", LIBRARY, "-Wl,--gc-sections", "-pthread", "-o", f"{made}/folded")
                sh(f"{made}/folded")


suite.main()
