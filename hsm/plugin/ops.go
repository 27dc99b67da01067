package plugin

import (
	"bytes"
	"context"
	"crypto"
	"fmt"

	"google.golang.org/grpc"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/plugin/wire"
	"github.com/luxfi/mpcd/internal/secret"
)

// public is a public key that a token told, and its one encoding.
type public struct {
	key     crypto.PublicKey
	encoded []byte
}

// PublicKey asks the driver, and holds the answer against the first one for that key ID. ErrKeyChanged.
func (t *Token) PublicKey(ctx context.Context, keyID string) (crypto.PublicKey, error) {
	r, err := call(ctx, t, operation{name: "PublicKey"}, func(ctx context.Context, s *session) (*wire.PublicKeyReply, error) {
		return s.child.rpc.PublicKey(ctx, &wire.PublicKeyRequest{Token: s.handle, Key: keyID})
	})
	if err != nil {
		return nil, err
	}
	return t.pin(keyID, r.GetPublic())
}

// pin keeps the first public key of a key ID for the life of the token.
func (t *Token) pin(keyID string, told *wire.PublicKey) (crypto.PublicKey, error) {
	key, err := openPublic(told)
	if err != nil {
		return nil, err
	}
	again, err := packPublic(key)
	if err != nil {
		return nil, err
	}
	encoded := again.Key // of what was understood, not of what was said
	t.mu.Lock()
	defer t.mu.Unlock()
	first, known := t.keys[keyID]
	switch {
	case !known && len(t.keys) >= keysMax:
		return nil, fmt.Errorf("hsm plugin: more than %d keys of one token are in use", keysMax)
	case !known:
		t.keys[keyID] = public{key, encoded}
	case !bytes.Equal(first.encoded, encoded):
		return nil, fmt.Errorf("hsm plugin: %w for %q; nothing of it is accepted: check the token, then restart the node", ErrKeyChanged, keyID)
	}
	// A copy, since the keys of the standard library can be changed by whoever has them.
	return openPublic(again)
}

// pinned returns the first public key, asked for if it is not known yet.
func (t *Token) pinned(ctx context.Context, keyID string) (crypto.PublicKey, error) {
	t.mu.Lock()
	p, ok := t.keys[keyID]
	closed := t.closed
	t.mu.Unlock()
	switch {
	case closed:
		return nil, unavailable("the token is closed")
	case ok:
		return p.key, nil
	}
	return t.PublicKey(ctx, keyID)
}

