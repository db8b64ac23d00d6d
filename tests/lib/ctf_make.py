# SPDX-License-Identifier: MIT
"""Traces of random types and values in CTF 1.8, written as the specification says and not as our own code does.

make(directory, seed) writes a trace and returns its events in order of time: [(ns, name, packet context, contexts, fields)].
Enumerations are their label, or the number where there is none; structures are dicts, arrays lists, the option of a variant
{option: value}.
"""

import json
import os
import random
import struct
import uuid

MAGIC = 0xC1FC1FC1


class Bits:
    """Bits in a row: the lowest of a byte first for little endian, the highest first for big endian."""

    def __init__(self):
        self.bits = []

    def align(self, to):
        self.bits += [None] * (-len(self.bits) % to)

    def put(self, value, size, big):
        value &= (1 << size) - 1
        order = range(size - 1, -1, -1) if big else range(size)
        # Which end of a byte comes first is known when the byte is put together.
        self.bits += [(value >> i & 1, big) for i in order]

    def data(self):
        out = bytearray()
        for at in range(0, len(self.bits), 8):
            byte = 0
            group = self.bits[at:at + 8]
            big = next((b[1] for b in group if b), False)
            for i, bit in enumerate(group):
                if bit and bit[0]:
                    byte |= 1 << (7 - i if big else i)
            out.append(byte)
        return bytes(out)


class Int:
    def __init__(self, size, align=None, signed=False, big=False, base=10, clock=None, text=False):
        # Babeltrace 2.0 shows some numbers to other bases than ten as 0x0.
        self.size, self.signed, self.big, self.base, self.clock, self.text = size, signed, big, 10 if signed or 60 < size < 64 else base, clock, text
        self.align = align or (8 if size % 8 == 0 else 1)

    def tsdl(self):
        return (f"integer {{ size = {self.size}; align = {self.align}; signed = {int(self.signed)}; base = {self.base}; "
                f"byte_order = {'be' if self.big else 'le'}; {'encoding = UTF8; ' if self.text else ''}"
                f"{f'map = clock.{self.clock}.value; ' if self.clock else ''}}}")

    def json(self):
        return {"type": f"fixed-length-{'signed' if self.signed else 'unsigned'}-integer", "length": self.size,
                "byte-order": "big-endian" if self.big else "little-endian", "alignment": self.align,
                "preferred-display-base": self.base}

    def draw(self, r):
        edge = [0, 1, (1 << self.size) - 1, 1 << (self.size - 1), (1 << (self.size - 1)) - 1]
        raw = r.choice(edge) if r.random() < 0.3 else r.getrandbits(self.size)
        return raw - (1 << self.size) if self.signed and raw >> (self.size - 1) else raw

    def put(self, bits, value):
        bits.align(self.align)
        bits.put(value, self.size, self.big)

    def shown(self, value):
        return value


class Float(Int):
    def __init__(self, size, align, big):
        super().__init__(size, align, big=big)

    def tsdl(self):
        digits = "exp_dig = 8; mant_dig = 24" if self.size == 32 else "exp_dig = 11; mant_dig = 53"
        return f"floating_point {{ {digits}; align = {self.align}; byte_order = {'be' if self.big else 'le'}; }}"

    def json(self):
        return {**super().json(), "type": "fixed-length-floating-point-number"}

    def draw(self, r):
        value = r.choice([0.0, -1.5, 3.25e10, 1 / 3, r.uniform(-1e6, 1e6)])
        return struct.unpack("<f", struct.pack("<f", value))[0] if self.size == 32 else value

    def put(self, bits, value):
        raw = struct.pack("<f" if self.size == 32 else "<d", value)
        super().put(bits, int.from_bytes(raw, "little"))


