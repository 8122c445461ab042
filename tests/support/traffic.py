"""Campaigns among honest people on a fast clock, steady traffic beside them, and what an Envoy tells about its node."""
import math
import random
import threading
import time

from harness import Connection, config, post

SCALE = 4000
TEMPLATES = [
    "Write a worked solution for the task below and check it with a second method before you finish the last line. "
    "Then name the rule that you used and say why no other rule applies here. ",
    "You are given a sentence from an old report. Translate it into plain modern English, then list every word that has "
    "changed its meaning since it was written, with one example each. ",
    "Rate the following answer for helpfulness from one to ten, explain the score in three short steps and rewrite the "
    "answer so that it would earn the full score. ",
]


def learned(scale=SCALE, **over):
    """Enforced, ages come with the request, the clock runs fast."""
    return config(**{"identity": {"sources": [{"bearer": True}], "learn": "0s", "age": {"header": "x-created"}}, "limits": [],
                     "deny": [], "demo": {"time_scale": scale}, "log": {"decisions": "none"}, **over})


def model_now(scale=SCALE):
    """The fast clock, as units.rs computes it."""
    now = time.time_ns()
    period = 20 * 365 * 86400 * 10**9 // scale
    origin = now - now % period
    return (origin + (now - origin) * scale) // 10**9


def words(rng, n):
    return " ".join("".join(rng.choice("bcdfghklmnprstvw") + rng.choice("aeiou") for _ in range(rng.randint(2, 4))) for _ in range(n))


class Traffic:
    """`accounts` young keys on one template at one an hour each among `honest` people, over `senders` connections. Several ports: several
    proxies, each key always by the same one."""

    def __init__(self, port, accounts=120, honest=40, hours=20, senders=16, seed=1, scale=SCALE, template=0, path=None):
        self.rng = random.Random(seed)
        self.start, self.scale = model_now(scale), scale
        self.template = TEMPLATES[template]
        self.path = path or (lambda key: "/v1/chat/completions")
        self.seen = {}  # key -> [statuses]
        self.sent = []  # (model time, key, body), in order
        self.lock = threading.Lock()
        self.accounts, self.honest = [f"c{template}-{i}" for i in range(accounts)], [f"h{template}-{i}" for i in range(honest)]
        self.plan = []
        for key in self.accounts + self.honest:
            mean, t = 3600 if key[0] == "c" else 3600 * self.rng.uniform(0.5, 8), 0
            while True:
                t += -math.log(1 - self.rng.random()) * mean
                if t > hours * 3600:
                    break
                self.plan.append((t / scale, key, self.body(key)))
        self.plan.sort(key=lambda p: p[0])
        ports = port if isinstance(port, list) else [port]
        self.threads, self.enough = [], threading.Event()
        begun = self.begun = time.time()
        for i in range(senders):
            mine = [p for p in self.plan if int(p[1].split("-")[1]) % senders == i]
            self.threads.append(threading.Thread(target=self.send, args=(ports[i % len(ports)], mine, begun)))
            self.threads[-1].start()

    def body(self, key):
        text = (self.template if key[0] == "c" else "") + words(self.rng, 14)
        return {"model": "m", "messages": [{"role": "user", "content": text}]}

    def headers(self, key):
        age = 3 if key[0] == "c" else 200
        return [("authorization", f"Bearer {key}"), ("x-created", str(self.start - age * 86400))]

    def send(self, port, plan, begun):
        connection = Connection(port)
        for t, key, body in plan:
            if self.enough.wait(max(0, begun + t - time.time())):
                break
            with self.lock:
                self.sent.append((model_now(self.scale), key, body))
            status = connection.post(path=self.path(key), body=body, headers=self.headers(key))
            with self.lock:
                self.seen.setdefault(key, []).append(status)
        connection.close()

    def join(self):
        for t in self.threads:
            t.join()
        return self

    def until(self, check, hours=20):
        """Goes on for so many hours and until `check()`, at most to the plan's end: a machine that stops for a second, hours on this
        clock, makes a verdict late."""
        least = self.begun + hours * 3600 / self.scale
        while any(t.is_alive() for t in self.threads) and not (time.time() >= least and check()):
            time.sleep(0.2)
        self.enough.set()
        return self.join()

    def refused(self):
        """The accounts that were refused twice in a row at the end: those of which it is known that they are convicted."""
        return [k for k in self.accounts if self.seen.get(k, [])[-2:] == [429, 429]]

    def probe(self, port, key):
        return post(port, path=self.path(key), body=self.body(key), headers=self.headers(key)).status


class Plan(Traffic):
    """The requests alone, in order of time."""

    def __init__(self, **over):
        super().__init__(0, senders=0, **over)


def on_all_workers(envoy, traffic, key, workers, tries=64):
    """Statuses of `key` on fresh connections until every worker has had at least two of them."""
    before, got = envoy.workers_used(), []
    for _ in range(tries):
        got.append(traffic.probe(envoy.port, key))
        used = envoy.workers_used()
        if len(used) >= workers and all(used[w] >= before.get(w, 0) + 2 for w in used):
            return got
    raise AssertionError(f"not every worker was met: {before} {envoy.workers_used()}")


def eventually(check, seconds=10):
    """Asks again until it is so. Workers read what is published one after the other, a new VM within a tick or two."""
    end = time.time() + seconds
    while not check():
        assert time.time() < end, f"not within {seconds} s"
        time.sleep(0.1)


def figures(e):
    names = ["observations_sent", "observations_applied", "observations_lost", "observations_dropped", "observations_late",
             "take_overs", "leader_serving", "leader_present", "snapshot_lag_ms", "checkpoint_age_ms", "convicted", "keys", "pages_refused"]
    return {n: e.stat(f"weir.{n}.") for n in names}


def settle(e):
    """All that was sent is applied or counted as lost."""
    end = time.time() + 10
    while time.time() < end:
        f = figures(e)
        if f["observations_sent"] and f["observations_sent"] == f["observations_applied"] + f["observations_lost"]:
            time.sleep(1.2)
            if figures(e)["observations_sent"] == f["observations_sent"]:
                return figures(e)
        time.sleep(0.2)
    raise AssertionError(figures(e))
