"""The module as it is takes over from modules of older commits, in the same running Envoy. `make test-slow`; FROM=COMMIT for another one with
the same layout of cells.

A push between two builds of one commit is in tests/node/test_lifecycle.py.
"""
import os
import subprocess
import tempfile

import pytest

from harness import ROOT, WASM, Envoy
from lifecycle import Life, setup
from traffic import eventually

# The oldest with today's layouts, and the last of 0.1.0.
SAME, OTHER = os.environ.get("FROM", "c66f88f"), "5f135b1"


def git(*args):
    return subprocess.run(["git", *args], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def module_of(commit):
    """The module of a commit, as it was linked; built once."""
    if subprocess.run(["git", "cat-file", "-e", commit + "^{commit}"], cwd=ROOT, capture_output=True).returncode:
        pytest.skip(f"this clone has no {commit}")
    at = os.path.join(ROOT, "target", "from", commit)
    out = os.path.join(at, "weir.wasm")
    if not os.path.exists(out):
        built = os.path.join(at, "target")
        env = {**os.environ, "WEIR_RANK": git("log", "-1", "--format=%ct", commit), "CARGO_TARGET_DIR": built}
        # Not below our own workspace: cargo would take it for a part of that.
        with tempfile.TemporaryDirectory(prefix="weir-from-") as tree:
            archive = subprocess.Popen(["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE)
            subprocess.run(["tar", "-x", "-C", tree], stdin=archive.stdout, check=True)
            assert archive.wait() == 0
            subprocess.run(["cargo", "build", "--quiet", "--locked", "--release", "--lib", "--target", "wasm32-wasip1"], cwd=tree, env=env, check=True)
        os.replace(os.path.join(built, "wasm32-wasip1", "release", "weir.wasm"), out)
    return out


@pytest.fixture
def live(upstream):
    """live(case, commit) -> Life of an Envoy with the module of that commit."""
    running = []

    def go(case, commit):
        e = Envoy(setup(), upstream.port, workers=2, lds=True, drain_s=2, wasm=module_of(commit))
        running.append(Life(e, case))
        return running[-1]

    yield go
    for life in running:
        life.stop()


def test_what_was_learned_by_a_module_of_the_same_layout_is_kept(live):
    life = live(f"module push from {SAME}", SAME)
    life.learn(0)
    life.pulse()
    before = len(life.lease())
    life.push(wasm=WASM)
    life.wait_lease("leads", after=before)
    eventually(lambda: life.denied(0) == {429}, seconds=5)
    life.learn(1)
    eventually(lambda: life.denied(1) == {429}, seconds=5)
    row = life.row()
    assert row["not served"] == row["told lost"] == row["not learned"] == row["pages refused"] == 0


def test_beside_a_module_of_another_layout_it_learns_apart_and_refuses_nobody(live):
    life = live(f"module push from {OTHER}", OTHER)
    life.learn(0)
    pulse = life.pulse()
    before = len(life.lease())
    life.push(wasm=WASM)
    life.wait_lease("leads", after=before)
    # What was convicted is met as if for the first time; a campaign that comes now is found.
    life.campaigns.clear()
    life.learn(1)
    eventually(lambda: life.denied(0) == {429}, seconds=5)
    assert set(pulse.stop().counts()) == {200}
    assert life.e.stat("weir.pages_refused") == life.e.stat("weir.cells_refused") == 0
    assert life.e.stat("vm_reload_success") == life.e.stat("vm_reload_failure") == 0
