# The task runner of librocmforge. `make` lists what there is.

CARGO ?= cargo
ROCMFORGE = target/release/rocmforge
PEER ?= target/peer
ZIG ?= target/zig
KERNELS ?= target/kernels

.DEFAULT_GOAL := help
.PHONY: help story build test test-gfx1100 mutations test-aarch64 check parity asan fuzz miri bench bench-peer bench-tokenizer bench-kernels kernels header peer zig install clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the library (target/release/librocmforge.so) and the program
	$(CARGO) build --release --locked -p rocmforge -p rocmforge-cli
	ln -sf librocmforge.so target/release/librocmforge.so.0.1

story: build ## print a story by the demo model
	$(ROCMFORGE) generate -p "Once upon a time" --seed 7

# Every operation by the machine code of one compiler, models by that of the other;
# `make test-gfx1100 GFX1100_SWEEP=zig GFX1100_MODELS=clang` changes them over.
GFX1100_SWEEP = clang
GFX1100_MODELS = zig
GFX1100 = CARGO="$(CARGO)" $(WITH_ZIG) ROCMFORGE_PEER=$(abspath $(PEER)) ROCMFORGE_REQUIRE_PEER=1 tools/gfx1100/run.sh

test-gfx1100: peer zig ## the HIP backend on gfx1100 machine code, interpreted
	$(GFX1100) $(GFX1100_SWEEP) tools/gfx1100/parts.sh sweep
	$(GFX1100) $(GFX1100_MODELS) tools/gfx1100/parts.sh parity
	$(GFX1100) $(GFX1100_MODELS) $(CARGO) test --locked --workspace --test offload

mutations: zig ## kernels that are wrong in one place, each of which a case of the sweep has to notice
	$(WITH_ZIG) ROCMFORGE_SWEEP=mutations $(CARGO) test --locked --workspace --test sweep

check: ## formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

test: check peer zig ## every test, the parity suite against the reference among them
	ROCMFORGE_PEER=$(abspath $(PEER)) ROCMFORGE_REQUIRE_PEER=1 $(WITH_ZIG) $(CARGO) test --locked --workspace
	$(CARGO) test --locked --workspace --features rocmforge/fault-injection --test fault

test-aarch64: ## the processor's own code on 64-bit Arm, emulated
	tools/aarch64.sh

asan: ## the tests of hostile input under AddressSanitizer
	fuzz/run.sh test

fuzz: ## look for inputs that break something, FUZZ_SECONDS (120) for each target
	fuzz/run.sh fuzz

# Neither SIMD nor files can run there: what is named is unsafe code on memory and threads, and what it
# rests on.
MIRI_TESTS = backend::cpu::memory backend::cpu::pool_tests graph:: kv::tests

miri: ## the unit tests of unsafe helpers under Miri, where that is installed
	@if $(CARGO) +nightly miri --version >/dev/null 2>&1; then \
		$(CARGO) +nightly miri test --locked -p rocmforge --lib -- $(MIRI_TESTS); \
	else \
		echo "ignored: Miri is not installed (rustup +nightly component add miri rust-src)"; \
	fi

peer: ## fetch the reference libllama (once)
	tools/peer/fetch.sh $(PEER)

# The second compiler of the kernels' tests: a newer clang than distributions have.
ZIG_VERSION = 0.17.1
WITH_ZIG = ROCMFORGE_ZIG=$(abspath $(ZIG))/ziglang/zig

zig: $(ZIG)/ziglang/zig ## fetch a zig, for the clang in it (once)

$(ZIG)/ziglang/zig:
	python3 -m pip install --quiet --no-deps --no-compile --only-binary :all: --target $(ZIG) ziglang==$(ZIG_VERSION)

kernels: ## the GPU kernels' code objects for every target, for packagers ($(KERNELS))
	$(CARGO) run --release --locked -p rocmforge-kernels -- $(KERNELS)

kernels-all: zig ## as the tests, but for every target by both compilers
	ROCMFORGE_ALL_KERNELS=1 $(WITH_ZIG) $(CARGO) test --locked -p rocmforge --test kernels -- --nocapture

parity: peer ## only the parity suites
	ROCMFORGE_PEER=$(abspath $(PEER)) ROCMFORGE_REQUIRE_PEER=1 \
		$(CARGO) test --locked -p rocmforge --test parity --test parity_tokenizer --test quantize

bench: build ## speed of the demo model
	$(ROCMFORGE) bench

bench-peer: peer ## speed beside the reference, on models of real shapes
	ROCMFORGE_PEER=$(abspath $(PEER)) $(CARGO) run --release --locked -p rocmforge-testkit --bin bench-peer

bench-tokenizer: peer ## tokenizing speed beside the reference, on all its vocabularies
	ROCMFORGE_PEER=$(abspath $(PEER)) $(CARGO) run --release --locked -p rocmforge-testkit --bin bench-tokenizer

bench-kernels: ## speed of single kernels and of sampling against the machine's limits
	$(CARGO) bench --locked -p rocmforge

header: ## write include/rocmforge.h anew from src/capi
	ROCMFORGE_UPDATE_HEADER=1 $(CARGO) test --locked -p rocmforge --test header

clean: ## remove what was built
	$(CARGO) clean
