"""What a node goes through: steady load beside it, orders to fail, and a row of what was kept, lost and how long it took."""
import os
import random
import re
import threading
import time
from collections import Counter
from datetime import datetime

from harness import ROOT, WASM, Connection, post
from traffic import Traffic, figures, learned, model_now, on_all_workers, words

SCALE = 12000
# The shipped module, older and able to fail on purpose.
CHAOS = os.path.join(os.path.dirname(WASM), "weir-chaos.wasm")
REPORT = os.path.join(ROOT, "target", "node-lifecycle.txt")
# At most so long takes a cycle over all checkpoint pages, seconds: what a leader's death may lose (`PAGES_PER_TICK`).
CYCLE_S = 1.5
POLICIES = ["FAIL_RELOAD", "FAIL_OPEN", "FAIL_CLOSED"]


def setup(**over):
    """The configuration. Hours pass in a second: convictions last longer than a test."""
    return learned(SCALE, **{"actions": {"block": {"for": "80d"}}, **over})


def failure(policy):
    """An edit of the proxy's configuration: what a trap leads to."""
    return lambda yaml: yaml.replace("failure_policy: FAIL_RELOAD", f"failure_policy: {policy}")


def campaign(e, template, accounts=60, hours=16, scale=SCALE, **kw):
    """60 accounts and 20 honest people for 16 hours; about a thousand requests in five seconds."""
    return Traffic(e.port, accounts=accounts, honest=20, hours=hours, seed=template + 1, scale=scale, template=template, **kw)


class Pulse:
    """A new honest person every 25 ms, on a connection of its own: all workers are met, and every observation that was learned
    is one more key in the ledger."""

    def __init__(self, e, name):
        self.e, self.name = e, name
        self.answers = []  # (time, status, seconds it took)
        self.rng, self.stopped = random.Random(9), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        created = str(model_now(SCALE) - 200 * 86400)
        while not self.stopped.wait(0.025):
            body = {"model": "m", "messages": [{"role": "user", "content": words(self.rng, 14)}]}
            begun = time.time()
            connection = Connection(self.e.port)
            status = connection.post(body=body, headers=[("authorization", f"Bearer p-{self.name}-{len(self.answers)}"), ("x-created", created)])
            connection.close()
            self.answers.append((begun, status, time.time() - begun))

    def stop(self):
        self.stopped.set()
        self.thread.join()
        return self

    def counts(self):
        return Counter(status for _, status, _ in self.answers)