// Sign signs in the driver, and verifies here. A signature that does not verify is dropped, and the process with it.
func (t *Token) Sign(ctx context.Context, keyID string, message []byte) ([]byte, error) {
	if t.Lacks((*hsm.PublicKeyer)(nil)) {
		return nil, fmt.Errorf("hsm plugin: %w: %s tells no public keys, so its signatures cannot be checked", hsm.ErrUnsupported, t.Provider())
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	pub, err := t.pinned(ctx, keyID)
	if err != nil {
		return nil, err
	}
	r, err := call(ctx, t, operation{name: "Sign"}, func(ctx context.Context, s *session) (*wire.SignReply, error) {
		r, err := s.child.rpc.Sign(ctx, &wire.SignRequest{Token: s.handle, Key: keyID, Message: message})
		if err != nil || r.GetFailure() != nil {
			return r, err
		}
		return r, t.judge(ctx, s, keyID, pub, message, r.GetSignature())
	})
	if err != nil {
		return nil, err
	}
	return r.GetSignature(), nil
}

// judge verifies a signature with the first public key. Where it fails, the driver is asked for the public key of now, to tell an
// exchanged key from a driver that is out of its mind.
func (t *Token) judge(ctx context.Context, s *session, keyID string, pub crypto.PublicKey, message, sig []byte) error {
	if len(sig) <= signatureMax {
		ok, err := hsm.Verify(pub, message, sig)
		if ok || err != nil {
			return err
		}
	}
	r, err := s.child.rpc.PublicKey(ctx, &wire.PublicKeyRequest{Token: s.handle, Key: keyID})
	if err == nil && r.GetFailure() == nil {
		if _, err := t.pin(keyID, r.GetPublic()); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: a signature with %q does not verify", errWrong, keyID)
}

// Verify checks a signature here, with the first public key; the driver is asked for that alone.
func (t *Token) Verify(ctx context.Context, keyID string, message, signature []byte) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if !t.Lacks((*hsm.PublicKeyer)(nil)) {
		pub, err := t.pinned(ctx, keyID)
		if err != nil {
			return false, err
		}
		return hsm.Verify(pub, message, signature)
	}
	r, err := call(ctx, t, operation{name: "Verify"}, func(ctx context.Context, s *session) (*wire.VerifyReply, error) {
		return s.child.rpc.Verify(ctx, &wire.VerifyRequest{Token: s.handle, Key: keyID, Message: message, Signature: signature})
	})
	return r.GetValid() && err == nil, err
}

// Wrap seals a secret of 1 to hsm.MaxWrap bytes.
func (t *Token) Wrap(ctx context.Context, keyID string, dek, aad []byte) ([]byte, error) {
	if len(dek) == 0 || len(dek) > hsm.MaxWrap {
		return nil, fmt.Errorf("hsm plugin: wrap: secret of %d bytes, must be 1 to %d", len(dek), hsm.MaxWrap)
	}
	r, err := call(ctx, t, operation{name: "Wrap"}, func(ctx context.Context, s *session) (*wire.WrapReply, error) {
		r, err := s.child.rpc.Wrap(ctx, &wire.WrapRequest{Token: s.handle, Key: keyID, Dek: dek, Aad: aad})
		if n := len(r.GetWrapped()); err == nil && r.GetFailure() == nil && (n <= len(dek) || n > wrappedMax) {
			err = fmt.Errorf("%w: a secret of %d bytes wrapped into %d", errWrong, len(dek), n)
		}
		return r, err
	})
	if err != nil {
		return nil, err
	}
	return r.GetWrapped(), nil
}

// Unwrap opens what Wrap sealed; the caller wipes the result.
func (t *Token) Unwrap(ctx context.Context, keyID string, wrapped, aad []byte) ([]byte, error) {
	if len(wrapped) > wrappedMax {
		return nil, fmt.Errorf("hsm plugin: unwrap: %w: %d bytes, at most %d", hsm.ErrIntegrity, len(wrapped), wrappedMax)
	}
	r, err := call(ctx, t, operation{name: "Unwrap"}, func(ctx context.Context, s *session) (*wire.UnwrapReply, error) {
		r, err := s.child.rpc.Unwrap(ctx, &wire.UnwrapRequest{Token: s.handle, Key: keyID, Wrapped: wrapped, Aad: aad})
		if n := len(r.GetDek()); err == nil && r.GetFailure() == nil && (n == 0 || n > hsm.MaxWrap) {
			secret.Wipe(r.GetDek())
			err = fmt.Errorf("%w: an unwrapped secret of %d bytes", errWrong, n)
		}
		return r, err
	})
	if err != nil {
		return nil, err
	}
	return r.GetDek(), nil
}

// WrapMethod tells how Wrap seals with a key, in the driver's words.
func (t *Token) WrapMethod(ctx context.Context, keyID string) (string, error) {
	r, err := call(ctx, t, operation{name: "WrapMethod"}, func(ctx context.Context, s *session) (*wire.WrapMethodReply, error) {
		return s.child.rpc.WrapMethod(ctx, &wire.WrapMethodRequest{Token: s.handle, Key: keyID})
	})
	if err != nil {
		return "", err
	}
	return clean(r.GetMethod(), nameMax), nil
}

// GenerateKey makes a key. It is never repeated: if the process ends in the middle, the outcome is unknown (ErrUnavailable).
func (t *Token) GenerateKey(ctx context.Context, keyID string, kind hsm.KeyType) error {
	_, err := call(ctx, t, operation{name: "GenerateKey", once: true, long: true},
		func(ctx context.Context, s *session) (*wire.GenerateKeyReply, error) {
			return s.child.rpc.GenerateKey(ctx, &wire.GenerateKeyRequest{Token: s.handle, Key: keyID, Type: string(kind)})
		})
	return err
}

// Keys lists the keys, at most 10,000.
func (t *Token) Keys(ctx context.Context) ([]hsm.KeyInfo, error) {
	r, err := call(ctx, t, operation{name: "Keys"}, func(ctx context.Context, s *session) (*wire.KeysReply, error) {
		return s.child.rpc.Keys(ctx, &wire.KeysRequest{Token: s.handle})
	})
	if err != nil {
		return nil, err
	}
	if n := len(r.GetKeys()); n > keysMax {
		return nil, fmt.Errorf("hsm plugin: the token lists %d keys, at most %d", n, keysMax)
	}
	var all []hsm.KeyInfo
	for _, k := range r.GetKeys() {
		all = append(all, openKey(k))
	}
	return all, nil
}

// Random reads n bytes of the token's generator, 1 to 65,536.
func (t *Token) Random(ctx context.Context, n int) ([]byte, error) {
	if n < 1 || n > randomMax {
		return nil, fmt.Errorf("hsm plugin: random: %d bytes, must be 1 to %d", n, randomMax)
	}
	r, err := call(ctx, t, operation{name: "Random"}, func(ctx context.Context, s *session) (*wire.RandomReply, error) {
		r, err := s.child.rpc.Random(ctx, &wire.RandomRequest{Token: s.handle, Length: int64(n)})
		if got := len(r.GetRandom()); err == nil && r.GetFailure() == nil && got != n {
			err = fmt.Errorf("%w: %d random bytes in the place of %d", errWrong, got, n)
		}
		return r, err
	})
	if err != nil {
		return nil, err
	}
	return r.GetRandom(), nil
}

// randomMax is the most that Random reads, in bytes.
const randomMax = 1 << 16

// Info asks the driver.
func (t *Token) Info(ctx context.Context) (hsm.TokenInfo, error) {
	r, err := call(ctx, t, operation{name: "Info"}, func(ctx context.Context, s *session) (*wire.InfoReply, error) {
		return s.child.rpc.Info(ctx, &wire.InfoRequest{Token: s.handle})
	})
	if err != nil {
		return hsm.TokenInfo{}, err
	}
	info := openInfo(r.GetInfo())
	info.Provider = t.Provider()
	return info, nil
}

// AttestKey shows evidence for a key. It is as good as what signed it; the driver could have made it up.
func (t *Token) AttestKey(ctx context.Context, keyID string, nonce []byte) (hsm.KeyEvidence, error) {
	r, err := call(ctx, t, operation{name: "AttestKey"}, func(ctx context.Context, s *session) (*wire.AttestKeyReply, error) {
		return s.child.rpc.AttestKey(ctx, &wire.AttestKeyRequest{Token: s.handle, Key: keyID, Nonce: nonce})
	})
	if err != nil {
		return hsm.KeyEvidence{}, err
	}
	return openEvidence(r)
}

// CreateCounter makes a counter. It is never repeated.
func (t *Token) CreateCounter(ctx context.Context, counterID string) (uint64, error) {
	return t.count(ctx, operation{name: "CreateCounter", once: true}, counterID, 0, wire.DriverClient.CreateCounter)
}

// Increment adds one. It is never repeated: after ErrUnavailable the caller reads the counter. ErrCounterBack.
func (t *Token) Increment(ctx context.Context, counterID string) (uint64, error) {
	return t.count(ctx, operation{name: "Increment", once: true}, counterID, 1, wire.DriverClient.Increment)
}

// Read returns the value of a counter. ErrCounterBack if it is lower than it was.
func (t *Token) Read(ctx context.Context, counterID string) (uint64, error) {
	return t.count(ctx, operation{name: "Read"}, counterID, 0, wire.DriverClient.ReadCounter)
}

// callOption keeps the generated signature short.
type callOption = grpc.CallOption

type counting = func(wire.DriverClient, context.Context, *wire.CounterRequest, ...callOption) (*wire.CounterReply, error)

// count does an operation on a counter, whose value must be above what it was before by at least so much.
func (t *Token) count(ctx context.Context, o operation, counterID string, above uint64, f counting) (uint64, error) {
	t.mu.Lock()
	before, known := t.counters[counterID]
	t.mu.Unlock()
	r, err := call(ctx, t, o, func(ctx context.Context, s *session) (*wire.CounterReply, error) {
		return f(s.child.rpc, ctx, &wire.CounterRequest{Token: s.handle, Counter: counterID})
	})
	if err != nil {
		return 0, err
	}
	v := r.GetValue()
	if known && v < before+above {
		return 0, fmt.Errorf("hsm plugin: %s: %w: %q is %d after %d; the token was restored, or another one is in its place", o.name,
			ErrCounterBack, counterID, v, before)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.counters) < keysMax {
		t.counters[counterID] = max(v, t.counters[counterID])
	}
	return v, nil
}
