"""Checks receipts of mpcd offline, from docs/RECEIPTS.md alone: verify.py ROSTER.json ROOT [--authority AUTHORITY.json] RECEIPT.json...

ROOT is the operator's root key (0x and 64 digits) or the roster's fingerprint (r_...). For each receipt it prints "valid", or
"refused" and why; the exit code is 0 if all are valid. It needs Python 3.9 and the package cryptography; where that has no ML-DSA-44, lines
by it are passed over."""
import base64, hashlib, hmac, json, re, struct, sys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
try: from cryptography.hazmat.primitives.asymmetric import mldsa
except ImportError: mldsa = None

def need(ok, why):
    if not ok: raise ValueError(why)

# Encoding: deterministic CBOR (section 1), the hash (2), and the numbers of fields (3).
def head(major, n):
    if n < 24: return bytes([major << 5 | n])
    size = next(i for i in range(4) if n < 1 << (8 << i))
    return bytes([major << 5 | 24 + size]) + n.to_bytes(1 << size, "big")
def cbor(v):
    if v is None: return b"\xf6"
    if isinstance(v, bool): return b"\xf5" if v else b"\xf4"
    if isinstance(v, int): return head(0, v) if v >= 0 else head(1, -1 - v)
    if isinstance(v, bytes): return head(2, len(v)) + v
    if isinstance(v, str): return head(3, len(v.encode())) + v.encode()
    if isinstance(v, list): return head(4, len(v)) + b"".join(map(cbor, v))
    return head(5, len(v)) + b"".join(cbor(k) + cbor(v[k]) for k in sorted(v))
def sha(b): return hashlib.sha256(b).digest()
def H(tag, *fields):
    return sha(sha(tag.encode()) * 2 + struct.pack(">I", len(fields)) + b"".join(struct.pack(">I", len(f)) + f for f in fields))
def short(h): return base64.b32encode(h[:20]).decode().lower()

ATTESTATION = "cose:x index:i count:i path:[h"
TYPES = {
    "A": ATTESTATION, "N": "node:s attestation:A", "P": "verdict:s rule:s", "S": "party:i node:s share:x attestation:A", "T": "t:h x_only:b",
    "K": "key_id:s kind:s epoch:u threshold:i parties:[i group_key:x public_shares:[x chain_code:h",
    "I": "version:i cluster:s operation:s request_id:s key_id:s scheme:s epoch:u message:x tweaks?:[T chain:s signers:[i requester:s "
         "node:s created_ms:i keygen?:never path?:[i initiation?:Y vault?:s authority?:x payload?:Q approvals?:[V",
    "V": "by:s expires_ms:i signature:x rejects?:never assertion?:B", "D": "name:s key:x groups:[s passkey?:W webhook?:s",
    "B": "authenticator_data:x client_data_json:x", "W": "rp_id:s origins:[s",
    "Q": "format:s bytes:x input:i", "Z": "network:s id:s decimals:i",
    "Y": "by:s expires_ms:i signature:x parameters?:s", "L": "authority:U signatures:[G", "G": "by:s signature:x",
    "U": "version:i cluster:s serial:u prior:h quorum:i officers:[F initiators:[J policy?:s assets?:[Z approvers?:[D "
         "authors?:[F author_quorum?:i", "F": "name:s key:x", "J": "name:s key:x may:[E",
    "E": "operations:[s vaults:[s",
    "R": "version:i id:s cluster:s roster:s session_id:s time_ms:i key:K intent:I policy:P cosign:N presign_session:h presignature:h "
         "signers:[i shares:[S signature:x recovery_id:i settlement:N",
    "C": "seq:u entry:x inclusion:[h checkpoint:s",
    "M": "id:s party:i identity:x seal:x cosign_key:x attest_key:x endpoint:s facility:s removed?:b witness_key?:x", "O": "version:i cluster:s serial:u nodes:[M",
}
def fields(kind, j):
    """JSON as the map that is encoded: fields are numbered from 1 in the order of TYPES; every one stands there, and no other."""
    if kind[0] == "[":
        need(type(j) is list, "not a list")
        return [fields(kind[1:], e) for e in j]
    if kind in TYPES:
        spec = [f.split(":") for f in TYPES[kind].split()]
        need(type(j) is dict and set(j) <= {n.rstrip("?") for n, _ in spec}, "unknown field")
        out = {}
        for i, (name, t) in enumerate(spec, 1):
            if name.rstrip("?") in j: out[i] = fields(t, j[name.rstrip("?")])
            else: need(name[-1] == "?", "no " + name)
            need(name[-1] != "?" or out.get(i) not in ([], "", b"", False), "an empty value that must be left out")
        return out
    need(type(j) is {"i": int, "u": int, "b": bool, "never": None}.get(kind, str), "wrong type")
    need(kind not in ("i", "u") or (-2**63 <= j < 2**63 if kind == "i" else 0 <= j < 2**64), "a number out of range")
    if kind not in ("x", "h"): return j
    need(re.fullmatch("0x([0-9a-f]{2})*" if kind == "x" else "0x[0-9a-f]{64}", j), "no hex")  # bytes.fromhex skips blanks
    return bytes.fromhex(j[2:])
