#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One lint check: `lint.py NAME [--program PATH] [--man FOLDER]`, printing TAP.

A check is a function from a tree to sentences about what is wrong. It is tried first on bad samples, each of which it
must catch, and on good ones, which it must let pass: a check that cannot fail checks nothing. Then it reads the project.
"""

import argparse
import os
import sys
import traceback

import docs
import layers
import program
import settings
import source
from tree import Tree

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Name -> check, samples that must pass, samples that must be caught.
CHECKS = {
    "layers": (layers.check, layers.GOOD, layers.BAD),
    "spdx": (source.check_spdx, source.GOOD_SPDX, source.BAD_SPDX),
    "banned": (source.check_banned, source.GOOD_BANNED, source.BAD_BANNED),
    "length": (source.check_length, source.GOOD_LENGTH, source.BAD_LENGTH),
    "markers": (source.check_markers, source.GOOD_MARKERS, source.BAD_MARKERS),
    "paths": (source.check_paths, source.GOOD_PATHS, source.BAD_PATHS),
    "losses": (docs.check_losses, docs.GOOD_LOSSES, docs.BAD_LOSSES),
    "adr": (docs.check_adr, docs.GOOD_ADR, docs.BAD_ADR),
    "links": (docs.check_links, docs.GOOD_LINKS, docs.BAD_LINKS),
    "format": (settings.check_format, settings.GOOD_FORMAT, settings.BAD_FORMAT),
    "tidy": (settings.check_tidy, settings.GOOD_TIDY, settings.BAD_TIDY),
    "tap_count": (settings.check_tap_count, settings.GOOD_TAP_COUNT, settings.BAD_TAP_COUNT),
    "help": (program.check_help, program.GOOD_HELP, program.BAD_HELP),
    "man": (program.check_man, program.GOOD_MAN, program.BAD_MAN),
}


class Tap:
    """Prints test lines; the plan comes last."""

    def __init__(self):
        self.number = 0

    def test(self, good, name, details=()):
        self.number += 1
        print(f"{'ok' if good else 'not ok'} {self.number} - {name}")
        for detail in details:
            print(f"# {detail}")

    def skip(self, name, reason):
        self.number += 1
        print(f"ok {self.number} - {name} # SKIP {reason}")

    def plan(self):
        print(f"1..{self.number}")


def run(tap, name, project):
    check, good, bad = CHECKS[name]
    for number, sample in enumerate(bad, 1):
        found = list(check(as_tree(sample)))
        tap.test(found, f"{name}: catches bad sample {number}", [] if found else [repr(sample)[:300]])
    for number, sample in enumerate(good, 1):
        found = list(check(as_tree(sample)))
        tap.test(not found, f"{name}: lets good sample {number} pass", found)
    found = list(check(project))
    tap.test(not found, f"{name}: the project", found)


def as_tree(sample):
    """File texts become a tree; another kind of sample goes to its check as it stands."""
    return Tree(texts=sample) if isinstance(sample, dict) else sample


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=sorted(CHECKS))
    parser.add_argument("--program", help="the built tocsin, for help and man")
    parser.add_argument("--man", help="folder of the built manual sources")
    arguments = parser.parse_args()
    tap = Tap()
    try:
        if arguments.name in ("help", "man"):
            project = program.Built(ROOT, arguments.program, arguments.man)
        else:
            project = Tree(root=ROOT)
        run(tap, arguments.name, project)
    except settings.Missing as missing:
        tap.skip(arguments.name, str(missing))
    except Exception:  # a broken check is a failed test, told in TAP
        tap.test(False, f"{arguments.name}: the check itself", traceback.format_exc().splitlines())
    tap.plan()


if __name__ == "__main__":
    main()
