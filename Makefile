SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT         := $(or $(shell go env GOBIN),$(shell go env GOPATH)/bin)/golangci-lint

# Inputs for each fuzz target; how many schedules to simulate; the percentage of saga that its tests have to cover.
FUZZTIME  ?= 30000x
SEEDS     ?= 100000
MIN_COVER := 95

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## compile everything
	go build ./...

.PHONY: test
test: ## all tests, in their ordinary size
	go test ./...

.PHONY: race
race: ## all tests under the race detector
	go test -race ./...

.PHONY: lint
lint: ## golangci-lint in the version that is pinned above, installed if it is missing
	@[ "$$($(GOLANGCI_LINT) version --short 2>/dev/null)" = "$(GOLANGCI_LINT_VERSION:v%=%)" ] || \
		go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	$(GOLANGCI_LINT) run

.PHONY: fmt
fmt: ## format the code as lint wants it
	$(GOLANGCI_LINT) fmt

.PHONY: cover
cover: ## the coverage of saga by its own tests and those of the kit that runs it in memory, which has a minimum
	go test -coverpkg=./saga -coverprofile=coverage.out ./saga ./testutil/sagatest
	@go tool cover -func=coverage.out | awk -v min=$(MIN_COVER) '/^total:/ { got = $$3 } \
		END { print "saga: " got " covered, above " min "% demanded"; exit got + 0 <= min }'

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (30000x): a number of inputs; a time may end in a false "context deadline exceeded"
	@targets="$$(go test -list '^Fuzz' ./... | \
		awk '/^Fuzz/ { name[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, name[i]; n = 0 }')"; \
		[[ -n "$$targets" ]] || { echo "there is no fuzz target" >&2; exit 1; }; \
		while read -r package name; do \
			echo "$$package $$name"; \
			go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null; \
		done <<<"$$targets"

.PHONY: simulate
simulate: ## the simulations: of the protocol over SEEDS (100000) schedules, and of as many random definitions
	go test ./testutil/simulation -run '^TestSimulation' -timeout 60m -v -simulation.seeds=$(SEEDS)
	go test ./testutil/sagatest -run '^TestRandomDefinitions$$' -timeout 60m -v -sagatest.seeds=$(SEEDS)

.PHONY: long
long: ## the tests behind the build tag long, one package at a time: they measure, and kill processes
	go test -tags=long -timeout 30m -p 1 -v -count=1 $$(grep -rl --include='*_test.go' '^//go:build long' . | xargs -n 1 dirname | sort -u)

.PHONY: promises
promises: ## the long tests with their promises about time held; for a machine that is idle otherwise
	JETSAGA_HOLD_TIMES=1 $(MAKE) long

.PHONY: bench
bench: ## the engine against a bare loop that sends the same messages
	go run ./benchmarks

.PHONY: bench-check
bench-check: ## the variants with thresholds, held; measured anew up to twice, since noise spoils a ratio and never mends it
	@for run in 1 2 3; do \
		go run ./benchmarks -server-process -check -variants success,one-at-a-time && exit 0; \
		echo "run $$run of 3 missed a threshold"; \
	done; exit 1

.PHONY: bench-long
bench-long: ## the worker's memory over a million sagas
	go run ./benchmarks -million -check

.PHONY: ci
ci: ## all that CI runs
	.ci/run
