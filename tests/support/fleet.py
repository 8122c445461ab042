"""`make demo-fleet`: three real Envoys and real hubs, a day in a minute. Of a campaign each proxy sees a third, too little to convict
anybody; the hub sees all of it, and every proxy denies all of its accounts. Then a hub and a proxy are killed.

With a hub that knows `--store` and a Valkey: two hubs on Valkey, of which one is active. Else one on a directory.
"""
import os
import re
import subprocess
import sys
import textwrap
import time

import harness
import hub as hubs
import yaml
from harness import post
from traffic import Traffic, learned, settle

PROXIES, WORKERS = 3, 2
# An exchange takes a tenth of a second, of this clock two and a half minutes. On a faster one the proxies' times mix too much.
SCALE, HOURS = 1500, 20
ACCOUNTS, HONEST, SAMPLE = 90, 60, 12


def say(*words):
    print(*words, flush=True)


def config():
    return learned(SCALE, policy="demo", hub={"cluster": "weir_hub", "every": "100ms"})


def denied(e, traffic):
    """Accounts of a sample of all proxies' that a proxy refuses. A few: a burst of all of them is no queue any more."""
    return sum(traffic.probe(e.port, k) == 429 for k in traffic.accounts[::ACCOUNTS // SAMPLE][:SAMPLE])


def watch(traffic, hub):
    begun = time.time()
    while any(t.is_alive() for t in traffic.threads):
        time.sleep(5)
        s = hub.status()
        say(f"hour {min(HOURS, (time.time() - begun) * SCALE / 3600):4.1f}  the hub: {s['observations']:>5} observations of {len(s['nodes'])} proxies, "
            f"{s['cases']} campaigns, {s['convicted']} accounts convicted")
    traffic.join()


def told(e):
    """Everything that the proxy has learned is in the hub."""
    settle(e)
    e.wait_stat(lambda v: v == 0, "weir.hub_waiting.", seconds=20)


def run(up, hub, running):
    def proxy():
        e = harness.Envoy(config(), up.port, workers=WORKERS, edit=hub.edit)
        running.append(e)
        return e
    proxies = [proxy() for _ in range(PROXIES)]
    say(f"{PROXIES} Envoys of {WORKERS} workers on ports {', '.join(str(e.port) for e in proxies)}; the hub's status: http://127.0.0.1:{hub.port}/v1/status")
    # Fifteen connections, so that each proxy has as many accounts as the others.
    t = Traffic([e.port for e in proxies], accounts=ACCOUNTS, honest=HONEST, hours=HOURS, scale=SCALE, senders=5 * PROXIES)
    say(f"{len(t.plan)} requests: {ACCOUNTS} accounts of a campaign at one an hour each, {HONEST} people; {HOURS} hours in {HOURS * 3600 // SCALE} s")
    watch(t, hub)
    for e in proxies:
        told(e)
    alone = max(e.stat("weir.convicted.") for e in proxies)
    time.sleep(1)
    everywhere = min(denied(e, t) for e in proxies)
    honest = sum(set(t.seen.get(k, [200])) != {200} for k in t.honest)
    requests = sum(len(t.seen.get(k, [])) for k in t.accounts)
    served = sum(t.seen.get(k, []).count(200) for k in t.accounts)
    convicted = hub.status()["convicted"]
    say(f"most accounts that a proxy convicted by itself: {alone}; convicted by the hub: {convicted}; a proxy denies {everywhere} of {SAMPLE} asked for")
    say("kill -9: the hub, and a proxy")
    hub.kill()
    waits = [post(proxies[1].port, headers=[("authorization", "Bearer somebody")]).status for _ in range(20)]
    begun = time.time()
    hub.recover()
    back = time.time() - begun
    kept = hub.status()["convicted"]
    proxies[0].process.kill()
    proxies[0].process.wait()
    proxies[0].started = False
    fresh, begun = proxy(), time.time()
    account = t.accounts[0]
    while t.probe(fresh.port, account) != 429 and time.time() - begun < 15:
        time.sleep(0.02)
    gap = time.time() - begun
    # Its other worker reads a tick later.
    time.sleep(0.5)
    again = denied(fresh, t)
    say(f"without the hub {waits.count(200)} of 20 requests were served; it is back after {back:.2f} s and knows {kept} accounts; "
        f"a new proxy denies the first after {gap:.2f} s, {again} of {SAMPLE}")
    line = (f"weir-fleet: proxies={PROXIES} hubs={hub.count} store={hub.kind} campaign_accounts={ACCOUNTS} campaign_requests={requests} served={served} "
        f"convicted_by_one_proxy={alone} convicted={convicted} denied_everywhere={everywhere}/{SAMPLE} honest_keys={HONEST} honest_blocked={honest} "
        f"convicted_after_kill={kept} denied_after_kill={again}/{SAMPLE} gap={gap:.2f}s")
    kept_all = kept >= convicted * 0.99 and again >= SAMPLE - 1 and waits.count(200) == 20
    return line, convicted >= ACCOUNTS * 0.95 and everywhere >= SAMPLE - 1 and alone <= ACCOUNTS * 0.1 and honest == 0 and kept_all


class OnDirectory:
    """One hub. Killed, it is started again on what it has kept."""
    count, kind = 1, "directory"

    def __init__(self):
        self.hub = hubs.Hub(config())
        self.port = self.hub.port
        self.edit, self.status = hubs.reached(self.port), self.hub.status

    def kill(self):
        self.hub.kill()

    def recover(self):
        self.hub.start()

    def stop(self):
        self.hub.stop()


class OfTwo(hubs.Hub):
    """On a store; it may stand by."""

    def __init__(self, url, conf):
        self.url = url
        super().__init__(conf)

    def start(self):
        self.log = open(self.state + ".log", "ab")
        self.process = subprocess.Popen(
            [hubs.WEIR, "hub", "--config", self.config, "--store", self.url, "--listen", f"127.0.0.1:{self.port}"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def is_active(self):
        try:
            return self.process.poll() is None and self.get("/readyz") == "ready\n"
        except OSError:
            return False


class OnValkey:
    """Two hubs, of which one is active. Killed, the other one takes over."""
    count, kind = 2, "valkey"

    def __init__(self, conf=None):
        self.store, self.hubs = hubs.Store(), []
        for _ in range(self.count):
            self.hubs.append(OfTwo(self.store.url, conf or config()))
        self.recover()

    def active(self):
        return next((h for h in self.hubs if h.is_active()), None)

    @property
    def port(self):
        return self.active().port

    def status(self):
        return self.active().status()

    def edit(self, text):
        """The token, and the cluster of envoy/hub/envoy.yaml: its health check finds the active one."""
        with open(os.path.join(harness.ROOT, "envoy", "hub", "envoy.yaml")) as h:
            [cluster] = [c for c in yaml.safe_load(h)["static_resources"]["clusters"] if c["name"] == "weir_hub"]
        address = lambda port: {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
        cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": [address(h.port) for h in self.hubs]}]
        block = textwrap.indent(yaml.safe_dump([cluster]), "  ")
        return re.sub(r"(?m)^  - name: weir_hub\n(?:    .*\n)*", lambda _: block, hubs.reached(0)(text), count=1)

    def kill(self):
        self.active().kill()

    def recover(self):
        wait(lambda: self.active(), "no hub is active")

    def stop(self):
        for h in self.hubs:
            h.stop()
        self.store.stop()


def wait(done, what, seconds=30):
    end = time.time() + seconds
    while not done():
        assert time.time() < end, what
        time.sleep(0.02)


def made():
    """What there is: hubs on Valkey, or one on a directory."""
    knows = "--store " in subprocess.run([hubs.WEIR, "hub", "--help"], capture_output=True, text=True).stdout
    return OnValkey() if knows and hubs.store_binary("valkey") else OnDirectory()


def main():
    begun = time.time()
    up, running, hub = harness.Upstream(), [], made()
    try:
        line, good = run(up, hub, running)
    finally:
        for e in running:
            e.stop()
        hub.stop()
        up.stop()
    say(f"{line} seconds={time.time() - begun:.0f}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
