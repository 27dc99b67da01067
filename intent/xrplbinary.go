package intent

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/luxfi/mpcd/internal/address"
)

// The types of fields that are read (XRPL documentation, "Binary Format", "Type List").
const (
	xrplUInt16    = 1
	xrplUInt32    = 2
	xrplUInt64    = 3
	xrplHash128   = 4
	xrplHash256   = 5
	xrplAmountOf  = 6
	xrplBlob      = 7
	xrplAccountID = 8
	xrplObject    = 14
	xrplArray     = 15
	xrplUInt8     = 16
	xrplHash160   = 17
	xrplPathSet   = 18
	xrplVector256 = 19
	xrplHash192   = 21
)

// Limits of the format.
const (
	xrplDepth    = 10                      // of objects in objects (rippled, STObject)
	xrplMaxDrops = 100_000_000_000_000_000 // there are no more
	// xrplPlaces is how many decimal places the smallest unit of an issued currency has here: amounts on the ledger are decimals of 16
	// digits that float, and all of one or more have no more places than these.
	xrplPlaces = 15
)

// xrplField is a field of an object. What is text is as people write it on the ledger.
type xrplField struct {
	kind, number int
	n            uint64 // of UInt8 to UInt64
	bytes        []byte // of a hash, Blob or AccountID
	text         string // of all but objects and arrays
	amount       xrplAmount
	fields       []xrplField // of objects and arrays
}

// xrplAmount is an amount, never below zero.
type xrplAmount struct {
	asset string   // "" is XRP, else "CUR.issuer", or the ID of a multi-purpose token in hex
	units *big.Int // drops, parts of 10^-15 of an issued currency, units of a multi-purpose token; nil where it is none of these
	text  string
}

// name is the field's, as the ledger names it; false where it is not known.
func (f *xrplField) name() (string, bool) {
	name, ok := xrplNames[[2]int{f.kind, f.number}]
	if !ok {
		name = fmt.Sprintf("field %d.%d", f.kind, f.number)
	}
	return name, ok
}

// readXRPL reads a transaction: its fields in their order, each once (XRPL documentation, "Serialization Format").
func readXRPL(b []byte) ([]xrplField, error) {
	c := &cursor{rest: b}
	all := xrplObjectOf(c, 0)
	return all, c.end()
}

// xrplObjectOf reads fields to the end, or of an object in another to its mark.
func xrplObjectOf(c *cursor, depth int) (all []xrplField) {
	if depth > xrplDepth {
		c.fail("objects in objects, more than %d deep", xrplDepth)
	}
	last := [2]int{}
	for c.err == nil && (depth > 0 || len(c.rest) > 0) {
		kind, number := xrplFieldID(c)
		if depth > 0 && kind == xrplObject && number == 1 {
			break
		}
		if (kind == xrplObject || kind == xrplArray) && number == 1 {
			c.fail("a mark of an end where nothing ends")
		}
		if id := [2]int{kind, number}; slices.Compare(id[:], last[:]) <= 0 {
			c.fail("field %d.%d stands behind field %d.%d", kind, number, last[0], last[1])
		} else {
			last = id
		}
		all = append(all, xrplValue(c, kind, number, depth))
	}
	return all
}

// xrplArrayOf reads the objects of an array to its mark.
func xrplArrayOf(c *cursor, depth int) (all []xrplField) {
	for c.err == nil {
		kind, number := xrplFieldID(c)
		if kind == xrplArray && number == 1 {
			break
		}
		if kind != xrplObject || number == 1 {
			c.fail("an array has a field %d.%d, which is no object", kind, number)
		}
		all = append(all, xrplValue(c, kind, number, depth))
	}
	return all
}

// xrplFieldID reads type and number: four bits each, or zeros and a byte of its own, the type's first.
func xrplFieldID(c *cursor) (kind, number int) {
	b := c.u8()
	wide := func(n byte) int {
		if n > 0 {
			return int(n)
		}
		if n = c.u8(); n < 16 {
			c.fail("a field's type or number %d in more bytes than it needs", n)
		}
		return int(n)
	}
	kind = wide(b >> 4)
	return kind, wide(b & 15)
}

// xrplValue reads a value of a type.
func xrplValue(c *cursor, kind, number, depth int) xrplField {
	f := xrplField{kind: kind, number: number}
	unsigned := map[int]int{xrplUInt8: 1, xrplUInt16: 2, xrplUInt32: 4, xrplUInt64: 8}
	hashes := map[int]int{xrplHash128: 16, xrplHash160: 20, xrplHash192: 24, xrplHash256: 32}
	switch kind {
	case xrplUInt8, xrplUInt16, xrplUInt32, xrplUInt64:
		f.n = binary.BigEndian.Uint64(append(make([]byte, 8-unsigned[kind]), c.fixed(unsigned[kind])...))
		f.text = digits(f.n)
	case xrplHash128, xrplHash160, xrplHash192, xrplHash256:
		f.bytes = c.fixed(hashes[kind])
	case xrplBlob:
		f.bytes = c.take(xrplLength(c))
	case xrplAccountID:
		if n := xrplLength(c); n != 20 {
			c.fail("an account of %d bytes", n)
		}
		f.bytes = c.fixed(20)
		f.text = address.XRPLAddress(f.bytes)
		return f
	case xrplVector256:
		f.text = xrplVector(c)
	case xrplPathSet:
		f.text = xrplPaths(c)
	case xrplAmountOf:
		f.amount = readXRPLAmount(c)
		f.text = f.amount.text
	case xrplObject:
		f.fields = xrplObjectOf(c, depth+1)
	case xrplArray:
		f.fields = xrplArrayOf(c, depth)
	default:
		c.fail("field %d.%d is of a type that is not read", kind, number)
	}
	if f.bytes != nil {
		f.text = fmt.Sprintf("%X", f.bytes)
	}
	return f
}

