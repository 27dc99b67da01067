#!/bin/bash
# Installs what building, testing and the demo need of Debian: a C compiler (cgo, for PKCS#11), the tokens that tests and the demo
# run on (SoftHSM, NSS softokn, swtpm, tpm2-pkcs11, p11-kit), independent clients that judge us (OpenSC, OpenSSL, tpm2-tools, awscli),
# libsecp256k1 (which judges signatures in tests; no program links it), Chromium (in which tests use our page), curl, Python for the AWS
# KMS emulator, and Python and Rust for the co-signers by others that tests sign with.
# What is there is left alone. Without root or sudo it says what is missing and fails. With an argument it installs only what that needs:
# build, or the demo on one kind of token: softhsm, tpm, aws or gcp.
set -euo pipefail

declare -A package=([softhsm2-util]=softhsm2 [pkcs11-tool]=opensc [openssl]=openssl [curl]=curl [gcc]="gcc libc6-dev"
	[swtpm]=swtpm [swtpm_setup]=swtpm-tools [tpm2_nvread]=tpm2-tools [certutil]=libnss3-tools [tpm2_ptool]=libtpm2-pkcs11-tools
	[tpm2-abrmd]=tpm2-abrmd [dbus-daemon]=dbus-daemon [dbus-run-session]=dbus-daemon [p11-kit]=p11-kit [chromium]=chromium [aws]=awscli [python3]=python3 [cargo]="cargo-web rustc-web")
declare -A needs=([build]="gcc" [softhsm]="gcc softhsm2-util" [tpm]="gcc swtpm swtpm_setup" [aws]="gcc python3" [gcp]="gcc")
what=${1:-all}
if [ "$what" != all ]; then
	[ -n "${needs[$what]:-}" ] || { echo "setup: $what is none of ${!needs[*]}" >&2; exit 2; }
	for tool in "${!package[@]}"; do
		[[ " ${needs[$what]} " == *" $tool "* ]] || unset "package[$tool]"
	done
fi
missing=()
for tool in "${!package[@]}"; do
	command -v "$tool" >/dev/null || missing+=(${package[$tool]})
done
if [ "$what" = all ]; then
	[ -e /usr/include/secp256k1.h ] && [ -e /usr/include/secp256k1_recovery.h ] || missing+=(libsecp256k1-dev)
	lib=/usr/lib/$(uname -m)-linux-gnu
	for pair in libsoftokn3.so:libnss3 libtpm2_pkcs11.so.1:libtpm2-pkcs11-1 libtss2-tcti-tabrmd.so.0:libtss2-tcti-tabrmd0 pkcs11/p11-kit-client.so:p11-kit-modules; do
		[ -e "$lib/${pair%%:*}" ] || [ -e "$lib/nss/${pair%%:*}" ] || missing+=("${pair#*:}")
	done
fi
[ "$what" != all ] && [ "$what" != aws ] || python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)

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
	# While something else installs, as the upgrade of a machine that has just begun: apt-get waits for it before it installs, and not
	# before it updates.
	apt() {
		for ((waited = 0; waited < 60; waited++)); do
			"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 "$@" >"$log" 2>&1 && return
			grep -q 'Could not get lock' "$log" || return 1
			[ $waited != 0 ] || echo "setup: waiting for another apt-get" >&2
			sleep 5
		done
		return 1
	}
	if ! { apt update && apt install -y --no-install-recommends "${missing[@]}"; }; then
		tail -20 "$log" >&2
		echo "setup: could not install ${missing[*]}" >&2
		exit 1
	fi
fi

command -v go >/dev/null || { echo "setup: Go is missing; see go.mod for the version, https://go.dev/dl/ for the installer" >&2; exit 1; }
[ "$what" = all ] || [ "$what" = aws ] || exit 0

# made WHAT FROM COMMAND…: bin/WHAT is made by the command again where what it is made FROM changed, or its Python is gone.
cd "$(dirname "$0")/.."
made() (
	dir=bin/$1 from=$2
	shift 2
	mkdir -p "$(dirname "$dir")"
	exec 9>"$dir.lock"
	flock 9
	want=$(cat $from | sha256sum)
	[ "$(cat "$dir/made-from" 2>/dev/null)" != "$want" ] || return 0
	echo "setup: making $dir" >&2
	rm -rf "$dir"
	if ! "$@" "$dir" $from >"$dir.log" 2>&1; then
		tail -20 "$dir.log" >&2
		echo "setup: could not make $dir of $from; is the registry of its packages reached?" >&2
		exit 1
	fi
	rm -f "$dir.log"
	echo "$want" >"$dir/made-from"
)
python() {
	python3 -m venv "$1" && "$1/bin/python" -m pip install --disable-pip-version-check --no-input --only-binary :all: --require-hashes -r "$2"
}
rust() { cargo build --locked --manifest-path "$2" --target-dir "$1"; }

bin/moto/bin/python -c '' 2>/dev/null || rm -rf bin/moto
made moto scripts/moto-requirements.txt python
[ "$what" = all ] || exit 0
bin/cosigner/python/bin/python -c '' 2>/dev/null || rm -rf bin/cosigner/python
made cosigner/python scripts/cosigner-requirements.txt python
crate=threshold/frost/testdata/cosigner/ed25519
made cosigner/rust "$crate/Cargo.toml $crate/Cargo.lock $crate/src/main.rs" rust