def once(pairs):
    need(len({k for k, _ in pairs}) == len(pairs), "a field twice")
    return dict(pairs)
def integer(text):
    need(re.fullmatch("0|-?[1-9][0-9]{0,19}", text), "a number that is not in its one form")  # int takes -0, and digits of any script
    return int(text)
def other(text): raise ValueError("a number with a point or an exponent, or none at all")
def load(path):
    with open(path, "rb") as f: b = f.read((4 << 20) + 1)
    need(len(b) <= 4 << 20, "too long")
    return json.loads(b.decode("utf-8"), object_pairs_hook=once, parse_int=integer, parse_float=other, parse_constant=other)

# Signatures (section 7). secp256k1 in affine coordinates; everything here is public.
P = 2**256 - 2**32 - 977; N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798, 0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8)
def add(a, b):
    if a is None or b is None: return a or b
    if a[0] == b[0] and (a[1] + b[1]) % P == 0: return None
    m = (3 * a[0]**2 * pow(2 * a[1], -1, P) if a == b else (b[1] - a[1]) * pow(b[0] - a[0], -1, P)) % P
    x = (m * m - a[0] - b[0]) % P
    return x, (m * (a[0] - x) - a[1]) % P
def mul(k, a):
    r = None
    for bit in bin(k)[2:]: r = add(add(r, r), a if bit == "1" else None)
    return r
