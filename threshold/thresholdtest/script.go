package thresholdtest

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/luxfi/mpcd/threshold"
)

// Script is the trace of a key's life on a network that keeps order: every delivery with the hash of its encoding, and what
// came of each ceremony. It is a function of the seed, so a golden file of it shows every change of what goes over the wire.
func Script(scheme threshold.Scheme, seed uint64) (string, error) {
	w := NewWorld(seed, 3, 2)
	var b strings.Builder
	w.Trace = func(to threshold.PartyID, m threshold.Message) {
		h := sha256.Sum256(m.Encode())
		fmt.Fprintf(&b, "  %d>%d round %d kind %d, %d bytes, %x\n", m.From, to, m.Round, m.Kind, len(m.Body), h[:6])
	}
	outcome := func(what string, ks Shares) {
		for _, p := range w.Committee.Parties {
			d := ks[p].Digest()
			fmt.Fprintf(&b, "%s: party %d has %v, key %x, record %x\n", what, p, ks[p], ks[p].GroupKey, d[:6])
		}
	}
	fmt.Fprintf(&b, "%s, 2 of %v\nkeygen\n", scheme.ID(), w.Committee.Parties)
	ks, err := w.Keygen(scheme)
	if err != nil {
		return "", err
	}
	outcome("keygen", ks)
	if err := w.PairUp(scheme); err != nil {
		return "", err
	}
	b.WriteString("refresh\n")
	fresh, err := w.Refresh(scheme, ks)
	if err != nil {
		return "", err
	}
	outcome("refresh", fresh)
	if err := w.PairUp(scheme); err != nil {
		return "", err
	}
	b.WriteString("sign\n")
	sig, err := w.SignWith(scheme, fresh, w.Committee.Parties[:2], NewRand(seed, "message").Bytes(32))
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "signature %x\n", sig)
	for _, p := range w.Committee.Parties {
		ks[p].Destroy()
		fresh[p].Destroy()
	}
	return b.String(), nil
}
