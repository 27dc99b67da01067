#!/bin/bash
# Runs the enemy of appliance.TestRedTeam, TIMES longer than the tests do, and keeps its table in scripts/redteam-last.txt, where it passes.
set -euo pipefail
cd "$(dirname "$0")/.."
times=${TIMES:-4}
table=$(mktemp)
trap 'rm -f "$table"' EXIT
MPCD_REDTEAM=$times MPCD_REDTEAM_TABLE=$table go test -count=1 -timeout 30m -run "TestRedTeam$|TestReplayedAll$" ./appliance
changed=$([ -z "$(git status --porcelain -- '*.go')" ] || echo ', changed')
{
	sed 's/ *$//' "$table"
	echo
	echo "TIMES=$times, $(date -u '+%F %H:%M UTC')"
	echo "$(nproc) × $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(go env GOOS)/$(go env GOARCH), $(go env GOVERSION)"
	echo "commit $(git rev-parse --short=12 HEAD)$changed"
} | tee scripts/redteam-last.txt
