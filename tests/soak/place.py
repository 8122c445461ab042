"""What is soaked: two real Envoys of two workers, two hubs on a real Valkey, and a stand-in for the model server. And what it has told."""
import os
import random
import re
import signal
import threading
import time
from collections import Counter

import fleet
import harness
from lifecycle import CHAOS
from traffic import learned

PROXIES, WORKERS = 2, 2
# An exchange with the hub takes a tenth of a second, of this clock two and a half minutes: on a faster one the proxies' times mix too much.
SCALE = 1500
HOUR_S = 3600 / SCALE
KEY_LIMIT, TENANT_LIMIT = 20, 60
# Our own failures on purpose, of a hundred thousand.
STAND_IN_FAILS = 200
STAND_IN = b'{"error":"of the stand-in"}'
# What only grows, unless it begins anew.
COUNTERS = ["weir.requests", "weir.aborted.", "weir.undecided.", "weir.observations_", "weir.hub_sent.", "weir.hub_dropped.", "weir.hub_failed.",
            "weir.vm_starts.", "weir.take_overs.", "weir.pages_refused.", "weir.cells_refused."]


def config(denied, **over):
    """As people run it: headers are held, several kinds of credentials, limits of keys and tenants, a hub. `denied`: a key."""
    sources = [{"jwt": "sub"}, {"bearer": True}, {"header": "x-api-key"}, {"query": "key"}, {"cookie": "sid"}]
    identity = {"sources": sources, "learn": "0s", "age": {"header": "x-created"}, "tenant": {"header": "x-tenant"}}
    limits = [{"name": "key", "requests": KEY_LIMIT, "per": "1h"}, {"name": "tenant", "requests": TENANT_LIMIT, "per": "1h", "by": "tenant"}]
    return learned(SCALE, **{
        "policy": "soak", "identity": identity, "limits": limits, "inspect": {"hold_headers": True}, "log": {"decisions": "changes"},
        "deny": [{"name": "denied", "key": harness.key_id(denied)}], "actions": {"block": {"for": "80d"}},
        "hub": {"cluster": "weir_hub", "every": "100ms"}, **over})


class Seen:
    """What reaches the stand-in: how often by key and by tenant, nothing else. (`Upstream.requests` would grow.)"""

    def __init__(self):
        self.lock, self.keys, self.tenants, self.whole = threading.Lock(), Counter(), Counter(), 0

    def append(self, request):
        head = request[0]
        key = re.search(r"(?im)^(?:authorization: bearer|x-api-key:) ?([^\r]*)", head)
        tenant = re.search(r"(?im)^x-tenant: ?([^\r]*)", head)
        with self.lock:
            self.whole += 1
            self.keys[key.group(1) if key else ""] += 1
            if tenant:
                self.tenants[tenant.group(1)] += 1


class Nothing:
    def append(self, _):
        pass


class Place(fleet.OnValkey):
    """All processes. What is killed can be started again."""

    def __init__(self, conf, seed):
        self.conf, self.proxies = conf, []
        try:
            self.start(conf, seed)
        except BaseException:
            self.stop()
            raise

    def start(self, conf, seed):
        super().__init__(conf)
        rng = random.Random(seed)
        fails = lambda: rng.randrange(100_000) < STAND_IN_FAILS
        self.up = harness.Upstream(lambda path, body: (500, "application/json", STAND_IN) if fails() else (200, "application/json", b'{"ok":true}'))
        self.up.requests, self.up.partial, self.up.trailers = Seen(), Nothing(), Nothing()
        for _ in range(PROXIES):
            self.proxies.append(harness.Envoy(conf, self.up.port, workers=WORKERS, lds=True, drain_s=2, wasm=CHAOS, edit=self.edit))

    def stop(self):
        for e in self.proxies:
            wake(e.process)
            e.stop()
        for h in getattr(self, "hubs", []):
            wake(h.process)
        if hasattr(self, "store"):
            wake(self.store.process)
            super().stop()
        if hasattr(self, "up"):
            self.up.stop()

    def processes(self):
        """Name and process of each."""
        return [(f"Envoy {i}", e.process) for i, e in enumerate(self.proxies)] + [(f"hub {i}", h.process) for i, h in enumerate(self.hubs)] + \
            [("Valkey", self.store.process)]

    def order(self, e, text):
        """Tells the VMs of a proxy to fail. Its own key, so that no honest one meets the failure."""
        try:
            harness.post(e.port, headers=[("authorization", "Bearer p-order"), ("x-weir-chaos", text)])
        except OSError:
            pass

    def kept(self):
        """All that was written: name and bytes."""
        places = {}
        for i, e in enumerate(self.proxies):
            for name in ("/stats", "/stats/prometheus"):
                places[f"Envoy {i} {name}"] = e.get(name).encode()
            for name in (e.log_path, e.access_log):
                places[f"Envoy {i} {os.path.basename(name)}"] = read(name)
        for i, h in enumerate(self.hubs):
            places[f"hub {i} log"] = read(h.state + ".log")
            for name in ("/v1/status", "/metrics"):
                try:
                    places[f"hub {i} {name}"] = h.get(name).encode()
                except OSError:
                    pass
            for path in files(h.state):
                places[f"hub {i} {os.path.relpath(path, h.state)}"] = read(path)
        for path in files(self.store.dir):
            places[f"Valkey {os.path.relpath(path, self.store.dir)}"] = read(path)
        places.update({f"Valkey {key}": text for key, text in self.store.contents().items()})
        return places


def read(path):
    with open(path, "rb") as f:
        return f.read()


def files(directory):
    return [os.path.join(at, name) for at, _, names in os.walk(directory) for name in names]


def wake(process):
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)


def rss_kib(process):
    """0 if it is gone."""
    try:
        with open(f"/proc/{process.pid}/status") as h:
            found = re.search(r"VmRSS:\s+(\d+)", h.read())
        return int(found.group(1)) if found else 0
    except OSError:
        return 0


class Watch:
    """Looks at all processes twice a second: their RSS, (seconds since the start, KiB) by name, and Weir's counters, which are summed up over
    each new beginning: Envoy drops a series with the last VM that has used it, so that a push of a module begins many anew."""

    def __init__(self, place):
        self.place, self.begun, self.rss, self.stopped = place, time.time(), {}, threading.Event()
        self.last, self.before, self.anew = [{} for _ in place.proxies], [Counter() for _ in place.proxies], 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopped.wait(0.5):
            for name, process in self.place.processes():
                kib = rss_kib(process)
                if kib:
                    self.rss.setdefault(name, []).append((time.time() - self.begun, kib))
            for i in range(len(self.place.proxies)):
                self.look(i)

    def look(self, i):
        try:
            now = self.place.proxies[i].stats("weir.")
        except OSError:
            return
        for name, value in self.last[i].items():
            if now.get(name, 0) < value and any(part in name for part in COUNTERS):
                self.before[i][name] += value
                self.anew += 1
        self.last[i] = now

    def total(self, i, part):
        """Of all series of proxy `i` whose name holds this."""
        return sum(v for series in (self.last[i], self.before[i]) for name, v in series.items() if part in name)

    def stop(self):
        self.stopped.set()
        self.thread.join()

