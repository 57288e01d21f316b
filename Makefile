# What a developer types. `make` alone lists the targets.

.DEFAULT_GOAL := help
.PHONY: help run build test check services services-down bench fuzz

GO          ?= go
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## build, and serve with the embedded default: nothing else is needed
	bin/socialctl serve

build: ## build bin/socialctl
	$(GO) build -trimpath -buildvcs=auto -o bin/socialctl ./cmd/socialctl

# The order matters, and so these are lines and not prerequisites. Nothing is skipped: without the servers it fails.
test: ## start the real servers, check the code, run all tests with the race detector
	@command -v $(firstword $(shell $(GO) env CC)) >/dev/null || { \
		echo "the race detector needs a C compiler (Debian: apt-get install gcc libc6-dev)"; exit 1; }
	scripts/services up
	$(MAKE) check
	$(GO) test -race -count=1 -timeout 40m -p 2 ./...

check: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then \
		echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

services: ## start two MariaDB servers, Redis and HBase for the tests (installs what is missing)
	scripts/services up

services-down: ## stop them; their data stays (scripts/services down --purge removes it)
	scripts/services down

bench: ## measure on the real servers, and print the figures as JSON
	scripts/bench

fuzz: build ## send generated requests to a server and compare its answers with the OpenAPI document
	scripts/fuzz
