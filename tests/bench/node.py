"""The node protocol in numbers, on a real Envoy: `make bench-node`. Needs `make wasm wasm-chaos` and wrk.

Prints: take-over gap after the leader's VM trapped (main thread and all workers alive) and after a push of newer code; overshoot
of a per-key limit with 1, 2 and 4 workers; observations a second that the leader keeps up with, with requests' latency, admin
latency and the main thread's CPU, against `scope: vm`, `mode: off` in the same run; the same with observations made up in the
workers, as many as it takes until the leader does not follow; CPU of main thread and workers with a hub and without, in turn.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import harness  # noqa: E402
from harness import Connection, config, post  # noqa: E402

CHAOS = os.path.join(harness.ROOT, "target", "weir-chaos.wasm")


def conf(**over):
    """No limits, nobody denied; headers are held, or Envoy's direct answer would overtake the body."""
    return config(**{"limits": [], "deny": [], "inspect": {"hold_headers": True}, **over})


def thread_cpu(pid):
    """On-CPU seconds by thread name, as the scheduler counts: what runs at the clock's own tick escapes a count of ticks."""
    out = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm") as h:
            name = h.read().strip()
        with open(f"/proc/{pid}/task/{task}/schedstat") as h:
            out[name] = out.get(name, 0) + int(h.read().split()[0]) / 1e9
    return out


def load(port, seconds, threads=2, connections=16, pause_ms=0):
    """wrk with distinct keys and texts, each connection with a pause between its requests; (requests/s, p50 us, p99 us)."""
    lua = (f"delay = function() return {pause_ms} end" if pause_ms else "") + """
local n = 0
math.randomseed(os.time())
local salt = math.random(1000000)
request = function()
  n = n + 1
  local body = '{"messages":[{"role":"user","content":"please tell me about number ' .. salt .. ' w' .. n .. ' and what else there is to know of it"}]}'
  return wrk.format("POST", "/v1/chat/completions", {["content-type"]="application/json", ["x-api-key"]="k" .. (n % 5000)}, body)
end
"""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as f:
        f.write(lua)
        f.flush()
        text = subprocess.run(["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{seconds}s", "--latency", "-s", f.name,
                               f"http://127.0.0.1:{port}/"], capture_output=True, text=True).stdout
    us = lambda v: float(re.sub(r"[a-z]+", "", v)) * {"us": 1, "ms": 1e3, "s": 1e6}[re.sub(r"[0-9.]+", "", v)]
    get = lambda p: us(re.search(r"(?m)^\s+" + p + r"%\s+(\S+)", text).group(1))
    return float(re.search(r"Requests/sec:\s+(\S+)", text).group(1)), get("50"), get("99")


def admin_max(e, stop, out):
    while not stop.is_set():
        t = time.time()
        e.get("/stats?filter=nothing")
        out.append(time.time() - t)
        time.sleep(0.05)


def direct(yaml):
    """Envoy answers by itself: no upstream in the figures."""
    return re.sub(r"route: \{cluster: inference, timeout: 60s\}", "direct_response: {status: 200}", yaml)


def sustained():
    print("load for 8 s, wrk flat out, 2 workers, Envoy answers itself; CPU in % of a core")
    for name, c in [("off", conf(mode="off")), ("scope vm", conf(scope="vm")), ("scope node", conf())]:
        e = harness.Envoy(c, 1, workers=2, edit=direct)
        try:
            post(e.port)
            time.sleep(1)
            stop, waits = threading.Event(), []
            watcher = threading.Thread(target=admin_max, args=(e, stop, waits))
            watcher.start()
            before, t0 = thread_cpu(e.process.pid), time.time()
            rate, p50, p99 = load(e.port, 8)
            took = time.time() - t0
            after = thread_cpu(e.process.pid)
            stop.set()
            watcher.join()
            time.sleep(1.5)
            cpu = {k: 100 * (after[k] - before.get(k, 0)) / took for k in after}
            main = max((v for k, v in cpu.items() if k.startswith("envoy")), default=0)
            worker = max((v for k, v in cpu.items() if k.startswith("wrk:worker")), default=0)
            f = {n: e.stat(f"weir.observations_{n}.") for n in ["sent", "applied", "lost", "dropped", "late"]}
            print(f"{name:<11} {rate:8.0f} requests/s  p50 {p50:6.0f} us  p99 {p99:6.0f} us  admin max {1000 * max(waits):6.1f} ms  "
                  f"main {main:5.1f} %  worker {worker:5.1f} %  {f}  checkpoint age {e.stat('weir.checkpoint_age_ms')} ms")
        finally:
            e.stop()


