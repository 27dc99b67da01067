package appliance

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// Goal: what ends a ceremony costs a request nothing that is another's fault, is never tried again where it can only fail again, and is
// tried elsewhere where a peer is to blame. Method: a table of all kinds of failures.
func TestNext(t *testing.T) {
	own := func(code problem.Code, item int) error { return &problem.Error{Code: code, Item: item} }
	peer := func(code problem.Code, item int) error {
		return &ceremony.RefusedError{From: "b", Refusal: ceremony.Refusal{Code: code, Item: item}}
	}
	batchOf := func(item int, alike, also []int) error {
		return &ceremony.RefusedError{From: "b", Refusal: ceremony.Refusal{Code: problem.Denied, Item: item, Alike: alike, Also: also}}
	}
	abort := &threshold.Abort{Kind: threshold.Ban, Culprits: []threshold.PartyID{2}}
	silent := &ceremony.SilenceError{Missing: []threshold.PartyID{2}}
	fixed, again := tries{fixed: true}, tries{direct: true}
	for name, row := range map[string]struct {
		err    error
		batch  int // of which the request is the second
		t      tries
		looked bool
		want   step
	}{
		"a presignature is not there":                  {peer(problem.Presig, 0), 4, tries{}, false, direct},
		"ours died":                                    {own(problem.Presig, 0), 4, tries{}, false, direct},
		"also for signers that the caller named":       {peer(problem.Presig, 0), 4, fixed, false, direct},
		"though no pool was used":                      {peer(problem.Presig, 0), 4, again, false, elsewhere},
		"another request is denied by a peer":          {peer(problem.Denied, 1), 4, tries{}, false, spare},
		"another request is denied here":               {own(problem.Denied, 4), 4, fixed, false, spare},
		"this one is denied as another is":             {batchOf(1, []int{2}, nil), 4, tries{}, false, elsewhere},
		"this one for another reason":                  {batchOf(1, nil, []int{2}), 4, tries{}, false, spare},
		"others are denied by a peer again and again":  {peer(problem.Denied, 1), 4, tries{spared: sparedMax}, false, elsewhere},
		"whom the caller named":                        {peer(problem.Denied, 1), 4, tries{spared: sparedMax, fixed: true}, false, separate},
		"others are denied here again and again":       {own(problem.Denied, 1), 4, tries{spared: sparedMax}, false, spare},
		"this one is denied by a peer":                 {peer(problem.Denied, 2), 4, tries{}, false, elsewhere},
		"this one is denied here":                      {own(problem.Denied, 2), 4, tries{}, false, giveUp},
		"a request that is not in the batch is denied": {peer(problem.Denied, 9), 4, tries{}, false, elsewhere},
		"some request of many is denied":               {peer(problem.Denied, 0), 4, fixed, false, separate},
		"some of many by a peer that has a substitute": {peer(problem.Denied, 0), 4, tries{}, false, elsewhere},
		"some request of many is denied here":          {own(problem.Denied, 0), 4, tries{}, false, separate},
		"the only one is denied":                       {own(problem.Denied, 0), 1, tries{}, false, giveUp},
		"the only one is denied by a peer":             {peer(problem.Denied, 0), 1, tries{}, false, elsewhere},
		"the key is at another epoch":                  {peer(problem.Conflict, 2), 4, tries{}, false, look},
		"and is not when we look":                      {own(problem.Conflict, 2), 4, tries{}, true, giveUp},
		"other pair state":                             {peer(problem.PairState, 0), 1, tries{}, false, look},
		"and nothing new":                              {peer(problem.PairState, 0), 1, tries{}, true, elsewhere},
		"a peer's token failed":                        {peer(problem.HSM, 0), 4, tries{}, false, elsewhere},
		"our token failed":                             {own(problem.HSM, 0), 4, tries{}, false, elsewhere},
		"our store failed":                             {own(problem.Integrity, 0), 1, tries{}, false, giveUp},
		"a peer cheats":                                {abort, 4, tries{}, false, elsewhere},
		"a peer cheats, and the caller named it":       {abort, 4, fixed, false, giveUp},
		"a peer is silent":                             {silent, 1, tries{}, false, elsewhere},
		"a peer is silent, and the caller named it":    {silent, 1, fixed, false, giveUp},
		"something else":                               {errors.New("x"), 4, tries{}, false, elsewhere},
	} {
		if got := next(ceremony.FailureOf(row.err), 1, row.batch, row.t, row.looked); got != row.want {
			t.Errorf("%s: step %d, want %d", name, got, row.want)
		}
	}
}

