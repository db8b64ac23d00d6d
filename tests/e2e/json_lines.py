#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every kind of JSON line against docs/formats/watch.schema.json, and the schema against the tables in src/.

The validator here knows the words of JSON Schema that the schema uses, and refuses others. Where the jsonschema module
is installed, it has to agree.
"""

import copy
import json
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import records
from tocsin import ROOT, Skip, Suite, TOCSIN, check, check_equal

HELPER = os.environ.get("TOCSIN_JSON_WRITE", str(TOCSIN.parent / "tests" / "e2e" / "json_write"))
SCHEMA = json.loads((ROOT / "docs" / "formats" / "watch.schema.json").read_text(encoding="utf-8"))

suite = Suite(needs=())

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool}
NOTED = {"$schema", "title", "description", "$defs"}


def has_type(value, name):
    if name in TYPES:
        return isinstance(value, TYPES[name])
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and (name == "number" or isinstance(value, int))


def faults(schema, value, at="line"):
    """What of a value is against a schema, as sentences."""
    found = []
    for word, rule in schema.items():
        if word == "$ref":
            found += faults(SCHEMA["$defs"][rule.removeprefix("#/$defs/")], value, at)
        elif word == "oneOf":
            tried = [faults(s, value, at) for s in rule]
            if sum(not t for t in tried) != 1:
                found.append(f"{at}: fits {sum(not t for t in tried)} kinds of line: {min(tried, key=len)}")
        elif word == "type":
            if not has_type(value, rule):
                return [f"{at}: {value!r:.80} is no {rule}"]
        elif word == "const" and value != rule or word == "enum" and value not in rule:
            found.append(f"{at}: {value!r:.80} is not {rule}")
        elif word == "minimum" and value < rule or word == "maximum" and value > rule:
            found.append(f"{at}: {value} is out of range")
        elif word == "minItems" and len(value) < rule or word == "maxItems" and len(value) > rule:
            found.append(f"{at}: {len(value)} items")
        elif word == "pattern" and not re.search(rule, value):
            found.append(f"{at}: {value!r} does not match {rule}")
        elif word == "required":
            found += [f"{at}: no {name}" for name in rule if name not in value]
        elif word == "items":
            for i, item in enumerate(value):
                found += faults(rule, item, f"{at}[{i}]")
        elif word == "properties":
            for name in rule.keys() & value.keys():
                found += faults(rule[name], value[name], f"{at}.{name}")
        elif word == "additionalProperties":
            for name in value.keys() - schema.get("properties", {}).keys():
                found += [f"{at}: unknown member {name}"] if rule is False else faults(rule, value[name], f"{at}.{name}")
        elif word not in NOTED | {"const", "enum", "minimum", "maximum", "minItems", "maxItems", "pattern"}:
            raise AssertionError(f"the schema uses '{word}', which this validator does not know")
    return found


def no_duplicates(pairs):
    names = [name for name, _ in pairs]
    check_equal(len(set(names)), len(names), f"members of {names}")
    return dict(pairs)


def written():
    if not os.path.exists(HELPER):
        raise Skip(f"{HELPER} was not built")
    done = subprocess.run([HELPER], capture_output=True, check=True)
    check_equal(done.stderr, b"", "standard error")
    check(done.stdout.endswith(b"\n"), "the last line is not ended")
    return done.stdout.splitlines()


def lines():
    return [json.loads(raw.decode("utf-8"), object_pairs_hook=no_duplicates) for raw in written()]


@suite.test("each line is valid UTF-8 without control characters, and JSON")
def lines_are_json(run):
    for raw in written():
        text = raw.decode("utf-8", errors="strict")
        foul = re.search("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]", text)
        check(not foul, f"{foul!r} in {text:.100}")
    types = [line["type"] for line in lines()]
    check_equal(set(types), {"armed", "fired", "violation", "process", "summary"}, "types")


@suite.test("each line keeps to the schema")
def lines_keep_to_schema(run):
    for line in lines():
        found = faults(SCHEMA, line)
        check(not found, "\n".join([f"{line['type']}:"] + found))


@suite.test("the jsonschema module agrees")
def jsonschema_agrees(run):
    try:
        import jsonschema
    except ImportError:
        raise Skip("the Python module jsonschema is not installed") from None
    validator = jsonschema.validators.validator_for(SCHEMA)
    validator.check_schema(SCHEMA)
    for line in lines():
        jsonschema.validate(line, SCHEMA, cls=validator)
        line["nonsense"] = 1
        check(list(validator(SCHEMA).iter_errors(line)), f"{line['type']}: an unknown member passes")


def spoilt(line):
    """Each line with one thing wrong: a member missing, unknown, or of another type, at every depth."""
    def walk(value, path):
        if isinstance(value, dict):
            for name in value:
                yield from walk(value[name], path + [name])
            yield path, "unknown"
        elif isinstance(value, list):
            for i in range(min(len(value), 1)):
                yield from walk(value[i], path + [i])
        if path:
            yield path, "type"

    for path, how in walk(line, []):
        bad = copy.deepcopy(line)
        at = bad
        for step in path if how == "unknown" else path[:-1]:
            at = at[step]
        if how == "type":
            at[path[-1]] = None
        elif set(path) & {"losses", "sinks"}:
            at["nonsense"] = "text"
        else:
            at["nonsense"] = 1
        yield f"{how} at {path}", bad


@suite.test("a line with one thing wrong does not keep to the schema")
def spoilt_lines_are_caught(run):
    tried = 0
    for line in lines():
        for what, bad in spoilt(line):
            check(faults(SCHEMA, bad), f"{line['type']}: {what} passes")
            tried += 1
        for name in SCHEMA["$defs"][line["type"]]["required"]:
            check(faults(SCHEMA, {k: v for k, v in line.items() if k != name}), f"{line['type']}: no {name} passes")
            tried += 1
    run.note(f"{tried} spoilt lines")


@suite.test("the schema has the names of the tables in src/")
def schema_has_the_tables(run):
    defs = SCHEMA["$defs"]
    check_equal(defs["state"]["enum"], records.STATES, "states")
    check_equal(list(defs["split"]["properties"]), records.STATES, "parts of a split")
    check_equal(defs["split"]["required"], records.STATES, "parts of a split")
    check_equal(defs["cause_kind"]["enum"], records.CAUSES, "causes")
    flags = re.findall(r"^X\(\w+, (\w+)\)", (ROOT / "src" / "report" / "spell_flags.def").read_text(), re.MULTILINE)
    check_equal(defs["spell"]["properties"]["flags"]["items"]["enum"], flags, "flags of spells")
    defined = re.findall(r"^#define SPELL_(\w+)", (ROOT / "src" / "abi" / "watch.h").read_text(), re.MULTILINE)
    check_equal([name.lower() for name in defined], flags, "flags of spells in abi/watch.h")
    for line in lines():
        if line["type"] == "summary":
            check_equal(list(line["losses"]), records.LOSSES, "losses")


def names_in(schema):
    """Every member and every word that the schema allows."""
    for word, rule in schema.items():
        if word == "properties":
            yield from rule
        if word == "enum":
            yield from rule
        if isinstance(rule, dict):
            yield from names_in(rule)


@suite.test("docs/formats/watch-json.md explains every member, and every counter")
def page_is_whole(run):
    page = (ROOT / "docs" / "formats" / "watch-json.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`(\w+)`", page))
    sinks = [line["sinks"] for line in lines() if "sinks" in line]
    wanted = set(names_in(SCHEMA)) | set(records.LOSSES) | set(sinks[0])
    missing = sorted(wanted - explained - {"type", "armed", "violation", "summary", "process"})
    check(not missing, f"not explained: {missing}")


@suite.test("numbers are exact to 64 bits, and extremes stay what they are")
def numbers_are_exact(run):
    extreme = [line for line in lines() if line["type"] == "violation"][1]
    check_equal(extreme["key"], 2**64 - 1, "key")
    check_equal(extreme["elapsed_ns"], 2**64 - 1, "elapsed")
    check_equal(extreme["tid"], 2**32 - 1, "tid")
    check_equal(extreme["spells"][0]["args"], [-1, -1, -1], "arguments")
    check_equal(extreme["section"], "s" * 300, "section")
    check_equal(extreme["causes"][0]["share"], 1, "share")
    evil = 'a\x1b[31mb\r\n\t"\\\x7f\x9b2J' + "\ufffd" * 6 + "\u202e" + "\ufffd" * 2
    check_equal(extreme["verdict"], evil, "verdict")
    check_equal(extreme["spells"][0]["stack"], [evil] + [""] * 23, "stack")
    summary = [line for line in lines() if line["type"] == "summary"][1]
    check_equal(set(summary["losses"].values()), {2**64 - 1}, "losses")


if __name__ == "__main__":
    suite.main()
