package intent

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/accounts"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"
)

// keyOne is the public key of the secret 1, and accountOne its account.
var keyOne = unhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")

const accountOne = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
	if err != nil {
		panic(err)
	}
	return b
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// factOf is the value of the one fact of a name; "" if there is none.
func factOf(d *Decoded, name string) (value string) {
	for _, f := range d.Facts {
		if f.Name == name {
			if value != "" {
				return "twice: " + value + ", " + f.Value
			}
			value = f.Value
		}
	}
	return value
}

// source draws the values of random payloads.
type source struct{ *rand.Rand }

func newSource(seed uint64) source { return source{rand.New(rand.NewPCG(seed, 0))} }

func (s source) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(s.Uint32())
	}
	return b
}

func (s source) big(bits int) *big.Int {
	n := new(big.Int).SetBytes(s.bytes(bits / 8))
	return n.Rsh(n, s.UintN(uint(bits)+1))
}

func (s source) account() common.Address { return common.Address(s.bytes(20)) }

func (s source) accessList() (list types.AccessList) {
	for range s.IntN(3) {
		a := types.AccessTuple{Address: s.account(), StorageKeys: []common.Hash{}}
		for range s.IntN(3) {
			a.StorageKeys = append(a.StorageKeys, common.Hash(s.bytes(32)))
		}
		list = append(list, a)
	}
	return list
}

func (s source) authorizations() (list []types.SetCodeAuthorization) {
	for range 1 + s.IntN(2) {
		list = append(list, types.SetCodeAuthorization{ChainID: *u256(s.big(64)), Address: s.account(), Nonce: s.Uint64(),
			V: byte(s.UintN(2)), R: *u256(s.big(256)), S: *u256(s.big(256))})
	}
	return list
}

func u256(n *big.Int) *uint256.Int { return uint256.MustFromBig(n) }

// transaction draws a transaction of a kind, as go-ethereum has it.
func (s source) transaction(kind byte, chain *big.Int) *types.Transaction {
	nonce, gas, value, price := s.Uint64()>>s.UintN(64)>>1, s.Uint64()>>s.UintN(64), s.big(256), s.big(256)
	tip := new(big.Int).Rsh(price, s.UintN(9))
	to, data := s.account(), s.bytes(s.IntN(5)*s.IntN(40))
	at := &to
	if s.IntN(8) == 0 && kind != eip7702 {
		at = nil
	}
	switch kind {
	case eip155:
		return types.NewTx(&types.LegacyTx{Nonce: nonce, GasPrice: price, Gas: gas, To: at, Value: value, Data: data})
	case eip2930:
		return types.NewTx(&types.AccessListTx{ChainID: chain, Nonce: nonce, GasPrice: price, Gas: gas, To: at, Value: value, Data: data,
			AccessList: s.accessList()})
	case eip1559:
		return types.NewTx(&types.DynamicFeeTx{ChainID: chain, Nonce: nonce, GasTipCap: tip, GasFeeCap: price, Gas: gas, To: at,
			Value: value, Data: data, AccessList: s.accessList()})
	}
	return types.NewTx(&types.SetCodeTx{ChainID: u256(chain), Nonce: nonce, GasTipCap: u256(tip), GasFeeCap: u256(price), Gas: gas, To: to,
		Value: u256(value), Data: data, AccessList: s.accessList(), AuthList: s.authorizations()})
}

// unsigned is the payload of a transaction, which go-ethereum hashes and never shows.
func unsigned(tx *types.Transaction, chain *big.Int) []byte {
	var to any = []byte{}
	if tx.To() != nil {
		to = tx.To()
	}
	middle := []any{tx.Gas(), to, tx.Value(), tx.Data()}
	var list []any
	switch tx.Type() {
	case eip155:
		list = append([]any{tx.Nonce(), tx.GasPrice()}, append(middle, chain, uint(0), uint(0))...)
		return must(rlp.EncodeToBytes(list))
	case eip2930:
		list = append([]any{chain, tx.Nonce(), tx.GasPrice()}, append(middle, tx.AccessList())...)
	case eip1559:
		list = append([]any{chain, tx.Nonce(), tx.GasTipCap(), tx.GasFeeCap()}, append(middle, tx.AccessList())...)
	case eip7702:
		middle = append(middle, tx.AccessList(), tx.SetCodeAuthorizations())
		list = append([]any{chain, tx.Nonce(), tx.GasTipCap(), tx.GasFeeCap()}, middle...)
	}
	return append([]byte{tx.Type()}, must(rlp.EncodeToBytes(list))...)
}

