"""`picture.py OUT.svg`: the picture of the system, src/architecture.svg, from the text below (`make picture`). `picture.py -` prints it.

A box is `name: column row width height class | title | line | line`, an arrow `from side -> to side class | label`; a box may be of
class `frame` (something that holds others). Units are cells of the grid. The colours follow the reader's: light or dark.
"""
import html
import re
import sys

CELL_X, CELL_Y, MARGIN = 20, 20, 16

BOXES = """
clients: 0 6 8 5 plain | Clients | keys, prompts
envoy: 10 0 43 28 frame | Envoy, one node
worker: 12 3 39 9 frame | Each worker: an edge (WebAssembly VM)
read: 13 6 8 5 weir | Read | body as it streams | dialect of the API
who: 22 6 8 5 weir | Identify | credential → key | keyed hash
print: 31 6 8 5 weir | Fingerprint | four-word phrases | → sampled hashes
decide: 40 6 10 5 verdict | Decide | lists, limits, odds | allow, tag, 429
model: 55 6 8 5 plain | Model server | what was allowed
cells: 12 15 39 3 cells | Shared data: observations in, verdicts out, every 100 ms; checkpoints
leader: 12 20 39 7 frame | Leader: the ledger
keys: 13 22 9 4 weir | Keys | 64 bytes each
groups: 24 22 11 4 weir | Groups | phrase → sample of keys
detect: 37 22 13 4 verdict | Detect, convict | campaign or honest?
"""

ARROWS = """
clients right -> read left | request
read right -> who left |
who right -> print left |
print right -> decide left |
decide right -> model left |
decide bottom@42 -> cells top@42 | observations: hashes, counts
cells bottom@21 -> keys top@21 |
keys right -> groups left |
groups right -> detect left |
detect top@47 -> cells bottom@47 |
cells top@48 -> decide bottom@48 | verdicts
"""

LIGHT = {"paper": "#ffffff", "ink": "#1f2328", "soft": "#59636e", "line": "#8b949e", "frame": "#f6f8fa", "weir": "#ddf4ff", "verdict": "#fff8c5", "cells": "#dafbe1"}
DARK = {"paper": "#0d1117", "ink": "#f0f6fc", "soft": "#b7bdc8", "line": "#6e7681", "frame": "#151b23", "weir": "#0c2d6b", "verdict": "#4b2900", "cells": "#033a16"}


def colours(c):
    """Rules of one palette."""
    fills = [f".{name} {{ fill: {c[name]}; }}" for name in ("paper", "frame", "weir", "verdict", "cells")]
    return [*fills, f".plain {{ fill: {c['paper']}; }}", f".box {{ stroke: {c['line']}; }}", f"text, .tip {{ fill: {c['soft']}; }}",
            f".title {{ fill: {c['ink']}; }}", f".arrow {{ stroke: {c['soft']}; }}"]


def style():
    fixed = ["text { font: 13px system-ui, sans-serif; }", ".title { font-weight: 600; font-size: 14px; }", ".arrow { stroke-width: 1.5; fill: none; }"]
    dark = ["@media (prefers-color-scheme: dark) {", *("  " + rule for rule in colours(DARK)), "}"]
    return "\n".join("    " + rule for rule in [*fixed, *colours(LIGHT), *dark])


class Box:
    def __init__(self, line):
        head, *texts = [part.strip() for part in line.split("|")]
        self.name, rest = head.split(":")
        *numbers, self.kind = rest.split()
        x, y, w, h = map(int, numbers)
        self.x, self.y = x * CELL_X + MARGIN, y * CELL_Y + MARGIN
        self.w, self.h = w * CELL_X, h * CELL_Y
        self.texts = texts

    def side(self, spec):
        """`left`, `right`, `top`, `bottom`; of top and bottom `@column` says where, else the middle."""
        side, _, at = spec.partition("@")
        middle = self.x + self.w // 2 if not at else int(at) * CELL_X + MARGIN
        return {"left": (self.x, self.y + self.h // 2), "right": (self.x + self.w, self.y + self.h // 2),
                "top": (middle, self.y), "bottom": (middle, self.y + self.h)}[side]

    def svg(self):
        out = [f'<rect class="box {self.kind}" x="{self.x}" y="{self.y}" width="{self.w}" height="{self.h}" rx="6"/>']
        if self.kind == "frame":
            out.append(f'<text class="title" x="{self.x + 12}" y="{self.y + 24}">{html.escape(self.texts[0])}</text>')
            return out
        middle, top = self.x + self.w // 2, self.y + self.h // 2 - 9 * (len(self.texts) - 1) + 5
        for i, text in enumerate(self.texts):
            title = ' class="title"' if i == 0 else ""
            out.append(f'<text{title} x="{middle}" y="{top + 18 * i}" text-anchor="middle">{html.escape(text)}</text>')
        return out


def arrow(line, boxes):
    ends, _, label = [part.strip() for part in line.partition("|")]
    a, a_side, b, b_side = re.fullmatch(r"(\w+) (\S+) -> (\w+) (\S+)", ends).groups()
    (x, y), (to_x, to_y) = boxes[a].side(a_side), boxes[b].side(b_side)
    out = [f'<path class="arrow" marker-end="url(#tip)" d="M{x} {y} L{to_x} {to_y}"/>']
    if label and x == to_x:
        out.append(f'<text x="{x - 8}" y="{(y + to_y) // 2 + 14}" text-anchor="end">{html.escape(label)}</text>')
    elif label:
        out.append(f'<text x="{(x + to_x) // 2}" y="{y - 8}" text-anchor="middle">{html.escape(label)}</text>')
    return out


def picture():
    boxes = {b.name: b for b in map(Box, BOXES.strip().splitlines())}
    width = max(b.x + b.w for b in boxes.values()) + MARGIN
    height = max(b.y + b.h for b in boxes.values()) + MARGIN
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="t">',
           '  <title id="t">Weir in one node of Envoy</title>', f"  <style>\n{style()}\n  </style>",
           '  <defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="tip" d="M0 0 L8 4 L0 8 z"/></marker></defs>',
           f'  <rect class="paper" width="{width}" height="{height}"/>']
    for box in boxes.values():
        out += ["  " + line for line in box.svg()]
    for line in ARROWS.strip().splitlines():
        out += ["  " + part for part in arrow(line, boxes)]
    return "\n".join([*out, "</svg>", ""])


if __name__ == "__main__":
    if sys.argv[1] == "-":
        sys.stdout.buffer.write(picture().encode())
    else:
        with open(sys.argv[1], "w", encoding="utf-8") as h:
            h.write(picture())
