package intent

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	binarycodec "github.com/Peersyst/xrpl-go/binary-codec"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/luxfi/mpcd/internal/address"
)

// xrplTexts are the blobs that people read.
var xrplTexts = []string{"MemoType", "MemoData", "MemoFormat", "Domain"}

// xrplBlobs are all blobs.
var xrplBlobs = append([]string{"PublicKey", "MessageKey", "Fulfillment", "Condition", "TxnSignature", "Signature"}, xrplTexts...)

// xrplJSON is the facts that a transaction in the ledger's JSON is to be read as.
func xrplJSON(out map[string]string, prefix string, object map[string]any) map[string]string {
	for name, v := range object {
		text := fmt.Sprint(v)
		switch x := v.(type) {
		case map[string]any:
			if x["value"] == nil {
				xrplJSON(out, prefix+name+".", x)
				continue
			}
			text = xrplJSONAmount(x)
		case []any:
			if name == "Paths" {
				text = xrplJSONPaths(x)
				break
			}
			for n, inner := range x {
				xrplJSON(out, fmt.Sprintf("%s%s[%d].", prefix, name, n), inner.(map[string]any))
			}
			continue
		case []string:
			text = strings.Join(x, " ")
		case string:
			switch b, _ := hex.DecodeString(x); {
			case slices.Contains(xrplTexts, name) && printable(b):
				text = string(b)
			case slices.Contains(xrplBlobs, name):
				name += " in hex"
			case slices.Contains([]string{"Amount", "SendMax", "DeliverMin", "TakerPays", "TakerGets", "Balance"}, name):
				text += " drops"
			}
		}
		switch name {
		case "Fee", "SigningPubKey", "TransactionType":
			if prefix == "" {
				continue
			}
		case "Flags":
			n, _ := new(big.Int).SetString(text, 10)
			text = fmt.Sprintf("0x%08x", n)
		case "SetFlag":
			if text == "4" {
				text = "4 asfDisableMaster"
			}
		}
		out[prefix+name] = text
	}
	return out
}

func xrplJSONAmount(x map[string]any) string {
	if x["mpt_issuance_id"] != nil {
		return fmt.Sprintf("%s %s", x["value"], x["mpt_issuance_id"])
	}
	value := fmt.Sprint(x["value"])
	if r, ok := new(big.Rat).SetString(value); ok {
		value = strings.TrimRight(r.FloatString(96), "0")
	}
	return fmt.Sprintf("%s %s.%s", strings.TrimSuffix(value, "."), x["currency"], x["issuer"])
}

func xrplJSONPaths(all []any) string {
	var paths []string
	for _, path := range all {
		var steps []string
		for _, step := range path.([]any) {
			s := step.(map[string]any)
			text := ""
			for _, name := range []string{"account", "currency"} {
				if s[name] != nil {
					text += fmt.Sprint(s[name])
				}
			}
			if s["issuer"] != nil {
				text += "." + fmt.Sprint(s["issuer"])
			}
			steps = append(steps, text)
		}
		paths = append(paths, strings.Join(steps, " > "))
	}
	return strings.Join(paths, ", ")
}

// Goal: transactions are read as the ledger writes them, and what is signed is what their keys signed. Method: the vectors of the XRP
// Ledger Foundation's libraries, some of them transactions of the main network with their signatures.
func TestXRPLVectors(t *testing.T) {
	var vectors []struct {
		JSON   json.RawMessage
		Binary string
		Signed bool
	}
	golden(t, "xrpl.json", &vectors)
	signed := 0
	for _, v := range vectors {
		d := json.NewDecoder(strings.NewReader(string(v.JSON)))
		d.UseNumber()
		var object map[string]any
		if err := d.Decode(&object); err != nil {
			t.Fatal(err)
		}
		all, err := readXRPL(unhex(v.Binary))
		tx := &xrplTx{Decoded: &Decoded{}}
		tx.facts("", all)
		got, want := map[string]string{}, xrplJSON(map[string]string{}, "", object)
		for _, f := range tx.Facts {
			got[f.Name] = f.Value
		}
		if err != nil || object["TransactionType"] != "DelegateSet" && !maps.Equal(got, want) {
			t.Errorf("%v\n%v\nwant\n%v", err, got, want)
		}
		if !v.Signed {
			continue
		}
		signed++
		xrplVerify(t, v.Binary, object)
	}
	if len(vectors) != 30 || signed != 5 {
		t.Errorf("%d vectors, %d signed", len(vectors), signed)
	}
}

