#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes rings that are broken on purpose, each in one place, so that the stress test can show that it would notice.

broken.py NAME SRC OUT: one translation unit with the headers of src/ring expanded and one piece of text replaced.
broken.py --list: the names, with the options of the stress program that bring it out.
"""

import pathlib
import re
import sys

FAST_COMMIT = '"addq %[step], %c[at_head](%%r8)\\n\\t"             \\\n'
FAST_HEADER = '"movl %%eax, 4 + %c[at_data](%%r8,%%r9)\\n\\t"      \\\n'

# name: (translation unit, what stands there, what is put there, options of the stress program)
BROKEN = {
    # The head is stored before the payload: a reader meets a record that is not whole.
    "commit_first": (
        "tests/ring/stress_writer.c", (FAST_COMMIT, FAST_HEADER), ("", FAST_HEADER + "\t" + FAST_COMMIT),
        "delay=3:400"),
    # The epoch is stored before the record that has it: an abort in between, and half a time has no other half.
    "epoch_first": (
        "src/ring/slow.c", "\tif (ring_exact_commit(a->w, &x) != TOCSIN_RSEQ_DONE)",
        "\t__atomic_store_n(&ring->epoch, (uint32_t)(time >> 32), __ATOMIC_RELAXED);\n"
        "\tif (ring_exact_commit(a->w, &x) != TOCSIN_RSEQ_DONE)",
        "retire=1 delay=6:20000 signals=1"),
    # The head is not compared inside the section: two records at one place.
    "head_unchecked": (
        "src/ring/exact.h:src/ring/slow.c", '"cmpq %c[at_head](%%r8), %%r9\\n\\t"                \\\n\t"jne %l[moved]\\n\\t"',
        '"cmpq %c[at_head](%%r8), %%r9\\n\\t"',
        "monotonic=1 signals=1 delay=10:2000"),
    # The ring is not compared inside the section: a thread that moved writes to the ring it came from.
    "ring_unchecked": (
        "src/ring/exact.h:src/ring/slow.c", '"cmpq %c[x_ring](%[x]), %%r8\\n\\t"                 \\\n\t"jne %l[moved]\\n\\t"',
        '"movq %c[x_ring](%[x]), %%r8\\n\\t"',
        "monotonic=1 migrate=1 delay=10:100 delay=8:1000"),
    # The clock is read before the head: what came in between is younger.
    "clock_first": (
        "src/ring/slow.c", "\tuint64_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);",
        "\tuint64_t early = ring_clock();\n\tRING_POINT(10);\n"
        "\tuint64_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);\n#define ring_clock() early",
        "monotonic=1 signals=1 delay=10:2000"),
    # A limit beyond the tail: what was not read is overwritten.
    "limit_too_far": (
        "src/ring/slow.c", "mark ? mark : ring->data_bytes);", "mark ? mark : ring->data_bytes + 4096);",
        "read=2000"),
    # A loss that is not counted.
    "loss_unsaid": (
        "src/ring/slow.c", "\tif (ring_exact_lose(a->w, &x) != TOCSIN_RSEQ_DONE)\n\t\treturn NEXT_AGAIN;", "",
        "read=2000"),
    # The reader of an overwriting ring does not look again after its copy.
    "copy_unchecked": (
        "src/ring/reader_overwrite.c", "\treturn oldest_safe(r, head) <= r->group;", "\t(void)head;\n\treturn true;",
        "mode=overwrite delay=19:2000"),
    # A group is announced after it was begun.
    "group_unannounced": (
        "src/ring/slow.c", "\tif (is_first)\n\t\tenter_group(ring, group);", "",
        "mode=overwrite delay=19:2000"),
    # The first record of a group has half a time.
    "group_compact": (
        "src/ring/slow.c", "\tif (is_first || a->id", "\tif ((is_first && 0) || a->id",
        "mode=overwrite"),
    # Now and then a record of an overwriting ring does not get there.
    "record_dropped": (
        "src/ring/slow.c", "\tunsigned rounds = 0;\n",
        "\tunsigned rounds = 0;\n\tstatic unsigned calls;\n\n\tif (++calls % 4 == 3)\n\t\treturn NEXT_DONE;\n",
        "mode=overwrite"),
    # Side ring: the tag is there before the record.
    "tag_first": (
        "src/ring/side.c", "\tRING_POINT(14);",
        "\t{\n\t\tstruct ring_slot *s = &ring_slots(side)[number_of(head) & (side->slots - 1)];\n"
        "\t\ts->start = units_of(head);\n\t\ts->units = units;\n"
        "\t\t__atomic_store_n(&s->tag, ring_slot_tag(number_of(head)), __ATOMIC_RELEASE);\n\t}\n\tRING_POINT(14);",
        "rseq=0 delay=14:400"),
    # Side ring: the clock is read before the head.
    "side_clock_first": (
        "src/ring/side.c", "\tdo {\n\t\tif (!find_room", "\tuint64_t early = ring_clock();\n\tRING_POINT(13);\n"
        "\tdo {\n#define ring_clock() early\n\t\tif (!find_room",
        "rseq=0 delay=13:400"),
    # Side ring: room is taken from a record whose writer is not done.
    "drop_unfinished": (
        "src/ring/side.c", "\tif (tag != ring_slot_tag(number_of(tail)))\n"
        "\t\treturn __atomic_load_n(&side->tail, __ATOMIC_ACQUIRE) != tail;\n", "\t(void)tag;\n",
        "rseq=0 mode=overwrite delay=14:40"),
    # Where the successor of a killed reader goes on is not written down.
    "mark_unwritten": (
        "src/ring/reader.c", "\t\t__atomic_store_n(&mark->pos, tail, __ATOMIC_RELEASE);", "\t\t(void)mark;",
        "restarts=1"),
}

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"\s*$', re.M)


def expand(src, path, done):
    """The text of a file with the headers of src/ring and tests/ring put in, each once."""
    def replace(match):
        for base in (path.parent, src / "src"):
            header = (base / match[1]).resolve()
            if header.exists() and header.parent.name == "ring" and header.suffix == ".h":
                if header in done:
                    return ""
                done.add(header)
                return expand(src, header, done)
        return match[0]
    return INCLUDE.sub(replace, path.read_text())


def make(name, src, out):
    where, old, new, _ = BROKEN[name]
    unit = src / where.split(":")[-1]
    text = expand(src, unit, set())
    for before, after in zip(*((old, new) if isinstance(old, tuple) else ((old,), (new,)))):
        if text.count(before) != 1:
            sys.exit(f"broken.py: {name}: the text to be replaced stands {text.count(before)} times in {unit}")
        text = text.replace(before, after)
    out.write_text(text)


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        for name, how in BROKEN.items():
            print(name, how[3])
    else:
        make(sys.argv[1], pathlib.Path(sys.argv[2]).resolve(), pathlib.Path(sys.argv[3]))
