"""`reproduce.py`: builds the module twice from what is committed, in two folders with paths of different lengths and with two homes of cargo,
and compares the bytes with each other and with target/weir.wasm. `make reproduce`; exit status 1 where they differ.

Equal are the commit, its time (`WEIR_RANK`) and the compiler. Crates come from the local copies: nothing is fetched.
"""
import os
import shutil
import subprocess
import sys
import tempfile

from sbom import ROOT, sha256


def tree(into):
    """What is committed, without git."""
    os.makedirs(into)
    archive = subprocess.Popen(["git", "archive", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", into], stdin=archive.stdout, check=True)
    assert archive.wait() == 0


def home(into):
    """Another home of cargo with copies of the crates that this one holds; sources are unpacked anew."""
    own = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
    os.makedirs(os.path.join(into, "registry"))
    for part in ("cache", "index"):
        shutil.copytree(os.path.join(own, "registry", part), os.path.join(into, "registry", part))
    for settings in ("config.toml", "config"):
        if os.path.exists(os.path.join(own, settings)):
            shutil.copy(os.path.join(own, settings), into)
    return into


def build(where, **env):
    out = os.path.join(where, "target", "weir.wasm")
    env = {**os.environ, "CARGO_NET_OFFLINE": "true", "WEIR_WASM": out, **env}
    env.pop("CARGO_TARGET_DIR", None)
    os.makedirs(os.path.dirname(out), exist_ok=True)
    subprocess.run(["make", "--no-print-directory", "-C", where, "module"], env=env, check=True, stdout=subprocess.DEVNULL)
    return sha256(out)


def twice():
    """The hashes of two clean builds."""
    rank = os.environ.get("WEIR_RANK") or subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="weir-") as at:
        one, two = os.path.join(at, "a"), os.path.join(at, "another-folder", "with-a-longer-path")
        tree(one)
        tree(two)
        first = build(one, WEIR_RANK=rank)
        return first, build(two, WEIR_RANK=rank, CARGO_HOME=home(os.path.join(at, "home-of-cargo")))


def main():
    first, second = twice()
    print(f"{first}  a clean build\n{second}  another one, in another folder, with another home of cargo")
    own = os.path.join(ROOT, "target", "weir.wasm")
    same = first == second
    if os.path.exists(own):
        print(f"{sha256(own)}  target/weir.wasm")
        same = same and sha256(own) == first
    print("the same bytes" if same else "they differ")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
