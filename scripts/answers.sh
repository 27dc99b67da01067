#!/bin/bash
# The findings of docs/AUDIT.md, each with the tests that fail without its answer, and the commit that brought each test.
set -euo pipefail
cd "$(dirname "$0")/.."
sed -n 's/^| \([^|]*\) | .*/\1|&/p' docs/AUDIT.md | while IFS= read -r line; do
	finding=${line%%|*}
	grep -oE '`(Test|Fuzz)[A-Za-z0-9_]+' <<<"$line" | tr -d '`' | sort -u | while read -r test; do
		commit=$(git log --format=%h -S"func $test(" -- "*.go" | tail -1)
		printf '%s → %s → %s\n' "$finding" "$test" "${commit:-none}"
	done || true
done