// Goal: the parties of a key, and signers that nobody else can take the place of, are waited for longer. Method: a proposal of each line.
func TestOnly(t *testing.T) {
	for op, want := range map[attest.Operation]bool{attest.OpKeygen: true, attest.OpRefresh: true, opProve: true, attest.OpSign: false,
		attest.OpPresign: false} {
		if got := (&proposal{Operation: op}).only(); got != want {
			t.Errorf("%s: %v", op, got)
		}
	}
	if !(&proposal{Operation: attest.OpSign, Only: true}).only() {
		t.Error("a signature by signers that the caller named")
	}
}

// Goal: no ceremony is asked for more signatures than its scheme makes in one, whatever the configuration allows, nor than that. Method:
// every scheme, a large and a small limit.
func TestBatchMax(t *testing.T) {
	for _, s := range schemes.All() {
		if got := batchMax(Limits{Batch: 1 << 20}, s); got != s.MaxBatch() {
			t.Errorf("%s: %d in one ceremony, at most %d", s.ID(), got, s.MaxBatch())
		}
		if got := batchMax(Limits{Batch: 2}, s); got != 2 {
			t.Errorf("%s: %d in one ceremony, the configuration says 2", s.ID(), got)
		}
	}
}

// Goal: what one ceremony signs fits its proposal, however long the messages, and goes together where it can. Method: queues of requests
// with messages of one length; the proposal of what goes together, with the longest intents there are.
func TestFitting(t *testing.T) {
	for _, c := range []struct{ waiting, length, payload, approvals, most, want int }{
		{64, 32, 0, 0, 64, 64},
		{70, 32, 0, 0, 64, 64},
		{3, 32, 0, 0, 64, 3},
		{64, attest.MaxMessage, 0, 0, 64, 32},
		{64, attest.MaxMessage, 0, 0, 1, 1},
		{64, 32, intent.MaxPayload, 0, 64, 31},
		{64, 32, 0, attest.MaxApprovals, 64, 49},
		{64, attest.MaxMessage, intent.MaxPayload, attest.MaxApprovals, 64, 12},
	} {
		words := make([]attest.Approval, c.approvals)
		for i := range words { // as long as any that attest takes
			words[i] = attest.Approval{By: strings.Repeat("x", 63), Expires: 1 << 60, Signature: make([]byte, 64),
				Assertion: &attest.Assertion{AuthenticatorData: make([]byte, 37), ClientData: make([]byte, 1024)}}
		}
		payload := &attest.Payload{Bytes: make([]byte, c.payload)}
		long := strings.Repeat("x", 128)
		var queue []*signJob
		p := proposal{Pres: make([][32]byte, c.want), Cosign: make([]byte, 1<<10)}
		for range c.waiting {
			queue = append(queue, &signJob{req: SignRequest{Message: make([]byte, c.length), Payload: payload, Consent: Consent{Approvals: words}}})
		}
		got := fitting(queue, c.most)
		for range got {
			in := attest.Intent{RequestID: long, KeyID: long, Chain: long, Requester: long, Message: make([]byte, c.length),
				Path: make([]uint32, 255), Payload: payload, Approvals: words}
			p.Intents = append(p.Intents, in.Bytes())
		}
		if size := len(canon.MustMarshal(p)); got != c.want || size > transport.BodyMax {
			t.Errorf("%d requests of %d bytes, at most %d: %d go together, in a proposal of %d bytes", c.waiting, c.length, c.most, got, size)
		}
	}
}

// Goal: a key of many parties may take longer to make than one of a few, and one of a few as long as the configuration says. Method: each.
func TestLongerForMany(t *testing.T) {
	for parties, want := range map[int]time.Duration{2: time.Minute, 4: time.Minute, 6: 90 * time.Second, 16: 4 * time.Minute} {
		if got := (Limits{Request: time.Minute}).forKeys(parties); got != want {
			t.Errorf("%d parties: %s, want %s", parties, got, want)
		}
	}
}
