"""What a core dump of a real Envoy would show of its VMs: their linear memories hold nothing of requests that are done. (What Envoy itself has
buffered and freed is its own.)"""
import json
import time

import harness
import host
from harness import config, key_id, post
from planted import EVERYWHERE, Plants, left, others

# Where the module's data begins, behind its stack (.cargo/config.toml).
DATA, ENOUGH = 917_504, 512


def memories(pid, sign):
    """The linear memories of a process: mappings in which the module's constants stand where they belong."""
    out = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
        for line in maps:
            span, rights, *_ = line.split()
            begin, end = (int(x, 16) for x in span.split("-"))
            if rights.startswith("rw") and DATA + len(sign) <= end - begin <= 64 << 20:
                mem.seek(begin)
                text = mem.read(end - begin)
                if text[DATA:DATA + len(sign)] == sign:
                    out.append(text)
    return out


def test_the_memory_of_an_envoy_holds_nothing_of_requests_that_are_done(start):
    p = Plants()
    conf = config(deny=[{"name": "key", "key": key_id(p["denied"])}], limits=[{"name": "l", "requests": 12, "per": "1h"}], **EVERYWHERE)
    h = host.Host(json.dumps(conf))
    sign = bytes(h.memory.read(h.store, DATA, DATA + ENOUGH))
    e = start(conf, workers=2)
    statuses = {post(e.port, path=path, headers=headers, body=body).status for _ in range(4) for path, headers, body in others(p)}
    time.sleep(0.5)
    found = memories(e.process.pid, sign)
    assert statuses >= {200, 429} and len(found) >= 3, (statuses, len(found))
    for text in found:
        assert not left(p, text)
    print(f"\n{len(p)} planted strings, {len(found)} linear memories of {[len(t) >> 10 for t in found]} KiB: none left")
