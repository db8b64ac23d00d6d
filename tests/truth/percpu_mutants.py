#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each primitive of the per-CPU toolkit with one instruction in the wrong place: its test must fail.

A mutant is made of the sources as they are, here, so none is shipped: the table says which file, what is replaced by
what, and which program has to notice. The same programs built from the sources untouched must not notice anything. What
is broken in a function's order rather than in a section (fences, gates) is in src/percpu/broken.h and stress_*.c.
"""

import atexit
import concurrent.futures
import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from tocsin import Failed, Skip, Suite, check

suite = Suite(needs=())

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILT = pathlib.Path(os.environ["TOCSIN_PERCPU"])
TRIES = 20

FLAGS = ("-std=gnu17", "-D_GNU_SOURCE", "-O2", "-w", "-DTOCSIN_RSEQ_WITH_INJECT", "-ftls-model=initial-exec",
         "-fvisibility=hidden", "-DSTRESS_BREAK=9", "-DPMC_TEST_NS=2000000000ULL")
# Program: its sources, below the tree's copy, and what else it is linked with.
PROGRAMS = {
    "stress": (("tests/percpu/stress.c", "src/percpu/op.c", "src/percpu/percpu.c", "src/percpu/counter.c",
                "src/percpu/pmc.c"), ()),
    "stress_pool": (("tests/percpu/stress_pool.c",), ()),
    "stress_rcu": (("tests/percpu/stress_rcu.c",), ()),
    "test_pmc": (("tests/unit/test_pmc.c",), ("-lcmocka",)),
    "test_keyed": (("tests/unit/test_keyed.c", *(f"src/percpu/{name}.c" for name in (
        "percpu", "pool", "pool_debug", "pool_make", "rcu", "rcu_call", "rcu_sync"))), ("-lcmocka",)),
}
# These say "ok" when they have noticed, since they are built as variants that must be caught (STRESS_BREAK).
SAYS_CAUGHT = ("stress_pool", "stress_rcu")

OP = "src/percpu/arch/op_x86_64.h"
POOL = "include/tocsin/pool.h"
BATCH = "src/percpu/pool_section.h"
RCU = "include/tocsin/rcu.h"
PMC = "src/percpu/pmc.c"
KEYED = "src/percpu/keyed.c"
END = "TOCSIN_RSEQ_END"
COUNTER_IN = ': : [area] "r"(area), [nr] "rm"(c->nr_cpus), [table] "r"(c->table), [off] "er"(off), [n] "er"(n)'

# What is broken, file, what stands there, what is put there, program and arguments. Blanks and line ends do not matter.
MUTANTS = (
    ("counter: the addition behind the section's end", "include/tocsin/percpu.h",
     rf'TOCSIN_RSEQ_INJECT(0) "addq %[n], (%%rax)" {END} {COUNTER_IN} : TOCSIN_RSEQ_CLOBBERS',
     rf'{END} "movq (%%rax), %%rdx\n\t" TOCSIN_RSEQ_INJECT(0) "addq %[n], %%rdx\n\t" "movq %%rdx, (%%rax)\n\t" {COUNTER_IN}'
     ' : TOCSIN_RSEQ_CLOBBERS, "rdx"', "stress counter 250 300"),
    ("load: behind the section's end", OP,
     rf'"movq (%%rdx), %%rax\n\t" TOCSIN_RSEQ_INJECT(3) "movq %%rax, 16(%[frame])" {END}',
     rf'{END} TOCSIN_RSEQ_INJECT(3) "movq (%%rdx), %%rax\n\t" "movq %%rax, 16(%[frame])\n\t"', "stress load 250 300"),
    ("store: behind the section's end", OP,
     rf'OP_ENTER "movq 16(%[frame]), %%rax\n\t" TOCSIN_RSEQ_INJECT(3) "movq %%rax, (%%rdx)" {END}',
     rf'OP_ENTER "movq 16(%[frame]), %%rax\n\t" {END} TOCSIN_RSEQ_INJECT(3) "movq %%rax, (%%rdx)\n\t"',
     "stress store 250 300"),
    ("add: the store behind the section's end", OP,
     rf'"addq 16(%[frame]), %%rax\n\t" TOCSIN_RSEQ_INJECT(3) "movq %%rax, (%%rdx)" {END}',
     rf'"addq 16(%[frame]), %%rax\n\t" {END} TOCSIN_RSEQ_INJECT(3) "movq %%rax, (%%rdx)\n\t"', "stress add 250 300"),
    ("compare-and-store: the store behind the section's end", OP,
     rf'"jne %l[unequal]\n\t" "movq 16(%[frame]), %%rax\n\t" TOCSIN_RSEQ_INJECT(3) "movq %%rax, (%%rdx)" {END}',
     rf'"jne %l[unequal]\n\t" "movq 16(%[frame]), %%rax\n\t" {END} TOCSIN_RSEQ_INJECT(3) "movq %%rax, (%%rdx)\n\t"',
     "stress cmpstore 250 300"),
    ("compare-and-store: stored before it is compared", OP,
     r'"cmpq 24(%[frame]), %%rax\n\t" "movq %%rax, 32(%[frame])\n\t" "jne %l[unequal]\n\t"',
     r'"cmpq 24(%[frame]), %%rax\n\t" "movq %%rax, 32(%[frame])\n\t"', "stress cmpstore 250 0"),
    ("push: on the list before it has its successor", OP,
     rf'"movq %%rax, (%%rcx)\n\t" TOCSIN_RSEQ_INJECT(3) "movq 40(%[frame]), %%rcx\n\t" "movq %%rcx, (%%rdx)" {END}',
     rf'"movq %%rcx, (%%rdx)\n\t" TOCSIN_RSEQ_INJECT(3) "movq 40(%[frame]), %%rcx\n\t" "movq %%rax, (%%rcx)" {END}',
     "stress list 250 300"),
    ("pop: taken off behind the section's end", OP,
     rf'"movq (%%rax), %%rax\n\t" TOCSIN_RSEQ_INJECT(3) "movq %%rax, (%%rdx)" {END}',
     rf'"movq (%%rax), %%rax\n\t" {END} TOCSIN_RSEQ_INJECT(3) "movq %%rax, (%%rdx)\n\t"', "stress list 250 300"),
    ("copy: the word behind the section's end", OP,
     rf'"rep movsb\n\t" "movq 16(%[frame]), %%rax\n\t" TOCSIN_RSEQ_INJECT(3) "movq %%rax, (%%rdx)" {END}',
     rf'"rep movsb\n\t" "movq 16(%[frame]), %%rax\n\t" {END} TOCSIN_RSEQ_INJECT(3) "movq %%rax, (%%rdx)\n\t"',
     "stress copy 250 300"),
    ("do_on_cpu: opened before the function runs", "src/percpu/percpu.c",
     "fn(p->items + (size_t)cpu * p->stride_bytes, cpu, arg); gate_open(p, (unsigned)cpu);",
     "gate_open(p, (unsigned)cpu); fn(p->items + (size_t)cpu * p->stride_bytes, cpu, arg);", "stress add 250 30"),
    ("do_on_each: not fenced", "src/percpu/percpu.c", "r = broken_fence(-1, -1);", "r = 0;", "stress each 250 300"),
    ("pool, take: the top behind the section's end", POOL,
     rf'"subq $8, %%rdx\n\t" TOCSIN_RSEQ_INJECT(21) "movq %%rdx, (%%rax)" {END}',
     rf'"subq $8, %%rdx\n\t" {END} TOCSIN_RSEQ_INJECT(21) "movq %%rdx, (%%rax)\n\t"', "stress_pool 20"),
    ("pool, give: the top behind the section's end", POOL,
     rf'"movq %[item], (%%rdx)\n\t" TOCSIN_RSEQ_INJECT(23) "movq %%rdx, (%%rax)" {END}',
     rf'"movq %[item], (%%rdx)\n\t" {END} TOCSIN_RSEQ_INJECT(23) "movq %%rdx, (%%rax)\n\t"', "stress_pool 20"),
    ("pool, give: the top before the cell", POOL,
     rf'"movq %[item], (%%rdx)\n\t" TOCSIN_RSEQ_INJECT(23) "movq %%rdx, (%%rax)" {END}',
     rf'"movq %%rdx, (%%rax)\n\t" TOCSIN_RSEQ_INJECT(23) "movq %[item], (%%rdx)" {END}', "stress_pool 20"),
    ("pool, a batch to the depot: the top behind the section's end", BATCH,
     rf'TOCSIN_RSEQ_INJECT(24) "movq %%rdx, (%%rax)" {END}', rf'{END} TOCSIN_RSEQ_INJECT(24) "movq %%rdx, (%%rax)\n\t"',
     "stress_pool 20"),
    ("pool, a batch from the depot: the top behind the section's end", BATCH,
     rf'TOCSIN_RSEQ_INJECT(25) "movq %%rdx, (%%rax)" {END}', rf'{END} TOCSIN_RSEQ_INJECT(25) "movq %%rdx, (%%rax)\n\t"',
     "stress_pool 20"),
    ("rcu, lock: marked with the period to come", RCU,
     "__atomic_store_n(&slot->mark, period, __ATOMIC_RELEASE);", "__atomic_store_n(&slot->mark, period + 1, __ATOMIC_RELEASE);",
     "stress_rcu 20"),
    ("rcu, lock: a nested one marks anew", RCU, "if (outer) { if (__builtin_expect((outer & TOCSIN_RCU_TRACING) != 0, 0)) {",
     "if (outer) { __atomic_store_n(&slot->mark, tocsin_rcu_period, __ATOMIC_RELEASE); if (outer & TOCSIN_RCU_TRACING) {",
     "stress_rcu 20"),
    ("rcu, unlock: written back before the last use", "tests/percpu/stress_rcu.c",
     "if (is_long) stress_sleep_ns(LONG_NS); look(object); unlock(token, false);",
     "unlock(token, false); if (is_long) stress_sleep_ns(LONG_NS); look(object);", "stress_rcu 20"),
    ("keyed: reclaimed without a grace period", KEYED, "r = tocsin_rcu_synchronize();", "r = 0;", "test_keyed"),
    ("keyed: found before it is written", KEYED,
     "if (keyed->init) keyed->init(keyed->arg, item->contents, key); __atomic_store_n(&keyed->buckets[bucket], item, "
     "__ATOMIC_RELEASE);", "__atomic_store_n(&keyed->buckets[bucket], item, __ATOMIC_RELEASE); "
     "if (keyed->init) keyed->init(keyed->arg, item->contents, key);", "test_keyed"),
    ("keyed: made without a second look under the lock", KEYED, "item = chain_find(keyed, bucket, key); if (!item) {",
     "item = NULL; if (!item) {", "test_keyed"),
    ("pmc: the counter read behind the section's end", PMC,
     rf'"jc 78f\n\t" PMC_RDPMC "movl %%eax, (%[frame])\n\t" "movl %%edx, 4(%[frame])\n" "78:\n\t" "cmpl 8(%[page]), %%r8d\n\t"'
     rf' "jne %l[changed]\n\t" "movl %%r9d, 16(%[frame])" {END}',
     rf'"jc 78f\n\t" {END} PMC_INDEX_LATE PMC_RDPMC "movl %%eax, (%[frame])\n\t" "movl %%edx, 4(%[frame])\n" "78:\n\t"'
     rf' "cmpl 8(%[page]), %%r8d\n\t" "jne %l[changed]\n\t" "movl %%r9d, 16(%[frame])\n\t"', "test_pmc"),
    ("pmc: no second look at the page", PMC, r'"cmpl 8(%[page]), %%r8d\n\t" "jne %l[changed]\n\t" "movl %%r9d, 16(%[frame])"',
     r'"movl %%r9d, 16(%[frame])"', "test_pmc"),
)

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\w+|\S')


def swap(text, old, new):
    """Replaces the one place where the tokens of `old` stand, whatever is between them."""
    pattern = r"(?:\s|\\\n|/\*.*?\*/)*".join(map(re.escape, TOKEN.findall(old)))
    text, times = re.subn(pattern, lambda _: new, text)
    check(times == 1, f"stands there {times} times: {old}")
    return text


def tree(folder):
    for part in ("include/tocsin", "src/percpu", "src/base", "src/abi", "tests/percpu"):
        shutil.copytree(ROOT / part, folder / part)
    (folder / "tests" / "unit").mkdir()
    for name in ("pmc", "keyed"):
        shutil.copy(ROOT / "tests" / "unit" / f"test_{name}.c", folder / "tests" / "unit")


def object_of(folder, program, source):
    return folder / program / source.replace("/", "_").replace(".c", ".o")


def compile_one(folder, program, source):
    """Compiles a source; what it was made of stands in a file beside the object."""
    made = object_of(folder, program, source)
    made.parent.mkdir(exist_ok=True)
    late = r'"movl $3000, %%ecx\n79:\n\tsubl $1, %%ecx\n\tjnz 79b\n\t"' if program == "test_pmc" else '""'
    done = subprocess.run(["cc", *FLAGS, f"-DPMC_INDEX_LATE={late}", f"-I{folder}/include", f"-I{folder}/src",
                           f"-I{folder}/tests/percpu", "-MMD", "-c", folder / source, "-o", made],
                          capture_output=True, text=True, timeout=120)
    check(done.returncode == 0, f"does not compile: {done.stderr[:2000]}")
    return made


def link(folder, program, objects):
    base = [BUILT / "libpercpu_test_base.a", BUILT.parents[1] / "src" / "base" / "libbase.a"]
    check(all(path.exists() for path in base), f"not built: {base}")
    done = subprocess.run(["cc", "-o", folder / program / "run", *objects, *base, *PROGRAMS[program][1], "-pthread"],
                          capture_output=True, text=True, timeout=120)
    check(done.returncode == 0, f"does not link: {done.stderr[:2000]}")


class Builds:
    """The programs as the sources are, and of each mutant what is made of the file that it changes; as many at once as there
    are CPUs, and all of it before the first of them runs."""

    def __init__(self):
        made = pathlib.Path(tempfile.mkdtemp(prefix="tocsin-mutant-"))
        atexit.register(shutil.rmtree, made, True)
        self.right = made / "right"
        tree(self.right)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            self.objects = {(program, source): pool.submit(compile_one, self.right, program, source)
                            for program, (sources, _) in PROGRAMS.items() for source in sources}
            # These wait for objects, which were all begun before.
            self.programs = {program: pool.submit(self.link_right, program) for program in PROGRAMS}
            self.mutants = {name: pool.submit(self.mutant, made / str(number), path, old, new, words.split()[0])
                            for number, (name, path, old, new, words) in enumerate(MUTANTS)}

    def object(self, program, source):
        return self.objects[program, source].result()

    def link_right(self, program):
        link(self.right, program, [self.object(program, source) for source in PROGRAMS[program][0]])

    def is_made_of(self, program, source, path):
        listed = self.object(program, source).with_suffix(".d").read_text().replace("\\\n", " ").split()
        return str(self.right / path) in map(os.path.normpath, listed)

    def mutant(self, folder, path, old, new, program):
        tree(folder)
        (folder / path).write_text(swap((folder / path).read_text(), old, new))
        sources = PROGRAMS[program][0]
        changed = [source for source in sources if self.is_made_of(program, source, path)]
        check(changed, f"{program} is not made of {path}")
        link(folder, program, [compile_one(folder, program, source) if source in changed else self.object(program, source)
                               for source in sources])
        return folder


@functools.lru_cache(None)
def builds():
    if os.uname().machine != "x86_64":
        raise Skip("the mutants are written for x86-64's instructions")
    return Builds()


def notices(folder, words):
    """Whether the program notices that something is broken."""
    program, *args = words.split()
    done = subprocess.run([folder / program / "run", *args], capture_output=True, text=True, timeout=120)
    said = (done.stdout + done.stderr).strip()
    check("Bail out" not in said and not (program == "stress" and done.returncode == 2), f"the test did not run: {said}")
    if "SKIP" in said:
        raise Skip(said)
    if done.returncode < 0:
        return True, f"crashed by signal {-done.returncode}"
    return (done.returncode == 0) == (program in SAYS_CAUGHT), said


def add(name, words):
    @suite.test(f"caught: {name}")
    def case(run):
        folder = builds().mutants[name].result()
        for number in range(1, TRIES + 1):
            found, said = notices(folder, words)
            if found:
                run.note(f"try {number}: {said.splitlines()[0] if said else ''}")
                return
            if not words.startswith("stress "):
                break
        raise Failed(f"not noticed: {said}")


@suite.test("the same programs, as the sources are, notice nothing")
def untouched(run):
    for program in builds().programs.values():
        program.result()
    for words in sorted({words for *_, words in MUTANTS}):
        found, said = notices(builds().right, words.replace(" 20", " 1"))
        check(not found, f"{words}: {said}")


for mutant, *_, how in MUTANTS:
    add(mutant, how)
suite.main()
