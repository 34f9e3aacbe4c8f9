# The few commands of everyday work. `make` lists them.

# Where Cargo puts what it builds.
TARGET := $(or $(CARGO_TARGET_DIR),target)

# What hands tasks to workers in a local run: postgres or redis.
BACKEND ?= postgres

# Most tests wait most of the time: for a lease to end, a server to start.
TEST_THREADS := $(shell echo $$(( 3 * $$(getconf _NPROCESSORS_ONLN) )))

.DEFAULT_GOAL := help
.PHONY: help setup run test chaos previous lint fmt deny sbom bench compare images e2e clean-data

help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 14

setup: ## Install a Postgres server if there is none; with BACKEND=redis a Redis too
	@dev/setup.sh $(if $(filter redis,$(BACKEND)),--redis)

run: setup ## Run the whole system locally; BACKEND=redis puts a Redis beside Postgres, ARGS="..." are passed on
	cargo run --release -- $(if $(filter redis,$(BACKEND)),--queue-backend redis) $(ARGS)

test: ## Run every test, with one throw-away Postgres beside them
	@dev/setup.sh --test
	kustomize/checks/run.sh
	@dev/previous-release.sh $(TARGET)
	cargo test --workspace --no-run
	RUST_TEST_THREADS=$(TEST_THREADS) $(TARGET)/debug/local-pg exec -- cargo test --workspace

chaos: ## Run the whole system under load and faults, and check what it did; CHAOS_ARGS="--seed 1 --minutes 10 --tasks 500000 --redis"
	@dev/setup.sh --chaos
	cargo build --release -p api -p worker -p schema -p chaos
	$(TARGET)/release/chaos run $(CHAOS_ARGS)

previous: ## Build the binaries of the previous release, for the tests that need them; once
	@dev/previous-release.sh $(TARGET)

lint: ## Check formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

fmt: ## Format the code
	cargo fmt --all

deny: ## Check licences, duplicates, sources and advisories of dependencies; installs cargo-deny
	@dev/deny.sh

sbom: ## Write what the images are made of, as CycloneDX, into .taskrow/sbom; installs cargo-cyclonedx
	@dev/sbom.sh

bench: ## Measure everything, or what ARGS="..." name: drain, latency, ..
	@dev/setup.sh --bench
	cargo build --release -p api -p worker -p bench
	$(TARGET)/release/bench $(ARGS)

compare: ## Install other queues and run the same work on them; ARGS="..." are passed on
	@bench/peers/setup.sh
	$(MAKE) bench ARGS="compare $(ARGS)"

# What builds images: the first of these that is there.
CONTAINER := $(or $(shell command -v docker || command -v podman || command -v buildah),docker)
REGISTRY ?= ghcr.io/your-org
IMAGE_TAG ?= 1.0.0
BUILD = $(CONTAINER) build --build-arg VERSION=$(IMAGE_TAG) --build-arg REVISION=$$(git rev-parse HEAD)

images: ## Build both images; REGISTRY, IMAGE_TAG and CONTAINER (docker, podman, buildah) may be set
	$(BUILD) --target api -t $(REGISTRY)/mini-api:$(IMAGE_TAG) .
	$(BUILD) --target worker -t $(REGISTRY)/mini-worker:$(IMAGE_TAG) .

e2e: ## Run the documented commands and drills on the cluster of the current context; DRILLS="..." chooses
	kustomize/e2e.sh $(DRILLS)

clean-data: ## Remove the local data and the servers fetched for tests
	@for lock in $$(find .taskrow -name postmaster.pid 2>/dev/null); do \
		pid=$$(head -n 1 "$$lock"); \
		if kill -0 "$$pid" 2>/dev/null; then echo "a server (pid $$pid) still runs: $$lock" >&2; exit 1; fi; \
	done
	@if [ -d .taskrow ]; then du -sh .taskrow/*; rm -rf .taskrow; echo "removed .taskrow"; fi
