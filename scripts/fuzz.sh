#!/bin/bash
# Runs every fuzz target of the module for FUZZTIME (10s if unset), one after the other. A finding stays in testdata/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
fuzztime=${FUZZTIME:-10s}
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
while IFS=: read -r file target; do
	pkg=./$(dirname "$file")
	echo "fuzz: $pkg $target $fuzztime"
	go test -run='^$' -fuzz="^$target\$" -fuzztime="$fuzztime" "$pkg" >"$log" 2>&1 || { cat "$log"; failed=1; }
done < <(grep -rnoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed -E 's/^\.\/([^:]+):[0-9]+:func (.*)/\1:\2/' | sort)
exit $failed
