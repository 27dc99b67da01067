package attest

import (
	"context"
	"testing"

	"github.com/luxfi/mpcd/threshold"
)

// nullSigner makes a share at no cost, so that only attestation is measured.
type nullSigner struct{}

func (nullSigner) SignShare(r threshold.SignRequest) (*threshold.SignatureShare, error) {
	return &threshold.SignatureShare{From: 1, Pre: r.Pre.ID, Payload: make([]byte, 32)}, nil
}

// BenchmarkShares measures a batch of 32 shares, made and attested by one node and opened by another; the token is software.
func BenchmarkShares(b *testing.B) {
	c := newCluster(b)
	const n = 32
	in := c.intent("pay bob 5")
	key, token := c.shares[0].KeyInfo, c.tokens[0]
	items, expected := make([]Item, n), make([]Statement, n)
	for i := range items {
		req := in.SignRequest()
		req.Pre = &threshold.Presignature{ID: [32]byte{byte(i)}, Signers: in.Signers}
		items[i] = Item{Signer: nullSigner{}, Key: key, KeyID: in.KeyID, Request: req, Intent: in.Hash()}
	}
	hdr := c.header("node1", KindShare, 0)
	shares, batch, err := SignShares(context.Background(), token, token.key("attest"), hdr, items)
	must(b, err)
	sb := NewShareBatch(shares, batch)
	b.Run("sign", func(b *testing.B) {
		for b.Loop() {
			_, _, err := SignShares(context.Background(), token, token.key("attest"), hdr, items)
			must(b, err)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/share")
	})
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			for i, it := range items {
				expected[i] = NewStatement("test", "node1", it.Key, it.KeyID, it.Request, it.Intent)
			}
			_, err := sb.Open(token.key("attest").Public, Window{}, expected)
			must(b, err)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/share")
	})
	b.Run("verify", func(b *testing.B) {
		leaves := [][]byte{[]byte("x")}
		one, err := Attest(context.Background(), token, token.key("attest"), hdr, leaves)
		must(b, err)
		for b.Loop() {
			_, err := VerifyBatch(token.key("attest").Public, Expect{Kind: KindShare, Cluster: "test", Node: "node1"}, leaves, one.Cose)
			must(b, err)
		}
	})
}
