"""Writes src/engine/fingerprint/tables.rs from Unicode's own data: `make unicode`. With --check it only says whether the file is as it would
be written.

What a code point folds to, in this order: nothing if it is default-ignorable or a mark of no script; its digit if it has one; the ASCII
letters of its compatibility decomposition without marks; the letter that its name has (LATIN LETTER SMALL CAPITAL A, LATIN SMALL LETTER D
WITH HOOK); the ASCII letter that it can be confused with (UTS 39), directly or by way of one of these. What src/engine/fingerprint/fold.rs
says itself (Latin-1, Vietnamese, Greek, Cyrillic, Han, symbols) comes before.
"""
import os
import sys

import regex
import unicodedata2 as ucd
from confusable_homoglyphs.confusables import confusables_data as CONFUSABLE

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src", "engine", "fingerprint", "tables.rs")
IGNORED = regex.compile(r"\p{Default_Ignorable_Code_Point}|(?=\p{Mn})\p{Script=Inherited}")
NAMED = regex.compile(r"(?:LATIN|MODIFIER|COMBINING LATIN|MODIFIER LETTER)(?: SUBSCRIPT)? (?:LETTER|CAPITAL LETTER|SMALL LETTER|LETTER SMALL CAPITAL|"
                      r"CAPITAL|SMALL|LETTER SMALL|LETTER CAPITAL|SMALL LETTER DOTLESS|LETTER SMALL CAPITAL BARRED|SMALL LETTER BARRED) ([A-Z])(?: WITH [A-Z -]+)?")
# What is a word of its own, or read as it is by fold.rs.
SKIPPED = regex.compile(r"[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]")
# Scripts whose small letters are small capitals.
SMALL_CAPITALS = regex.compile(r"[\p{Script=Cherokee}\p{Script=Coptic}]")
MOST = 4
# A run of code points is shorter than RUN, and holds gaps of at most GAP: a run costs four bytes, a gap one each.
RUN, GAP = 32, 3
# Decided by fold.rs itself, whatever a table says.
DECIDED = [(0x80, 0x17f), (0x1ea0, 0x1ef1), (0x2000, 0x206f), (0x2100, 0x215f), (0x2189, 0x2bff), (0xff01, 0xff65), (0x1d400, 0x1d6a3),
           (0x1d7ce, 0x1d7ff), (0x1f110, 0x1f129), (0x1f130, 0x1f149), (0x1f150, 0x1f169), (0x1f170, 0x1f189)]


def ascii_of(text):
    """The letters and digits of a text, if it has no others."""
    kept = "".join(c for c in text if not IGNORED.match(c) and c.isalnum())
    return kept.lower() if kept and kept.isascii() and len(kept) <= MOST else None


def plain(c):
    """By decomposition or name."""
    if (digit := ucd.decimal(c, None)) is not None:
        return str(digit)
    if not ucd.category(c)[0] in "LNS":
        return None
    decomposed = ucd.normalize("NFKD", c)
    if decomposed != c and (found := ascii_of(decomposed)):
        return found
    named = NAMED.fullmatch(ucd.name(c, ""))
    return named[1].lower() if named else None


def confused(c, deep=True):
    found = [e["c"] for e in CONFUSABLE.get(c, [])]
    for other in found:
        if other.isascii() and other.isalnum() and len(other) <= MOST:
            # The look-alikes of I, l and 1 have l as their prototype.
            return "i" if other == "l" and ucd.category(c) in ("Lu", "Nl") else other.lower()
    if len(found) == 1 and len(found[0]) == 1 and deep:
        return plain(found[0]) or confused(found[0], False)
    return None


def folds(c):
    """What it folds to: "" nothing, None itself."""
    if IGNORED.match(c):
        return ""
    kind = ucd.category(c)
    if kind[0] not in "LNS" or SKIPPED.match(c):
        return None
    others = {c.lower(), c.upper() if SMALL_CAPITALS.match(c) else c} - {c}
    found = plain(c) or confused(c) or next((f for o in sorted(others) if len(o) == 1 and (f := confused(o))), None)
    # Of several only letters that stand for letters.
    return found if found and (len(found) == 1 or found.isalpha() and kind[0] != "S") else None