class Enum(Int):
    LABELS = [("zero", 0, 0), ("some", 1, 3), ("with blank", 4, 4), ("last", 6, 7)]

    def tsdl(self):
        labels = ", ".join(f'"{n}" = {a}' if a == b else f'"{n}" = {a} ... {b}' for n, a, b in self.LABELS)
        return f"enum : {super().tsdl()} {{ {labels} }}"

    def json(self):
        return {**super().json(), "mappings": {n: [[a, b]] for n, a, b in self.LABELS}}

    def draw(self, r):
        return r.randrange(min(8, 1 << (self.size - self.signed)))

    def shown(self, value):
        return next((n for n, a, b in self.LABELS if a <= value <= b), value)


class Str:
    align = 8

    def tsdl(self):
        return "string"

    def json(self):
        return {"type": "null-terminated-string"}

    def draw(self, r):
        return "".join(r.choice("abc xyz\"\\äö€\t{}=,") for _ in range(r.randrange(1, 12)))

    def put(self, bits, value):
        bits.align(8)
        for byte in value.encode() + b"\0":
            bits.put(byte, 8, False)

    def shown(self, value):
        return value


class Array:
    """Of a fixed length, or a sequence whose length stands in the field before it."""

    def __init__(self, element, length, of_field=None):
        self.element, self.length, self.of_field, self.align = element, length, of_field, element.align

    def json(self):
        if self.of_field:
            return {"type": "dynamic-length-array", "element-field-class": self.element.json(),
                    "length-field-location": {"path": [self.of_field[1:]]}}
        return {"type": "static-length-array", "element-field-class": self.element.json(), "length": self.length}

    def draw(self, r, length=None):
        return [self.element.draw(r) for _ in range(self.length if length is None else length)]

    def put(self, bits, value):
        bits.align(self.align)
        for item in value:
            self.element.put(bits, item)

    def shown(self, value):
        return [self.element.shown(item) for item in value]


class Struct:
    def __init__(self, members, align=1):
        self.members = members
        self.align = max([align] + [t.align for _, t in members if not isinstance(t, Variant)])

    def tsdl(self):
        lines = []
        for name, kind in self.members:
            suffix, inner = "", kind
            while isinstance(inner, Array):
                suffix += f"[ {inner.of_field or inner.length} ]"
                inner = inner.element
            lines.append(f"{inner.tsdl()} _{name}{suffix};")
        return f"struct {{ {' '.join(lines)} }} align({self.align})"

    def json(self):
        return {"type": "structure", "minimum-alignment": self.align,
                "member-classes": [{"name": name, "field-class": kind.json()} for name, kind in self.members]}

    def draw(self, r):
        value = {}
        for name, kind in self.members:
            if isinstance(kind, Array) and kind.of_field:
                value[name] = kind.draw(r, value[kind.of_field[1:]])
            elif isinstance(kind, Variant):
                value[name] = kind.draw(r, value)
            elif name.endswith("_length"):
                value[name] = r.randrange(5)
            else:
                value[name] = kind.draw(r)
        return value

    def put(self, bits, value):
        bits.align(self.align)
        for name, kind in self.members:
            kind.put(bits, value[name])

    def shown(self, value):
        return {name: kind.shown(value[name]) for name, kind in self.members}


class Variant:
    align = 1

    def __init__(self, tag, kind, options):
        self.tag, self.kind, self.options = tag, kind, options

    def tsdl(self):
        return f"variant <_{self.tag}> {{ {' '.join(f'{t.tsdl()} _{n};' for n, t in self.options)} }}"

    def json(self):
        return {"type": "variant", "selector-field-location": {"path": [self.tag]},
                "options": [{"name": n, "selector-field-ranges": [[i, i]], "field-class": t.json()}
                            for i, (n, t) in enumerate(self.options)]}

    def draw(self, r, before):
        name, kind = self.options[before[self.tag] % len(self.options)]
        return (name, kind, kind.draw(r))

    def put(self, bits, value):
        value[1].put(bits, value[2])

    def shown(self, value):
        return {value[0]: value[1].shown(value[2])}


