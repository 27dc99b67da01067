package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold"
)

// Approver is a person, or a program, whose word the rules of an authority may want besides an initiator's.
type Approver struct {
	Name   string   `cbor:"1,keyasint" json:"name"`
	Key    Hex      `cbor:"2,keyasint" json:"key"`    // PKIX DER, P-256 or Ed25519
	Groups []string `cbor:"3,keyasint" json:"groups"` // ascending; rules count approvals by group
	// Passkey says where the key signs by WebAuthn; nil where it signs as it is. Then nothing else is the approver's word.
	Passkey *Passkey `cbor:"4,keyasint,omitempty" json:"passkey,omitempty"`
	// Webhook is where the approver is asked, if it is a program: an address that CheckWebhook takes; "" for a person.
	Webhook string `cbor:"5,keyasint,omitempty" json:"webhook,omitempty"`
}

// CheckWebhook tells why an address is none that a node sends to: https, or http on the same machine, without a user, ? and #, and with
// nothing that cannot be seen.
func CheckWebhook(address string) error {
	u, err := url.Parse(address)
	if err != nil || len(address) > maxText || !Printable(address) || u.String() != address || u.Hostname() == "" || u.User != nil ||
		strings.ContainsAny(address, "?#") {
		return fmt.Errorf("webhook %q: use https://HOST/PATH, of at most %d bytes, without a user, ? and #", clip(address), maxText)
	}
	if at, err := netip.ParseAddr(u.Hostname()); u.Scheme == "http" && err == nil && at.IsLoopback() || u.Scheme == "https" {
		return nil
	}
	return fmt.Errorf("webhook %q: what is asked may be read on its way; use https, or http to 127.0.0.1 or [::1]", clip(address))
}

// Approval is an approver's word that what an initiator asks for may be done, as it was decoded, under the authority in force. It stands in
// the intent, so that every signer judges it for itself and every receipt has it. One that rejects says that it may not: it takes back what
// the approver said before, for good, wherever it is known, and stands in no intent.
type Approval struct {
	By        string `cbor:"1,keyasint" json:"by"`         // Approver.Name
	Expires   int64  `cbor:"2,keyasint" json:"expires_ms"` // Unix milliseconds; no ceremony begins later, and one that rejects holds beyond it
	Signature Hex    `cbor:"3,keyasint" json:"signature"`  // 64 bytes over Intent.ApprovalMessage, or over the assertion that is for it
	Rejects   bool   `cbor:"4,keyasint,omitempty" json:"rejects,omitempty"`
	// Assertion is what a passkey has signed; nil for the word of a key that signs as it is.
	Assertion *Assertion `cbor:"5,keyasint,omitempty" json:"assertion,omitempty"`
}

// Size is about how many bytes it takes.
func (x Approval) Size() int {
	size := 256
	if x.Assertion != nil {
		size += len(x.Assertion.AuthenticatorData) + len(x.Assertion.ClientData)
	}
	return size
}

const (
	maxApprovers = 1024
	maxGroups    = 16 // of an authority: what a denied request needs is looked for group by group
	// MaxApprovals is how many approvals an intent may have.
	MaxApprovals = policy.MaxApprovals
)

// approval is what an approver signs: all that the initiator has, the authority with its rules, and what was read of the payload.
type approval struct {
	Tag        string `cbor:"1,keyasint"`
	Initiation Hash   `cbor:"2,keyasint"` // canon.Hash of "mpcd/v1/approval/initiation" and Intent.InitiationMessage
	Authority  Hex    `cbor:"3,keyasint"` // Intent.Authority
	Decoded    Hash   `cbor:"4,keyasint"` // of the JSON of intent.Decoded; zero where nothing is decoded
	By         string `cbor:"5,keyasint"`
	Expires    int64  `cbor:"6,keyasint"`
	Rejects    bool   `cbor:"7,keyasint"`
	Vault      string `cbor:"8,keyasint"` // Intent.Vault, which the initiator has not signed
	// Of a new key, which scheme makes it and who is to hold it: of these the initiator may have signed the number alone.
	Scheme  threshold.SchemeID  `cbor:"9,keyasint,omitempty"`
	Parties []threshold.PartyID `cbor:"10,keyasint,omitempty"`
}

