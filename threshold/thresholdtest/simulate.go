package thresholdtest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/luxfi/mpcd/threshold"
)

// Simulate lives a key's life on the rough network that the seed decides: keygen; every quorum of t signs and t-1 cannot;
// refresh; the same group key signs with the new shares; old and new shares together do not. It is a function of the seed,
// and names what went wrong.
func Simulate(scheme threshold.Scheme, seed uint64) error {
	r := NewRand(seed, "life")
	n := 3
	if r.Chance(25) {
		n = 4 + r.IntN(2)
	}
	w := NewWorld(seed, n, 2+r.IntN(n-1))
	w.Faults = Rough
	if r.Chance(10) {
		w.Faults = Faults{}
	}
	message := r.Bytes(32)
	if scheme.Kind().Digest == 0 {
		message = r.Bytes(r.IntN(100))
	}

	old, err := w.Keygen(scheme)
	if err != nil {
		return fmt.Errorf("keygen: %w", err)
	}
	if err := sameKey(old); err != nil {
		return fmt.Errorf("keygen: %w", err)
	}
	if err := w.PairUp(scheme); err != nil {
		return fmt.Errorf("pair setup: %w", err)
	}
	w.Committee.Subsets(w.Committee.Threshold, func(q []threshold.PartyID) bool {
		_, err = w.SignWith(scheme, old, q, message)
		return err == nil
	})
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	if err := w.tooFew(scheme, old, message); err != nil {
		return err
	}

	fresh, err := w.Refresh(scheme, old)
	if err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	if err := sameKey(fresh); err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	for p, k := range fresh {
		o := old[p]
		if !bytes.Equal(k.GroupKey, o.GroupKey) || k.ChainCode != o.ChainCode || k.Epoch != o.Epoch+1 || k.Kind != o.Kind {
			return fmt.Errorf("refresh: party %d got another key", p)
		}
		if bytes.Equal(k.Secret(), o.Secret()) || bytes.Equal(k.PublicShare(p), o.PublicShare(p)) {
			return fmt.Errorf("refresh: party %d has its old share", p)
		}
	}
	if err := w.PairUp(scheme); err != nil {
		return fmt.Errorf("pair setup after refresh: %w", err)
	}
	q := w.quorum(r)
	if _, err := w.SignWith(scheme, fresh, q, message); err != nil {
		return fmt.Errorf("sign after refresh: %w", err)
	}
	if err := w.mixed(scheme, old, fresh, q, message); err != nil {
		return err
	}
	for p := range old {
		old[p].Destroy()
		fresh[p].Destroy()
	}
	return nil
}

// Shares are every party's share of one key.
type Shares map[threshold.PartyID]*threshold.KeyShare

func sameKey(ks Shares) error {
	var first *threshold.KeyShare
	for p, k := range ks { // any order finds a difference
		if k.Party != p {
			return fmt.Errorf("party %d got the share of party %d", p, k.Party)
		}
		if first == nil {
			first = k
		}
		if k.Digest() != first.Digest() {
			return fmt.Errorf("parties %d and %d got different keys", first.Party, p)
		}
	}
	return nil
}

func (w *World) quorum(r *Rand) []threshold.PartyID {
	var all [][]threshold.PartyID
	w.Committee.Subsets(w.Committee.Threshold, func(q []threshold.PartyID) bool { all = append(all, q); return true })
	return all[r.IntN(len(all))]
}

// Keygen runs a key generation among all, which must succeed.
func (w *World) Keygen(scheme threshold.Scheme) (Shares, error) {
	return all(w, func(p threshold.PartyID) (*threshold.Session[*threshold.KeyShare], error) {
		return scheme.Keygen(w.Setup(p, nil, "keygen"), w.Rand(p))
	}, w.Committee.Parties)
}

// Refresh runs a refresh among all, which must succeed.
func (w *World) Refresh(scheme threshold.Scheme, ks Shares) (Shares, error) {
	return all(w, func(p threshold.PartyID) (*threshold.Session[*threshold.KeyShare], error) {
		return scheme.Refresh(w.Setup(p, nil, "refresh"), ks[p], w.Rand(p))
	}, w.Committee.Parties)
}

// PairUp runs the pair setup of the next pair-epoch, where the scheme has pair state; the world signs with it from then on, and what
// was before is destroyed. It must succeed.
func (w *World) PairUp(scheme threshold.Scheme) error {
	x, ok := scheme.(threshold.Pairer)
	if !ok {
		return nil
	}
	old, epoch := w.pairs[scheme.ID()], uint64(1)
	for _, p := range old {
		epoch = p.PairEpoch() + 1
	}
	fresh, err := all(w, func(p threshold.PartyID) (*threshold.Session[threshold.PairState], error) {
		return x.NewPairState(w.Setup(p, nil, "pair setup"), epoch, w.Rand(p))
	}, w.Committee.Parties)
	if err != nil {
		return err
	}
	w.pairs[scheme.ID()] = fresh
	for _, p := range old {
		p.Destroy()
	}
	return nil
}

