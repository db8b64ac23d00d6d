# SPDX-License-Identifier: MIT
"""A collector in a page of Python: finds control pages, starts sessions, reads rings, decodes records.

Written from docs/formats/control.md and ring.md and not from the C code, so that the two check one another. It is slow and
trusts the process; the programs that it looks at are our own.
"""

import ctypes
import fcntl
import json
import mmap
import os
import struct
import subprocess

from tocsin import check

CONTROL_MAGIC = 0x6C74436E6973636F
CONTROL_ABI = 1
CONTROL_BYTES = 0x100000
SESSION_AT, RINGS_AT, ENABLE_AT, FILTER_OF_AT, FILTERS_AT, CLASSES_AT = 0x1000, 0x2000, 0xA000, 0xB000, 0x10000, 0x20000
NR_CLASSES = 4096
ON_FILTER, ON_CALL = 0x10, 0x80
DISCARD, OVERWRITE, BLOCK = 0, 1, 2
INHERIT, AUTO = 1, 2
CONTEXTS = [("tid", 3, 0), ("pid", 3, 0), ("comm", 17, 16), ("cpu", 3, 0), ("cookie", 4, 0), ("perf0", 4, 0), ("perf1", 4, 0)]
LOSSES = ["no_ring", "other_abi", "nested", "no_class", "no_field", "bad_layout", "sections_deep", "sections_keyed", "stopped",
          "tracing_inside", "tracing_trap", "tracing_deep", "tracing_frozen"]
SCALARS = {1: "<B", 2: "<H", 3: "<I", 4: "<Q", 5: "<b", 6: "<h", 7: "<i", 8: "<q", 9: "<f", 10: "<d", 11: "<?", 12: "<Q"}
STRING, ARRAY, SEQUENCE, BLOB, TEXT = 13, 14, 15, 16, 17

ARENA_MAGIC = 0x616E657261636F74
ARENA_HEAD_BYTES = 0xA0000
ARENA_PLACES_AT = 0x10000


def align(n, to):
    return (n + to - 1) // to * to


def text_at(data, at):
    return bytes(data[at:data.index(b"\0", at)]).decode("utf-8", "replace")


class Field:
    def __init__(self, name, type_, flags, elem, count, labels):
        self.name, self.type, self.flags, self.elem, self.count, self.labels = name, type_, flags, elem, count, labels


class Class:
    def __init__(self, data):
        (self.bytes, self.id, self.level, nr_fields, nr_labels, self.line, provider, name, file, self.flags) = struct.unpack_from(
            "<IHBBIIIIII", data)
        self.provider, self.name, self.file = (text_at(data, at) for at in (provider, name, file))
        labels = []
        for i in range(nr_labels):
            first, last, text, _ = struct.unpack_from("<qqII", data, 32 + 16 * nr_fields + 24 * i)
            labels.append((first, last, text_at(data, text)))
        self.fields = []
        for i in range(nr_fields):
            t, flags, elem, _, count, name, first, nr = struct.unpack_from("<BBBBIIHH", data, 32 + 16 * i)
            self.fields.append(Field(text_at(data, name), t, flags, elem, count, labels[first:first + nr]))

    def __repr__(self):
        return f"{self.provider}:{self.name}"


def read_field(data, at, f):
    """-> value, where it ends"""
    if f.type in SCALARS:
        size = struct.calcsize(SCALARS[f.type])
        at = align(at, size)
        return struct.unpack_from(SCALARS[f.type], data, at)[0], at + size
    if f.type == STRING:
        end = data.index(b"\0", at)
        assert end - at < f.count, "a text longer than its bound"
        return data[at:end].decode(), end + 1
    if f.type == TEXT:
        return data[at:at + f.count].rstrip(b"\0").decode(), at + f.count
    elem = SCALARS[f.elem]
    size = struct.calcsize(elem)
    nr = f.count
    if f.type in (SEQUENCE, BLOB):
        at = align(at, 4)
        nr = struct.unpack_from("<I", data, at)[0]
        at += 4
        assert nr <= f.count, "a sequence longer than its bound"
    at = align(at, size)
    values = [struct.unpack_from(elem, data, at + i * size)[0] for i in range(nr)]
    return values, at + nr * size


class Record:
    def __init__(self, time, cls, context, fields):
        self.time, self.cls, self.context, self.fields = time, cls, context, fields

    def __repr__(self):
        return f"{self.cls} {self.fields}"


