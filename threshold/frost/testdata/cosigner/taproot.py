"""One party of BIP 445 by btclib-ecc: it reads its key, shows its public nonce, signs, and combines what all signers made.
Lines of JSON in and out, as mixed_test.go has them. Identifiers of the BIP are party numbers minus one."""
import json
import sys

from btclib_ecc.ecc import frost, ssa


def read():
    return json.loads(sys.stdin.readline())


def write(**answer):
    print(json.dumps(answer), flush=True)


key = read()
me, group = key["party"] - 1, bytes.fromhex(key["key"])
public = {int(p) - 1: bytes.fromhex(x) for p, x in key["public"].items()}
frost.validate_threshold_info(frost.ThresholdInfo(key["threshold"], group, [public[i] for i in range(len(public))]))
share = bytes.fromhex(key["share"])
secnonce, pubnonce = frost.nonce_gen(share, me, public[me], group[1:])
write(commitment=pubnonce.hex())

request = read()
nonces = {int(p) - 1: bytes.fromhex(x) for p, x in request["commitments"].items()}
ids, message = sorted(nonces), bytes.fromhex(request["message"])
tweaks = [bytes.fromhex(t["t"]) for t in request["tweaks"]]
xonly = [t["x_only"] for t in request["tweaks"]]
session = frost.SessionContext(len(public), key["threshold"], ids, [public[i] for i in ids], group,
                               frost.nonce_agg([nonces[i] for i in ids]), tweaks, xonly, message)
write(share=frost.sign(secnonce, share, me, session).hex())

shares = {int(p) - 1: bytes.fromhex(x) for p, x in read()["shares"].items()}
for i in ids:
    if not frost.partial_sig_verify_(shares[i], i, nonces[i], public[i], session):
        sys.exit(f"the share of party {i + 1} does not verify")
signature = frost.partial_sig_agg([shares[i] for i in ids], session).serialize()
ssa.assert_as_valid_(message, frost.session_values(session).Q[0], signature)
write(signature=signature.hex())
