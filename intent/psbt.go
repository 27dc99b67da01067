package intent

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
)

// The two versions of partially signed Bitcoin transactions (BIP 174, BIP 370).
const (
	psbtV0 = 0
	psbtV2 = 2
)

// maxSatoshi is more than there will ever be: what a node takes as an amount or a sum (MAX_MONEY of Bitcoin Core).
const maxSatoshi = 21_000_000 * 100_000_000

// lockTimeThreshold parts heights, below it, from times (BIP 65).
const lockTimeThreshold = 500_000_000

type (
	outpoint struct {
		txid  [32]byte // in the byte order of the wire
		index uint32
	}
	btcIn struct {
		outpoint
		script   []byte
		sequence uint32
	}
	btcOut struct {
		amount uint64 // in satoshi, at most maxSatoshi
		script []byte
	}
	// btcTx is a transaction without its witness, which no digest of it takes in.
	btcTx struct {
		version  uint32
		in       []btcIn
		out      []btcOut
		lockTime uint32
	}
)

// psbt is a packet of either version: the transaction that it stands for, and what it says of each input.
type psbt struct {
	version int
	tx      btcTx
	inputs  []psbtMap
}

// readPSBT reads a packet in binary. The fields that it does not know, and those that it does not use, change nothing of the transaction
// that is signed: they are held to their form where BIP 174, 370 or 371 give one, and then left alone.
func readPSBT(b []byte) (*psbt, error) {
	c := &cursor{rest: b}
	if !bytes.Equal(c.fixed(5), []byte("psbt\xff")) {
		c.fail("it does not begin as a PSBT in binary does")
	}
	p := &psbt{}
	global := readMap(c)
	if v := global["\xfb"]; len(v) == 4 {
		p.version = int(binary.LittleEndian.Uint32(v))
	}
	if p.version != psbtV0 && p.version != psbtV2 {
		c.fail("PSBT version %d; 0 and 2 are read", p.version)
	}
	global.check(c, "the global map", globalFields, p.version)
	nIn, nOut := p.begin(c, global)
	var outputs []psbtMap
	for ; nIn > 0 && c.err == nil; nIn-- {
		p.inputs = append(p.inputs, readMap(c))
		p.inputs[len(p.inputs)-1].check(c, "an input's map", inputFields, p.version)
	}
	for ; nOut > 0 && c.err == nil; nOut-- {
		outputs = append(outputs, readMap(c))
		outputs[len(outputs)-1].check(c, "an output's map", outputFields, p.version)
	}
	if err := c.end(); err != nil {
		return nil, err
	}
	if p.version == psbtV2 {
		p.assemble(c, global, outputs)
	}
	p.tx.check(c)
	return p, c.err
}

// begin reads how many maps there are: version 0 has the transaction itself, version 2 two counts.
func (p *psbt) begin(c *cursor, global psbtMap) (in, out uint64) {
	if c.err != nil {
		return 0, 0
	}
	if p.version == psbtV2 {
		i, o := &cursor{rest: global["\x04"]}, &cursor{rest: global["\x05"]}
		in, out = compactSize(i), compactSize(o)
		c.err = cmp.Or(i.end(), o.end())
		return in, out
	}
	p.tx, c.err = readTx(global["\x00"], false)
	for _, i := range p.tx.in {
		if len(i.script) > 0 {
			c.fail("the unsigned transaction of a PSBT has a signature script")
		}
	}
	return uint64(len(p.tx.in)), uint64(len(p.tx.out))
}

// assemble makes the transaction of a packet of version 2 (BIP 370, "Transaction Extractor").
func (p *psbt) assemble(c *cursor, global psbtMap, outputs []psbtMap) {
	p.tx.version = binary.LittleEndian.Uint32(global["\x02"])
	for _, m := range p.inputs {
		i := btcIn{outpoint: outpoint{[32]byte(m["\x0e"]), binary.LittleEndian.Uint32(m["\x0f"])}, sequence: 0xffffffff}
		if s, ok := m["\x10"]; ok {
			i.sequence = binary.LittleEndian.Uint32(s)
		}
		p.tx.in = append(p.tx.in, i)
	}
	for _, m := range outputs {
		p.tx.out = append(p.tx.out, btcOut{binary.LittleEndian.Uint64(m["\x03"]), m["\x04"]})
	}
	p.tx.lockTime = p.lockTime(c, global)
}

