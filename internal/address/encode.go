package address

import (
	"math/big"
	"strings"
)

const (
	bitcoinAlphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	xrplAlphabet    = "rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"
	bech32Alphabet  = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
)

// The constants that the checksum is mixed with.
const (
	bech32Const  = 1          // BIP-173
	bech32mConst = 0x2bc830a3 // BIP-350
)

// base58 writes b, which is public, as a number in base 58; every leading zero byte becomes the alphabet's first letter.
func base58(alphabet string, b []byte) string {
	n, base, digit := new(big.Int).SetBytes(b), big.NewInt(58), new(big.Int)
	var out []byte
	for n.Sign() > 0 {
		n.DivMod(n, base, digit)
		out = append(out, alphabet[digit.Int64()])
	}
	for _, c := range b {
		if c != 0 {
			break
		}
		out = append(out, alphabet[0])
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return string(out)
}

// eightToFive regroups bytes into groups of five bits, the last padded with zeroes (BIP-173).
func eightToFive(b []byte) []byte {
	out := make([]byte, 0, (len(b)*8+4)/5)
	var acc uint32
	bits := 0
	for _, c := range b {
		acc = acc<<8 | uint32(c)
		for bits += 8; bits >= 5; {
			bits -= 5
			out = append(out, byte(acc>>bits)&31)
		}
	}
	if bits > 0 {
		out = append(out, byte(acc<<(5-bits))&31)
	}
	return out
}

// segment writes five-bit groups under a human-readable part in lower case, with the checksum of BIP-173 or BIP-350.
func segment(hrp string, constant uint32, data []byte) string {
	values := make([]byte, 0, 2*len(hrp)+1+len(data)+6)
	for _, c := range []byte(hrp) {
		values = append(values, c>>5)
	}
	values = append(values, 0)
	for _, c := range []byte(hrp) {
		values = append(values, c&31)
	}
	values = append(values, data...)
	sum := polymod(append(values, 0, 0, 0, 0, 0, 0)) ^ constant

	var out strings.Builder
	out.WriteString(hrp)
	out.WriteByte('1')
	for _, d := range data {
		out.WriteByte(bech32Alphabet[d])
	}
	for shift := 25; shift >= 0; shift -= 5 {
		out.WriteByte(bech32Alphabet[sum>>shift&31])
	}
	return out.String()
}

// polymod is the remainder of the BCH code of BIP-173.
func polymod(values []byte) uint32 {
	generator := [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3}
	chk := uint32(1)
	for _, v := range values {
		top := chk >> 25
		chk = chk&0x1ffffff<<5 ^ uint32(v)
		for i, g := range generator {
			if top>>i&1 == 1 {
				chk ^= g
			}
		}
	}
	return chk
}
