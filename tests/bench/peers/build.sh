#!/usr/bin/env bash
# Builds the peers to target/peer-NAME.wasm; prints `--wasm sdk-NAME=FILE …` for perfkit.
set -euo pipefail
cd "$(dirname "$0")"
out=../../../target
for name in empty copy value; do
  RUSTFLAGS= cargo build --quiet --release --target wasm32-wasip1 --target-dir "$out/peers" --features "$name" >&2
  cp "$out/peers/wasm32-wasip1/release/peers.wasm" "$out/peer-$name.wasm"
  printf -- '--wasm sdk-%s=target/peer-%s.wasm ' "$name" "$name"
done
