"""Memory of a real Envoy stays flat however many distinct keys come. `make test-slow`; MILLIONS=10 for the whole claim."""
import os
import re
import shutil
import subprocess
import time

import pytest
from harness import config
from traffic import figures

MILLIONS = float(os.environ.get("MILLIONS", "2"))
# Every request has a key of its own; texts come from 1,000 templates, so that the tables of groups fill up as well.
LUA = """
local count, id = 0, 0
function setup(thread) count = count + 1; thread:set("id", count + START) end
function request()
  id_n = (id_n or 0) + 1
  local body = '{"messages":[{"role":"user","content":"template ' .. string.rep("w" .. (id_n % 1000) .. " ", 12) .. 'and then number w' .. id_n .. 'x' .. id .. '"}]}'
  return wrk.format("POST", "/v1/chat/completions", {["content-type"]="application/json", ["x-api-key"]="k" .. id .. "-" .. id_n}, body)
end
"""


def rss_mib(e):
    with open(f"/proc/{e.process.pid}/status") as h:
        return int(re.search(r"VmRSS:\s+(\d+)", h.read()).group(1)) / 1024


def direct(yaml):
    """Envoy answers itself: no upstream is as fast."""
    return yaml.replace("route: {cluster: inference, timeout: 60s}", "direct_response: {status: 200}")


@pytest.mark.skipif(not shutil.which("wrk"), reason="needs wrk")
def test_memory_is_flat_over_millions_of_keys(start, tmp_path):
    # Headers are held, or the direct answer would overtake the body.
    e = start(config(deny=[], inspect={"hold_headers": True}, log={"decisions": "none"}), workers=2, edit=direct)
    print(f"\n{'keys came':>12}{'RSS MiB':>9}{'in ledger':>11}{'convicted':>11}{'applied':>10}{'lost':>10}{'dropped':>9}{'state bytes':>13}")
    seen, rss, part = [], [], 0

    def row():
        f = figures(e)
        seen.append(e.stat("weir.requests_seen."))
        rss.append(rss_mib(e))
        print(f"{seen[-1]:>12}{rss[-1]:>9.1f}{f['keys']:>11}{f['convicted']:>11}{f['observations_applied']:>10}{f['observations_lost']:>10}"
              f"{f['observations_dropped']:>9}{e.stat('weir.state_bytes.'):>13}", flush=True)

    row()
    while seen[-1] < MILLIONS * 1e6:
        script = tmp_path / "keys.lua"
        script.write_text(LUA.replace("START", str(part * 10)))
        part += 1
        subprocess.run(["wrk", "-t2", "-c16", "-d20s", "-s", script, f"http://127.0.0.1:{e.port}/"], check=True, capture_output=True, timeout=60)
        time.sleep(1.5)
        row()
        assert seen[-1] > seen[-2], "no requests came"
    # The tables are full after the first part; from there on only the allocator moves.
    assert rss[-1] - rss[1] < 16, rss
