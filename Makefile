# Verbs for people. Set-up is idempotent and quiet; scripts live in tests/support.
SHELL := /bin/bash
PYTHON := target/venv/bin/python
# Texts of the detection benchmark: the corpora where they are, else the built-in generator.
CORPUS ?= $(if $(wildcard ../shared/corpora),--corpus ../shared/corpora)
# Empty: the version in tests/requirements.txt. Else that version, beside it: `make test-node ENVOY=1.36.4`.
export ENVOY ?=
export ENVOY_BIN ?= $(CURDIR)/target/$(if $(ENVOY),envoy-$(ENVOY)/envoy/_bin,venv)/envoy
export WEIR_WASM ?= $(CURDIR)/target/weir.wasm
# The module as it was linked is no module to ship: this takes out what no host needs (tests/support/prune).
PRUNE := cargo run --quiet --package weir-prune --

help: ## list the verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## Rust target, Python environment, real Envoy (quiet when there is nothing to do)
	@bash tests/support/setup.sh

setup-stores: setup ## a real Redis for the hub's tests, if there is none (a real Valkey comes with `make setup`)
	@bash tests/support/setup.sh stores

setup-browser: setup ## Chromium, its driver, pdftotext and axe-core for the tests of pages, if they are not there
	@bash tests/support/setup.sh browser

setup-prometheus: setup ## a real Prometheus with promtool for the tests of metrics, if there is none
	@bash tests/support/setup.sh prometheus

setup-fuzz: setup ## a compiler of C++ for libFuzzer, if there is none
	@bash tests/support/setup.sh fuzz

setup-sbom: setup ## what validates bills of materials, if it is not there
	@bash tests/support/setup.sh sbom

setup-deny: setup ## cargo-deny, if there is none (builds it: minutes)
	@bash tests/support/setup.sh deny

setup-miri: setup ## Miri on a nightly Rust, if it is not there
	@bash tests/support/setup.sh miri

setup-mutants: setup ## cargo-mutants, if there is none (builds it: minutes)
	@bash tests/support/setup.sh mutants

setup-release: setup-sbom ## Rust targets and C compilers for static binaries, an emulator for the foreign one, if they are not there
	@bash tests/support/setup.sh release

DENY := PATH="$(CURDIR)/target/cargo-tools/bin:$$PATH" cargo deny --locked

# Of two modules in one proxy the newer one leads: the commit's time, where there is one.
export WEIR_RANK ?= $(shell git log -1 --format=%ct 2>/dev/null)

wasm: setup ## build the module: target/weir.wasm
	@$(MAKE) --no-print-directory module
	@echo "target/weir.wasm: $$(stat -c %s $(WEIR_WASM)) bytes"

