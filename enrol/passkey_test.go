package enrol

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/passkey/passkeytest"
)

// press is where a command tells of its page: a browser presses a button there at once, with each bend of what is signed until the page
// takes it, and keeps what the page says.
type press struct {
	*passkeytest.Browser
	button string
	bends  []func(*passkeytest.Signed)
	said   chan string
}

func (p *press) Write(b []byte) (int, error) {
	_, address, ok := strings.Cut(string(b), "the same:\n")
	if !ok {
		return len(b), nil
	}
	go func() {
		for _, p.Bend = range append(p.bends, nil) {
			said, err := p.Press(strings.TrimSpace(address), p.button)
			if err != nil {
				said = err.Error()
			}
			p.said <- said
		}
	}()
	return len(b), nil
}

func pressing(button string, key *passkeytest.Key, bends ...func(*passkeytest.Signed)) *press {
	return &press{&passkeytest.Browser{Key: key}, button, bends, make(chan string, 9)}
}

// unverified is what an authenticator signs whose person has not shown a PIN or finger.
func unverified(of func() *passkeytest.Key) func(*passkeytest.Signed) {
	return func(s *passkeytest.Signed) {
		s.AuthenticatorData[32] &^= 0x04
		*s = of().Over(s.AuthenticatorData, s.ClientData)
	}
}

// Goal: what officers are given is a passkey that has signed as signers want it. Method: an authenticator that verifies nobody, and then
// does; what is printed, read as --approver.
func TestMakePasskey(t *testing.T) {
	p := pressing("Make", nil)
	p.bends = append(p.bends, unverified(func() *passkeytest.Key { return p.Key }))
	spec, err := MakePasskey(t.Context(), "ann", []string{"treasury", "risk"}, 0, p)
	if err != nil {
		t.Fatal(err)
	}
	if said := <-p.said; !strings.Contains(said, "not verified its person") {
		t.Error(said)
	}
	if said := <-p.said; !strings.HasPrefix(said, "Done.") {
		t.Error(said)
	}
	x, err := ParseApprover(spec)
	if err != nil || x.Name != "ann" || string(x.Key) != string(p.Key.Public()) || strings.Join(x.Groups, " ") != "risk treasury" ||
		x.Passkey.String() != "by passkey of localhost at http://localhost" {
		t.Errorf("%s: %+v, %v", spec, x, err)
	}
}

// Goal: of an approver a passkey, its RP ID and its origins are given in one word; what is none is a webhook.
func TestParsePasskey(t *testing.T) {
	for spec, want := range map[string]string{
		"ann=0x30:risk@passkey":             "by passkey of localhost at http://localhost",
		"ann=0x30:risk@passkey:example.com": "by passkey of example.com at https://example.com",
		"ann=0x30:risk@passkey:example.com+https://b.example.com+https://a.example.com:8443": "by passkey of example.com at " +
			"https://a.example.com:8443, https://b.example.com",
		"ann=0x30:risk@passkeys": "", "ann=0x30:risk@https://passkey/": "", "ann=0x30:risk": "",
	} {
		x, err := ParseApprover(spec)
		if _, webhook, _ := strings.Cut(spec, "@"); err != nil || x.Passkey.String() != want || want == "" && x.Webhook != webhook {
			t.Errorf("%s: %+v, %v", spec, x, err)
		}
	}
}

// Goal: at a page of this machine an approver decides by a passkey of localhost, and what no signer would take ends there. Method: the
// passkey of another, and then his own; each button; and who may not, or not any more.
func TestApproveAtPage(t *testing.T) {
	ann, eve := passkeytest.New(attest.Localhost, false), passkeytest.New(attest.Localhost, false)
	a := &attest.Authority{Approvers: []attest.Approver{{Name: "ann", Key: ann.Public(), Passkey: ownMachine()},
		{Name: "ben", Key: ann.Public()}, {Name: "cleo", Key: ann.Public(), Passkey: parsePasskey("passkey:example.com")}}}
	pending := func() *Pending {
		return &Pending{Authority: a, Intent: attest.Intent{RequestID: "pay-1", Created: time.Now().UnixMilli(),
			Initiation: &attest.Initiation{By: "payments", Expires: time.Now().Add(time.Hour).UnixMilli()}}}
	}
	for button, rejects := range map[string]bool{"Approve": false, "Reject for good": true} {
		p := pressing(button, ann, func(s *passkeytest.Signed) { *s = eve.Over(s.AuthenticatorData, s.ClientData) })
		word, err := pending().ApproveAtPage(t.Context(), Decision{By: "ann", TTL: time.Minute}, p)
		if err != nil || word.Rejects != rejects || word.By != "ann" || len(word.Signature) != 64 || word.Assertion == nil {
			t.Errorf("%s: %+v, %v", button, word, err)
		}
		if first, then := <-p.said, <-p.said; !strings.Contains(first, "does not verify") || !strings.HasPrefix(then, "Done.") {
			t.Errorf("%s: %q, then %q", button, first, then)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := pressing("Approve", ann)
	go func() {
		if said := <-p.said; !strings.Contains(said, "no button Approve") {
			t.Errorf("who is to reject: %s", said)
		}
		cancel()
	}()
	if _, err := pending().ApproveAtPage(ctx, Decision{By: "ann", TTL: time.Minute, Reject: true}, p); !errors.Is(err, context.Canceled) ||
		!strings.Contains(err.Error(), "ended before anything was signed") {
		t.Error(err)
	}
	other, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, err = MakePasskey(t.Context(), "ann", []string{"risk"}, other.Addr().(*net.TCPAddr).AddrPort().Port(), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "no page can be shown: listen") {
		t.Errorf("a port of another: %v", err)
	}
	late, unjudged := pending(), pending()
	late.Intent.Initiation.Expires, unjudged.Authority = time.Now().UnixMilli(), nil
	over, end := context.WithTimeout(t.Context(), time.Second)
	defer end()
	for want, x := range map[string]struct {
		p  *Pending
		by string
	}{
		"nobody decided before":                   {late, "ann"},
		`"ben" does not approve by a passkey`:     {pending(), "ben"},
		`"cleo" does not approve by a passkey of`: {pending(), "cleo"},
		"judged here whose passkey":               {unjudged, "ann"},
	} {
		_, err := x.p.ApproveAtPage(over, Decision{By: x.by, TTL: time.Minute}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s: %v", want, err)
		}
	}
}
