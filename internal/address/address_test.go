package address

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	btcbase58 "github.com/btcsuite/btcd/btcutil/base58"
	btcbech32 "github.com/btcsuite/btcd/btcutil/bech32"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Goal: every line of the table writes what the chain's own documents print. Method: published vectors.
func TestVectors(t *testing.T) {
	for _, v := range []struct{ source, chain, key, want string }{
		{"BIP-86, first receiving address", "bitcoin", "a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c", "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr"},
		{"BIP-86, second receiving address", "bitcoin", "a82f29944d65b86ae6b5e5cc75e294ead6c59391a1edc5e016e3498c67fc7bbb", "bc1p4qhjn9zdvkux4e44uhx8tc55attvtyu358kutcqkudyccelu0was9fqzwh"},
		{"BIP-86, first change address", "bitcoin", "882d74e5d0572d5a816cef0041a96b6c1de832f6f9676d9605c44d5e9a97d3dc", "bc1p3qkhfews2uk44qtvauqyr2ttdsw7svhkl9nkm9s9c3x4ax5h60wqwruhk7"},
		{"BIP-350, the generator's x", "bitcoin", "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"},
		{"Solana, the system program", "solana", "0000000000000000000000000000000000000000000000000000000000000000", "11111111111111111111111111111111"},
		{"Solana, the token program", "solana", "06ddf6e1d765a193d9cbe146ceeb79ac1cb485ed5f5b37913a8cf5857eff00a9", "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"},
		{"XRPL, ripple-keypairs ed25519 fixture", "xrpl", "01fa53fa5a7e77798f882ece20b1abc00bb358a9e55a202d0d0676bd0ce37a63", "rLUEXYuLiQptky37CqLcm9USQpPiz5rkpD"},
		{"Substrate, Alice (ed25519)", "substrate", "88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee", "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"},
		{"Substrate, Alice", "substrate", "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d", "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"},
		{"Polkadot, Alice", "polkadot", "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d", "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5"},
		{"CIP-19, type 6 on the main network", "cardano", cip19Key(t), "addr1vx2fxv2umyhttkxyxp8x0dlpdt3k6cwng5pxj3jhsydzers66hrl8"},
	} {
		for _, c := range Chains() {
			if c.Name != v.chain {
				continue
			}
			if got := c.Encode(unhex(t, v.key)); got != v.want {
				t.Errorf("%s: got %s, want %s", v.source, got, v.want)
			}
		}
	}
}

// cip19Key decodes the payment key that CIP-19 prints in bech32.
func cip19Key(t *testing.T) string {
	_, five, err := btcbech32.Decode("addr_vk1w0l2sr2zgfm26ztc6nl9xy8ghsk5sh6ldwemlpmp9xylzy4dtf7st80zhd")
	if err != nil {
		t.Fatal(err)
	}
	key, err := btcbech32.ConvertBits(five, 5, 8, false)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(key)
}

// Goal: For gives all addresses of a kind and no other, and refuses what is not a key. Method: table.
func TestFor(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	primary, all, err := For(Ed25519, key)
	if err != nil || primary != solana(key) || len(all) != 5 || all["bitcoin"] != "" {
		t.Errorf("ed25519: %q %v %v", primary, all, err)
	}
	primary, all, err = For(Taproot, key)
	if err != nil || primary != bitcoin(key) || len(all) != 1 {
		t.Errorf("taproot: %q %v %v", primary, all, err)
	}
	for name, call := range map[string]struct {
		kind Kind
		key  []byte
	}{"31 bytes": {Ed25519, key[:31]}, "33 bytes": {Taproot, append(bytes.Clone(key), 0)}, "nothing": {Ed25519, nil}, "unknown kind": {"rsa", key}} {
		if _, _, err := For(call.kind, call.key); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Goal: our base58 and bech32 are everybody's. Method: fuzz against btcutil, both ways.
func FuzzEncodings(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 1})
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 48 {
			return // bech32 ends at 90 characters
		}
		if got, want := base58(bitcoinAlphabet, b), btcbase58.Encode(b); got != want {
			t.Errorf("base58 %x: got %s, want %s", b, got, want)
		}
		five, err := btcbech32.ConvertBits(b, 8, 5, true)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(eightToFive(b), five) {
			t.Errorf("groups of %x differ", b)
		}
		for constant, encode := range map[uint32]func(string, []byte) (string, error){bech32Const: btcbech32.Encode, bech32mConst: btcbech32.EncodeM} {
			want, err := encode("lux", five)
			if got := segment("lux", constant, five); err != nil || got != want {
				t.Errorf("bech32 %x: got %s, want %s, %v", b, got, want, err)
			}
		}
	})
}