// encode writes what parseEthereumTx read.
func encode(t *ethereumTx) []byte {
	to, access := any(t.to), any(t.accessList)
	list := map[byte][]any{
		eip155:  {t.nonce, t.price, t.gas, to, t.value, t.data, t.chainID, t.r, t.s},
		eip2930: {t.chainID, t.nonce, t.price, t.gas, to, t.value, t.data, access},
		eip1559: {t.chainID, t.nonce, t.tip, t.price, t.gas, to, t.value, t.data, access},
		eip7702: {t.chainID, t.nonce, t.tip, t.price, t.gas, to, t.value, t.data, access, t.authorizations},
	}[t.kind]
	b := must(rlp.EncodeToBytes(list))
	if t.kind != eip155 {
		b = append([]byte{t.kind}, b...)
	}
	return b
}

// Goal: what is shown of a transaction, and what is signed, is what the network reads in the same bytes. Method: 10,000 transactions of
// each kind, drawn as go-ethereum's; its digest, and its fields one by one.
func TestEthereumTransactions(t *testing.T) {
	s := newSource(1)
	for kind, name := range []string{eip155: "eip-155", eip2930: "eip-2930", eip1559: "eip-1559", eip7702: "eip-7702"} {
		for i := range 10_000 {
			if name == "" {
				break // EIP-4844
			}
			chain := new(big.Int).SetUint64(chainIDs()["polygon"][i%2])
			tx := s.transaction(byte(kind), chain)
			p := Payload{Network: "polygon", Format: "transaction", Bytes: unsigned(tx, chain)}
			d, err := Decode(p)
			if err != nil {
				t.Fatalf("%s %d: %v: %x", name, i, err, p.Bytes)
			}
			if want := types.LatestSignerForChainID(chain).Hash(tx); d.Kind != name || !bytes.Equal(d.Digest, want[:]) {
				t.Fatalf("%s %d: %s, digest %x, want %x", name, i, d.Kind, d.Digest, want)
			}
			if err := sameFields(d, tx, chain); err != nil {
				t.Fatalf("%s %d: %v: %x", name, i, err, p.Bytes)
			}
		}
	}
}

// sameFields compares what is shown of a transaction with the transaction.
func sameFields(d *Decoded, tx *types.Transaction, chain *big.Int) error {
	want := map[string]string{"chainId": chain.String(), "nonce": fmt.Sprint(tx.Nonce()), "gas": fmt.Sprint(tx.Gas())}
	if tx.Type() == eip155 || tx.Type() == eip2930 {
		want["gasPrice"] = tx.GasPrice().String()
	} else {
		want["maxFeePerGas"], want["maxPriorityFeePerGas"] = tx.GasFeeCap().String(), tx.GasTipCap().String()
	}
	if n := len(tx.AccessList()); n > 0 {
		want["accessList"] = fmt.Sprintf("%d addresses, %d storage keys", n, tx.AccessList().StorageKeys())
	}
	for i, a := range tx.SetCodeAuthorizations() {
		want[fmt.Sprintf("authorizationList[%d]", i)] = fmt.Sprintf("code of %v, chain ID %s, nonce %d, y parity %d, r %s, s %s", a.Address,
			a.ChainID.Dec(), a.Nonce, a.V, a.R.Hex(), a.S.Hex())
	}
	for name, value := range want {
		if factOf(d, name) != value {
			return fmt.Errorf("%s %q, want %q", name, factOf(d, name), value)
		}
	}
	if len(d.Facts) != len(want) {
		return fmt.Errorf("facts %v, want %v", d.Facts, want)
	}
	if fee := new(big.Int).Mul(tx.GasFeeCap(), new(big.Int).SetUint64(tx.Gas())); d.Fee.Cmp(fee) != 0 {
		return fmt.Errorf("fee %d, want %d", d.Fee, fee)
	}
	return sameCall(d, tx)
}

// sameCall compares what a transaction with random calldata sends and calls.
func sameCall(d *Decoded, tx *types.Transaction) error {
	to, transfers, unknown := "", []Transfer{}, len(tx.SetCodeAuthorizations())
	if tx.To() != nil {
		to = tx.To().Hex()
	}
	if tx.Value().Sign() > 0 || to != "" && len(tx.Data()) == 0 {
		transfers = append(transfers, Transfer{Send, to, "", tx.Value()})
	}
	if fmt.Sprint(d.Transfers) != fmt.Sprint(transfers) {
		return fmt.Errorf("transfers %v, want %v", d.Transfers, transfers)
	}
	calls := ""
	for _, c := range d.Calls {
		calls += c.To + c.Method + hex.EncodeToString(c.Data)
	}
	want := to + hex.EncodeToString(tx.Data())
	if len(tx.Data()) >= 4 && to != "" {
		want = to + "0x" + hex.EncodeToString(tx.Data())
	}
	switch {
	case to != "" && len(tx.Data()) == 0:
		want = ""
	case to == "" || len(tx.Data()) < 4:
		unknown++
	}
	if calls != want || len(d.Unknown) != unknown {
		return fmt.Errorf("calls %q, want %q; unknown %q", calls, want, d.Unknown)
	}
	return nil
}

