#!/usr/bin/env bash
# What the filter costs: CPU per request in a real Envoy against no filter and a Lua filter that reads the body (interleaved,
# several process starts, intervals), then the speed of `weir replay` on the demo's traffic. QUICK=1 for a smoke run.
# WEIR_WASM_BEFORE=old.wasm: only that module and this one side by side, and their ratio (ROUNDS=8 of each of four starts).
set -euo pipefail
cd "$(dirname "$0")/../.."
kit=../shared/perfkit/bench.py
trace=target/bench-trace.jsonl

echo "machine: $(nproc) cpus, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1); $(rustc --version)"
echo "module: $(stat -c %s target/weir.wasm) bytes"

# Why the cost in Envoy cannot be measured here, if so.
missing() {
  if [ ! -f "$kit" ]; then
    echo "bench: ../shared/perfkit is not here: the cost in Envoy was not measured"
  elif ! command -v wrk >/dev/null; then
    echo "bench: wrk is not installed (Debian: apt-get install wrk): the cost in Envoy was not measured" >&2
    exit 2
  else
    return 1
  fi
}

if [ -n "${WEIR_WASM_BEFORE:-}" ]; then
  missing && exit
  gen=../shared/perfkit/gen.py
  python3 "$gen" target/bench-base.yaml none > /dev/null
  python3 "$gen" target/bench-before.yaml wasm:"$WEIR_WASM_BEFORE" --config "$(cat tests/bench/filter.json)" > /dev/null
  python3 "$gen" target/bench-after.yaml wasm:target/weir.wasm --config "$(cat tests/bench/filter.json)" > /dev/null
  size="--restarts 4 --rounds ${ROUNDS:-8}"
  [ -z "${QUICK:-}" ] || size="--restarts 1 --rounds 2"
  # shellcheck disable=SC2086  # several words are meant
  python3 "$kit" --envoy "$ENVOY_BIN" --variant base=target/bench-base.yaml --variant before=target/bench-before.yaml \
    --variant after=target/bench-after.yaml --body 4k --body 64k --body 400k --json target/bench-before.json $size
  echo
  exec python3 tests/bench/ratio.py target/bench-before.json
fi

[ -f "$trace" ] || target/weir demo --write-trace "$trace"
printf '{"mode":"enforce","seed":"2d698960af4bc1950f6356fe0184ed515cbebbe084aebbeaad36f0bce10810f4","limits":[],"identity":{"age":{"header":"x-account-created"},"learn":"0s","trusted_hops":1}}' > target/bench-filter.json
# Twenty copies of the demo's traffic, each later than the one before: long enough to time.
long=target/bench-long.jsonl
[ "$long" -nt "$trace" ] || python3 tests/bench/later.py 20 < "$trace" > "$long"
for _ in 1 2 3; do
  for threads in "$(nproc)" 1; do
    target/weir replay --edges 0 --threads "$threads" --config target/bench-filter.json --json "$long" \
      | python3 tests/bench/replay_line.py "$threads threads"
  done
  target/native/examples/lines "$long"
done

if ! missing; then
  size="--restarts 3 --rounds 4"
  [ -z "${QUICK:-}" ] || size="--restarts 1 --rounds 2"
  # Other filters beside ours: Envoy's own limit, a Lua filter that reads the body, and three on the usual SDK.
  peers=$(bash tests/bench/peers/build.sh)
  gen=../shared/perfkit/gen.py
  python3 "$gen" target/bench-base.yaml none > /dev/null
  python3 "$gen" target/bench-lua.yaml lua > /dev/null
  python3 "$gen" target/bench-ratelimit.yaml tests/bench/peers/ratelimit.yaml > /dev/null
  # shellcheck disable=SC2086  # several words are meant
  python3 "$kit" --envoy "$ENVOY_BIN" --variant base=target/bench-base.yaml --variant lua=target/bench-lua.yaml \
    --variant ratelimit=target/bench-ratelimit.yaml $peers --wasm weir=target/weir.wasm --wasm-config @tests/bench/filter.json \
    --body 4k --body 64k --body 400k --body 400k_img $size
  # A key that is refused, against no filter and an upstream that answers.
  printf 'x-api-key: bad\n' > target/bench-headers.txt
  PYTHONPATH=tests/support target/venv/bin/python - > target/bench-deny.json <<'PY'
import json
from harness import key_id
print(json.dumps({**json.load(open("tests/bench/filter.json")), "deny": [{"name": "bad", "key": key_id("bad")}]}))
PY
  # shellcheck disable=SC2086
  python3 "$kit" --envoy "$ENVOY_BIN" --variant base=target/bench-base.yaml --wasm refused=target/weir.wasm --wasm-config @target/bench-deny.json \
    --headers target/bench-headers.txt --expect any --body 4k --body 64k $size
fi
