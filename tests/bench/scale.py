"""`scale.py OUT.svg < ROWS`: the rows of tests/bench/scale.rs as a table for tests/bench/README.md, and as a picture: share of a core by rate of
requests, a line for each number of keys (`make bench-scale`).
"""
import math
import sys

LEFT, TOP, WIDTH, HEIGHT, BELOW = 64, 16, 560, 300, 44
COLOURS = ["#0969da", "#1a7f37", "#9a6700", "#cf222e"]


def power(n):
    """10,000,000 as 10⁷."""
    return "10" + "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(d)] for d in str(round(math.log10(n))))


def share(rate, ns, us):
    """Percent of a core."""
    return (rate * ns / 1e9 + us / 1e6) * 100


def percent(x):
    return f"{x:.2f}" if x < 10 else f"{x:.0f}"


def table(rows):
    yield "| keys | requests/s | ns an observation | ticks and publications, µs a second | of a core, % | keys in the table | bytes of all tables |"
    yield "|--:|--:|--:|--:|--:|--:|--:|"
    for keys, rate, ns, us, kept, size in rows:
        yield f"| {power(keys)} | {power(rate)} | {ns:,} | {us:,} | {percent(share(rate, ns, us))} | {kept:,} | {size:,} |"


def picture(rows):
    rates = sorted({r[1] for r in rows})
    shares = [share(*r[1:4]) for r in rows]
    low, high = math.floor(math.log10(min(shares))), math.ceil(math.log10(max(shares)))
    x = lambda rate: LEFT + WIDTH * (math.log10(rate) - math.log10(rates[0])) / max(1, math.log10(rates[-1]) - math.log10(rates[0]))
    y = lambda value: TOP + HEIGHT * (high - math.log10(value)) / max(1, high - low)
    yield f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 96}" height="{TOP + HEIGHT + BELOW}" role="img" aria-label="Share of a core by requests a second">'
    yield "  <style>text { font: 13px system-ui, sans-serif; fill: #59636e; } .grid { stroke: #8b949e; stroke-width: .5; } .line { fill: none; stroke-width: 2; }"
    yield "    @media (prefers-color-scheme: dark) { text { fill: #b7bdc8; } }</style>"
    for e in range(low, high + 1):
        yield f'  <path class="grid" d="M{LEFT} {y(10**e):.1f}h{WIDTH}"/><text x="{LEFT - 8}" y="{y(10**e) + 4:.1f}" text-anchor="end">{10**e:g} %</text>'
    for rate in rates:
        yield f'  <text x="{x(rate):.1f}" y="{TOP + HEIGHT + 20}" text-anchor="middle">{power(rate)}</text>'
    yield f'  <text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 38}" text-anchor="middle">requests a second; of one core, native code</text>'
    ends = []
    for i, keys in enumerate(sorted({r[0] for r in rows})):
        own = [r for r in rows if r[0] == keys]
        points = " ".join(f"{x(r[1]):.1f},{y(share(*r[1:4])):.1f}" for r in own)
        yield f'  <polyline class="line" stroke="{COLOURS[i % len(COLOURS)]}" points="{points}"/>'
        ends.append((y(share(*own[-1][1:4])), i, keys))
    # Labels below each other where lines end close together.
    at = -math.inf
    for end, i, keys in sorted(ends):
        at = max(end, at + 16)
        yield f'  <text x="{LEFT + WIDTH + 8}" y="{at + 4:.1f}" style="fill:{COLOURS[i % len(COLOURS)]}">{power(keys)} keys</text>'
    yield "</svg>"


if __name__ == "__main__":
    rows = [tuple(int(n) for n in line.split()) for line in sys.stdin]
    print("\n".join(table(rows)))
    with open(sys.argv[1], "w") as out:
        out.write("\n".join(picture(rows)) + "\n")
