package intent

import (
	"crypto/sha256"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/luxfi/mpcd/internal/address"
)

// cosmosFee is the account of fees: SHA-256("fee_collector"), 20 bytes (Cosmos SDK, ADR-028, "Module Account Addresses").
const cosmosFee = "cosmos17xpfvakm2amg962yls6f84z3kell8c5lserqta"

// cosmosChains are the chain IDs of the Cosmos Hub and of its public test chains.
var cosmosChains = []string{"cosmoshub-4", "provider", "theta-testnet-001"}

// directMode is SIGN_MODE_DIRECT (cosmos/tx/signing/v1beta1/signing.proto).
const directMode = 1

// The messages of a transaction (cosmos/tx/v1beta1/tx.proto, cosmos/base/v1beta1/coin.proto).
var (
	signDoc = shape{"SignDoc", []shapeField{{number: 1, name: "body_bytes", kind: isBytes},
		{number: 2, name: "auth_info_bytes", kind: isBytes}, {number: 3, name: "chain_id"}, {number: 4, name: "account_number", kind: isUint}}}
	txBody = shape{"TxBody", []shapeField{{number: 1, name: "msgs", kind: isAny, repeated: true}, {number: 2, name: "memo"},
		{number: 3, name: "timeout_height", kind: isUint}, {number: 4, name: "unordered", kind: isBool},
		{number: 5, name: "timeout_timestamp", kind: isMessage, of: &timestamp},
		{number: 1023, name: "extension_options", kind: isAny, repeated: true},
		{number: 2047, name: "non_critical_extension_options", kind: isAny, repeated: true}}}
	timestamp = shape{"Timestamp", []shapeField{{number: 1, name: "seconds", kind: isUint}, {number: 2, name: "nanos", kind: isUint}}}
	authInfo  = shape{"AuthInfo", []shapeField{{number: 1, name: "signer_infos", kind: isMessage, repeated: true, of: &signerInfo},
		{number: 2, name: "fee", kind: isMessage, of: &fee}, {number: 3, name: "tip", kind: isMessage, of: &tip}}}
	signerInfo = shape{"SignerInfo", []shapeField{{number: 1, name: "public_key", kind: isAny},
		{number: 2, name: "mode_info", kind: isBytes}, {number: 3, name: "sequence", kind: isUint}}}
	fee = shape{"Fee", []shapeField{{number: 1, name: "amount", kind: isMessage, repeated: true, kept: true, of: &coin},
		{number: 2, name: "gas", kind: isUint, kept: true}, {number: 3, name: "payer"}, {number: 4, name: "granter"}}}
	tip = shape{"Tip", []shapeField{{number: 1, name: "amount", kind: isMessage, repeated: true, kept: true, of: &coin},
		{number: 2, name: "tipper"}}}
	coin = shape{"Coin", []shapeField{{number: 1, name: "denom"}, {number: 2, name: "amount"}}}
)

// cosmosTx is what is signed in either form.
type cosmosTx struct {
	doc, body, fee, tip *fields
	amino               bool
	sequence            uint64
	signers             int
	unknown             []string
}

// cosmosReader says what messages do.
type cosmosReader struct {
	*Decoded
	amino bool
	from  string
}

// cosmosDirect reads a SignDoc (Cosmos SDK, ADR-020, SIGN_MODE_DIRECT).
func cosmosDirect(p Payload) (*Decoded, error) {
	strict, lenient := protoReader{}, protoReader{lenient: true}
	doc, err := strict.read(&signDoc, p.Bytes)
	if err != nil {
		return nil, err
	}
	body, err := lenient.read(&txBody, []byte(doc.texts["body_bytes"]))
	if err != nil {
		return nil, err
	}
	auth, err := strict.read(&authInfo, []byte(doc.texts["auth_info_bytes"]))
	if err != nil {
		return nil, err
	}
	tx := &cosmosTx{doc: doc, body: body, fee: auth.one("fee"), unknown: lenient.unknown}
	if all := auth.lists["tip"]; len(all) > 0 {
		tx.tip = all[0]
	}
	if len(auth.lists["fee"]) == 0 {
		return nil, refuse("a transaction of Cosmos without a fee, which may be empty")
	}
	if err := tx.signer(auth.lists["signer_infos"], p.Key); err != nil {
		return nil, err
	}
	return tx.decode(p, "direct")
}

// signer finds the key among those that sign. It signs all of what is signed, by itself.
func (tx *cosmosTx) signer(all []*fields, key []byte) error {
	wanted := string(slices.Concat([]byte{1<<3 | wireBytes, byte(len(key))}, key)) // PubKey of cosmos/crypto/secp256k1/keys.proto
	ours := 0
	for _, s := range all {
		k := s.one("public_key")
		if k.texts["type_url"] != "/cosmos.crypto.secp256k1.PubKey" || k.texts["value"] != wanted {
			continue
		}
		if ours++; s.texts["mode_info"] != string([]byte{1<<3 | wireBytes, 2, 1 << 3, directMode}) { // ModeInfo.Single
			return refuse("the key is to sign in another mode than SIGN_MODE_DIRECT")
		}
		tx.sequence = s.numbers["sequence"]
	}
	if tx.signers = len(all); ours != 1 {
		return refuse("the key %x stands %d times among the %d signers, want once", key, ours, len(all))
	}
	return nil
}