class Tag(Enum):
    """Its labels are a variant's options."""

    def __init__(self, nr, big):
        super().__init__(8, 8, big=big)
        self.nr = nr

    def tsdl(self):
        return f"enum : {Int.tsdl(self)} {{ {', '.join(f'_opt{i} = {i}' for i in range(self.nr))} }}"

    def json(self):
        return {**Int.json(self), "mappings": {f"_opt{i}": [[i, i]] for i in range(self.nr)}}

    def draw(self, r):
        return r.randrange(self.nr)

    def shown(self, value):
        return f"_opt{value}"


def draw_int(r, big):
    if r.random() < 0.5:
        size = r.choice([8, 16, 32, 64])
        # Either order is allowed where bytes are whole.
        return Int(size, r.choice([8, size]), r.random() < 0.5, r.random() < 0.5, r.choice([10, 16, 8]))
    return Int(r.randrange(1, 65), r.choice([1, 1, 2, 8, 32]), r.random() < 0.5, big, r.choice([10, 16]))


def draw_leaf(r, big):
    pick = r.randrange(6)
    if pick < 3:
        return draw_int(r, big)
    if pick == 3:
        return Enum(r.choice([4, 8, 16, 13]), r.choice([1, 8]), r.random() < 0.3, big)
    if pick == 4:
        return Float(r.choice([32, 64]), r.choice([8, 32]), big)
    return Str()


def draw_struct(r, big, depth=0):
    members = []
    for i in range(r.randrange(1, 6)):
        pick, name = r.randrange(10), f"f{depth}{i}"
        if pick < 6 or depth > 1:
            members.append((name, draw_leaf(r, big)))
        elif pick == 6:
            members.append((name, Array(draw_leaf(r, big), r.randrange(1, 4))))
        elif pick == 7:
            members += [(f"_{name}_length", Int(r.choice([8, 32]), 8)),
                        (name, Array(draw_leaf(r, big), None, f"__{name}_length"))]
        elif pick == 8:
            members.append((name, draw_struct(r, big, depth + 1)))
        else:
            nr = r.randrange(1, 4)
            options = [(f"opt{k}", draw_leaf(r, big)) for k in range(nr)]
            members += [(f"{name}_tag", Tag(nr, big)), (name, Variant(f"{name}_tag", None, options))]
    return Struct(members, r.choice([1, 8, 64]))


class Header:
    """Of events: ring (ours), lttng (5 bits of id, 27 of time), or plain."""

    def __init__(self, form, big):
        self.form, self.big = form, big

    def tsdl(self):
        o = "be" if self.big else "le"
        def num(size, align, clock=True):
            return (f"integer {{ size = {size}; align = {align}; signed = 0; byte_order = {o}; "
                    f"{'map = clock.c.value; ' if clock else ''}}}")
        if self.form == "plain":
            return f"struct {{ {num(16, 8, False)} id; {num(48, 8)} timestamp; }}"
        size, short, align = (16, 32, 16) if self.form == "ring" else (5, 27, 1)
        top = (1 << size) - 1
        return (f"struct {{ enum : {num(size, align, False)} {{ compact = 0 ... {top - 1}, extended = {top} }} id; "
                f"variant <id> {{ struct {{ {num(short, 32 if self.form == 'ring' else 1)} timestamp; }} compact; "
                f"struct {{ {num(32, 32 if self.form == 'ring' else 8, False)} id; "
                f"{num(64, 32 if self.form == 'ring' else 8)} timestamp; }} extended; }} v; }} "
                f"align({64 if self.form == 'ring' else 8})")

    def json(self):
        def num(size, align, *roles):
            return {**Int(size, align, big=self.big).json(), "roles": list(roles)}
        def one(name, *members):
            return {"name": name, "field-class": {"type": "structure", "member-classes": [
                {"name": n, "field-class": c} for n, c in members]}}
        time_role, id_role = "default-clock-timestamp", "event-record-class-id"
        if self.form == "plain":
            return one("", ("id", num(16, 8, id_role)), ("timestamp", num(48, 8, time_role)))["field-class"]
        ring = self.form == "ring"
        size, short, align = (16, 32, 16) if ring else (5, 27, 1)
        top = (1 << size) - 1
        options = [{**one("compact", ("timestamp", num(short, 32 if ring else 1, time_role))), "selector-field-ranges": [[0, top - 1]]},
                   {**one("extended", ("id", num(32, 32 if ring else 8, id_role)), ("timestamp", num(64, 32 if ring else 8, time_role))),
                    "selector-field-ranges": [[top, top]]}]
        head = one("", ("id", num(size, align, id_role)),
                   ("v", {"type": "variant", "selector-field-location": {"path": ["id"]}, "options": options}))["field-class"]
        return {**head, "minimum-alignment": 64 if ring else 8}

    def put(self, bits, number, clock, before):
        if self.form == "plain":
            bits.align(8)
            bits.put(number, 16, self.big)
            bits.put(clock, 48, self.big)
            return
        ring = self.form == "ring"
        size, short = (16, 32) if ring else (5, 27)
        bits.align(64 if ring else 8)
        if clock - before < 1 << short and number < (1 << size) - 1:
            bits.put(number, size, self.big)
            bits.align(32 if ring else 1)
            bits.put(clock, short, self.big)
        else:
            bits.put((1 << size) - 1, size, self.big)
            bits.align(32 if ring else 8)
            bits.put(number, 32, self.big)
            bits.put(clock, 64, self.big)


