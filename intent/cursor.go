package intent

import "encoding/binary"

// cursor reads bytes from the front. After the first failure it gives zeros and err says what was wrong, so that a parser asks once.
type cursor struct {
	rest []byte
	err  error
}

func (c *cursor) fail(format string, a ...any) {
	if c.err == nil {
		c.err = refuse(format, a...)
	}
}

// take gives the next n bytes, nil after a failure.
func (c *cursor) take(n uint64) []byte {
	if n > uint64(len(c.rest)) {
		c.fail("it ends where %d more bytes should stand", n)
	}
	if c.err != nil {
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

// fixed is take for few bytes: zeros after a failure.
func (c *cursor) fixed(n int) []byte {
	if b := c.take(uint64(n)); c.err == nil {
		return b
	}
	return make([]byte, n)
}

func (c *cursor) u8() uint8   { return c.fixed(1)[0] }
func (c *cursor) u32() uint32 { return binary.LittleEndian.Uint32(c.fixed(4)) }
func (c *cursor) u64() uint64 { return binary.LittleEndian.Uint64(c.fixed(8)) }

// end is the failure there was, or one for what follows the end.
func (c *cursor) end() error {
	if len(c.rest) > 0 {
		c.fail("%d bytes follow the end", len(c.rest))
	}
	return c.err
}
