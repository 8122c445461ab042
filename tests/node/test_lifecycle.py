"""What a node goes through in its life, on a real Envoy: what was learned is kept, and learning goes on.

Rows of what was lost, and for how long nobody led, are in target/node-lifecycle.txt. No figure of time is asserted."""
import threading
from collections import Counter

import pytest
from harness import WASM, Begun, Envoy, chat, post
from lifecycle import CHAOS, POLICIES, Life, failure, setup
from traffic import eventually


# The log's time has milliseconds and is taken when the line is written.
CLOCKS_S = 0.01


@pytest.fixture
def live(upstream):
    """live(case, policy) -> Life of an Envoy whose VMs may fail on purpose."""
    running = []

    def go(case, policy="FAIL_RELOAD", **kw):
        e = Envoy(setup(), upstream.port, workers=2, lds=True, drain_s=2, wasm=CHAOS, edit=failure(policy), **kw)
        running.append(Life(e, case, policy))
        return running[-1]

    yield go
    for life in running:
        life.stop()


def all_denied(life):
    for i in range(len(life.campaigns)):
        eventually(lambda: life.denied(i) == {429}, seconds=5)


def dead_worker(policy):
    """What a worker whose VM is dead answers to a convicted key."""
    return {"FAIL_OPEN": 200, "FAIL_CLOSED": 503}[policy]


def served_or_closed(life, pulse, row):
    """All were served but those under way on the VM that trapped, and where the operator has said that a dead filter refuses; where it lets
    pass, the figures tell so."""
    policy = life.policy
    assert set(pulse.counts()) <= {200, 503}
    traps = [t for t, _, event in life.lease() if event == "trap"]
    under_way = lambda begun, took: any(begun - CLOCKS_S <= t <= begun + took + CLOCKS_S for t in traps)
    assert policy == "FAIL_CLOSED" or all(status == 200 or under_way(begun, took) for begun, status, took in pulse.answers)
    # The probes of a convicted key met the dead VM, too.
    assert (row["not seen"] > 0) == (policy != "FAIL_RELOAD")


@pytest.mark.parametrize("policy", POLICIES)
def test_main_vm_trapped_is_dead_for_good_and_a_worker_leads(live, policy):
    life = live("main VM traps as leader", policy)
    life.learn(0)
    assert life.led_by_main()
    life.pulse()
    life.order("leader-trap")
    life.wait_lease("leads", after=2)
    all_denied(life)
    life.learn(1)
    all_denied(life)
    row = life.row()
    assert row["not served"] == 0, "the main thread serves nobody"
    assert not life.led_by_main()
    assert life.e.stat("weir.leader_present") == life.e.stat("weir.leader_serving") == 1
    assert life.e.stat("weir.take_overs") == 2


@pytest.mark.parametrize("policy", POLICIES)
def test_worker_vm_trapped(live, policy):
    life = live("worker VM traps", policy)
    life.learn(0)
    pulse = life.pulse()
    life.order("worker-trap")
    if policy != "FAIL_RELOAD":
        # It is dead until the next configuration; the other worker goes on.
        assert life.denied() == {429, dead_worker(policy)}
        life.push()
    all_denied(life)
    life.learn(1)
    all_denied(life)
    row = life.row()
    served_or_closed(life, pulse, row)
    assert (life.e.stat("vm_reload_success") > 0) == (policy == "FAIL_RELOAD")
    assert life.led_by_main() and life.e.stat("weir.take_overs") == 1


@pytest.mark.parametrize("policy", POLICIES)
def test_worker_vm_trapped_as_leader(live, policy):
    life = live("worker VM traps as leader", policy)
    life.order("leader-trap")
    life.wait_lease("leads", after=2)
    life.learn(0)
    assert not life.led_by_main()
    pulse = life.pulse()
    before = len(life.lease())
    life.order("leader-trap")
    if policy != "FAIL_RELOAD":
        assert life.denied() == {429, dead_worker(policy)}
    life.wait_lease("leads", after=before)
    life.push()
    all_denied(life)
    life.learn(1)
    all_denied(life)
    row = life.row()
    served_or_closed(life, pulse, row)


