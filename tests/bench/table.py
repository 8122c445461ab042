"""`weir simulate --json` on standard input to the README's table: one row a scenario, mean and worst over the seeds."""
import collections
import json
import re
import sys


def main():
    runs = collections.defaultdict(list)
    for line in sys.stdin:
        r = json.loads(line)
        if "scenario" not in r:  # the total of all runs
            continue
        runs[r["scenario"]].append(r)
    told = {}
    with open("README.md") as h:
        for line in h:
            m = re.match(r"\| ([A-Z][A-Za-z0-9-]*) \| ([^|]+) \|(.*)", line)
            if m and m.group(1) in runs:
                cells = m.group(3).split("|")
                told.setdefault(m.group(1), (m.group(2), cells[2].strip() if len(cells) >= 7 else ""))
    keys = requests = blocked = 0
    print("| scenario | campaign | served %, mean (worst) | aim | convicted %, worst | first block h, mean (worst) | honest keys blocked |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for name, rows in runs.items():
        text, aim = told.get(name, ("", ""))
        honest = [c for r in rows for c in r["honest"].values()]
        k, b = sum(c["keys"] for c in honest), sum(c["blocked"] for c in honest)
        keys, blocked = keys + k, blocked + b
        a = [r["attack"] for r in rows]
        if a[0]["requests"]:
            served = [100 * x["served"] / x["requests"] for x in a]
            first = [x["first_block_h"] for x in a if x["first_block_h"] is not None]
            first = f"{sum(first) / len(first):.1f} ({max(first):.1f})" if first else "–"
            convicted = min(100 * x["convicted"] / x["accounts"] for x in a)
            cells = f"{sum(served) / len(served):.2f} ({max(served):.2f}) | {aim} | {convicted:.1f} | {first}"
        else:
            cells = " | | | "
        print(f"| {name} | {text} | {cells} | {b} of {k:,} |")
    print(f"\n{sum(map(len, runs.values()))} runs; honest keys blocked: {blocked} of {keys:,} key-runs", file=sys.stderr)


if __name__ == "__main__":
    main()
