"""A short soak: each kind of fault about once, and all that must hold. Half an hour of it is `make soak`."""
import os
import subprocess
import sys

from harness import ROOT


def test_everything_holds_while_things_fail():
    r = subprocess.run([sys.executable, "-B", os.path.join("tests", "soak", "soak.py")], cwd=ROOT, env={"SOAK_SECONDS": "90", **os.environ}, timeout=300,
                       capture_output=True, text=True)
    print(r.stdout[-6_000:])
    assert r.returncode == 0, r.stdout[-3_000:] + r.stderr[-2_000:]
