"""Look-alikes: the table is what Unicode's data make it, and a denied text is refused in every alphabet that can spell it."""
import os
import subprocess
import sys
import time

import harness
import pytest
import unicode_tables
from harness import GOOD, chat, post
from test_bypass import FORBIDDEN, denying

PLAIN = "abcdefghijklmnopqrstuvwxyz"
# Alphabets, as far as they go; what they lack stays ASCII.
ALPHABETS = {
    "small capitals": ("abcdeghijklmnoprtuvwyz", "ᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢ"),
    "modifier letters": ("abcdeghijklmnoprstuvwxyz", "ᵃᵇᶜᵈᵉᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ"),
    "subscripts": ("aehijklmnoprstuvx", "ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ"),
    "Cherokee": ("abcdehjklmprstvwz", "ᎪᏴᏟᎠᎬᎻᎫᏦᏞᎷᏢᎡᏚᎢᏙᎳᏃ"),
    "Roman numerals": ("ivxlcdm", "ⅰⅴⅹⅼⅽⅾⅿ"),
    "alpha, dotless i and script g": ("aig", "ɑıɡ"),
    "Lisu": ("abcdefghijklmnoprstuvwxyz", "ꓮꓐꓚꓓꓰꓝꓖꓧꓲꓙꓗꓡꓟꓠꓳꓑꓣꓢꓔꓴꓦꓪꓫꓬꓜ"),
    "Armenian and Coptic": ("onsgh", "օոѕցհ"),
    "hooks": ("bdktyzn", "ɓɗƙƭƴȥɲ"),
}
UNSEEN = [0x3164, 0x1D173, 0x1BCA0, 0x115F, 0x17B4, 0x180E, 0xFE0F, 0xE0041, 0x034F, 0x2065, 0xFFA0, 0xE01EF, 0x1CF00]


def test_the_table_is_what_the_data_make_it():
    with open(unicode_tables.OUT) as h:
        assert h.read() == unicode_tables.text(), "run `make unicode`"


def test_the_command_says_so():
    script = os.path.join(harness.ROOT, "tests", "support", "unicode_tables.py")
    assert subprocess.run([sys.executable, script, "--check"]).returncode == 0


def test_a_denied_text_is_refused_in_every_spelling(start, upstream):
    e = start(denying(limits=[]))
    spelt = {name: FORBIDDEN.lower().translate(str.maketrans(*pair)) for name, pair in ALPHABETS.items()}
    for c in UNSEEN:
        spelt[f"U+{c:04X} within the words"] = "".join(x + chr(c) if i % 2 else x for i, x in enumerate(FORBIDDEN))
    missed = [name for name, text in spelt.items() if post(e.port, body=chat(text), headers=GOOD).status != 429]
    assert missed == []
    time.sleep(0.1)
    assert upstream.requests == []
