package intent

import "math/big"

// item is an item of RLP (Ethereum's yellow paper, appendix B): a string of bytes, or a list of items.
type item struct {
	list bool
	body []byte
}

// shortRLP is the longest body whose length stands in the first byte.
const shortRLP = 55

// splitRLP reads the first item and returns what follows it. Only the one encoding of an item is taken.
func splitRLP(b []byte) (x item, rest []byte, err error) {
	if len(b) == 0 {
		return x, nil, refuse("the payload ends early")
	}
	first, b := b[0], b[1:]
	switch {
	case first < 0x80:
		return item{body: []byte{first}}, b, nil
	case first < firstList:
		first -= 0x80
	default:
		x.list, first = true, first-firstList
	}
	n := uint64(first)
	if n > shortRLP {
		size := int(n - shortRLP)
		if len(b) < size {
			return x, nil, refuse("the payload ends early")
		}
		n = new(big.Int).SetBytes(b[:size]).Uint64() // of at most 8 bytes
		if b[0] == 0 || n <= shortRLP {
			return x, nil, refuse("a length of RLP that is not the shortest")
		}
		b = b[size:]
	}
	if n > uint64(len(b)) {
		return x, nil, refuse("the payload ends early")
	}
	x.body, rest = b[:n], b[n:]
	if !x.list && n == 1 && x.body[0] < 0x80 {
		return x, nil, refuse("a byte of RLP that is not its own encoding")
	}
	return x, rest, nil
}

// items are those of a list.
func (x item) items() (out []item, err error) {
	if !x.list {
		return nil, refuse("bytes where a list belongs")
	}
	for b := x.body; len(b) > 0; {
		var y item
		if y, b, err = splitRLP(b); err != nil {
			return nil, err
		}
		out = append(out, y)
	}
	return out, nil
}

// field is a named item of a list, and how it is read.
type field struct {
	name string
	read func(item) error
}

// readRLP reads items of a list by their fields.
func readRLP(items []item, fields []field) error {
	if len(items) != len(fields) {
		return refuse("%d fields, want %d", len(items), len(fields))
	}
	for i, f := range fields {
		if err := f.read(items[i]); err != nil {
			return refuse("%s: %w", f.name, err)
		}
	}
	return nil
}

// text reads bytes of any length.
func text(at *[]byte) func(item) error {
	return func(x item) error {
		if x.list {
			return refuse("a list where bytes belong")
		}
		*at = x.body
		return nil
	}
}

// fixed reads as many bytes as there is room for.
func fixed(at []byte) func(item) error {
	return func(x item) error {
		if x.list || len(x.body) != len(at) {
			return refuse("want %d bytes", len(at))
		}
		copy(at, x.body)
		return nil
	}
}

// number reads an integer of any size, without leading zeros.
func number(at **big.Int) func(item) error {
	return func(x item) error {
		if x.list || len(x.body) > 0 && x.body[0] == 0 {
			return refuse("want an integer without leading zeros")
		}
		*at = new(big.Int).SetBytes(x.body)
		return nil
	}
}

// small reads an integer that fits.
func small[T uint8 | uint64](at *T) func(item) error {
	return func(x item) error {
		var n *big.Int
		if err := number(&n)(x); err != nil {
			return err
		}
		if !n.IsUint64() || uint64(T(n.Uint64())) != n.Uint64() {
			return refuse("an integer that is too large")
		}
		*at = T(n.Uint64())
		return nil
	}
}

// listOf reads a list, each item of it as one says.
func listOf[T any](at *[]T, one func(*T) func(item) error) func(item) error {
	return func(x item) error {
		items, err := x.items()
		if err != nil {
			return err
		}
		out := make([]T, len(items))
		for i := range items {
			if err := one(&out[i])(items[i]); err != nil {
				return err
			}
		}
		*at = out
		return nil
	}
}

// record reads a list of fields.
func record(fields ...field) func(item) error {
	return func(x item) error {
		items, err := x.items()
		if err != nil {
			return err
		}
		return readRLP(items, fields)
	}
}
