package intent

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/luxfi/mpcd/internal/address"
)

// chainIDs is the closed table of the networks of the Ethereum virtual machine: the chain IDs (EIP-155) of the main chain and of the
// public test chains. What is signed for a chain is worth nothing on another, so a payload must name one of its network.
func chainIDs() map[string][]uint64 {
	return map[string][]uint64{
		"ethereum":    {1, 11155111, 560048}, // Sepolia, Hoodi
		"arbitrum":    {42161, 421614},       // Sepolia
		"avalanche-c": {43114, 43113},        // Fuji
		"base":        {8453, 84532},         // Sepolia
		"bnb":         {56, 97},              // Chapel
		"lux-c":       {96369, 96368},
		"optimism":    {10, 11155420}, // Sepolia
		"polygon":     {137, 80002},   // Amoy
	}
}

// ethereumFormats is the line of the table of every network of chainIDs.
func ethereumFormats() map[Format]decoder {
	return map[Format]decoder{
		"transaction": ethereumTransaction, // what a wallet hashes: the transaction without its signature
		"message":     ethereumMessage,     // the text of personal_sign, without the prefix of EIP-191
		"typed-data":  ethereumTypedData,   // the JSON of eth_signTypedData_v4 (EIP-712)
	}
}

// checkChain refuses a chain ID that is none of the network's.
func checkChain(network string, id *big.Int) error {
	if ids := chainIDs()[network]; !id.IsUint64() || !slices.Contains(ids, id.Uint64()) {
		return refuse("chain ID %d is none of %s, which has %v", id, network, ids)
	}
	return nil
}

// newEthereum begins what is decoded, with the account of the key that is to sign.
func newEthereum(p Payload, kind string, digest []byte) (*Decoded, error) {
	d := &Decoded{Kind: kind, Digest: digest}
	if len(p.Key) == 0 {
		return d, nil
	}
	if len(p.Key) != 33 {
		return nil, fmt.Errorf("intent: a key of %d bytes on %s, want 33 of secp256k1", len(p.Key), p.Network)
	}
	from, _, err := address.For(address.ECDSA, p.Key)
	if err != nil {
		return nil, fmt.Errorf("intent: %w", err)
	}
	d.fact("from", from)
	return d, nil
}

// from is the account of the key that is to sign; "" if no key is given.
func (d *Decoded) from() string {
	if len(d.Facts) > 0 && d.Facts[0].Name == "from" {
		return d.Facts[0].Value
	}
	return ""
}

func (d *Decoded) fact(name, value string) { d.Facts = append(d.Facts, Fact{name, value}) }

func (d *Decoded) unknown(format string, a ...any) {
	d.Unknown = append(d.Unknown, fmt.Sprintf(format, a...))
}

// The kinds of transactions, by the first byte of their payload (EIP-2718); one of EIP-155 has none, and begins with its list.
const (
	eip155  = 0
	eip2930 = 1
	eip1559 = 2
	eip4844 = 3
	eip7702 = 4

	firstList = 0xc0 // the least first byte of a list in RLP
)

// ethereumTx is the payload of a transaction, all kinds together.
type ethereumTx struct {
	kind           byte
	chainID        *big.Int
	nonce          uint64
	tip            *big.Int // max_priority_fee_per_gas; nil where the kind has none
	price          *big.Int // gas price, or max_fee_per_gas, in wei
	gas            uint64   // limit
	to             []byte   // 20 bytes; none makes a contract
	value          *big.Int // in wei
	data           []byte
	accessList     []accessTuple
	authorizations []authorization
	r, s           []byte // EIP-155: empty in what is signed
}

// accessTuple is what a transaction says that it touches: it costs gas, and permits nothing (EIP-2930).
type accessTuple struct {
	Address [20]byte
	Keys    [][32]byte
}

