# SPDX-License-Identifier: MIT
"""The JSON lines of `tocsin watch`, checked: what each must have, and what must hold within one and between them.

Names of states, causes and losses are read from the tables in src/, so that a test never has a list of its own.
"""

import pathlib
import re

_SRC = pathlib.Path(__file__).resolve().parents[2] / "src"


def _table(path):
    """The second column of an X-macro table."""
    text = (_SRC / path).read_text(encoding="utf-8")
    return re.findall(r"^X\(\w+,\s*(\w+),", text, re.MULTILINE)


STATES = _table("abi/states.def")
CAUSES = _table("analysis/causes.def")
LOSSES = _table("abi/losses.def")
CONFIDENCES = ("certain", "likely", "none")
ABANDONED = ("exit", "exec", "frame")

_INT, _STR, _BOOL, _DICT, _LIST, _NUM = int, str, bool, dict, list, (int, float)

_HEAD = {"number": _INT, "section": _STR, "tid": _INT, "pid": _INT, "comm": _STR, "start_ns": _INT, "end_ns": _INT,
         "elapsed_ns": _INT, "budget_ns": _INT}
_REQUIRED = {
    "armed": {"sections": _INT, "probes": _INT, "realtime_offset_ns": _INT},
    "fired": {**_HEAD, "state": _STR, "late_ns": _INT, "split_ns": _DICT},
    "violation": {**_HEAD, "fired": _BOOL, "split_known": _BOOL, "split_ns": _DICT, "verdict": _STR, "causes": _LIST,
                  "spells": _LIST, "spells_total": _INT, "spells_lost": _INT, "spells_short": _INT, "short_ns": _INT},
    "process": {"what": _STR, "pid": _INT, "parent": _INT, "comm": _STR},
    "summary": {"duration_ns": _INT, "sections": _LIST, "losses": _DICT, "records_lost": _INT, "throttle_known": _BOOL},
}
_SECTION = {"name": _STR, "text": _STR, "budget_ns": _INT, "closed": _INT, "over": _INT, "fired": _INT, "abandoned": _INT,
            "still_open": _INT, "removed_open": _INT, "unreported": _INT,
            "mean_ns": _INT, "p50_ns": _INT, "p90_ns": _INT, "p99_ns": _INT, "p999_ns": _INT, "max_ns": _INT,
            "over_split_ns": _DICT, "causes": _LIST, "other_ns": _INT}
_CAUSE = {"kind": _STR, "ns": _INT, "share": _NUM, "confidence": _STR, "spells": _INT, "text": _STR}
_SPELL = {"out_ns": _INT, "state": _STR, "cause": _STR}
_PEER = {"comm": _STR}  # several tasks of one name have no number


def _shape(what, got, required):
    """Missing keys and wrong types."""
    faults = []
    for key, kind in required.items():
        if key not in got:
            faults.append(f"{what}: no {key}")
        elif not isinstance(got[key], kind) or (kind is _INT and isinstance(got[key], bool)):
            faults.append(f"{what}: {key} is {got[key]!r}")
        elif kind is _INT and got[key] < 0 and key != "realtime_offset_ns":
            faults.append(f"{what}: {key} is negative: {got[key]}")
    return faults


def _split_faults(what, split, total):
    if list(split) != STATES:
        return [f"{what}: the parts are {list(split)}, want {STATES}"]
    if sum(split.values()) != total:
        return [f"{what}: the parts sum to {sum(split.values())}, elapsed {total}"]
    return [f"{what}: {k} is negative" for k, v in split.items() if v < 0]


def _cause_faults(what, causes, total):
    faults = []
    for cause in causes:
        faults += (bad := _shape(f"{what}: cause", cause, _CAUSE))
        if bad:
            continue
        if cause["kind"] not in CAUSES:
            faults.append(f"{what}: no such cause: {cause['kind']}")
        if cause["confidence"] not in CONFIDENCES:
            faults.append(f"{what}: no such confidence: {cause['confidence']}")
        if total and abs(cause["share"] - cause["ns"] / total) > 0.006:
            faults.append(f"{what}: share {cause['share']} of {cause['kind']} is not {cause['ns']} of {total}")
        if "peer" in cause:
            faults += _shape(f"{what}: peer", cause["peer"], _PEER)
    if faults:
        return faults
    if sum(c["ns"] for c in causes) != total:
        faults.append(f"{what}: the causes sum to {sum(c['ns'] for c in causes)}, elapsed {total}")
    if [c["ns"] for c in causes] != sorted((c["ns"] for c in causes), reverse=True):
        faults.append(f"{what}: the causes are not sorted")
    return faults


def _spell_faults(what, violation):
    faults = []
    last = 0
    for spell in violation["spells"]:
        faults += (bad := _shape(f"{what}: spell", spell, _SPELL))
        if bad:
            return faults
        if spell["state"] not in STATES:
            faults.append(f"{what}: no such state of a spell: {spell['state']}")
        for key in ("cause", "wait_cause"):
            if key in spell and spell[key] not in CAUSES:
                faults.append(f"{what}: no such {key}: {spell[key]}")
        times = [spell[k] for k in ("out_ns", "wake_ns", "in_ns") if spell.get(k)]
        if times != sorted(times):
            faults.append(f"{what}: the times of a spell go backwards: {times}")
        if times[0] < last:
            faults.append(f"{what}: the spells are not in order")
        last = times[-1]
        if "stop_tid" not in violation and times[0] >= violation["end_ns"]:
            faults.append(f"{what}: a spell begins at {times[0]}, after the end {violation['end_ns']}")
    if violation["spells_total"] < len(violation["spells"]):
        faults.append(f"{what}: {len(violation['spells'])} spells of {violation['spells_total']}")
    return faults


