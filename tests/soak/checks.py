"""What must hold, and what does not: each check gives its lines for the table, and its violations."""
import re
import time
from collections import Counter

import hub as hubs
from faults import MAY_FAIL
from place import HOUR_S, KEY_LIMIT, PROXIES, SCALE, TENANT_LIMIT, WORKERS
from planted import found
from traffic import figures

# After a fault has ended its effects may last: a VM is loaded anew, what waited is sent.
AFTER_S = 3.0
RSS_PERCENT = 2.0
# Below this, memory is still warming up.
WARM_S = 300
# Envoy's words for what it answered itself.
OF_A_TRAP, OF_A_STOP = "wasm_fail_stream", "connection_timeout"


def near(faults, at, kinds, proxy=None):
    """Was this moment within a fault of these kinds (at this proxy)?"""
    return any(f.begun and f.begun - 0.5 <= at <= (f.ended or at) + AFTER_S and f.kind in kinds and proxy in (None, f.proxy) for f in faults.plan)


def answers(told, faults):
    """No 5xx of ours but where a VM was made to trap or a proxy to stand still, and every honest client has an answer."""
    bad, excused = [], 0
    for at, proxy, kind, key, status, body in told.failed:
        if b"of the stand-in" in body:
            continue
        if near(faults, at, MAY_FAIL, proxy):
            excused += 1
            continue
        bad.append(f"{kind} {key} was answered {status} by proxy {proxy} at {at:.1f}: {body[:120]!r}")
    return [("answers that failed within a fault", excused)], bad


def access(place, faults):
    """What the proxies say of their 5xx: none is Weir's."""
    why = Counter()
    for e in place.proxies:
        for line in e.access().splitlines():
            m = re.match(r"\S+ \S+ (5\d\d) (\S+)", line)
            if m:
                why[m.group(2).split("{")[0]] += 1
    begun = Counter(f.kind for f in faults.plan if f.begun)
    bad = [f"{n} times {w}" for w, n in why.items() if w.startswith("weir:")]
    known = (OF_A_TRAP, "via_upstream", "upstream_reset_before_response_started", "upstream_reset_after_response_started", "upstream_per_try_timeout")
    bad += [f"{n} times 5xx for an unknown reason: {w}" for w, n in why.items() if not w.startswith("weir:") and w not in known]
    return [(f"5xx: {w}", n) for w, n in sorted(why.items())] + [("faults of proxies", sum(begun[k] for k in MAY_FAIL))], bad


def honest(told):
    """No honest key is refused."""
    keys = {row[3] for row in told.honest_refused}
    bad = [f"honest {row[3]} was refused by proxy {row[1]} at {row[0]:.1f}: {row[5][:200]!r}" for row in told.honest_refused]
    return [("honest keys refused", len(keys))], bad


def bounds(place, faults, abusive, seconds):
    """What reached the stand-in of keys and tenants that never stop: not more than the limit over this time (and over what clocks were set
    ahead), one limit more for each worker (it hears of the others a third of a second later), and one for each VM that began anew."""
    seen, rows, bad = place.up.requests, [], []
    hours = (seconds + max(faults.ahead_s)) / HOUR_S
    extra = PROXIES * WORKERS + sum(faults.restarts)
    for name, counts, limit in [(k, seen.keys, KEY_LIMIT) for k in abusive.hard] + [(abusive.tenant, seen.tenants, TENANT_LIMIT)]:
        bound = limit * (hours + extra)
        rows.append((f"served of a {'tenant' if counts is seen.tenants else 'key'} that is over its limit; limit over {hours:.1f} h; bound",
                     f"{counts[name]}; {limit * hours:.0f}; {bound:.0f}"))
        if counts[name] > bound:
            bad.append(f"{name} was served {counts[name]} times, {bound:.0f} are its bound")
    if seen.keys[abusive.denied]:
        bad.append(f"the denied key was served {seen.keys[abusive.denied]} times")
    rows.append(("served of the denied key", seen.keys[abusive.denied]))
    return rows, bad


def campaigns(told, campaign):
    """The service still does its work: of a campaign that had twenty seconds, accounts are refused at its end."""
    rows, bad = [], []
    for begun, keys in campaign.campaigns:
        refused = sum(told.keys.get(k, Counter())[429] > 0 for k in keys)
        served = sum(told.keys.get(k, Counter())[200] for k in keys)
        rows.append((f"campaign from second {begun - campaign.campaigns[0][0]:.0f}: accounts refused; requests served", f"{refused} of {len(keys)}; {served}"))
    # One that was cut off by the end of the run may not have been found yet.
    if not any(told.keys.get(k, Counter())[429] for _, keys in campaign.campaigns for k in keys):
        bad.append("no account of any campaign was ever refused")
    return rows, bad


