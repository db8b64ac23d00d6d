# SPDX-License-Identifier: MIT
"""What this machine can do, tried rather than guessed; and cgroups, for the tests that need one."""

import contextlib
import ctypes
import os
import pathlib
import platform
import shutil
import struct
import subprocess
import time

_SYS_BPF = {"x86_64": 321, "aarch64": 280}
_BPF_PROG_LOAD, _BPF_PROG_GET_FD_BY_ID, _BPF_LINK_GET_FD_BY_ID = 5, 13, 30
_libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command, attr):
    """The bpf() system call; a descriptor, or a negative errno."""
    number = _SYS_BPF.get(platform.machine())
    if number is None:
        return -38
    fd = _libc.syscall(number, command, ctypes.create_string_buffer(attr, len(attr)), len(attr))
    return fd if fd >= 0 else -ctypes.get_errno()


def _bpf_loads():
    """Loads the smallest program there is: return 0."""
    code = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xb7, 0, 0, 0, 0x95, 0, 0, 0))
    licence = ctypes.create_string_buffer(b"GPL")
    attr = struct.pack("<IIQQIIQ", 1, 2, ctypes.addressof(code), ctypes.addressof(licence), 0, 0, 0)
    fd = _bpf(_BPF_PROG_LOAD, attr)
    if fd < 0:
        return f"this user may not load BPF programs: {os.strerror(-fd)}"
    os.close(fd)
    return None


def _id_exists(command, number):
    fd = _bpf(command, struct.pack("<III", number, 0, 0))
    if fd >= 0:
        os.close(fd)
        return True
    return False


def bpf_objects(pid):
    """Ids of the BPF links and programs that a process holds: {"link": {..}, "prog": {..}}."""
    found = {"link": set(), "prog": set()}
    for entry in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            lines = entry.read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            key, _, value = line.partition(":")
            if key in ("link_id", "prog_id"):
                found[key[:4]].add(int(value))
    return found


def bpf_objects_left(objects, timeout_s):
    """Those of bpf_objects() that still exist; the kernel frees them a little later, so it is given some time."""
    end = time.monotonic() + timeout_s
    while True:
        left = {"link": {i for i in objects["link"] if _id_exists(_BPF_LINK_GET_FD_BY_ID, i)},
                "prog": {i for i in objects["prog"] if _id_exists(_BPF_PROG_GET_FD_BY_ID, i)}}
        if not any(left.values()) or time.monotonic() > end:
            return left
        time.sleep(0.05)


def cgroup_root(controller):
    """(version, directory) of the hierarchy that has a controller, or None."""
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup" and controller in options.split(","):
            return 1, pathlib.Path(where)
        if kind == "cgroup2":
            controllers = pathlib.Path(where, "cgroup.controllers")
            if controllers.exists() and controller in controllers.read_text().split():
                return 2, pathlib.Path(where)
    return None


class Cgroup:
    """A cgroup of a controller, removed by close()."""

    def __init__(self, name, controller="cpu"):
        self.version, root = cgroup_root(controller)
        self.path = root / f"tocsin-test-{os.getpid()}-{name}"
        self.path.mkdir()
        if self.version == 2:
            with contextlib.suppress(OSError):
                (root / "cgroup.subtree_control").write_text("+" + controller)

    def set_quota(self, quota_us, period_us):
        if self.version == 1:
            (self.path / "cpu.cfs_period_us").write_text(str(period_us))
            (self.path / "cpu.cfs_quota_us").write_text(str(quota_us))
        else:
            (self.path / "cpu.max").write_text(f"{quota_us} {period_us}")

    def set_memory(self, limit_bytes):
        """Of a group of the memory controller. What is beyond gets no swap either."""
        if self.version == 1:
            (self.path / "memory.limit_in_bytes").write_text(str(limit_bytes))
            if (self.path / "memory.memsw.limit_in_bytes").exists():
                (self.path / "memory.memsw.limit_in_bytes").write_text(str(limit_bytes))
        else:
            (self.path / "memory.max").write_text(str(limit_bytes))
            if (self.path / "memory.swap.max").exists():
                (self.path / "memory.swap.max").write_text("0")

    def kills(self):
        """Processes of it that the kernel has killed for want of memory."""
        text = (self.path / ("memory.oom_control" if self.version == 1 else "memory.events")).read_text()
        return int(dict(line.split() for line in text.splitlines())["oom_kill"])

    def add(self, pid):
        (self.path / "cgroup.procs").write_text(str(pid))

    def throttled_ns(self):
        stat = dict(line.split() for line in (self.path / "cpu.stat").read_text().splitlines())
        return int(stat["throttled_time"]) if self.version == 1 else int(stat["throttled_usec"]) * 1000

    def close(self):
        """Moves whoever is left to the root, and removes the directory."""
        root = self.path.parent
        for pid in (self.path / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (root / "cgroup.procs").write_text(pid)
        for _ in range(50):
            try:
                self.path.rmdir()
                return
            except OSError:
                time.sleep(0.02)
        self.path.rmdir()


def _lacks_cgroup(controller, limit):
    if cgroup_root(controller) is None:
        return f"no cgroup hierarchy with the {controller} controller is mounted"
    try:
        group = Cgroup("probe", controller)
    except OSError as fault:
        return f"cannot make a cgroup: {fault}"
    try:
        limit(group)
    except OSError as fault:
        return f"cannot set a limit of {controller}: {fault}"
    finally:
        group.close()
    return None


def _lacks_namespace():
    result = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    return None if result.returncode == 0 else "cannot make a mount namespace"


def _lacks_tracepoint(name):
    for root in ("/sys/kernel/tracing", "/sys/kernel/debug/tracing"):
        if pathlib.Path(root, "events", name).is_dir():
            return None
    return f"the kernel has no tracepoint {name} (or tracefs is not mounted)"


def _lacks_tool(tool):
    if not os.access(tool, os.X_OK):
        return f"{tool} is not built"
    result = subprocess.run([str(tool), "watch", "--help"], capture_output=True, check=False)
    return None if result.returncode == 0 else f"{tool} was built without `watch`"


_CHECKS = {
    "root": lambda: None if os.geteuid() == 0 else "not root",
    "bpf": _bpf_loads,
    "btf": lambda: None if os.path.exists("/sys/kernel/btf/vmlinux") else "the kernel has no BTF",
    "two-cpus": lambda: None if len(os.sched_getaffinity(0)) > 1 else "only one CPU",
    "cgroup": lambda: _lacks_cgroup("cpu", lambda group: group.set_quota(10000, 100000)),
    "memory-cgroup": lambda: _lacks_cgroup("memory", lambda group: group.set_memory(1 << 26)),
    "namespace": _lacks_namespace,
}
_known = {}


def lacks(need, tool):
    """Why `need` is not met on this machine, or None. Needs: tool, root, bpf, btf, two-cpus, cgroup, memory-cgroup, namespace,
    program:NAME (on PATH), tracepoint:CATEGORY/NAME."""
    if need not in _known:
        kind, _, name = need.partition(":")
        if kind == "tool":
            _known[need] = _lacks_tool(tool)
        elif kind == "program":
            _known[need] = None if shutil.which(name) else f"{name} is not installed"
        elif kind == "tracepoint":
            _known[need] = _lacks_tracepoint(name)
        else:
            _known[need] = _CHECKS[need]()
    return _known[need]
