#!/usr/bin/env bash
# The Envoy and node suites on every version that is supported: one line each, with the time. `make test-envoy-all`.
set -uo pipefail
cd "$(dirname "$0")/../.."
status=0
printf '%-10s %8s %8s %8s %8s\n' Envoy passed failed skipped seconds
for version in ${VERSIONS:-1.36.4 1.37.0 1.39.3 1.40.0}; do
  began=$SECONDS
  log="target/envoy-$version.log"
  make --no-print-directory test-envoy ENVOY="$version" > "$log" 2>&1 || status=1
  make --no-print-directory test-node ENVOY="$version" >> "$log" 2>&1 || status=1
  count() { grep -oE "[0-9]+ $1" "$log" | awk '{n += $1} END {print n + 0}'; }
  printf '%-10s %8s %8s %8s %8s\n' "$version" "$(count passed)" "$(( $(count failed) + $(count error) ))" "$(count skipped)" "$((SECONDS - began))"
done
exit "$status"
