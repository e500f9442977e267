# Everything a person or CI does with this workspace. `make` alone lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test lab-test build agent guest bench fuzz soak faults install-deps lint doc completions clean

help: ## list what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## run a container in a virtual machine, from nothing
	@scripts/demo

test: ## run every test, those with a real virtual machine included
	@scripts/test

lab-test: ## run the tests for full-featured hosts, in a virtual machine that stands in as one (LAB=network chooses)
	@scripts/lab-test $(LAB)

build: ## build virtc and its helper programs (target/release/virtc, vc-helper, vc-virtiofsd)
	@scripts/install-deps build
	@scripts/build-virtc

agent: ## build the static guest agent (build/vc-agent)
	@scripts/install-deps build
	@scripts/build-agent

guest: build agent ## build the guest's kernel and initrd (build/guest)
	@scripts/install-deps run
	@scripts/build-guest

bench: ## measure boots, memory, processes and the library (BENCH="boot -- --all" chooses)
	@scripts/bench $(BENCH)

fuzz: ## run the fuzz targets for a while each (FUZZ="60 mux" chooses)
	@scripts/fuzz $(FUZZ)

soak: ## create, use and delete sandboxes while their processes are killed (SOAK="200 3600 SEED" chooses)
	@scripts/soak $(SOAK)

faults: ## every verb with every fault at every step (FAULTS=mock for the mock alone)
	@scripts/faults $(FAULTS)

install-deps: ## install what building, running and testing need (Debian, as root)
	@scripts/install-deps build run test demo

lint: ## format, clippy, house checks, licences
	@scripts/install-deps build lint
	@scripts/lint

doc: ## build the documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

completions: build ## write shell completions (build/completions)
	@scripts/completions

clean: ## remove what was built, but not the cached root filesystem
	cargo clean
	rm -rf build/vc-agent build/guest build/completions
