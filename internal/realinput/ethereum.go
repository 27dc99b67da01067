package realinput

import (
	"bytes"
	"encoding/binary"
)

// eip1559Type opens a transaction with a base fee (EIP-1559), in the envelope of EIP-2718.
const eip1559Type = 2

// EthereumTransaction is an EIP-1559 transaction without an access list. Amounts and prices are in wei, 10⁻¹⁸ ether.
type EthereumTransaction struct {
	ChainID              uint64
	Nonce                uint64 // transactions that the sender sent before
	MaxPriorityFeePerGas uint64
	MaxFeePerGas         uint64
	Gas                  uint64 // limit; 21000 for a transfer without data
	To                   [20]byte
	Value                uint64 // at most 18.4 ether
	Data                 []byte
}

// Prepare returns the payload without a signature, whose Keccak-256 is signed, and a function that puts a signature
// in its place and returns the transaction as nodes take it (eth_sendRawTransaction). The signature is r and s, 64 bytes, s in the
// lower half (EIP-2); recoveryID, 0 or 1, is what EIP-1559 calls signature_y_parity.
func (t EthereumTransaction) Prepare() (payload []byte, finish func(sig []byte, recoveryID int) (rawTx []byte)) {
	fields := [][]byte{
		rlpUint(t.ChainID), rlpUint(t.Nonce), rlpUint(t.MaxPriorityFeePerGas), rlpUint(t.MaxFeePerGas), rlpUint(t.Gas),
		rlpString(t.To[:]), rlpUint(t.Value), rlpString(t.Data),
		rlpList(), // access list
	}
	return append([]byte{eip1559Type}, rlpList(fields...)...), func(sig []byte, recoveryID int) []byte {
		if len(sig) != 64 || recoveryID&^1 != 0 {
			panic("realinput: a signature that is not r and s in 64 bytes with a recovery id of 0 or 1")
		}
		signed := append(fields[:len(fields):len(fields)], rlpUint(uint64(recoveryID)), rlpNumber(sig[:32]), rlpNumber(sig[32:]))
		return append([]byte{eip1559Type}, rlpList(signed...)...)
	}
}

// RLP, "recursive length prefix" (Ethereum yellow paper, appendix B): a string or list of items that are encoded already, with
// its length before it.
const (
	rlpStringTag = 0x80
	rlpListTag   = 0xc0
	rlpShortMax  = 55 // a longer one has the length of its length before it
)

func rlpString(b []byte) []byte {
	if len(b) == 1 && b[0] < rlpStringTag {
		return b // is its own encoding
	}
	return append(rlpHead(rlpStringTag, len(b)), b...)
}

func rlpList(items ...[]byte) []byte {
	body := bytes.Join(items, nil)
	return append(rlpHead(rlpListTag, len(body)), body...)
}

// rlpNumber is the string of big-endian b without the zeros before it; 0 is the empty string.
func rlpNumber(b []byte) []byte { return rlpString(bytes.TrimLeft(b, "\x00")) }

func rlpUint(n uint64) []byte { return rlpNumber(binary.BigEndian.AppendUint64(nil, n)) }

func rlpHead(tag byte, n int) []byte {
	if n <= rlpShortMax {
		return []byte{tag + byte(n)}
	}
	length := bytes.TrimLeft(binary.BigEndian.AppendUint64(nil, uint64(n)), "\x00")
	return append([]byte{tag + rlpShortMax + byte(len(length))}, length...)
}
