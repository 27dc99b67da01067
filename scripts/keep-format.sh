#!/bin/bash
# Writes cmd/mpcd/testdata/formatN.tgz: what a node of `mpcd dev` keeps, for TestFormatNOpens, once a stored format is new. It is node1
# of three on SoftHSM with an Ed25519 and a Taproot wallet and an ECDSA wallet that signed for a path and was refreshed, without
# logs, TLS keys and lock files; paths are @DIR@. Run it once for a format, and never again: what it wrote before must open for ever.
set -euo pipefail
format=${1:?give the number of the format}
mpcd=$(realpath "${2:-bin/mpcd}")
out=$(realpath "$(dirname "$0")/../cmd/mpcd/testdata")/format$format.tgz
[ ! -e "$out" ] || { echo "keep-format: $out is there already; it stays" >&2; exit 1; }
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$dir"' EXIT
: >"$dir/out"
"$mpcd" dev --nodes 3 --threshold 2 --data "$dir/cluster" --listen 127.0.0.1:18080 >"$dir/out" 2>&1 &
pid=$!
until grep -q Ctrl-C "$dir/out"; do kill -0 "$pid" || { cat "$dir/out" >&2; exit 1; }; sleep 0.2; done
export MPCD_API=http://127.0.0.1:18080
wallet=$("$mpcd" keygen --curve secp256k1 --protocol dkls23 --label kept -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["wallet_id"])')
"$mpcd" sign --wallet "$wallet" --path m/0/5 --message 0x$(printf kept | sha256sum | cut -c1-64) >/dev/null
"$mpcd" refresh --wallet "$wallet" >/dev/null
kill -INT "$pid"
wait "$pid" || true
cp -a "$dir/cluster/node1" "$dir/node1"
find "$dir/node1" -name '*.log' ! -name audit.log -delete
find "$dir/node1" -name tls -prune -exec rm -rf {} +
sed -i "s#$dir/cluster#@DIR@#g" "$dir/node1/mpcd.yaml" "$dir/node1/hsm/softhsm2.conf"
tar -C "$dir" -czf "$out" node1
echo "$out"
