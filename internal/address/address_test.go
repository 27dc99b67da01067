package address

import (
	"bytes"
	"encoding/hex"
	"errors"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil"
	btcbase58 "github.com/btcsuite/btcd/btcutil/base58"
	"github.com/btcsuite/btcd/btcutil/bech32"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/mr-tron/base58"

	"github.com/luxfi/mpcd/threshold"
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
		{"BIP-86, first receiving address", "bitcoin", "a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c",
			"bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr"},
		{"BIP-86, second receiving address", "bitcoin", "a82f29944d65b86ae6b5e5cc75e294ead6c59391a1edc5e016e3498c67fc7bbb",
			"bc1p4qhjn9zdvkux4e44uhx8tc55attvtyu358kutcqkudyccelu0was9fqzwh"},
		{"BIP-86, first change address", "bitcoin", "882d74e5d0572d5a816cef0041a96b6c1de832f6f9676d9605c44d5e9a97d3dc",
			"bc1p3qkhfews2uk44qtvauqyr2ttdsw7svhkl9nkm9s9c3x4ax5h60wqwruhk7"},
		{"BIP-350, the generator's x", "bitcoin", "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
			"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"},
		{"Solana, the system program", "solana", "0000000000000000000000000000000000000000000000000000000000000000",
			"11111111111111111111111111111111"},
		{"Solana, the token program", "solana", "06ddf6e1d765a193d9cbe146ceeb79ac1cb485ed5f5b37913a8cf5857eff00a9",
			"TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"},
		{"XRPL, ripple-keypairs ed25519 fixture", "xrpl", "01fa53fa5a7e77798f882ece20b1abc00bb358a9e55a202d0d0676bd0ce37a63",
			"rLUEXYuLiQptky37CqLcm9USQpPiz5rkpD"},
		{"Substrate, Alice (ed25519)", "substrate", "88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee",
			"5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"},
		{"Substrate, Alice", "substrate", "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d",
			"5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"},
		{"Polkadot, Alice", "polkadot", "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d",
			"15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5"},
		{"CIP-19, type 6 on the main network", "cardano", cip19Key(t), "addr1vx2fxv2umyhttkxyxp8x0dlpdt3k6cwng5pxj3jhsydzers66hrl8"},
		{"BIP-84, first receiving address", "bitcoin", "0330d54fd0dd420a6e5f8d3624f5f3482cae350f79d5f0753bf5beef9c2d91af3c",
			"bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"},
		{"BIP-84, second receiving address", "bitcoin", "03e775fd51f0dfb8cd865d9ff1cca2a158cf651fe997fdc9fee9c1d3b5e995ea77",
			"bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g"},
		{"BIP-84, first change address", "bitcoin", "03025324888e429ab8e3dbaf1f7802648b9cd01e9b418485c5fa4c1b9b5700e1a6",
			"bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el"},
		{"BIP-173, the generator", "bitcoin", generator, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"},
		{"go-ethereum, the key 1", "ethereum", generator, "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"},
		{"Hardhat, account 0", "ethereum", public(t, "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"),
			"0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"},
		{"Hardhat, account 1", "ethereum", public(t, "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"),
			"0x70997970C51812dc3A010C7d01b50e0d17dc79C8"},
		{"Avalanche, ewoq, the C-Chain", "avalanche-c", public(t, ewoq), "0x8db97C7cEcE249c2b98bDC0226Cc4C2A57BF52FC"},
		{"Lux genesis, ewoq, the C-Chain", "lux-c", public(t, ewoq), "0x8db97C7cEcE249c2b98bDC0226Cc4C2A57BF52FC"},
		{"avalanche-types, ewoq, the X-Chain", "avalanche-x", public(t, ewoq), "X-avax18jma8ppw3nhx5r4ap8clazz0dps7rv5ukulre5"},
		{"avalanche-types, ewoq, the P-Chain", "avalanche-p", public(t, ewoq), "P-avax18jma8ppw3nhx5r4ap8clazz0dps7rv5ukulre5"},
		{"Lux genesis, ewoq, the P-Chain", "lux-p", public(t, ewoq), "P-lux18jma8ppw3nhx5r4ap8clazz0dps7rv5uv98e28"},
		{"Lux genesis, ewoq, the X-Chain", "lux-x", public(t, ewoq), "X-lux18jma8ppw3nhx5r4ap8clazz0dps7rv5uv98e28"},
		{"CosmJS, pubkeyToAddress", "cosmos", "02d41a0aa167b21699429eab224bc03f2cd386f0af5d20cefbd0336f1544aea24f",
			"cosmos1h806c7khnvmjlywdrkdgk2vrayy2mmvf9rxk2r"},
		{"XRPL, the genesis account", "xrpl", "0330e7fc9d56bb25d6893ba3f317ae5bcf33b3291bd63db32654a313222f7fd020",
			"rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh"},
	} {
		key := unhex(t, v.key)
		kinds := []Family{ECDSA}
		if len(key) == 32 {
			kinds = []Family{Ed25519, Taproot}
		}
		found := false
		for _, kind := range kinds {
			_, all, err := For(kind, key)
			if err != nil {
				t.Errorf("%s: %v", v.source, err)
			}
			if got, ok := all[v.chain]; ok {
				found = true
				if got != v.want {
					t.Errorf("%s: got %s, want %s", v.source, got, v.want)
				}
			}
		}
		if !found {
			t.Errorf("%s: no line for %s", v.source, v.chain)
		}
	}
}