// Goal: the digests are those that the EIPs print. Method: the example of EIP-155, and the text that ethers documents hashMessage with.
func TestEthereumVectors(t *testing.T) {
	for _, c := range []struct {
		format  Format
		payload []byte
		digest  string
		fact    Fact
	}{
		{"transaction", unhex(exampleEIP155), "daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53", Fact{"nonce", "9"}},
		{"message", []byte("Hello World"), "a1de988600a42c4b4ab089b619297c17d53cffae5d5120d82d8a92d0bb3b78f2",
			Fact{"message", "Hello World"}},
		{"typed-data", []byte(mail), "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2",
			Fact{"message.from.wallet", "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"}},
	} {
		d, err := Decode(Payload{Network: "ethereum", Format: c.format, Bytes: c.payload, Key: keyOne})
		if err != nil || hex.EncodeToString(d.Digest) != c.digest {
			t.Errorf("%s: %+v, %v", c.format, d, err)
			continue
		}
		if factOf(d, c.fact.Name) != c.fact.Value || factOf(d, "from") != accountOne {
			t.Errorf("%s: facts %q", c.format, d.Facts)
		}
	}
}

const exampleEIP155 = "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080"

// unsignedInts makes what RLP can write of numbers in a list.
func unsignedInts(list []any) []any {
	out := []any{}
	for _, x := range list {
		switch x := x.(type) {
		case int:
			out = append(out, uint(x))
		case []any:
			out = append(out, unsignedInts(x))
		default:
			out = append(out, x)
		}
	}
	return out
}