class Ring:
    """One ring: records() gives those that are new, and moves the tail."""

    def __init__(self, fd, offset, size):
        self.map = mmap.mmap(fd, size, offset=offset)
        self.header_bytes = struct.unpack_from("<I", self.map, 8)[0]
        self.kind, self.mode = struct.unpack_from("<HH", self.map, 12)
        self.data_bytes = struct.unpack_from("<Q", self.map, 16)[0]
        self.slots = struct.unpack_from("<I", self.map, 40)[0]
        self.time = 0
        self.number = 0
        assert struct.unpack_from("<I", self.map, 0)[0] == 0x676E6972, "not a ring"

    def u64(self, at):
        return struct.unpack_from("<Q", self.map, at)[0]

    @property
    def lost(self):
        return self.u64(256)

    def bytes_at(self, position, n):
        at = position % self.data_bytes
        first = self.map[self.header_bytes + at:self.header_bytes + min(at + n, self.data_bytes)]
        return first + self.map[self.header_bytes:self.header_bytes + n - len(first)]

    def raw(self):
        """(time, id, payload) of what is new; indexed rings in discarding mode, and side rings whose records are whole."""
        side = self.kind == 2
        head, tail = self.u64(128), self.u64(384)
        if side:  # units << 32 | number
            number, end = tail & 0xFFFFFFFF, head & 0xFFFFFFFF
            head, tail = head >> 32, tail >> 32
            head, tail = head * 8, tail * 8
        out = []
        while tail != head:
            id_, words, low = struct.unpack("<HHI", self.bytes_at(tail, 8))
            assert words > 0, "a record of no length"
            body = self.bytes_at(tail, words * 8)
            skip = 8
            if id_ == 65535:
                id_, self.time = struct.unpack_from("<IQ", body, 4)
                skip = 16
            else:
                assert not side, "a compact record in a side ring"
                self.time = self.time & ~0xFFFFFFFF | low
            out.append((self.time, id_, body[skip:]))
            tail += words * 8
        struct.pack_into("<Q", self.map, 384, (tail // 8) << 32 | end if side else tail)
        return out


class Page:
    """The control page of a process, and its session."""

    def __init__(self, fd, pid, offset=0):
        self.pid, self.fd, self.offset = pid, fd, offset
        self.map = mmap.mmap(fd, CONTROL_BYTES, offset=offset)
        self.rings = {}
        self.context_masks = []

    def u32(self, at):
        return struct.unpack_from("<I", self.map, at)[0]

    def u64(self, at):
        return struct.unpack_from("<Q", self.map, at)[0]

    @property
    def tgid(self):
        return self.u32(16)

    @property
    def attended(self):
        return self.u32(128)

    def losses(self):
        values = struct.unpack_from(f"<{len(LOSSES)}Q", self.map, 200)
        return {name: n for name, n in zip(LOSSES, values) if n}

    def classes(self):
        used, out, at = self.u32(72), [], 0
        while at < used:
            size = self.u32(CLASSES_AT + at)
            out.append(Class(self.map[CLASSES_AT + at:CLASSES_AT + at + size]))
            at += size
        return out

    def session(self, contexts=(), mode=DISCARD, ring_bytes=1 << 20, side_bytes=1 << 20, flags=INHERIT | AUTO, rules=()):
        begin_session(self.map, SESSION_AT, contexts, mode, ring_bytes, side_bytes, flags, rules)

    def enable(self, select=lambda cls: True, layout=0, filter_=0, call=False):
        for cls in self.classes():
            if select(cls):
                if filter_:
                    struct.pack_into("<H", self.map, FILTER_OF_AT + 2 * cls.id, filter_)
                self.map[ENABLE_AT + cls.id] = layout + 1 | (ON_FILTER if filter_ else 0) | (ON_CALL if call else 0)
        return self

    def disable(self):
        for cls in self.classes():
            self.map[ENABLE_AT + cls.id] = 0

    def call(self):
        for cls in self.classes():
            self.map[ENABLE_AT + cls.id] |= ON_CALL

    def put_filter(self, nr, program, at=0x800):
        self.map[FILTERS_AT + at:FILTERS_AT + at + len(program)] = program
        struct.pack_into("<II", self.map, FILTERS_AT + 8 * nr, at, len(program))

    def ring_table(self):
        for i in range(min(self.u32(80), 512)):
            state, kind, mode, index, fd, offset, size, addr, inode = struct.unpack_from("<IHHIiQQQQ", self.map, RINGS_AT + 64 * i)
            if state == 1:
                yield i, fd, offset, size, inode

    def open_rings(self):
        for i, fd, offset, size, inode in self.ring_table():
            if i not in self.rings:
                here = self.fd if fd < 0 else os.open(f"/proc/{self.pid}/fd/{fd}", os.O_RDWR)
                assert os.fstat(here).st_ino == inode, "the ring's descriptor is another file"
                self.rings[i] = Ring(here, offset, size)
                if fd >= 0:
                    os.close(here)
        return self.rings

    def records(self):
        """All new records, by ring in order; merged by time."""
        out = []
        masks = struct.unpack_from("<16I", self.map, SESSION_AT + 72)
        classes = {cls.id: cls for cls in self.classes()}
        for ring in self.open_rings().values():
            last = 0
            for time, id_, payload in ring.raw():
                assert time >= last, "time went back within a ring"
                last = time
                out.append(decode(time, classes[id_ % NR_CLASSES], masks[id_ // NR_CLASSES], payload))
        out.sort(key=lambda r: r.time)
        return out

    @property
    def lost(self):
        return sum(ring.lost for ring in self.open_rings().values())


def begin_session(map_, at, contexts=(), mode=DISCARD, ring_bytes=1 << 20, side_bytes=1 << 20, flags=INHERIT | AUTO, rules=()):
    mask = sum(1 << i for i, (name, _, _) in enumerate(CONTEXTS) if name in contexts)
    generation = struct.unpack_from("<I", map_, at + 4)[0]
    struct.pack_into("<II", map_, at + 8, os.getpid(), flags)
    struct.pack_into("<QQIIQQ", map_, at + 16, 1, 0x1234, mode, 0, ring_bytes, side_bytes)
    struct.pack_into("<IIII", map_, at + 56, 0, 0, 0, 2)
    struct.pack_into("<II", map_, at + 72, 0, mask)  # layout 0: none; layout 1: those asked for
    struct.pack_into("<I", map_, at + 136, len(rules))
    for i, (pattern, level, enable, filter_) in enumerate(rules):
        struct.pack_into("<56sBBHI", map_, at + 160 + 64 * i, pattern.encode(), level, enable, filter_, 0)
    struct.pack_into("<I", map_, at, CONTROL_ABI)
    struct.pack_into("<I", map_, at + 4, generation + 1)


def decode(time, cls, mask, payload):
    context, fields, at = {}, {}, 0
    for i, (name, type_, count) in enumerate(CONTEXTS):
        if mask & 1 << i:
            context[name], at = read_field(payload, at, Field(name, type_, 0, 0, count, []))
    at = align(at, 8) if mask else 0
    for f in cls.fields:
        fields[f.name], at = read_field(payload, at, f)
    assert align(at, 8) == len(payload), f"{cls}: a payload of {len(payload)} bytes, {at} used"
    assert not any(payload[at:]), "padding that is not zero"
    return Record(time, cls, context, fields)


def is_page(map_):
    return struct.unpack_from("<QI", map_, 0) == (CONTROL_MAGIC, CONTROL_ABI)


def find(pid, every=False):
    """The control page of a process: the one that is its own; with `every`, all that are found in its descriptors."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{name}") != "/memfd:tocsin-control (deleted)":
                continue
            fd = os.open(f"/proc/{pid}/fd/{name}", os.O_RDWR)
        except FileNotFoundError:
            continue
        page = Page(fd, pid)
        if is_page(page.map) and (every or page.tgid == pid):
            found.append(page)
    return found if every else found[0] if found else None


class Arena:
    """An arena to start programs in: inherit .fd and set .env."""

    def __init__(self, rules, size=1 << 36, contexts=(), **session):
        self.fd = os.memfd_create("tocsin-arena", os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, size)
        fcntl.fcntl(self.fd, 1033, 0x2 | 0x4)  # F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW
        os.set_inheritable(self.fd, True)
        self.env = {"TOCSIN_ARENA": str(self.fd)}
        self.map = mmap.mmap(self.fd, ARENA_HEAD_BYTES)
        begin_session(self.map, 0x1000, contexts=contexts, rules=rules, **session)
        struct.pack_into("<QIIQQ", self.map, 0, ARENA_MAGIC, CONTROL_ABI, 0, size, ARENA_HEAD_BYTES)

    @property
    def refused(self):
        return struct.unpack_from("<Q", self.map, 40)[0]

    def pages(self):
        nr = min(struct.unpack_from("<I", self.map, 32)[0], 32768)
        out = []
        for i in range(nr):
            offset, pid, _ = struct.unpack_from("<QII", self.map, ARENA_PLACES_AT + 16 * i)
            if offset:
                out.append(Page(self.fd, pid, offset))
        return out


def filter_program(tests, names):
    """tests: (op, literal, name number, yes, no, value: int or bytes)"""
    body, texts = b"", b""
    names_at = 8 + 16 * len(tests)
    texts_at = names_at + 4 * len(names)
    offsets = []
    for name in names:
        offsets.append(texts_at + len(texts))
        texts += name.encode() + b"\0"
    for op, literal, name, yes, no, value in tests:
        if isinstance(value, bytes):
            at = texts_at + len(texts)
            texts += value
            value = at << 32 | len(value)
        body += struct.pack("<BBBBHHQ", op, literal, name, 0, yes, no, value & (1 << 64) - 1)
    head = struct.pack("<IHH", texts_at + len(texts), len(tests), len(names))
    return head + body + b"".join(struct.pack("<I", o) for o in offsets) + texts


class Traced:
    """A program that waits for a line before it begins and before it ends."""

    def __init__(self, run, *argv, env=None):
        self.process = subprocess.Popen([str(a) for a in argv], env=dict(os.environ, **(env or {})), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        run.defer(self.destroy)
        self.lines = []
        self.until("ready")
        self.page = find(self.process.pid)
        check(self.page, "the program has no control page")

    def until(self, word):
        for line in self.process.stdout:
            if line.strip() == word:
                return self.lines
            self.lines.append(line.strip())
        raise AssertionError(f"the program ended with {self.process.wait()} before it said '{word}'")

    def go(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self

    def finish(self):
        self.go()
        self.until_end = self.process.stdout.read()
        check(self.process.wait(20) == 0, f"the program ended with {self.process.returncode}")

    def destroy(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def truth(self):
        return [json.loads(line) for line in self.lines if line.startswith("{")]
