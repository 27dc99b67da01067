package intent

import (
	"bytes"
	"crypto/sha512"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/luxfi/mpcd/internal/address"
)

// xrplPrefix stands before a transaction that one key signs (XRPL documentation, "Hash Prefixes"); of several that sign it is another.
const xrplPrefix = "STX\x00"

// Flags of transactions (XRPL documentation, "Transaction Common Fields", "Payment Flags").
const (
	xrplCanonicalSignature = 0x80000000 // without a meaning since it is required of all
	xrplPartialPayment     = 0x00020000
)

// xrplTx is a transaction while it is read.
type xrplTx struct {
	*Decoded
	from string // the account of the key that signs
	raw  []byte
	top  map[string]*xrplField // the fields that are known
}

// decodeXRPL reads a transaction in binary, as the one key that signs it serializes it: with its public key and without a signature.
func decodeXRPL(p Payload) (*Decoded, error) {
	tx := &xrplTx{Decoded: &Decoded{}, raw: p.Bytes, top: map[string]*xrplField{}}
	public, err := tx.signer(p)
	if err != nil {
		return nil, err
	}
	all, err := readXRPL(p.Bytes)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if name, ok := all[i].name(); ok {
			tx.top[name] = &all[i]
		}
	}
	if err := tx.check(public); err != nil {
		return nil, err
	}
	tx.fact("from", tx.from)
	tx.facts("", all)
	if account := tx.top["Account"].text; account != tx.from {
		tx.unknown("account %s is not the key's own, %s: the key signs for it as its regular key", account, tx.from)
	}
	return tx.Decoded, tx.does()
}

// signer makes the digest for a key: SHA-512Half for secp256k1, the message itself for Ed25519, whose keys begin with 0xED here (XRPL
// documentation, "Cryptographic Keys").
func (tx *xrplTx) signer(p Payload) ([]byte, error) {
	family, public := address.ECDSA, p.Key
	tx.Digest = append([]byte(xrplPrefix), p.Bytes...)
	switch len(p.Key) {
	case 32:
		family, public = address.Ed25519, append([]byte{0xed}, p.Key...)
	case 33:
		digest := sha512.Sum512(tx.Digest)
		tx.Digest = digest[:32]
	default:
		return nil, refuse("a key of %d bytes on XRPL, want 33 of secp256k1 or 32 of Ed25519", len(p.Key))
	}
	_, all, err := address.For(family, p.Key)
	if err != nil {
		return nil, refuse("%w", err)
	}
	tx.from = all["xrpl"]
	return public, nil
}

// check refuses what the ledger does not take, and what another key, or several, sign.
func (tx *xrplTx) check(public []byte) error {
	for _, name := range xrplUnsigned {
		if tx.top[name] != nil {
			return refuse("the transaction has a %s, which no signature covers", name)
		}
	}
	for _, name := range strings.Fields(xrplMust) {
		if tx.top[name] == nil {
			return refuse("the transaction has no %s", name)
		}
	}
	fee, key := tx.top["Fee"].amount, tx.top["SigningPubKey"].bytes
	switch {
	case !bytes.Equal(key, public):
		return refuse("the transaction is for the key %x to sign, not for %x", key, public)
	case fee.asset != "":
		return refuse("a fee of %s, which is no XRP", fee.text)
	case tx.top["NetworkID"] != nil:
		return refuse("network %s: the main network and its test networks have no ID in transactions", tx.top["NetworkID"].text)
	case (tx.top["TicketSequence"] != nil) != (tx.top["Sequence"].n == 0):
		return refuse("a transaction has a sequence or a ticket")
	}
	tx.Fee = fee.units
	return nil
}

