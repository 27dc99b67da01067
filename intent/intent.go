// Package intent reads what a transaction or a message of a network asks a key to do, so that every node judges what it signs, and computes
// the digest itself.
//
// Decode is strict: bytes that a network would refuse, that stand in more than one way for the same, or that follow the end are an error.
// What it cannot read it names in Unknown and never leaves out: who judges decides what becomes of the unknown.
package intent

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"

	"github.com/luxfi/mpcd/internal/address"
)

// MaxPayload is the longest payload that is read, in bytes.
const MaxPayload = 64 << 10

// ErrPayload is wrapped by the errors of payloads that do not parse, or are none of their format.
var ErrPayload = errors.New("intent: not a payload of its format")

// Format is how a payload is written, and so what of it is signed.
type Format string

// Payload is what a caller wants signed.
type Payload struct {
	Network string // as address.Chains spells it
	Format  Format // one of Formats(Network)
	Bytes   []byte // at most MaxPayload
	Input   int    // which input of a psbt is signed; 0 elsewhere
	// Key is the public key that is to sign: 33 bytes compressed, 32 of Ed25519 or x-only.
	Key []byte
	// Family is the key's, as threshold.Kind.Addresses; empty where a reader has the key alone.
	Family string
}

// Decoded is what a payload says. Texts in it are those of the payload: who shows them escapes them.
type Decoded struct {
	Network   string     `json:"network"`
	Format    Format     `json:"format"`
	Kind      string     `json:"kind"`      // of the transaction, as its network names it: "eip-1559", "psbt-v2", "v0"
	Digest    []byte     `json:"digest"`    // what the key signs: a digest of 32 bytes, or for Ed25519 the message itself
	Transfers []Transfer `json:"transfers"` // in its order
	Calls     []Call     `json:"calls"`     // what is called besides
	Fee       *big.Int   `json:"fee"`       // the most that it costs, in the network's smallest unit; nil where it does not say
	Facts     []Fact     `json:"facts"`     // what else binds: chain ID, nonce, expiry, memo; in a fixed order
	Unknown   []string   `json:"unknown"`   // what is in it that this build does not read, one line each
}

// Transfer is an amount that goes to somebody, or that somebody is allowed to take.
type Transfer struct {
	What   What     `json:"what"`
	To     string   `json:"to"`     // as people write addresses on the network
	Asset  string   `json:"asset"`  // "" is the network's own; else a contract, a mint, a denomination, a currency with its issuer
	Amount *big.Int `json:"amount"` // in the smallest unit of the asset
}

// What a Transfer is.
type What string

// The kinds of transfers.
const (
	Send      What = "send"      // leaves the wallet
	Change    What = "change"    // proved to come back to the key that signs
	Allowance What = "allowance" // may be taken later, by whom To names
)

// Call is a call of a program or a contract that this build does not read as transfers.
type Call struct {
	To     string `json:"to"`     // the contract or program
	Method string `json:"method"` // the selector in hex, the name of the message or instruction
	Data   []byte `json:"data"`   // the arguments
}

// Fact is a word and its value.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// decoder reads the payloads of one format.
type decoder func(Payload) (*Decoded, error)

// formats is the closed table: network → format → decoder.
var formats = sync.OnceValue(func() map[string]map[Format]decoder {
	all := map[string]map[Format]decoder{
		"bitcoin": {"psbt": decodePSBT},
		"cosmos":  {"direct": cosmosDirect, "amino": cosmosAmino},
		"solana":  {"transaction": decodeSolana},
		"xrpl":    {"transaction": decodeXRPL},
	}
	for network := range chainIDs() {
		all[network] = ethereumFormats()
	}
	return all
})

// Formats lists what payloads of a network may be written in, sorted; none for a network without a decoder.
func Formats(network string) []Format { return slices.Sorted(maps.Keys(formats()[network])) }

