package plugin

import (
	"context"
	"errors"
	"os/exec"
	"sync/atomic"
	"testing"
)

// Goal: a driver that ends while it opens a token is started once: whoever opens it is told, and nobody opens it again beside him. Method:
// the end of a child, told to a token that was never open; a command that counts, and cannot be run.
func TestNeverOpen(t *testing.T) {
	x := &Token{}
	x.life, x.end = context.WithCancel(t.Context())
	var started atomic.Int64
	x.host = &host{limits: Limits{Backoff: 1, BackoffMax: 1}, tokens: map[*Token]struct{}{}, command: func() (*exec.Cmd, func(), error) {
		started.Add(1)
		x.end()
		return nil, nil, errors.New("none")
	}}
	x.revive()
	if started.Load() != 0 {
		t.Error("its driver is started again")
	}
}
