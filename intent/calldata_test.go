package intent

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/crypto"
)

// erc20Token is a contract of the tests, as it is written and as it is.
const erc20Token = "0x5FbDB2315678afecb367f032d93F642f64180aa3"

var tokenAccount = common.HexToAddress(erc20Token).Bytes()

// arguments of a method as go-ethereum has them.
func abiOf(signature string) (args abi.Arguments) {
	_, list, _ := strings.Cut(strings.TrimSuffix(signature, ")"), "(")
	for _, kind := range strings.Split(list, ",") {
		args = append(args, abi.Argument{Type: must(abi.NewType(kind, "", nil))})
	}
	return args
}

// pack is the calldata of a call.
func pack(signature string, args ...any) []byte {
	return append(crypto.Keccak256([]byte(signature))[:4], must(abiOf(signature).Pack(args...))...)
}

// values draws the arguments of a method.
func (s source) values(signature string) (out []any) {
	for _, a := range abiOf(signature) {
		switch a.Type.String() {
		case "address":
			out = append(out, s.account())
		case "uint256":
			out = append(out, s.big(256))
		case "bool":
			out = append(out, s.IntN(2) == 0)
		default:
			out = append(out, s.bytes(s.IntN(3)*s.IntN(40)))
		}
	}
	return out
}

// wantTransfer is what a call means, from the texts of the ERCs: whom it names, which token and how much.
func wantTransfer(signature string, v []any) Transfer {
	text := func(i int) string { return v[i].(common.Address).Hex() }
	one := func(i int) string { return fmt.Sprintf("%s/%d", erc20Token, v[i]) }
	switch signature {
	case "transfer(address,uint256)":
		return Transfer{Send, text(0), erc20Token, v[1].(*big.Int)}
	case "transferFrom(address,address,uint256)":
		return Transfer{Send, text(1), erc20Token, v[2].(*big.Int)}
	case "approve(address,uint256)", "increaseAllowance(address,uint256)":
		return Transfer{Allowance, text(0), erc20Token, v[1].(*big.Int)}
	case "safeTransferFrom(address,address,uint256)", "safeTransferFrom(address,address,uint256,bytes)":
		return Transfer{Send, text(1), one(2), big.NewInt(1)}
	case "safeTransferFrom(address,address,uint256,uint256,bytes)":
		return Transfer{Send, text(1), one(2), v[3].(*big.Int)}
	case "setApprovalForAll(address,bool)":
		if v[1].(bool) {
			return Transfer{Allowance, text(0), erc20Token, math.MaxBig256}
		}
		return Transfer{Allowance, text(0), erc20Token, new(big.Int)}
	}
	return Transfer{}
}

// sameToken compares what is read of a call of the table with what go-ethereum unpacks.
func sameToken(d *Decoded, signature string, v []any) error {
	want := wantTransfer(signature, v)
	if len(d.Transfers) != 1 || fmt.Sprint(d.Transfers[0]) != fmt.Sprint(want) || len(d.Calls) > 0 {
		return fmt.Errorf("%s: %v and calls %v, want %v", signature, d.Transfers, d.Calls, want)
	}
	from := ""
	if strings.Contains(signature, "From(") {
		from = v[0].(common.Address).Hex()
	}
	if factOf(d, "method") != signature || factOf(d, "method.from") != from {
		return fmt.Errorf("%s: facts %v", signature, d.Facts)
	}
	told := ""
	if tail, ok := v[len(v)-1].([]byte); ok && len(tail) > 0 {
		told = fmt.Sprintf("%s tells the receiver 0x%x", signature, tail)
	}
	if got := strings.Join(d.Unknown, "\n"); got != told {
		return fmt.Errorf("%s: unknown %q, want %q", signature, got, told)
	}
	return nil
}

