# `make` or `make help` lists what there is.

CARGO ?= cargo
# PostgreSQL major versions of `make test-matrix`.
VERSIONS ?= 14 15 16 17 18
# Words of the names of the tests that it runs; none: all.
TESTS ?=
# How long `make soak` goes on, and what it begins with.
MINUTES ?= 20
SEED ?= 1
KILLS ?= 0
# What `make bench-admin` fills the tables with.
PEOPLE ?= 1000000
CONFLICTS ?= 100000
# Size of the export of `make bench-import`.
MEGABYTES ?= 100
# How `make demo` and `make bench` are compiled. CI takes `dev`, which the tests have compiled already.
DEMO_PROFILE ?= demo
BENCH_PROFILE ?= release
TARGET = $(or $(CARGO_TARGET_DIR),target)
# Where cargo puts what a profile compiles.
directory = $(TARGET)/$(patsubst dev,debug,$(1))

.DEFAULT_GOAL := help
.PHONY: help demo build test test-unit test-matrix soak lint format bench bench-admin bench-import check-deploy check-live ci clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: postgres ## show it at work on a throwaway PostgreSQL with made-up data
	@[ -x $(call directory,$(DEMO_PROFILE))/tributary ] || echo "Compiling, the first time. On 2 cores this takes a few minutes; cargo shows its progress."
	$(CARGO) build --profile $(DEMO_PROFILE) --locked --bin tributary
	@$(call directory,$(DEMO_PROFILE))/tributary demo $(DEMO)

build: ## build target/release/tributary
	$(CARGO) build --release --locked

# Tests wait for servers and processes for much of their time: two for each processor.
test: postgres chromium ## run all tests, on a PostgreSQL that they start themselves
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$((2 * $$(getconf _NPROCESSORS_ONLN)))} $(CARGO) test --locked --workspace

test-unit: ## run the tests that need no PostgreSQL
	$(CARGO) test --locked --lib

test-matrix: ## run the integration tests, or those of TESTS, on each of VERSIONS (needs npm)
	@MATRIX_TESTS="$(TESTS)" tests/matrix.sh $(VERSIONS)

soak: postgres ## random faults for MINUTES (20) from SEED (1), with at least KILLS (0), each round compared with a fresh computation
	SOAK_MINUTES=$(MINUTES) SOAK_SEED=$(SEED) SOAK_KILLS=$(KILLS) $(CARGO) test --locked --test it -- whatever_happens --nocapture

lint: ## check formatting, lints, documentation and dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet
	deny=$$(deploy/ensure-cargo-deny.sh) && "$$deny" --locked --all-features check bans licenses sources

format: ## format the code
	$(CARGO) fmt --all

bench: postgres ## measure it beside native replication, triggers and a script; BENCH=--help lists options
	@[ -x $(call directory,$(BENCH_PROFILE))/bench ] || echo "Compiling with full optimisation, the first time. On 2 cores this takes 5 to 7 minutes."
	$(CARGO) build --profile $(BENCH_PROFILE) --locked --package tributary --package benches --bins
	@$(call directory,$(BENCH_PROFILE))/bench $(BENCH)

bench-admin: postgres ## time the operators' pages with PEOPLE (1,000,000) people and CONFLICTS (100,000) open conflicts
	ADMIN_PEOPLE=$(PEOPLE) ADMIN_CONFLICTS=$(CONFLICTS) ADMIN_ROUNDS=60 ADMIN_P95_MS=100 \
		$(CARGO) test --locked --test it -- every_page_is_quick --nocapture

bench-import: postgres ## measure an import of MEGABYTES (100) beside COPY of prepared CSV
	$(CARGO) build --profile $(BENCH_PROFILE) --locked --package tributary --package benches --bins
	@$(call directory,$(BENCH_PROFILE))/bench-import --megabytes $(MEGABYTES)

check-deploy: ## check alerts, runbooks, dashboards, units and manifests
	@deploy/check.sh

check-live: postgres ## fire and clear every alert with the real daemon, Prometheus and Alertmanager (12 minutes)
	$(CARGO) build --locked --bin tributary
	@deploy/check.sh --live $(call directory,dev)/tributary

ci: ## run what a change must pass
	.ci/run

clean: ## remove what was built
	$(CARGO) clean

.PHONY: postgres chromium
postgres:
	@deploy/ensure-postgres.sh

# Drives the operators' page in the tests.
chromium:
	@deploy/ensure-chromium.sh
