#!/bin/bash
# Makes a SoftHSM token in a directory and prints what a process needs to open it.
#
#   softhsm/provision.sh DIR [LABEL]        LABEL is mpcd if not given
#
# DIR gets softhsm2.conf, tokens/ and pin (a random PIN), for its owner alone. The PIN of the security officer is random and kept
# nowhere. PINs pass through the environment of pkcs11-tool, not its command line, which everyone may read in ps; that is why
# softhsm2-util, which takes them only there or from a terminal, is not used. It installs softhsm2 and opensc if they are missing.
set -euo pipefail
umask 077

die() { echo "provision.sh: $*" >&2; exit 1; }

[ $# -ge 1 ] && [ $# -le 2 ] || die "usage: provision.sh DIR [LABEL]"
label=${2:-mpcd}
[[ $label =~ ^[A-Za-z0-9._-]{1,32}$ ]] || die "label must be 1 to 32 of A-Z a-z 0-9 . _ -"

find_module() {
	local path
	for path in "${SOFTHSM2_MODULE:-}" /usr/lib/softhsm/libsofthsm2.so /usr/lib/*-linux-gnu/softhsm/libsofthsm2.so \
		/usr/lib64/pkcs11/libsofthsm2.so /usr/lib64/softhsm/libsofthsm2.so /usr/local/lib/softhsm/libsofthsm2.so; do
		if [ -f "$path" ]; then echo "$path"; return; fi
	done
}

module=$(find_module)
if [ -z "$module" ] || ! command -v pkcs11-tool >/dev/null; then
	[ "$(id -u)" = 0 ] || die "softhsm2 or opensc is missing; as root: apt-get install softhsm2 opensc"
	export DEBIAN_FRONTEND=noninteractive
	{ apt-get -qq update && apt-get -qq install -y --no-install-recommends softhsm2 opensc; } >/dev/null ||
		die "could not install softhsm2 and opensc; install them by hand"
	module=$(find_module)
	[ -n "$module" ] || die "libsofthsm2.so is nowhere to be found; set SOFTHSM2_MODULE to its path"
fi

mkdir -p "$1"
dir=$(cd "$1" && pwd)
[[ $dir =~ ^[A-Za-z0-9._/~-]+$ ]] || die "the path of the directory has characters that a URI would have to encode: $dir"
[ ! -e "$dir/softhsm2.conf" ] && mkdir "$dir/tokens" 2>/dev/null ||
	die "$dir holds a token already; open it, or remove the directory and every key in it"

# From here to the end a failure leaves nothing that looks like a token.
trap 'rm -rf "$dir/softhsm2.conf" "$dir/pin" "$dir/tokens"' ERR
cat >"$dir/softhsm2.conf" <<EOF
# mpcd opens tokens/ beside this file, wherever both are; directories.tokendir is for other programs.
directories.tokendir = $dir/tokens
objectstore.backend = file
objectstore.umask = 0077
log.level = ERROR
slots.removable = false
EOF
random() { head -c 18 /dev/urandom | base64 | tr '+/' '-_'; }
PIN=$(random) SO_PIN=$(random)
printf '%s\n' "$PIN" >"$dir/pin"

export SOFTHSM2_CONF=$dir/softhsm2.conf PIN SO_PIN
pkcs11-tool --module "$module" --init-token --slot-index 0 --label "$label" --so-pin env:SO_PIN >/dev/null 2>&1
pkcs11-tool --module "$module" --token-label "$label" --login --login-type so --so-pin env:SO_PIN --init-pin --new-pin env:PIN >/dev/null 2>&1
pkcs11-tool --module "$module" --token-label "$label" --login --pin env:PIN --list-objects >/dev/null 2>&1
trap - ERR
sync "$dir/pin" "$dir/softhsm2.conf"

echo "export SOFTHSM2_CONF=$dir/softhsm2.conf"
echo "export MPC_HSM_SIGNER='pkcs11:token=$label?module-path=$module&pin-source=file:$dir/pin'"