class Life:
    """One Envoy's life: a first campaign is learned, something happens, and what was known before and comes after is looked at."""

    def __init__(self, e, case, policy="FAIL_RELOAD", workers=2):
        self.e, self.case, self.policy, self.workers = e, case, policy, workers
        self.campaigns, self.pulses, self.pushes = [], [], 0

    def learn(self, template):
        """A campaign comes; it is convicted. New in `template` each time."""
        enough = lambda n: n >= 55 * (len(self.campaigns) + 1)
        t = campaign(self.e, template, hours=64)
        t.until(lambda: enough(self.e.stat("weir.convicted.")) and len(t.refused()) >= 50, hours=16)
        self.e.wait_stat(enough, "weir.convicted.")
        self.campaigns.append(t)

    def settle(self, seconds=20):
        """Somebody leads and the ledger's figures stand still."""
        end, last, since = time.time() + seconds, None, 0
        while time.time() < end:
            f = figures(self.e)
            now = [f[n] for n in ("observations_sent", "observations_applied", "observations_lost", "convicted", "keys", "take_overs")]
            if now != last or not f["leader_present"]:
                last, since = now, time.time()
            elif time.time() - since > 1.5:
                return f
            time.sleep(0.1)
        raise AssertionError(f"never at rest: {figures(self.e)}")

    def plan(self, text):
        """Tells the VMs to fail when it comes to that."""
        post(self.e.port, headers=[("authorization", "Bearer p-order"), ("x-weir-chaos", text)])

    def order(self, text):
        """Tells the VMs to fail; at the next tick somebody does."""
        before = self.failures()
        self.plan(text)
        self.wait_failure(before)

    def failures(self):
        return self.e.log().count("weir: chaos:")

    def wait_failure(self, before):
        end = time.time() + 10
        while self.failures() == before:
            assert time.time() < end, "nobody failed as told"
            time.sleep(0.01)

    def lease(self):
        """(time, thread, event) of each change of the lease and each failure; threads count from 0, the main one."""
        threads, out = [], []
        for line in self.e.log().splitlines():
            m = re.match(r"\[([\d :.-]+)\]\[(\d+)\]", line)
            if not m:
                continue
            if m.group(2) not in threads:
                threads.append(m.group(2))
            for word, event in [("leads from now on", "leads"), ("another VM leads", "steps down"), ("weir: chaos: trap", "trap"),
                                ("weir: chaos: stall", "stall"), ("another VM may lead", "yields")]:
                if word in line:
                    out.append((datetime.strptime(m.group(1), "%Y-%m-%d %H:%M:%S.%f").timestamp(), threads.index(m.group(2)), event))
        return out

    def led_by_main(self):
        """Does the main thread's VM lead?"""
        return [thread for _, thread, event in self.lease() if event == "leads"][-1] == 0

    def wait_lease(self, event, after=0, seconds=15):
        """Waits until this has happened to the lease after so many events."""
        end = time.time() + seconds
        while time.time() < end:
            if event in [e for _, _, e in self.lease()[after:]]:
                return
            time.sleep(0.05)
        raise AssertionError(f"{event!r} is not among {self.lease()[after:]}")

    def gap(self):
        """Longest time without a leader after a failure, seconds."""
        lost, longest = None, 0.0
        leader = None
        for t, thread, event in self.lease():
            if event == "leads":
                if lost is not None:
                    longest = max(longest, t - lost)
                lost, leader = None, thread
            elif event in ("trap", "stall", "yields") and thread == leader and lost is None:
                lost = t
        return longest

    def push(self, wasm=CHAOS, **over):
        """A new configuration, or a new module: the listener is replaced, the old one drains."""
        over = {"actions": {"block": {"for": f"{81 + self.pushes % 9}d"}}, **over}
        self.pushes += 1
        self.e.push(setup(**over), wasm=wasm)

    def pulse(self):
        """A pulse that has gone on for longer than a cycle of checkpoint pages."""
        self.pulses.append(Pulse(self.e, f"{len(self.pulses)}"))
        end = time.time() + 20
        while len(self.pulses[-1].answers) < CYCLE_S / 0.025:
            assert time.time() < end, "nobody answers"
            time.sleep(0.02)
        return self.pulses[-1]

    def at_risk(self):
        """Requests of the last cycle of pages before each failure: what was learned of them may be in no page yet. And the order's own."""
        failures = [t for t, _, event in self.lease() if event in ("trap", "stall")]
        begun = [t for p in self.pulses for t, _, _ in p.answers]
        return sum(any(0 <= f - t < CYCLE_S for f in failures) for t in begun) + bool(failures)

    def stop(self):
        for p in self.pulses:
            p.stop()
        self.e.stop()

    def denied(self, campaign=0):
        """Statuses of a convicted key on all workers."""
        t = self.campaigns[campaign]
        return set(on_all_workers(self.e, t, t.refused()[0], self.workers))

    def row(self):
        """Writes what was kept and lost."""
        answers = Counter()
        for p in self.pulses:
            answers += p.stop().counts()
        f = self.settle()
        served = answers[200]
        people = served + sum(len(t.seen) for t in self.campaigns)
        # Orders have one key of their own.
        missing = people + int("trap" in str(self.lease()) or "stall" in str(self.lease())) - f["keys"]
        convicted = [sum(set(t.seen[k][-1:]) == {429} or t.probe(self.e.port, k) == 429 for k in t.accounts) for t in self.campaigns]
        slowest = max((s for p in self.pulses for _, _, s in p.answers), default=0)
        # What a dead VM lets pass or answers itself: Weir cannot count that, the proxy does.
        unseen = self.e.stats("http.inference.downstream_rq_completed")["http.inference.downstream_rq_completed"] - self.e.stat("weir.requests_seen.")
        out = {
            "case": self.case, "policy": self.policy[5:].lower(), "asked": sum(answers.values()), "not served": sum(answers.values()) - served,
            "slowest ms": round(1000 * slowest), "not seen": unseen, "not learned": missing, "told lost": f["observations_lost"] + f["observations_dropped"],
            "late": f["observations_late"], "pages refused": f["pages_refused"], "gap s": f"{self.gap():.2f}",
            "denied": " ".join(f"{n}/{len(t.accounts)}" for n, t in zip(convicted, self.campaigns)),
        }
        wide = lambda k: 14 if k == "denied" else max(len(k), 7) + 2
        head = f"{'case':<34}" + "".join(f"{k:>{wide(k)}}" for k in list(out)[1:])
        line = f"{self.case:<34}" + "".join(f"{str(v):>{wide(k)}}" for k, v in list(out.items())[1:])
        new = not os.path.exists(REPORT)
        with open(REPORT, "a") as h:
            h.write((head + "\n" if new else "") + line + "\n")
        print("\n" + head + "\n" + line)
        return out
