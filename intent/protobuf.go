package intent

import (
	"math"
	"unicode/utf8"
)

// The wire types of protobuf that are read (Protocol Buffers documentation, "Encoding").
const (
	wireVarint = 0
	wireBytes  = 2
	wireFixed  = 5 // four bytes; 1 is eight
)

// nonCritical is the bit in the number of a field that a chain may pass over where it does not know it (Cosmos SDK, ADR-020).
const nonCritical = 1 << 10

// kind is how a field is written: in protobuf, and in amino's JSON.
type kind int

const (
	isText    kind = iota // string
	isBytes               // bytes; in JSON there is none that is read
	isUint                // uint64; in JSON its digits as a string
	isEnum                // enum; a number in JSON too
	isBool                // bool
	isMessage             // of a shape
	isAny                 // google.protobuf.Any; in JSON an amino name and a value
)

// shape is what fields a message has, by their numbers in ascending order.
type shape struct {
	name   string
	fields []shapeField
}

type shapeField struct {
	number   uint64
	name     string
	kind     kind
	repeated bool
	kept     bool   // in JSON, even where it is empty
	of       *shape // of isMessage
}

// fields are those of a message that was read, by name; one that is not there is the default of its kind.
type fields struct {
	texts   map[string]string // bytes too
	numbers map[string]uint64
	lists   map[string][]*fields
}

func newFields() *fields {
	return &fields{map[string]string{}, map[string]uint64{}, map[string][]*fields{}}
}

// one is a message that stands once, an empty one if it does not.
func (r *fields) one(name string) *fields {
	if all := r.lists[name]; len(all) > 0 {
		return all[0]
	}
	return newFields()
}

var anyShape = shape{"Any", []shapeField{{number: 1, name: "type_url"}, {number: 2, name: "value", kind: isBytes}}}

// protoReader reads messages of protobuf in the one form that ADR-027 of the Cosmos SDK gives them: fields in ascending order, numbers in
// as few bytes as they need, nothing that is the default.
type protoReader struct {
	lenient bool     // unknown fields that are not critical are named, not refused
	unknown []string // those
}

func (p *protoReader) read(s *shape, b []byte) (*fields, error) {
	c, r, last := &cursor{rest: b}, newFields(), uint64(0)
	for len(c.rest) > 0 && c.err == nil {
		tag := varint(c)
		number, wire := tag>>3, tag&7
		f := s.field(number)
		switch {
		case number == 0 || number > 1<<29-1:
			c.fail("%s has a field of number %d", s.name, number)
		case number < last || number == last && (f == nil || !f.repeated):
			c.fail("%s has field %d behind field %d (ADR-027)", s.name, number, last)
		case f == nil && (!p.lenient || number&nonCritical == 0):
			c.fail("%s has a field %d, which it does not know", s.name, number)
		case f == nil:
			p.unknown = append(p.unknown, "field of "+s.name+" that is not read: "+unknownField(c, number, wire))
		case wire != f.wire():
			c.fail("field %s of %s is of wire type %d", f.name, s.name, wire)
		default:
			p.field(c, s, f, r)
		}
		last = number
	}
	return r, c.err
}

func (s *shape) field(number uint64) *shapeField {
	for i := range s.fields {
		if s.fields[i].number == number {
			return &s.fields[i]
		}
	}
	return nil
}

func (f *shapeField) wire() uint64 {
	if f.kind == isUint || f.kind == isEnum || f.kind == isBool {
		return wireVarint
	}
	return wireBytes
}

// field reads the value of a field, which is not the default.
func (p *protoReader) field(c *cursor, s *shape, f *shapeField, r *fields) {
	if f.wire() == wireVarint {
		n := varint(c)
		if n == 0 || f.kind == isBool && n != 1 || f.kind == isEnum && n > math.MaxInt32 {
			c.fail("field %s of %s is %d", f.name, s.name, n)
		}
		r.numbers[f.name] = n
		return
	}
	b := c.take(varint(c))
	if c.err != nil {
		return
	}
	if of := f.shape(); of != nil {
		inner, err := p.read(of, b)
		r.lists[f.name] = append(r.lists[f.name], inner)
		c.err = err
		return
	}
	if len(b) == 0 || f.kind == isText && !utf8.Valid(b) {
		c.fail("field %s of %s is empty, or no text", f.name, s.name)
	}
	r.texts[f.name] = string(b)
}

func (f *shapeField) shape() *shape {
	if f.kind == isAny {
		return &anyShape
	}
	return f.of
}

// unknownField goes past the value of a field, and says what it is.
func unknownField(c *cursor, number, wire uint64) string {
	at := c.rest
	switch wire {
	case wireVarint:
		varint(c)
	case 1:
		c.take(8)
	case wireBytes:
		c.take(varint(c))
	case wireFixed:
		c.take(4)
	default:
		c.fail("field %d is of wire type %d", number, wire)
	}
	return digits(number) + ", 0x" + clipHex(at[:len(at)-len(c.rest)])
}

// varint reads a number: seven bits a byte, the lowest first, in the shortest form.
func varint(c *cursor) (n uint64) {
	for shift := 0; shift < 64; shift += 7 {
		b := c.u8()
		n |= uint64(b&0x7f) << shift
		switch {
		case shift == 63 && b > 1:
			c.fail("a number of more than 64 bits")
		case b == 0 && shift > 0:
			c.fail("the number %d in more bytes than it needs", n)
		case b&0x80 != 0:
			continue
		}
		return n
	}
	return n
}
