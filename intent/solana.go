package intent

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"github.com/mr-tron/base58"
)

// Limits of Solana's messages (Solana documentation, "Transactions").
const (
	solanaPacket   = 1232 // bytes of a transaction, with its signatures
	solanaAccounts = 256  // that a message names and loads
)

// solanaMessage is what is signed, parsed. Accounts are texts: base58 of a key, or for one of a lookup table, whose key only the chain
// knows, which of which table.
type solanaMessage struct {
	version      string // "legacy" or "v0"
	signatures   int    // how many sign: the first accounts
	static       int    // how many accounts have their key in the message
	accounts     []string
	blockhash    string
	instructions []solanaInstruction
	tables       []string
}

type solanaInstruction struct {
	program  string
	accounts []int
	data     []byte
}

// decodeSolana reads a message of either version, as one of its signers signs it.
func decodeSolana(p Payload) (*Decoded, error) {
	m, err := readSolana(p.Bytes)
	if err != nil {
		return nil, err
	}
	key := base58.Encode(p.Key)
	if len(p.Key) != 32 || !slices.Contains(m.accounts[:m.signatures], key) {
		return nil, refuse("the key %x is none of the %d signers", p.Key, m.signatures)
	}
	s := &solanaReader{Decoded: &Decoded{Kind: m.version, Digest: bytes.Clone(p.Bytes)}, m: m, key: key}
	s.Facts = []Fact{{"fee_payer", m.accounts[0]}, {"signatures", strconv.Itoa(m.signatures)}, {"blockhash", m.blockhash}}
	for _, table := range m.tables {
		s.Facts = append(s.Facts, Fact{"lookup_table", table})
	}
	if err := s.budget(); err != nil {
		return nil, err
	}
	for n, i := range m.instructions {
		if i.program != budgetProgram {
			s.instruction(n, i)
		}
	}
	return s.Decoded, nil
}

// readSolana parses a message, and refuses what no node takes of its form (Solana documentation, "Transactions", "Versioned Transactions").
func readSolana(b []byte) (*solanaMessage, error) {
	c := &cursor{rest: b}
	m := &solanaMessage{version: "legacy"}
	if len(b) > 0 && b[0]&0x80 != 0 {
		if m.version = "v0"; c.u8() != 0x80 {
			c.fail("message version %d; legacy and 0 are read", b[0]&0x7f)
		}
	}
	m.signatures = int(c.u8())
	readOnlySigners, readOnlyOthers := int(c.u8()), int(c.u8())
	for m.static = compactU16(c); len(m.accounts) < m.static && c.err == nil; {
		m.accounts = append(m.accounts, base58.Encode(c.fixed(32)))
	}
	m.blockhash = base58.Encode(c.fixed(32))
	var programs []int
	for n := compactU16(c); n > 0 && c.err == nil; n-- {
		programs = append(programs, int(c.u8()))
		i := solanaInstruction{accounts: indexes(c)}
		i.data = c.take(uint64(compactU16(c)))
		m.instructions = append(m.instructions, i)
	}
	if m.version == "v0" {
		m.readTables(c)
	}
	if err := c.end(); err != nil {
		return nil, err
	}
	if m.signatures+readOnlyOthers > m.static || readOnlySigners >= m.signatures {
		return nil, refuse("a header of %d signers (%d read-only) and %d read-only others, of %d accounts", m.signatures, readOnlySigners,
			readOnlyOthers, m.static)
	}
	if size := len(b) + 1 + 64*m.signatures; size > solanaPacket {
		return nil, refuse("a transaction of %d bytes, at most %d", size, solanaPacket)
	}
	return m, m.resolve(programs)
}

// readTables reads which accounts the message loads from lookup tables: those that it may write come first, of all tables.
func (m *solanaMessage) readTables(c *cursor) {
	var readOnly []string
	for n := compactU16(c); n > 0 && c.err == nil; n-- {
		table := base58.Encode(c.fixed(32))
		write, read := indexes(c), indexes(c)
		if len(write)+len(read) == 0 {
			c.fail("a lookup table of which nothing is used")
		}
		for _, i := range write {
			m.accounts = append(m.accounts, fmt.Sprintf("account %d of table %s", i, table))
		}
		for _, i := range read {
			readOnly = append(readOnly, fmt.Sprintf("account %d of table %s", i, table))
		}
		m.tables = append(m.tables, table)
	}
	m.accounts = append(m.accounts, readOnly...)
}

// resolve checks every index. A program is no payer, and its key is in the message.
func (m *solanaMessage) resolve(programs []int) error {
	if len(m.accounts) > solanaAccounts {
		return refuse("%d accounts, at most %d", len(m.accounts), solanaAccounts)
	}
	seen := map[string]bool{}
	for _, a := range m.accounts {
		if seen[a] {
			return refuse("account %s stands twice", a)
		}
		seen[a] = true
	}
	for n := range m.instructions {
		i := &m.instructions[n]
		if programs[n] == 0 || programs[n] >= m.static {
			return refuse("instruction %d: its program is account %d of the %d in the message, and no payer", n, programs[n], m.static)
		}
		i.program = m.accounts[programs[n]]
		for _, a := range i.accounts {
			if a >= len(m.accounts) {
				return refuse("instruction %d: account %d of %d", n, a, len(m.accounts))
			}
		}
	}
	return nil
}

// compactU16 reads a length: seven bits a byte, the lowest first, in the shortest form.
func compactU16(c *cursor) (n int) {
	for shift := 0; ; shift += 7 {
		b := c.u8()
		n |= int(b&0x7f) << shift
		switch {
		case b == 0 && shift > 0 && c.err == nil:
			c.fail("the length %d in more bytes than it needs", n)
		case shift == 14 && b > 3:
			c.fail("a length of more than 16 bits")
		case b&0x80 != 0:
			continue
		}
		return n
	}
}

func indexes(c *cursor) (all []int) {
	for _, i := range c.take(uint64(compactU16(c))) {
		all = append(all, int(i))
	}
	return all
}
