"""`make soak`: two real Envoys, two hubs and a Valkey under honest, campaign, malformed and abusive clients, while VMs trap, proxies and hubs and
the store stop or are killed, configurations and modules are pushed and clocks step. At the end a table, and exit status 1 if anything that must
hold did not. SOAK_SECONDS=1800 by default, SEED by the clock: it is printed, and the schedule of faults is drawn from it.
"""
import os
import random
import sys
import threading
import time
from collections import Counter

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import checks  # noqa: E402
import clients  # noqa: E402
import fleet  # noqa: E402
from faults import Faults, schedule  # noqa: E402
from harness import Connection  # noqa: E402
from place import PROXIES, SCALE, Place, Watch, config, wake  # noqa: E402
from planted import Plants  # noqa: E402
from traffic import model_now, words  # noqa: E402


def say(*words):
    print(*words, flush=True)


def classes(place, told, seed, plants, denied):
    common = (place, told, seed)
    return [clients.Honest(*common, plants=plants), clients.Campaign(*common, plants=plants),
            clients.Abusive(*common, plants=plants, denied=denied), clients.Malformed(*common, plants=plants)]


# More keys than a ledger holds.
FILL = 36_000


def fill(place):
    """As many keys as a ledger holds, with words of their own, at each proxy: tables are full before memory is looked at."""
    def some(e, n, of):
        rng, connection = random.Random(n), Connection(e.port)
        created = str(model_now(SCALE) - 300 * clients.DAY_S)
        for i in range(n, FILL, of):
            connection.post(body={"model": "m", "messages": [{"role": "user", "content": words(rng, 12)}]},
                            headers=[("authorization", f"Bearer fill-{i}"), ("x-created", created)])
        connection.close()

    threads = [threading.Thread(target=some, args=(e, n, 3)) for e in place.proxies for n in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def watch(place, told, faults, begun, seconds, stopped):
    """A line every ten seconds, a minute in a long run."""
    every = 10 if seconds <= 300 else 60
    while not stopped.wait(min(every, max(0.1, begun + seconds - time.time()))) and time.time() < begun + seconds:
        with told.lock:
            n = sum(sum(c.values()) for c in told.statuses.values())
            refused, failed = len(told.honest_refused), len(told.failed)
        done = [f.kind for f in faults.plan if f.ended]
        say(f"{time.time() - begun:5.0f} s  {n:>7} requests, {refused} honest refused, {failed} failed; {len(done)} faults, the last: {done[-1] if done else 'none'}")


def run(place, plan, seed, seconds, plants, denied):
    """Load and faults for so long; what came of it."""
    told, faults, stopped, watched = clients.Told(), Faults(place, plan), threading.Event(), Watch(place)
    load = classes(place, told, seed, plants, denied)
    begun = time.time()
    for c in load:
        c.start()
    breaker = threading.Thread(target=faults.run, args=(begun, stopped))
    breaker.start()
    watch(place, told, faults, begun, seconds, stopped)
    stopped.set()
    breaker.join()
    took = time.time() - begun
    for c in load:
        c.stopped.set()
    for c in load:
        c.join()
    return told, faults, load, watched, took


def verdict(place, told, faults, load, watched, took, plants):
    """Rows of the table, and violations."""
    _, campaign, abusive, _ = load
    for _, process in place.processes():
        wake(process)
    lost = []
    try:
        fleet.wait(place.active, "no hub is active a minute and a half after the last fault", seconds=90)
    except AssertionError as e:
        lost.append(str(e))
    checks.settle(place)
    watched.stop()
    for i in range(PROXIES):
        watched.look(i)
    rate = sum(sum(c.values()) for c in told.statuses.values()) / took / PROXIES
    parts = [checks.answers(told, faults), checks.honest(told), checks.bounds(place, faults, abusive, took), checks.campaigns(told, campaign),
             checks.counters(place, watched, faults, rate), checks.access(place, faults), checks.secrets(place, plants), checks.memory(watched.rss, took)]
    rows = [row for part, _ in parts for row in part]
    bad = [line for _, part in parts for line in part]
    return rows, lost + bad + [f"a process has ended: {name}" for name, p in place.processes() if p.poll() is not None] + [f"a fault could not be done: {e}" for e in faults.errors]


def table(told, faults, rows, bad, took):
    say("\nfaults")
    done = Counter(f.kind for f in faults.plan if f.ended)
    for kind, n in sorted(done.items(), key=lambda x: (-x[1], x[0])):
        say(f"  {kind:<36}{n:>6}")
    say(f"\n{'requests by class':<20}{'all':>8}{'a second':>10}{'slowest':>9}  statuses (0: no answer)")
    for kind, c in sorted(told.statuses.items()):
        n = sum(c.values())
        say(f"  {kind:<18}{n:>8}{n / took:>10.1f}{told.slowest[kind]:>8.1f}s  {' '.join(f'{s}:{v}' for s, v in sorted(c.items()))}")
    say("\nwhat was counted")
    for name, value in rows:
        say(f"  {name:<84} {value}")
    say(f"\nviolations: {len(bad)}")
    for line in bad[:40]:
        say(f"  {line}")


def keep(place, to):
    """For a report: what the processes wrote."""
    os.makedirs(to, exist_ok=True)
    for name, text in place.kept().items():
        if "log" in name:
            with open(os.path.join(to, name.replace("/", "_").replace(" ", "-")), "wb") as h:
                h.write(text)


def main():
    seconds, seed = int(os.environ.get("SOAK_SECONDS") or 1800), int(os.environ.get("SEED") or time.time())
    plants = Plants()
    denied = f"denied-{plants['denied']}"
    plan = schedule(seed, seconds, PROXIES)
    say(f"soak: SEED={seed} SOAK_SECONDS={seconds}, {len(plan)} faults")
    place = Place(config(denied), seed)
    try:
        if seconds >= 2 * checks.WARM_S:
            fill(place)
            say(f"tables are full: {FILL} keys at each proxy")
        told, faults, load, watched, took = run(place, plan, seed, seconds, plants, denied)
        rows, bad = verdict(place, told, faults, load, watched, took, plants)
        table(told, faults, rows, bad, took)
        if bad:
            to = os.path.join("target", "soak")
            keep(place, to)
            say(f"logs are in {to}")
    finally:
        place.stop()
    say(f"\nsoak: seconds={took:.0f} seed={seed} requests={sum(sum(c.values()) for c in told.statuses.values())} faults={sum(1 for f in plan if f.ended)} "
        f"violations={len(bad)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
