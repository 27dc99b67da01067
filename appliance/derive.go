package appliance

import (
	"context"
	"errors"
	"slices"

	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

// MaxPath is the longest path below a wallet key, in indexes (BIP 32).
const MaxPath = attest.MaxPath

// pathField is the request's field that a path comes from.
const pathField = "derivation_path"

// Derive shows the key that a path leads to below a wallet's, by BIP 32's public derivation from the wallet's key and chain code.
// Nothing is signed and nobody is asked. The wallet must be active: what is paid to a key that cannot sign is lost.
func (n *Node) Derive(ctx context.Context, wallet string, path []uint32) (*Child, error) {
	key, err := n.find(ctx, wallet, nil)
	if err == nil {
		err = active(key)
	}
	if err != nil {
		return nil, err
	}
	pub, _, err := derive(key, path)
	if err != nil {
		return nil, err
	}
	return &Child{WalletID: key.ID, Path: path, PublicKey: pub}, nil
}

// derive follows a caller's path: the public key as chains write it, and the tweaks of an intent to sign with it.
func derive(key keys.Key, path []uint32) ([]byte, []threshold.Tweak, error) {
	info := key.Record.Info
	if len(path) == 0 {
		return keys.Shown(info), nil, nil
	}
	if err := checkPath(path); err != nil {
		return nil, nil, err
	}
	pub, tweaks, err := attest.Derive(key.Scheme, info, path)
	if err != nil {
		return nil, nil, noChild(err)
	}
	info.GroupKey = pub
	return keys.Shown(info), tweaks, nil
}

// checkPath refuses what no wallet derives.
func checkPath(path []uint32) error {
	if len(path) > MaxPath {
		return problem.Field(pathField, "use a shorter path", "the path has %d indexes, at most %d", len(path), MaxPath)
	}
	if i := slices.IndexFunc(path, func(index uint32) bool { return index >= attest.Hardened }); i >= 0 {
		return problem.Field(pathField, "use indexes below 2^31, as m/0/5; the wallet itself stands where hardened steps would end",
			"index %d of the path is hardened (%d'): that takes the private key, which no node holds", i+1, path[i]-attest.Hardened)
	}
	return nil
}

// noChild says what a path that cannot be followed means to a caller.
func noChild(err error) error {
	e := &problem.Error{Code: problem.Invalid, Message: "the path leads to no key", Next: "use another index", Field: pathField, Err: err}
	if errors.Is(err, attest.ErrNoDerivation) {
		e.Code, e.Next = problem.Unsupported, "leave the path out; keys of curve secp256k1 with protocol dkls23 (ECDSA) have keys below them"
	}
	return e
}

// judgePath derives the tweaks again and refuses an intent with any other: the coordinator's are not to be trusted (see
// attest.Intent.CheckTweaks).
func judgePath(in *attest.Intent, key keys.Key) error {
	if len(in.Path)+len(in.Tweaks) == 0 {
		return nil
	}
	err := in.CheckTweaks(key.Scheme, key.Record.Info)
	if errors.Is(err, attest.ErrTweaks) {
		return &problem.Error{Code: problem.Denied, Message: "the intent would sign with a key that its path does not lead to",
			Next: "find out why the coordinator asked for it", Err: err}
	}
	if err != nil {
		return noChild(err)
	}
	return nil
}

// active refuses a key that does not sign yet. The parties ask each other how keygen ended, so this passes.
func active(key keys.Key) error {
	if key.Record.State == keys.Active {
		return nil
	}
	return problem.New(problem.Starting, "repeat the request in a few seconds; if keygen itself was cut off, run `mpcd key prove-threshold`",
		"wallet %s is not active yet (%s)", key.ID, key.Record.State)
}
