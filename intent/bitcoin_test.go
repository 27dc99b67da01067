package intent

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	btcdpsbt "github.com/btcsuite/btcd/btcutil/psbt"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/btcsuite/btcd/chaincfg/chainhash"
	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func golden(t testing.TB, file string, into any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Goal: what BIP 174, 370 and 371 call valid is read, what they call invalid is not, and lock times are those of BIP 370. Method: their
// vectors, without those of no input, of which there is nothing to sign.
func TestPSBTVectors(t *testing.T) {
	var vectors []struct {
		BIP      int
		Case     string
		Valid    bool
		LockTime *uint32
		PSBT     []byte
	}
	golden(t, "psbt.json", &vectors)
	for _, v := range vectors {
		p, err := readPSBT(v.PSBT)
		switch {
		case (err == nil) != v.Valid || err != nil && !errors.Is(err, ErrPayload):
			t.Errorf("BIP %d, %s: %v", v.BIP, v.Case, err)
		case v.LockTime != nil && p.tx.lockTime != *v.LockTime:
			t.Errorf("BIP %d, %s: lock time %d, want %d", v.BIP, v.Case, p.tx.lockTime, *v.LockTime)
		}
	}
	if len(vectors) < 90 {
		t.Errorf("%d vectors", len(vectors))
	}
}

// Goal: the digest of an output that pays to a key's hash. Method: BIP 143, "Native P2WPKH".
func TestBIP143(t *testing.T) {
	tx, err := readTx(fromHex(t, "0100000002fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000000eeffffff"+
		"ef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206000000001976a914"+
		"8280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac11000000"), false)
	if err != nil {
		t.Fatal(err)
	}
	who, err := newBTCKey(fromHex(t, "025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee6357"))
	if err != nil || hex.EncodeToString(who.script) != "00141d0f172a0ecb48aee1be1f2687d2963ae33f71a1" {
		t.Fatalf("%x %v", who.script, err)
	}
	got := tx.keyHashDigest(1, sighashAll, btcOut{6e8, who.script})
	if hex.EncodeToString(got) != "c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670" {
		t.Errorf("%x", got)
	}
}

// Goal: the digest of a Taproot output, and the types of signatures that are made. Method: the key path vectors of BIP 341.
func TestBIP341(t *testing.T) {
	var v struct {
		Given struct {
			RawUnsignedTx string
			UtxosSpent    []struct {
				ScriptPubKey string
				AmountSats   uint64
			}
		}
		InputSpending []struct {
			Given struct {
				TxinIndex int
				HashType  uint32
			}
			Intermediary struct{ SigHash string }
		}
	}
	golden(t, "bip341.json", &v)
	tx, err := readTx(fromHex(t, v.Given.RawUnsignedTx), false)
	if err != nil {
		t.Fatal(err)
	}
	var spent []btcOut
	for _, u := range v.Given.UtxosSpent {
		spent = append(spent, btcOut{u.AmountSats, fromHex(t, u.ScriptPubKey)})
	}
	signed := 0
	for _, in := range v.InputSpending {
		hashType, err := btcKey{taproot: true}.hashType(psbtMap{"\x03": binary.LittleEndian.AppendUint32(nil, in.Given.HashType)})
		if in.Given.HashType > sighashAll {
			if err == nil {
				t.Errorf("signs with type %#x", in.Given.HashType)
			}
			continue
		}
		signed++
		got := hex.EncodeToString(tx.taprootDigest(in.Given.TxinIndex, hashType, spent))
		if err != nil || got != in.Intermediary.SigHash {
			t.Errorf("input %d: %s, want %s, %v", in.Given.TxinIndex, got, in.Intermediary.SigHash, err)
		}
	}
	if signed != 2 {
		t.Errorf("%d digests", signed)
	}
}

// pair is a field of a PSBT, packet one in the parts that tests break.
type pair struct{ key, value []byte }

type packet struct {
	global    []pair
	ins, outs [][]pair
	tail      []byte
}

func (p packet) bytes() []byte {
	b := []byte("psbt\xff")
	for _, m := range append(append([][]pair{p.global}, p.ins...), p.outs...) {
		for _, f := range m {
			b = appendVector(appendVector(b, f.key), f.value)
		}
		b = append(b, 0)
	}
	return append(b, p.tail...)
}

// set puts a field in the place of that of its key, or behind the others; nil takes it away.
func set(m *[]pair, key string, value []byte) {
	i := slices.IndexFunc(*m, func(f pair) bool { return string(f.key) == key })
	switch {
	case i >= 0 && value == nil:
		*m = slices.Delete(*m, i, i+1)
	case i >= 0:
		(*m)[i].value = value
	case value != nil:
		*m = append(*m, pair{[]byte(key), value})
	}
}

// testSpend is a transaction to sign, as btcd has it.
type testSpend struct {
	key          []byte
	input        int
	tx           *wire.MsgTx
	before       []*wire.MsgTx // what each input spends of
	whole, claim []bool        // whether the packet has it whole, and the output alone
	hashType     int           // below 0 it is left out
}

func le32(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }

func serialized(tx *wire.MsgTx, stripped bool) []byte {
	var b bytes.Buffer
	write := tx.Serialize
	if stripped {
		write = tx.SerializeNoWitness
	}
	if err := write(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func (s testSpend) spent(n int) *wire.TxOut {
	return s.before[n].TxOut[s.tx.TxIn[n].PreviousOutPoint.Index]
}

// packet writes the spend as BIP 174 or BIP 370 say.
func (s testSpend) packet(version int) packet {
	p := packet{ins: make([][]pair, len(s.before)), outs: make([][]pair, len(s.tx.TxOut))}
	for n, before := range s.before {
		if s.whole[n] {
			set(&p.ins[n], "\x00", serialized(before, false))
		}
		if s.claim[n] {
			set(&p.ins[n], "\x01", btcOut{uint64(s.spent(n).Value), s.spent(n).PkScript}.append(nil))
		}
	}
	if s.hashType >= 0 {
		set(&p.ins[s.input], "\x03", le32(uint32(s.hashType)))
	}
	if version == psbtV0 {
		set(&p.global, "\x00", serialized(s.tx, true))
		return p
	}
	p.global = []pair{{[]byte{2}, le32(uint32(s.tx.Version))}, {[]byte{3}, le32(s.tx.LockTime)},
		{[]byte{4}, appendSize(nil, len(p.ins))}, {[]byte{5}, appendSize(nil, len(p.outs))}, {[]byte{0xfb}, le32(2)}}
	for n, in := range s.tx.TxIn {
		set(&p.ins[n], "\x0e", in.PreviousOutPoint.Hash[:])
		set(&p.ins[n], "\x0f", le32(in.PreviousOutPoint.Index))
		if in.Sequence != 0xffffffff {
			set(&p.ins[n], "\x10", le32(in.Sequence))
		}
	}
	for n, out := range s.tx.TxOut {
		set(&p.outs[n], "\x03", binary.LittleEndian.AppendUint64(nil, uint64(out.Value)))
		p.outs[n] = append(p.outs[n], pair{[]byte{4}, out.PkScript})
	}
	return p
}

// library writes the spend as btcd does.
func (s testSpend) library(t testing.TB) []byte {
	p, err := btcdpsbt.NewFromUnsignedTx(s.tx)
	if err != nil {
		t.Fatal(err)
	}
	for n, before := range s.before {
		if s.whole[n] {
			p.Inputs[n].NonWitnessUtxo = before
		}
		if s.claim[n] {
			p.Inputs[n].WitnessUtxo = s.spent(n)
		}
	}
	p.Inputs[s.input].SighashType = txscript.SigHashType(max(s.hashType, 0))
	var b bytes.Buffer
	if err := p.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// btcdDigest is btcd's of an input.
func btcdDigest(t testing.TB, key []byte, tx *wire.MsgTx, input, hashType int, spent []*wire.TxOut) []byte {
	of := map[wire.OutPoint]*wire.TxOut{}
	for n, in := range tx.TxIn {
		of[in.PreviousOutPoint] = spent[n]
	}
	fetcher := txscript.NewMultiPrevOutFetcher(of)
	hashes := txscript.NewTxSigHashes(tx, fetcher)
	var digest []byte
	var err error
	if len(key) == 32 {
		digest, err = txscript.CalcTaprootSignatureHash(hashes, txscript.SigHashType(hashType), tx, input, fetcher)
	} else {
		digest, err = txscript.CalcWitnessSigHash(spent[input].PkScript, hashes, txscript.SigHashAll, tx, input, spent[input].Value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// btcRandom makes spends from a seed.
type btcRandom struct {
	*rand.Rand
	keys [][]byte
}

func newBTCRandom(seed uint64) btcRandom {
	r := btcRandom{Rand: rand.New(rand.NewPCG(seed, 0))}
	for range 8 {
		key := secp256k1.PrivKeyFromBytes(r.bytes(32)).PubKey().SerializeCompressed()
		r.keys = append(r.keys, key, key[1:])
	}
	return r
}

func (r btcRandom) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func (r btcRandom) coin() bool { return r.IntN(2) == 0 }

// script is one of a kind that has an address, or of none.
func (r btcRandom) script() []byte {
	join := func(parts ...string) []byte { return []byte(strings.Join(parts, "")) }
	switch r.IntN(8) {
	case 0:
		return join("\x76\xa9\x14", string(r.bytes(20)), "\x88\xac")
	case 1:
		return join("\xa9\x14", string(r.bytes(20)), "\x87")
	case 2:
		return join("\x00\x14", string(r.bytes(20)))
	case 3:
		return join("\x00\x20", string(r.bytes(32)))
	case 4:
		return join("\x51\x20", string(r.bytes(32)))
	case 5:
		return join("\x6a\x04", string(r.bytes(4)))
	case 6:
		return join("\x52\x14", string(r.bytes(20))) // a witness of a version to come
	}
	return r.bytes(r.IntN(300))
}

// before is a transaction with an output for an input to spend.
func (r btcRandom) before(script []byte) (tx *wire.MsgTx, index uint32) {
	tx = wire.NewMsgTx(int32(r.Uint32()))
	in := wire.NewTxIn(wire.NewOutPoint((*chainhash.Hash)(r.bytes(32)), r.Uint32()), r.bytes(r.IntN(3)), nil)
	if r.coin() {
		in.Witness = wire.TxWitness{r.bytes(r.IntN(80)), nil}
	}
	tx.AddTxIn(in)
	for range 1 + r.IntN(3) {
		tx.AddTxOut(wire.NewTxOut(r.Int64N(1e10), r.script()))
	}
	index = uint32(r.IntN(len(tx.TxOut)))
	tx.TxOut[index].PkScript = script
	return tx, index
}

// spend is a transaction of some inputs and outputs, of the key's and of others.
func (r btcRandom) spend(key []byte) testSpend {
	who, err := newBTCKey(key)
	if err != nil {
		panic(err)
	}
	s := testSpend{key: key, tx: wire.NewMsgTx(int32(r.Uint32())), hashType: []int{-1, sighashAll}[r.IntN(2)]}
	if who.taproot && r.coin() {
		s.hashType = sighashDefault
	}
	s.tx.LockTime = r.Uint32()
	n, left := 1+r.IntN(4), int64(0)
	s.input = r.IntN(n)
	for i := range n {
		script := who.script
		if i != s.input && r.coin() {
			script = r.script()
		}
		before, index := r.before(script)
		hash := before.TxHash()
		in := wire.NewTxIn(wire.NewOutPoint(&hash, index), nil, nil)
		in.Sequence -= uint32(r.IntN(3))
		s.tx.AddTxIn(in)
		alone := who.taproot && isTaproot(script) && r.coin()
		s.before, s.whole, s.claim = append(s.before, before), append(s.whole, !alone), append(s.claim, alone || r.coin())
		left += before.TxOut[index].Value
	}
	for range 1 + r.IntN(5) {
		script, amount := r.script(), r.Int64N(left/2+1)
		if r.IntN(4) == 0 {
			script = who.script
		}
		if len(script) > 0 && script[0] == opReturn && r.IntN(4) > 0 {
			amount = 0
		}
		s.tx.AddTxOut(wire.NewTxOut(amount, script))
		left -= amount
	}
	return s
}

// btcWant is what btcd sees in a spend.
func (s testSpend) want(t testing.TB) Decoded {
	var spent []*wire.TxOut
	for n := range s.before {
		spent = append(spent, s.spent(n))
	}
	d := Decoded{Network: "bitcoin", Format: "psbt", Digest: btcdDigest(t, s.key, s.tx, s.input, max(s.hashType, 0), spent)}
	own, left := s.spent(s.input).PkScript, int64(0)
	foreign, replaceable := 0, false
	for n, in := range s.tx.TxIn {
		left += s.spent(n).Value
		if !bytes.Equal(s.spent(n).PkScript, own) {
			foreign++
		}
		replaceable = replaceable || in.Sequence < wire.MaxTxInSequenceNum-1
	}
	hashType := "ALL"
	if len(s.key) == 32 && s.hashType <= 0 {
		hashType = "DEFAULT"
	}
	for _, f := range []any{"version", s.tx.Version, "locktime", s.tx.LockTime, "inputs", len(s.tx.TxIn), "input", s.input,
		"foreign_inputs", foreign, "sighash", hashType, "replaceable", replaceable} {
		if n := len(d.Facts); n == 0 || d.Facts[n-1].Value != "" {
			d.Facts = append(d.Facts, Fact{Name: f.(string)})
		} else {
			d.Facts[n-1].Value = fmt.Sprint(f)
		}
	}
	for n, out := range s.tx.TxOut {
		left -= out.Value
		class, to, _, err := txscript.ExtractPkScriptAddrs(out.PkScript, &chaincfg.MainNetParams)
		known := slices.Contains([]txscript.ScriptClass{txscript.PubKeyHashTy, txscript.ScriptHashTy, txscript.WitnessV0PubKeyHashTy,
			txscript.WitnessV0ScriptHashTy, txscript.WitnessV1TaprootTy}, class)
		what := Send
		if bytes.Equal(out.PkScript, own) {
			what = Change
		}
		switch {
		case err == nil && known:
			d.Transfers = append(d.Transfers, Transfer{What: what, To: to[0].EncodeAddress(), Amount: big.NewInt(out.Value)})
		case len(out.PkScript) > 0 && out.PkScript[0] == txscript.OP_RETURN && out.Value == 0:
			d.Facts = append(d.Facts, Fact{"op_return", hex.EncodeToString(out.PkScript[1:])})
		default:
			d.Unknown = append(d.Unknown, fmt.Sprintf("output %d: %d satoshi to script %s, which has no address", n, out.Value,
				clipHex(out.PkScript)))
		}
	}
	d.Fee = big.NewInt(left)
	return d
}

// Goal: digest, amounts, addresses, fee and facts are those that btcd sees, in both versions of packets. Method: 10,000 spends of a fixed
// seed, in packets of our own and of btcd's.
func TestBitcoinLikeBTCD(t *testing.T) {
	r := newBTCRandom(1)
	for n := range 10_000 {
		s := r.spend(r.keys[r.IntN(len(r.keys))])
		want := s.want(t)
		if want.Fee.Sign() < 0 {
			s.tx.TxOut = s.tx.TxOut[:1]
			want = s.want(t)
		}
		for _, p := range []struct {
			kind string
			b    []byte
		}{{"psbt-v0", s.packet(psbtV0).bytes()}, {"psbt-v2", s.packet(psbtV2).bytes()}, {"psbt-v0", s.library(t)}} {
			want.Kind = p.kind
			got, err := Decode(Payload{Network: "bitcoin", Format: "psbt", Bytes: p.b, Input: s.input, Key: s.key})
			if err != nil || !reflect.DeepEqual(*got, want) {
				t.Fatalf("%d, %s: %v\n%+v\nwant\n%+v", n, p.kind, err, got, want)
			}
		}
	}
}

// badSpend is a spend of two inputs, the first the key's, of one output to somebody, one to the key and one to nobody.
func badSpend(key []byte) testSpend {
	r := newBTCRandom(2)
	who, err := newBTCKey(key)
	if err != nil {
		panic(err)
	}
	s := testSpend{key: key, tx: wire.NewMsgTx(2), hashType: -1}
	for range 2 {
		before, index := r.before(who.script)
		before.TxOut[index].Value = 1e8
		hash := before.TxHash()
		s.tx.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&hash, index), nil, nil))
		s.before, s.whole, s.claim = append(s.before, before), append(s.whole, true), append(s.claim, true)
	}
	s.tx.AddTxOut(wire.NewTxOut(5e7, append([]byte{0, 20}, r.bytes(20)...)))
	s.tx.AddTxOut(wire.NewTxOut(14e7, who.script))
	s.tx.AddTxOut(wire.NewTxOut(0, []byte("\x6a\x02hi")))
	return s
}

// bad is a row: what is done to a good spend, its packet and its payload, and what is said of it.
type bad struct {
	name, says string
	spend      func(*testSpend)
	packet     func(*packet)
	payload    func(*Payload)
}

// run breaks a spend in both versions, or in the one that only names.
func (row bad) run(t *testing.T, key []byte, only ...int) {
	t.Helper()
	if only == nil {
		only = []int{psbtV0, psbtV2}
	}
	for _, version := range only {
		s := badSpend(key)
		if row.spend != nil {
			row.spend(&s)
		}
		p := s.packet(version)
		if row.packet != nil {
			row.packet(&p)
		}
		pay := Payload{Network: "bitcoin", Format: "psbt", Bytes: p.bytes(), Key: s.key}
		if row.payload != nil {
			row.payload(&pay)
		}
		if _, err := Decode(pay); !errors.Is(err, ErrPayload) || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s, version %d: %v, want %q", row.name, version, err, row.says)
		}
	}
}

var (
	ecdsaKey   = secp256k1.PrivKeyFromBytes([]byte{31: 7}).PubKey().SerializeCompressed()
	taprootKey = ecdsaKey[1:]
)

// Goal: the rows below are of one fault each. Method: without a fault it is read.
func TestBadSpendIsGood(t *testing.T) {
	for _, key := range [][]byte{ecdsaKey, taprootKey} {
		for _, version := range []int{psbtV0, psbtV2} {
			d, err := Decode(Payload{Network: "bitcoin", Format: "psbt", Bytes: badSpend(key).packet(version).bytes(), Key: key})
			if err != nil || d.Fee.Int64() != 1e7 || len(d.Transfers) != 2 || d.Transfers[1].What != Change || len(d.Unknown) > 0 {
				t.Errorf("%+v %v", d, err)
			}
		}
	}
}

func pays(amount int64) func(*testSpend) { return func(s *testSpend) { s.tx.TxOut[0].Value = amount } }
func asks(hashType int) func(*testSpend) { return func(s *testSpend) { s.hashType = hashType } }

// Goal: what is no packet, whatever its version. Method: a table.
func TestPSBTRefuses(t *testing.T) {
	double := func(m *[]pair) { *m = append(*m, (*m)[0]) }
	for _, row := range []bad{
		{name: "a byte after the end", says: "1 bytes follow", packet: func(p *packet) { p.tail = []byte{0} }},
		{name: "base64", says: "binary", payload: func(p *Payload) { p.Bytes = []byte("cHNidP8BAHECAAAA") }},
		{name: "a key twice in the global map", says: "twice", packet: func(p *packet) { double(&p.global) }},
		{name: "a key twice in an input's", says: "twice", packet: func(p *packet) { double(&p.ins[1]) }},
		{name: "a key twice in an output's", says: "twice", packet: func(p *packet) {
			p.outs[2] = append(p.outs[2], pair{[]byte{0xfc, 1}, nil}, pair{[]byte{0xfc, 1}, nil})
		}},
		{name: "version 1", says: "PSBT version 1", packet: func(p *packet) { set(&p.global, "\xfb", le32(1)) }},
		{name: "version 3", says: "PSBT version 3", packet: func(p *packet) { set(&p.global, "\xfb", le32(3)) }},
		{name: "a short version", says: "field of type", packet: func(p *packet) { set(&p.global, "\xfb", []byte{0}) }},
		{name: "an input too many", says: "", packet: func(p *packet) { p.ins = append(p.ins, nil) }},
		{name: "an output too few", says: "", packet: func(p *packet) { p.outs = p.outs[1:] }},
		{name: "a type in two bytes too many", says: "no number", packet: func(p *packet) { set(&p.ins[0], "\xfd\x03\x00", le32(1)) }},
		{name: "a type cut off", says: "no number", packet: func(p *packet) { set(&p.ins[0], "\xfd\x03", le32(1)) }},
		{name: "a signature type of two bytes", says: "type 0x3", packet: func(p *packet) { set(&p.ins[0], "\x03", []byte{1, 0}) }},
		{name: "data behind the type of witness_utxo", says: "type 0x1", packet: func(p *packet) { set(&p.ins[0], "\x01\x00", le32(1)) }},
	} {
		row.run(t, ecdsaKey)
	}
}

// Goal: what a key does not sign, whatever the packet's version. Method: a table.
func TestBitcoinRefuses(t *testing.T) {
	other := secp256k1.PrivKeyFromBytes([]byte{31: 8}).PubKey().SerializeCompressed()
	who, _ := newBTCKey(ecdsaKey)
	claim := func(amount uint64, script []byte) func(*packet) {
		return func(p *packet) { set(&p.ins[1], "\x01", btcOut{amount, script}.append(nil)) }
	}
	for _, row := range []bad{
		{name: "input -1", says: "no input -1", payload: func(p *Payload) { p.Input = -1 }},
		{name: "input 2 of 2", says: "no input 2", payload: func(p *Payload) { p.Input = 2 }},
		{name: "somebody else's input", says: "the key's is", payload: func(p *Payload) { p.Key = other }},
		{name: "no key", says: "key of 0 bytes", payload: func(p *Payload) { p.Key = nil }},
		{name: "a long key", says: "key of 65 bytes", payload: func(p *Payload) {
			p.Key = secp256k1.PrivKeyFromBytes([]byte{31: 7}).PubKey().SerializeUncompressed()
		}},
		{name: "no point", says: "key of 33 bytes", payload: func(p *Payload) {
			p.Key = append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...)
		}},

		{name: "nothing of what is spent", says: "does not say what input 1", spend: func(s *testSpend) {
			s.whole[1], s.claim[1] = false, false
		}},
		{name: "two amounts", says: "two things of what input 1", packet: claim(1e8+1, who.script)},
		{name: "two scripts", says: "two things of what input 1", packet: claim(1e8, []byte{0x51})},
		{name: "another transaction", says: "not the transaction", packet: func(p *packet) {
			set(&p.ins[1], "\x00", serialized(badSpend(ecdsaKey).before[0], false))
		}},
		{name: "bytes after the transaction", says: "1 bytes follow", packet: func(p *packet) {
			set(&p.ins[1], "\x00", append(serialized(badSpend(ecdsaKey).before[1], false), 0))
		}},
		{name: "a witness that is none", says: "has none", packet: func(p *packet) {
			set(&p.ins[1], "\x00", fromHex(t, "0200000000010000"+"00000000"))
			set(&p.ins[1], "\x01", nil)
		}},
		{name: "bytes after an output", says: "1 bytes follow", packet: func(p *packet) {
			set(&p.ins[1], "\x01", append(btcOut{1e8, []byte{0x51}}.append(nil), 0))
		}},
		{name: "a length in more bytes", says: "more bytes than it needs", packet: func(p *packet) {
			set(&p.ins[1], "\x01", append(binary.LittleEndian.AppendUint64(nil, 1e8), 0xfd, 1, 0, 0x51))
		}},
		{name: "one output spent twice", says: "spent by two", spend: func(s *testSpend) {
			s.tx.TxIn[1].PreviousOutPoint, s.before[1] = s.tx.TxIn[0].PreviousOutPoint, s.before[0]
		}},
		{name: "no outputs", says: "0 outputs", spend: func(s *testSpend) { s.tx.TxOut = nil }},
	} {
		row.run(t, ecdsaKey)
	}
}

// Goal: amounts are ones, and a signature is of the whole transaction. Method: a table.
func TestBitcoinRefusesAmounts(t *testing.T) {
	for _, row := range []bad{
		{name: "a negative fee", says: "the outputs pay 200000001", spend: pays(6e7 + 1)},
		{name: "an amount of more than there is", says: "more than there are", spend: pays(maxSatoshi + 1)},
		{name: "a negative amount", says: "more than there are", spend: pays(-1)},
		{name: "amounts that add up to it", says: "more than there are", spend: pays(maxSatoshi - 1e7)},
		{name: "amounts that overflow", says: "more than there are", spend: func(s *testSpend) { s.tx.TxOut[1].Value = -5e7 }},

		{name: "NONE", says: "signature type 0x2", spend: asks(2)},
		{name: "SINGLE", says: "signature type 0x3", spend: asks(3)},
		{name: "ALL and ANYONECANPAY", says: "signature type 0x81", spend: asks(0x81)},
		{name: "ALL in its lowest byte", says: "signature type 0x101", spend: asks(0x101)},
	} {
		row.run(t, ecdsaKey)
	}
}

// Goal: what is refused of one version, or one kind of key, only. Method: a table.
func TestBitcoinRefusesSome(t *testing.T) {
	bad{name: "DEFAULT of ECDSA", says: "signature type 0x0", spend: asks(0)}.run(t, ecdsaKey)
	bad{name: "SINGLE of Taproot", says: "signature type 0x3", spend: asks(3)}.run(t, taprootKey)
	bad{name: "DEFAULT in its lowest byte", says: "signature type 0x100", spend: asks(0x100)}.run(t, taprootKey)
	count := func(b []byte) func(*packet) { return func(p *packet) { set(&p.global, "\x04", b) } }
	for _, row := range []bad{
		{name: "a count of one less", says: "an output's map lacks", packet: count([]byte{1})},
		{name: "a count of one more", says: "an input's map", packet: count([]byte{3})},
		{name: "a count in more bytes", says: "more bytes than it needs", packet: count([]byte{0xfd, 2, 0})},
		{name: "a count and more", says: "1 bytes follow", packet: count([]byte{2, 0})},
		{name: "a count of very many", says: "", packet: count([]byte{0xff, 0, 0, 0, 0, 0, 0, 0, 0x80})},
		{name: "an output that is not there", says: "that has", packet: func(p *packet) {
			set(&p.ins[1], "\x0f", le32(uint32(len(badSpend(ecdsaKey).before[1].TxOut))))
		}},
	} {
		row.run(t, ecdsaKey, psbtV2)
	}
	bad{name: "a signature script", says: "signature script", spend: func(s *testSpend) { s.tx.TxIn[1].SignatureScript = []byte{0x51} }}.
		run(t, ecdsaKey, psbtV0)
	bad{name: "no transaction", says: "lacks the field of type 0x0", packet: func(p *packet) { set(&p.global, "\x00", nil) }}.
		run(t, ecdsaKey, psbtV0)
}

// Goal: an amount is proved before it is signed over. Method: leave the transaction before away of each input: an ECDSA key signs only
// its own amount and needs all of them, also of Taproot inputs; a Taproot key signs all amounts and does without those of Taproot.
func TestAmountsAreProved(t *testing.T) {
	alone := func(n int) func(*testSpend) { return func(s *testSpend) { s.whole[n] = false } }
	bad{name: "the input signed", says: "input 0 spends (non_witness_utxo)", spend: alone(0)}.run(t, ecdsaKey)
	bad{name: "another input", says: "input 1 spends (non_witness_utxo)", spend: alone(1)}.run(t, ecdsaKey)
	other := func(script []byte) func(*testSpend) {
		return func(s *testSpend) {
			s.whole[1] = false
			s.before[1].TxOut[s.tx.TxIn[1].PreviousOutPoint.Index].PkScript = script
			s.tx.TxIn[1].PreviousOutPoint.Hash = s.before[1].TxHash()
		}
	}
	bad{name: "a Taproot input beside ECDSA", says: "input 1 spends (non_witness_utxo)",
		spend: other(append([]byte{0x51, 32}, taprootKey...))}.run(t, ecdsaKey)
	bad{name: "a P2WPKH input beside Taproot", says: "input 1 spends (non_witness_utxo)",
		spend: other(append([]byte{0x00, 20}, taprootKey[:20]...))}.run(t, taprootKey)
	bad{name: "a legacy input beside Taproot", says: "input 1 spends (non_witness_utxo)", spend: other([]byte{0x51})}.run(t, taprootKey)
}

// Goal: an output is change by its script and by nothing that a packet says. Method: a foreign output with the derivation fields of the
// key (BIP 174, BIP 371) is a Send.
func TestChangeIsProved(t *testing.T) {
	for _, version := range []int{psbtV0, psbtV2} {
		for _, key := range [][]byte{ecdsaKey, taprootKey} {
			p := badSpend(key).packet(version)
			set(&p.outs[0], "\x02"+string(ecdsaKey), bytes.Repeat([]byte{0}, 8))
			set(&p.outs[0], "\x05", taprootKey)
			set(&p.outs[0], "\x07"+string(taprootKey), bytes.Repeat([]byte{0}, 9))
			d, err := Decode(Payload{Network: "bitcoin", Format: "psbt", Bytes: p.bytes(), Key: key})
			if err != nil || len(d.Transfers) != 2 || d.Transfers[0].What != Send || d.Transfers[1].What != Change {
				t.Errorf("%+v %v", d, err)
			}
		}
	}
}

// Goal: a packet is read whole or not at all. Method: every beginning of one.
func TestPSBTCutOff(t *testing.T) {
	for _, version := range []int{psbtV0, psbtV2} {
		b := badSpend(ecdsaKey).packet(version).bytes()
		for n := range b {
			if _, err := Decode(Payload{Network: "bitcoin", Format: "psbt", Bytes: b[:n], Key: ecdsaKey}); err == nil {
				t.Fatalf("reads %d bytes of %d", n, len(b))
			}
		}
	}
}

// FuzzPSBT: of any packet that is read, digest and transaction are btcd's.
func FuzzPSBT(f *testing.F) {
	for _, key := range [][]byte{ecdsaKey, taprootKey} {
		for _, version := range []int{psbtV0, psbtV2} {
			f.Add(badSpend(key).packet(version).bytes(), 0, len(key) == 32)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, input int, taproot bool) {
		key := ecdsaKey
		if taproot {
			key = taprootKey
		}
		d, err := Decode(Payload{Network: "bitcoin", Format: "psbt", Bytes: b, Input: input, Key: key})
		if err != nil {
			return
		}
		p, err := readPSBT(b)
		if err != nil {
			t.Fatal(err)
		}
		who, _ := newBTCKey(key)
		spent, err := p.spent(who)
		if err != nil {
			t.Fatal(err)
		}
		tx := wire.NewMsgTx(2)
		if err := tx.DeserializeNoWitness(bytes.NewReader(p.tx.encode())); err != nil {
			return // btcd has limits of its own
		}
		var outs []*wire.TxOut
		for _, o := range spent {
			outs = append(outs, wire.NewTxOut(int64(o.amount), o.script))
		}
		hashType := 0
		if d.Facts[5] == (Fact{"sighash", "ALL"}) {
			hashType = 1
		}
		if want := btcdDigest(t, key, tx, input, hashType, outs); !bytes.Equal(d.Digest, want) {
			t.Errorf("%x, btcd has %x", d.Digest, want)
		}
	})
}

// FuzzTransaction: a transaction that is read is written in the same bytes, and btcd reads the same one with or without a witness.
func FuzzTransaction(f *testing.F) {
	s := badSpend(ecdsaKey)
	f.Add(serialized(s.tx, true), false)
	f.Add(serialized(s.before[0], false), true)
	f.Add(serialized(s.before[1], false), true)
	f.Fuzz(func(t *testing.T, b []byte, extended bool) {
		tx, err := readTx(b, extended)
		if err != nil {
			return
		}
		if !extended && !bytes.Equal(tx.encode(), b) {
			t.Errorf("%x is written as %x", b, tx.encode())
		}
		other := wire.NewMsgTx(2)
		read := other.DeserializeNoWitness
		if extended {
			read = other.Deserialize
		}
		if err := read(bytes.NewReader(b)); err != nil {
			return // btcd has limits of its own
		}
		if tx.txid() != other.TxHash() || !bytes.Equal(tx.encode(), serialized(other, true)) {
			t.Errorf("%x: %x, btcd has %x", b, tx.encode(), serialized(other, true))
		}
	})
}