// decode says what a transaction does: the digest is SHA-256 of what is signed.
func (tx *cosmosTx) decode(p Payload, kind string) (*Decoded, error) {
	_, all, err := address.For(address.ECDSA, p.Key)
	if err != nil || len(p.Key) != 33 {
		return nil, refuse("a key of %d bytes on Cosmos, want 33 of secp256k1", len(p.Key))
	}
	id := tx.doc.texts["chain_id"]
	if !slices.Contains(cosmosChains, id) {
		return nil, refuse("chain ID %q is none of %s, which has %v", clip(id), p.Network, cosmosChains)
	}
	digest := sha256.Sum256(p.Bytes)
	c := &cosmosReader{&Decoded{Kind: kind, Digest: digest[:]}, tx.amino, all["cosmos"]}
	c.Unknown = tx.unknown
	c.fact("from", c.from)
	c.fact("chain_id", id)
	c.fact("account_number", digits(tx.doc.numbers["account_number"]))
	c.fact("sequence", digits(tx.sequence))
	if tx.signers > 1 {
		c.unknown("transaction that %d sign, of whom the key is one", tx.signers)
	}
	if err := c.fees(tx); err != nil {
		return nil, err
	}
	if err := c.body(tx.body); err != nil {
		return nil, err
	}
	for n, m := range tx.body.lists["msgs"] {
		if err := c.message(n, m); err != nil {
			return nil, err
		}
	}
	return c.Decoded, nil
}

// fees reads what the transaction costs: the network's own coin is the fee, any other goes to the account of fees.
func (c *cosmosReader) fees(tx *cosmosTx) error {
	c.fact("gas", digits(tx.fee.numbers["gas"]))
	for _, name := range []string{"payer", "granter"} {
		if who := tx.fee.texts[name]; who != "" {
			c.fact("fee_"+name, who)
		}
	}
	c.Fee = new(big.Int)
	paid, err := coins(tx.fee.lists["amount"])
	if err != nil {
		return err
	}
	for _, x := range paid {
		if x.Asset == "" {
			c.Fee = x.Amount
			continue
		}
		c.Transfers = append(c.Transfers, Transfer{Send, cosmosFee, x.Asset, x.Amount})
	}
	if tx.tip == nil {
		return nil
	}
	tips, err := coins(tx.tip.lists["amount"])
	for _, x := range tips {
		c.unknown("tip of %s %q by %q", x.Amount, x.Asset, tx.tip.texts["tipper"])
	}
	return err
}

// body reads what else binds.
func (c *cosmosReader) body(b *fields) error {
	if memo := b.texts["memo"]; memo != "" {
		c.fact("memo", memo)
	}
	if n := b.numbers["timeout_height"]; n != 0 {
		c.fact("timeout_height", digits(n))
	}
	if b.numbers["unordered"] == 1 {
		c.fact("unordered", "true")
	}
	if t := b.lists["timeout_timestamp"]; len(t) > 0 {
		const end = 253402300800 // year 10000
		seconds, nanos := t[0].numbers["seconds"], t[0].numbers["nanos"]
		if seconds >= end || nanos >= 1e9 {
			return refuse("a timeout of %d seconds and %d nanoseconds", seconds, nanos)
		}
		c.fact("timeout_timestamp", time.Unix(int64(seconds), int64(nanos)).UTC().Format(time.RFC3339Nano))
	} else if text := b.texts["timeout_timestamp"]; text != "" {
		if at, err := time.Parse(time.RFC3339Nano, text); err != nil || at.UTC().Format(time.RFC3339Nano) != text {
			return refuse("a timeout of %q", clip(text))
		}
		c.fact("timeout_timestamp", text)
	}
	for _, name := range []string{"extension_options", "non_critical_extension_options"} {
		for _, x := range b.lists[name] {
			c.unknown("%s: %q with 0x%s", name, x.texts["type_url"], clipHex([]byte(x.texts["value"])))
		}
	}
	if len(b.lists["msgs"]) == 0 {
		return refuse("a transaction of Cosmos without messages")
	}
	return nil
}

// The denominations and amounts that the SDK takes (Cosmos SDK, types/coin.go, math.Int).
var (
	denomination = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9/:._-]{2,127}$`)
	positive     = regexp.MustCompile(`^[1-9][0-9]{0,77}$`)
)

// coins reads amounts: each of another denomination, in their order, none of nothing.
func coins(all []*fields) (out []Transfer, err error) {
	last := ""
	for _, r := range all {
		denom, figures := r.texts["denom"], r.texts["amount"]
		amount, ok := new(big.Int).SetString(figures, 10)
		switch {
		case !denomination.MatchString(denom) || !positive.MatchString(figures) || !ok || amount.BitLen() > 256:
			return nil, refuse("%q %q is no amount of coins", clip(figures), clip(denom))
		case denom <= last:
			return nil, refuse("the coins %q stand behind %q", clip(denom), clip(last))
		}
		x := Transfer{Asset: denom, Amount: amount}
		if last = denom; denom == "uatom" {
			x.Asset = ""
		}
		out = append(out, x)
	}
	return out, nil
}

func digits(n uint64) string { return strconv.FormatUint(n, 10) }
