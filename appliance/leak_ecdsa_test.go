package appliance_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	decred "github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// holder is what one node has of a committee's pair state.
type holder struct {
	id    string
	pairs []sim.PairSecrets
}

// pairSecrets opens the pair state of every node for the key.
func pairSecrets(t *testing.T, c *sim.Cluster, w *appliance.Wallet, when string) []sim.Secret {
	t.Helper()
	held := map[threshold.PartyID]holder{}
	for _, n := range c.Nodes {
		share := n.Share(w.ID)
		pairs, err := sim.OpenPairs(n.Vault, share.KeyInfo)
		share.Destroy()
		if err != nil {
			t.Fatalf("%s: %v", n.ID, err)
		}
		held[n.Party] = holder{string(n.ID), pairs}
	}
	return pairList(t, held, when)
}

// pairList lists the secrets of a committee's pair state, and proves that they are that: what one has, its peer has.
func pairList(t *testing.T, held map[threshold.PartyID]holder, when string) (out []sim.Secret) {
	t.Helper()
	for _, p := range slices.Sorted(maps.Keys(held)) {
		for _, mine := range held[p].pairs {
			id, theirs := held[p].id, held[mine.Peer].pairs
			peer := theirs[slices.IndexFunc(theirs, func(x sim.PairSecrets) bool { return x.Peer == p })]
			for i, leaf := range mine.Sender {
				if !slices.ContainsFunc(peer.Receiver[i/3*4:][:4], func(b []byte) bool { return bytes.Equal(b, leaf) }) {
					t.Fatalf("leaf %d of %s is not its peer's: the test does not know the secrets", i, id)
				}
			}
			if !bytes.Equal(mine.Seed, peer.Seed) {
				t.Fatalf("%s and its peer have different seeds: the test does not know the secrets", id)
			}
			name := fmt.Sprintf("of %s with party %d, %s", id, mine.Peer, when)
			out = append(out, sim.Secret{Name: "zero-share seed " + name, Bytes: mine.Seed}, sim.Secret{Name: "delta " + name, Bytes: mine.Delta})
			for i, leaf := range mine.Receiver { // the sender's are the peer's
				out = append(out, sim.Secret{Name: fmt.Sprintf("leaf %d %s", i, name), Bytes: leaf})
			}
		}
	}
	return out
}

// deltaOf is the delta that the choice bits of 128 base transfers make: for each tree the two bits that were not chosen, the second one
// first (PROTOCOLS A.3.2).
func deltaOf(choices []byte) []byte {
	out := make([]byte, len(choices))
	for i, b := range choices {
		out[i] = ^(b&0x55<<1 | b>>1&0x55)
	}
	return out
}

// presignatures fills the first node's pool for the key, takes the secrets of what is in all nodes' memories, and signs with two of
// them: the rest stay. It proves a presignature by what holds of its sums: u = k·phi and v = x·phi in the exponent, for the nonce point
// R = k·G and the group key x·G, which are public.
func presignatures(t *testing.T, c *sim.Cluster, w *appliance.Wallet, want int, when string, proven *proofs) (out []sim.Secret) {
	t.Helper()
	coordinator, tries := c.Nodes[0], 0
	sign := func() {
		tries++
		if _, err := coordinator.Node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: digestOf(when, tries)}); err != nil {
			t.Fatal(err)
		}
	}
	sim.Wait(t, "a full pool", func() bool {
		if coordinator.Node.Counts().PresReady >= want {
			return true
		}
		if !coordinator.Node.Filling() { // it is filled while nobody asks
			sign()
		}
		return false
	})
	type parts struct {
		commitments [][]byte
		phi, u, v   decred.ModNScalar // sums
		signers     int
	}
	all := map[[32]byte]*parts{}
	for _, n := range c.Nodes {
		n.Node.EachReady(w.ID, func(p *threshold.Presignature) {
			if p.Nonces == nil {
				return // it only coordinates
			}
			s, err := sim.OpenPresignature(p)
			if err != nil {
				t.Fatal(err)
			}
			x := all[p.ID]
			if x == nil {
				x = &parts{commitments: p.Commitments}
				all[p.ID] = x
			}
			x.signers++
			for name, part := range map[string]struct {
				b   []byte
				sum *decred.ModNScalar
			}{"phi": {s.Phi, &x.phi}, "u": {s.U, &x.u}, "v": {s.V, &x.v}} {
				part.sum.Add(scalarOf(part.b))
				out = append(out, sim.Secret{Name: fmt.Sprintf("%s of presignature %x in %s, %s", name, p.ID[:4], n.ID, when), Bytes: part.b})
			}
		})
	}
	key := pointOf(t, w.PublicKey)
	for id, x := range all {
		if x.signers < w.Threshold {
			continue // made anew since, or given up by its coordinator
		}
		var nonce decred.JacobianPoint
		for _, b := range x.commitments {
			decred.AddNonConst(&nonce, pointOf(t, b), &nonce)
		}
		if !equalPoints(times(&x.u, nil), times(&x.phi, &nonce)) || !equalPoints(times(&x.v, nil), times(&x.phi, key)) {
			t.Fatalf("presignature %x: its sums do not fit: the test does not know the secrets", id[:4])
		}
		proven.presignatures++
	}
	for used := coordinator.Node.Counts().PresUsed; coordinator.Node.Counts().PresUsed < used+2; {
		sign()
	}
	return out
}

