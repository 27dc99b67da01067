package appliance_test

import (
	"context"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/internal/canon"
)

// speak keeps a halted node's place alive in the eyes of the others; f gets what arrives. stop ends it.
func speak(t *testing.T, conn transport.Conn, f func(transport.Envelope)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	beat := canon.MustMarshal(heartbeat{Version: "rogue", Ready: true, Boot: [16]byte{1}})
	beats, reads := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(beats)
		for ctx.Err() == nil {
			_ = conn.Send(ctx, transport.Envelope{Kind: ceremony.KindHeartbeat, Body: beat})
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