const (
	generator = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
	// ewoq is the private key that Avalanche and Lux publish for local networks.
	ewoq = "56289e99c94b6912bfc12adc093c9b51124f0dc54ac7a766b2bc5ccf558d8027"
)

// public is the compressed public key of a published private key.
func public(t testing.TB, secret string) string {
	return hex.EncodeToString(secp256k1.PrivKeyFromBytes(unhex(t, secret)).PubKey().SerializeCompressed())
}

// Goal: capitals are where EIP-55 puts them. Method: the test cases of EIP-55: all capitals, all small, and mixed.
func TestEIP55(t *testing.T) {
	for _, want := range []string{
		"0x52908400098527886E0F7030069857D2E4169EE7", "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
		"0xde709f2102306220921060314715629080e2fb77", "0x27b1fdb04752bbc536007a920d24acb045561c26",
		"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
		"0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB", "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
	} {
		if got := EIP55([20]byte(unhex(t, strings.ToLower(want[2:])))); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Goal: both encodings of a point give the same addresses, for even and odd y, and so does btcutil where it has the chain. Method:
// random points.
func TestPoints(t *testing.T) {
	parity := map[byte]int{}
	for range 64 {
		secret, err := secp256k1.GeneratePrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		short, long := secret.PubKey().SerializeCompressed(), secret.PubKey().SerializeUncompressed()
		parity[short[0]]++
		primary, all, err := For(ECDSA, short)
		if err != nil {
			t.Fatal(err)
		}
		again, same, err := For(ECDSA, long)
		if err != nil || again != primary || !maps.Equal(all, same) {
			t.Errorf("%x: %v and %v, %v", short, all, same, err)
		}
		want, err := btcutil.NewAddressWitnessPubKeyHash(btcutil.Hash160(short), &chaincfg.MainNetParams)
		if err != nil || all["bitcoin"] != want.EncodeAddress() {
			t.Errorf("%x: %s, btcutil has %v, %v", short, all["bitcoin"], want, err)
		}
	}
	if parity[2] == 0 || parity[3] == 0 {
		t.Errorf("parities %v", parity)
	}
}

// Goal: every name of a family stands once in the table, and in the spelling that the API takes. Method: walk it.
func TestChains(t *testing.T) {
	type line struct {
		name string
		kind Family
	}
	seen := map[line]bool{}
	names := map[string]bool{}
	for _, c := range Chains() {
		at := line{c.Name, c.Family}
		if seen[at] || !regexp.MustCompile(`^[a-z0-9_-]{1,32}$`).MatchString(c.Name) {
			t.Errorf("%+v", at)
		}
		seen[at], names[c.Name] = true, true
	}
	if len(names) < 16 {
		t.Errorf("%d chains, 16 are promised", len(names))
	}
}

// cip19Key decodes the payment key that CIP-19 prints in bech32.
func cip19Key(t *testing.T) string {
	_, five, err := bech32.Decode("addr_vk1w0l2sr2zgfm26ztc6nl9xy8ghsk5sh6ldwemlpmp9xylzy4dtf7st80zhd")
	if err != nil {
		t.Fatal(err)
	}
	key, err := bech32.ConvertBits(five, 5, 8, false)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(key)
}

// Goal: For gives all addresses of a family and no other, and refuses what is not a key. Method: table.
func TestFor(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	primary, all, err := For(Ed25519, key)
	if err != nil || primary != solana(key) || len(all) != 5 || all["bitcoin"] != "" {
		t.Errorf("ed25519: %q %v %v", primary, all, err)
	}
	primary, all, err = For(Taproot, key)
	if err != nil || primary != taproot(key) || len(all) != 1 {
		t.Errorf("taproot: %q %v %v", primary, all, err)
	}
	primary, all, err = For(ECDSA, unhex(t, generator))
	if err != nil || primary != all["ethereum"] || primary != all["polygon"] || len(all) != 15 || all["solana"] != "" {
		t.Errorf("ecdsa: %q %v %v", primary, all, err)
	}
	for name, call := range map[string]struct {
		kind Family
		key  []byte
	}{"31 bytes": {Ed25519, key[:31]}, "33 bytes": {Taproot, append(bytes.Clone(key), 0)}, "nothing": {Ed25519, nil},
		"unknown kind": {"rsa", key}, "no kind": {"", key}, "x alone": {ECDSA, key},
		"not on the curve":    {ECDSA, append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...)},
		"a wrong y":           {ECDSA, append([]byte{4}, bytes.Repeat([]byte{7}, 64)...)},
		"a point for Ed25519": {Ed25519, unhex(t, generator)}} {
		if _, _, err := For(call.kind, call.key); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Goal: base58 is everybody's, leading zeroes too. Method: fuzz against btcutil's, and XRPL's alphabet letter for letter.
func FuzzEncodings(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 1})
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	const bitcoin = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	const xrpl = "rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"
	f.Fuzz(func(t *testing.T, b []byte) {
		want := btcbase58.Encode(b)
		if got := base58.Encode(b); got != want {
			t.Errorf("base58 %x: got %s, want %s", b, got, want)
		}
		want = strings.Map(func(r rune) rune { return rune(xrpl[strings.IndexRune(bitcoin, r)]) }, want)
		if got := base58.EncodeAlphabet(b, xrplAlphabet); got != want {
			t.Errorf("base58 of XRPL %x: got %s, want %s", b, got, want)
		}
	})
}

// Goal: every kind of key of the engine has addresses here, in the form in which it shows its keys. Method: its family, with a point.
func TestKindsHaveAddresses(t *testing.T) {
	for _, k := range threshold.Kinds() {
		compressed := secp256k1.PrivKeyFromBytes(bytes.Repeat([]byte{7}, 32)).PubKey().SerializeCompressed()
		key := k.Shown(compressed)
		if key == nil {
			key = k.Shown(compressed[1:])
		}
		if primary, all, err := For(Family(k.Addresses), key); err != nil || primary == "" || len(all) == 0 {
			t.Errorf("%s: %v", k.ID, err)
		}
	}
}

// Goal: an address is made of a key in an encoding that chains take, not of a hybrid one. Method: the generator in all three forms.
func TestHybridKeys(t *testing.T) {
	key := secp256k1.PrivKeyFromBytes([]byte{1}).PubKey().SerializeUncompressed()
	if _, err := canonical(ECDSA, key); err != nil {
		t.Fatal(err)
	}
	key[0] = 6 | key[64]&1
	if _, err := canonical(ECDSA, key); !errors.Is(err, ErrKey) {
		t.Errorf("a hybrid key: %v", err)
	}
}
