package realinput

import (
	"bytes"
	"fmt"
	"math/big"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"

	"github.com/luxfi/mpcd/internal/address"
)

// transfer is what the tests sign: a token transfer with all fields set.
func transfer(nonce uint64) EthereumTransaction {
	return EthereumTransaction{
		ChainID: 96369, Nonce: nonce, MaxPriorityFeePerGas: 1_500_000_000, MaxFeePerGas: 40_000_000_000, Gas: 60_000,
		To: [20]byte{0xde, 0xad, 19: 0xbe}, Value: 250_000_000_000_000_000, Data: append([]byte{0xa9, 0x05, 0x9c, 0xbb}, make([]byte, 64)...),
	}
}

// sender is whom go-ethereum takes for the sender of a raw transaction.
func sender(raw []byte) (common.Address, *types.Transaction, error) {
	var tx types.Transaction
	if err := tx.UnmarshalBinary(raw); err != nil {
		return common.Address{}, nil, err
	}
	from, err := types.Sender(types.LatestSignerForChainID(big.NewInt(96369)), &tx)
	return from, &tx, err
}

// Goal: the digest is EIP-1559's and the transaction a whole one. Method: go-ethereum decodes it, computes the digest itself and
// recovers the sender, which is the address that we write; one flipped bit anywhere gives another sender or no transaction.
func TestEthereumTransaction(t *testing.T) {
	secret, _ := btcec.PrivKeyFromBytes(bytes.Repeat([]byte{5}, 32))
	own, _, err := address.For(address.ECDSA, secret.PubKey().SerializeCompressed())
	if err != nil {
		t.Fatal(err)
	}
	e := transfer(7)
	payload, finish := e.Prepare()
	digest := crypto.Keccak256Hash(payload)
	sig, id := sign(secret, digest)
	raw := finish(sig, id)
	from, tx, err := sender(raw)
	if err != nil || from.Hex() != own {
		t.Fatalf("sender %s, want %s, %v", from, own, err)
	}
	if from != crypto.PubkeyToAddress(*secret.PubKey().ToECDSA()) {
		t.Error("go-ethereum has another address for the key")
	}
	if h := types.LatestSignerForChainID(big.NewInt(96369)).Hash(tx); h != digest {
		t.Errorf("digest %x, go-ethereum says %x", digest, h)
	}
	if tx.Type() != types.DynamicFeeTxType || tx.ChainId().Uint64() != e.ChainID || tx.Nonce() != e.Nonce ||
		tx.GasTipCap().Uint64() != e.MaxPriorityFeePerGas || tx.GasFeeCap().Uint64() != e.MaxFeePerGas || tx.Gas() != e.Gas || *tx.To() != e.To ||
		tx.Value().Uint64() != e.Value || !bytes.Equal(tx.Data(), e.Data) || len(tx.AccessList()) != 0 {
		t.Errorf("the transaction is not the one that was asked for: %+v", tx)
	}
	if back, err := tx.MarshalBinary(); err != nil || !bytes.Equal(back, raw) {
		t.Errorf("go-ethereum writes %x, %v", back, err)
	}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if from, _, err := sender(bad); err == nil && from.Hex() == own {
			t.Errorf("transaction with byte %d altered is still the sender's", i)
		}
	}
}

// Goal: r and s that begin with zeros, and both recovery ids, make valid transactions. Method: sign until each was met; go-ethereum
// refuses numbers with zeros in front.
func TestEthereumShortNumbers(t *testing.T) {
	secret, _ := btcec.PrivKeyFromBytes(bytes.Repeat([]byte{6}, 32))
	want := crypto.PubkeyToAddress(*secret.PubKey().ToECDSA())
	met := map[string]bool{}
	for nonce := uint64(0); len(met) < 4; nonce++ {
		if nonce == 10_000 {
			t.Fatalf("met only %v", met)
		}
		payload, finish := transfer(nonce).Prepare()
		digest := crypto.Keccak256Hash(payload)
		sig, id := sign(secret, digest)
		kinds := []string{fmt.Sprint("id ", id)}
		if sig[0] == 0 {
			kinds = append(kinds, "short r")
		}
		if sig[32] == 0 {
			kinds = append(kinds, "short s")
		}
		for _, k := range kinds {
			if met[k] {
				continue
			}
			met[k] = true
			if from, _, err := sender(finish(sig, id)); err != nil || from != want {
				t.Errorf("%s: sender %s, %v", k, from, err)
			}
		}
	}
}

// Goal: our RLP is Ethereum's at every edge of its lengths. Method: go-ethereum's encoder.
func TestRLP(t *testing.T) {
	for _, n := range []int{0, 1, 2, 54, 55, 56, 255, 256, 257, 65535, 65536} {
		for _, fill := range []byte{0, 0x7f, 0x80, 0xff} {
			b := bytes.Repeat([]byte{fill}, n)
			want, err := rlp.EncodeToBytes(b)
			if got := rlpString(b); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes of %x: %x, want %x, %v", n, fill, got, want, err)
			}
			want, err = rlp.EncodeToBytes([]any{b, []any{}, []any{b}})
			if got := rlpList(rlpString(b), rlpList(), rlpList(rlpString(b))); err != nil || !bytes.Equal(got, want) {
				t.Errorf("list of %d bytes of %x: %x, want %x, %v", n, fill, got, want, err)
			}
		}
	}
	for _, n := range []uint64{0, 1, 0x7f, 0x80, 0xff, 0x100, 1 << 32, 1<<64 - 1} {
		want, err := rlp.EncodeToBytes(n)
		if got := rlpUint(n); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d: %x, want %x, %v", n, got, want, err)
		}
	}
}
