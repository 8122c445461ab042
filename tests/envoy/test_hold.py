"""What the upstream gets of a rejected request, in bytes, by how much is held. The table is printed at the end."""
import json
import time
import zlib

import pytest
from harness import chat, config, raw
from test_bypass import chunked, head, length

SIZES = {"0.1 KB": 0, "12 KB": 12_000, "20 KB": 20_000, "300 KB": 300_000, "3 MB": 3_000_000}
TABLE = {}


@pytest.fixture(scope="module", params=[(True, True), (True, False), (False, True), (False, False)],
                ids=["host holds, configured", "host holds, not configured", "host does not, configured", "neither"])
def setting(request):
    import harness
    allowed, hold = request.param
    up = harness.Upstream()
    inspect = {"hold_headers": hold, "max_inspect_bytes": "4MiB"}
    e = harness.Envoy(config(inspect=inspect, limits=[]), up.port, allow_hold=allowed)
    if hold and not allowed:
        # Three streams hang at their headers until the watchdog lets them go; from then on nothing is held.
        body = json.dumps(chat("four words to wait")).encode()
        for _ in range(3):
            assert raw(e.port, head("good", length(body)) + body, timeout=30).status == 200
        assert e.stat("weir.hold_watchdog") >= 1
    yield allowed and hold, e, up
    assert e.stat("vm_reload_success") == 0
    e.stop()
    up.stop()


@pytest.mark.parametrize("framing", ["content-length", "chunked"])
@pytest.mark.parametrize("size", SIZES)
def test_bytes_of_a_rejected_request(setting, size, framing):
    held, e, up = setting
    body = json.dumps(chat("a question of four words", SIZES[size])).encode()
    if framing == "chunked":
        data = head("bad", "transfer-encoding: chunked") + chunked(body, 16_384)
    else:
        data = head("bad", length(body)) + body
    whole, before = len(up.requests), len(up.partial)
    try:
        status = raw(e.port, data, timeout=20).status
    except OSError:
        status = 0  # the answer came and the connection closed while we were still sending
    assert status in (0, 429), "never 413, and nothing hangs"
    # What arrives late would count for the next row.
    end = time.time() + (0.1 if held and len(body) <= 16_384 else 1.5)
    while len(up.partial) == before and time.time() < end:
        time.sleep(0.05)
    got = sum(len(b) for b in up.partial[before:])
    assert len(up.requests) == whole, "never the whole"
    # Of a body without a length all bytes may have gone, but never its end.
    assert got < len(body) + (framing == "chunked")
    if held and len(body) <= 16_384 and framing != "chunked":
        assert len(up.partial) == before, "not a byte, not a head"
    TABLE.setdefault((held, framing), {})[size] = "nothing" if len(up.partial) == before else f"{got:,} of {len(body):,}"


@pytest.mark.parametrize("limit,sizes", [(32_768, (20_000, 40_000)), (65_536, (40_000, 300_000)), (147_456, (300_000, 600_000)),
                                         (1_048_576, (600_000, 3_000_000))])
@pytest.mark.parametrize("hold", [True, False])
def test_a_burst_behind_the_first_bytes_is_never_413(start, upstream, hold, limit, sizes):
    # A proxy that buffers the first bytes and is then given more than its buffer takes refuses by itself, whoever asks. Envoy hands over as
    # much at once as it buffers, and a decompressor makes more of it.
    few = [{"name": "few", "requests": 1, "per": "1h"}]
    said = {"hold_headers": hold, "host_buffer_bytes": f"{limit >> 10}KiB", "max_inspect_bytes": "4MiB"}
    e = start(config(inspect=said, limits=few), buffer_limit=limit)
    bodies = [json.dumps(chat("a question of four words", size)).encode() for size in sizes]
    for i, body in enumerate(bodies):
        for first in (1, 1_000, 15_000):
            for framing in ("length", "chunked", "gzip", "much out of little"):
                key = f"k{i}-{first}-{framing}".replace(" ", "-")
                gzip = {"gzip": 0, "much out of little": 9}.get(framing)
                data = body if gzip is None else zlib.compress(body, level=gzip, wbits=31)
                pieces, lines = [data[:first], data[first:]], [length(data)]
                if framing == "chunked":
                    pieces, lines = [chunked(pieces[0], 65_536, end=b""), chunked(pieces[1], 65_536)], ["transfer-encoding: chunked"]
                elif gzip is not None:
                    lines.append("content-encoding: gzip")
                for status in (200, 429):
                    try:
                        got = raw(e.port, head(key, *lines) + pieces[0], [pieces[1]], timeout=20).status
                    except OSError:
                        got = 0  # the answer came and the connection closed while we were still sending
                    assert got == status or status == 429 and got == 0, (key, got, status)
    assert len(upstream.requests) == len(bodies) * 12


def test_table(capsys):
    with capsys.disabled():
        print(f"\n{'upstream gets, of a rejected body':<44}" + "".join(f"{s:>24}" for s in SIZES))
        for (held, framing), row in sorted(TABLE.items(), reverse=True):
            name = f"{'headers held' if held else 'headers not held'}, {framing}"
            print(f"{name:<44}" + "".join(f"{row.get(s, ''):>24}" for s in SIZES))