def secrets(place, plants):
    """None of what clients sent, and not the operator's token, stands in anything that was written."""
    kept, bad, size = place.kept(), [], 0
    for name, text in kept.items():
        size += len(text)
        leaks = found({**plants, "token": hubs.TOKEN}, text)
        bad += [f"{place_} ({form}) stands in {name}" for place_, form in sorted(leaks)]
    for i, e in enumerate(place.proxies):
        leaks = found({**plants, "token": hubs.TOKEN}, e.get("/config_dump"))
        bad += [f"{place_} ({form}) stands in the configuration dump of proxy {i}" for place_, form in sorted(leaks)]
    return [("planted strings; places; KiB searched", f"{len(plants)}; {len(kept)}; {size >> 10}")], bad


def memory(rows, seconds):
    """RSS is flat: medians of the first and of the last fifth of the time after the warm-up."""
    out, bad = [], []
    middle = lambda v: sorted(v)[len(v) // 2]
    for name, samples in sorted(rows.items()):
        warm = [kib for at, kib in samples if at >= min(WARM_S, seconds / 2)]
        if len(warm) < 5:
            continue
        n = max(1, len(warm) // 5)
        fifths = [middle(warm[i * n:(i + 1) * n]) for i in range(5)]
        percent = 100 * (fifths[-1] - fifths[0]) / fifths[0]
        out.append((f"RSS of {name}, MiB: start; each fifth after the warm-up; most; change", f"{samples[0][1] / 1024:.1f}; "
                    f"{' '.join(f'{kib / 1024:.1f}' for kib in fifths)}; {max(kib for _, kib in samples) / 1024:.1f}; {percent:+.1f} %"))
        # Hubs and the store are killed: what they take begins anew.
        if name.startswith("Envoy") and seconds >= 2 * WARM_S and percent > RSS_PERCENT:
            bad.append(f"the RSS of {name} grew by {percent:.1f} %")
    return out, bad


def settle(place, seconds=30):
    """What was sent stands still, and the hub has it."""
    end, last, since = time.time() + seconds, None, time.time()
    while time.time() < end:
        try:
            now = stand(place)
        except OSError:
            continue
        if now != last:
            last, since = now, time.time()
        elif time.time() - since > 2.5 and not any(waiting for *_, waiting in now):
            return
        time.sleep(0.2)


def stand(place):
    return [(f["observations_sent"], f["observations_applied"], f["take_overs"], e.stat("weir.hub_waiting.")) for e in place.proxies for f in [figures(e)]]


def counters(place, watched, faults, rate):
    """Counters of proxies, of the hub and of the stand-in say the same. A VM that traps has not told its last second."""
    rows, bad, sent_to_hub = [], [], 0
    for i, e in enumerate(place.proxies):
        total = lambda name: watched.total(i, f"weir.{name}.")
        seen, decided, aborted, undecided = total("requests_seen"), total("requests"), total("aborted"), total("undecided")
        sent, applied, lost, dropped = (total(f"observations_{n}") for n in ("sent", "applied", "lost", "dropped"))
        traps = faults.restarts[i]
        # Told once a second, and ends with the VM: the worst is a second's worth a trap. Looked at twice a second: so much a new beginning.
        slack = int(traps * rate * 1.5)
        rows.append((f"proxy {i}: seen = decided + aborted + undecided (VMs that began anew)", f"{seen} = {decided} + {aborted} + {undecided} ({traps})"))
        if abs(seen - decided - aborted - undecided) > slack:
            bad.append(f"proxy {i}: {seen} requests were seen, {decided} decided, {aborted} aborted, {undecided} undecided; {slack} may be untold")
        rows.append((f"proxy {i}: observations sent = applied + lost; dropped", f"{sent} = {applied} + {lost}; {dropped}"))
        if abs(sent - applied - lost) > slack:
            bad.append(f"proxy {i}: {sent} observations were sent, {applied} applied, {lost} lost; {slack} may be untold")
        refused = total("pages_refused"), total("cells_refused")
        bad += [f"proxy {i}: {refused[0]} pages and {refused[1]} cells were refused"] * any(refused)
        bad += [f"proxy {i}: {undecided} requests could not be decided"] * bool(undecided)
        sent_to_hub += total("hub_sent")
        rows.append((f"proxy {i}: take-overs; VM starts; reloads; hub calls failed; dropped for the hub", "; ".join(str(v) for v in (
            total("take_overs"), total("vm_starts"), e.stat("vm_reload_success"), total("hub_failed"), total("hub_dropped")))))
    rows.append(("series of counters that began anew", watched.anew))
    active = place.active()
    if not active:
        return rows, bad
    status = active.status()
    rows.append(("hub: observations (that proxies told of as sent); lost; nodes", f"{status['observations']} ({sent_to_hub}); {status['lost']}; {len(status['nodes'])}"))
    slack = int(sum(faults.restarts) * rate * 1.5)
    if sent_to_hub > status["observations"] or status["observations"] - sent_to_hub > slack:
        bad.append(f"the hub counted {status['observations']} observations, the proxies sent {sent_to_hub}")
    return rows, bad