func scalarOf(b []byte) *decred.ModNScalar {
	s := new(decred.ModNScalar)
	s.SetByteSlice(b)
	return s
}

func pointOf(t *testing.T, b []byte) *decred.JacobianPoint {
	t.Helper()
	key, err := decred.ParsePubKey(b)
	if err != nil {
		t.Fatal(err)
	}
	p := new(decred.JacobianPoint)
	key.AsJacobian(p)
	return p
}

// times is k times the point, the generator if it is nil.
func times(k *decred.ModNScalar, p *decred.JacobianPoint) *decred.JacobianPoint {
	out := new(decred.JacobianPoint)
	if p == nil {
		decred.ScalarBaseMultNonConst(k, out)
	} else {
		decred.ScalarMultNonConst(k, p, out)
	}
	return out
}

func equalPoints(a, b *decred.JacobianPoint) bool { return a.EquivalentNonConst(b) }

// groupSecrets computes what no node ever has: the private key of the group, from the shares of t parties, and the nonce of every
// signature made with it. It proves them by their points.
func groupSecrets(t *testing.T, info threshold.KeyInfo, shares map[threshold.PartyID][]byte, signed map[string][]byte) []sim.Secret {
	t.Helper()
	quorum := info.Committee.Parties[:info.Committee.Threshold]
	var key decred.ModNScalar
	for _, i := range quorum {
		lambda := new(decred.ModNScalar).SetInt(1)
		for _, j := range quorum {
			if i != j { // x_j / (x_j - x_i)
				diff := new(decred.ModNScalar).SetInt(uint32(i)).Negate().Add(new(decred.ModNScalar).SetInt(uint32(j)))
				lambda.Mul(new(decred.ModNScalar).SetInt(uint32(j))).Mul(diff.InverseNonConst())
			}
		}
		key.Add(lambda.Mul(scalarOf(shares[i])))
	}
	if !equalPoints(times(&key, nil), pointOf(t, info.GroupKey)) {
		t.Fatal("the shares do not give the group key: the test does not know the secrets")
	}
	b := key.Bytes()
	out := []sim.Secret{{Name: "private key of the group", Bytes: b[:]}}
	for digest, sig := range signed {
		r, s := scalarOf(sig[:32]), scalarOf(sig[32:])
		k := new(decred.ModNScalar).Mul2(r, &key).Add(scalarOf([]byte(digest))) // k = (m + r·x) / s
		k.Mul(s.InverseNonConst())
		point := times(k, nil)
		point.ToAffine()
		if x := point.X.Bytes(); !scalarOf(x[:]).Equals(r) {
			t.Fatal("a signature's nonce is not the one computed: the test does not know the secrets")
		}
		for _, sign := range []string{"", "minus "} {
			b := k.Bytes()
			out = append(out, sim.Secret{Name: sign + "nonce of a signature", Bytes: b[:]})
			k.Negate()
		}
	}
	return out
}

// scanStored reads a node's store as a thief would who has its key and the token, and tells what is wrong. Nothing secret may stand
// in it unsealed. What is sealed are identity, shares and pair state, the head of the audit log, which is no secret, and nothing else;
// memory is what must not be there either: presignatures and what makes one. kept is what is sealed there, and has to be found.
func scanStored(t *testing.T, id string, store vault.Store, v *vault.Vault, all, memory, kept *sim.Scanner) (wrong []string) {
	t.Helper()
	fault := func(format string, a ...any) { wrong = append(wrong, fmt.Sprintf(format, a...)) }
	stored, err := sim.ReadStore(t.Context(), store, v)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	for _, f := range all.Scan("the store of "+id, stored.Plain) {
		fault("leak: %s", f)
	}
	found := map[string]bool{}
	for name, b := range stored.Sealed {
		public := name == "secret audit-head"
		if name != "secret identity" && !public && !strings.HasPrefix(name, "secret pair-state/") && !strings.HasPrefix(name, "share ") {
			fault("%s keeps %q: say here what it is, and let the scan know its secrets", id, name)
		}
		for _, f := range memory.Scan(fmt.Sprintf("%q of %s, opened", name, id), b) {
			fault("stored, and for memory only: %s", f)
		}
		for _, f := range kept.Scan(name, b) {
			what, _, _ := strings.Cut(f.Secret, " ")
			found[what] = true
		}
	}
	for _, what := range []string{"share", "delta", "leaf", "zero-share"} {
		if !found[what] {
			fault("%s: no %s is found where it is sealed", id, what)
		}
	}
	return wrong
}

