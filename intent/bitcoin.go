package intent

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/big"
	"strconv"

	"github.com/luxfi/mpcd/internal/address"
)

// The types of signatures that are made: those over the whole transaction.
const (
	sighashDefault = 0 // of Taproot: as ALL, and not written behind the signature (BIP 341)
	sighashAll     = 1
)

// notReplaceable is the lowest sequence of an input that does not say that the transaction may be replaced (BIP 125).
const notReplaceable = 0xfffffffe

// btcKey is the key that signs an input, and the script of the outputs that are its own.
type btcKey struct {
	taproot bool // an x-only output key, which signs as it is (BIP 341, key path); else ECDSA and its hash (BIP 143)
	script  []byte
}

func newBTCKey(key []byte) (btcKey, error) {
	s, family := btcKey{}, address.ECDSA
	if len(key) == 32 {
		s.taproot, family = true, address.Taproot
	}
	script, err := address.BitcoinScript(family, key)
	if err != nil || len(key) > 33 {
		return s, refuse("a key of %d bytes spends nothing on Bitcoin: 33 bytes of a compressed point do, or 32 of a Taproot key", len(key))
	}
	s.script = script
	return s, nil
}

// owns tells whether an output is the key's, by its script alone: what a PSBT says of derivations (BIP 32) is somebody's word. An output
// of a child of the key could be proved here too, from a chain code and a path without hardened steps.
func (s btcKey) owns(o btcOut) bool { return bytes.Equal(o.script, s.script) }

// decodePSBT reads a packet of version 0 or 2, for the signature of one input.
func decodePSBT(p Payload) (*Decoded, error) {
	who, err := newBTCKey(p.Key)
	if err != nil {
		return nil, err
	}
	packet, err := readPSBT(p.Bytes)
	if err != nil {
		return nil, err
	}
	if p.Input < 0 || p.Input >= len(packet.inputs) {
		return nil, refuse("there is no input %d; there are %d, counted from 0", p.Input, len(packet.inputs))
	}
	spent, err := packet.spent(who)
	if err != nil {
		return nil, err
	}
	if !who.owns(spent[p.Input]) {
		return nil, refuse("input %d spends an output of script %s, the key's is %x", p.Input, clipHex(spent[p.Input].script), who.script)
	}
	hashType, err := who.hashType(packet.inputs[p.Input])
	if err != nil {
		return nil, err
	}
	d := &Decoded{Kind: fmt.Sprintf("psbt-v%d", packet.version), Facts: packet.facts(p.Input, who, spent, hashType)}
	if who.taproot {
		d.Digest = packet.tx.taprootDigest(p.Input, hashType, spent)
	} else {
		d.Digest = packet.tx.keyHashDigest(p.Input, hashType, spent[p.Input])
	}
	for i, o := range packet.tx.out {
		d.bitcoinOutput(i, o, who)
	}
	d.Fee, err = btcFee(spent, packet.tx.out)
	return d, err
}

