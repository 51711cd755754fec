# `make help` lists what there is. Only `make test` is needed to trust a change.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
FUZZTIME    ?= 30s
TESTTIME    ?= 18m
CHECKS      ?= 5000
HOURS       ?= 24
PKG         ?= ./...
GOLANGCI    := go tool -modfile=tools/go.mod golangci-lint

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## run the demonstration on an embedded store (ARGS="--help" for its options)
	go run ./cmd/cenote demo $(ARGS)

.PHONY: deps
deps: ## install what the tests need: redis-server, faketime, python3-redis, python3-msgpack; fetch a valkey-server
	tools/deps.sh

.PHONY: test
test: deps vet fmt-check race bench-vet fuzz ## everything a change must pass: what CI runs

.PHONY: vet
vet: ## go vet
	go vet $(PKG)
	go vet -tags cgroup ./internal/child ./pool

.PHONY: fmt-check
fmt-check: ## fail if gofmt would change a file
	@unformatted=$$(find . -name '*.go' -not -path '*/node_modules/*' -exec gofmt -l {} +); \
	if [ -n "$$unformatted" ]; then echo "run gofmt -w on: $$unformatted" >&2; exit 1; fi

.PHONY: race
race: deps ## all tests with the race detector: rooms, both servers, real processes, examples
	go test -race -count=1 -shuffle=on -timeout $(TESTTIME) $(PKG)

.PHONY: bench-vet
bench-vet: ## vet and build the benchmark, a module of its own
	cd integration/bench && go vet ./... && go build -o /dev/null .

.PHONY: bench
bench: deps ## compare with asynq, BullMQ and bare Redis (BENCH_QUICK=1 for a short run)
	cd integration/bench && go run . $(if $(BENCH_QUICK),-quick) $(ARGS)

.PHONY: conformance
conformance: deps ## the pool's behaviours, row by row, on goroutines, on child processes and over Redis (ROW=C27 for one)
	@go test -count=1 -v -run 'TestConformance/.*/$(ROW:%=^%$$)' ./integration/conformance | grep -vE '^(=== |    --- PASS|        --- PASS|--- PASS|PASS)'

.PHONY: chaos
chaos: deps ## the long forms of the fault tests, as a table (RUN=TestPoison for one)
	@cd integration/faults && go test -count=1 -timeout 3h -chaos $(if $(RUN),-run '$(RUN)') . | grep -vE '^(PASS|ok )'

.PHONY: soak
soak: deps ## all faults at random over one load, for HOURS=24
	@cd integration/faults && go test -count=1 -timeout 0 -run '^TestSoak$$' -soak $(HOURS)h . | grep -vE '^(PASS|ok )'

.PHONY: cgroup
cgroup: ## the kernel's memory limits for child processes, in a virtual machine: installs qemu, fetches a kernel
	@tools/vm.sh

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (30s), two at a time
	@tools/fuzz.sh $(FUZZTIME)

.PHONY: model
model: deps ## random sequences against a model of the protocol, CHECKS (5000) of them
	go test -count=1 -timeout 2h -run '^TestModel$$' ./internal/store -rapid.checks=$$(( ($(CHECKS) + 1) / 2 )) $(ARGS)

.PHONY: other-servers
other-servers: deps ## the tests of what speaks to Redis on another server (SERVER=valkey-server, 8.0 if deps fetched it)
	CENOTE_TEST_SERVER=$${SERVER:-$$(command -v valkey-server || echo "$${XDG_CACHE_HOME:-$$HOME/.cache}/cenote-tests/valkey/usr/bin/valkey-server")} \
	  go test -count=1 -timeout 30m ./internal/store ./producer ./consumer ./pool ./shared ./integration/security $(ARGS)

.PHONY: mutants
mutants: deps ## plant bugs in the protocol, one at a time; the tests must see each (ARGS="-only NAME -v")
	go run ./integration/mutants $(ARGS)

.PHONY: lint
lint: ## golangci-lint with .golangci.yml
	$(GOLANGCI) run

.PHONY: vuln
vuln: ## govulncheck over everything; its database comes through the module proxy
	@tools/vuln.sh
