"""Compressed requests through the shipped configuration, which decompresses them in front of Weir: what they hold is read, and what is
rejected does not reach the upstream. What comes out is bounded, and what cannot be decompressed is unreadable by name."""
import gzip
import json
import os
import time
import zlib

import brotli
import pytest
import zstandard
from harness import GOOD, bare, chat, config, post, raw, request
from test_bypass import CHAT, FORBIDDEN, INNOCENT, LIES, body_of, chunked, compressed, denying, head, length
from test_routes import EXAMPLES, example

PACKERS = {"gzip": gzip.compress, "zstd": zstandard.compress, "br": brotli.compress}
CODINGS = pytest.mark.parametrize("coding", PACKERS)
HOLD = pytest.mark.parametrize("hold", [True, False])


@HOLD
@CODINGS
def test_what_is_compressed_is_read(start, upstream, coding, hold):
    e = start(denying(limits=[], inspect={"on_unreadable": "reject", "hold_headers": hold}))
    send, pack = compressed(coding, PACKERS[coding]), PACKERS[coding]
    assert send(e.port, "good", INNOCENT) == 200
    assert [b for _, b in upstream.requests] == [body_of(INNOCENT)], "it arrives as text"
    assert "content-encoding" not in upstream.requests[0][0].lower()
    assert send(e.port, "bad", INNOCENT) == send(e.port, "good", FORBIDDEN) == 429
    # In pieces, and behind more than is held.
    for text, status in ((INNOCENT, 200), (FORBIDDEN, 429)):
        long = json.dumps({"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": os.urandom(30_000).hex()}]})
        data = pack(long.encode())
        assert raw(e.port, head("good", "transfer-encoding: chunked", f"content-encoding: {coding}") + chunked(data, 999)).status == status
    time.sleep(0.1)
    assert len(upstream.requests) == 2
    assert e.stat("weir.unreadable") == 0 and e.stat("weir.aborted") == 0


@CODINGS
def test_a_bomb_is_cut_and_told(start, upstream, coding):
    """Of a piece of input comes at most 100 times as much, so the body ends in mid-text: Envoy says nothing, Weir does."""
    e = start(denying(limits=[]))
    bomb = PACKERS[coding](body_of(INNOCENT + " a" * 5_000_000))
    assert len(bomb) < 100_000
    status = raw(e.port, head("good", length(bomb), f"content-encoding: {coding}") + bomb).status
    assert status in (400, 413), status
    time.sleep(0.2)
    assert upstream.requests == []
    assert e.stat("weir.unreadable") == (status == 400)
    assert raw(e.port, request(CHAT, chat(INNOCENT), GOOD)).status == 200


def test_a_coding_that_lies_brings_no_denied_text(start, upstream):
    """A decompressor makes nothing of plain text: neither Weir nor the upstream sees any of it."""
    e = start(denying(limits=[], inspect={"on_unreadable": "allow"}))
    for lie in LIES:
        status = compressed(lie, lambda b: b)(e.port, "good", FORBIDDEN)
        assert status in (200, 400, 429), lie
    time.sleep(0.1)
    assert not [b for _, b in upstream.requests if FORBIDDEN[:40].encode() in b]


def test_what_nobody_decompresses_is_unreadable(start, upstream):
    e = start(denying(limits=[]))
    ways = {"deflate": zlib.compress, "x-gzip": gzip.compress, "": gzip.compress, "identity": zstandard.compress, "x": brotli.compress,
            "gzip, gzip": lambda b: gzip.compress(gzip.compress(b))}
    for coding, pack in ways.items():
        assert compressed(coding, pack)(e.port, "good", FORBIDDEN) == 400, coding
    assert upstream.requests == []
    assert e.stat("weir.unreadable") == len(ways)
    assert e.stat("weir.unreadable", "kind=compressed") >= 4
    # Without decompressors nothing is lost but the text: each is charged.
    e = start(config(limits=[{"name": "few", "requests": 2, "per": "1h"}]), edit=bare)
    packed = gzip.compress(body_of(INNOCENT))
    assert [post(e.port, body=packed, headers=GOOD).status for _ in range(4)] == [200, 200, 429, 429]
    assert e.stat("weir.unreadable", "kind=compressed") == 4


@CODINGS
def test_answers_stay_as_they_are(start, upstream, coding):
    packed = PACKERS[coding](b'{"ok": true}' * 20)
    upstream.answer = lambda path, body: (200, f"application/json\r\ncontent-encoding: {coding}", packed)
    r = post(start().port, headers=GOOD + [("accept-encoding", coding)])
    assert (r.status, r.headers["content-encoding"], r.body) == (200, coding, packed)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_decompresses(start, upstream, name):
    e = example(start, name)
    for coding, pack in PACKERS.items():
        assert post(e.port, body=pack(body_of(INNOCENT)), headers=GOOD + [("content-encoding", coding)]).status == 200
    assert [b for _, b in upstream.requests[-3:]] == [body_of(INNOCENT)] * 3
    assert e.stat("weir.unreadable") == 0