def steady(port, seconds, rate=200, connections=8):
    """Requests of honest keys at an even rate over open connections; sorted seconds each took."""
    took, lock = [], threading.Lock()

    def client(i):
        c, t0 = Connection(port), time.time()
        for n in range(int(rate * seconds / connections)):
            time.sleep(max(0, t0 + n * connections / rate - time.time()))
            began = time.time()
            assert c.post(headers=[("x-api-key", f"steady-{i}-{n % 50}")]) == 200
            with lock:
                took.append(time.time() - began)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(connections)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return sorted(took)


def saturated():
    """Workers make observations up (test build) until the leader cannot follow; beside it 200 requests/s and the admin."""
    print("observations made up in both workers for 8 s beside 200 requests/s; ms; CPU in % of a core")
    for name, c, n in [("no filter", conf(mode="off"), 0), ("no flood", conf(), 0)] + [("flood", conf(), n) for n in (200, 500, 1000, 2000, 4000, 8000, 16000)]:
        e = harness.Envoy(c, 1, workers=2, edit=direct, wasm=CHAOS)
        try:
            for _ in range(32):
                post(e.port, headers=[("x-api-key", "o"), ("x-weir-chaos", f"flood {n}")])
            time.sleep(1)
            stop, waits = threading.Event(), []
            watcher = threading.Thread(target=admin_max, args=(e, stop, waits))
            watcher.start()
            figures = lambda: {k: e.stat(f"weir.observations_{k}.") for k in ["sent", "applied", "lost", "dropped", "late"]}
            before, cpu0, t0 = figures(), thread_cpu(e.process.pid), time.time()
            took = steady(e.port, 8)
            after, cpu1, seconds = figures(), thread_cpu(e.process.pid), time.time() - t0
            stop.set()
            watcher.join()
            cpu = {k: 100 * (cpu1[k] - cpu0.get(k, 0)) / seconds for k in cpu1}
            rate = {k: (after[k] - before[k]) / seconds for k in after}
            p = lambda q: 1000 * took[int(q * (len(took) - 1))]
            print(f"{name:<10}{n:>6} a tick: applied {rate['applied']:8.0f}/s lost {rate['lost']:8.0f}/s dropped {rate['dropped']:6.0f}/s  "
                  f"request p50 {p(.5):6.2f} p99 {p(.99):6.2f}  admin p50 {1000 * sorted(waits)[len(waits) // 2]:6.2f} max {1000 * max(waits):6.1f}  "
                  f"main {max((v for k, v in cpu.items() if k.startswith('envoy')), default=0):5.1f} %  "
                  f"worker {max((v for k, v in cpu.items() if k.startswith('wrk:worker')), default=0):5.1f} %", flush=True)
        finally:
            e.stop()


def overshoot():
    print("a key sends 50 requests/s over 8 connections for 6 s; limit 60 per hour")
    for workers in (1, 2, 4):
        e = harness.Envoy(conf(limits=[{"name": "l", "requests": 60, "per": "1h"}]), 1, workers=workers, edit=direct)
        try:
            connections, served, t0 = [Connection(e.port) for _ in range(8)], 0, time.time()
            for i in range(300):
                time.sleep(max(0, t0 + i / 50 - time.time()))
                served += connections[i % 8].post(headers=[("x-api-key", "k")]) == 200
            print(f"{workers} workers: {served} served where 60 conform ({len(e.workers_used())} workers used)")
        finally:
            e.stop()


def gap(e, act, epoch_before):
    """Seconds from `act` until another take-over; the longest time without an applied observation, too."""
    act()
    t0 = time.time()
    while e.stat("weir.take_overs.") <= epoch_before:
        assert time.time() - t0 < 20, e.log()[-1500:]
        time.sleep(0.02)
    return time.time() - t0


