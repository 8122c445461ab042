"""Mutation testing: `mutants.py [AREA…] [--sample N] [--seed S]`. A uniform random sample of what cargo-mutants would change in an area
(0: all of it), each change tested, and how many were caught, with an interval at 95 %.

The tests of an area run in steps, quick ones first, until one fails: caught. What all of them miss stands at the end, and every outcome in
target/mutants/AREA.json. A change that does not compile says nothing; one that makes a test endless is caught.

cargo-mutants says what to change, and no more: it would run all tests on each, and run changes of fields that it was not asked for. It
works on a copy in target/mutants/tree, which keeps what was built.
"""
import argparse
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
WORK = os.path.join(ROOT, "target", "mutants")
TREE = os.path.join(WORK, "tree")
ENV = {**os.environ, "CARGO_TARGET_DIR": os.path.join(WORK, "build")}

# Unit tests of the ledger that take seconds.
SLOW = [arg for name in ["a_launch_of_people", "a_campaign_is_convicted", "servers_under_unequal", "honest_traffic_alone", "crash_tests",
                         "people_who_begin", "timers_with_a_quarter", "long_texts_agree"] for arg in ("--skip", name)]


def lib(*args):
    return ["--lib", "--", *args]


def tests(*names):
    return [arg for name in names for arg in ("--test", name)]


# Area: its files, and its steps, as arguments of `cargo test`.
JUDGING = [lib("engine::", *SLOW), tests("rules"), lib(), tests("accuracy", "halves", "limits", "budget", "detection")]
READING = [lib("engine::", *SLOW), tests("dialects", "bodies", "parsers", "superset", "sampled", "paths"), lib(),
           tests("limits", "budget", "halves", "config")]
AREAS = {
    "rules": ("src/engine/rules/**/*.rs", JUDGING),
    "detect": ("src/engine/detect/**/*.rs", JUDGING),
    "edge": ("src/engine/edge/**/*.rs", READING),
    "json": ("src/engine/json/**/*.rs", READING),
    "calls": ("src/host/proxy_wasm/{calls,wipe}.rs", [["--package", "weir-calls"]]),
}


def copy_tree():
    """The tree as it is, without what git ignores. Files that have not changed keep their times, so that cargo builds little anew."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True)
    names = {n for n in names.stdout.splitlines() if os.path.isfile(os.path.join(ROOT, n))}
    for name in names:
        here, there = os.path.join(ROOT, name), os.path.join(TREE, name)
        os.makedirs(os.path.dirname(there), exist_ok=True)
        if not os.path.exists(there) or open(there, "rb").read() != open(here, "rb").read():
            shutil.copyfile(here, there)
    for folder, _, files in os.walk(TREE):
        for there in (os.path.join(folder, name) for name in files):
            if os.path.relpath(there, TREE) not in names:
                os.remove(there)


def cargo_test(step, limit_s):
    """caught, missed, timeout or unviable, and what was printed. The limit is of the tests, not of the compiler."""
    how = {"cwd": TREE, "env": ENV, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    built = subprocess.run(["cargo", "test", "--quiet", "--no-run", *step], check=False, **how)
    if built.returncode:
        return "unviable", built.stdout
    with subprocess.Popen(["cargo", "test", "--quiet", *step], start_new_session=True, **how) as p:
        try:
            out, _ = p.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return "timeout", ""
        finally:
            if p.poll() is None:
                os.killpg(p.pid, signal.SIGKILL)
    return ("caught" if p.returncode else "missed"), out


def changed(text, mutant):
    """The text of a file with the change."""
    lines = text.splitlines(keepends=True)

    def at(place):
        return sum(map(len, lines[:place["line"] - 1])) + place["column"] - 1

    return text[:at(mutant["span"]["start"])] + mutant["replacement"] + text[at(mutant["span"]["end"]):]


def outcome(mutant, step, limit_s):
    """What a step says of one change."""
    file = os.path.join(TREE, mutant["file"])
    with open(file, newline="") as h:
        text = h.read()
    try:
        with open(file, "w", newline="") as h:
            h.write(changed(text, mutant))
        return cargo_test(step, limit_s)[0]
    finally:
        with open(file, "w", newline="") as h:
            h.write(text)


def seconds(step):
    """What a step takes when nothing is changed; it must pass."""
    subprocess.run(["cargo", "test", "--quiet", "--no-run", *step], cwd=TREE, env=ENV, check=True)
    start = time.monotonic()
    found, out = cargo_test(step, None)
    if found != "missed":
        sys.exit(f"mutants: nothing was changed, and this fails: cargo test {' '.join(step)}\n{out}")
    return time.monotonic() - start


def wilson(hits, n):
    """Wilson's interval at 95 %, percent."""
    if not n:
        return 0.0, 100.0
    z, p = 1.96, hits / n
    mid, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return tuple(100 * (mid + sign * half) / (1 + z * z / n) for sign in (-1, 1))


def main():
    # Whoever ends it gets the copy back as it was, and no test that goes on.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("areas", nargs="*", metavar="AREA", help=f"of {', '.join(AREAS)} (all)")
    p.add_argument("--sample", type=int, default=25, help="mutants of an area, at random; 0: all of them")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--only", default="", help="only those of the sample whose name contains this")
    p.add_argument("--list", action="store_true", help="only count them")
    o = p.parse_args()
    if unknown := set(o.areas) - set(AREAS):
        p.error(f"no such area: {', '.join(sorted(unknown))}")
    copy_tree()
    kinds = ("caught", "missed", "timeout", "unviable")
    rows, left = [], []
    for area in o.areas or AREAS:
        files, steps = AREAS[area]
        told = subprocess.run(["cargo", "mutants", "--no-config", "--list", "--json", "-f", files], cwd=TREE, check=True, capture_output=True)
        mutants = json.loads(told.stdout)
        some = [] if o.list else random.Random(o.seed).sample(mutants, min(o.sample or len(mutants), len(mutants)))
        some = sorted((m for m in some if o.only in m["name"]), key=lambda m: m["name"])
        found = {}
        for step in steps:
            ask = [m for m in some if found.get(m["name"], "missed") == "missed"]
            # The machine may be busy: two minutes are no hang.
            limit_s = max(120, 5 * seconds(step)) if ask else 0
            for m in ask:
                found[m["name"]] = outcome(m, step, limit_s)
                print(f"{time.strftime('%H:%M:%S')} {found[m['name']]:8} by {' '.join(step[:4])}: {m['name']}", file=sys.stderr, flush=True)
        with open(os.path.join(WORK, area + ".json"), "w") as h:
            json.dump(found, h, indent=1)
        count = {k: sum(f == k for f in found.values()) for k in kinds}
        hits = count["caught"] + count["timeout"]
        low, high = wilson(hits, hits + count["missed"])
        rows.append((area, len(mutants), len(found), *count.values(), f"{low:.0f}-{high:.0f} %"))
        left += [name for name, f in found.items() if f == "missed"]
    for row in [("area", "mutants", "tested", *kinds, "caught at 95 %"), *rows]:
        print("  ".join(f"{cell:>8}" for cell in row))
    print("".join(f"missed: {name}\n" for name in left), end="")


if __name__ == "__main__":
    main()