// xrplVerify reads a transaction without its signature, and checks that of the digest that is made of it.
func xrplVerify(t *testing.T, binary string, object map[string]any) {
	signature := fmt.Sprint(object["TxnSignature"])
	before := strings.Replace(binary, fmt.Sprintf("74%02X", len(signature)/2)+signature, "", 1)
	key := unhex(fmt.Sprint(object["SigningPubKey"]))
	read, err := Decode(Payload{Network: "xrpl", Format: "transaction", Bytes: unhex(before), Key: key})
	if err != nil || read.Kind != object["TransactionType"] {
		t.Fatal(err)
	}
	regular := read.Facts[0].Value != object["Account"] // of one, a regular key
	if regular != (object["TransactionType"] == "SignerListSet") || regular != (len(read.Unknown) == 1) {
		t.Errorf("%+v", read)
	}
	s, err := ecdsa.ParseDERSignature(unhex(signature))
	public, err2 := secp256k1.ParsePubKey(key)
	if err != nil || err2 != nil || !s.Verify(read.Digest, public) {
		t.Errorf("%s: %v %v, of digest %x", object["TransactionType"], err, err2, read.Digest)
	}
}

// xrplRandom makes transactions from a seed.
type xrplRandom struct {
	btcRandom
	keys     [2][]byte // of secp256k1 and of Ed25519
	accounts [2]string
}

func newXRPLRandom(seed uint64) *xrplRandom {
	r := &xrplRandom{btcRandom: btcRandom{Rand: rand.New(rand.NewPCG(seed, 9))}}
	r.keys[0] = unhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
	r.keys[1] = ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	for n, family := range []address.Family{address.ECDSA, address.Ed25519} {
		_, all, err := address.For(family, r.keys[n])
		if err != nil {
			panic(err)
		}
		r.accounts[n] = all["xrpl"]
	}
	return r
}

// account is one of the keys' own, or another's.
func (r *xrplRandom) account() string {
	if r.IntN(4) == 0 {
		return r.accounts[r.IntN(2)]
	}
	return address.XRPLAddress(r.bytes(20))
}

func (r *xrplRandom) hash() string { return strings.ToUpper(hex.EncodeToString(r.bytes(32))) }

// amount is one above zero: XRP, or in two of three cases an issued currency of up to 16 digits, or a multi-purpose token.
func (r *xrplRandom) amount() any {
	switch r.IntN(4) {
	case 0, 1:
		return fmt.Sprint(1 + r.Uint64N(xrplMaxDrops))
	case 2:
		return map[string]any{"value": fmt.Sprint(1 + r.Uint64()>>1), "mpt_issuance_id": strings.ToUpper(hex.EncodeToString(r.bytes(24)))}
	}
	value := new(big.Rat).SetInt64(1 + r.Int64N(9_999_999_999_999_999)>>r.IntN(53))
	value.Mul(value, new(big.Rat).SetFrac64(1, []int64{1, 100, 1e6, 1e15, 1e18}[r.IntN(5)]))
	text := strings.TrimSuffix(strings.TrimRight(value.FloatString(40), "0"), ".")
	code := []string{"USD", "EUR", "0158415500000000C1F76FF6ECB0BAC600000000"}[r.IntN(3)]
	return map[string]any{"value": text, "currency": code, "issuer": r.account()}
}

// xrplWant is what an amount is read as: asset and units, nil if it is not whole.
func xrplWant(v any) (string, *big.Int) {
	x, ok := v.(map[string]any)
	if !ok {
		n, _ := new(big.Int).SetString(v.(string), 10)
		return "", n
	}
	value, _ := new(big.Rat).SetString(x["value"].(string))
	asset, _ := x["mpt_issuance_id"].(string)
	if asset == "" {
		asset = fmt.Sprintf("%s.%s", x["currency"], x["issuer"])
		value.Mul(value, new(big.Rat).SetInt64(1e15))
	}
	if !value.IsInt() {
		return asset, nil
	}
	return asset, new(big.Int).Set(value.Num())
}