# Where this machine keeps the sources of crates. The module tells name and version of a crate, and not that: the same bytes everywhere.
CRATES := $(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src
NOWHERE = target.wasm32-wasip1.rustflags=[$$(printf '"--remap-path-prefix=%s/=",' $(CRATES)/*)]

# No set-up: a copy of the tree elsewhere makes it, too (tests/support/reproduce.py).
module:
	@cargo fetch --quiet --locked --target wasm32-wasip1
	@cargo build --quiet --locked --release --lib --target wasm32-wasip1 --config "$(NOWHERE)"
	@$(PRUNE) target/wasm32-wasip1/release/weir.wasm $(WEIR_WASM)

# It is older than any other build: the lifecycle suite replaces it by the shipped module.
wasm-chaos: setup ## build target/weir-chaos.wasm, the module that fails on purpose (tests only)
	@WEIR_RANK=1 cargo build --quiet --release --lib --target wasm32-wasip1 --features chaos --target-dir target/chaos
	@$(PRUNE) target/chaos/wasm32-wasip1/release/weir.wasm target/weir-chaos.wasm

weir: setup ## build the command line: target/weir
	@cargo build --quiet --profile native --bin weir
	@cmp -s target/native/weir target/weir || cp target/native/weir target/weir

demo: wasm weir ## a campaign among honest traffic through a real Envoy, under a minute
	@./target/weir demo

demo-fleet: wasm weir ## a campaign that no proxy sees enough of, through three real Envoys and their hub; then a hub and a proxy are killed (under 90 s)
	@$(PYTHON) -B tests/support/fleet.py

test: test-rust test-fuzz test-hosts test-envoy test-node test-pages test-release ## every test

test-rust: weir setup-stores ## unit, property, fixture, configuration and tidy tests
	@WEIR_BIN=$(CURDIR)/target/weir cargo test --quiet --no-fail-fast --lib --tests
	@cargo test --quiet --package weir-prune --package weir-calls

# A stack for tests; and no test that starts threads, or whose figures belong to the page sizes of 64 bits.
WASM32 := CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="-C target-feature=+simd128,+bulk-memory -C link-arg=-zstack-size=16777216" \
	CARGO_TARGET_WASM32_WASIP1_RUNNER="$(CURDIR)/$(PYTHON) $(CURDIR)/tests/support/unit_tests.py"

test-wasm32: setup ## the library's unit tests as wasm32, the module's target: the same bits with sizes of 32 bits (five minutes)
	@$(WASM32) cargo test --quiet --lib --target wasm32-wasip1 --target-dir target/wasm32-tests -- --skip node::tests::model --skip pages_of_any_moments

# Sizes of 32 bits as in the module, then those of this machine.
test-miri: setup-miri ## the module's unsafe code (host calls, allocator) under Miri, on a host within the test: memory is taken once, within its bounds, and none leaks (two minutes)
	@for target in i686-unknown-linux-gnu $$(rustc -vV | sed -n 's/^host: //p'); do \
	  CARGO_PROFILE_TEST_OPT_LEVEL=0 MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-symbolic-alignment-check" \
	    cargo +nightly miri test --quiet --package weir-calls --target $$target --target-dir target/miri || exit 1; done

test-hub: weir setup-stores ## the hub alone: its parts, a thousand schedules of faults, two hundred of a fleet, the process on loopback, real Valkey and Redis (part of test-rust)
	@cargo test --quiet --bin weir hub::
	@cargo test --quiet --test hub --test stores

test-envoy: wasm weir ## effects on a real Envoy, and real client libraries; ENVOY=1.36.4 for another
	@$(PYTHON) -m pytest -q -n 3 tests/envoy tests/clients

test-hosts: wasm ## the module on a small host that lacks one thing after another: calls, clock, timer, memory
	@$(PYTHON) -m pytest -q tests/hosts

test-envoy-all: wasm wasm-chaos weir ## both on Envoy 1.36.4, 1.37.0, 1.39.3 and 1.40.0, with a table (half an hour)
	@bash tests/envoy/all.sh

test-node: wasm wasm-chaos weir setup-stores ## one ledger for all workers on a real Envoy, and for several Envoys: campaigns, parity, crashes, pushes, the hub; ENVOY=1.36.4 for another
	@rm -f target/node-lifecycle.txt
	@$(PYTHON) -m pytest -q -n 4 --ignore tests/hub/test_page.py --ignore tests/hub/test_metrics.py tests/node tests/hub
	@cat target/node-lifecycle.txt

test-pages: wasm weir setup-browser setup-prometheus ## the hub's page and those of `weir report` in a real Chromium; dashboard and alerts in a real Prometheus
	@WEIR_BIN=$(CURDIR)/target/weir $(PYTHON) -m pytest -q tests/report tests/hub/test_page.py tests/hub/test_metrics.py

test-release: wasm setup-sbom ## bills of materials, notes, checksums and signature of a release, without its binaries; what the module must not hold
	@$(PYTHON) -m pytest -q tests/release

test-slow: wasm wasm-chaos weir test-wasm32 test-miri ## unit tests as wasm32, unsafe code under Miri, memory over ten million distinct keys natively, a hundred thousand schedules of the hub, twenty thousand of a node's VMs and as many of a fleet, the module built twice, MILLIONS=2 in a real Envoy (needs wrk), and a soak of 90 s (minutes)
	@cargo test --quiet --profile native --test bounds -- --ignored --nocapture
	@cargo test --quiet --profile native --bin weir hub::core::model -- --ignored --nocapture
	@cargo test --quiet --profile native --lib node::tests::model -- --ignored --nocapture
	@cargo test --quiet --profile native --bin weir hub::fleet -- --ignored --nocapture
	@cargo test --quiet --profile native --bin weir ten_million_keys -- --ignored --nocapture
	@$(PYTHON) -m pytest -q -s tests/slow

soak: wasm wasm-chaos weir ## two Envoys, two hubs and a Valkey under load while VMs trap, processes stop or die and clocks step; SOAK_SECONDS=1800, SEED= to repeat a schedule
	@SOAK_SECONDS=$(SOAK_SECONDS) SEED=$(SEED) $(PYTHON) -B tests/soak/soak.py

test-fuzz: setup-fuzz ## every fuzz target on its corpus and on the same inputs made of it, a minute (bounded by their number)
	@$(PYTHON) tests/fuzz/run.py --inputs $(or $(INPUTS),20000)

fuzz: setup-fuzz ## the same for ten minutes, going on from what target/fuzz-work keeps; FUZZ_SECONDS=3600, TARGETS="json frames"
	@$(PYTHON) tests/fuzz/run.py --seconds $(or $(FUZZ_SECONDS),600) $(TARGETS)

mutants: setup-mutants ## mutation testing: a sample of changes of each area, tested; SAMPLE=100 (0: all), SEED=2, AREAS="rules calls" (hours; part of nothing)
	@PATH="$(CURDIR)/target/cargo-tools/bin:$$PATH" $(PYTHON) -B tests/support/mutants.py --sample $(or $(SAMPLE),25) --seed $(or $(SEED),1) $(AREAS)

lint: setup ## formatting, clippy for both targets, Python syntax
	@cargo fmt --all --check
	@cargo clippy --quiet --workspace --exclude weir-fuzz --all-targets -- -D warnings
	@cargo clippy --quiet --package weir-fuzz -- -D warnings
	@cargo clippy --quiet --lib --target wasm32-wasip1 -- -D warnings
	@$(PYTHON) -m compileall -q tests

bench: wasm weir ## cost in a real Envoy against no filter and Lua; replay speed
	@cargo build --quiet --profile native --example lines
	@bash tests/bench/run.sh

instructions: wasm ## what the shipped module executes, exactly, against tests/hosts/instructions.json; WRITE=1 commits to it
	@$(PYTHON) -m pytest -q tests/hosts/test_instructions.py

bench-micro: setup ## the engine's parts alone, natively and as wasm under wasmtime: ns a call, ns a byte, ratios
	@cargo build --quiet --profile native --example micro
	@cargo build --quiet --release --example micro --target wasm32-wasip1
	@echo "native" && target/native/examples/micro $(if $(QUICK),--quick)
	@echo "wasm (wasmtime)" && $(PYTHON) tests/bench/wasm.py target/wasm32-wasip1/release/examples/micro.wasm $(if $(QUICK),--quick)

bench-scale: setup ## a ledger's cost by keys and requests/s, native: a table, and tests/bench/scale.svg (three minutes)
	@cargo build --quiet --profile native --example scale
	@target/native/examples/scale $(if $(QUICK),--quick) | python3 -B tests/bench/scale.py $(if $(QUICK),target,tests/bench)/scale.svg

bench-node: wasm wasm-chaos ## the node protocol: take-over, overshoot of limits, what a leader sustains (needs wrk)
	@WEIR_RANK=4000000000 cargo build --quiet --release --lib --target wasm32-wasip1 --target-dir target/newer
	@$(PRUNE) target/newer/wasm32-wasip1/release/weir.wasm target/weir-newer.wasm
	@WEIR_NEWER=target/weir-newer.wasm $(PYTHON) tests/bench/node.py

bench-hub: setup-stores ## the hub: observations a second, a start with a million keys, exchanges of fifty nodes, on a directory and on Valkey
	@cargo test --quiet --profile native --bin weir hub::core::measure -- --ignored --nocapture --test-threads 1 --skip ten_million
	@cargo test --quiet --profile native --test hub --test stores -- --ignored --nocapture --test-threads 1

bench-detection: weir ## every campaign and every honest class at reduced scale, against the targets
	@./target/weir simulate -s all --honest 0.1 --campaign 0.4 $(CORPUS) $(if $(JSON),--json) || [ $$? -eq 4 ]

bench-edges: weir ## the same with two edges and with both halves in one process, as the table of tests/detection/README.md
	@for n in 0 2; do ./target/weir simulate -s all --honest 0.1 --campaign 0.4 $(CORPUS) --edges $$n --json || [ $$? -eq 4 ]; done \
	  | $(PYTHON) tests/bench/table.py

bench-table: weir ## every scenario at full scale on five seeds, as the table of tests/detection/README.md (three quarters of an hour)
	@./target/weir simulate -s all --honest 0.3 --seeds 5 $(CORPUS) --json | $(PYTHON) tests/bench/table.py

fit: weir ## measure the numbers of src/engine/config/fitted.rs on every honest family and eight campaigns (a minute)
	@./target/weir simulate --fit $(CORPUS) --json > target/fit.json || [ $$? -eq 4 ]
	@./target/weir simulate --fit $(CORPUS) || [ $$? -eq 4 ]
	@echo "judge by it:  target/weir simulate -s S3,S9,S16,E-launch,lookalikes --fitted target/fit.json --honest 0.1 --campaign 0.4"
	@echo "keep it:      put the literal into Fitted::default() of src/engine/config/fitted.rs, and the table into tests/detection/README.md"

leave-one-out: weir ## each honest family judged by numbers that were fitted without it; SIZES=small, FAMILIES=hall,desks for a quick look
	@./target/weir simulate --leave-one-out $(CORPUS) $(if $(SIZES),--sizes $(SIZES)) $(if $(FAMILIES),-s $(FAMILIES)) $(if $(JSON),--json) || [ $$? -eq 4 ]

headline: weir ## 25,000 accounts, 1,152 requests each, among 50 million requests; JSON=1 for one line
	@./target/weir simulate -s H $(CORPUS) $(if $(JSON),--json) || [ $$? -eq 4 ]

ablation: weir ## what each evidence term buys: the same scenarios without it
	@bash tests/bench/ablation.sh $(CORPUS)

envoy-config: wasm ## write target/envoy.yaml with working values, to run by hand; CONFIG=my.json for your own, EXAMPLE=routes/selectors for another of envoy/
	@CONFIG=$(CONFIG) $(PYTHON) tests/support/harness.py target/envoy.yaml $(EXAMPLE)

unicode: setup ## write src/engine/fingerprint/tables.rs from Unicode's data: look-alikes, and what is not seen
	@$(PYTHON) tests/support/unicode_tables.py

picture: ## write src/architecture.svg, the picture of the system, from the text in its script
	@python3 -B tests/support/picture.py src/architecture.svg

oci: wasm ## write target/oci: the module as an image (and as an artifact) in an OCI layout, ready to be pushed
	@$(PYTHON) tests/support/oci.py $(WEIR_WASM) target/oci

sbom: wasm weir setup-sbom ## bills of materials of the module and the command line: target/weir.wasm.cdx.json, target/weir.cdx.json (CycloneDX, validated)
	@$(PYTHON) tests/support/sbom.py $(WEIR_WASM) wasm32-wasip1 target/weir.wasm.cdx.json
	@$(PYTHON) tests/support/sbom.py target/weir $$(rustc -vV | sed -n 's/^host: //p') target/weir.cdx.json
	@target/supply/bin/python -B tests/support/sbom.py --check target/weir.wasm.cdx.json target/weir.cdx.json

# What is known of faults in packages is in a database that is not here: ADVISORIES names a folder with a copy of it.
supply-chain: setup-deny sbom ## cargo-deny on licences, sources, duplicates (ADVISORIES=folder: known faults, too), and bills of materials
	@$(DENY) check --config tests/support/deny.toml licenses bans sources
	@$(if $(ADVISORIES),$(DENY) check --config tests/support/deny.toml --disable-fetch advisories,echo "advisories: not looked at (ADVISORIES names no database)")

reproduce: wasm ## build the module twice more, elsewhere, and compare the bytes
	@$(PYTHON) tests/support/reproduce.py

release: wasm setup-release ## all of a version in target/release-VERSION: module, image, static binaries, bills of materials, checksums; WEIR_SIGN_KEY=file signs
	@$(PYTHON) tests/support/release.py

clean: ## remove everything built
	@rm -rf target

.PHONY: help setup setup-stores setup-browser setup-prometheus setup-fuzz setup-sbom setup-deny setup-miri setup-mutants setup-release wasm module wasm-chaos weir demo demo-fleet test test-rust test-fuzz fuzz mutants test-miri test-hub test-hosts test-envoy test-envoy-all test-node test-pages test-release test-slow soak lint bench instructions bench-micro bench-scale bench-node bench-hub bench-detection bench-edges bench-table fit leave-one-out headline ablation envoy-config unicode picture oci sbom supply-chain reproduce release clean
