#!/bin/bash
# Runs go test with what is given, and says at its end once more which tests failed and with what words: the logs of a cluster that a test
# prints when it fails are thousands of lines, and who reads the end of the output saw those alone.
set -euo pipefail
out=$(mktemp)
trap 'rm -f "$out"' EXIT
status=0
go test "$@" 2>&1 | tee "$out" || status=$?
if [ "$status" != 0 ]; then
	echo "what failed:"
	grep -E '^ *--- FAIL|^FAIL|^panic:|^WARNING: DATA RACE|[A-Za-z0-9_]+_test\.go:[0-9]+: ' "$out" | cut -c1-400 | tail -60
fi
exit "$status"
