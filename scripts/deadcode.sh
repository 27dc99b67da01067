#!/bin/bash
# Finds functions that nothing reaches: in the program and what it links, without tests (what only tests reach does not ship), and in
# the whole module with them. scripts/deadcode.allow lists the exceptions with their reasons; one that is no longer needed fails too.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
module=$(go list -m)
names='{{range .Funcs}}{{$.Path}}.{{.Name}}{{"\n"}}{{end}}'
found() { go tool deadcode -f="$names" -filter="^$module(/|\$)" "$@" | sed "s|^$module/||"; }
allowed() { sed -E 's/ *(#.*)?$//' scripts/deadcode.allow | sort -u | grep .; }

dead=$({ found ./cmd/mpcd; found -test ./...; } | sort -u)
unexpected=$(comm -23 <(echo "$dead") <(allowed))
stale=$(comm -13 <(echo "$dead") <(allowed))
if [ -n "$unexpected" ]; then
	echo "deadcode: nothing but tests reaches these; remove them, move them into the tests, or give a reason in scripts/deadcode.allow:" >&2
	echo "$unexpected" >&2
fi
if [ -n "$stale" ]; then
	echo "deadcode: scripts/deadcode.allow names what is reached or is gone; remove the lines:" >&2
	echo "$stale" >&2
fi
[ -z "$unexpected$stale" ]
