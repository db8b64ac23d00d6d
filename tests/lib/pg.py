# SPDX-License-Identifier: MIT
"""A private PostgreSQL and a load on it, for the demo and the end-to-end tests.

The server's binaries are Debian's; its data, socket and log live in a directory of its own that stop() removes; it listens
on nothing but that socket, runs as an unprivileged user and, so that a competitor can be put beside it on any machine, on
one CPU. Its own log says which statements took longer than SLOW_MS: the account that a watcher's can be held against.

Everything started here ends with the process that started it, even if that one is killed; only the directory then stays.
"""

import ctypes
import glob
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time

SLOW_MS = 10
CLIENTS = 4
BRANCHES = 4  # pgbench's scale: one row of pgbench_branches each

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_SLOW = re.compile(r"^(\d+\.\d+) (\d+) LOG:  duration: ([\d.]+) ms  statement: (.*)$", re.MULTILINE)


class Unavailable(Exception):
    """Something that the machine lacks; the text says what."""


def child_setup(die_with=signal.SIGKILL, cpus=None):
    """What a child does before its program: end with us, and stay on some CPUs."""
    def setup():
        _LIBC.prctl(_PR_SET_PDEATHSIG, die_with, 0, 0, 0)
        if cpus:
            os.sched_setaffinity(0, cpus)
    return setup


def end(process, how=signal.SIGTERM, seconds=5.0):
    """End a child of ours: ask, wait, insist. None and ended ones are fine."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(how)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def find_binaries():
    """The folder of PostgreSQL's programs: 15 if it is there, else the newest."""
    folders = [os.path.dirname(p) for p in glob.glob("/usr/lib/postgresql/*/bin/postgres")]
    if not folders:
        raise Unavailable("PostgreSQL is not installed: no /usr/lib/postgresql/*/bin/postgres")
    for folder in folders:
        if "/15/" in folder:
            return folder
    return max(folders, key=lambda f: int(re.search(r"/(\d+)", f)[1]))


def find_user():
    """Whom the server runs as: nobody in particular, if we are root (it refuses to be root)."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Unavailable("neither a user 'postgres' nor 'nobody' exists")


def disk_folder():
    """A folder for data on a disk: on tmpfs nothing ever waits for one."""
    mounts = []
    with open("/proc/self/mountinfo", encoding="utf-8") as stream:
        for line in stream:
            fields, kind = line.split(" - ")
            mounts.append((fields.split()[4], kind.split()[0]))
    for folder in ("/var/tmp", "/tmp"):
        holding = [m for m in mounts if folder == m[0] or folder.startswith(m[0].rstrip("/") + "/")]
        # In a chroot the mount that holds it may not be seen: then it is not known to be in memory.
        if not holding or max(holding, key=lambda m: len(m[0]))[1] not in ("tmpfs", "ramfs"):
            return folder
    raise Unavailable("/var/tmp and /tmp are both in memory, no folder on a disk for the data")


class Server:
    """A context manager: the server runs inside its `with` block."""

    def __init__(self):
        self.binaries = find_binaries()
        self.user = find_user()
        self.cpu = max(os.sched_getaffinity(0))
        self.directory = None
        self._process = None
        self._loads = []

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        """The postmaster's, parent of every process of the server."""
        return self._process.pid

    def processes(self):
        """The postmaster and its children, as they are now."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as stream:
            return [self.pid] + [int(p) for p in stream.read().split()]

    def start(self):
        self.directory = tempfile.mkdtemp(prefix="tocsin-pg-", dir=disk_folder())
        if self.user:
            os.chown(self.directory, self.user.pw_uid, self.user.pw_gid)
        data = os.path.join(self.directory, "data")
        self._run("initdb", "-D", data, "-U", "tocsin", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync",
                  "--no-instructions")
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self.directory,
            "max_connections": "20",
            "shared_buffers": "64MB",
            "dynamic_shared_memory_type": "mmap",  # in the data directory, which is removed
            "synchronous_commit": "on",
            "wal_sync_method": "fdatasync",
            # Nothing of its own that would make a query late now and then.
            "autovacuum": "off",
            "checkpoint_timeout": "30min",
            "max_wal_size": "2GB",
            "jit": "off",
            "log_min_duration_statement": str(SLOW_MS),
            "log_line_prefix": "%n %p ",
        }
        command = [os.path.join(self.binaries, "postgres"), "-D", data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with open(self.log_path(), "wb") as log:
            # SIGINT is its fast shutdown.
            self._process = subprocess.Popen(command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log,
                                             stderr=log, preexec_fn=child_setup(signal.SIGINT, {self.cpu}),
                                             **self._as_user())
        self._wait_ready()
        self._run("pgbench", "-h", self.directory, "-U", "tocsin", "-i", "-q", "-s", str(BRANCHES), "postgres")
        self.query("CHECKPOINT")

    def _wait_ready(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            ready = subprocess.run([os.path.join(self.binaries, "pg_isready"), "-q", "-h", self.directory],
                                   check=False)
            if ready.returncode == 0:
                return
            time.sleep(0.1)
        raise RuntimeError("PostgreSQL did not start:\n" + self.log()[-2000:])

    def stop(self):
        """End the load and the server, remove the directory. May be called at any time, and again."""
        for load in self._loads:
            end(load)
        self._loads.clear()
        end(self._process, signal.SIGINT, 15)
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = None

    def log_path(self):
        return os.path.join(self.directory, "log")

    def log(self):
        with open(self.log_path(), encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def slow_statements(self):
        """(end in s since 1970, pid, ms, text) of each statement that took longer than SLOW_MS, from the log."""
        return [(float(t), int(pid), float(ms), text) for t, pid, ms, text in _SLOW.findall(self.log())]

    def load(self, rate):
        """Start pgbench: CLIENTS clients, `rate` transactions a second together, a commit each."""
        command = [os.path.join(self.binaries, "pgbench"), "-h", self.directory, "-U", "tocsin", "-n", "-c",
                   str(CLIENTS), "-j", "2", "-R", str(rate),
                   "-L", "100",  # drop what is late by more, or a fault's backlog would last into the quiet after it
                   "-T", "3600", "postgres"]
        load = subprocess.Popen(command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, preexec_fn=child_setup(), **self._as_user())
        self._loads.append(load)
        return load

    def psql(self, **arguments):
        """Start psql, reading statements from its standard input; `arguments` are Popen's."""
        return subprocess.Popen(self._psql_command(), cwd=self.directory, preexec_fn=child_setup(), text=True,
                                **arguments, **self._as_user())

    def query(self, sql):
        """One statement; its output without decoration."""
        return self._run(*self._psql_command(), "-c", sql).strip()

    def _psql_command(self):
        return [os.path.join(self.binaries, "psql"), "-h", self.directory, "-U", "tocsin", "-X", "-q", "-A", "-t",
                "-v", "ON_ERROR_STOP=1", "postgres"]

    def _as_user(self):
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
        if not self.user:
            return {"env": environment}
        return {"env": environment, "user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def _run(self, program, *arguments):
        command = [os.path.join(self.binaries, program), *arguments]
        run = subprocess.run(command, cwd=self.directory, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                             preexec_fn=child_setup(), check=False, **self._as_user())
        if run.returncode:
            raise RuntimeError(f"{os.path.basename(program)} failed: {run.stderr.strip()[-1000:]}")
        return run.stdout
