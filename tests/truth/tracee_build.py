#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs built as users build them: every compiler, standard and level gives a program that records what it emitted, and a
mistake in an event is an error of the compiler, not of the trace."""

import itertools
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import tracee  # noqa: E402
from tocsin import ROOT, Skip, Suite, check  # noqa: E402

LIBRARY = pathlib.Path(os.environ["TOCSIN_LIBRARY"])  # directory of libtocsin.so and libtocsin.a
STRICT = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"]
COMPILERS = {"gcc": ("-std=c11", "-Wpedantic"), "clang": ("-std=c11", "-Wpedantic"), "g++": ("-std=c++17", "-Wpedantic"),
             "clang++": ("-std=c++17",)}
BUILDS = [("gcc", "-O0"), ("gcc", "-O3", "-flto"), ("gcc", "-Os", "-static-pie"), ("clang", "-O0"), ("clang", "-O3"), ("g++", "-O0"),
          ("g++", "-O2", "-flto"), ("clang++", "-O1"), ("gcc", "-O2", "-fno-pie", "-no-pie", "archive"), ("g++", "-O2", "-fPIC", "archive"),
          ("gcc", "-O2", "-ffunction-sections", "-Wl,--gc-sections")]

suite = Suite(needs=())


def compile_(run, compiler, args, source, out, link=True):
    if not shutil.which(compiler):
        raise Skip(f"no {compiler}")
    language = ["-x", "c++"] if compiler.endswith("++") else []
    command = [compiler, *COMPILERS[compiler], *STRICT, "-D_GNU_SOURCE", f"-I{ROOT}/include", *language, str(source)]
    flags = [a for a in args if a != "archive"]
    if not link:
        command += ["-fsyntax-only"]
    elif "archive" in args or "-static-pie" in args:
        command += ["-x", "none", str(LIBRARY / "libtocsin.a"), "-pthread", "-o", str(out)]
    else:
        command += ["-x", "none", f"-L{LIBRARY}", "-ltocsin", f"-Wl,-rpath,{LIBRARY}", "-pthread", "-o", str(out)]
    return subprocess.run([*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


for build in BUILDS:
    @suite.test("kinds: " + " ".join(build))
    def _(run, build=build):
        out = pathlib.Path(run.scratch) / "kinds"
        done = compile_(run, build[0], build[1:], ROOT / "tests/tracee/kinds.c", out)
        check(done.returncode == 0, done.stdout)
        t = tracee.run_kinds(run, out)
        tracee.same(t.truth(), t.page.records())
        check("evaluated 0" in t.lines, "fields of an event that is off were evaluated")


INLINE = """
#include <tocsin/tocsin.h>
#include <cstdio>
inline void shared(unsigned n) { tocsin_event("cpp", "inline", TF_U32("n", n)); }
template <class T> T twice(T n) { tocsin_event("cpp", "template", TF_U64("n", (unsigned long)n)); tocsin_section("cpp", TOCSIN_S); return 2 * n; }
struct Thing {
	Thing(const char *name) { tocsin_event("cpp", "made", TF_STR("name", name)); }
	~Thing() { tocsin_event("cpp", "gone"); }
};
static Thing global("global");
void other(unsigned n);
#ifdef SECOND
void other(unsigned n) { shared(n); twice(n); twice((long)n); }
#else
int main()
{
	char line[8];
	auto lambda = [](unsigned n) { tocsin_event("cpp", "lambda", TF_U32("n", n), TF_PTR("null", nullptr)); };
	std::puts("ready"); std::fflush(stdout);
	if (!std::fgets(line, 8, stdin)) return 1;
	shared(1); twice(2u); twice(3ul); lambda(4); other(5);
	try { Thing t("local"); throw 1; } catch (int) { shared(6); }
	std::puts("done"); std::fflush(stdout);
	return std::fgets(line, 8, stdin) ? 0 : 1;
}
#endif
"""
INLINE_WANT = [("inline", 1), ("template", 2), ("template", 3), ("lambda", 4), ("inline", 5), ("template", 5), ("template", 5),
               ("made", "local"), ("gone", None), ("inline", 6)]
for compiler, level in itertools.product(("g++", "clang++"), ("-O0", "-O2")):
    @suite.test(f"inline functions, templates, lambdas, destructors in two files: {compiler} {level}")
    def _(run, compiler=compiler, level=level):
        source, out = pathlib.Path(run.scratch) / "inline.cpp", pathlib.Path(run.scratch) / "inline"
        source.write_text(INLINE)
        objects = []
        for name, define in (("one", []), ("two", ["-DSECOND"])):
            objects.append(str(pathlib.Path(run.scratch) / f"{name}.o"))
            if not shutil.which(compiler):
                raise Skip(f"no {compiler}")
            done = subprocess.run([compiler, "-std=c++17", level, *STRICT, "-fPIC", *define, f"-I{ROOT}/include", "-c", str(source), "-o",
                                   objects[-1]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            check(done.returncode == 0, done.stdout)
        done = subprocess.run([compiler, *objects, f"-L{LIBRARY}", "-ltocsin", f"-Wl,-rpath,{LIBRARY}", "-o", str(out)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        check(done.returncode == 0, done.stdout)
        t = tracee.Traced(run, out)
        t.page.session()
        t.page.enable(lambda cls: cls.provider == "cpp")
        t.go().until("done")
        got = [(r.cls.name, next(iter(r.fields.values()), None)) for r in t.page.records()]
        check(got == INLINE_WANT, f"recorded {got}")


MISTAKES = {  # what: statement
    "text for a number": 'tocsin_event("p", "n", TF_U32("a", "text"))',
    "pointer for a number": 'tocsin_event("p", "n", TF_U64("a", pointer))',
    "fraction for an integer": 'tocsin_event("p", "n", TF_U64("a", 1.5))',
    "64 bits for 32": 'tocsin_event("p", "n", TF_U32("a", wide))',
    "number for a text": 'tocsin_event("p", "n", TF_STR("a", 5))',
    "other pointer for a text": 'tocsin_event("p", "n", TF_STR("a", pointer))',
    "struct for a number": 'tocsin_event("p", "n", TF_U32("a", thing))',
    "elements of another type": 'tocsin_event("p", "n", TF_ARRAY("a", U64, pointer, 4))',
    "array of a length that is no constant": 'tocsin_event("p", "n", TF_ARRAY("a", S32, pointer, number))',
    "unknown type of elements": 'tocsin_event("p", "n", TF_SEQ("a", INT, pointer, 3, 4))',
    "name of a field that is no literal": 'tocsin_event("p", "n", TF_U32(name, 5))',
    "name that is no literal": 'tocsin_event("p", name, TF_U32("a", 5))',
    "no name": 'tocsin_event("p")',
    "field that is none": 'tocsin_event("p", "n", number)',
    "17 fields": 'tocsin_event("p", "n", ' + ", ".join(f'TF_U8("f{i}", 1)' for i in range(17)) + ")",
    "too large": 'tocsin_event("p", "n", TF_BLOB("a", pointer, wide, 70000))',
    "text of no room": 'tocsin_event("p", "n", TF_STRN("a", name, 1))',
    "level that is no constant": 'tocsin_event_level(number, "p", "n")',
    "name of a section that is no literal": 'tocsin_section(name, 5)',
}
RIGHT = {
    "all that the others use": 'tocsin_event("p", "n", TF_U32("a", number), TF_STR("b", name), TF_ARRAY("c", S32, pointer, 4), '
                               'TF_U64("d", wide), TF_S32("e", thing.x)); tocsin_section("s", 5)',
}
PROGRAM = """#include <tocsin/tocsin.h>
struct thing { int x; };
void test(int number, unsigned long wide, const char *name, int *pointer, struct thing thing);
void test(int number, unsigned long wide, const char *name, int *pointer, struct thing thing)
{
	(void)number; (void)wide; (void)name; (void)pointer; (void)thing;
	%s;
}
"""
for what, statement in {**RIGHT, **MISTAKES}.items():
    @suite.test(f"compilers on: {what}")
    def _(run, what=what, statement=statement):
        source = pathlib.Path(run.scratch) / "mistake.c"
        source.write_text(PROGRAM % statement)
        for compiler in COMPILERS:
            # Without -Werror: a mistake must not be a matter of warnings.
            if not shutil.which(compiler):
                run.note(f"no {compiler}")
                continue
            language = ["-x", "c++"] if compiler.endswith("++") else []
            done = subprocess.run([compiler, COMPILERS[compiler][0], "-w", f"-I{ROOT}/include", *language, "-c", str(source), "-o", "/dev/null"],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            check((done.returncode == 0) == (what in RIGHT), f"{compiler}: {done.stdout or 'compiles'}")


@suite.test("libtocsin.a beside functions named as those inside it", needs=("program:gcc", "program:nm"))
def _(run):
    names = subprocess.run(["nm", "-g", "--defined-only", str(LIBRARY / "libtocsin.a")], stdout=subprocess.PIPE, text=True, check=True)
    foreign = [line.split()[-1] for line in names.stdout.splitlines() if len(line.split()) == 3 and "tocsin_" not in line]
    check(not foreign, f"not tocsin_*: {foreign}")
    source, out = pathlib.Path(run.scratch) / "names.c", pathlib.Path(run.scratch) / "names"
    source.write_text("#include <tocsin/tocsin.h>\n" + "".join(f"int {n}(void);\nint {n}(void)\n{{ return 3; }}\n" for n in (
        "ring_init", "page_make", "gate_open", "filter_passes")) +
        'int main(void)\n{ tocsin_event("names", "x", TF_U32("n", 1)); return ring_init() + page_make(); }\n')
    done = compile_(run, "gcc", ["archive"], source, out)
    check(done.returncode == 0, done.stdout)
    check(subprocess.run([str(out)]).returncode == 6, "its own functions were not called")


for compiler, header in itertools.product(COMPILERS, ("tocsin", "event", "section", "types")):
    @suite.test(f"header tocsin/{header}.h by itself: {compiler}")
    def _(run, compiler=compiler, header=header):
        source = pathlib.Path(run.scratch) / "header.c"
        source.write_text(f"#include <tocsin/{header}.h>\n#include <tocsin/{header}.h>\n")
        done = compile_(run, compiler, [], source, None, link=False)
        check(done.returncode == 0, done.stdout)


if __name__ == "__main__":
    suite.main()