// lockTime is the highest of those that inputs require, in the unit that all of these know, heights before times (BIP 370, "Determining
// Lock Time").
func (p *psbt) lockTime(c *cursor, global psbtMap) uint32 {
	var time, height uint32
	timed, high, asked := true, true, false
	for _, m := range p.inputs {
		t, hasTime := m["\x11"]
		h, hasHeight := m["\x12"]
		if hasTime {
			n := binary.LittleEndian.Uint32(t)
			if time = max(time, n); n < lockTimeThreshold {
				c.fail("an input requires the time %d, which is none: times are from %d", n, lockTimeThreshold)
			}
		}
		if hasHeight {
			n := binary.LittleEndian.Uint32(h)
			if height = max(height, n); n == 0 || n >= lockTimeThreshold {
				c.fail("an input requires the height %d, which is none", n)
			}
		}
		if hasTime || hasHeight {
			asked, timed, high = true, timed && hasTime, high && hasHeight
		}
	}
	fallback, ok := global["\x03"]
	switch {
	case asked && high:
		return height
	case asked && timed:
		return time
	case asked:
		c.fail("some inputs require a height and others a time")
	case ok:
		return binary.LittleEndian.Uint32(fallback)
	}
	return 0
}

// psbtMap has the fields of one map by their whole key: the type, and the data that some types have behind it.
type psbtMap map[string][]byte

func readMap(c *cursor) psbtMap {
	m := psbtMap{}
	for c.err == nil {
		key := string(readVector(c))
		if key == "" {
			break
		}
		if _, ok := m[key]; ok {
			c.fail("one key stands twice in a map of the PSBT: %x", clip(key))
		}
		m[key] = readVector(c)
	}
	return m
}

// psbtField is what BIPs say of a type of field.
type psbtField struct {
	in    []int // the versions in which it may stand; nil is all
	must  []int // and in which it must
	key   []int // how many bytes of data its key may have behind the type; nil is none
	value []int // and its value; nil is any number
}

// The fields of BIP 174, 370 and 371 by their type.
var (
	only0, only2 = []int{psbtV0}, []int{psbtV2}
	pubKey       = []int{33, 65}
	xOnly        = []int{32}
	signature    = []int{64, 65}
	controlBlock = func() (n []int) { // BIP 341: a key, and the path through a tree of at most 128 levels
		for level := range 129 {
			n = append(n, 33+32*level)
		}
		return n
	}()

	globalFields = map[byte]psbtField{
		0x00: {in: only0, must: only0}, // the unsigned transaction
		0x01: {key: []int{78}},
		0x02: {in: only2, must: only2, value: []int{4}}, // version of the transaction
		0x03: {in: only2, value: []int{4}},              // fallback of its lock time
		0x04: {in: only2, must: only2},                  // number of inputs
		0x05: {in: only2, must: only2},                  // and of outputs
		0x06: {in: only2, value: []int{1}},
		0xfb: {must: only2, value: []int{4}}, // version of the packet
	}
	inputFields = map[byte]psbtField{
		0x00: {}, // non_witness_utxo
		0x01: {}, // witness_utxo
		0x02: {key: pubKey},
		0x03: {value: []int{4}}, // type of the signature
		0x04: {}, 0x05: {}, 0x06: {key: pubKey}, 0x07: {}, 0x08: {}, 0x09: {},
		0x0a: {key: []int{20}}, 0x0b: {key: []int{32}}, 0x0c: {key: []int{20}}, 0x0d: {key: []int{32}},
		0x0e: {in: only2, must: only2, value: []int{32}}, // ID of the transaction before
		0x0f: {in: only2, must: only2, value: []int{4}},  // which of its outputs
		0x10: {in: only2, value: []int{4}},               // sequence
		0x11: {in: only2, value: []int{4}},               // required time
		0x12: {in: only2, value: []int{4}},               // required height
		0x13: {value: signature}, 0x14: {key: []int{64}, value: signature}, 0x15: {key: controlBlock}, 0x16: {key: xOnly},
		0x17: {value: xOnly}, 0x18: {value: xOnly},
	}
	outputFields = map[byte]psbtField{
		0x00: {}, 0x01: {}, 0x02: {key: pubKey},
		0x03: {in: only2, must: only2, value: []int{8}}, // amount
		0x04: {in: only2, must: only2},                  // script
		0x05: {value: xOnly}, 0x06: {}, 0x07: {key: xOnly},
	}
)

