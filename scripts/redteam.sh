#!/bin/bash
# Runs the enemy of appliance.TestRedTeam, TIMES longer than the tests do, prints its table and keeps it in scripts/redteam-last.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
table=$(mktemp)
trap 'rm -f "$table"' EXIT
MPCD_REDTEAM=${TIMES:-4} MPCD_REDTEAM_TABLE=$table go test -count=1 -timeout 30m -run 'TestRedTeam$' ./appliance
changed=$([ -z "$(git status --porcelain -- '*.go')" ] || echo ', changed')
{
	cat "$table"
	echo
	echo "TIMES=${TIMES:-4}, $(date -u '+%F %H:%M UTC')"
	echo "commit $(git rev-parse --short=12 HEAD)$changed"
} | tee scripts/redteam-last.txt
