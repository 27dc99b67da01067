package benchmarks

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/luxfi/mpcd/internal/parts/swtpm"
)

// The clusters of TokenNodes, as figures name them.
const (
	onSoftHSM = "SoftHSM"
	onTPM     = "TPM (swtpm)"
	onSlow    = "20 operations/s"
)

// TokenClients load a cluster so that its batches are full: two ceremonies of 64 signatures at work and as many waiting.
const TokenClients = 256

// rounds are how often each cluster is loaded, in turns, so that all see the same machine.
const rounds = 5

// tokenCluster is a cluster on one kind of token.
type tokenCluster struct {
	what string
	*devCluster
	stop func()
	runs []loaded
}

// TokenNodes measures what attestation by a token costs a cluster: EdDSA signatures per second on SoftHSM, on an emulated TPM, and on
// tokens of 20 operations a second, all clusters up together and loaded in turns.
func TokenNodes(ctx context.Context, o NodeOptions, t, n int, tell func(what string)) ([]Figure, error) {
	dir, err := os.MkdirTemp("", "mpcd-b-") // short: the names of sockets are
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var all []*tokenCluster
	defer func() {
		for _, c := range all {
			c.stop()
		}
	}()
	for _, s := range []struct {
		what  string
		start func(ctx context.Context, dir, program string, t, n int) (*devCluster, func(), error)
	}{{onSoftHSM, devOnSoftHSM}, {onTPM, devOnTPM}, {onSlow, devOnSlow}} {
		tell("a cluster on " + s.what)
		d, stop, err := s.start(ctx, dir, o.Program, t, n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.what, err)
		}
		all = append(all, &tokenCluster{what: s.what, devCluster: d, stop: stop})
	}
	for range rounds {
		for _, c := range all {
			l, err := c.sign(ctx, o)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.what, err)
			}
			tell(fmt.Sprintf("%s: %.0f signatures/s", c.what, l.rate))
			c.runs = append(c.runs, l)
		}
	}
	return tokenFigures(all, t, n), nil
}

// sign loads the cluster with its Ed25519 key for one round.
func (c *tokenCluster) sign(ctx context.Context, o NodeOptions) (loaded, error) {
	i := slices.IndexFunc(nodeSchemes, func(s nodeScheme) bool { return s.name == "ed25519" })
	for _, w := range c.ready.Wallets {
		if w.Curve == "ed25519" {
			return c.load(ctx, nodeSchemes[i], keyAnswer{w.WalletID, w.PublicKey.String()}, o.Clients, o.Duration/rounds)
		}
	}
	return loaded{}, errors.New("benchmarks: mpcd dev made no Ed25519 key")
}

// tokenFigures are the medians of the rounds. The TPM is held against SoftHSM round by round, since a round's two loads ran one after the
// other on the same machine.
func tokenFigures(all []*tokenCluster, t, n int) []Figure {
	name := fmt.Sprintf("node ed25519 %d-of-%d sustained, ", t, n)
	byName := map[string][]loaded{}
	var out []Figure
	for _, c := range all {
		byName[c.what] = c.runs
		l := slices.SortedFunc(slices.Values(c.runs), func(a, b loaded) int { return cmp.Compare(a.rate, b.rate) })[len(c.runs)/2]
		note := fmt.Sprintf("median of %d rounds in turns, each: %s; p50 %.0f ms", len(c.runs), l.note(), quantile(l.times, 0.5))
		out = append(out, Figure{name + "attested by " + c.what, l.rate, "1/s", note})
	}
	soft, tpm := byName[onSoftHSM], byName[onTPM]
	var kept []float64
	for i := range min(len(soft), len(tpm)) {
		kept = append(kept, 100*tpm[i].rate/soft[i].rate)
	}
	if len(kept) > 0 {
		slices.Sort(kept)
		out = append(out, Figure{name + onTPM + " of " + onSoftHSM, kept[len(kept)/2], "%", fmt.Sprintf("median of %d rounds, from %.0f to %.0f",
			len(kept), kept[0], kept[len(kept)-1])})
	}
	return out
}

func devOnSoftHSM(ctx context.Context, _, program string, t, n int) (*devCluster, func(), error) {
	d, err := startDev(ctx, program, t, n, "--hsm", "softhsm")
	if err != nil {
		return nil, nil, err
	}
	return d, d.stop, nil
}

// devOnTPM gives every node a TPM of its own.
func devOnTPM(ctx context.Context, dir, program string, t, n int) (*devCluster, func(), error) {
	var tpms []*swtpm.TPM
	stop := func() {
		for _, s := range tpms {
			_ = s.Stop()
		}
	}
	var place string
	for i := range n {
		at := filepath.Join(dir, "node"+strconv.Itoa(i+1))
		err := os.Mkdir(at, 0o700)
		var one *swtpm.TPM
		if err == nil {
			one, err = swtpm.Start(at)
		}
		if err != nil {
			stop()
			return nil, nil, err
		}
		tpms, place = append(tpms, one), filepath.Join(dir, "%n", filepath.Base(one.Path()))
	}
	d, err := startDev(ctx, program, t, n, "--hsm", "tpm:device="+strings.ReplaceAll(place, "/", "%2F"))
	if err != nil {
		stop()
		return nil, nil, err
	}
	return d, func() { d.stop(); stop() }, nil
}

// devOnSlow gives every node a token of 20 operations a second: a driver of a third party, in a process of its own. The cluster is made
// with software tokens at full speed; then the nodes' configuration names the slow driver, for the same keys.
func devOnSlow(ctx context.Context, dir, program string, t, n int) (*devCluster, func(), error) {
	drivers, data := filepath.Join(dir, "drivers"), filepath.Join(dir, "slow")
	if err := os.Mkdir(drivers, 0o755); err != nil {
		return nil, nil, err
	}
	if err := buildSlow(ctx, drivers); err != nil {
		return nil, nil, err
	}
	d, err := startDev(ctx, program, t, n, "--data", data, "--hsm", "local")
	if err != nil {
		return nil, nil, err
	}
	d.stop()
	for i := range n {
		if err := slowNode(filepath.Join(data, "node"+strconv.Itoa(i+1)), drivers); err != nil {
			return nil, nil, err
		}
	}
	if d, err = startDev(ctx, program, t, n, "--data", data); err != nil {
		return nil, nil, err
	}
	return d, d.stop, nil
}

// buildSlow builds mpcd-hsm-slow into the directory.
func buildSlow(ctx context.Context, dir string) error {
	b, err := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, "mpcd-hsm-slow"),
		"github.com/luxfi/mpcd/benchmarks/slowtoken").CombinedOutput()
	if err != nil {
		return fmt.Errorf("benchmarks: go build: %w: %s", err, b)
	}
	return nil
}

// slowNode writes the slow driver into a node's mpcd.yaml, in the place of its software token.
func slowNode(dir, drivers string) error {
	path, keys := filepath.Join(dir, "mpcd.yaml"), filepath.Join(dir, "hsm")
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before := fmt.Appendf(nil, "  uri: %q\n", "local:"+keys)
	if bytes.Count(b, before) != 1 {
		return fmt.Errorf("benchmarks: %s has no line %q", path, before)
	}
	after := fmt.Appendf(nil, "  uri: \"plugin:slow\"\n  plugin:\n    dir: %q\n    env: [%q]\n    write: [%q]\n", drivers,
		"SLOWTOKEN_DIR="+keys, keys)
	return os.WriteFile(path, bytes.Replace(b, before, after, 1), 0o600)
}
