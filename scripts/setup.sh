#!/bin/bash
# Installs what building, testing and the demo need of Debian: SoftHSM, OpenSC, OpenSSL, curl, a C compiler (cgo, for PKCS#11) and
# libsecp256k1 (which judges signatures in tests; no program links it).
# What is there is left alone. Without root or sudo it says what is missing and fails.
set -euo pipefail

declare -A package=([softhsm2-util]=softhsm2 [pkcs11-tool]=opensc [openssl]=openssl [curl]=curl [gcc]="gcc libc6-dev")
missing=()
for tool in "${!package[@]}"; do
	command -v "$tool" >/dev/null || missing+=(${package[$tool]})
done
[ -e /usr/include/secp256k1.h ] && [ -e /usr/include/secp256k1_recovery.h ] || missing+=(libsecp256k1-dev)

if [ ${#missing[@]} -gt 0 ]; then
	command -v apt-get >/dev/null || { echo "setup: missing: ${missing[*]}; this is no Debian, install them by hand" >&2; exit 1; }
	root=()
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || { echo "setup: missing: ${missing[*]}; run as root: apt-get install ${missing[*]}" >&2; exit 1; }
		root=(sudo)
	fi
	echo "setup: installing ${missing[*]}" >&2
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	if ! { "${root[@]}" apt-get -qq update && "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
		tail -20 "$log" >&2
		echo "setup: could not install ${missing[*]}" >&2
		exit 1
	fi
fi

command -v go >/dev/null || { echo "setup: Go is missing; see go.mod for the version, https://go.dev/dl/ for the installer" >&2; exit 1; }
