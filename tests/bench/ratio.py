"""Two modules of one run of perfkit, side by side: what each adds to a request, and the ratio. Reads the samples that --json kept.

A visit's cost is CPU of Envoy a request. Of each process start the quiet cost (20th percentile of its visits) is taken, the mean over starts
is the figure, and starts and visits are drawn again 2,000 times for the 95 % interval. `ratio`: all of a request, the proxy's own part
included; `above`: only what the module adds to no filter, which says more and is less certain; `paired`: the median, over all rounds, of the
ratio of the two visits of one round (all of a request), which a machine with other work disturbs least."""
import json
import random
import statistics
import sys

DRAWS = 2_000


def p20(xs):
    xs = sorted(xs)
    return xs[int(0.2 * (len(xs) - 1) + 0.5)]


def by_start(visits):
    """Costs of the visits, a list for each process start."""
    starts = {}
    for v in visits:
        starts.setdefault(v["start"], []).append(v["cpu_us"])
    return [starts[s] for s in sorted(starts)]


def quiet(starts):
    return statistics.mean(p20(xs) for xs in starts)


def figures(base, before, after):
    """(no filter, before above it, after above it, ratio of all, ratio above no filter)"""
    n, b, a = quiet(base), quiet(before), quiet(after)
    return n, b - n, a - n, a / b, (a - n) / (b - n)


def drawn(rng, *variants):
    """The same starts for each variant, visits drawn anew."""
    starts = rng.choices(range(len(variants[0])), k=len(variants[0]))
    return [[rng.choices(v[s], k=len(v[s])) for s in starts] for v in variants]


def main():
    with open(sys.argv[1]) as h:
        samples = json.load(h)
    rng = random.Random(7)
    print("| body | no filter | before | after | ratio | above | paired |\n|---|--:|--:|--:|--:|--:|--:|")
    for body in dict.fromkeys(key.split("|")[1] for key in samples):
        of = [by_start(samples[f"{name}|{body}"]) for name in ("base", "before", "after")]
        told = figures(*of)
        draws = sorted_columns([figures(*drawn(rng, *of)) for _ in range(DRAWS)])
        rows = [*zip(told, draws), paired(of[1], of[2])]
        cells = [f"{x:.{d}f} ({low:.{d}f}–{high:.{d}f})" for (x, (low, high)), d in zip(rows, (0, 0, 0, 2, 2, 2))]
        print(f"| {body} | " + " | ".join(cells) + " |")


def paired(before, after):
    """Median of the ratios of visits of the same round, and its 95 % interval (order statistics)."""
    ratios = sorted(a / b for bs, as_ in zip(before, after) for b, a in zip(bs, as_))
    k = max(0, int(len(ratios) / 2 - 0.98 * len(ratios) ** 0.5))
    return statistics.median(ratios), (ratios[k], ratios[-1 - k])


def sorted_columns(rows):
    """The 95 % interval of each column."""
    columns = [sorted(c) for c in zip(*rows)]
    return [(c[int(0.025 * len(c))], c[int(0.975 * len(c))]) for c in columns]


main()
