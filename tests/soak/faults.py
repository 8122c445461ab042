"""What goes wrong, when, and how it is done. The schedule is drawn from the seed alone."""
import random
import signal
import time

from harness import WASM
from lifecycle import CHAOS
from place import wake

# Weight, name. Of a proxy, of a hub, of the store.
KINDS = [
    (3, "trap in a request"), (3, "a worker traps"), (3, "the leader traps"), (2, "the leader and its heir trap"), (2, "the leader stalls"),
    (1, "trap within a hand-over"), (4, "push of a configuration"), (3, "push of a module and back"), (3, "SIGSTOP of a proxy"),
    (3, "kill -9 of the active hub"), (1, "kill -9 of the hub that stands by"), (2, "SIGSTOP of the active hub"), (2, "kill -9 of the store"),
    (2, "SIGSTOP of the store"), (4, "the clock steps"),
]
# After these a request may fail at the proxy: its VM ended under it, or the proxy stood still while it opened a connection.
MAY_FAIL = {"trap in a request", "a worker traps", "the leader traps", "the leader and its heir trap", "the leader stalls", "trap within a hand-over",
            "SIGSTOP of a proxy", "push of a module and back", "push of a configuration"}
FIRST_S, LAST_S = 6, 12


class Fault:
    def __init__(self, at, kind, proxy, seconds, steps):
        self.at, self.kind, self.proxy, self.seconds, self.steps = at, kind, proxy, seconds, steps
        self.begun = self.ended = None


def schedule(seed, seconds, proxies):
    """Faults in order of time, one every three to seven seconds. Each kind comes once in its turn before chance chooses, so that a short run
    has many."""
    rng = random.Random(f"{seed} faults")
    names = [name for _, name in KINDS]
    rng.shuffle(names)
    out, at = [], FIRST_S
    while at < seconds - LAST_S:
        kind = names.pop() if names else rng.choices([n for _, n in KINDS], [w for w, _ in KINDS])[0]
        out.append(Fault(at, kind, rng.randrange(proxies), rng.uniform(0.3, 4), rng.choice([0, rng.randrange(1, 4), -rng.randrange(1, 4)])))
        at += rng.uniform(3, 7)
    return out


class Faults:
    """Carries the schedule out, one after the other."""

    def __init__(self, place, plan):
        self.place, self.plan, self.pushes, self.clocks, self.offsets = place, plan, 0, [0] * len(place.proxies), []
        self.ahead_s = [0.0] * len(place.proxies)  # sum of the steps forward of each proxy's clock
        self.restarts = [0] * len(place.proxies)  # VMs that began anew
        self.errors = []

    def run(self, begun, stopped):
        for f in self.plan:
            if stopped.wait(max(0, begun + f.at - time.time())):
                return
            f.begun = time.time()
            try:
                DO[f.kind](self, self.place.proxies[f.proxy], f)
            except Exception as e:  # what cannot be done is told in the table, and the run goes on
                self.errors.append(f"{f.kind} of proxy {f.proxy}: {type(e).__name__}: {str(e)[:300]}")
            f.ended = time.time()

    # ---- a proxy

    def push(self, f, wasm=CHAOS):
        self.pushes += 1
        self.place.proxies[f.proxy].push({**self.place.conf, "actions": {"block": {"for": f"{60 + self.pushes % 20}d"}}}, wasm=wasm)

    def heal(self, f):
        """After a trap the main thread's VM is dead until the next push."""
        self.restarts[f.proxy] += 1
        time.sleep(f.seconds)
        self.push(f)

    def trap(self, e, f):
        self.place.order(e, "trap")
        self.restarts[f.proxy] += 1

    def worker_traps(self, e, f):
        self.place.order(e, "worker-trap")
        self.restarts[f.proxy] += 1

    def leader_traps(self, e, f):
        self.place.order(e, "leader-trap")
        self.heal(f)

    def heir_traps(self, e, f):
        self.place.order(e, "leader-trap")
        time.sleep(0.3)
        self.place.order(e, "heir-trap")
        self.restarts[f.proxy] += 1
        time.sleep(4)
        self.heal(f)

    def leader_stalls(self, e, f):
        self.place.order(e, f"leader-stall {1 + int(f.seconds)}")
        time.sleep(1 + f.seconds)

    def hand_over_traps(self, e, f):
        self.place.order(e, "hand-over-trap")
        self.swap(e, f)

    def config_pushed(self, e, f):
        self.push(f)

    def swap(self, e, f):
        """The shipped module, which cannot fail on purpose and whose clock is right; then the other one again."""
        wrong = self.clocks[f.proxy]
        self.clock_of(f.proxy, 0)
        self.push(f, WASM)
        time.sleep(f.seconds)
        self.push(f)
        self.clock_of(f.proxy, wrong)
        self.restarts[f.proxy] += 6

    def stopped(self, e, f):
        self.stop(e.process, f.seconds)

    def clock(self, e, f):
        self.place.order(e, f"clock {f.steps}")
        self.clock_of(f.proxy, f.steps)

    def clock_of(self, proxy, seconds):
        self.ahead_s[proxy] += max(0, seconds - self.clocks[proxy])
        self.clocks[proxy] = seconds

    # ---- hubs and the store

    def stop(self, process, seconds):
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        wake(process)

    def hub(self, active=True):
        return next((h for h in self.place.hubs if h.is_active() == active), None) or self.place.hubs[0]

    def hub_killed(self, e, f):
        self.kill(self.hub(), f)

    def standby_killed(self, e, f):
        self.kill(self.hub(active=False), f)

    def kill(self, hub, f):
        hub.kill()
        time.sleep(f.seconds)
        hub.start()

    def hub_stopped(self, e, f):
        self.stop(self.hub().process, 1.5 * f.seconds)

    def store_killed(self, e, f):
        self.place.store.kill()
        time.sleep(f.seconds)
        self.place.store.start()

    def store_stopped(self, e, f):
        self.stop(self.place.store.process, f.seconds)


DO = {
    "trap in a request": Faults.trap, "a worker traps": Faults.worker_traps, "the leader traps": Faults.leader_traps,
    "the leader and its heir trap": Faults.heir_traps, "the leader stalls": Faults.leader_stalls, "trap within a hand-over": Faults.hand_over_traps,
    "push of a configuration": Faults.config_pushed, "push of a module and back": Faults.swap, "SIGSTOP of a proxy": Faults.stopped,
    "kill -9 of the active hub": Faults.hub_killed, "kill -9 of the hub that stands by": Faults.standby_killed,
    "SIGSTOP of the active hub": Faults.hub_stopped, "kill -9 of the store": Faults.store_killed, "SIGSTOP of the store": Faults.store_stopped,
    "the clock steps": Faults.clock,
}
