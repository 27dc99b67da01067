package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/threshold"
)

type walletOut struct{ Body wire.Wallet }

// keyOut is a wallet that was asked for, or the operation that makes or refreshes it.
type keyOut = answer[wire.Wallet]

func (s *server) keygen(ctx context.Context, in *struct{ Body keygenBody }) (*keyOut, error) {
	return s.makeKey(ctx, in.Body, "")
}

func (s *server) vaultWallet(ctx context.Context, in *struct {
	VaultID string `path:"vaultId" maxLength:"128" pattern:"^[A-Za-z0-9._:-]+$" doc:"A name to group wallets by; it need not exist before."`
	Body    keygenBody
}) (*answer[wire.VaultWallet], error) {
	out, err := s.makeKey(ctx, in.Body, in.VaultID)
	if err != nil {
		return nil, err
	}
	if out.Body.later != nil {
		return &answer[wire.VaultWallet]{out.Status, out.Location, out.Applied, now[wire.VaultWallet]{later: out.Body.later}}, nil
	}
	return answered(http.StatusCreated, renderVaultWallet(out.Body.value), nil)
}

func (s *server) makeKey(ctx context.Context, b keygenBody, vault string) (*keyOut, error) {
	r, err := b.request(vault)
	if err != nil {
		return nil, err
	}
	if r.Consent, err = b.Consent.value(callOf(ctx).header); err != nil {
		return nil, err
	}
	r.SessionID, r.Requester = s.session(ctx), callOf(ctx).requester
	r.BodyHash = r.Hash()
	if out, err := later[wire.Wallet](ctx, s, r); err != nil || out != nil {
		return out, err
	}
	return answeredKey(s.backend(ctx).Keygen(ctx, r))
}

func (s *server) refresh(ctx context.Context, in *struct{ Body refreshBody }) (*keyOut, error) {
	w, err := s.find(ctx, in.Body.WalletID, in.Body.PublicKey)
	if err != nil {
		return nil, err
	}
	return s.renew(ctx, w, in.Body)
}

func (s *server) reshare(ctx context.Context, in *struct {
	WalletID string `path:"walletId" maxLength:"256" doc:"The wallet's id, or its public key in hex."`
	Body     reshareBody
}) (*keyOut, error) {
	w, err := s.lookUp(ctx, in.WalletID)
	if err != nil {
		return nil, err
	}
	b := in.Body
	return s.renew(ctx, w, refreshBody{NewThreshold: b.NewThreshold, NewTotal: b.NewTotal, NewParties: b.NewParties,
		NewParticipants: b.NewParticipants, Release: b.Release, Consent: b.Consent})
}

func (s *server) renew(ctx context.Context, w *appliance.Wallet, b refreshBody) (*keyOut, error) {
	if err := b.unchanged(w); err != nil {
		return nil, err
	}
	consent, err := b.Consent.value(callOf(ctx).header)
	if err != nil {
		return nil, err
	}
	r := appliance.RefreshRequest{SessionID: s.session(ctx), WalletID: w.ID, Requester: callOf(ctx).requester, Consent: consent}
	for _, id := range b.Release {
		r.Release = append(r.Release, transport.NodeID(id))
	}
	r.BodyHash = r.Hash()
	if out, err := later[wire.Wallet](ctx, s, r); err != nil || out != nil {
		return out, err
	}
	return answeredKey(s.backend(ctx).Refresh(ctx, r))
}

// answeredKey is the answer to who waited for a wallet.
func answeredKey(w *appliance.Wallet, err error) (*keyOut, error) {
	if err != nil {
		return nil, err
	}
	body, err := renderWallet(w)
	return answered(http.StatusOK, body, err)
}