// facts names all fields but those that are said elsewhere, and those that are not known as that.
func (tx *xrplTx) facts(prefix string, all []xrplField) {
	for i := range all {
		f := &all[i]
		name, known := f.name()
		if prefix == "" && slices.Contains([]string{"TransactionType", "Fee", "SigningPubKey"}, name) {
			continue
		}
		switch {
		case f.kind == xrplObject:
			tx.facts(prefix+name+".", f.fields)
		case f.kind == xrplArray:
			for n, x := range f.fields {
				tx.facts(fmt.Sprintf("%s%s[%d].", prefix, name, n), []xrplField{x})
			}
		case slices.Contains([]string{"MemoType", "MemoData", "MemoFormat", "Domain"}, name) && printable(f.bytes):
			tx.fact(prefix+name, string(f.bytes))
		case f.kind == xrplBlob:
			tx.fact(prefix+name+" in hex", f.text)
		case name == "Flags":
			tx.fact(prefix+name, fmt.Sprintf("0x%08x", f.n))
		case name == "SetFlag" && xrplSetFlags[f.n] != "":
			tx.fact(prefix+name, f.text+" "+xrplSetFlags[f.n])
		default:
			tx.fact(prefix+name, f.text)
		}
		if !known {
			tx.unknown("%s%s, which is not read: %s", prefix, name, f.text)
		}
	}
}

// does says what the transaction does by its type.
func (tx *xrplTx) does() error {
	number := tx.top["TransactionType"].n
	i := slices.IndexFunc(xrplRules, func(r xrplRule) bool { return r.number == number })
	if i < 0 {
		tx.Kind = fmt.Sprintf("type %d", number)
		tx.call("", digits(number))
		tx.unknown("transaction of type %d", number)
		return nil
	}
	r := &xrplRules[i]
	tx.Kind = r.name
	for _, name := range strings.Fields(r.must) {
		if tx.top[name] == nil {
			return refuse("a %s without %s", r.name, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tx.top)) {
		if !r.has(name) {
			tx.unknown("%s of a %s, which has none: %s", name, r.name, tx.top[name].text)
		}
	}
	if f := tx.top["Flags"]; f != nil && f.n&^(r.flags|xrplCanonicalSignature) != 0 {
		tx.unknown("flags 0x%08x of a %s", f.n&^(r.flags|xrplCanonicalSignature), r.name)
	}
	if r.name == "Payment" {
		return tx.payment()
	}
	to := ""
	if f := tx.top[r.to]; f != nil {
		to = f.text
		if f.kind == xrplAmountOf {
			to = f.amount.asset
		}
	}
	tx.call(to, r.name)
	if r.amount == "" {
		return nil
	}
	return tx.moves(r.what, to, r.amount)
}

func (tx *xrplTx) call(to, method string) {
	tx.Calls = append(tx.Calls, Call{To: to, Method: method, Data: bytes.Clone(tx.raw)})
}

// moves reads an amount of a field, which is more than nothing. One that is no whole number of units is not read.
func (tx *xrplTx) moves(what What, to, field string) error {
	a := tx.top[field].amount
	switch {
	case a.units == nil:
		tx.unknown("%s of %s, which has more than %d decimal places", field, a.text, xrplPlaces)
	case a.units.Sign() == 0:
		return refuse("a %s of nothing", field)
	default:
		tx.Transfers = append(tx.Transfers, Transfer{what, to, a.asset, a.units})
	}
	return nil
}

// payment reads what the destination gets, and what may leave the account for it. Where that is another asset, any market between may have
// it, and so both are sent; where it is the same, the greater of them is.
func (tx *xrplTx) payment() error {
	if f := tx.top["Flags"]; f != nil && f.n&xrplPartialPayment != 0 {
		tx.fact("partial_payment", "true")
	}
	amount, most, to := tx.top["Amount"].amount, tx.top["SendMax"], tx.top["Destination"].text
	what := Send
	if to == tx.from && tx.top["Account"].text == tx.from {
		what = Change
	}
	if amount.units == nil || most != nil && most.amount.units == nil {
		tx.call(to, "Payment")
	}
	if most != nil && most.amount.asset == amount.asset && amount.units != nil && most.amount.units != nil {
		units := new(big.Int).Set(most.amount.units)
		if units.Cmp(amount.units) < 0 {
			units.Set(amount.units)
		}
		tx.Transfers = append(tx.Transfers, Transfer{Send, to, amount.asset, units})
		return nil
	}
	if err := tx.moves(what, to, "Amount"); err != nil || most == nil {
		return err
	}
	return tx.moves(Send, to, "SendMax")
}
