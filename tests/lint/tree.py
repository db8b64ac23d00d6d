# SPDX-License-Identifier: MIT
"""The files a check looks at: the project's own, or a sample made of a dictionary."""

import fnmatch
import os
import re

SKIPPED_FOLDERS = {".git", "__pycache__"}


class Tree:
    """Texts by path relative to the root, with '/' between folders."""

    def __init__(self, root=None, texts=None):
        self.root = root
        self._texts = dict(texts or {})
        self._paths = sorted(self._texts) if root is None else sorted(self._walk())

    def _walk(self):
        for folder, folders, files in os.walk(self.root):
            at_root = os.path.samefile(folder, self.root)
            folders[:] = [f for f in folders
                          if f not in SKIPPED_FOLDERS and not (at_root and f.startswith("build"))]
            for name in files:
                yield os.path.relpath(os.path.join(folder, name), self.root).replace(os.sep, "/")

    def paths(self, *patterns):
        """The paths that match one of the patterns, sorted. '*' matches '/' too."""
        return [p for p in self._paths if any(fnmatch.fnmatch(p, g) for g in patterns)]

    def has(self, path):
        return path in self._paths

    def text(self, path):
        if path not in self._texts:
            with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as stream:
                self._texts[path] = stream.read()
        return self._texts[path]

    def lines(self, path):
        """(number from 1, line) of a file."""
        return enumerate(self.text(path).splitlines(), 1)


C_TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def c_code(text):
    """C without comments and without what its strings hold; line numbers stay."""
    def blank(match):
        token = match[0]
        if token[0] in "\"'":
            return token[0] * 2
        return " " + "\n" * token.count("\n")
    return C_TOKEN.sub(blank, text)
