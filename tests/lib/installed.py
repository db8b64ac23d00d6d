# SPDX-License-Identifier: MIT
"""The package as a user has it: installed into a directory, and the examples built with nothing but pkg-config."""

import atexit
import os
import pathlib
import shutil
import subprocess
import tempfile

import tocsin
from tocsin import ROOT, check

_made = {}


def install():
    """Installs the build named by TOCSIN_BUILD, once. Returns where its files are, below a DESTDIR."""
    if "root" not in _made:
        where = pathlib.Path(tempfile.mkdtemp(prefix="tocsin-test-", dir=tocsin.SCRATCH))
        atexit.register(shutil.rmtree, where, True)
        done = subprocess.run(["meson", "install", "-C", os.environ["TOCSIN_BUILD"], "--no-rebuild", "--destdir",
                               str(where / "root")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        check(done.returncode == 0, done.stdout[-2000:])
        _made["root"] = where / "root"
    return _made["root"]


def examples(name):
    """Builds the examples of examples/NAME, once. Returns the directory with the programs."""
    if name not in _made:
        root = install()
        where = root.parent / name
        pc = next(root.rglob("tocsin.pc"))
        shutil.copytree(ROOT / "examples" / name, where)
        env = dict(os.environ, PKG_CONFIG_PATH=str(pc.parent), PKG_CONFIG_SYSROOT_DIR=str(root),
                   LDFLAGS=f"-Wl,-rpath,{pc.parent.parent}", CFLAGS="-O2 -Wall -Wextra -Werror",
                   CXXFLAGS="-O2 -Wall -Wextra -Werror -std=c++17")
        done = subprocess.run(["make", "-C", str(where)], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        check(done.returncode == 0, done.stdout)
        _made[name] = where
    return _made[name]