// ApprovalMessage is what an approver signs: deterministic CBOR under a tag of its own. The intent names its authority and has its
// initiation; d is what Decode read of it. Who decodes otherwise finds no signature over what it has read.
func (i Intent) ApprovalMessage(d *intent.Decoded, by string, expires int64, rejects bool) ([]byte, error) {
	if i.Initiation == nil {
		return nil, fmt.Errorf("%w: nothing to approve before an initiator has signed it", ErrNotInitiated)
	}
	m := approval{Tag: "mpcd/v1/approval", Initiation: i.initiationHash(), Authority: append(Hex{}, i.Authority...), By: by, Expires: expires,
		Rejects: rejects, Vault: i.Vault}
	if i.Operation == OpKeygen {
		m.Scheme, m.Parties = i.Scheme, i.Signers
	}
	if d != nil {
		b, err := json.Marshal(d)
		if err != nil {
			return nil, fmt.Errorf("attest: approval: %w", err)
		}
		m.Decoded = canon.Hash("mpcd/v1/approval/decoded", b)
	}
	return canon.MustMarshal(m), nil
}

// initiationHash names what was asked for, by whom and until when.
func (i Intent) initiationHash() Hash {
	return canon.Hash("mpcd/v1/approval/initiation", i.InitiationMessage(i.Initiation.By, i.Initiation.Expires))
}

// Approve signs an intent's approval in an approver's name, or its rejection.
func (i Intent) Approve(d *intent.Decoded, by string, expires time.Time, rejects bool, sign SignFunc) (*Approval, error) {
	ms := expires.UnixMilli()
	message, err := i.ApprovalMessage(d, by, ms, rejects)
	if err != nil {
		return nil, err
	}
	sig, err := sign(message)
	if err != nil {
		return nil, fmt.Errorf("attest: approve: %w", err)
	}
	return &Approval{By: by, Expires: ms, Signature: sig, Rejects: rejects}, nil
}

// CancelMessage is what an initiator signs that takes back what it asked for.
func (i Intent) CancelMessage() []byte {
	return canon.MustMarshal([]any{"mpcd/v1/cancel", i.initiationHash()})
}

// CheckCancel judges an initiator's word that it takes back what it asked for.
func (a Authority) CheckCancel(i Intent, signature []byte) error {
	who, ok := a.Initiator(i.Initiation.By)
	if !ok {
		return fmt.Errorf("%w: the authority of serial %d has no initiator %q", ErrNotInitiated, a.Serial, clip(i.Initiation.By))
	}
	if err := verifyMessage(who.Key, i.CancelMessage(), signature); err != nil {
		return fmt.Errorf("%w: the cancellation: %w", ErrNotInitiated, err)
	}
	return nil
}

// Approver finds one by its name.
func (a Authority) Approver(name string) (Approver, bool) {
	i := slices.IndexFunc(a.Approvers, func(x Approver) bool { return x.Name == name })
	if i < 0 {
		return Approver{}, false
	}
	return a.Approvers[i], true
}

// groups counts approvers by group, everybody and those of the names, at most as many as an intent has approvals. Every group of the
// authority is in both.
func (a Authority) groups(names []string) (named, all map[string]int) {
	named, all = map[string]int{}, map[string]int{}
	for _, x := range a.Approvers {
		for _, g := range x.Groups {
			all[g] = min(all[g]+1, MaxApprovals)
			if named[g] += 0; slices.Contains(names, x.Name) {
				named[g]++
			}
		}
	}
	return named, all
}

// Unmanned says, in words, of which groups rules count the approvals and nobody is in them, and from which they want more than are in them,
// or than can count: what needs these is permitted to nobody. "" for none, as far as the rules tell (policy.Rules.Wants).
func (a Authority) Unmanned(rules *policy.Rules) string {
	_, all := a.groups(nil)
	wants := rules.Wants()
	var words []string
	for _, g := range rules.Groups() {
		switch n := all[g]; {
		case n == 0:
			words = append(words, fmt.Sprintf("%q, in which nobody is", g))
		case wants[g] > n:
			words = append(words, fmt.Sprintf("%d of %q, of which %d can count", wants[g], g, n))
		}
	}
	if len(words) == 0 {
		return ""
	}
	return "rules count approvals of " + strings.Join(words, ", and ")
}

