package presign

import (
	"testing"
	"time"
)

// Goal: a machine that was stopped and resumed is told by its clocks, one that was only busy is not. Method: readings of both.
func TestStopped(t *testing.T) {
	for d, want := range map[time.Duration]bool{0: false, time.Second: false, 3 * time.Second: true, -3 * time.Second: true, time.Hour: true} {
		if got := stopped(time.Minute+d, time.Minute); got != want {
			t.Errorf("a jump of %s: %v, want %v", d, got, want)
		}
	}
}