// As is the scheme in the hands of party p: with its pair state, if it has any.
func (w *World) As(scheme threshold.Scheme, p threshold.PartyID) threshold.Scheme {
	state := w.pairs[scheme.ID()][p]
	if state == nil {
		return scheme
	}
	paired, err := scheme.(threshold.Pairer).WithPairState(state)
	if err != nil {
		panic(err) // it is the scheme's own
	}
	return paired
}

// keys are n entries to presign of party p: without a share on who only observes.
func keys(ks Shares, q []threshold.PartyID, p threshold.PartyID, n int) []threshold.PresignKey {
	k := threshold.PresignKey{Info: ks[p].KeyInfo}
	if slices.Contains(q, p) {
		k.Share = ks[p]
	}
	return slices.Repeat([]threshold.PresignKey{k}, n)
}

// Presign makes the presignatures of a quorum for one signature, of whatever, which must succeed.
func (w *World) Presign(scheme threshold.Scheme, ks Shares, q []threshold.PartyID) (map[threshold.PartyID]*threshold.Presignature, error) {
	pres, err := w.presign(scheme, ks, q, q, 1)
	out := map[threshold.PartyID]*threshold.Presignature{}
	for p, x := range pres {
		out[p] = x[0]
	}
	return out, err
}

// presign makes n presignatures for whatever with the signers q; the parties take part, those that are no signers as observers.
func (w *World) presign(scheme threshold.Scheme, ks Shares, q, parties []threshold.PartyID, n int) (presignatures, error) {
	return all(w, func(p threshold.PartyID) (*threshold.Session[[]*threshold.Presignature], error) {
		return w.As(scheme, p).Presign(w.Setup(p, q, "presign"), keys(ks, q, p, n), w.Rand(p))
	}, parties)
}

// presignFor makes a presignature for each request, as requests of each party that can be signed.
func (w *World) presignFor(scheme threshold.Scheme, ks Shares, q, parties []threshold.PartyID,
	reqs []threshold.SignRequest) (requests, error) {
	if _, ok := scheme.(threshold.Pooler); !ok {
		pres, err := w.presign(scheme, ks, q, parties, len(reqs))
		return pres.requests(reqs), err
	}
	pres, err := all(w, func(p threshold.PartyID) (*threshold.Session[[]*threshold.Presignature], error) {
		return w.As(scheme, p).(threshold.Pooler).PresignFor(w.Setup(p, q, "presign for"), keys(ks, q, p, len(reqs)), reqs, w.Rand(p))
	}, parties)
	return presignatures(pres).requests(reqs), err
}

// agree binds presignatures for whatever to the requests: of a scheme that is a Pooler.
func (w *World) agree(scheme threshold.Scheme, q []threshold.PartyID, pres presignatures, reqs []threshold.SignRequest) (requests, error) {
	bound := pres.requests(reqs)
	nonces, err := all(w, func(p threshold.PartyID) (*threshold.Session[[][32]byte], error) {
		return w.As(scheme, p).(threshold.Pooler).Agree(w.Setup(p, q, "agree"), bound[p], w.Rand(p))
	}, slices.Sorted(maps.Keys(pres)))
	for p := range bound {
		for i := range bound[p] {
			bound[p][i].Agreement = nonces[p]
		}
	}
	return bound, err
}

type (
	presignatures map[threshold.PartyID][]*threshold.Presignature
	requests      map[threshold.PartyID][]threshold.SignRequest
)

// requests are every party's own, with its presignatures.
func (pres presignatures) requests(reqs []threshold.SignRequest) requests {
	out := requests{}
	for p, x := range pres {
		out[p] = slices.Clone(reqs)
		for i := range out[p] {
			out[p][i].Pre = x[i]
		}
	}
	return out
}

// all runs a ceremony in which everybody must succeed.
func all[R any](w *World, open func(threshold.PartyID) (*threshold.Session[R], error),
	parties []threshold.PartyID) (map[threshold.PartyID]R, error) {
	run := &Run[R]{World: w, Sessions: map[threshold.PartyID]*threshold.Session[R]{}}
	for _, p := range parties {
		s, err := open(p)
		if err != nil {
			return nil, fmt.Errorf("party %d: %w", p, err)
		}
		run.Sessions[p] = s
	}
	outcomes, err := run.Go()
	if err != nil {
		return nil, err
	}
	out := map[threshold.PartyID]R{}
	for _, p := range parties {
		if a := outcomes[p].Abort; a != nil {
			return nil, fmt.Errorf("party %d: %w", p, a)
		}
	}
	for _, p := range parties {
		if !outcomes[p].Done {
			return nil, fmt.Errorf("party %d waits for %v in vain", p, outcomes[p].Missing)
		}
		out[p] = outcomes[p].Result
	}
	return out, nil
}