func (s *server) prove(ctx context.Context, in *struct {
	ID   string `path:"id" maxLength:"256" doc:"The wallet's id, or its public key in hex."`
	Body proveBody
}) (*walletOut, error) {
	w, err := s.lookUp(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if w, err = s.backend(ctx).ProveThreshold(ctx, w.ID); err != nil {
		return nil, err
	}
	return answerWallet(w)
}

func (s *server) wallet(ctx context.Context, in *struct {
	ID string `path:"id" maxLength:"256" doc:"The wallet's id, or its public key in hex."`
}) (*walletOut, error) {
	w, err := s.lookUp(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return answerWallet(w)
}

func (s *server) derive(ctx context.Context, in *struct {
	ID   string `path:"id" maxLength:"256" doc:"The wallet's id, or its public key in hex."`
	Path string `query:"path" required:"true" maxLength:"2806" example:"m/0/5" doc:"BIP 32: indexes below 2^31, none hardened, at most 255; m is the wallet's own key."`
}) (*struct{ Body wire.Child }, error) {
	path, err := parsePath(spelled[string]{"path", in.Path})
	if err != nil {
		return nil, err
	}
	w, err := s.lookUp(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	child, err := s.backend(ctx).Derive(ctx, w.ID, path)
	if err != nil {
		return nil, renamed(err, "derivation_path", "path")
	}
	body, err := renderChild(child, w)
	return &struct{ Body wire.Child }{body}, err
}

// renamed calls the field of an error what the request calls it.
func renamed(err error, field, name string) error {
	var e *problem.Error
	if !errors.As(err, &e) || e.Field != field {
		return err
	}
	c := *e
	c.Field = name
	return &c
}

type pageIn struct {
	PageSize  int    `query:"page_size" minimum:"1" maximum:"1000" default:"100" doc:"How many at most."`
	PageToken string `query:"page_token" maxLength:"512" doc:"next_page_token of the page before."`
}

func (p pageIn) page() appliance.Page { return appliance.Page{Size: p.PageSize, Token: p.PageToken} }

func (s *server) wallets(ctx context.Context, in *pageIn) (*struct{ Body wire.WalletList }, error) {
	list, next, err := s.backend(ctx).Wallets(ctx, in.page())
	if err != nil {
		return nil, err
	}
	out := &struct{ Body wire.WalletList }{wire.WalletList{Wallets: make([]wire.Wallet, 0, len(list)), NextPageToken: next}}
	for i := range list {
		w, err := renderWallet(&list[i])
		if err != nil {
			return nil, err
		}
		out.Body.Wallets = append(out.Body.Wallets, w)
	}
	return out, nil
}

func answerWallet(w *appliance.Wallet) (*walletOut, error) {
	body, err := renderWallet(w)
	return &walletOut{Body: body}, err
}

// find finds the wallet that a body names by id, by public key, or by both, which must agree.
func (s *server) find(ctx context.Context, id, publicKey string) (*appliance.Wallet, error) {
	if id == "" && publicKey == "" {
		return nil, invalidField("wallet_id", "give wallet_id or public_key", "no key is named")
	}
	var key []byte
	if publicKey != "" {
		var err error
		if key, err = parseHex(spelled[string]{"public_key", publicKey}); err != nil {
			return nil, err
		}
		name, err := keyName(key)
		if err != nil {
			return nil, err
		}
		if id == "" {
			return s.backend(ctx).Wallet(ctx, name)
		}
	}
	w, err := s.backend(ctx).Wallet(ctx, id)
	if err != nil {
		return nil, err
	}
	if key != nil && !bytes.Equal(w.Kind.Shown(key), w.PublicKey) {
		return nil, invalidField("public_key", "give one of them", "public_key is not the key of wallet_id")
	}
	return w, nil
}

// lookUp finds the wallet that a path names: by its id, or by hex of a public key.
func (s *server) lookUp(ctx context.Context, name string) (*appliance.Wallet, error) {
	if b, err := wire.ParseHex(name); err == nil && !strings.HasPrefix(name, "w_") {
		key, err := keyName(b)
		if err != nil {
			return nil, err
		}
		name = key
	}
	return s.backend(ctx).Wallet(ctx, name)
}

// keyName is what Backend.Wallet takes for a public key: hex of it, if it is one of some kind.
func keyName(b []byte) (string, error) {
	if !slices.ContainsFunc(threshold.Kinds(), func(k threshold.Kind) bool { return k.Shown(b) != nil }) {
		return "", invalidField("public_key", "give 32 bytes for Ed25519 or BIP-340, or a SEC 1 point of secp256k1",
			"public_key of %d bytes is not a public key", len(b))
	}
	return hex.EncodeToString(b), nil
}
