package appliance_test

import (
	"os"
	"testing"

	"github.com/luxfi/mpcd/internal/sim"
)

func TestMain(m *testing.M) { os.Exit(sim.Main(m)) }
