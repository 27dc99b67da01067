package appliance_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// refusalKind is the kind of an envelope that says why a party leaves a ceremony.
const refusalKind = 4

// speak keeps a halted node's place alive in the eyes of the others; f gets what arrives. stop ends it.
func speak(t *testing.T, conn transport.Conn, f func(transport.Envelope)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	beat := canon.MustMarshal(struct {
		V string `cbor:"1,keyasint"`
		R bool   `cbor:"2,keyasint"`
	}{"rogue", true})
	beats, reads := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(beats)
		for ctx.Err() == nil {
			_ = conn.Send(ctx, transport.Envelope{Kind: kindHeartbeat, Body: beat})
			select {
			case <-ctx.Done():
			case <-time.After(300 * time.Millisecond):
			}
		}
	}()
	go func() {
		defer close(reads)
		for {
			e, err := conn.Recv(ctx)
			if err != nil {
				return
			}
			if f != nil {
				f(e)
			}
		}
	}()
	return func() {
		cancel()
		<-beats
		<-reads
	}
}

// encodeProposal is a proposal as nodes write it.
func encodeProposal(op string, signers []threshold.PartyID, intents [][]byte, cosign []byte) []byte {
	p := struct {
		Version   uint8               `cbor:"1,keyasint"`
		Operation string              `cbor:"2,keyasint"`
		Signers   []threshold.PartyID `cbor:"3,keyasint"`
		Intents   [][]byte            `cbor:"4,keyasint"`
		Cosign    []byte              `cbor:"5,keyasint"`
		Nonce     [16]byte            `cbor:"6,keyasint"`
	}{Version: 1, Operation: op, Signers: signers, Intents: intents, Cosign: cosign}
	_, _ = rand.Read(p.Nonce[:])
	return canon.MustMarshal(p)
}
