"""Builds the fuzz targets for libFuzzer with the stable compiler and runs them: a table of inputs, edges and findings by target.

    run.py --inputs N      the corpora of the repository and N inputs a target made of them, from one seed: the same on any machine
    run.py --seconds N     N seconds over all targets, going on from target/fuzz/corpus
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
WORK = ROOT / "target" / "fuzz-work"
# Counters of edges, and what values were compared with. Only our own code gets them: `cargo rustc` hands flags to no dependency.
COUNTERS = ["-Cpasses=sancov-module"] + [
    f"-Cllvm-args=-sanitizer-coverage-{what}" for what in ("level=4", "inline-8bit-counters", "pc-table", "trace-compares")
]
# Inputs of these cost a ledger, an engine or a node of their own; so many times fewer of them make a minute.
SLOW = {"observations": 40, "pages": 40, "cells": 200, "requests": 20, "shards": 10, "config": 20, "exchange": 2}
DOCUMENTS = {"json", "dialects", "unicode", "multipart", "frames"}
FILES = {"config", "identity", "requests", "path", "trace", "import", "audit"}


def build():
    command = ["cargo", "rustc", "--quiet", "--profile", "fuzz", "--package", "weir-fuzz", "--features", "libfuzzer", "--", *COUNTERS]
    subprocess.run(command, cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "fuzz" / "weir-fuzz"


def run(binary, target, inputs, seconds):
    """One target: what the table says of it."""
    seeds = HERE / "corpus" / target
    kept = WORK / ("corpus" if seconds else "short") / target
    if not seconds:
        shutil.rmtree(kept, ignore_errors=True)
    findings = WORK / "findings"
    for folder in (kept, findings):
        folder.mkdir(parents=True, exist_ok=True)
    options = ["-print_final_stats=1", "-max_len=4096", "-timeout=120", "-rss_limit_mb=2048", "-verbosity=1"]
    options += [f"-artifact_prefix={findings}/{target}-", "-seed=1" if inputs else "-reload=0"]
    options += [f"-max_total_time={seconds:.0f}"] if seconds else [f"-runs={max(inputs // SLOW.get(target, 1), 100)}"]
    options += [f"-dict={HERE}/{words}.dict" for words, of in (("json", DOCUMENTS), ("files", FILES)) if target in of]
    began = time.monotonic()
    done = subprocess.run(
        [binary, *options, kept, seeds],
        env={**os.environ, "WEIR_FUZZ": target, "RUST_BACKTRACE": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
    )
    took = max(time.monotonic() - began, 0.01)
    log = done.stdout

    def last(pattern):
        return int((re.findall(pattern, log) or ["0"])[-1])

    ran = last(r"stat::number_of_executed_units:\s+(\d+)") or last(r"^#(\d+)")
    total = last(r"\((\d+) inline 8-bit counters\)")
    row = {"target": target, "inputs": ran, "a second": int(ran / took), "edges": last(r" cov: (\d+)"),
           "features": last(r" ft: (\d+)"), "files": last(r" corp: (\d+)/"), "panics": int(done.returncode != 0)}
    return row, total, log if done.returncode else ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("targets", nargs="*")
    args = parser.parse_args()
    if bool(args.inputs) == bool(args.seconds):
        parser.error("either --inputs or --seconds")
    targets = args.targets or sorted(p.name for p in (HERE / "corpus").iterdir())
    binary, at_once = build(), min(os.cpu_count() or 1, 4)
    share = args.seconds * at_once / len(targets)
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        results = list(pool.map(lambda t: run(binary, t, args.inputs, share), targets))
    rows = [row for row, _, _ in results]
    total = max(edges for _, edges, _ in results)
    sums = {"target": "all", **{k: sum(r[k] for r in rows) for k in ("inputs", "files", "panics")}}
    columns = list(rows[0])
    print("  ".join(f"{c:>12}" if c != "target" else f"{c:<12}" for c in columns))
    for row in [*rows, sums]:
        cells = (f"{row[c]:,}" if isinstance(row.get(c), int) else str(row.get(c, "")) for c in columns)
        print("  ".join(f"{v:<12}" if i == 0 else f"{v:>12}" for i, v in enumerate(cells)))
    print(f"edges in the program: {total:,}")
    for row, _, log in results:
        if log:
            print(f"\n{row['target']}: {log[-6_000:]}\nrepeat it: cargo run --package weir-fuzz -- {row['target']} FILE")
    print(f"test result: {len(rows) - sums['panics']} passed; {sums['panics']} failed")
    sys.exit(1 if sums["panics"] else 0)


if __name__ == "__main__":
    main()