def lift(x, odd):
    y = pow(x**3 + 7, (P + 1) // 4, P)
    need(x < P and y * y % P == (x**3 + 7) % P, "not a point")
    return x, y if y & 1 == odd else P - y
def point(b):
    need(len(b) == 33 and b[0] in (2, 3), "not a compressed point")
    return lift(int.from_bytes(b[1:], "big"), b[0] & 1)
def compressed(a): return bytes([2 | a[1] & 1]) + a[0].to_bytes(32, "big")
Q = 2**255 - 19
SMALL = {0, 1, Q - 1, int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
         int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")}
def verify_ed25519(key, message, sig):
    for b in (key, sig[:32]):
        y = int.from_bytes(b, "little") & 2**255 - 1
        need(len(b) == 32 and y < Q and y not in SMALL, "a point of small order, or not canonical")
    ed25519.Ed25519PublicKey.from_public_bytes(key).verify(sig, message)
def verify_bip340(key, message, sig):
    tagged = lambda tag, b: sha(sha(tag) * 2 + b)
    r, s = int.from_bytes(sig[:32], "big"), int.from_bytes(sig[32:], "big")
    e = int.from_bytes(tagged(b"BIP0340/challenge", sig[:32] + key[1:] + message), "big") % N
    R = add(mul(s, G), mul(N - e, lift(int.from_bytes(key[1:], "big"), 0)))
    need(len(sig) == 64 and len(message) == 32 and s < N and R and R[1] % 2 == 0 and R[0] == r, "the signature does not verify")
def verify_ecdsa(Y, message, sig):
    r, s = int.from_bytes(sig[:32], "big"), int.from_bytes(sig[32:], "big")
    need(len(sig) == 64 and len(message) == 32 and 0 < r < N and 0 < s <= N // 2, "the signature is out of range")
    w = pow(s, -1, N)
    R = add(mul(int.from_bytes(message, "big") * w % N, G), mul(r * w % N, Y))
    need(R and R[0] % N == r, "the signature does not verify")
    return R[1] & 1 | (2 if R[0] >= N else 0)
def derive(Y, chain, path):
    """BIP 32, public: the child, and the sum of the steps."""
    tau = 0
    for index in path:
        need(0 <= index < 2**31, "a hardened index")
        mac = hmac.new(chain, compressed(Y) + struct.pack(">I", index), "sha512").digest()
        step, chain = int.from_bytes(mac[:32], "big"), mac[32:]
        Y, tau = add(Y, mul(step, G)), (tau + step) % N
        need(step < N and Y, "no child")
    return Y, tau

# Attestations (sections 4 and 5): everything in one is known but its time and its signature, so it is written again and compared.
P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
def climb(leaf, index, count, path):
    """The root of the tree of count leaves, of which this one has that index and path: RFC 9162, section 2.1.3.2."""
    h, fn, sn = sha(b"\0" + leaf), index, count - 1
    for p in path:
        need(sn and len(p) == 32, "the path is too long")
        if fn & 1 or fn == sn:
            h = sha(b"\1" + p + h)
            while fn and not fn & 1: fn, sn = fn >> 1, sn >> 1
        else: h = sha(b"\1" + h + p)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "the path is too short")
    return h
def attested(a, kind, cluster, node, der, leaf_at):
    """The time at which the key der attested the leaf, which leaf_at gives for a time."""
    cose, index, count, path = a[1], a[2], a[3], a[4]
    sig, at = cose[-64:], int.from_bytes(cose[-74:-66], "big")
    need(0 <= index < count <= 1 << 14, "no such leaf")
    node_hash = climb(leaf_at(at), index, count, path)
    key = serialization.load_der_public_key(der)
    es256 = isinstance(key, ec.EllipticCurvePublicKey)
    need(key.curve.name == "secp256r1" if es256 else isinstance(key, ed25519.Ed25519PublicKey), "a key of another type")
    protected = cbor({1: -7 if es256 else -8, 4: sha(der)[:16]})
    payload = cbor({1: 1, 2: kind, 3: cluster, 4: node, 5: node_hash, 6: count, 7: at})
    need(cose == b"\xd2\x84" + cbor(protected) + b"\xa0" + cbor(payload) + cbor(sig), "the attestation is of something else")
    signed = cbor(["Signature1", protected, b"mpcd/v1/attest/" + kind.encode(), payload])
    if not es256: key.verify(sig, signed)
    else:
        r, s = int.from_bytes(sig[:32], "big"), int.from_bytes(sig[32:], "big")
        need(s <= P256 // 2, "the high s")
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
    return at

# The authority (section 9): who asked.
def signed_by(der, message, sig):
    key = serialization.load_der_public_key(der)
    need(len(sig) == 64, "no signature")
    if isinstance(key, ed25519.Ed25519PublicKey): key.verify(sig, message)
    else:
        need(key.curve.name == "secp256r1", "a key of another type")
        r, s = int.from_bytes(sig[:32], "big"), int.from_bytes(sig[32:], "big")
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
def duties(was, now):
    """Who must sign what follows an authority, fields of both: names with keys, and how many of them."""
    officers, authors = [({p[1]: p[2] for p in was.get(who, [])}, was.get(quorum, 0)) for who, quorum in ((6, 5), (11, 12))]
    if not authors[0]: return [officers]
    rules, rest = ([{k: a[k] for k in a if k not in (3, 4) and (k in (8, 9)) == of} for a in (was, now)] for of in (True, False))
    return [officers] * (rest[0] != rest[1] or rules[0] == rules[1]) + [authors] * (rules[0] != rules[1])
def authority(path, root):
    """The authorities of a cluster by their digests; each is signed by those who in the one before may change what it changes."""
    der = ed25519.Ed25519PublicKey.from_public_bytes(root).public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    was, prior, found = None, bytes(32), {}
    for serial, link in enumerate(load(path), 1):
        n, a = fields("L", link), link["authority"]
        need(a["version"] == 1 and a["serial"] == serial and n[1][4] == prior, "an authority that does not follow the one before")
        need(0 < n[1][5] <= len(n[1][6]) and (12 in n[1]) == (11 in n[1]) and 0 <= n[1].get(12, 0) <= len(n[1].get(11, [])), "a quorum that cannot be")
        people = n[1][6] + n[1].get(11, [])
        need(len({p[1] for p in people}) == len({p[2] for p in people}) == len(people), "an officer or author who is two")
        message = cbor(["mpcd/v1/authority", n[1]])
        of, by = [({"root": der}, 1)] if was is None else duties(was, n[1]), [g[1] for g in n[2]]
        keys = {name: key for who, _ in of for name, key in who.items()}
        need(len(set(by)) == len(by) and set(by) <= set(keys), "signed twice, or by who does not change it")
        for who, quorum in of: need(len(set(by) & set(who)) >= quorum, "not signed by a quorum of those who change it")
        for g in n[2]: signed_by(keys[g[1]], message, g[2])
        was, prior = n[1], H("mpcd/v1/authority/digest", message)
        found[prior] = a
    return found
def asserted(passkey, message, assertion):
    """What an authenticator of WebAuthn signs for a message, held to the passkey."""
    data, client = assertion[1], assertion[2]
    challenge = base64.urlsafe_b64encode(H("mpcd/v1/passkey/challenge", message)).rstrip(b"=")
    before = b'{"type":"webauthn.get","challenge":"' + challenge + b'","origin":"'
    origin, cross, rest = client[len(before):].partition(b'","crossOrigin":false')
    need(client.startswith(before) and cross and b'"topOrigin"' not in rest, "another challenge, or in a frame")
    need(len(client) <= 1024 and (rest == b"}" or rest[:1] + rest[-1:] == b",}"), "client data that does not end as browsers write it")
    origins = [o.encode() for o in passkey["origins"]]
    need(origin in origins or b"http://localhost" in origins and re.fullmatch(b"http://localhost:[1-9][0-9]{0,4}", origin), "another origin")
    need(len(data) == 37 and data[:32] == sha(passkey["rp_id"].encode()), "another RP ID")
    need(data[32] & 0b11000101 == 0b101 and data[32] & 0b11000 != 0b10000, "the authenticator did not verify its person")
    return data + sha(client)
def base(x, asked, der):
    """What is signed of an initiation with parameters: the signature base of RFC 9421, section 2.5."""
    covered, text, has = '("mpcd-initiation");', x["parameters"], {}
    need(len(text) <= 512 and text.startswith(covered), "the HTTP message signature covers something else")
    for p in text[len(covered):].split(";"):
        m = re.fullmatch(r'(?:(created|expires)=([1-9][0-9]{0,11})|(alg|keyid|nonce|tag)="([ !#-:<-\[\]-~]+)")', p)
        need(m and (m[1] or m[3]) not in has, "a parameter that is unknown, misspelt or there twice")
        has[m[1] or m[3]] = m[2] or m[4]
    alg = "ed25519" if isinstance(serialization.load_der_public_key(der), ed25519.Ed25519PublicKey) else "ecdsa-p256-sha256"
    need((has.get("tag"), has.get("keyid"), has.get("alg", alg)) == ("mpcd/v1/initiation", x["by"], alg) and
         x["expires_ms"] == 1000 * int(has.get("expires", 0)), "the parameters are of something else")
    return b'"mpcd-initiation": :' + base64.b64encode(sha(asked)) + b':\n"@signature-params": ' + text.encode()
def initiation(i, n, authorities):
    need("initiation" in i and n[19] in authorities, "nobody asked for it, or under another authority")
    a, x = authorities[n[19]], i["initiation"]
    who = {j["name"]: j for j in a["initiators"]}[x["by"]]
    payload = fields("Q", i["payload"]) if "payload" in i else None
    may = [g for g in who["may"] if ("sign" if payload else "sign-raw") in g["operations"] and ({"*", i.get("vault", "")} & set(g["vaults"]))]
    need(may and a["cluster"] == i["cluster"], "the initiator might not ask for it")
    need(i["created_ms"] <= x["expires_ms"] <= i["created_ms"] + 7 * 86400000, "the initiation is out of its time")
    asked = (cbor({1: "mpcd/v1/initiation", 2: i["cluster"], 3: "sign", 4: i["request_id"], 5: i["key_id"], 6: b"" if payload else n[8],
                                             7: i.get("path", []), 8: i["chain"], 9: None, 10: 0, 11: x["by"], 12: x["expires_ms"], 13: payload}))
    key = fields("x", who["key"])
    signed_by(key, base(x, asked, key) if "parameters" in x else asked, fields("x", x["signature"]))
    names = [v["by"] for v in i.get("approvals", [])]
    need(names == sorted(set(names)), "who approves does so once, and they ascend")
    for v in i.get("approvals", []):
        p = {p["name"]: p for p in a.get("approvers", [])}[v["by"]]
        need(("passkey" in p) == ("assertion" in v), "not signed as the approver signs")
        need(i["created_ms"] <= v["expires_ms"] <= i["created_ms"] + 7 * 86400000 and v["by"] != i["requester"], "an approval out of its time, or of who asks")
        if not payload:  # what is read of a payload is left to mpcd
            said = cbor({1: "mpcd/v1/approval", 2: H("mpcd/v1/approval/initiation", asked), 3: n[19], 4: bytes(32), 5: v["by"],
                         6: v["expires_ms"], 7: False, 8: i.get("vault", "")})
            if "passkey" in p: said = asserted(p["passkey"], said, fields("B", v["assertion"]))
            signed_by(fields("x", p["key"]), said, fields("x", v["signature"]))

# The roster (section 6) and the receipt (section 8).
def roster(path, pin):
    j = load(path)
    need(set(j) == {"roster", "root", "signature"}, "not a roster")
    root, message = fields("x", j["root"]), cbor(["mpcd/v1/roster", fields("O", j["roster"])])
    verify_ed25519(root, message, fields("x", j["signature"]))
    name = "r_" + short(H("mpcd/v1/roster/fingerprint", root, message))
    need(pin in (j["root"], name), "another operator's roster")
    return j["roster"], name, root

SKEW = 30_000  # milliseconds between the clocks of nodes
SCHEMES = {"ed25519": "frost-ed25519", "bip340": "frost-bip340", "ecdsa-secp256k1": "dkls23-secp256k1"}
def item(b):
    """The first item of what is CBOR of maps, numbers, text and bytes, and what follows it."""
    major, n, b = b[0] >> 5, b[0] & 31, b[1:]
    if n >= 24: n, b = int.from_bytes(b[:1 << n - 24], "big"), b[1 << n - 24:]
    if major == 0: return n, b
    if major in (2, 3): return b[:n] if major == 2 else b[:n].decode(), b[n:]
    need(major == 5, "an entry of another form")
    out = {}
    for _ in range(n):
        key, b = item(b)
        out[key], b = item(b)
    return out, b
def logged(l, r, members):
    """The audit log that a receipt is in (section 10): who of the others has witnessed it."""
    n, node, cluster = fields("C", l), r["settlement"]["node"], members["cluster"]
    text, _, lines = l["checkpoint"].partition("\n\n")
    text += "\n"
    origin = f"mpcd/{cluster}/{node}/audit"
    name, size, root, nothing = text.split("\n")
    need(name == origin and nothing == "" and str(int(size)) == size and len(base64.b64decode(root)) == 32, "a checkpoint of something else")
    der = lambda m, what: fields("x", m[what])
    own, witnesses, strong, seen = der({m["id"]: m for m in members["nodes"]}[node], "attest_key"), {}, {}, []
    for m in members["nodes"]:
        w = f"mpcd/{cluster}/{m['id']}/witness"
        if m["id"] != node and not m.get("removed"):
            witnesses[w, sha(w.encode() + b"\n\x04" + der(m, "identity"))[:4]] = m
            if "witness_key" in m: strong[w, sha(w.encode() + b"\n\x06" + der(m, "witness_key"))[:4]] = m
    for line in lines.strip("\n").split("\n"):
        dash, by, sig = line.split(" ")
        sig = base64.b64decode(sig)
        if (by, sig[:4]) == (origin, sha(own)[:4]):
            serialization.load_der_public_key(own).verify(sig[4:], text.encode(), ec.ECDSA(hashes.SHA256()))
            seen.append(node)
        elif (by, sig[:4]) in witnesses:
            m, at = witnesses[by, sig[:4]], int.from_bytes(sig[4:12], "big")
            ed25519.Ed25519PublicKey.from_public_bytes(der(m, "identity")).verify(sig[12:], f"cosignature/v1\ntime {at}\n{text}".encode())
            seen.append(m["id"])
        elif (by, sig[:4]) in strong and mldsa:
            said = b"subtree/v1\n\0" + bytes([len(by)]) + by.encode() + sig[4:12] + bytes([len(origin)]) + origin.encode()
            said += struct.pack(">QQ", 0, int(size)) + base64.b64decode(root)
            mldsa.MLDSA44PublicKey.from_public_bytes(der(strong[by, sig[:4]], "witness_key")).verify(sig[12:], said)
    need(node in seen, "the node has not signed the checkpoint")
    need(1 <= l["seq"] <= int(size), "an entry that is not under the checkpoint")
    need(climb(n[2], l["seq"] - 1, int(size), n[3]) == base64.b64decode(root), "the entry is not in the log")
    e, rest = item(n[2])
    need(rest == b"" and (e[1], e[2], e[5], e[6]["receipt"]) == (2, l["seq"], "sign.done", r["id"]), "an entry of something else")
    return sorted(set(seen) - {node})
def receipt(r, members, roster_name, authorities):
    shown = r.pop("logged", None)
    if shown is not None: logged(shown, r, members)
    n = fields("R", r)
    if authorities is not None: initiation(r["intent"], n[8], authorities)
    need(("initiation" in r["intent"]) == ("authority" in r["intent"]), "an initiation without an authority, or the other way")
    k, i, cluster = r["key"], r["intent"], r["cluster"]
    by_party = {m["party"]: m for m in members["nodes"]}; by_name = {m["id"]: m for m in members["nodes"]}
    der = lambda m, name: fields("x", m[name])
    intent = H("mpcd/v1/intent", cbor(n[8]))
    need((r["version"], r["roster"], cluster) == (2, roster_name, members["cluster"]), "another version, roster or cluster")
    need(k["key_id"] == "w_" + short(H("mpcd/v2/key/id", k["kind"].encode(), n[7][6])), "the key's name is not of the key")
    parties, signers, ascend = k["parties"], r["signers"], lambda l: l == sorted(set(l))
    need(ascend(parties) and len(k["public_shares"]) == len(parties) and 2 <= k["threshold"] <= len(parties) and k["epoch"] > 0, "no key")
    need(ascend(signers) and set(signers) <= set(parties) and len(signers) >= k["threshold"], "no quorum of the key")
    need(i["version"] == 2 and i["operation"] == "sign" and i["cluster"] == cluster and i["request_id"] == r["session_id"] and
         i["key_id"] == k["key_id"] and i["epoch"] == k["epoch"] and i["signers"] == signers and i["scheme"] == SCHEMES.get(k["kind"]) and
         r["id"] == "rc_" + short(H("mpcd/v1/receipt/id", intent)), "the intent is of something else")
    need(r["policy"]["verdict"] == "permit", "no permission")
    proposer = by_name[i["node"]]
    need(not any(m.get("removed") for m in [proposer] + [by_party[p] for p in signers]), "a node that was removed")
    need(r["cosign"]["node"] == r["settlement"]["node"] == i["node"], "another node proposed")
    cosigned = attested(n[10][2], "cosign", cluster, i["node"], der(proposer, "cosign_key"), lambda at: intent)
    settled_fields = dict(n); settled_fields[17] = {1: i["node"], 2: {1: None, 2: 0, 3: 0, 4: None}}
    digest = H("mpcd/v1/receipt", cbor(settled_fields))
    settled = attested(n[17][2], "settlement", cluster, i["node"], der(proposer, "attest_key"), lambda at: digest)
    need(settled == r["time_ms"] and cosigned + SKEW >= i["created_ms"] > 0 and settled >= cosigned - SKEW, "the times are out of order")
    identities = [der(by_party[p], "identity") for p in parties]
    record = H("mpcd/v2/key", cbor({1: k["kind"], 2: k["epoch"], 3: 0, 4: {1: parties, 2: identities, 3: k["threshold"]}, 5: n[7][6],
                                    6: n[7][7], 7: n[7][8]}))
    tweaks = n[8].get(9, [])
    request = H("mpcd/v1/attest/request", n[8][8], *[f for t in tweaks for f in (t[1], bytes([t[2]]))])
    need([s["party"] for s in r["shares"]] == signers, "not one share of each signer")
    for s, f in zip(r["shares"], n[14]):
        m = by_party[s["party"]]
        need(s["node"] == m["id"], "the share is another node's")
        share = H("mpcd/v1/attest/sigshare", struct.pack(">H", s["party"]), n[12], f[3])
        leaf = lambda at: cbor({1: 1, 2: cluster, 3: m["id"], 4: s["party"], 5: k["key_id"], 6: i["scheme"], 7: k["epoch"], 8: n[11],
                                9: signers, 10: request, 11: n[12], 12: share, 13: intent, 14: at, 15: record})
        at = attested(f[4], "share", cluster, m["id"], der(m, "attest_key"), leaf)
        need(cosigned - SKEW <= at <= settled + SKEW, "a share out of its time")
    key, message, path, recovery = n[7][6], n[8][8], i.get("path", []), -1
    if k["kind"] == "ecdsa-secp256k1":
        child, tau = derive(point(key), n[7][8], path)
        need(tweaks == ([{1: tau.to_bytes(32, "big"), 2: False}] if path else []), "the tweak is not the path's")
        recovery = verify_ecdsa(child, message, n[15])
    else:
        need(not tweaks and not path, "a path below a key that has none")
        (verify_ed25519 if k["kind"] == "ed25519" else verify_bip340)(key, message, n[15])
    need(r["recovery_id"] == recovery, "another recovery ID")

def main(roster_path, pin, *receipts):
    members, name, root = roster(roster_path, pin)
    authorities = None
    if receipts[:1] == ("--authority",): authorities, receipts = authority(receipts[1], root), receipts[2:]
    refused = 0
    for path in receipts:
        try:
            receipt(load(path), members, name, authorities)
            print("valid", path)
        except Exception as e:  # whatever is wrong with it
            refused = 1
            print("refused", path, type(e).__name__, e)
    return refused

if __name__ == "__main__": sys.exit(main(*sys.argv[1:]))