// SignWith presigns, signs and combines with a quorum, on every member, and verifies.
func (w *World) SignWith(scheme threshold.Scheme, ks Shares, q []threshold.PartyID, message []byte) ([]byte, error) {
	reqs, err := w.presignFor(scheme, ks, q, q, []threshold.SignRequest{{Message: message}})
	if err != nil {
		return nil, err
	}
	return w.sign(scheme, ks, q, reqs, 0)
}

// sign makes every signer's share of the i-th request, once only, and the signature, the same on everybody.
func (w *World) sign(scheme threshold.Scheme, ks Shares, q []threshold.PartyID, reqs requests, i int) ([]byte, error) {
	shares, err := signatureShares(scheme, ks, q, reqs, i)
	if err != nil {
		return nil, err
	}
	var first []byte
	for p := range reqs {
		req := reqs[p][i]
		sig, err := scheme.Combine(ks[p].KeyInfo, req, shares)
		if err != nil {
			return nil, fmt.Errorf("party %d combines: %w", p, err)
		}
		if first == nil {
			first = sig.Bytes
		}
		if !bytes.Equal(first, sig.Bytes) {
			return nil, errors.New("two signatures from one set of shares")
		}
		if (sig.RecoveryID >= 0) != scheme.Kind().Recovery {
			return nil, fmt.Errorf("recovery ID %d", sig.RecoveryID)
		}
		if err := scheme.Verify(ks[p].GroupKey, req.Tweaks, req.Message, sig.Bytes); err != nil {
			return nil, err
		}
	}
	return first, nil
}

// signatureShares are the signers' shares of their i-th request.
func signatureShares(scheme threshold.Scheme, ks Shares, q []threshold.PartyID, reqs requests, i int) ([]*threshold.SignatureShare, error) {
	var shares []*threshold.SignatureShare
	for _, p := range q {
		signer, err := scheme.NewSigner(ks[p])
		if err != nil {
			return nil, err
		}
		share, err := signer.SignShare(reqs[p][i])
		if err != nil {
			return nil, fmt.Errorf("party %d: %w", p, err)
		}
		if _, err := signer.SignShare(reqs[p][i]); !errors.Is(err, threshold.ErrBurnt) {
			return nil, fmt.Errorf("party %d signs twice with one presignature: %v", p, err)
		}
		shares = append(shares, share)
	}
	return shares, nil
}

// tooFew tries to sign with t-1 shares: as the rules have it, and with a forged record of a lower threshold.
func (w *World) tooFew(scheme threshold.Scheme, ks Shares, message []byte) error {
	q := w.Committee.Parties[:w.Committee.Threshold-1]
	if _, err := w.Presign(scheme, ks, q); err == nil {
		return errors.New("a quorum of t-1 may presign")
	}
	if len(q) < 2 {
		return nil
	}
	lower := Shares{}
	forged := *w
	forged.Committee.Threshold--
	for _, p := range q {
		info := ks[p].KeyInfo
		info.Committee = forged.Committee
		lower[p] = threshold.NewKeyShare(info, bytes.Clone(ks[p].Secret()))
		defer lower[p].Destroy()
	}
	if _, err := forged.SignWith(scheme, lower, q, message); err == nil {
		return errors.New("t-1 shares sign")
	}
	return nil
}

// mixed tries to sign with one old share among new ones: as it stands, which OPEN refuses; and under a forged record in
// which every share fits its public share, which gives no signature.
func (w *World) mixed(scheme threshold.Scheme, old, fresh Shares, q []threshold.PartyID, message []byte) error {
	last := q[len(q)-1]
	ks := Shares{}
	for _, p := range q {
		ks[p] = fresh[p]
	}
	ks[last] = old[last]
	var a *threshold.Abort
	if _, err := w.Presign(scheme, ks, q); err == nil {
		return errors.New("mixed epochs: presigned")
	} else if !errors.As(err, &a) || a.Kind != threshold.Retry || len(a.Culprits) > 0 {
		return fmt.Errorf("mixed epochs: want a retry: %w", err)
	}
	for _, p := range q {
		info := fresh[p].KeyInfo
		info.PublicShares = slices.Clone(info.PublicShares)
		info.PublicShares[w.Committee.Position(last)] = old[last].PublicShare(last)
		ks[p] = threshold.NewKeyShare(info, bytes.Clone(ks[p].Secret()))
		defer ks[p].Destroy()
	}
	if _, err := w.SignWith(scheme, ks, q, message); err == nil {
		return errors.New("mixed epochs: an old share signs with new ones")
	}
	return nil
}
