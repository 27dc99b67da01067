#!/bin/bash
# Runs the tests under the race detector of every package whose source shares memory between goroutines: it imports sync or
# golang.org/x/sync, or starts goroutines. Left out are tests that count allocations, which the detector changes; TestReal… and
# TestSixteenNodes: many nodes at once, which make test runs and which the detector makes so slow that they count each other as silent;
# and TestCompiles, which reads the list of mutants in one goroutine.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
importing() { go list -f '{{range .Imports}}{{$.Dir}} {{.}}{{"\n"}}{{end}}' ./... | sed -nE 's# (sync|golang.org/x/sync/.*)$##p'; }
starting() { git grep -lE '^\s+go [[:alpha:]]|\.Go\(func' -- '*.go' ':!*_test.go' | xargs -n1 dirname | sed "s#^#$PWD/#"; }
packages=$({ importing; starting; } | sort -u)
# Arithmetic on numbers that a caller hands in shares nothing and waits for nobody, and makes two thirds of the detector's work.
arithmetic='crypto/internal/fips140/... filippo.io/edwards25519/... github.com/decred/dcrd/dcrec/secp256k1/v4'
flags=(-race -timeout 25m)
for pattern in $arithmetic; do flags+=("-gcflags=$pattern=-race=false"); done
not='^TestAllocations|^TestReal|^TestSixteenNodes|^TestCompiles'
# The appliance's clusters count time, and have the machine for themselves; the others wait for processes of theirs as often as they compute.
go test "${flags[@]}" -skip "$not" ./appliance
# shellcheck disable=SC2086
go test "${flags[@]}" -p 2 -skip "$not" $(grep -v "^$PWD/appliance\$" <<<"$packages")
