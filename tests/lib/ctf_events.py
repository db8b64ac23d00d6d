# SPDX-License-Identifier: MIT
"""A trace in CTF 1.8 of plain events, for tests that say what happened and when.

write(directory, [(ns, cpu, name, {field: number or text})], pid) makes one; a name's fields are those of its first event, and
numbers are signed 64-bit. Each CPU has a stream. `tid` is a context when `contexts` names it.
"""

import os
import struct

MAGIC = 0xC1FC1FC1


def metadata(classes):
    text = """/* CTF 1.8 */
typealias integer { size = 8; align = 8; signed = false; } := uint8_t;
typealias integer { size = 32; align = 8; signed = false; } := uint32_t;
typealias integer { size = 64; align = 8; signed = false; } := uint64_t;
typealias integer { size = 64; align = 8; signed = true; } := int64_t;
trace { major = 1; minor = 8; byte_order = le; packet.header := struct { uint32_t magic; }; };
clock { name = c; freq = 1000000000; offset_s = 0; offset = 0; };
typealias integer { size = 64; align = 8; signed = false; map = clock.c.value; } := ts_t;
stream {
  event.header := struct { uint32_t id; ts_t timestamp; };
  packet.context := struct { ts_t timestamp_begin; ts_t timestamp_end; uint64_t content_size; uint64_t packet_size;
    int64_t pid; uint32_t cpu_id; };
};
"""
    for number, (name, fields) in enumerate(classes.items()):
        members = " ".join(f"{'string' if isinstance(v, str) else 'int64_t'} {k};" for k, v in fields.items())
        text += f'event {{ name = "{name}"; id = {number}; fields := struct {{ {members} }}; }};\n'
    return text


def write(directory, events, pid=4711):
    os.makedirs(directory)
    classes = {}
    for _, _, name, fields in events:
        classes.setdefault(name, fields)
    with open(os.path.join(directory, "metadata"), "w", encoding="ascii") as out:
        out.write(metadata(classes))
    ids = {name: number for number, name in enumerate(classes)}
    for cpu in {e[1] for e in events}:
        parts = []
        mine = [e for e in events if e[1] == cpu]
        for ns, _, name, fields in mine:
            parts.append(struct.pack("<IQ", ids[name], ns))
            for value in fields.values():
                parts.append(value.encode() + b"\0" if isinstance(value, str) else struct.pack("<q", value))
        body = b"".join(parts)
        bits = 8 * (4 + 8 * 5 + 4 + len(body))
        head = struct.pack("<IQQQQqI", MAGIC, mine[0][0], mine[-1][0], bits, bits, pid, cpu)
        with open(os.path.join(directory, f"stream_{cpu}"), "wb") as out:
            out.write(head + body)
