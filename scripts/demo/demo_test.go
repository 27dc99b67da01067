package main

import (
	"context"
	"testing"
	"time"

	"github.com/luxfi/mpcd/internal/sim"
)

// Goal: the demo runs to its end with every kind of hardware: keys are made, sign, and sign again after all nodes were restarted.
// Method: run it on the real parts.
func TestDemo(t *testing.T) {
	program := sim.Program(t)
	for _, kind := range []string{"softhsm", "tpm", "aws", "gcp"} {
		t.Run(kind, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			if err := run(ctx, program, kind); err != nil {
				t.Fatal(err)
			}
		})
	}
	if err := run(t.Context(), program, "toaster"); err == nil {
		t.Error("runs on a toaster")
	}
}