// xrplLength reads how many bytes follow (XRPL documentation, "Length Prefixing"): its three forms have no number in common.
func xrplLength(c *cursor) uint64 {
	switch a := uint64(c.u8()); {
	case a <= 192:
		return a
	case a <= 240:
		return 193 + (a-193)<<8 + uint64(c.u8())
	case a <= 254:
		b := c.fixed(2)
		return 12481 + (a-241)<<16 + uint64(b[0])<<8 + uint64(b[1])
	}
	c.fail("a length that begins with 255")
	return 0
}

func xrplVector(c *cursor) string {
	b := c.take(xrplLength(c))
	if len(b)%32 != 0 {
		c.fail("%d bytes are no list of hashes", len(b))
	}
	var all []string
	for part := range slices.Chunk(b, 32) {
		all = append(all, fmt.Sprintf("%X", part))
	}
	return strings.Join(all, " ")
}

// xrplPaths reads ways of a payment through other currencies: steps by account, currency and issuer.
func xrplPaths(c *cursor) string {
	var paths, steps []string
	for c.err == nil {
		kind := c.u8()
		if kind == 0 || kind == 0xff {
			if len(steps) == 0 {
				c.fail("a path without steps")
			}
			paths, steps = append(paths, strings.Join(steps, " > ")), nil
			if kind == 0 {
				break
			}
			continue
		}
		if kind&^0x31 != 0 {
			c.fail("a step %#x of a path", kind)
		}
		var parts []string
		if kind&0x01 != 0 {
			parts = append(parts, address.XRPLAddress(c.fixed(20)))
		}
		if kind&0x10 != 0 {
			parts = append(parts, xrplCurrency(c.fixed(20)))
		}
		if kind&0x20 != 0 {
			parts = append(parts, "."+address.XRPLAddress(c.fixed(20)))
		}
		steps = append(steps, strings.Join(parts, ""))
	}
	return strings.Join(paths, ", ")
}

// xrplSymbols may stand in a code of three characters.
const xrplSymbols = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789?!@#$%^&*<>(){}[]|"

// xrplCurrency is a code of three characters, or all 20 bytes in hex (XRPL documentation, "Currency Codes").
func xrplCurrency(b []byte) string {
	code := string(b[12:15])
	standard := [12]byte(b) == [12]byte{} && [5]byte(b[15:]) == [5]byte{}
	switch {
	case standard && code == "\x00\x00\x00":
		return "XRP"
	case standard && code != "XRP" && strings.Trim(code, xrplSymbols) == "":
		return code
	}
	return fmt.Sprintf("%X", b)
}

// readXRPLAmount reads an amount of XRP, of an issued currency or of a multi-purpose token (XRPL documentation, "Amount Fields"; XLS-33).
func readXRPLAmount(c *cursor) xrplAmount {
	b := c.fixed(8)
	n := binary.BigEndian.Uint64(b)
	switch b[0] >> 5 {
	case 0b010:
		if n &^= 1 << 62; n > xrplMaxDrops {
			c.fail("%d drops, which is more than there are", n)
		}
		return xrplAmount{"", new(big.Int).SetUint64(n), digits(n) + " drops"}
	case 0b011:
		n = n<<8 | uint64(c.u8())
		if b[0] != 0x60 || n>>63 != 0 {
			c.fail("an amount %x of a multi-purpose token", b)
		}
		id := fmt.Sprintf("%X", c.fixed(24))
		return xrplAmount{id, new(big.Int).SetUint64(n), digits(n) + " " + id}
	case 0b100, 0b101, 0b110, 0b111:
		return xrplIssued(c, n)
	}
	c.fail("an amount %x below zero", b)
	return xrplAmount{}
}

// xrplIssued reads an amount of an issued currency: a sign, an exponent of 8 bits and a mantissa of 54, of 16 digits. It is turned into
// parts of 10^-15, where it is a whole number of them.
func xrplIssued(c *cursor, n uint64) xrplAmount {
	mantissa, exponent := n&(1<<54-1), int(n>>54&0xff)-97
	currency, issuer := c.fixed(20), c.fixed(20)
	code := xrplCurrency(currency)
	switch {
	case code == "XRP" || code == "0000000000000000000000005852500000000000":
		c.fail("XRP as an issued currency")
	case [20]byte(issuer) == [20]byte{}:
		c.fail("a currency without an issuer")
	case n == 1<<63:
		exponent = 0
	case n>>62 != 3:
		c.fail("an amount %x below zero, or zero in another way", n)
	case mantissa < 1e15 || mantissa >= 1e16 || exponent < -96 || exponent > 80:
		c.fail("an amount of %d e%d, which is not normal", mantissa, exponent)
	}
	if c.err != nil {
		return xrplAmount{}
	}
	for mantissa > 0 && mantissa%10 == 0 {
		mantissa, exponent = mantissa/10, exponent+1
	}
	a := xrplAmount{asset: code + "." + address.XRPLAddress(issuer)}
	a.text = xrplDecimal(mantissa, exponent) + " " + a.asset
	if places := exponent + xrplPlaces; places >= 0 {
		unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(places)), nil)
		a.units = unit.Mul(unit, new(big.Int).SetUint64(mantissa))
	}
	return a
}

// xrplDecimal writes mantissa * 10^exponent without an exponent.
func xrplDecimal(mantissa uint64, exponent int) string {
	text := digits(mantissa)
	if mantissa == 0 || exponent >= 0 {
		return text + strings.Repeat("0", max(0, exponent))
	}
	text = strings.Repeat("0", max(0, 1-exponent-len(text))) + text
	return text[:len(text)+exponent] + "." + text[len(text)+exponent:]
}
