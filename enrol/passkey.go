package enrol

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/passkey"
)

// passkeyMark begins what stands of a passkey in the place of a webhook. Alone it means a page of the approver's own machine.
const passkeyMark = "passkey"

// ownMachine is the passkey that pages of this program use.
func ownMachine() *attest.Passkey {
	return &attest.Passkey{RPID: attest.Localhost, Origins: []string{"http://" + attest.Localhost}}
}

// parsePasskey reads passkey, passkey:RP-ID or passkey:RP-ID+ORIGIN+…; nil for anything else.
func parsePasskey(text string) *attest.Passkey {
	if text == passkeyMark {
		return ownMachine()
	}
	rest, ok := strings.CutPrefix(text, passkeyMark+":")
	if !ok {
		return nil
	}
	id, origins, some := strings.Cut(rest, "+")
	if !some {
		origins = "https://" + id
	}
	return &attest.Passkey{RPID: id, Origins: slices.Sorted(slices.Values(strings.Split(origins, "+")))}
}

// ApproveAtPage has the approver decide at a page of this machine, in a browser, by passkey. His word is judged here as every signer will.
func (p *Pending) ApproveAtPage(ctx context.Context, d Decision, w io.Writer) (*wire.Approval, error) {
	if p.Authority == nil {
		return nil, fault.Usage("give --authority FILE, the cluster's", "by --passkey it is judged here whose passkey has signed")
	}
	if who, _ := p.Authority.Approver(d.By); who.Passkey == nil || who.Passkey.RPID != attest.Localhost {
		return nil, fault.Usage("`mpcd authority show` says how each approves",
			"%.64q does not approve by a passkey of pages on this machine", d.By)
	}
	page := passkey.Page{Title: "mpcd: approve " + p.Intent.RequestID + " as " + d.By, RPID: attest.Localhost, Rows: p.Rows()}
	expires := until(p.Intent, time.Now(), d.TTL).UnixMilli()
	var words []attest.Approval
	for _, rejects := range []bool{false, true} {
		if d.Reject && !rejects {
			continue
		}
		message, err := p.Intent.ApprovalMessage(p.Decoded, d.By, expires, rejects)
		if err != nil {
			return nil, err
		}
		words = append(words, attest.Approval{By: d.By, Expires: expires, Rejects: rejects})
		page.Asks = append(page.Asks, passkey.Ask{Label: map[bool]string{true: "Reject for good", false: "Approve"}[rejects],
			Challenge: attest.PasskeyChallenge(message)})
	}
	p.show(w)
	ctx, cancel := context.WithDeadlineCause(ctx, time.UnixMilli(p.Intent.Initiation.Expires),
		fault.Usage("have its initiator ask again", "nobody decided before the request expired"))
	defer cancel()
	var word *wire.Approval
	err := serve(ctx, d.Port, page, tell(w, "decide"), func(a passkey.Answer) error {
		x := words[a.Ask]
		err := a.Sign(&x)
		if err == nil {
			err = p.Authority.CheckApproval(p.Intent, p.Decoded, x, time.Now())
		}
		word = wireApproval(&x)
		return err
	})
	return word, err
}

// serve has a page answered, or says what became of it.
func serve(ctx context.Context, port uint16, page passkey.Page, tell func(string), take func(passkey.Answer) error) error {
	err := passkey.Serve(ctx, port, page, tell, take)
	switch {
	case errors.Is(err, context.Canceled):
		return fault.Usage("repeat the command", "it was ended before anything was signed: %w", err)
	case errors.As(err, new(*net.OpError)):
		return fault.Usage("give another --port, or none", "no page can be shown: %w", err)
	}
	return err
}

// tell says where the page is.
func tell(w io.Writer, what string) func(address string) {
	return func(address string) {
		fmt.Fprintf(w, "To %s, open this in a browser on this machine, and read there that it is the same:\n%s\n", what, address)
	}
}

// MakePasskey has a browser on this machine make an approver's passkey, and sign with it once: it returns what --approver takes.
func MakePasskey(ctx context.Context, name string, groups []string, port uint16, w io.Writer) (spec string, err error) {
	x := attest.Approver{Name: name, Passkey: ownMachine()}
	message := canon.MustMarshal([]any{"mpcd/v1/passkey/made", name, rand.Text()})
	page := passkey.Page{Title: "mpcd: make the passkey of " + name, RPID: attest.Localhost, Rows: [][2]string{{"approver", name},
		{"groups", strings.Join(groups, ", ")}}, Asks: []passkey.Ask{{Label: "Make", Challenge: attest.PasskeyChallenge(message), MakeFor: name}}}
	err = serve(ctx, port, page, tell(w, "make it"), func(a passkey.Answer) error {
		var word attest.Approval
		x.Key = a.Key
		if err := a.Sign(&word); err != nil {
			return err
		}
		return x.Verify(message, word)
	})
	return fmt.Sprintf("%s=%s:%s@%s", name, x.Key, strings.Join(groups, "+"), passkeyMark), err
}
