package frost

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// seeded is a reproducible source of randomness.
func seeded(seed string) *rand.ChaCha8 { return rand.NewChaCha8(sha256.Sum256([]byte(seed))) }

// committee makes parties 1 to n, or the given numbers, with identity keys.
func committee(t int, parties ...threshold.PartyID) threshold.Committee {
	c := threshold.Committee{Parties: parties, Threshold: t}
	for _, p := range parties {
		seed := sha256.Sum256([]byte(fmt.Sprint("identity ", p)))
		c.Identities = append(c.Identities, ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey))
	}
	return c
}

func partiesTo(n int) []threshold.PartyID {
	var ps []threshold.PartyID
	for p := range n {
		ps = append(ps, threshold.PartyID(p+1))
	}
	return ps
}

// run drives one session per party to its end, in the order of sending, and returns the results in the order of parties.
// tamper, if not nil, may change a message on its way.
func run[R any](sessions []*threshold.Session[R], parties []threshold.PartyID, tamper func(*threshold.Message)) ([]R, error) {
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
		if tamper != nil {
			m.Body = bytes.Clone(m.Body)
			tamper(&m)
		}
		for i, s := range sessions {
			if parties[i] == m.From {
				continue
			}
			ms, err := s.Step(m)
			if err != nil {
				return nil, err
			}
			queue = append(queue, ms...)
		}
	}
	out := make([]R, len(sessions))
	for i, s := range sessions {
		r, ok := s.Result()
		if !ok {
			return nil, fmt.Errorf("party %d has no result and misses %v", parties[i], s.Missing())
		}
		out[i] = r
	}
	return out, nil
}

// keygen runs a whole DKG. The shares are in the order of the committee.
func keygen(tb testing.TB, s threshold.Scheme, c threshold.Committee, seed string) []*threshold.KeyShare {
	tb.Helper()
	var sessions []*threshold.Session[*threshold.KeyShare]
	for _, p := range c.Parties {
		x, err := s.Keygen(threshold.Setup{Ceremony: canon.Hash("test", []byte(seed)), Committee: c, Self: p}, seeded(fmt.Sprint(seed, p)))
		if err != nil {
			tb.Fatal(err)
		}
		sessions = append(sessions, x)
	}
	shares, err := run(sessions, c.Parties, nil)
	if err != nil {
		tb.Fatal(err)
	}
	for _, k := range shares {
		if k.Digest() != shares[0].Digest() {
			tb.Fatal("parties disagree on the key")
		}
	}
	return shares
}

// presignOf prepares presigning sessions for the signers and, after them, the observers. keys[i] is a key's shares in the
// order of the committee.
func presignSessions(tb testing.TB, s threshold.Scheme, keys [][]*threshold.KeyShare, signers, observers []threshold.PartyID,
	seed string) []*threshold.Session[[]*threshold.Presignature] {
	tb.Helper()
	c := keys[0][0].Committee
	var sessions []*threshold.Session[[]*threshold.Presignature]
	for i, p := range append(append([]threshold.PartyID{}, signers...), observers...) {
		var batch []threshold.PresignKey
		for _, shares := range keys {
			k := threshold.PresignKey{Info: shares[c.Position(p)].KeyInfo}
			if i < len(signers) {
				k.Share = shares[c.Position(p)]
			}
			batch = append(batch, k)
		}
		x, err := s.Presign(threshold.Setup{Ceremony: canon.Hash("test", []byte(seed)), Committee: c, Signers: signers, Self: p}, batch,
			seeded(fmt.Sprint(seed, p)))
		if err != nil {
			tb.Fatal(err)
		}
		sessions = append(sessions, x)
	}
	return sessions
}

// presignWith returns the presignatures: result[i][k] is the i-th signer's, or observer's, for key k.
func presignWith(tb testing.TB, s threshold.Scheme, keys [][]*threshold.KeyShare, signers, observers []threshold.PartyID,
	seed string) [][]*threshold.Presignature {
	tb.Helper()
	sessions := presignSessions(tb, s, keys, signers, observers, seed)
	out, err := run(sessions, append(append([]threshold.PartyID{}, signers...), observers...), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// sharesOf makes every signer's signature share for entry k of the batch.
func sharesOf(tb testing.TB, s threshold.Scheme, key []*threshold.KeyShare, signers []threshold.PartyID, pre [][]*threshold.Presignature,
	k int, req threshold.SignRequest) []*threshold.SignatureShare {
	tb.Helper()
	var out []*threshold.SignatureShare
	for i, p := range signers {
		signer, err := s.NewSigner(key[key[0].Committee.Position(p)])
		if err != nil {
			tb.Fatal(err)
		}
		r := req
		r.Pre = pre[i][k]
		z, err := signer.SignShare(r)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, z)
	}
	return out
}