// Manned is what to do about it.
const Manned = "correct them, or add --approver"

// CheckApprovals judges each approval of an intent, whose initiation was found good: one that does not hold refuses the intent, since
// somebody put it there. An approver is never who asks. d is what Decode read, at is when. ErrNotApproved.
func (a Authority) CheckApprovals(i Intent, d *intent.Decoded, at time.Time) error {
	for _, x := range i.Approvals {
		if err := a.CheckApproval(i, d, x, at); err != nil {
			return fmt.Errorf("%w: the approval of %q: %w", ErrNotApproved, clip(x.By), err)
		}
	}
	return nil
}

// CheckApproval judges one approval, or rejection, of an intent.
func (a Authority) CheckApproval(i Intent, d *intent.Decoded, x Approval, at time.Time) error {
	who, ok := a.Approver(x.By)
	switch {
	case !ok:
		return fmt.Errorf("the authority of serial %d has no such approver", a.Serial)
	case x.By == i.Requester:
		return fmt.Errorf("who asks does not approve")
	case at.UnixMilli() > x.Expires && !x.Rejects: // what it takes back may expire later
		return fmt.Errorf("it has expired, at %s", time.UnixMilli(x.Expires).UTC().Format(time.RFC3339))
	case x.Expires-i.Created > MaxInitiation.Milliseconds():
		return fmt.Errorf("it expires more than %s after the request", MaxInitiation)
	}
	message, err := i.ApprovalMessage(d, x.By, x.Expires, x.Rejects)
	if err != nil {
		return err
	}
	return who.Verify(message, x)
}

// Verify judges whether an approver has signed a message: by its passkey, if it has one, and else by its key as it is.
func (x Approver) Verify(message []byte, word Approval) error {
	switch {
	case x.Passkey != nil && word.Assertion == nil:
		return fmt.Errorf("%q approves by passkey, and this is no assertion of one; use `mpcd approve --passkey`", x.Name)
	case x.Passkey != nil:
		return x.Passkey.check(x.Key, message, word.Assertion, word.Signature)
	case word.Assertion != nil:
		return fmt.Errorf("%q has a key and no passkey, and this is an assertion of one", x.Name)
	}
	return verifyMessage(x.Key, message, word.Signature)
}

// validateApprovals checks their shape.
func (i Intent) validateApprovals() error {
	if len(i.Approvals) > MaxApprovals || len(i.Approvals) > 0 && i.Initiation == nil {
		return fmt.Errorf("attest: intent: %d approvals, at most %d, and none of what no initiator has signed", len(i.Approvals), MaxApprovals)
	}
	for n, x := range i.Approvals {
		if !name.MatchString(x.By) || x.Expires <= 0 || len(x.Signature) != InitiationBytes || x.Rejects || !x.Assertion.shaped() {
			return fmt.Errorf("attest: intent: approval %d rejects, or is without a name, an expiry or a signature of %d bytes, "+
				"or has a misshapen assertion", n, InitiationBytes)
		}
		if n > 0 && x.By <= i.Approvals[n-1].By {
			return fmt.Errorf("attest: intent: approvals ascend by name, and nobody approves twice")
		}
	}
	return nil
}

func (x Approver) validate() error {
	if len(x.Groups) == 0 || len(x.Groups) > maxGroups {
		return fmt.Errorf("%d groups, want 1 to %d", len(x.Groups), maxGroups)
	}
	for n, g := range x.Groups {
		if !name.MatchString(g) || n > 0 && g <= x.Groups[n-1] {
			return fmt.Errorf("group %q: names are a-z, 0-9, dot, dash, underscore, at most 63, and ascend", clip(g))
		}
	}
	switch {
	case x.Passkey != nil && x.Webhook != "":
		return errors.New("a passkey and a webhook: a program has no passkey")
	case x.Passkey != nil:
		return x.Passkey.validate()
	case x.Webhook != "":
		return CheckWebhook(x.Webhook)
	}
	return nil
}
