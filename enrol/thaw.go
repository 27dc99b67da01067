package enrol

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
)

// Freezing is what a node is asked to freeze.
func Freezing(scope, name, reason string) (wire.FreezeRequest, error) {
	if reason == "" {
		return wire.FreezeRequest{}, fault.Usage("give --reason TEXT, which every refusal says", "no reason is given")
	}
	return wire.FreezeRequest{Scope: scope, Name: name, Reason: reason}, nil
}

// Thawing is a file that goes from officer to officer: the freeze that is to end, and their words so far.
type Thawing struct {
	Freeze attest.Freeze     `json:"freeze"`
	Signed attest.SignedThaw `json:"signed"`
}

// maxThawing is the largest file, in bytes.
const maxThawing = 64 << 10

// BeginThaw writes the file for a freeze as a node shows it; no node is believed about what it is.
func BeginThaw(id, path string, all []wire.Freeze, err error) (*Thawing, error) {
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(f wire.Freeze) bool { return f.ID == id })
	if i < 0 {
		return nil, fault.Usage("`mpcd freeze list` shows them", "there is no freeze %.80q", id)
	}
	f, err := attest.ParseFreeze(all[i].Statement)
	t := &Thawing{Freeze: f, Signed: attest.SignedThaw{Thaw: attest.Thaw{Cluster: f.Cluster}, Signatures: []attest.AuthoritySignature{}}}
	if err == nil {
		err = t.Signed.Thaw.Freeze.UnmarshalText([]byte(id))
	}
	if err == nil {
		err = t.Signed.Thaw.Authority.UnmarshalText([]byte(all[i].Authority))
	}
	if err == nil {
		err = t.check()
	}
	if err != nil {
		return nil, fault.Usage("ask another node", "what the node shows is not freeze %.80q: %w", id, err)
	}
	return t, t.write(path)
}

// check holds what officers sign against what they read.
func (t *Thawing) check() error {
	if err := t.Freeze.Validate(); err != nil {
		return err
	}
	if t.Signed.Thaw.Freeze != t.Freeze.Digest() || t.Signed.Thaw.Cluster != t.Freeze.Cluster {
		return errors.New("the thaw is of another freeze than the one that is shown")
	}
	return nil
}

func readThawing(path string) (*Thawing, error) {
	if path == "" {
		return nil, fault.Usage("give --out FILE, have officers run `mpcd freeze sign FILE`, and then give --bring FILE", "no file is named")
	}
	b, err := durable.ReadFile(path, maxThawing)
	if err != nil {
		return nil, err
	}
	var t Thawing
	if err = canon.UnmarshalJSON(b, &t); err == nil {
		err = t.check()
	}
	if err != nil {
		return nil, fault.Usage("give what `mpcd freeze thaw ID --out FILE` wrote", "%s: %w", path, err)
	}
	return &t, nil
}

func (t *Thawing) write(path string) error {
	b, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(b, '\n'), 0o644)
}

// EndorseThaw adds an officer's word to a file; one of his that was there goes.
func EndorseThaw(path, by string, sign attest.SignFunc) (*Thawing, error) {
	t, err := readThawing(path)
	if err != nil {
		return nil, err
	}
	s, err := t.Signed.Thaw.Sign(by, sign)
	if err != nil {
		return nil, err
	}
	same := func(x attest.AuthoritySignature) bool { return x.By == by }
	t.Signed.Signatures = append(slices.DeleteFunc(t.Signed.Signatures, same), s)
	return t, t.write(path)
}

// ReadThaw reads what a node is brought, for a freeze.
func ReadThaw(id, path string) (q wire.ThawRequest, err error) {
	t, err := readThawing(path)
	if err != nil {
		return q, err
	}
	if at := t.Freeze.Digest().String(); at != id {
		return q, fault.Usage("give that freeze's file", "%s is a thaw of freeze %s", path, at)
	}
	if len(t.Signed.Signatures) == 0 {
		return q, fault.Usage(fmt.Sprintf("have officers run `mpcd freeze sign %s`", path), "no officer has signed %s", path)
	}
	for _, s := range t.Signed.Signatures {
		q.Signatures = append(q.Signatures, wire.OfficerWord{By: s.By, Signature: wire.Hex(s.Signature)})
	}
	return q, nil
}

// Print writes what an officer reads.
func (t *Thawing) Print(w io.Writer) {
	f := t.Freeze
	fmt.Fprintf(w, "freeze\t%s\nof\t%q of cluster %q\n", f.Digest(), f.What(), f.Cluster)
	fmt.Fprintf(w, "by\tnode %q, %s\nreason\t%q\n", f.Node, time.UnixMilli(f.Created).UTC().Format(time.RFC3339), f.Reason)
	fmt.Fprintf(w, "authority\t%s\n", t.Signed.Thaw.Authority)
	for _, s := range t.Signed.Signatures {
		fmt.Fprintf(w, "thawed by\t%q\n", s.By)
	}
}

// PrintFreezes writes what nodes say is frozen, or was.
func PrintFreezes(w io.Writer, all []wire.Freeze) {
	fmt.Fprintln(w, "FREEZE\tOF\tIN FORCE\tREASON\tTHAWED BY")
	for _, x := range all {
		fmt.Fprintf(w, "%s\t%q\t%t\t%q\t%q\n", x.ID, x.Frozen, x.InForce, x.Reason, x.ThawedBy)
	}
}

// PrintFreeze writes one, with what is to be known of it.
func PrintFreeze(w io.Writer, x *wire.Freeze) {
	PrintFreezes(w, []wire.Freeze{*x})
	if x.Note != "" {
		fmt.Fprintf(w, "note: %s\n", x.Note)
	}
}