// authorization gives the code of Address to the account that signed it (EIP-7702).
type authorization struct {
	ChainID *big.Int
	Address [20]byte
	Nonce   uint64
	YParity uint8
	R, S    *big.Int
}

// fields are the items of the list in their order (EIP-155, EIP-2930, EIP-1559, EIP-7702).
func (t *ethereumTx) fields() []field {
	chainID, nonce, tip := field{"chain ID", number(&t.chainID)}, field{"nonce", small(&t.nonce)}, field{"max priority fee", number(&t.tip)}
	price, gas, to := field{"price of gas", number(&t.price)}, field{"gas limit", small(&t.gas)}, field{"destination", text(&t.to)}
	value, data := field{"value", number(&t.value)}, field{"data", text(&t.data)}
	access := field{"access list", listOf(&t.accessList, (*accessTuple).read)}
	switch t.kind {
	case eip155:
		return []field{nonce, price, gas, to, value, data, chainID, {"r", text(&t.r)}, {"s", text(&t.s)}}
	case eip2930:
		return []field{chainID, nonce, price, gas, to, value, data, access}
	case eip1559:
		return []field{chainID, nonce, tip, price, gas, to, value, data, access}
	}
	return []field{chainID, nonce, tip, price, gas, to, value, data, access,
		{"authorization list", listOf(&t.authorizations, (*authorization).read)}}
}

func (a *accessTuple) read() func(item) error {
	key := func(k *[32]byte) func(item) error { return fixed(k[:]) }
	return record(field{"address", fixed(a.Address[:])}, field{"storage keys", listOf(&a.Keys, key)})
}

func (a *authorization) read() func(item) error {
	return record(field{"chain ID", number(&a.ChainID)}, field{"address", fixed(a.Address[:])}, field{"nonce", small(&a.Nonce)},
		field{"y parity", small(&a.YParity)}, field{"r", number(&a.R)}, field{"s", number(&a.S)})
}

// parseEthereumTx reads the payload of a transaction as RLP (yellow paper, appendix B), and refuses what no chain takes.
func parseEthereumTx(b []byte) (*ethereumTx, error) {
	t := &ethereumTx{}
	switch {
	case b[0] == eip4844:
		return nil, refuse("a transaction with blobs (EIP-4844) is not read")
	case b[0] == eip2930 || b[0] == eip1559 || b[0] == eip7702:
		t.kind, b = b[0], b[1:]
	case b[0] < firstList:
		return nil, refuse("a transaction of type 0x%02x is not read", b[0])
	}
	whole, rest, err := splitRLP(b)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, refuse("%d bytes behind the transaction", len(rest))
	}
	items, err := whole.items()
	if err != nil {
		return nil, err
	}
	fields := t.fields()
	if t.kind == eip155 && len(items) == 6 {
		return nil, refuse("a transaction without a chain ID, of before EIP-155: whoever sees it signed may send it on any chain")
	}
	if len(items) != len(fields) {
		return nil, refuse("%d fields, an unsigned transaction of %s has %d", len(items), t.name(), len(fields))
	}
	if err := readRLP(items, fields); err != nil {
		return nil, err
	}
	return t, t.check()
}

// check refuses what is RLP and no transaction.
func (t *ethereumTx) check() error {
	numbers := []*big.Int{t.chainID, t.tip, t.price, t.value}
	for _, a := range t.authorizations {
		numbers = append(numbers, a.ChainID, a.R, a.S)
	}
	for _, n := range numbers {
		if n != nil && n.BitLen() > 256 {
			return refuse("a number of %d bits, want at most 256", n.BitLen())
		}
	}
	switch {
	case len(t.r)+len(t.s) > 0:
		return refuse("the transaction has a signature already, or fields that are not empty in its place (EIP-155)")
	case t.nonce == math.MaxUint64:
		return refuse("nonce %d (EIP-2681)", t.nonce)
	case len(t.to) != 0 && len(t.to) != 20:
		return refuse("a destination of %d bytes", len(t.to))
	case t.tip != nil && t.tip.Cmp(t.price) > 0:
		return refuse("the max priority fee is more than the max fee (EIP-1559)")
	case t.kind == eip7702 && len(t.to) == 0:
		return refuse("a transaction with authorizations makes no contract (EIP-7702)")
	case t.kind == eip7702 && len(t.authorizations) == 0:
		return refuse("a transaction of EIP-7702 without authorizations")
	}
	return nil
}

