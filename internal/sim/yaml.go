package sim

import (
	"os"
	"strings"

	"github.com/luxfi/mpcd/internal/canon"
)

// URI is the token's, as the node's configuration has it.
func (p *Process) URI() string {
	for line := range strings.Lines(p.config()) {
		if uri, ok := strings.CutPrefix(strings.TrimSpace(line), "uri: "); ok {
			return strings.Trim(uri, `"`)
		}
	}
	p.c.TB.Fatalf("%s names no token", p.Config)
	return ""
}

func (p *Process) config() string {
	p.c.TB.Helper()
	b, err := os.ReadFile(p.Config)
	if err != nil {
		p.c.TB.Fatal(err)
	}
	return string(b)
}

// storeKeyAAD is what the program binds a sealed store key to.
func storeKeyAAD(node string) []byte {
	h := canon.Hash("mpcd/v1/store-key", []byte(ClusterName), []byte(node))
	return h[:]
}
