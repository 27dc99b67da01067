package benchmarks

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// Figure is one measured number.
type Figure struct {
	Name  string
	Value float64
	Unit  string
	Note  string // how many runs, clients, what was shared
}

// cpuTime is the user and system time of this process so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// newCommittee is a t-of-n committee with throw-away identities.
func newCommittee(t, n int) (threshold.Committee, error) {
	c := threshold.Committee{Threshold: t}
	for i := range n {
		pub, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return c, err
		}
		c.Parties, c.Identities = append(c.Parties, threshold.PartyID(i+1)), append(c.Identities, pub)
	}
	return c, nil
}

// run passes messages between sessions until all have results.
func run[R any](sessions map[threshold.PartyID]*threshold.Session[R]) (map[threshold.PartyID]R, error) {
	var queue []threshold.Message
	for _, s := range sessions {
		ms, err := s.Start()
		if err != nil {
			return nil, err
		}
		queue = append(queue, ms...)
	}
	for len(queue) > 0 {
		m := queue[0]
		queue = queue[1:]
		for id, s := range sessions {
			if id == m.From || (m.To != threshold.Everybody && m.To != id) {
				continue
			}
			ms, err := s.Step(m)
			if err != nil {
				return nil, err
			}
			queue = append(queue, ms...)
		}
	}
	out := map[threshold.PartyID]R{}
	for id, s := range sessions {
		r, ok := s.Result()
		if !ok {
			return nil, fmt.Errorf("benchmarks: party %d waits for %v", id, s.Missing())
		}
		out[id] = r
		s.Erase()
	}
	return out, nil
}

// EngineKey makes a key among parties of this process.
func EngineKey(s threshold.Scheme, t, n int) ([]*threshold.KeyShare, error) {
	c, err := newCommittee(t, n)
	if err != nil {
		return nil, err
	}
	sessions := map[threshold.PartyID]*threshold.Session[*threshold.KeyShare]{}
	for _, p := range c.Parties {
		if sessions[p], err = s.Keygen(threshold.Setup{Committee: c, Self: p}, rand.Reader); err != nil {
			return nil, err
		}
	}
	return inOrder(c, sessions)
}

func inOrder(c threshold.Committee, sessions map[threshold.PartyID]*threshold.Session[*threshold.KeyShare]) ([]*threshold.KeyShare, error) {
	shares, err := run(sessions)
	if err != nil {
		return nil, err
	}
	out := make([]*threshold.KeyShare, 0, len(shares))
	for _, p := range c.Parties {
		out = append(out, shares[p])
	}
	return out, nil
}

// EngineRefresh refreshes a key among parties of this process.
func EngineRefresh(s threshold.Scheme, shares []*threshold.KeyShare) ([]*threshold.KeyShare, error) {
	c := shares[0].Committee
	sessions := map[threshold.PartyID]*threshold.Session[*threshold.KeyShare]{}
	var err error
	for _, k := range shares {
		if sessions[k.Party], err = s.Refresh(threshold.Setup{Committee: c, Self: k.Party}, k, rand.Reader); err != nil {
			return nil, err
		}
	}
	return inOrder(c, sessions)
}

// EngineSign makes batch signatures with the first t parties: presign, share, and combine on one of them.
func EngineSign(s threshold.Scheme, shares []*threshold.KeyShare, batch int) error {
	info := shares[0].KeyInfo
	signers := info.Committee.Parties[:info.Committee.Threshold]
	var nonce [32]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return err
	}
	sessions := map[threshold.PartyID]*threshold.Session[[]*threshold.Presignature]{}
	for i, p := range signers {
		keys := make([]threshold.PresignKey, batch)
		for j := range keys {
			keys[j] = threshold.PresignKey{Info: info, Share: shares[i]}
		}
		var err error
		if sessions[p], err = s.Presign(threshold.Setup{Ceremony: nonce, Committee: info.Committee, Signers: signers, Self: p}, keys, rand.Reader); err != nil {
			return err
		}
	}
	pres, err := run(sessions)
	if err != nil {
		return err
	}
	for j := range batch {
		message := make([]byte, 32)
		message[0], message[1] = byte(j), byte(j>>8)
		parts := make([]*threshold.SignatureShare, len(signers))
		var req threshold.SignRequest
		for i := len(signers) - 1; i >= 0; i-- {
			signer, err := s.NewSigner(shares[i])
			if err != nil {
				return err
			}
			req = threshold.SignRequest{Message: message, Pre: pres[signers[i]][j]}
			if parts[i], err = signer.SignShare(req); err != nil {
				return err
			}
		}
		if _, err := s.Combine(info, req, parts); err != nil {
			return err
		}
	}
	return nil
}

// measure runs f until it has used about a second of CPU and returns CPU milliseconds per unit of work; f does n units a call.
func measure(n int, f func() error) (float64, int, error) {
	if err := f(); err != nil {
		return 0, 0, err
	}
	begin, calls := cpuTime(), 0
	for cpuTime()-begin < time.Second {
		if err := f(); err != nil {
			return 0, 0, err
		}
		calls++
	}
	return float64((cpuTime() - begin).Microseconds()) / 1000 / float64(calls*n), calls * n, nil
}

// Engine measures all engine figures of a scheme, 3-of-5.
func Engine(name string, s threshold.Scheme) ([]Figure, error) {
	const t, n = 3, 5
	var out []Figure
	add := func(what string, units int, f func() error) error {
		v, runs, err := measure(units, f)
		if err != nil {
			return fmt.Errorf("%s %s: %w", name, what, err)
		}
		out = append(out, Figure{fmt.Sprintf("engine %s %s 3-of-5", name, what), v, "CPU-ms", fmt.Sprintf("%d runs, summed over the parties", runs)})
		return nil
	}
	shares, err := EngineKey(s, t, n)
	if err != nil {
		return nil, err
	}
	for _, m := range []struct {
		what  string
		units int
		f     func() error
	}{
		{"sign", 1, func() error { return EngineSign(s, shares, 1) }},
		{"sign in batches of 16", 16, func() error { return EngineSign(s, shares, 16) }},
		{"keygen", 1, func() error { _, err := EngineKey(s, t, n); return err }},
		{"refresh", 1, func() (err error) { shares, err = EngineRefresh(s, shares); return err }},
	} {
		if err := add(m.what, m.units, m.f); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Schemes are those whose engine figures are measured here; DKLs23 has benchmarks of its own, because it needs pair state.
func Schemes() []threshold.Scheme {
	return slices.DeleteFunc(schemes.All(), func(s threshold.Scheme) bool { _, ok := s.(threshold.Provisioner); return ok })
}