// spent is what each input spends. A packet that an ECDSA key signs needs the whole transaction before every input: its digest takes in the
// amount of no input but its own (BIP 143), and of two packets that lie about two amounts the signatures would make one transaction with
// an unseen fee (CVE-2020-14199). A Taproot key signs the amounts of all inputs (BIP 341), so what the packet says is enough for the
// others of its kind.
func (p *psbt) spent(who btcKey) ([]btcOut, error) {
	all := make([]btcOut, len(p.inputs))
	for n, m := range p.inputs {
		claim, claimed, err := readClaim(m)
		if err != nil {
			return nil, err
		}
		whole, ok := m["\x00"]
		switch {
		case ok:
			all[n], err = spentOutput(whole, p.tx.in[n].outpoint)
			if err == nil && claimed && (claim.amount != all[n].amount || !bytes.Equal(claim.script, all[n].script)) {
				err = refuse("the PSBT says two things of what input %d spends", n)
			}
		case !claimed:
			err = refuse("the PSBT does not say what input %d spends", n)
		case !who.taproot:
			err = refuse("the PSBT lacks the transaction that input %d spends (non_witness_utxo), which proves its amount", n)
		case !isTaproot(claim.script):
			err = refuse("the PSBT lacks the transaction that input %d spends (non_witness_utxo); only of Taproot outputs it may", n)
		default:
			all[n] = claim
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func isTaproot(script []byte) bool {
	return len(script) == 34 && bytes.HasPrefix(script, []byte{0x51, 32})
}

// readClaim reads the output that an input is said to spend (witness_utxo).
func readClaim(m psbtMap) (o btcOut, ok bool, err error) {
	b, ok := m["\x01"]
	if !ok {
		return o, false, nil
	}
	c := &cursor{rest: b}
	o = btcOut{c.u64(), readVector(c)}
	return o, true, c.end()
}

// spentOutput takes from a whole transaction (non_witness_utxo) the output that an input names by its hash.
func spentOutput(whole []byte, of outpoint) (btcOut, error) {
	before, err := readTx(whole, true)
	switch {
	case err != nil:
		return btcOut{}, err
	case before.txid() != of.txid:
		return btcOut{}, refuse("a non_witness_utxo is not the transaction that its input spends")
	case uint64(of.index) >= uint64(len(before.out)):
		return btcOut{}, refuse("an input spends output %d of a transaction that has %d", of.index, len(before.out))
	}
	return before.out[of.index], nil
}

// hashType is the type of signature that the packet asks for; who would sign less than the whole transaction would let others change
// where it pays to.
func (s btcKey) hashType(m psbtMap) (byte, error) {
	b, ok := m["\x03"]
	switch {
	case !ok && s.taproot:
		return sighashDefault, nil
	case !ok:
		return sighashAll, nil
	}
	n := binary.LittleEndian.Uint32(b)
	if n == sighashAll || n == sighashDefault && s.taproot {
		return byte(n), nil
	}
	return 0, refuse("signature type %#x: only ALL (1), and DEFAULT (0) of Taproot, are signed; SINGLE, NONE and ANYONECANPAY let others "+
		"change the transaction after", n)
}

// facts are what binds besides the outputs.
func (p *psbt) facts(input int, who btcKey, spent []btcOut, hashType byte) []Fact {
	foreign, replaceable := 0, false
	for n, i := range p.tx.in {
		if !who.owns(spent[n]) {
			foreign++
		}
		replaceable = replaceable || i.sequence < notReplaceable
	}
	return []Fact{
		{"version", strconv.FormatInt(int64(int32(p.tx.version)), 10)},
		{"locktime", strconv.FormatUint(uint64(p.tx.lockTime), 10)},
		{"inputs", strconv.Itoa(len(p.tx.in))},
		{"input", strconv.Itoa(input)},
		{"foreign_inputs", strconv.Itoa(foreign)}, // not of the key that signs
		{"sighash", map[byte]string{sighashDefault: "DEFAULT", sighashAll: "ALL"}[hashType]},
		{"replaceable", strconv.FormatBool(replaceable)},
	}
}

// bitcoinOutput says what an output of the transaction does.
func (d *Decoded) bitcoinOutput(n int, o btcOut, who btcKey) {
	to := address.BitcoinAddress(o.script)
	amount := new(big.Int).SetUint64(o.amount)
	switch {
	case who.owns(o):
		d.Transfers = append(d.Transfers, Transfer{What: Change, To: to, Amount: amount})
	case to != "":
		d.Transfers = append(d.Transfers, Transfer{What: Send, To: to, Amount: amount})
	case len(o.script) > 0 && o.script[0] == opReturn && o.amount == 0:
		d.Facts = append(d.Facts, Fact{"op_return", fmt.Sprintf("%x", o.script[1:])})
	default:
		d.Unknown = append(d.Unknown, fmt.Sprintf("output %d: %d satoshi to script %s, which has no address", n, o.amount,
			clipHex(o.script)))
	}
}

// opReturn begins a script that nobody can spend, and that carries data.
const opReturn = 0x6a

// btcFee is what the inputs have and the outputs do not.
func btcFee(spent, out []btcOut) (*big.Int, error) {
	in, err := satoshis(spent)
	if err != nil {
		return nil, err
	}
	paid, err := satoshis(out)
	if err != nil {
		return nil, err
	}
	if paid > in {
		return nil, refuse("the outputs pay %d satoshi and the inputs have %d", paid, in)
	}
	return new(big.Int).SetUint64(in - paid), nil
}

// satoshis adds amounts up, none and never more than there are.
func satoshis(all []btcOut) (total uint64, err error) {
	for _, o := range all {
		if o.amount > maxSatoshi || total+o.amount > maxSatoshi {
			return 0, refuse("more than %d satoshi, which is more than there are", uint64(maxSatoshi))
		}
		total += o.amount
	}
	return total, nil
}

// keyHashDigest is the digest of BIP 143 for an output that pays to the hash of a key.
func (tx btcTx) keyHashDigest(n int, hashType byte, spent btcOut) []byte {
	prevouts, sequences, outputs := hash256(tx.prevouts()), hash256(tx.sequences()), hash256(tx.outputs())
	m := binary.LittleEndian.AppendUint32(nil, tx.version)
	m = append(append(m, prevouts[:]...), sequences[:]...)
	m = tx.in[n].outpoint.append(m)
	m = append(append(append(m, 25, 0x76, 0xa9, 20), spent.script[2:]...), 0x88, 0xac) // DUP HASH160 … EQUALVERIFY CHECKSIG
	m = binary.LittleEndian.AppendUint64(m, spent.amount)
	m = binary.LittleEndian.AppendUint32(m, tx.in[n].sequence)
	m = binary.LittleEndian.AppendUint32(append(m, outputs[:]...), tx.lockTime)
	digest := hash256(binary.LittleEndian.AppendUint32(m, uint32(hashType)))
	return digest[:]
}

// taprootDigest is the digest of BIP 341, "Common signature message", for the key path and without an annex.
func (tx btcTx) taprootDigest(n int, hashType byte, spent []btcOut) []byte {
	var amounts, scripts []byte
	for _, o := range spent {
		amounts = binary.LittleEndian.AppendUint64(amounts, o.amount)
		scripts = appendVector(scripts, o.script)
	}
	m := []byte{0, hashType} // epoch
	m = binary.LittleEndian.AppendUint32(m, tx.version)
	m = binary.LittleEndian.AppendUint32(m, tx.lockTime)
	for _, part := range [][]byte{tx.prevouts(), amounts, scripts, tx.sequences(), tx.outputs()} {
		h := sha256.Sum256(part)
		m = append(m, h[:]...)
	}
	m = append(m, 0) // spend type
	m = binary.LittleEndian.AppendUint32(m, uint32(n))
	tag := sha256.Sum256([]byte("TapSighash"))
	digest := sha256.Sum256(append(append(tag[:], tag[:]...), m...))
	return digest[:]
}

func (tx btcTx) prevouts() (b []byte) {
	for _, i := range tx.in {
		b = i.outpoint.append(b)
	}
	return b
}

func (tx btcTx) sequences() (b []byte) {
	for _, i := range tx.in {
		b = binary.LittleEndian.AppendUint32(b, i.sequence)
	}
	return b
}

func (tx btcTx) outputs() (b []byte) {
	for _, o := range tx.out {
		b = o.append(b)
	}
	return b
}

// clipHex writes bytes in hex, of many the first and how many there are.
func clipHex(b []byte) string {
	if len(b) > 128 {
		return fmt.Sprintf("%x… (%d bytes)", b[:128], len(b))
	}
	return fmt.Sprintf("%x", b)
}