// Goal: a call of a token is read as what the contract takes it for. Method: random arguments of every method, written by go-ethereum,
// which has the selectors of its own.
func TestCalldata(t *testing.T) {
	s := newSource(3)
	for _, m := range methods() {
		if m.selector != binary.BigEndian.Uint32(crypto.Keccak256([]byte(m.signature))) {
			t.Errorf("%s: selector %08x", m.signature, m.selector)
		}
		for range 1000 {
			d, v := &Decoded{}, s.values(m.signature)
			d.ethereumCall(tokenAccount, new(big.Int), pack(m.signature, v...))
			if err := sameToken(d, m.signature, v); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Goal: value that goes along with a call is not lost. Method: a transfer of a token, and an unknown call, with one wei.
func TestCalldataValue(t *testing.T) {
	for _, data := range [][]byte{pack("transfer(address,uint256)", common.Address{1}, big.NewInt(5)), unhex("12345678")} {
		d := &Decoded{}
		d.ethereumCall(tokenAccount, big.NewInt(1), data)
		if len(d.Transfers)+len(d.Calls) != 2 || fmt.Sprint(d.Transfers[0]) != fmt.Sprint(Transfer{Send, erc20Token, "", big.NewInt(1)}) {
			t.Errorf("%x: %v, %v", data, d.Transfers, d.Calls)
		}
	}
}

// Goal: calldata that contracts read in different ways, or not at all, is unknown and never half read. Method: each way to write it wrong.
func TestCalldataUnknown(t *testing.T) {
	transfer := pack("transfer(address,uint256)", common.Address{1}, big.NewInt(5))
	all := pack("setApprovalForAll(address,bool)", common.Address{1}, true)
	told := pack("safeTransferFrom(address,address,uint256,bytes)", common.Address{1}, common.Address{2}, big.NewInt(5), []byte("abc"))
	set := func(b []byte, at int, v byte) []byte {
		b = bytes.Clone(b)
		b[at] = v
		return b
	}
	for name, data := range map[string][]byte{
		"short":             transfer[:len(transfer)-1],
		"a word short":      transfer[:len(transfer)-32],
		"long":              append(bytes.Clone(transfer), 0),
		"a word long":       append(bytes.Clone(transfer), make([]byte, 32)...),
		"selector alone":    transfer[:4],
		"less than one":     transfer[:3],
		"dirty address":     set(transfer, 4, 1),
		"dirty address, 12": set(transfer, 15, 1),
		"bool of 2":         set(all, len(all)-1, 2),
		"dirty bool":        set(all, len(all)-32, 1),
		"offset":            set(told, 4+4*32-1, 0xa0),
		"large offset":      set(told, 4+3*32, 1),
		"length":            set(told, 4+5*32-1, 33),
		"large length":      set(told, 4+4*32, 0xff),
		"length of a word":  set(told, 4+5*32-1, 0),
		"dirty padding":     set(told, len(told)-1, 1),
		"no padding":        told[:4+5*32+3],
		"no length":         told[:4+4*32],
		"words behind":      append(bytes.Clone(told), make([]byte, 32)...),
		"permit":            pack("permit(address,bool)", common.Address{1}, true),
	} {
		d := &Decoded{}
		d.ethereumCall(tokenAccount, new(big.Int), data)
		unknown := 1
		if name == "permit" { // a method of its own, which a rule may name
			unknown = 0
		}
		if len(d.Transfers) > 0 || len(d.Calls) != 1 || len(d.Unknown) != unknown || len(d.Facts) > 0 {
			t.Errorf("%s: %+v", name, d)
			continue
		}
		if c := d.Calls[0]; c.To != erc20Token || c.Method+hex.EncodeToString(c.Data) != calldataHex(data) {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// calldataHex is calldata as a Call has it, method and arguments in a row.
func calldataHex(data []byte) string {
	if len(data) < 4 {
		return hex.EncodeToString(data)
	}
	return "0x" + hex.EncodeToString(data)
}

// Goal: no calldata makes the reader panic, and what it takes is the one encoding of what it shows. Method: fuzz; go-ethereum unpacks it,
// and packs it to the same bytes.
func FuzzCalldata(f *testing.F) {
	s := newSource(4)
	for _, m := range methods() {
		f.Add(pack(m.signature, s.values(m.signature)...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := &Decoded{}
		d.ethereumCall(tokenAccount, new(big.Int), data)
		if len(data) == 0 {
			return
		}
		if len(d.Calls) == 1 {
			ours := len(data) < 4 || slices.ContainsFunc(methods(), func(m method) bool { return m.selector == binary.BigEndian.Uint32(data) })
			if c := d.Calls[0]; len(d.Transfers) > 0 || (len(d.Unknown) == 1) != ours || c.Method+hex.EncodeToString(c.Data) != calldataHex(data) {
				t.Errorf("%x: %+v", data, d)
			}
			return
		}
		signature := factOf(d, "method")
		v, err := abiOf(signature).Unpack(data[4:])
		if err != nil {
			t.Fatalf("%x: %s: %v", data, signature, err)
		}
		if !bytes.Equal(pack(signature, v...), data) {
			t.Errorf("%x is not how %s is written", data, signature)
		}
		if err := sameToken(d, signature, v); err != nil {
			t.Error(err)
		}
	})
}
