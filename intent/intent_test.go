package intent

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
)

// Goal: people see all of what is read, amounts in whole units to the last place, what is not read above all, and nothing of the payload
// that could stand for something else. Method: a decoded payload with everything in it.
func TestRows(t *testing.T) {
	d := &Decoded{Network: "ethereum", Kind: "eip-1559", Fee: big.NewInt(1),
		Transfers: []Transfer{{Send, "0xA", "", big.NewInt(15e17)}, {Allowance, "0xB", "0xC", big.NewInt(7)}, {Send, "0xD", "", new(big.Int)}},
		Calls:     []Call{{"0xE", "0x01", []byte{2}}}, Facts: []Fact{{"message", "a\nb\x1b[2J"}}, Unknown: []string{"something"}}
	want := []string{"is eip-1559 on ethereum", `send 1.5 ethereum to "0xA"`, `allowance 7 of the smallest unit of "0xC" to "0xB"`,
		`send 0 ethereum to "0xD"`, `call "0x01" of "0xE" with 0x02`, "fee at most 0.000000000000000001 ethereum", `message "a\nb\x1b[2J"`,
		"NOT READ something"}
	var got []string
	for _, r := range d.Rows() {
		got = append(got, r[0]+" "+r[1])
	}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	for network, shown := range map[string]string{"bitcoin": "0.00000012", "solana": "0.000000012", "nowhere": "12"} {
		if s := whole(network, big.NewInt(12)); s != shown {
			t.Errorf("%s: %s", network, s)
		}
	}
	if s := fmt.Sprint(whole("bitcoin", big.NewInt(21e14))); s != "21000000" {
		t.Error(s)
	}
}

// Goal: nothing is read as another network's, of a format that is none, without bytes or of too many, with an input where there is none to
// choose, or for a key whose signature the network does not take. Method: a transaction of Ethereum, with one thing wrong each.
func TestDecodeRefuses(t *testing.T) {
	good := Payload{Network: "ethereum", Format: "transaction", Bytes: unhex(exampleEIP155), Family: "ecdsa"}
	if _, err := Decode(good); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		want string
		bend func(*Payload)
	}{
		"network":      {"no payloads of network", func(p *Payload) { p.Network = "dogecoin" }},
		"format":       {"no format", func(p *Payload) { p.Format = "psbt" }},
		"nothing":      {"0 bytes", func(p *Payload) { p.Bytes = nil }},
		"too much":     {"65537 bytes", func(p *Payload) { p.Bytes = make([]byte, MaxPayload+1) }},
		"an input":     {"input 1", func(p *Payload) { p.Input = 1 }},
		"before it":    {"input -1", func(p *Payload) { p.Input = -1 }},
		"another key":  {"takes no signature", func(p *Payload) { p.Family = "ed25519" }},
		"a Solana key": {"takes no signature", func(p *Payload) { p.Network, p.Family = "solana", "taproot" }},
	} {
		p := good
		row.bend(&p)
		if d, err := Decode(p); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}