// Decode reads a payload. ErrPayload, or an error that names the networks or formats there are.
func Decode(p Payload) (*Decoded, error) {
	of, ok := formats()[p.Network]
	if !ok {
		return nil, fmt.Errorf("intent: no payloads of network %q are read; there are %s", clip(p.Network),
			strings.Join(slices.Sorted(maps.Keys(formats())), ", "))
	}
	read, ok := of[p.Format]
	if !ok {
		return nil, fmt.Errorf("intent: no format %q on %s; there are %v", clip(string(p.Format)), p.Network, Formats(p.Network))
	}
	if p.Input != 0 && p.Format != "psbt" {
		return nil, refuse("input %d of what has no inputs to choose from", p.Input)
	}
	takes := func(c address.Chain) bool { return c.Name == p.Network && c.Family == address.Family(p.Family) }
	if p.Family != "" && !slices.ContainsFunc(address.Chains(), takes) {
		return nil, refuse("%s takes no signature of such a key: its addresses are of the family %s", p.Network, p.Family)
	}
	if len(p.Bytes) == 0 || len(p.Bytes) > MaxPayload {
		return nil, fmt.Errorf("%w: %d bytes, want 1 to %d", ErrPayload, len(p.Bytes), MaxPayload)
	}
	d, err := read(p)
	if err != nil {
		return nil, err
	}
	d.Network, d.Format = p.Network, p.Format
	return d, nil
}

// Given is what a text stands for that people hand around: what is all hex, or base64, is taken as that, everything else as it is.
func Given(b []byte) []byte {
	text := strings.TrimSpace(string(b))
	if x, err := hex.DecodeString(strings.TrimPrefix(text, "0x")); err == nil && text != "" {
		return x
	}
	if x, err := base64.StdEncoding.DecodeString(text); err == nil && text != "" {
		return x
	}
	return b
}

func clip(s string) string {
	if len(s) > 32 {
		return s[:32] + "…"
	}
	return s
}

func refuse(format string, a ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrPayload}, a...)...)
}

// Rows are what it says, for people: a word and a text each. What comes from the payload is quoted.
func (d *Decoded) Rows() [][2]string {
	rows := [][2]string{{"is", d.Kind + " on " + d.Network}}
	for _, x := range d.Transfers {
		rows = append(rows, [2]string{string(x.What), fmt.Sprintf("%s to %q", d.amount(x.Asset, x.Amount), x.To)})
	}
	for _, c := range d.Calls {
		rows = append(rows, [2]string{"call", fmt.Sprintf("%q of %q with 0x%x", c.Method, c.To, c.Data)})
	}
	if d.Fee != nil {
		rows = append(rows, [2]string{"fee", "at most " + d.amount("", d.Fee)})
	}
	for _, f := range d.Facts {
		rows = append(rows, [2]string{f.Name, fmt.Sprintf("%q", f.Value)})
	}
	for _, u := range d.Unknown {
		rows = append(rows, [2]string{"NOT READ", u})
	}
	return rows
}

// amount writes one: of the network's own asset in whole units, of another in the smallest, of which it is said.
func (d *Decoded) amount(asset string, n *big.Int) string {
	if asset == "" {
		return whole(d.Network, n) + " " + d.Network
	}
	return fmt.Sprintf("%s of the smallest unit of %q", n, asset)
}

// whole writes an amount of a network's own asset in whole units, all its places; in smallest ones where decimals are not known.
func whole(network string, n *big.Int) string {
	places, ok := Decimals(network)
	if !ok {
		return n.String()
	}
	whole, rest := new(big.Int).QuoRem(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(places)), nil), new(big.Int))
	out := strings.TrimRight(fmt.Sprintf("%s.%0*s", whole, places, rest), "0")
	return strings.TrimSuffix(out, ".")
}

// Decimals is how many decimal places the whole unit of a network's own asset has; false for a network that is not known.
func Decimals(network string) (int, bool) {
	if _, ok := chainIDs()[network]; ok {
		return 18, true
	}
	n, ok := map[string]int{"bitcoin": 8, "solana": 9, "cosmos": 6, "xrpl": 6}[network]
	return n, ok
}