// fields are those of a type, of which some may stand: a name that ends in "?" is optional.
func (r *xrplRandom) fields(names string) map[string]any {
	out := map[string]any{}
	for _, name := range strings.Fields(names) {
		name, optional := strings.CutSuffix(name, "?")
		if optional && r.IntN(2) == 0 {
			continue
		}
		switch name {
		case "Amount", "SendMax", "DeliverMin", "TakerPays", "TakerGets", "Balance", "LimitAmount":
			out[name] = r.amount()
			for name == "LimitAmount" && reflect.TypeOf(out[name]).Kind() == reflect.String {
				out[name] = r.amount()
			}
		case "Destination", "Owner", "RegularKey", "NFTokenMinter", "Authorize":
			out[name] = r.account()
		case "InvoiceID", "DomainID", "AccountTxnID", "Channel", "CheckID", "WalletLocator":
			out[name] = r.hash()
		case "EmailHash":
			out[name] = r.hash()[:32]
		case "CredentialIDs":
			out[name] = []string{r.hash(), r.hash()}
		case "PublicKey", "MessageKey", "Condition", "Fulfillment":
			out[name] = strings.Repeat(r.hash(), 1+r.IntN(9))
		case "Domain":
			out[name] = []string{"6578616D706C652E636F6D", "FF00"}[r.IntN(2)]
		case "TickSize":
			out[name] = r.IntN(16)
		case "SetFlag":
			out[name] = []uint32{4, 5, 8}[r.IntN(3)]
		case "SignerEntries":
			entry := map[string]any{"Account": r.account(), "SignerWeight": 1 + r.IntN(9)}
			out[name] = []any{map[string]any{"SignerEntry": entry}, map[string]any{"SignerEntry": entry}}
		default:
			out[name] = r.Uint32()
		}
	}
	return out
}

// xrplKinds are types and their fields, as the library takes them.
var xrplKinds = map[string]string{
	"Payment":      "Destination Amount DestinationTag? InvoiceID? SendMax? DeliverMin? CredentialIDs? DomainID?",
	"EscrowCreate": "Destination Amount CancelAfter? FinishAfter? Condition? DestinationTag?",
	"EscrowFinish": "Owner OfferSequence Condition? Fulfillment? CredentialIDs?",
	"EscrowCancel": "Owner OfferSequence",
	"AccountSet": "ClearFlag? SetFlag? Domain? EmailHash? MessageKey? TransferRate? TickSize? NFTokenMinter? " +
		"WalletLocator? WalletSize?",
	"SetRegularKey":        "RegularKey?",
	"OfferCreate":          "TakerPays TakerGets Expiration? OfferSequence? DomainID?",
	"OfferCancel":          "OfferSequence",
	"TicketCreate":         "TicketCount",
	"SignerListSet":        "SignerQuorum SignerEntries?",
	"PaymentChannelCreate": "Destination Amount SettleDelay PublicKey CancelAfter? DestinationTag?",
	"PaymentChannelFund":   "Channel Amount Expiration?",
	"PaymentChannelClaim":  "Channel Balance? Amount? PublicKey? CredentialIDs?",
	"CheckCreate":          "Destination SendMax DestinationTag? Expiration? InvoiceID?",
	"CheckCash":            "CheckID Amount? DeliverMin?",
	"CheckCancel":          "CheckID",
	"DepositPreauth":       "Authorize?",
	"TrustSet":             "LimitAmount QualityIn? QualityOut?",
	"AccountDelete":        "Destination DestinationTag? CredentialIDs?",
	"CredentialAccept":     "",
}

// transaction is one by one of the keys, in the ledger's JSON.
func (r *xrplRandom) transaction() (object map[string]any, key []byte, account string) {
	n := r.IntN(2)
	kinds := slices.Sorted(maps.Keys(xrplKinds))
	kind := kinds[r.IntN(len(kinds))]
	if r.IntN(3) == 0 {
		kind = "Payment"
	}
	object = r.fields(xrplKinds[kind] + " SourceTag? AccountTxnID? LastLedgerSequence?")
	maps.Copy(object, map[string]any{"TransactionType": kind, "Account": r.accounts[n], "Fee": fmt.Sprint(r.Uint64N(1e9)),
		"SigningPubKey": strings.ToUpper(strings.Repeat("ed", n) + hex.EncodeToString(r.keys[n])), "Sequence": 1 + r.Uint32()>>1})
	if r.IntN(4) == 0 {
		object["Sequence"], object["TicketSequence"] = uint32(0), r.Uint32()
	}
	if r.IntN(3) == 0 {
		object["Memos"] = []any{map[string]any{"Memo": map[string]any{"MemoData": "666F7220E29C93", "MemoType": "0001"}}}
	}
	if r.IntN(5) == 0 {
		object["Account"] = r.account()
	}
	if r.IntN(2) == 0 {
		object["Flags"] = uint32(xrplCanonicalSignature)
		if kind == "Payment" {
			object["Flags"] = object["Flags"].(uint32) | r.Uint32N(8)<<16
		}
	}
	return object, r.keys[n], r.accounts[n]
}