@pytest.mark.parametrize("policy", POLICIES)
def test_requests_under_way_on_a_vm_that_traps_fail_and_no_others(live, upstream, policy):
    """Whatever the policy: Envoy ends each stream of a VM that has trapped, be it at its headers, within its body or at the model server."""
    life = live("requests under way", policy)
    answer, waits = upstream.answer, threading.Event()
    upstream.answer = lambda path, body: (b"wait for it" in body and waits.wait(10), answer(path, body))[1]
    shapes = [(size, sent) for size in (0, 300_000) for sent in (0, 0.5, 1)] * 20
    try:
        streams = [Begun(life.e.port, chat("please wait for it", size), sent) for size, sent in shapes]
        eventually(lambda: life.e.stats("http.inference.downstream_rq_active")["http.inference.downstream_rq_active"] == len(shapes))
        life.order("worker-trap")
        waits.set()
        got = Counter((shape, s.end()) for shape, s in zip(shapes, streams))
    finally:
        upstream.answer = answer
    assert {status for _, status in got} == {200, 503}, got
    assert all(got[(shape, 503)] for shape in set(shapes)), f"each shape had one on that worker, by odds of 10^5 to one: {got}"
    told = lambda: [line for line in life.e.access().splitlines() if " 503 " in line]
    # (The order itself may be one of them.)
    eventually(lambda: len(told()) >= sum(n for (_, status), n in got.items() if status == 503))
    assert all("wasm_fail_stream" in line for line in told()), told()
    # A VM is loaded again `base_interval` after it was loaded, not sooner.
    eventually(lambda: policy == "FAIL_CLOSED" or {post(life.e.port).status for _ in range(16)} == {200})
    assert (life.e.stat("vm_reload_success") > 0) == (policy == "FAIL_RELOAD")


def stalls_and_steps_down(life):
    """The leader stalls for 6 s: another VM leads, and it steps down when it wakes."""
    before = len(life.lease())
    life.order("leader-stall 6")
    life.wait_lease("leads", after=before)
    life.wait_lease("steps down", after=before)
    all_denied(life)
    life.learn(1)
    all_denied(life)
    return life.row(), life.settle()


def test_a_stalled_leader_that_wakes_up_steps_down(live):
    life = live("main VM stalls for 6 s as leader")
    life.learn(0)
    life.pulse()
    # The main thread is busy: nobody can be asked but the workers.
    row, f = stalls_and_steps_down(life)
    assert row["not served"] == 0
    # Nothing twice: what it had in hand when it woke up it did not write. Missing is what was in no page yet.
    assert f["observations_sent"] == f["observations_applied"] + f["observations_lost"]
    assert row["not learned"] <= row["told lost"] + life.at_risk()


def test_a_stalled_worker_that_leads_steps_down(live):
    life = live("worker VM stalls for 6 s as leader")
    life.order("leader-trap")
    life.wait_lease("leads", after=2)
    assert not life.led_by_main()
    life.learn(0)
    pulse = life.pulse()
    # Whoever is on that worker waits with it; the other one takes over.
    row, f = stalls_and_steps_down(life)
    # The proxy opened connections to the model server as the thread stalled, and gives them up when it wakes.
    failed = [line for line in life.e.access().splitlines() if " 503 " in line]
    assert set(pulse.counts()) <= {200, 503} and all("connection_timeout" in line for line in failed)
    assert f["observations_sent"] == f["observations_applied"] + f["observations_lost"]
    assert row["not learned"] <= row["told lost"] + life.at_risk()


def test_an_heir_traps_as_it_takes_over(live):
    life = live("leader traps, then its heir")
    life.learn(0)
    life.pulse()
    life.order("leader-trap")
    before = life.failures()
    life.plan("heir-trap")
    life.wait_failure(before)
    life.wait_lease("leads", after=len(life.lease()))
    all_denied(life)
    life.learn(1)
    all_denied(life)
    row = life.row()
    assert row["pages refused"] == 0
    assert not life.led_by_main()


def test_configuration_pushes(live):
    life = live("3 configuration pushes")
    life.learn(0)
    life.pulse()
    for _ in range(3):
        life.push()
    life.learn(1)
    # The old listeners and their roots are gone by now.
    life.e.wait_stat(lambda n: n == 0, "listener_manager.total_listeners_draining")
    all_denied(life)
    row = life.row()
    f = life.settle()
    assert row["not served"] == row["not learned"] == row["told lost"] == 0
    assert f["observations_sent"] == f["observations_applied"]
    assert life.led_by_main() and f["take_overs"] == 1


@pytest.mark.parametrize("first,second", [(CHAOS, WASM), (WASM, CHAOS)], ids=["newer", "older"])
def test_module_push(live, first, second):
    life = live("module push to " + ("newer" if second == WASM else "older"))
    if first != CHAOS:
        life.push(wasm=first)
    life.learn(0)
    life.pulse()
    before = len(life.lease())
    life.push(wasm=second)
    life.wait_lease("leads", after=before)
    all_denied(life)
    life.learn(1)
    all_denied(life)
    row = life.row()
    assert row["not served"] == row["told lost"] == row["not learned"] == 0


def test_a_leader_traps_half_way_through_a_hand_over(live):
    life = live("leader traps within a hand-over")
    life.learn(0)
    life.pulse()
    before = life.failures()
    life.plan("hand-over-trap")
    life.push(wasm=WASM)
    life.wait_failure(before)
    life.wait_lease("leads", after=len(life.lease()))
    all_denied(life)
    life.learn(1)
    all_denied(life)
    row = life.row()
    assert row["not served"] == row["pages refused"] == 0
    assert row["not learned"] <= life.at_risk()