def _violation_faults(v):
    what = f"violation {v['number']} of {v['section']}"
    faults = _split_faults(what, v["split_ns"], v["elapsed_ns"])
    if v["end_ns"] - v["start_ns"] != v["elapsed_ns"]:
        faults.append(f"{what}: elapsed {v['elapsed_ns']} is not end - start")
    if v["elapsed_ns"] <= v["budget_ns"]:
        faults.append(f"{what}: elapsed {v['elapsed_ns']} is within the budget {v['budget_ns']}")
    if not v["split_known"] and not faults and v["split_ns"]["unknown"] != v["elapsed_ns"]:
        faults.append(f"{what}: the split is not known, but claimed: {v['split_ns']}")
    if not v["fired"] and "fired_late_ns" in v:
        faults.append(f"{what}: late although it did not fire")
    if v.get("abandoned") not in (None, *ABANDONED):
        faults.append(f"{what}: abandoned by {v['abandoned']!r}")
    if not v["verdict"].strip():
        faults.append(f"{what}: no verdict")
    return faults + _cause_faults(what, v["causes"], v["elapsed_ns"]) + _spell_faults(what, v)


def _fired_faults(f):
    what = f"firing {f['number']} of {f['section']}"
    faults = _split_faults(what, f["split_ns"], f["elapsed_ns"])
    if f["state"] not in STATES:
        faults.append(f"{what}: no such state: {f['state']}")
    if f["elapsed_ns"] < f["budget_ns"]:
        faults.append(f"{what}: fired {f['budget_ns'] - f['elapsed_ns']} ns too early")
    elif f["late_ns"] != f["elapsed_ns"] - f["budget_ns"]:
        faults.append(f"{what}: late_ns {f['late_ns']} is not {f['elapsed_ns']} - {f['budget_ns']}")
    return faults


def _summary_faults(s):
    faults = []
    if sorted(s["losses"]) != sorted(LOSSES):
        faults.append(f"summary: losses are {sorted(s['losses'])}, want {sorted(LOSSES)}")
    for section in s["sections"]:
        what = f"summary of {section.get('name')}"
        faults += (bad := _shape(what, section, _SECTION))
        if bad:
            continue
        if section["over"] > section["closed"] + section["abandoned"]:
            faults.append(f"{what}: {section['over']} over of {section['closed']} closed, {section['abandoned']} abandoned")
        order = [section[k] for k in ("p50_ns", "p90_ns", "p99_ns", "p999_ns")]
        if order != sorted(order):
            faults.append(f"{what}: the percentiles are not in order: {order}")
        if list(section["over_split_ns"]) != STATES:
            faults.append(f"{what}: the parts are {list(section['over_split_ns'])}")
        for cause in section["causes"]:
            if cause.get("kind") not in CAUSES:
                faults.append(f"{what}: no such cause: {cause.get('kind')}")
    return faults


def record_faults(event):
    """What is wrong with one line, as a list of sentences."""
    kind = event.get("type")
    if kind not in _REQUIRED:
        return [f"no such type of line: {kind!r}"]
    faults = _shape(kind, event, _REQUIRED[kind])
    if faults:
        return faults
    if kind == "violation":
        return _violation_faults(event)
    if kind == "fired":
        return _fired_faults(event)
    if kind == "summary":
        return _summary_faults(event)
    if kind == "process" and event["what"] not in ("forked", "execed", "exited"):
        return [f"process: it {event['what']}"]
    return []


def identity(event):
    """What tells one section from another: name, thread (and key) and start."""
    return event["section"], event["tid"], event.get("key"), event["start_ns"]


class StreamChecker:
    """Checks lines as they come, and what must hold between them."""

    def __init__(self):
        self.faults = []
        self.seen = {"violation": {}, "fired": {}}
        self.summary = None
        self.count = 0

    def add(self, event):
        self.count += 1
        faults = record_faults(event)
        self.faults += faults
        kind = event.get("type")
        if self.summary is not None:
            self.faults.append(f"a {kind} line after the summary")
        if kind == "armed" and self.count != 1:
            self.faults.append("the armed line is not the first")
        if faults:
            return
        if kind == "summary":
            self.summary = event
        if kind in self.seen:
            who = identity(event)
            if who in self.seen[kind]:
                self.faults.append(f"two {kind} lines of one section: {who}")
            if kind == "fired" and who in self.seen["violation"]:
                self.faults.append(f"fired after its violation: {who}")
            self.seen[kind][who] = event

    def finish(self):
        """All faults, with those that only the whole stream shows."""
        faults = list(self.faults)
        numbers = [v["number"] for v in self.seen["violation"].values()]
        if len(numbers) != len(set(numbers)):
            faults.append("two violations have the same number")
        for who, v in self.seen["violation"].items():
            if v["fired"] != (who in self.seen["fired"]):
                faults.append(f"violation {v['number']}: fired is {v['fired']}, and there is "
                              f"{'a' if who in self.seen['fired'] else 'no'} line that says so")
        if self.summary is not None:
            lost = self.summary["records_lost"] + self.summary["losses"].get("event_ring_full", 0)
            for name in sorted({s["name"] for s in self.summary["sections"]}):
                # A name may have been taken away and given again: two sections, then.
                over = sum(s["over"] - s["unreported"] for s in self.summary["sections"] if s["name"] == name)
                seen = sum(1 for v in self.seen["violation"].values() if v["section"] == name)
                if seen > over or seen + lost < over:
                    faults.append(f"summary of {name}: {over} over and to be reported, {seen} violations seen")
        return faults