def runs(plane):
    """Code points that follow each other, at most GAP apart, and their values; 0 for those in between."""
    out = []
    for cp, value in plane:
        if out:
            first, values = out[-1]
            gap = cp - first - len(values)
            if gap <= GAP and cp - first < RUN - 1:
                values += bytes(gap) + bytes([value])
                continue
        out.append((cp, bytearray([value])))
    return [(first, bytes(values)) for first, values in out]


def pool(texts):
    """One text that holds all."""
    out = b""
    for values in sorted(texts, key=lambda t: (-len(t), t)):
        if values not in out:
            out += values
    assert len(out) * RUN < 1 << 16, len(out)
    return out


def rows(numbers, per, write):
    lines = [", ".join(write(n) for n in numbers[i:i + per]) for i in range(0, len(numbers), per)]
    return "".join(f"    {line},\n" for line in lines)


def text():
    table = {cp: f for cp in range(0x80, 0x110000) if (f := folds(chr(cp))) is not None}
    table = {cp: f for cp, f in table.items() if f == "" or not any(a <= cp <= b for a, b in DECIDED)}
    dropped, ranges = sorted(cp for cp, f in table.items() if f == ""), []
    for cp in dropped:
        if ranges and ranges[-1][1] == cp - 1:
            ranges[-1][1] = cp
        else:
            ranges.append([cp, cp])
    several = sorted({f for f in table.values() if len(f) > 1})
    assert len(several) < 128
    value = lambda f: ord(f) if len(f) == 1 else 128 + several.index(f)
    planes = [[(cp & 0xFFFF, value(f)) for cp, f in sorted(table.items()) if f and cp >> 16 == plane] for plane in (0, 1)]
    assert not [cp for cp, f in table.items() if f and cp >> 16 > 1]
    split = [runs(plane) for plane in planes]
    letters = pool(values for plane in split for _, values in plane)
    out = [f"//! Look-alikes of ASCII letters and digits, and what is not seen, from Unicode {ucd.unidata_version}. Written by tests/support/unicode_tables.py\n"
           "//! (`make unicode`): do not change it by hand.\n",
           f"/// Ranges of what is not seen: first, last.\n#[rustfmt::skip]\npub const DROPPED: &[(u32, u32)] = &[\n{rows(ranges, 6, lambda r: f'(0x{r[0]:x}, 0x{r[1]:x})')}];\n",
           f"/// What folds to several letters: value 128 is the first.\n#[rustfmt::skip]\npub const SEVERAL: &[&str] = &[\n{rows(several, 12, lambda s: chr(34) + s + chr(34))}];\n"]
    for n, plane in enumerate(split):
        items = [(first, letters.find(values) * RUN + len(values)) for first, values in plane]
        out.append(f"/// Plane {n}: runs of code points, the low half of the first one, and {RUN} times where its values stand in `LETTERS` plus their number; sorted.\n"
                   f"#[rustfmt::skip]\npub const RUNS_{n}: &[(u16, u16)] = &[\n{rows(items, 8, lambda r: f'(0x{r[0]:x}, 0x{r[1]:x})')}];\n")
    values = "".join(chr(v) if 32 <= v < 128 else f"\\x{v:02x}" for v in letters)
    out.append(f"/// What code points fold to, by runs; 0 is nothing else.\n#[rustfmt::skip]\npub const LETTERS: &[u8] = b\"{values}\";\n")
    return "\n".join(out)


if __name__ == "__main__":
    new = text()
    if "--check" in sys.argv:
        with open(OUT) as h:
            sys.exit(0 if h.read() == new else "src/engine/fingerprint/tables.rs is not what `make unicode` writes")
    with open(OUT, "w") as h:
        h.write(new)
