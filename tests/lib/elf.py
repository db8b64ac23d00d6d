# SPDX-License-Identifier: MIT
"""Where the functions of a 64-bit little-endian ELF file are: for the kernel's own line, which wants file offsets."""

import collections
import struct

Symbol = collections.namedtuple("Symbol", "name value size")


class Elf:
    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{path} is not a 64-bit little-endian ELF file")
        phoff, shoff = struct.unpack_from("<QQ", self.data, 32)
        phentsize, phnum, shentsize, shnum = struct.unpack_from("<HHHH", self.data, 54)
        self.segments = [struct.unpack_from("<IIQQQQQQ", self.data, phoff + i * phentsize) for i in range(phnum)]
        self.sections = [struct.unpack_from("<IIQQQQIIQQ", self.data, shoff + i * shentsize) for i in range(shnum)]

    def symbols(self):
        for section in self.sections:
            if section[1] not in (2, 11):  # SHT_SYMTAB, SHT_DYNSYM
                continue
            strings = self.sections[section[6]][4]
            for at in range(section[4], section[4] + section[5], 24):
                name, _, _, shndx, value, size = struct.unpack_from("<IBBHQQ", self.data, at)
                if name and shndx:
                    end = self.data.index(b"\0", strings + name)
                    yield Symbol(self.data[strings + name:end].decode(), value, size)

    def address(self, name):
        for symbol in self.symbols():
            if symbol.name == name:
                return symbol.value
        raise KeyError(name)

    def file_offset(self, address):
        for kind, _, offset, vaddr, _, filesz, _, _ in self.segments:
            if kind == 1 and vaddr <= address < vaddr + filesz:  # PT_LOAD
                return address - vaddr + offset
        raise ValueError(f"address {address:#x} is not in the file")

    def offset(self, name):
        """File offset of a function's first instruction."""
        return self.file_offset(self.address(name))

    def text_segments(self):
        """(file offset, size) of what is executable."""
        return [(s[2], s[5]) for s in self.segments if s[0] == 1 and s[1] & 1]


def text_of(pid, path):
    """The bytes of a file's executable mappings as process `pid` has them: {(address, file offset): bytes}."""
    found = {}
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
        for line in maps:
            fields = line.split(maxsplit=5)
            if len(fields) == 6 and "x" in fields[1] and fields[5].rstrip("\n") == str(path):
                begin, end = (int(x, 16) for x in fields[0].split("-"))
                mem.seek(begin)
                found[(begin, int(fields[2], 16))] = mem.read(end - begin)
    return found