// Goal: a payload that is read in two ways, not at all, or on another chain, is refused, and the error says why. Method: a row for each.
func TestEthereumTransactionRefused(t *testing.T) {
	to := bytes.Repeat([]byte{0x35}, 20)
	list := func(kind string, fields ...any) []byte {
		return append([]byte(kind), must(rlp.EncodeToBytes(unsignedInts(fields)))...)
	}
	one, none := big.NewInt(1), []any{}
	beyond := new(big.Int).Add(new(big.Int).Lsh(one, 64), one) // whose lower 64 bits are 1
	auth := []any{[]any{1, to, 7, 1, 5, 6}}
	large := new(big.Int).Lsh(one, 256)
	maxNonce := ^uint64(0)
	for name, c := range map[string]struct {
		payload []byte
		want    string
	}{
		"trailing byte":          {append(unhex(exampleEIP155), 0), "1 bytes behind"},
		"before EIP-155":         {list("", 9, 2, 21000, to, one, ""), "without a chain ID"},
		"signed, EIP-155":        {list("", 9, 2, 21000, to, one, "", 37, one, one), "has a signature"},
		"half signed":            {list("", 9, 2, 21000, to, one, "", 1, 0, one), "has a signature"},
		"zero in place of r":     {list("", 9, 2, 21000, to, one, "", 1, []byte{0}, 0), "has a signature"},
		"signed, EIP-1559":       {list("\x02", 1, 9, 1, 2, 21000, to, one, "", none, 0, 1, 1), "12 fields, an unsigned"},
		"a field less":           {list("\x02", 1, 9, 1, 2, 21000, to, one, ""), "8 fields, an unsigned"},
		"another chain":          {list("", 9, 2, 21000, to, one, "", 137, 0, 0), "chain ID 137 is none of ethereum"},
		"another chain, typed":   {list("\x02", 56, 9, 1, 2, 21000, to, one, "", none), "chain ID 56"},
		"chain ID above 64 bits": {list("\x02", beyond, 9, 1, 2, 21000, to, one, "", none), "chain ID"},
		"large chain ID":         {list("\x02", large, 9, 1, 2, 21000, to, one, "", none), "257 bits"},
		"no chain":               {list("", 9, 2, 21000, to, one, "", 0, 0, 0), "chain ID 0"},
		"zeros before a number":  {list("", []byte{0, 9}, 2, 21000, to, one, "", 1, 0, 0), "nonce"},
		"zeros before an amount": {list("", 9, 2, 21000, to, []byte{0, 1}, "", 1, 0, 0), "value"},
		"zero that is a byte":    {list("", 9, 2, 21000, to, []byte{0}, "", 1, 0, 0), "value"},
		"long nonce":             {list("", bytes.Repeat([]byte{1}, 9), 2, 21000, to, one, "", 1, 0, 0), "nonce"},
		"greatest nonce":         {list("", maxNonce, 2, 21000, to, one, "", 1, 0, 0), "EIP-2681"},
		"large value":            {list("", 9, 2, 21000, to, large, "", 1, 0, 0), "257 bits"},
		"large price":            {list("", 9, large, 21000, to, one, "", 1, 0, 0), "257 bits"},
		"list for a string":      {list("", 9, 2, 21000, to, one, none, 1, 0, 0), "data"},
		"string for a list":      {list("\x02", 1, 9, 1, 2, 21000, to, one, "", ""), "access list"},
		"short destination":      {list("", 9, 2, 21000, to[1:], one, "", 1, 0, 0), "19 bytes"},
		"tip above the fee":      {list("\x02", 1, 9, 3, 2, 21000, to, one, "", none), "max priority fee"},
		"short storage key":      {list("\x01", 1, 9, 2, 21000, to, one, "", []any{[]any{to, []any{to}}}), "access list"},
		"no authorization":       {list("\x04", 1, 9, 1, 2, 21000, to, one, "", none, none), "without authorizations"},
		"contract, EIP-7702":     {list("\x04", 1, 9, 1, 2, 21000, "", one, "", none, auth), "makes no contract"},
		"large authorization":    {list("\x04", 1, 9, 1, 2, 21000, to, one, "", none, []any{[]any{1, to, 7, 1, large, 6}}), "257 bits"},
		"blobs":                  {list("\x03", 1, 9, 1, 2, 21000, to, one, "", none, 1, none), "EIP-4844"},
		"authorization alone":    {list("\x05", 1, to, 7), "type 0x05"},
		"another type":           {list("\x7e", 1), "type 0x7e"},
		"a string":               {unhex("83010203"), "type 0x83"},
		"zeros in a length":      {slices.Concat(unhex("f9002c"), unhex(exampleEIP155)[1:]), "not the shortest"},
		"zeros, a long list":     {append([]byte{0xf9, 0, 60}, make([]byte, 60)...), "not the shortest"},
		"length cut short":       {[]byte{0xf9, 1}, "ends early"},
		"type alone":             {[]byte{2}, "ends early"},
		"long form of a length":  {append(unhex("f82c"), unhex(exampleEIP155)[1:]...), "not the shortest"},
		"long form of a byte":    {append(unhex("ed8109"), unhex(exampleEIP155)[2:]...), "its own encoding"},
		"cut short":              {unhex(exampleEIP155)[:40], "ends early"},
	} {
		d, err := Decode(Payload{Network: "ethereum", Format: "transaction", Bytes: c.payload})
		if !errors.Is(err, ErrPayload) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

// Goal: only a key of secp256k1 signs for these networks. Method: keys of other forms.
func TestEthereumKey(t *testing.T) {
	y := unhex("483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8")
	for name, key := range map[string][]byte{
		"of Ed25519":   keyOne[1:],
		"uncompressed": slices.Concat([]byte{4}, keyOne[1:], y),
		"no point":     append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...),
	} {
		if d, err := Decode(Payload{Network: "base", Format: "message", Bytes: []byte("x"), Key: key}); err == nil {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// Goal: every network of the family takes payloads of its own chains, and where the fee is not all it costs says so. Method: a transfer on
// each.
func TestEthereumNetworks(t *testing.T) {
	for network, ids := range chainIDs() {
		for _, id := range ids {
			chain := new(big.Int).SetUint64(id)
			tx := types.NewTx(&types.LegacyTx{To: &common.Address{1}, Gas: 21000})
			d, err := Decode(Payload{Network: network, Format: "transaction", Bytes: unsigned(tx, chain)})
			if err != nil {
				t.Errorf("%s: %v", network, err)
			} else if (factOf(d, "fee") != "") != (network == "base" || network == "optimism") {
				t.Errorf("%s: %v", network, d.Facts)
			}
		}
	}
}

// Goal: a message is shown as the text that it is, and one that may be a digest, of which a contract makes something else, is unknown.
// Method: a row of each; digests as go-ethereum computes them.
func TestEthereumMessage(t *testing.T) {
	for message, unknown := range map[string]bool{
		"sign in\n\tas ünï": false, "\x19Ethereum": true, "\xff": true, "\u202egnihton": true, "\x00": true,
		"12345678901234567890123456789012": true, "1234567890123456789012345678901": false,
	} {
		d, err := Decode(Payload{Network: "ethereum", Format: "message", Bytes: []byte(message)})
		if err != nil || !bytes.Equal(d.Digest, accounts.TextHash([]byte(message))) || (len(d.Unknown) > 0) != unknown ||
			len(d.Transfers) > 0 {
			t.Errorf("%q: %+v, %v", message, d, err)
			continue
		}
		if f := d.Facts[0]; f != (Fact{"message", message}) && f != (Fact{"message in hex", "0x" + hex.EncodeToString([]byte(message))}) {
			t.Errorf("%q: %+v", message, f)
		}
	}
}

// Goal: no payload makes the decoder panic, and what it takes is the one encoding of the transaction whose digest it gives. Method: fuzz;
// what was read is written anew, and go-ethereum hashes it.
func FuzzEthereumTransaction(f *testing.F) {
	s, chain := newSource(2), big.NewInt(1)
	for i := range byte(20) {
		f.Add(unsigned(s.transaction([]byte{eip155, eip2930, eip1559, eip7702}[i%4], chain), chain))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Decode(Payload{Network: "ethereum", Format: "transaction", Bytes: b})
		if err != nil {
			return
		}
		tx := must(parseEthereumTx(b))
		if again := encode(tx); !bytes.Equal(again, b) {
			t.Errorf("read %x, which is written %x", b, again)
		}
		if want := types.LatestSignerForChainID(tx.chainID).Hash(gethTx(tx)); !bytes.Equal(d.Digest, want[:]) {
			t.Errorf("digest %x, go-ethereum says %x", d.Digest, want)
		}
	})
}

// gethTx is a transaction as go-ethereum has it.
func gethTx(t *ethereumTx) *types.Transaction {
	var to *common.Address
	if len(t.to) > 0 {
		to = (*common.Address)(t.to)
	}
	list := must(rlp.EncodeToBytes(t.accessList))
	var access types.AccessList
	must(0, rlp.DecodeBytes(list, &access))
	switch t.kind {
	case eip155:
		return types.NewTx(&types.LegacyTx{Nonce: t.nonce, GasPrice: t.price, Gas: t.gas, To: to, Value: t.value, Data: t.data})
	case eip2930:
		return types.NewTx(&types.AccessListTx{ChainID: t.chainID, Nonce: t.nonce, GasPrice: t.price, Gas: t.gas, To: to, Value: t.value,
			Data: t.data, AccessList: access})
	case eip1559:
		return types.NewTx(&types.DynamicFeeTx{ChainID: t.chainID, Nonce: t.nonce, GasTipCap: t.tip, GasFeeCap: t.price, Gas: t.gas, To: to,
			Value: t.value, Data: t.data, AccessList: access})
	}
	set := &types.SetCodeTx{ChainID: u256(t.chainID), Nonce: t.nonce, GasTipCap: u256(t.tip), GasFeeCap: u256(t.price), Gas: t.gas, To: *to,
		Value: u256(t.value), Data: t.data, AccessList: access}
	for _, a := range t.authorizations {
		set.AuthList = append(set.AuthList, types.SetCodeAuthorization{ChainID: *u256(a.ChainID), Address: a.Address, Nonce: a.Nonce,
			V: a.YParity, R: *u256(a.R), S: *u256(a.S)})
	}
	return types.NewTx(set)
}

// Goal: a message is hashed as wallets hash it, and shown whole. Method: fuzz against go-ethereum.
func FuzzEthereumMessage(f *testing.F) {
	f.Add([]byte("hello"))
	f.Add([]byte{0xff, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Decode(Payload{Network: "ethereum", Format: "message", Bytes: b})
		if err != nil {
			return
		}
		shown := d.Facts[0]
		if !bytes.Equal(d.Digest, accounts.TextHash(b)) || shown.Name == "message" && shown.Value != string(b) ||
			shown.Name != "message" && (!bytes.Equal(unhex(shown.Value), b) || len(d.Unknown) == 0) {
			t.Errorf("%q: %+v", b, d)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	key, payload := keyOne, unhex("02f00107843b9aca008506fc23ac008252089435353535353535353535353535353535353535358814d1120d7b16000080c0")
	for b.Loop() {
		if _, err := Decode(Payload{Network: "ethereum", Format: "transaction", Bytes: payload, Key: key}); err != nil {
			b.Fatal(err)
		}
	}
}
