//go:build linux && cgo

package dkls23

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	decred "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/luxfi/mpcd/internal/libsecp"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/thresholdtest"
)

// outsideSignatures is how many threshold signatures TestOutsideLibraries makes.
const outsideSignatures = 10_000

// Goal: other people's code takes every signature: decred's and Bitcoin Core's libsecp256k1 verify it and recover the key from it,
// and libsecp256k1 refuses it for anything else. Method: signatures of random digests under the wallet key and under children, by
// every quorum of one 2-of-3 committee, half presigned ahead and half for their requests; the seed is new each time and logged.
func TestOutsideLibraries(t *testing.T) {
	const workers = 2
	var seed [8]byte
	_, _ = rand.Read(seed[:])
	t.Logf("seed %x", seed)
	for w := range workers {
		f := newFixture(t, 3, 2)
		f.Seed = binary.BigEndian.Uint64(seed[:]) + uint64(w)
		t.Run(fmt.Sprint(w), func(t *testing.T) {
			t.Parallel()
			r := thresholdtest.NewRand(f.Seed, "outside libraries")
			quorums, key := subsets(f.Committee, 2), f.shares[f.Committee.Parties[0]].KeyInfo
			ids := map[int]int{}
			for done, batch := 0, 0; done < outsideSignatures/workers; batch++ {
				n := min(MaxBatch, outsideSignatures/workers-done)
				pub, _, tweaks, err := Scheme{}.Derive(key, []uint32{binary.BigEndian.Uint32(r.Bytes(4)) >> 1})
				if err != nil {
					t.Fatal(err)
				}
				reqs, keys := make([]threshold.SignRequest, n), make([][]byte, n)
				for i := range reqs {
					reqs[i].Message, keys[i] = r.Bytes(32), key.GroupKey
					if i%2 == 1 {
						reqs[i].Tweaks, keys[i] = tweaks, pub
					}
				}
				for i, sig := range f.signFast(t, quorums[batch%len(quorums)], reqs, batch/len(quorums)%2 == 0) {
					byOutsiders(t, keys[i], reqs[i].Message, sig)
					ids[sig.RecoveryID]++
				}
				done += n
			}
			if ids[0]+ids[1] != outsideSignatures/workers || min(ids[0], ids[1]) < outsideSignatures/workers/3 {
				t.Errorf("recovery IDs %v", ids)
			}
		})
	}
}

// signFast signs a batch without the simulated network: presigned ahead and agreed on, or presigned for the requests.
func (f *fixture) signFast(t *testing.T, q []party, reqs []threshold.SignRequest, ahead bool) []threshold.Signature {
	t.Helper()
	f.next()
	var sessions []*threshold.Session[presignatures]
	for _, p := range q {
		var s *threshold.Session[presignatures]
		var err error
		if ahead {
			s, err = f.scheme(p).Presign(f.setup(p, q), f.keys(p, q, len(reqs)), f.rand(p))
		} else {
			s, err = f.scheme(p).PresignFor(f.setup(p, q), f.keys(p, q, len(reqs)), reqs, f.rand(p))
		}
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, s)
	}
	pres := map[party]presignatures{}
	for i, r := range deliver(t, q, sessions) {
		pres[q[i]] = r
	}
	reqs = slices.Clone(reqs)
	if ahead {
		agreement := f.agree(t, q, reqs, pres)[q[0]]
		for i := range reqs {
			reqs[i].Agreement = agreement
		}
	}
	out := make([]threshold.Signature, len(reqs))
	for i, req := range reqs {
		var err error
		if out[i], err = f.combine(q[0], req, pres[q[0]][i], f.sharesOf(t, q, req, pres, i)); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// byOutsiders judges a signature by decred and libsecp256k1, which must also refuse its neighbours.
func byOutsiders(t *testing.T, key, digest []byte, sig threshold.Signature) {
	t.Helper()
	what := fmt.Sprintf("key %x, digest %x, signature %x, recovery ID %d", key, digest, sig.Bytes, sig.RecoveryID)
	pk, err := decred.ParsePubKey(key)
	if err != nil || len(sig.Bytes) != 64 {
		t.Fatalf("%s: %v", what, err)
	}
	var r, s decred.ModNScalar
	if r.SetByteSlice(sig.Bytes[:32]) || s.SetByteSlice(sig.Bytes[32:]) || s.IsOverHalfOrder() ||
		!ecdsa.NewSignature(&r, &s).Verify(digest, pk) {
		t.Fatalf("decred refuses %s", what)
	}
	if got, _, err := ecdsa.RecoverCompact(append([]byte{byte(27 + 4 + sig.RecoveryID)}, sig.Bytes...), digest); err != nil ||
		!got.IsEqual(pk) {
		t.Fatalf("decred recovers another key: %s: %v", what, err)
	}
	d, rs := [32]byte(digest), [64]byte(sig.Bytes)
	if ok, err := libsecp.VerifyECDSA(key, d, rs); !ok || err != nil {
		t.Fatalf("libsecp256k1 refuses %s: %v", what, err)
	}
	if got, err := libsecp.RecoverECDSA(d, rs, byte(sig.RecoveryID)); err != nil || !bytes.Equal(got, key) {
		t.Fatalf("libsecp256k1 recovers another key: %s: %v", what, err)
	}
	// One neighbour each time, so that it costs little; all of them come up thousands of times.
	other, otherID := key, sig.RecoveryID
	switch digest[0] % 5 {
	case 0:
		d[int(digest[1])%32] ^= 1 << (digest[2] % 8)
	case 1:
		rs[int(digest[1])%64] ^= 1 << (digest[2] % 8)
	case 2: // the same signature with high s
		s.Negate().PutBytesUnchecked(rs[32:])
	case 3:
		other = bytes.Clone(key)
		other[0] ^= 1 // the key's negative
	case 4:
		otherID ^= 1
		if got, err := libsecp.RecoverECDSA(d, rs, byte(otherID)); err == nil && bytes.Equal(got, key) {
			t.Fatalf("libsecp256k1 recovers the key by another recovery ID: %s", what)
		}
		return
	}
	if ok, _ := libsecp.VerifyECDSA(other, d, rs); ok {
		t.Fatalf("libsecp256k1 takes a neighbour, case %d, of %s", digest[0]%5, what)
	}
}
