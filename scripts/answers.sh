#!/bin/bash
# The findings of docs/AUDIT.md, each with the tests that fail without its answer, and the commit that brought each test; of a test that was
# there before the audit, the first commit that changed it since.
set -euo pipefail
cd "$(dirname "$0")/.."
audited=5e15a4d
brought() {
	local first file
	first=$(git log --format=%h -S"func $1(" -- '*.go' | tail -1)
	if [ -n "$first" ] && git merge-base --is-ancestor "$first" "$audited" 2>/dev/null; then
		file=$(git grep -lE "^func $1\(" -- '*_test.go' | head -1)
		[ -z "$file" ] || first="$(git log -s --format=%h -L "/^func $1(/,/^}/:$file" "$audited.." 2>/dev/null | tail -1) (it was there before)"
	fi
	echo "${first:-none}"
}
sed -n 's/^| \([^|]*\) | .*/\1|&/p' docs/AUDIT.md | while IFS= read -r line; do
	finding=${line%%|*}
	grep -oE '`(Test|Fuzz)[A-Za-z0-9_]+' <<<"$line" | tr -d '`' | sort -u | while read -r test; do
		printf '%s → %s → %s\n' "$finding" "$test" "$(brought "$test")"
	done || true
done
