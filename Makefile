# make demo    three nodes, real transactions, receipts; leaves nothing behind; HSM=softhsm, tpm, aws or gcp
# make test    setup, vet, every test              make race   the packages that several goroutines may be in, under the race detector
# make check   format, vet, staticcheck, dead code, import policy, length of lines. CI runs check, test, race and mutate-sample
# make vuln    known vulnerabilities; fails where the database (https://vuln.go.dev) is not reached, so it is in no other target
# make fuzz    every fuzz target for FUZZTIME each     make sim SEEDS=n   n seeds of the simulated network
# make faults  every row of docs/FAULTS.md, each write that can fail, and kill -9 under load for KILLS (5m)
# make bench   the promised figures, measured here     make build         bin/mpcd
# make bench-hsm  the same for every kind of token     make matrix        every driver's suite, and its table into docs/HARDWARE.md
# make mutate  takes out one check at a time and asks for the test that fails; MUTANTS=dkg/ names some; make mutate-sample takes a few;
#              make mutate-next NEXT=n the n that were tried longest ago, into scripts/mutate/last.txt
# make mixed   nodes of an earlier commit, FROM=commit, and of this one in a cluster, upgraded node by node and back
# make redteam one member against the others, on 2-of-3 and 3-of-5: attack, what the honest nodes said, what is left; TIMES=n is for how long

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export GOFLAGS ?= -mod=readonly
export CGO_ENABLED := 1

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 10s
SEEDS ?= 1000
HSM ?= softhsm
MUTANTS ?=
KILLS ?= 5m
NEXT ?= 300
GOTEST := scripts/gotest.sh -p 2 -timeout 25m

.PHONY: demo test check race vuln fuzz bench bench-hsm matrix mutate mutate-sample mutate-next redteam mixed sim faults build setup clean

demo: build
	@scripts/setup.sh $(HSM)
	@go run ./scripts/demo -mpcd bin/mpcd -hsm $(HSM)

test: setup
	go vet ./...
	$(GOTEST) ./...

check: setup
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "gofmt:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	go vet -tags mixed ./scripts/mixed
	go tool staticcheck ./...
	scripts/deadcode.sh
	go test -count=1 ./internal/deps ./internal/docs

race: setup
	scripts/race.sh

vuln:
	scripts/vuln.sh

fuzz: setup
	FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

sim: setup
	MPCD_SIM_SEEDS=$(SEEDS) go test -count=1 -timeout 24h -run TestSeeds ./threshold/thresholdtest

faults: setup
	go test -count=1 -v -timeout 2h ./scripts/faults -faults.every
	MPCD_KILL_FOR=$(KILLS) go test -count=1 -v -timeout 2h -run TestRealKill ./appliance

bench: setup build
	go run ./benchmarks/run -mpcd bin/mpcd

bench-hsm: setup build
	go run ./benchmarks/run -only hsm -mpcd bin/mpcd

matrix: setup
	go run ./scripts/matrix

mutate: setup
	go run ./scripts/mutate -run '$(MUTANTS)' -keep scripts/mutate/last.txt

mutate-sample: setup
	go run ./scripts/mutate -run '$(MUTANTS)' -sample 12

mutate-next: setup
	go run ./scripts/mutate -run '$(MUTANTS)' -next $(NEXT) -keep scripts/mutate/last.txt

redteam: setup
	scripts/redteam.sh

mixed: setup
	go test -tags mixed -count=1 -v -timeout 1h ./scripts/mixed -mixed.from=$(FROM) -mixed.last=$(CURDIR)/scripts/mixed-last.txt

build:
	@scripts/setup.sh build
	@mkdir -p bin
	go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/mpcd ./cmd/mpcd

setup:
	@scripts/setup.sh

clean:
	rm -rf bin
