"""A real Envoy's memory over WEIR_KEYS distinct keys (ten million): `make test-slow`. Needs wrk.

RSS settles once the tables and the shared cells are full; from a tenth of the keys on it may move by what an allocator moves.
"""
import os
import re
import subprocess
import tempfile
import time

from harness import config, post

KEYS = int(os.environ.get("WEIR_KEYS", "10000000"))
SLACK_KIB = 12 << 10

# Every request is of a key of its own, with a text of its own.
LUA = """
local thread, n = 0, 0
function setup(t) thread = thread + 1; t:set("id", thread) end
request = function()
  n = n + 1
  local key = SALT .. "-" .. id .. "-" .. n
  local body = '{"messages":[{"role":"user","content":"tell me of w' .. key .. ' x' .. (n * 7919 % 99991) .. ' y' .. (n * 104729 % 99989) .. ' and what else there is"}]}'
  return wrk.format("POST", "/v1/chat/completions", {["content-type"]="application/json", ["x-api-key"]=key}, body)
end
"""


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as h:
        return int(re.search(r"VmRSS:\s+(\d+)", h.read()).group(1))


def direct(yaml):
    """Envoy answers by itself: the upstream is not what is measured."""
    return re.sub(r"route: \{cluster: inference, timeout: 60s\}", "direct_response: {status: 200}", yaml)


def load(port, salt, seconds):
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as f:
        f.write(LUA.replace("SALT", f'"{salt}"'))
        f.flush()
        subprocess.run(["wrk", "-t", "2", "-c", "16", "-d", f"{seconds}s", "-s", f.name, f"http://127.0.0.1:{port}/"],
                       check=True, stdout=subprocess.DEVNULL)


def test_memory_is_flat_over_many_keys(start):
    # Headers are held, or Envoy's direct answer would overtake the body.
    e = start(config(deny=[], inspect={"hold_headers": True}), workers=2, edit=direct)
    post(e.port)
    time.sleep(2)
    figures = [(0, rss_kib(e.process.pid))]
    told = 0
    while figures[-1][0] < KEYS:
        load(e.port, f"s{len(figures)}", 20)
        # Told once a second.
        time.sleep(2)
        done = e.stat("weir.observations_applied.") + e.stat("weir.observations_lost.") + e.stat("weir.observations_dropped.")
        assert done > figures[-1][0], "nothing was decided"
        figures.append((done, rss_kib(e.process.pid)))
        if done - told >= KEYS / 10:
            told = done
            print(f"{done} keys: RSS {figures[-1][1]} KiB, keys {e.stat('weir.keys.')}, lost {e.stat('weir.observations_lost.')}, "
                  f"dropped {e.stat('weir.observations_dropped.')}, pages refused {e.stat('weir.pages_refused.')}, take-overs {e.stat('weir.take_overs.')}", flush=True)
    print(f"RSS {figures[0][1]} KiB before, {figures[-1][1]} KiB after {figures[-1][0]} keys")
    settled = next(rss for done, rss in figures if done >= KEYS / 10)
    assert figures[-1][1] <= settled + SLACK_KIB, figures
    assert e.stat("weir.keys.") <= 32768