// plantStored lets three secrets out into a node's store, one after the other, and finds each.
func plantStored(t *testing.T, n *sim.Node, secret []byte, all, memory, kept *sim.Scanner) {
	t.Helper()
	plant := func(want string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if got := scanStored(t, string(n.ID), n.Node.Store(), n.Vault, all, memory, kept); !slices.ContainsFunc(got,
			func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("not found: %s, but %q", want, got)
		}
	}
	plant("stored, and for memory only", n.Vault.PutSecret(t.Context(), "pair-state/planted", secret))
	plant(string(n.ID)+" keeps \"secret planted\"", n.Vault.PutSecret(t.Context(), "planted", []byte("anything")))
	plant("leak: ", n.Node.Store().Batch(t.Context(), []vault.Pair{{Key: []byte("node/label/y"), Value: secret}}, nil))
	plant(string(n.ID)+": no delta", n.Vault.DeleteSecret(t.Context(), pairStateIn(t, n)))
}

// pairStateIn is the name of the node's pair state in its vault.
func pairStateIn(t *testing.T, n *sim.Node) string {
	t.Helper()
	stored, err := sim.ReadStore(t.Context(), n.Node.Store(), n.Vault)
	if err != nil {
		t.Fatal(err)
	}
	for name := range stored.Sealed {
		if strings.HasPrefix(name, "secret pair-state/") && name != "secret pair-state/planted" {
			return strings.TrimPrefix(name, "secret ")
		}
	}
	t.Fatal("no pair state")
	return ""
}

// metricOf reads a metric of a process, its name with its labels.
func metricOf(t *testing.T, p *sim.Process, name string) float64 {
	t.Helper()
	b, err := p.Get(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("%s has no metric %s", p.ID, name)
	return 0
}

// signFromPool signs on the first node until presignatures are ready there, then with some of them, and leaves the rest.
func signFromPool(t *testing.T, c *sim.Processes, wallet string, signed map[string][]byte) {
	t.Helper()
	coordinator, tries := c.Nodes[0], 0
	sign := func() {
		tries++
		digest := digestOf("pool", tries)
		sig, err := coordinator.Client().Sign(t.Context(), &client.SignRequest{WalletID: wallet, MessageHash: digest})
		if err != nil {
			t.Fatal(err)
		}
		signed[string(digest)] = sig.Signature
	}
	ready := func() float64 { return metricOf(t, coordinator, "mpcd_presignatures_ready") }
	looks := 0
	sim.Wait(t, "presignatures", func() bool {
		if ready() >= 24 {
			return true
		}
		if looks++; looks <= 4 || looks%50 == 0 { // the pool is filled while nobody asks
			sign()
		}
		return false
	})
	for range 4 {
		sign()
	}
	if used := metricOf(t, coordinator, `mpcd_presignatures_total{outcome="used"}`); used < 4 {
		t.Errorf("%g presignatures of the pool were used, want 4", used)
	}
	if ready() == 0 || metricOf(t, c.Nodes[1], "mpcd_presignatures_held")+metricOf(t, c.Nodes[2], "mpcd_presignatures_held") == 0 {
		t.Error("no presignature is in memory")
	}
}

// processSecrets opens the directories of stopped processes: what they hold, and what nobody ever does.
func processSecrets(t *testing.T, c *sim.Processes, wallets []string, ec string, signed map[string][]byte) (held, never []sim.Secret) {
	t.Helper()
	pairs, shares := map[threshold.PartyID]holder{}, map[threshold.PartyID][]byte{}
	var key threshold.KeyInfo
	for _, p := range c.Nodes {
		o := p.Open()
		seed, err := o.Vault.GetSecret(t.Context(), "identity")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, sim.Secret{Name: "PIN of " + p.ID, Bytes: p.PIN()}, sim.Secret{Name: "store key of " + p.ID, Bytes: o.StoreKey},
			sim.Secret{Name: "seed of " + p.ID, Bytes: bytes.Clone(seed.Bytes()[1:33])},
			sim.Secret{Name: "HPKE seed of " + p.ID, Bytes: bytes.Clone(seed.Bytes()[33:])})
		for _, w := range wallets {
			share, err := sim.OpenShare(o.Vault, w)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, sim.Secret{Name: "share of " + p.ID, Bytes: bytes.Clone(share.Secret())})
			if w == ec {
				key, shares[share.Party] = share.KeyInfo, bytes.Clone(share.Secret())
				state, err := sim.OpenPairs(o.Vault, share.KeyInfo)
				if err != nil {
					t.Fatal(err)
				}
				pairs[share.Party] = holder{p.ID, state}
			}
			share.Destroy()
		}
		o.Close()
	}
	return append(held, pairList(t, pairs, "epoch 2")...), groupSecrets(t, key, shares, signed)
}
