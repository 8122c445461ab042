"""`weir simulate --json` on standard input to the table of tests/detection/README.md: one row a scenario, mean and worst over the seeds.

Runs with different numbers of edges become that of both modes there: one row a scenario, a column a number.
"""
import collections
import json
import re
import sys


def by_edges(runs):
    """Rows that compare: served %, convicted %, first block h, honest keys blocked, for each number of edges."""
    modes = sorted({r["edges"] for rows in runs.values() for r in rows})
    names = ["served %", "convicted %", "first block h", "honest keys blocked"]
    print("| scenario | " + " | ".join(f"{n}, {m}" for n in names for m in modes) + " | honest keys |")
    print("|---" + "|--:" * (len(names) * len(modes) + 1) + "|")
    total = collections.Counter()
    for name, rows in runs.items():
        cells = []
        for mode in modes:
            of = [r for r in rows if r["edges"] == mode]
            a = [r["attack"] for r in of]
            honest = [c for r in of for c in r["honest"].values()]
            blocked, keys = sum(c["blocked"] for c in honest), sum(c["keys"] for c in honest)
            total[mode, "blocked"] += blocked
            total[mode, "keys"] += keys
            total[mode, "missed"] += any(r["missed"] for r in of)
            if not sum(x["requests"] for x in a):
                cells.append(["", "", "", f"{blocked}", f"{keys:,}"])
                continue
            served = 100 * sum(x["served"] for x in a) / sum(x["requests"] for x in a)
            convicted = 100 * sum(x["convicted"] for x in a) / max(sum(x["active"] for x in a), 1)
            first = [x["first_block_h"] for x in a if x["first_block_h"] is not None]
            cells.append([f"{served:.2f}", f"{convicted:.1f}", f"{sum(first) / len(first):.1f}" if first else "–", f"{blocked}", f"{keys:,}"])
        columns = [c for column in list(zip(*cells))[:-1] for c in column]
        print(f"| {name} | " + " | ".join(columns) + f" | {cells[0][-1]} |")
    print("\n" + "; ".join(
        f"{m} edges: {total[m, 'blocked']} of {total[m, 'keys']:,} honest key-runs blocked, {total[m, 'missed']} of {len(runs)} scenarios miss a target"
        for m in modes))


def main():
    runs = collections.defaultdict(list)
    for line in sys.stdin:
        r = json.loads(line)
        if "scenario" not in r:  # the total of all runs
            continue
        runs[r["scenario"]].append(r)
    if len({r["edges"] for rows in runs.values() for r in rows}) > 1:
        return by_edges(runs)
    told = {}
    with open("tests/detection/README.md") as h:
        page = h.read()
        for line in page[page.index("## Detection, measured"):].splitlines():
            m = re.match(r"\| ([A-Z][A-Za-z0-9-]*) \| ([^|]+) \|", line)
            if m and m.group(1) in runs:
                told.setdefault(m.group(1), m.group(2))
    keys = requests = blocked = 0
    print("| scenario | campaign | served %, mean (worst) | convicted %, worst | first block h, mean (worst) | honest keys blocked |")
    print("|---|---|--:|--:|--:|--:|")
    for name, rows in runs.items():
        honest = [c for r in rows for c in r["honest"].values()]
        k, b = sum(c["keys"] for c in honest), sum(c["blocked"] for c in honest)
        keys, blocked = keys + k, blocked + b
        a = [r["attack"] for r in rows]
        if a[0]["requests"]:
            served = [100 * x["served"] / x["requests"] for x in a]
            first = [x["first_block_h"] for x in a if x["first_block_h"] is not None]
            first = f"{sum(first) / len(first):.1f} ({max(first):.1f})" if first else "–"
            convicted = min(100 * x["convicted"] / x["accounts"] for x in a)
            cells = f"{sum(served) / len(served):.2f} ({max(served):.2f}) | {convicted:.1f} | {first}"
        else:
            cells = " | | "
        print(f"| {name} | {told.get(name, '')} | {cells} | {b} of {k:,} |")
    print(f"\n{sum(map(len, runs.values()))} runs; honest keys blocked: {blocked} of {keys:,} key-runs", file=sys.stderr)


if __name__ == "__main__":
    main()