// want is what a transaction is to be read as, without its facts.
func (r *xrplRandom) want(object map[string]any, from string, b []byte) Decoded {
	kind := object["TransactionType"].(string)
	d := Decoded{Network: "xrpl", Format: "transaction", Kind: kind}
	d.Fee, _ = new(big.Int).SetString(object["Fee"].(string), 10)
	if object["Account"] != from {
		d.unknown("account %s is not the key's own, %s: the key signs for it as its regular key", object["Account"], from)
	}
	moves := func(what What, to, field string) {
		if asset, n := xrplWant(object[field]); n != nil {
			d.Transfers = append(d.Transfers, Transfer{what, to, asset, n})
		} else {
			d.unknown("%s of %s, which has more than 15 decimal places", field, xrplJSONAmount(object[field].(map[string]any)))
		}
	}
	of := func(field string) string {
		if s, ok := object[field].(string); ok {
			return s
		}
		return ""
	}
	to := of("Destination") + of("Owner") + of("RegularKey") + of("Channel") + of("CheckID") + of("Authorize")
	switch kind {
	case "Payment":
		r.wantPayment(&d, object, from, b, moves)
		return d
	case "TrustSet":
		to, _ = xrplWant(object["LimitAmount"])
	case "CredentialAccept":
		d.Kind = "type 59"
		d.Calls = []Call{{"", "59", b}}
		d.unknown("transaction of type 59")
		return d
	}
	d.Calls = []Call{{to, kind, b}}
	switch kind {
	case "EscrowCreate", "PaymentChannelCreate", "PaymentChannelFund":
		moves(Send, to, "Amount")
	case "CheckCreate":
		moves(Allowance, to, "SendMax")
	case "OfferCreate":
		moves(Allowance, "", "TakerGets")
	}
	return d
}

func (r *xrplRandom) wantPayment(d *Decoded, object map[string]any, from string, b []byte, moves func(What, string, string)) {
	to := object["Destination"].(string)
	asset, n := xrplWant(object["Amount"])
	most, max := "", new(big.Int)
	if object["SendMax"] != nil {
		most, max = xrplWant(object["SendMax"])
	}
	if n == nil || max == nil {
		d.Calls = []Call{{to, "Payment", b}}
	}
	what := Send
	if to == from && object["Account"] == from {
		what = Change
	}
	if object["SendMax"] != nil && asset == most && n != nil && max != nil {
		if n.Cmp(max) < 0 {
			n = max
		}
		d.Transfers = []Transfer{{Send, to, asset, n}}
		return
	}
	moves(what, to, "Amount")
	if object["SendMax"] != nil {
		moves(Send, to, "SendMax")
	}
}

// Goal: transactions are read as they were meant by who made them. Method: 10,000 of a fixed seed by xrpl-go, of keys of both kinds, and
// what each is to be read as. Paths are not among them, which the library does not write as the ledger does.
func TestXRPLLikeLibrary(t *testing.T) {
	r := newXRPLRandom(3)
	for n := range 10_000 {
		object, key, from := r.transaction()
		facts := xrplJSON(map[string]string{"from": from}, "", object)
		if flags, _ := object["Flags"].(uint32); object["TransactionType"] == "Payment" && flags&xrplPartialPayment != 0 {
			facts["partial_payment"] = "true"
		}
		text, err := binarycodec.EncodeForSigning(maps.Clone(object))
		if err != nil {
			t.Fatalf("%v: %v", object, err)
		}
		b := unhex(text)[4:]
		want := r.want(object, from, b)
		got, err := Decode(Payload{Network: "xrpl", Format: "transaction", Bytes: b, Key: key})
		if err != nil {
			t.Fatalf("%d: %v\n%v", n, err, object)
		}
		read := map[string]string{}
		for _, f := range got.Facts {
			read[f.Name] = f.Value
		}
		whole := string(got.Digest) == string(unhex(text))
		if whole != (len(key) == 32) || len(key) == 33 && len(got.Digest) != 32 || !maps.Equal(read, facts) {
			t.Fatalf("%d: %x\n%v\nwant\n%v", n, got.Digest, read, facts)
		}
		if got.Facts, got.Digest = nil, nil; !reflect.DeepEqual(*got, want) {
			t.Fatalf("%d:\n%+v\nwant\n%+v\n%v", n, got, want, object)
		}
	}
}