def take_over():
    connections = 8
    for name, over in [("leader trapped", None), ("newer code pushed", "push")]:
        e = harness.Envoy(conf(), 1, workers=2, edit=direct, lds=True, wasm=CHAOS, drain_s=5)
        try:
            stop, sent, bad = threading.Event(), [0] * connections, [0] * connections

            def client(i):
                c = Connection(e.port)
                while not stop.is_set():
                    status = c.post(headers=[("x-api-key", f"k{i}-{sent[i] % 500}")])
                    sent[i] += 1
                    bad[i] += status != 200
                    time.sleep(0.02)

            threads = [threading.Thread(target=client, args=(i,)) for i in range(connections)]
            [t.start() for t in threads]
            time.sleep(4)
            before, keys = e.stat("weir.take_overs."), e.stat("weir.keys.")
            # Counters are told once a second: up to a second of the gap is that.
            if over:
                seconds = gap(e, lambda: e.push(conf(), wasm=os.environ["WEIR_NEWER"]), before)
            else:
                seconds = gap(e, lambda: post(e.port, headers=[("x-weir-chaos", "leader-trap"), ("x-api-key", "z")]), before)
            time.sleep(3)
            stop.set()
            [t.join() for t in threads]
            time.sleep(2.5)
            f = {n: e.stat(f"weir.observations_{n}.") for n in ["sent", "applied", "lost", "dropped", "late"]}
            print(f"{name}: {seconds:.1f} s until the next leader told; {sum(sent)} requests, {sum(bad)} failed; keys {keys} -> "
                  f"{e.stat('weir.keys.')}; {f}; pages refused {e.stat('weir.pages_refused')}; serving {e.stat('weir.leader_serving')}")
            print("  " + "\n  ".join(line[-140:] for line in e.log().splitlines() if "weir: " in line and ("chaos" in line or " pages " in line or "leads" in line)))
        finally:
            e.stop()


def hub_cost(rounds=6, seconds=6):
    """CPU of the main thread and of a worker with a hub and without, in turn, at about 2,000 observations a second."""
    import hub as hubs
    told = {"hub": {"cluster": "weir_hub"}}
    h = hubs.Hub(conf(**told))
    envoys = {}
    try:
        envoys = {name: harness.Envoy(conf(**over), 1, workers=2, edit=lambda y: hubs.reached(h.port)(direct(y))) for name, over in [("without", {}), ("with", told)]}
        for e in envoys.values():
            load(e.port, 2, pause_ms=7)
        seen = {name: [] for name in envoys}
        for _ in range(rounds):
            for name, e in envoys.items():
                before, began = thread_cpu(e.process.pid), time.time()
                rps = load(e.port, seconds, pause_ms=7)[0]
                # What the leader is still to tell belongs to the window.
                time.sleep(1)
                took = time.time() - began
                cpu = {k: v - before.get(k, 0) for k, v in thread_cpu(e.process.pid).items()}
                worker = sum(v for k, v in cpu.items() if k.startswith("wrk:worker")) / 2
                seen[name].append((rps, 100 * cpu["envoy"] / took, 100 * worker / took, 1e6 * cpu["envoy"] / (rps * seconds), 2e6 * worker / (rps * seconds)))
        print(f"{rounds} windows of {seconds} s in turn, 2 workers; medians (least to most); CPU in % of a core, and in us a request")
        median = lambda name, i: sorted(v[i] for v in seen[name])[rounds // 2]
        for name in envoys:
            spread = lambda i: f"{median(name, i):.2f} ({min(v[i] for v in seen[name]):.2f}-{max(v[i] for v in seen[name]):.2f})"
            print(f"{name + ' a hub':14} {median(name, 0):.0f} requests/s  main thread {spread(1)} %, {spread(3)} us  a worker {spread(2)} %, {spread(4)} us")
        for i, of in ((1, "main thread, % of a core"), (3, "main thread, us a request"), (4, "worker, us a request")):
            print(f"  {of}: {median('with', i) - median('without', i):+.2f}, ratio {median('with', i) / median('without', i):.3f}")
        print(f"  observations that the hub took: {h.status()['observations']}, waiting {envoys['with'].stat('weir.hub_waiting.')}, dropped {envoys['with'].stat('weir.hub_dropped.')}")
    finally:
        for e in envoys.values():
            e.stop()
        h.stop()


if __name__ == "__main__":
    for part in sys.argv[1:] or ["overshoot", "sustained", "saturated", "take_over", "hub_cost"]:
        globals()[part]()
