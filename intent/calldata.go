package intent

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/luxfi/mpcd/internal/address"
)

// word is what the contract ABI makes of a value of a fixed size: 32 bytes, numbers big-endian.
type word [32]byte

func (w word) number() *big.Int { return new(big.Int).SetBytes(w[:]) }

func (w word) address() string { return address.EIP55([20]byte(w[12:])) }

// is tells whether w is the one encoding of a value of a type of the ABI.
func (w word) is(kind string) bool {
	switch kind {
	case "address":
		return [12]byte(w[:]) == [12]byte{}
	case "bool":
		return w == word{} || w == word{31: 1}
	}
	return kind == "uint256"
}

// method is a call that is read as a transfer.
type method struct {
	selector  uint32 // the first four bytes of the Keccak-256 of signature
	signature string
	from      bool // the first argument is whose token it is, who need not be the wallet
	transfer  func(token string, a []word) Transfer
}

// methods is the closed table. ERC-20 and ERC-721 have transferFrom and approve in common: what is an amount to the one is the number of a
// token to the other, and calldata does not tell which. Here it is an amount.
func methods() []method {
	return []method{
		{0xa9059cbb, "transfer(address,uint256)", false, sendOf(0, 1)},                      // ERC-20
		{0x23b872dd, "transferFrom(address,address,uint256)", true, sendOf(1, 2)},           // ERC-20, ERC-721
		{0x095ea7b3, "approve(address,uint256)", false, allow},                              // ERC-20, ERC-721
		{0x39509351, "increaseAllowance(address,uint256)", false, allow},                    // OpenZeppelin's ERC-20, to version 4
		{0x42842e0e, "safeTransferFrom(address,address,uint256)", true, sendOne},            // ERC-721
		{0xb88d4fde, "safeTransferFrom(address,address,uint256,bytes)", true, sendOne},      // ERC-721
		{0xf242432a, "safeTransferFrom(address,address,uint256,uint256,bytes)", true, many}, // ERC-1155
		{0xa22cb465, "setApprovalForAll(address,bool)", false, allowAll},                    // ERC-721, ERC-1155
	}
}

// sendOf reads the arguments to and amount.
func sendOf(to, amount int) func(string, []word) Transfer {
	return func(token string, a []word) Transfer {
		return Transfer{Send, a[to].address(), token, a[amount].number()}
	}
}

// sendOne reads from, to, id: one token that has a number of its own.
func sendOne(token string, a []word) Transfer {
	return Transfer{Send, a[1].address(), numbered(token, a[2]), big.NewInt(1)}
}

// many reads from, to, id, amount.
func many(token string, a []word) Transfer {
	return Transfer{Send, a[1].address(), numbered(token, a[2]), a[3].number()}
}

// numbered is a token that has a number in its contract, written as CAIP-19 writes it.
func numbered(token string, id word) string { return token + "/" + id.number().String() }

func allow(token string, a []word) Transfer {
	return Transfer{Allowance, a[0].address(), token, a[1].number()}
}

// allowAll reads operator, approved: all of the tokens, or none, which stands as the greatest amount and zero.
func allowAll(token string, a []word) Transfer {
	amount := new(big.Int)
	if a[1].number().Sign() > 0 {
		amount.Sub(amount.Lsh(big.NewInt(1), 256), big.NewInt(1))
	}
	return Transfer{Allowance, a[0].address(), token, amount}
}

// ethereumCall reads what a transaction, or a contract that is a wallet, does: the value goes to whom it calls, and data says what else.
func (d *Decoded) ethereumCall(to []byte, value *big.Int, data []byte) {
	if len(to) == 0 {
		if value.Sign() > 0 {
			d.Transfers = append(d.Transfers, Transfer{Send, "", "", value})
		}
		d.Calls = append(d.Calls, Call{Data: data})
		d.unknown("new contract of %d bytes", len(data))
		return
	}
	contract := address.EIP55([20]byte(to))
	if value.Sign() > 0 || len(data) == 0 {
		d.Transfers = append(d.Transfers, Transfer{Send, contract, "", value})
	}
	if len(data) == 0 || d.token(contract, data) {
		return
	}
	call := Call{To: contract, Data: data}
	if len(data) >= 4 {
		call.Method, call.Data = fmt.Sprintf("0x%x", data[:4]), data[4:]
	}
	d.Calls = append(d.Calls, call) // a part of its own, which a rule permits by contract and method
	if len(data) < 4 || slices.ContainsFunc(methods(), func(m method) bool { return m.selector == binary.BigEndian.Uint32(data) }) {
		d.unknown("call of %s, method %q, with %d bytes of arguments that are none of it", contract, call.Method, len(call.Data))
	}
}

// token reads a call of a method of the table; false if data is none.
func (d *Decoded) token(contract string, data []byte) bool {
	if len(data) < 4 {
		return false
	}
	for _, m := range methods() {
		if m.selector != binary.BigEndian.Uint32(data) {
			continue
		}
		a, tail, ok := arguments(m.signature, data[4:])
		if !ok {
			return false
		}
		d.fact("method", m.signature)
		if m.from {
			d.fact("method.from", a[0].address())
		}
		d.Transfers = append(d.Transfers, m.transfer(contract, a))
		if len(tail) > 0 {
			d.unknown("%s tells the receiver 0x%x", m.signature, tail)
		}
		return true
	}
	return false
}

// arguments reads what a contract is called with: words, and the bytes that the last may be. The contract ABI has more than one way to
// write those; only the one that compilers make is read, and nothing before or behind it.
func arguments(signature string, data []byte) (words []word, tail []byte, ok bool) {
	_, list, _ := strings.Cut(strings.TrimSuffix(signature, ")"), "(")
	kinds := strings.Split(list, ",")
	if len(data) < 32*len(kinds) {
		return nil, nil, false
	}
	for i, kind := range kinds {
		w := word(data[32*i:])
		if kind == "bytes" {
			tail, ok = dynamic(w, data, 32*len(kinds))
			return words, tail, ok
		}
		if !w.is(kind) {
			return nil, nil, false
		}
		words = append(words, w)
	}
	return words, nil, len(data) == 32*len(kinds)
}

// dynamic reads bytes that stand behind the words: their length, they themselves, and zeros up to the next word.
func dynamic(offset word, data []byte, at int) ([]byte, bool) {
	rest := data[at:]
	if offset.number().Cmp(big.NewInt(int64(at))) != 0 || len(rest) < 32 {
		return nil, false
	}
	length, rest := word(rest).number(), rest[32:]
	if length.Cmp(big.NewInt(int64(len(rest)))) > 0 {
		return nil, false
	}
	n := int(length.Int64())
	padded := (n + 31) / 32 * 32
	if len(rest) != padded || len(bytes.Trim(rest[n:], "\x00")) > 0 {
		return nil, false
	}
	return rest[:n], true
}
