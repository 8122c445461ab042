#!/usr/bin/env bash
# What each honest explanation and rule buys: the same scenarios and seed with one of them switched off. Arguments go to
# `weir simulate` (for example --corpus DIR). Prints a Markdown table; "blocked" are honest keys.
set -euo pipefail
cd "$(dirname "$0")/../.."
scenarios=S0,S3,S5b,S10,S10b,S21,N800
terms="${TERMS_OFF:-visitors people staff fleet repeaters owner dominance arm siblings opening}"
run() { target/weir simulate -s "$scenarios" --honest "${HONEST:-0.15}" --json "$@" 2>/dev/null || [ $? -eq 4 ]; }
row() { python3 -c '
import json, sys
cells = []
for line in sys.stdin:
    r = json.loads(line)
    if "scenario" not in r:
        continue
    a = r["attack"]
    blocked = sum(c["blocked"] for c in r["honest"].values())
    share = 100 * a["served"] / max(a["requests"], 1)
    served = f"{share:.2f} %" if a["requests"] else ""
    cells.append(" ".join(x for x in (served, f"({blocked} blocked)" if blocked else "") if x) or "0 blocked")
print("| " + sys.argv[1] + " | " + " | ".join(cells) + " |")' "$1"; }
echo "| without | ${scenarios//,/ | } |"
echo "|---|$(sed 's/[^,]*,\?/---|/g' <<<"$scenarios")"
run "$@" | row "nothing"
for term in $terms; do run --without "$term" "$@" | row "$term"; done
