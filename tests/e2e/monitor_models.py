#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each shipped model of programs: a trace that it allows, and traces that it must not: monitor_models.py PROGRAM.

A word is an event with its key; +MS lets time pass. Each bad word is the one that must be told, by event or by time.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), os.pardir, "lib"))
import ctf_events  # noqa: E402

S = 1_700_000_000_000_000_000
MS = 1_000_000

# model: scope's key is the object, or the thread; good; bad with what is told
MODELS = {
    "lock": ("take:1 drop:1 take:2 take:1 drop:2 drop:1",
             [("take:1 drop:1 drop:1", "drop"), ("take:1 take:1", "take"), ("take:1 +20 drop:1", "time")]),
    "double_free": ("allocate:1 use:1 release:1 allocate:1 release:1",
                    [("allocate:1 release:1 release:1", "release"), ("allocate:1 release:1 use:1", "use")]),
    "descriptor": ("open_fd:3 use_fd:3 close_fd:3 open_fd:3 close_fd:3",
                   [("open_fd:3 close_fd:3 use_fd:3", "use_fd"), ("open_fd:3 close_fd:3 close_fd:3", "close_fd")]),
    "lock_order": ("take_first:1 take_second:1 drop_second:1 drop_first:1 take_second:1 drop_second:1",
                   [("take_second:1 take_first:1", "take_first"), ("take_first:1 take_first:1", "take_first")]),
    "rwlock": ("read_lock:1 read_lock:1 read_unlock:1 read_unlock:1 write_lock:1 write_unlock:1",
               [("read_lock:1 write_lock:1", "write_lock"), ("write_lock:1 read_lock:1", "read_lock"),
                ("read_lock:1 read_unlock:1 read_unlock:1", "read_unlock"), ("write_lock:1 +20 write_unlock:1", "time")]),
    "connection": ("accepted:1 received:1 sent:1 shut:1 received:1 closed:1 accepted:1 closed:1",
                   [("accepted:1 closed:1 sent:1", "sent"), ("accepted:1 shut:1 sent:1", "sent"),
                    ("accepted:1 +70000 received:1", "time")]),
    "request": ("accept:1 parsed:1 done:1 replied:1",
                [("accept:1 done:1", "done"), ("accept:1 +6 parsed:1", "time"), ("accept:1 parsed:1 +90 done:1", "time"),
                 ("accept:1 +4 parsed:1 +79 done:1 +18 replied:1", "time")]),
    "reply": ("REQUEST:1 REPLY:1", [("REQUEST:1 +200 REQUEST:2 REPLY:2", "time"), ("REPLY:1", "rule")]),
}


def events(words):
    at, out = S, []
    for word in words.split():
        if word[0] == "+":
            at += int(word[1:]) * MS
            continue
        name, key = word.split(":")
        out.append((at, 0, f"p:{name}", {"key": int(key), "thread": 1}))
        at += 1000
    return out


def told(model, words, folder):
    """What the first violation tells, and how many there were."""
    ctf_events.write(folder, events(words))
    names = {name for *_, name, _ in events(words)}
    binds = [arg for name in sorted(names) for arg in ("--bind", f"{name[2:]}={name},key={'thread' if model == 'lock_order' else 'key'}")]
    run = subprocess.run([sys.argv[1], "monitor", "replay", "--json", model, *binds, folder], capture_output=True, text=True,
                         timeout=30)
    found = [v for v in map(json.loads, run.stdout.splitlines()) if v["type"] == "monitor_violation"]
    assert run.returncode == (1 if found else 0), run
    return found[0].get("event", found[0]["why"]) if found else None, len(found)


def main():
    number, good = 0, True
    for model, (allowed, forbidden) in MODELS.items():
        for words, wanted in [(allowed, None), *forbidden]:
            root = tempfile.mkdtemp(prefix="tocsin-models-")
            try:
                got, nr = told(model, words, os.path.join(root, "t"))
            finally:
                shutil.rmtree(root)
            number += 1
            is_right = got == wanted and nr == (wanted is not None)
            print(f"{'ok' if is_right else 'not ok'} {number} - {model}: {words}: {wanted or 'allowed'}")
            if not is_right:
                print(f"# told: {got}, {nr} times")
            good = good and is_right
    print(f"1..{number}")
    return 0 if good else 1


sys.exit(main())
