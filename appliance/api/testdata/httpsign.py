"""Signs the field Mpcd-Initiation as http-message-signatures does, an implementation of RFC 9421 that others wrote, beside a signature of
another's over the method; or verifies a signature of ours: httpsign.py KEY.pem ALG KEYID EXPIRES < headers, JSON. It prints headers, JSON."""
import datetime, json, sys
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms

key, alg, keyid, expires = sys.argv[1:]
class Keys(HTTPSignatureKeyResolver):
    def resolve_private_key(self, _): return open(key, "rb").read()
    def resolve_public_key(self, _): return open(key + ".pub", "rb").read()
class Request:
    method, url, headers = "POST", "http://node/api/v1/sign", json.load(sys.stdin)
use = dict(signature_algorithm={"ed25519": algorithms.ED25519, "ecdsa-p256-sha256": algorithms.ECDSA_P256_SHA256}[alg], key_resolver=Keys())
tag = "mpcd/v1/initiation"
if "Signature" in Request.headers:
    HTTPMessageVerifier(**use).verify(Request, expect_tag=tag, require_components=("mpcd-initiation",))
else:
    signer = HTTPMessageSigner(**use)
    signer.sign(Request, key_id="proxy", label="proxy", covered_component_ids=("@method",))
    signer.sign(Request, key_id=keyid, label="them", tag=tag, expires=datetime.datetime.fromtimestamp(int(expires)),
                covered_component_ids=("mpcd-initiation",), append_if_signature_exists=True)
print(json.dumps(Request.headers))