def make(directory, seed, nr_streams=3, nr_packets=4, nr_events=25, version=1):
    r = random.Random(seed)
    big = r.random() < 0.4
    form = r.choice(["ring", "lttng", "plain"])
    header = Header(form, big)
    frequency = r.choice([10**9, 10**9, 10**6, 2_000_000_000])
    offset_s, offset = 1_700_000_000, r.randrange(frequency)
    contexts = draw_struct(r, big) if r.random() < 0.5 else None
    classes = [(f"ev{seed}:{i}", i if i != 2 else 70000, draw_struct(r, big) if r.random() < 0.3 else None, draw_struct(r, big))
               for i in range(4)]
    if form == "plain":
        classes.pop(2)
    identity = uuid.UUID(int=r.getrandbits(128))
    o = "be" if big else "le"
    u32 = f"integer {{ size = 32; align = 8; signed = 0; byte_order = {o}; }}"
    u64 = f"integer {{ size = 64; align = 8; signed = 0; byte_order = {o}; }}"
    t64 = u64.replace("}", "map = clock.c.value; }")
    text = [f"/* CTF 1.8 */ trace {{ major = 1; minor = 8; uuid = \"{identity}\"; byte_order = {o};",
            f" packet.header := struct {{ {u32} magic; integer {{ size = 8; align = 8; signed = 0; }} uuid[16]; {u32} stream_id; }}; }};",
            "env { hostname = \"there\"; number = -5; };",
            f"clock {{ name = c; freq = {frequency}; offset_s = {offset_s}; offset = {offset}; }};",
            f"stream {{ id = 0; event.header := {header.tsdl()}; packet.context := struct {{ {t64} timestamp_begin; {t64} timestamp_end;",
            f" {u64} content_size; {u64} packet_size; {u64} events_discarded; {u32} cpu_id; }};"]
    if contexts:
        text.append(f" event.context := {contexts.tsdl()};")
    text.append("};")
    for name, number, context, payload in classes:
        text.append(f"event {{ name = \"{name}\"; id = {number}; stream_id = 0;")
        if context:
            text.append(f" context := {context.tsdl()};")
        text.append(f" fields := {payload.tsdl()}; }};")
    os.makedirs(directory, exist_ok=True)
    text = "\n".join(text)
    data = packetized(text, identity, big) if r.random() < 0.5 else text.encode()
    if version == 2:
        data = json_text(identity, big, header, contexts, classes, {"seconds": offset_s, "cycles": offset}, frequency)
    with open(os.path.join(directory, "metadata"), "wb") as f:
        f.write(data)
    events, lost = [], 0
    for stream in range(nr_streams):
        clock, discarded, file = r.randrange(1 << 40), 0, bytearray()
        for packet in range(nr_packets):
            begin, bits, at = clock, Bits(), 20 * 8 + 32 + 5 * 64 + 32
            bits.bits = [None] * at
            for _ in range(r.randrange(nr_events)):
                step = r.choice([0, 1, 1000, 1 << 26, 1 << 33])
                if form == "plain":
                    step &= (1 << 40) - 1
                before, clock = clock, clock + step
                name, number, context, payload = r.choice(classes)
                header.put(bits, number, clock, before)
                shown = {}
                if contexts:
                    value = contexts.draw(r)
                    contexts.put(bits, value)
                    shown["stream_context"] = contexts.shown(value)
                if context:
                    value = context.draw(r)
                    context.put(bits, value)
                    shown["event_context"] = context.shown(value)
                value = payload.draw(r)
                payload.put(bits, value)
                shown["fields"] = payload.shown(value)
                ns = offset_s * 10**9 + (offset + clock) * 10**9 // frequency
                events.append((ns, name, stream, shown))
            discarded += r.choice([0, 0, 7])
            content = len(bits.bits)
            body = bits.data()[at // 8:]
            size = (at // 8 + len(body) + 63) // 64 * 64
            end = ">" if big else "<"
            head = struct.pack(end + "I", MAGIC) + identity.bytes + struct.pack(
                end + "IQQQQQI", 0, begin, clock, content, size * 8, discarded, stream)
            file += (head + body).ljust(size, b"\xee")
        lost += discarded
        with open(os.path.join(directory, f"s_{stream}"), "wb") as f:
            f.write(file)
    return events, lost


def packetized(text, identity, big):
    out, end = bytearray(), ">" if big else "<"
    data = text.encode()
    for at in range(0, len(data), 700):
        part = data[at:at + 700]
        out += struct.pack(end + "I16sIIIBBBBB", 0x75D11D57, identity.bytes, 0, 8 * (37 + len(part)), 8 * 800, 0, 0, 0, 1, 8)
        out += part.ljust(800 - 37, b"\0")
    return bytes(out)


def json_text(identity, big, header, contexts, classes, offset, frequency):
    """The same in CTF 2."""
    def num(size, *roles):
        return {**Int(size, 8, big=big).json(), "roles": list(roles)}
    def members(**named):
        return {"type": "structure", "member-classes": [{"name": n, "field-class": c} for n, c in named.items()]}
    stream = {"type": "data-stream-class", "id": 0, "default-clock-class-id": "c", "event-record-header-field-class": header.json(),
              "packet-context-field-class": members(
                  timestamp_begin=num(64, "default-clock-timestamp"), timestamp_end=num(64, "packet-end-default-clock-timestamp"),
                  content_size=num(64, "packet-content-length"), packet_size=num(64, "packet-total-length"),
                  events_discarded=num(64, "discarded-event-record-counter-snapshot"), cpu_id="word")}
    if contexts:
        stream["event-record-common-context-field-class"] = contexts.json()
    fragments = [{"type": "preamble", "version": 2, "uuid": list(identity.bytes)},
                 {"type": "field-class-alias", "name": "word", "field-class": num(32)},
                 {"type": "trace-class", "environment": {"hostname": "there", "number": -5}, "packet-header-field-class": members(
                     magic=num(32, "packet-magic-number"), uuid={"type": "static-length-blob", "length": 16,
                                                                 "roles": ["metadata-stream-uuid"]},
                     stream_id=num(32, "data-stream-class-id"))},
                 {"type": "clock-class", "id": "c", "frequency": frequency, "offset-from-origin": offset}, stream]
    for name, number, context, payload in classes:
        event = {"type": "event-record-class", "id": number, "data-stream-class-id": 0, "name": name,
                 "payload-field-class": payload.json()}
        if context:
            event["specific-context-field-class"] = context.json()
        fragments.append(event)
    return b"".join(b"\x1e" + json.dumps(f).encode() + b"\n" for f in fragments)