// check holds the fields of a map to their shapes.
func (m psbtMap) check(c *cursor, where string, shapes map[byte]psbtField, version int) {
	among := func(allowed []int, n int) bool { return allowed == nil || slices.Contains(allowed, n) }
	for _, key := range slices.Sorted(maps.Keys(m)) {
		value := m[key]
		kind := &cursor{rest: []byte(key)}
		n := compactSize(kind)
		s, known := shapes[byte(n)]
		switch {
		case kind.err != nil:
			c.fail("%s has a type of field that is no number: %x", where, clip(key))
		case n > 0xff || !known: // of another BIP, or of its maker
		case !among(s.in, version):
			c.fail("%s has a field of type %#x, which none of version %d has", where, n, version)
		case s.key == nil && len(kind.rest) > 0 || !among(s.key, len(kind.rest)) || !among(s.value, len(value)):
			c.fail("%s has a field of type %#x with %d bytes in its key and %d in its value", where, n, len(kind.rest), len(value))
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(shapes)) {
		if _, ok := m[string([]byte{kind})]; !ok && slices.Contains(shapes[kind].must, version) {
			c.fail("%s lacks the field of type %#x", where, kind)
		}
	}
}

// readTx reads a transaction, with its witness (BIP 144) where extended says that it may have one.
func readTx(b []byte, extended bool) (btcTx, error) {
	c := &cursor{rest: b}
	tx := btcTx{version: c.u32()}
	extended = extended && bytes.HasPrefix(c.rest, []byte{0, 1})
	if extended {
		c.take(2)
	}
	for n := compactSize(c); n > 0 && c.err == nil; n-- {
		i := btcIn{outpoint: outpoint{[32]byte(c.fixed(32)), c.u32()}}
		i.script, i.sequence = readVector(c), c.u32()
		tx.in = append(tx.in, i)
	}
	for n := compactSize(c); n > 0 && c.err == nil; n-- {
		tx.out = append(tx.out, btcOut{c.u64(), readVector(c)})
	}
	if extended && !readWitnesses(c, len(tx.in)) {
		c.fail("a transaction says that it has a witness and has none")
	}
	tx.lockTime = c.u32()
	return tx, c.end()
}

// readWitnesses goes past n witnesses and tells whether one of them is not empty.
func readWitnesses(c *cursor, n int) (any bool) {
	for ; n > 0; n-- {
		for items := compactSize(c); items > 0 && c.err == nil; items-- {
			readVector(c)
			any = true
		}
	}
	return any
}

// check refuses what no node takes, whoever signs it.
func (tx btcTx) check(c *cursor) {
	if len(tx.in) == 0 || len(tx.out) == 0 {
		c.fail("a transaction of %d inputs and %d outputs", len(tx.in), len(tx.out))
	}
	seen := map[outpoint]bool{}
	for _, i := range tx.in {
		if seen[i.outpoint] {
			c.fail("one output is spent by two inputs")
		}
		seen[i.outpoint] = true
	}
}

// encode is the transaction without a witness.
func (tx btcTx) encode() []byte {
	b := appendSize(binary.LittleEndian.AppendUint32(nil, tx.version), len(tx.in))
	for _, i := range tx.in {
		b = i.outpoint.append(b)
		b = appendVector(b, i.script)
		b = binary.LittleEndian.AppendUint32(b, i.sequence)
	}
	b = appendSize(b, len(tx.out))
	for _, o := range tx.out {
		b = o.append(b)
	}
	return binary.LittleEndian.AppendUint32(b, tx.lockTime)
}

func (tx btcTx) txid() [32]byte { return hash256(tx.encode()) }

func (o outpoint) append(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(append(b, o.txid[:]...), o.index)
}

func (o btcOut) append(b []byte) []byte {
	return appendVector(binary.LittleEndian.AppendUint64(b, o.amount), o.script)
}

// compactSize reads a number as Bitcoin writes lengths, in the shortest of its four forms.
func compactSize(c *cursor) uint64 {
	n, least := uint64(c.u8()), uint64(0)
	switch n {
	case 0xfd:
		n, least = uint64(binary.LittleEndian.Uint16(c.fixed(2))), 0xfd
	case 0xfe:
		n, least = uint64(c.u32()), 1<<16
	case 0xff:
		n, least = c.u64(), 1<<32
	}
	if n < least {
		c.fail("the number %d in more bytes than it needs", n)
	}
	return n
}

// readVector reads a length and as many bytes.
func readVector(c *cursor) []byte { return c.take(compactSize(c)) }

func appendSize(b []byte, n int) []byte {
	switch {
	case n < 0xfd:
		return append(b, byte(n))
	case n < 1<<16:
		return binary.LittleEndian.AppendUint16(append(b, 0xfd), uint16(n))
	}
	return binary.LittleEndian.AppendUint32(append(b, 0xfe), uint32(n)) // MaxPayload is below the longest form
}

func appendVector(b, v []byte) []byte { return append(appendSize(b, len(v)), v...) }

// hash256 is SHA-256 twice.
func hash256(b []byte) [32]byte {
	h := sha256.Sum256(b)
	return sha256.Sum256(h[:])
}
