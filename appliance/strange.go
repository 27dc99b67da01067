package appliance

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

// A node that is no party of a key has no record of it. It signs nothing with it and has it not refreshed, and yet gives the answers that
// others have given: for that it asks them for the wallet, and believes what proves itself. The proofs of its threshold, which the key
// itself has signed, name its parties; the certificate of all of these has its epoch, label and group.

// known looks up the key of a wallet ID, or of any valid encoding of its public key, here or at others; strange is what a request is
// refused with that would have this node act with it, where it holds no share of it. caller is the requester, "" of what only reads.
func (n *others) known(ctx context.Context, caller, wallet string, pub []byte) (key keys.Key, strange, err error) {
	key, err = n.core.find(ctx, wallet, pub)
	if err == nil || problem.As(err).Code != problem.NotFound {
		return key, nil, err
	}
	if wallet == "" {
		wallet = hex.EncodeToString(pub)
	}
	if !isName(wallet) {
		return keys.Key{}, nil, err
	}
	end, busy := n.lookups.begin(n.cfg.Clock(), caller)
	if busy != nil {
		return keys.Key{}, nil, busy
	}
	rec, err := n.wallet(ctx, wallet, err)
	end(err == nil)
	if err != nil {
		return keys.Key{}, nil, err
	}
	key = keys.Key{ID: attest.KeyID(rec.Info.Kind, rec.Info.GroupKey), Record: rec}
	if key.Scheme, err = n.cfg.Schemes(rec.Scheme); err != nil {
		return keys.Key{}, nil, err
	}
	return key, problem.New(problem.NotFound, fmt.Sprintf("ask a node that is a party of the key: one of %v",
		n.members.Nodes(rec.Info.Committee.Parties)), "this node holds no share of wallet %s", key.ID), nil
}

// show tells a peer of a wallet, with what proves it. One that is not here, or not active, is not told of.
func (n *others) show(ctx context.Context, name string, s *said) error {
	key, err := n.core.find(ctx, name, nil)
	if err != nil && problem.As(err).Code == problem.NotFound || err == nil && key.Record.State != keys.Active {
		return nil
	}
	if err != nil {
		return err
	}
	a := answer{KeyID: key.ID, Epoch: key.Record.Info.Epoch}
	if err := n.ownAnswer(ctx, &a); err != nil {
		return err
	}
	s.Answer, s.Certs, s.Proofs = newKeyAnswer(key.ID, key.Record.SessionID, key.Record, n.cfg.Node), a.Certs, a.Proofs
	return nil
}

// wallet is what others prove of a wallet that this node has no record of; missing is the error where they prove none.
func (n *others) wallet(ctx context.Context, name string, missing error) (keys.Record, error) {
	if !isName(name) {
		return keys.Record{}, missing
	}
	all, err := n.ask(ctx, opWallet, name, n.live())
	if err != nil {
		return keys.Record{}, err
	}
	rec, err := n.judgeWallets(ctx, name, all)
	if silent := n.silent(all); rec == nil && err == nil && len(silent) > 1 { // a wallet has two parties at least
		err = problem.New(problem.Quorum, fmt.Sprintf("start the missing nodes: %v", silent),
			"whether there is a wallet %.80s cannot be told: this node holds no share of it, and %d nodes do not answer", name, len(silent))
	}
	if rec == nil {
		return keys.Record{}, cmp.Or(err, missing)
	}
	return *rec, nil
}

// silent are the other members that have not answered.
func (n *others) silent(all []heard) []transport.NodeID {
	return slices.DeleteFunc(n.members.All(), func(id transport.NodeID) bool {
		return id == n.cfg.Node || slices.ContainsFunc(all, func(h heard) bool { return h.from == id })
	})
}

// judgeWallets is the record of a wallet that answers prove, at the highest epoch, nil where none does; err says why one that is shown is
// not taken though nobody need have lied. Which session made it is told by so many of its parties as sign with it, of whom one at least is
// honest.
func (n *others) judgeWallets(ctx context.Context, name string, all []heard) (best *keys.Record, why error) {
	for _, h := range all {
		a, err := parseKeyAnswer(h.Answer)
		if err != nil || !isNamed(name, a) || best != nil && a.Record.Info.Epoch <= best.Info.Epoch {
			continue
		}
		err = n.proven(ctx, a, h)
		if parties := n.members.Nodes(a.Record.Info.Committee.Parties); errors.Is(err, errOtherToken) {
			if what := "a wallet is shown that this node cannot verify"; n.remarks.due(n.cfg.Clock(), h.from, what) {
				n.cfg.Logger.Warn(what, "wallet", a.ID, "error", err) // who shows it need not have lied
			}
			why = &problem.Error{Code: problem.NotFound, Err: err, Message: fmt.Sprintf("this node cannot verify wallet %s", a.ID),
				Next: fmt.Sprintf("ask a node that is a party of the key: one of %v", parties)}
			continue
		}
		if err != nil {
			n.remark(h.from, "what it shows of a wallet is not taken", err, "wallet", a.ID)
			continue
		}
		told := 0
		for _, other := range all {
			b, err := parseKeyAnswer(other.Answer)
			if err == nil && b.ID == a.ID && b.Session == a.Session && a.Record.Info.Committee.Contains(n.members.Party(other.from)) {
				told++
			}
		}
		if told >= a.Record.Info.Committee.Threshold {
			best = &a.Record
			best.SessionID = a.Session
			continue
		}
		why = problem.New(problem.Quorum, fmt.Sprintf("start the missing nodes: of %v", n.members.Nodes(a.Record.Info.Committee.Parties)),
			"%d parties of wallet %s answer, and %d must, for this node holds no share of it", told, a.ID, a.Record.Info.Committee.Threshold)
	}
	return best, why
}

// isName tells whether a wallet can be named so: by its ID, or its public key in hex.
func isName(name string) bool {
	pub, err := hex.DecodeString(strings.TrimPrefix(name, "0x"))
	return attest.IsKeyID(name) || err == nil && len(pub) >= 32
}

// isNamed tells whether a wallet is the one of that ID or public key.
func isNamed(name string, a keyAnswer) bool {
	if attest.IsKeyID(name) {
		return a.ID == name
	}
	pub, err := hex.DecodeString(strings.TrimPrefix(name, "0x"))
	return err == nil && bytes.Equal(threshold.KindOf(a.Record.Info.Kind).Shown(pub), keys.Shown(a.Record.Info))
}

// proven verifies what a peer shows of a wallet.
func (n *others) proven(ctx context.Context, a keyAnswer, h heard) error {
	rec := a.Record
	scheme, err := n.cfg.Schemes(rec.Scheme)
	if err != nil {
		return err
	}
	if attest.KeyID(rec.Info.Kind, rec.Info.GroupKey) != a.ID || scheme.Kind().ID != rec.Info.Kind || rec.State != keys.Active {
		return problem.New(problem.Invalid, "", "it is of another key")
	}
	if err := rec.Info.Committee.Validate(); err != nil {
		return err
	}
	if h.Proofs == nil {
		return problem.New(problem.Invalid, "", "the proofs of its threshold are not shown")
	}
	if err := verifyProofs(keys.Key{ID: a.ID, Record: rec, Scheme: scheme}, *h.Proofs); err != nil {
		return err
	}
	return n.verifyCertificates(ctx, a.ID, rec.Info, rec, h.Certs)
}
