#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Restartable sequences on a real arm64 kernel, under qemu-system-aarch64: the self-test, the per-CPU toolkit and the rings
under strain, and variants that are broken on purpose and must be caught there, too.

The guest has two CPUs, our static programs in its initramfs, and no disk. Its kernel is Debian's: tools/arm64-kernel fetches
it. TOCSIN_ARM64_KERNEL names another. An emulated machine is slow, so counts are small.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CC = "aarch64-linux-gnu-gcc"
QEMU = "qemu-system-aarch64"
GUEST_TIMEOUT_S = 500

FLAGS = ["-static", "-O2", "-std=gnu17", "-D_GNU_SOURCE", "-w", "-pthread", "-DTOCSIN_RSEQ_WITH_INJECT", "-ftls-model=initial-exec"]
FLAGS += [f"-I{ROOT / d}" for d in ("src", "include", "src/ring", "tests/ring")]
BASE = [f"src/base/{n}.c" for n in ("err", "parse", "text")]
RSEQ = ["src/percpu/rseq.c", "src/percpu/selftest.c"]
PERCPU = ["tests/percpu/stress.c"] + RSEQ + [f"src/percpu/{n}.c" for n in ("counter", "cpu", "op", "percpu", "pmc")]
RING = [f"tests/ring/{n}.c" for n in ("stress", "stress_check", "stress_writer")] + RSEQ
RING += [f"src/ring/{n}.c" for n in ("make", "reader", "reader_overwrite", "reader_side", "side", "slow")]
BROKEN = ("-include", str(ROOT / "src/percpu/broken.h"))

# Program -> sources, more flags.
PROGRAMS = {
    "init": (["tests/arm64/init.c"], ()),
    "selftest": (["tests/percpu/selftest.c"] + RSEQ, ()),
    "selftest_unarmed": (["tests/percpu/selftest.c"] + RSEQ, (*BROKEN, "-DTOCSIN_BROKEN=6")),
    "ring_stress": (RING + BASE, ()),
    "stress": (PERCPU + BASE, (*BROKEN, "-DTOCSIN_BROKEN=0")),
    "stress_no_fence": (PERCPU + BASE, (*BROKEN, "-DTOCSIN_BROKEN=1")),
    "stress_early_fence": (PERCPU + BASE, (*BROKEN, "-DTOCSIN_BROKEN=3")),
    "stress_unarmed": (PERCPU + BASE, (*BROKEN, "-DTOCSIN_BROKEN=6")),
}

# What the guest runs -> what must come of it: the exit status, or "caught" for one that is broken.
TESTS = {"/selftest": 0, "/selftest_unarmed": 1}
TESTS.update({f"/stress {case} 1000 {delay}": 0 for case in ("add", "each", "list", "copy", "cmpstore", "counter") for delay in (0, 100)})
TESTS.update({f"/ring_stress threads=4 ms=1000 {how}".strip(): 0 for how in (
    "", "signals=1 migrate=1", "signals=1 migrate=1 large=1 delay=all:50", "mode=block signals=1", "mode=overwrite",
    "signals=1 retire=1 delay=6:500 delay=7:100 delay=8:500")})
TESTS.update({f"/stress_{name} {case} 3000 {delay}": "caught" for name, case, delay in (
    ("no_fence", "add", 300), ("early_fence", "add", 300), ("unarmed", "add", 300))})


def kernel():
    for path in (os.environ.get("TOCSIN_ARM64_KERNEL"), f"{os.environ.get('TOCSIN_BUILD', ROOT / 'build')}/arm64-kernel/vmlinuz"):
        if path and os.path.exists(path):
            return path
    return None


def cpio(files):
    """An initramfs in the "newc" format: (name, mode, bytes, device)."""
    out = bytearray()
    for number, (name, mode, data, device) in enumerate((*files, ("TRAILER!!!", 0, b"", (0, 0)))):
        path = name.encode() + b"\0"
        words = (number + 1, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
        out += b"070701" + b"".join(b"%08X" % w for w in words) + path
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def build(where):
    for name, (sources, flags) in PROGRAMS.items():
        subprocess.run([CC, *FLAGS, *flags, *(str(ROOT / s) for s in sources), "-o", str(where / name)], check=True)
    files = [(d, 0o40755, b"", (0, 0)) for d in ("dev", "proc", "sys", "tmp")]
    files += [("dev/console", 0o20600, b"", (5, 1)), ("dev/null", 0o20666, b"", (1, 3))]
    files += [(name, 0o100755, (where / name).read_bytes(), (0, 0)) for name in PROGRAMS]
    files.append(("tests", 0o100644, "".join(f"{line}\n" for line in TESTS).encode(), (0, 0)))
    (where / "initramfs").write_bytes(cpio(files))


def boot(where, image):
    """What the guest wrote to its console."""
    try:
        done = subprocess.run([QEMU, "-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "512", "-nographic", "-no-reboot",
                               "-kernel", image, "-initrd", str(where / "initramfs"), "-append", "console=ttyAMA0 quiet panic=-1"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=GUEST_TIMEOUT_S)
        return done.stdout.decode("utf-8", "replace").replace("\r", "")
    except subprocess.TimeoutExpired as end:
        return (end.stdout or b"").decode("utf-8", "replace").replace("\r", "") + "\nthe guest did not come to its end\n"


def main():
    image = kernel()
    lacking = [p for p in (CC, QEMU) if not shutil.which(p)]
    if lacking or not image:
        print(f"1..0 # SKIP {', '.join(lacking)} not installed" if lacking else "1..0 # SKIP no arm64 kernel: run tools/arm64-kernel")
        return 0
    with tempfile.TemporaryDirectory(prefix="tocsin-arm64-") as name:
        where = pathlib.Path(name)
        build(where)
        console = boot(where, image)
    print(f"1..{len(TESTS)}")
    failed = 0
    for number, (line, want) in enumerate(TESTS.items(), 1):
        part = re.search(rf"^@begin {re.escape(line)}\n(.*?)^@end (-?\d+) {re.escape(line)}$", console, re.M | re.S)
        status = int(part[2]) if part else None
        right = status not in (None, 0, 2, 127) if want == "caught" else status == want
        failed += not right
        print(f"{'ok' if right else 'not ok'} {number} {line[1:]}{' is caught' if want == 'caught' else ''}")
        for said in (part[1] if part else console[-2000:]).strip().splitlines():
            print(f"# {said}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