// name is the kind as people write it.
func (t *ethereumTx) name() string {
	return map[byte]string{eip155: "eip-155", eip2930: "eip-2930", eip1559: "eip-1559", eip7702: "eip-7702"}[t.kind]
}

// ethereumTransaction reads the payload that is signed: Keccak-256 of it is the digest (EIP-155, EIP-2718).
func ethereumTransaction(p Payload) (*Decoded, error) {
	t, err := parseEthereumTx(p.Bytes)
	if err != nil {
		return nil, err
	}
	if err := checkChain(p.Network, t.chainID); err != nil {
		return nil, err
	}
	d, err := newEthereum(p, t.name(), address.Keccak256(p.Bytes))
	if err != nil {
		return nil, err
	}
	d.Fee = new(big.Int).Mul(t.price, new(big.Int).SetUint64(t.gas))
	d.fact("chainId", t.chainID.String())
	d.fact("nonce", strconv.FormatUint(t.nonce, 10))
	d.fact("gas", strconv.FormatUint(t.gas, 10))
	if t.tip == nil {
		d.fact("gasPrice", t.price.String())
	} else {
		d.fact("maxFeePerGas", t.price.String())
		d.fact("maxPriorityFeePerGas", t.tip.String())
	}
	if p.Network == "optimism" || p.Network == "base" {
		d.fact("fee", "without the L1 data fee, which no field of the transaction bounds") // OP Stack specification, "L1-Cost fees"
	}
	if len(t.accessList) > 0 {
		d.fact("accessList", t.access())
	}
	for i, a := range t.authorizations {
		account := address.EIP55(a.Address)
		d.fact(fmt.Sprintf("authorizationList[%d]", i), fmt.Sprintf("code of %s, chain ID %d, nonce %d, y parity %d, r %#x, s %#x",
			account, a.ChainID, a.Nonce, a.YParity, a.R, a.S))
		d.unknown("authorization %d gives the code of %s to the account that signed it", i, account)
	}
	d.ethereumCall(t.to, t.value, t.data)
	return d, nil
}

// access says how much the access list names.
func (t *ethereumTx) access() string {
	keys := 0
	for _, a := range t.accessList {
		keys += len(a.Keys)
	}
	return fmt.Sprintf("%d addresses, %d storage keys", len(t.accessList), keys)
}

// ethereumMessage reads what personal_sign signs: bytes, to which the wallet adds a prefix and their length (EIP-191, version 0x45).
// Contracts take signatures of digests that were signed so, as Safe does of its transactions: bytes that may be one are unknown.
func ethereumMessage(p Payload) (*Decoded, error) {
	prefix := fmt.Appendf(nil, "\x19Ethereum Signed Message:\n%d", len(p.Bytes))
	d, err := newEthereum(p, "eip-191", address.Keccak256(append(prefix, p.Bytes...)))
	if err != nil {
		return nil, err
	}
	readable := printable(p.Bytes)
	if readable {
		d.fact("message", string(p.Bytes))
	} else {
		d.fact("message in hex", fmt.Sprintf("0x%x", p.Bytes))
	}
	if !readable || len(p.Bytes) == 32 {
		d.unknown("message of %d bytes that may be the digest of something else", len(p.Bytes))
	}
	return d, nil
}

// printable tells whether b is text that shows all there is in it.
func printable(b []byte) bool {
	return utf8.Valid(b) && !bytes.ContainsFunc(b, func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\r' && r != '\t' })
}
