package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/plugin/wire"
	"github.com/luxfi/mpcd/internal/secret"
)

// tokensMax bounds the tokens that are open in a child.
const tokensMax = 64

// server is the driver's side of the protocol.
type server struct {
	wire.UnimplementedDriverServer
	program  Program
	log      *slog.Logger
	hardened []string // what Serve did before anything else

	mu     sync.Mutex
	shaken bool
	tokens map[uint64]*held
}

// held is an open token, and the PIN that was handed over for it.
type held struct {
	hsm.Token
	pin *pinPage // nil if the driver reads the PIN itself
}

// Handshake puts up the fence, once.
func (s *server) Handshake(_ context.Context, q *wire.HandshakeRequest) (*wire.HandshakeReply, error) {
	r := &wire.HandshakeReply{Version: version, Driver: s.program.Name, Release: s.program.Release}
	if q.GetVersion() != version {
		return r, nil // the node says what is wrong
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shaken {
		r.Failure = failure(errors.New("hsm plugin: a second handshake"))
		return r, nil
	}
	b := q.GetSandbox()
	fenced, err := fenceIn(Sandbox{Network: b.GetNetwork(), Exec: b.GetExec(), Read: b.GetRead(), Write: b.GetWrite()})
	if err != nil {
		r.Failure = failure(err)
		return r, nil
	}
	s.shaken = true
	r.Sandbox = append(s.hardened, fenced...)
	for scheme := range s.program.Drivers {
		r.Schemes = append(r.Schemes, scheme)
	}
	return r, nil
}

// Open opens a token under the number that the node chose.
func (s *server) Open(ctx context.Context, q *wire.OpenRequest) (*wire.OpenReply, error) {
	defer secret.Wipe(q.Pin)
	h, err := s.openToken(ctx, q)
	if err != nil {
		return &wire.OpenReply{Failure: failure(err)}, nil
	}
	info, err := h.Info(ctx)
	if err == nil {
		err = ctx.Err() // nobody waits: nobody would close it
	}
	if err == nil {
		err = s.keep(q.GetToken(), h)
	}
	if err != nil {
		h.close(s.log)
		return &wire.OpenReply{Failure: failure(err)}, nil
	}
	r := &wire.OpenReply{Info: packInfo(info)}
	for _, a := range abilities {
		if a.has(h.Token) {
			r.Abilities = append(r.Abilities, a.name)
		}
	}
	return r, nil
}

func (s *server) openToken(ctx context.Context, q *wire.OpenRequest) (*held, error) {
	s.mu.Lock()
	ready, full := s.shaken, len(s.tokens) >= tokensMax
	s.mu.Unlock()
	if !ready || full {
		return nil, fmt.Errorf("hsm plugin: %w: no handshake yet, or %d tokens are open", hsm.ErrUnavailable, tokensMax)
	}
	uri, h := q.GetUri(), &held{}
	if q.GetHasPin() {
		var err error
		if h.pin, err = newPINPage(q.Pin); err != nil {
			return nil, err
		}
		u, err := hsm.ParseURI(uri)
		if err == nil {
			u, err = u.With("pin-source", h.pin.source())
		}
		if err != nil {
			h.pin.wipe()
			return nil, err
		}
		uri = u.String()
	}
	t, err := s.program.Drivers.Open(ctx, uri, hsm.Options{Dev: q.GetDev(), Logger: s.log, Sessions: int(q.GetSessions()),
		LastPINTry: q.GetLastPinTry(), Verified: true})
	if err != nil {
		h.pin.wipe()
		return nil, err
	}
	h.Token = t
	return h, nil
}

func (s *server) keep(number uint64, h *held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens[number] != nil {
		return fmt.Errorf("hsm plugin: token %d is open", number)
	}
	s.tokens[number] = h
	return nil
}

func (h *held) close(log *slog.Logger) error {
	err := h.Token.Close()
	if err != nil {
		log.Warn("close a token", "error", err.Error())
	}
	h.pin.wipe()
	return err
}

// Close closes a token. One that is not open is no error.
func (s *server) Close(_ context.Context, q *wire.CloseRequest) (*wire.CloseReply, error) {
	s.mu.Lock()
	h := s.tokens[q.GetToken()]
	delete(s.tokens, q.GetToken())
	s.mu.Unlock()
	if h == nil {
		return &wire.CloseReply{}, nil
	}
	return &wire.CloseReply{Failure: failure(h.close(s.log))}, nil
}

// closeAll closes what is open, before the process ends.
func (s *server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for number, h := range s.tokens {
		_ = h.close(s.log)
		delete(s.tokens, number)
	}
}

// on runs f with the ability A of a token.
func on[A any](s *server, number uint64, f func(A) error) *wire.Failure {
	s.mu.Lock()
	h := s.tokens[number]
	s.mu.Unlock()
	if h == nil {
		return failure(fmt.Errorf("hsm plugin: %w: token %d is not open", hsm.ErrUnavailable, number))
	}
	a, ok := hsm.As[A](h.Token)
	if !ok {
		return failure(fmt.Errorf("hsm plugin: %w: the driver %s cannot do that", hsm.ErrUnsupported, h.Provider()))
	}
	return failure(f(a))
}

// Info is hsm.Token.
func (s *server) Info(ctx context.Context, q *wire.InfoRequest) (r *wire.InfoReply, _ error) {
	r = &wire.InfoReply{}
	r.Failure = on(s, q.GetToken(), func(t hsm.Token) error {
		i, err := t.Info(ctx)
		r.Info = packInfo(i)
		return err
	})
	return r, nil
}

// Keys is hsm.KeyLister.
func (s *server) Keys(ctx context.Context, q *wire.KeysRequest) (*wire.KeysReply, error) {
	r := &wire.KeysReply{}
	r.Failure = on(s, q.GetToken(), func(t hsm.KeyLister) error {
		all, err := t.Keys(ctx)
		for _, k := range all {
			r.Keys = append(r.Keys, packKey(k))
		}
		return err
	})
	return r, nil
}

// PublicKey is hsm.PublicKeyer.
func (s *server) PublicKey(ctx context.Context, q *wire.PublicKeyRequest) (*wire.PublicKeyReply, error) {
	r := &wire.PublicKeyReply{}
	r.Failure = on(s, q.GetToken(), func(t hsm.PublicKeyer) error {
		pub, err := t.PublicKey(ctx, q.GetKey())
		if err == nil {
			r.Public, err = packPublic(pub)
		}
		return err
	})
	return r, nil
}

// Sign is hsm.Signer.
func (s *server) Sign(ctx context.Context, q *wire.SignRequest) (*wire.SignReply, error) {
	r := &wire.SignReply{}
	r.Failure = on(s, q.GetToken(), func(t hsm.Signer) (err error) {
		r.Signature, err = t.Sign(ctx, q.GetKey(), q.GetMessage())
		return err
	})
	return r, nil
}

// Verify is hsm.Signer.
func (s *server) Verify(ctx context.Context, q *wire.VerifyRequest) (*wire.VerifyReply, error) {
	r := &wire.VerifyReply{}
	r.Failure = on(s, q.GetToken(), func(t hsm.Signer) (err error) {
		r.Valid, err = t.Verify(ctx, q.GetKey(), q.GetMessage(), q.GetSignature())
		return err
	})
	return r, nil
}

// Wrap is hsm.KeyWrapper.
func (s *server) Wrap(ctx context.Context, q *wire.WrapRequest) (*wire.WrapReply, error) {
	defer secret.Wipe(q.Dek)
	r := &wire.WrapReply{}
	r.Failure = on(s, q.GetToken(), func(t hsm.KeyWrapper) (err error) {
		r.Wrapped, err = t.Wrap(ctx, q.GetKey(), q.GetDek(), q.GetAad())
		return err
	})
	return r, nil
}

// Unwrap is hsm.KeyWrapper.
func (s *server) Unwrap(ctx context.Context, q *wire.UnwrapRequest) (*wire.UnwrapReply, error) {
	r := &wire.UnwrapReply{}
	r.Failure = on(s, q.GetToken(), func(t hsm.KeyWrapper) (err error) {
		r.Dek, err = t.Unwrap(ctx, q.GetKey(), q.GetWrapped(), q.GetAad())
		return err
	})
	return r, nil
}

// WrapMethod is methodTeller.
func (s *server) WrapMethod(ctx context.Context, q *wire.WrapMethodRequest) (*wire.WrapMethodReply, error) {
	r := &wire.WrapMethodReply{}
	r.Failure = on(s, q.GetToken(), func(t methodTeller) (err error) {
		r.Method, err = t.WrapMethod(ctx, q.GetKey())
		return err
	})
	return r, nil
}

// GenerateKey is hsm.KeyGenerator.
func (s *server) GenerateKey(ctx context.Context, q *wire.GenerateKeyRequest) (*wire.GenerateKeyReply, error) {
	return &wire.GenerateKeyReply{Failure: on(s, q.GetToken(), func(t hsm.KeyGenerator) error {
		return t.GenerateKey(ctx, q.GetKey(), hsm.KeyType(q.GetType()))
	})}, nil
}

// Random is hsm.RandomSource.
func (s *server) Random(ctx context.Context, q *wire.RandomRequest) (*wire.RandomReply, error) {
	r := &wire.RandomReply{}
	r.Failure = on(s, q.GetToken(), func(t hsm.RandomSource) (err error) {
		r.Random, err = t.Random(ctx, int(q.GetLength()))
		return err
	})
	return r, nil
}

func (s *server) counter(q *wire.CounterRequest, f func(hsm.MonotonicCounter) (uint64, error)) (*wire.CounterReply, error) {
	r := &wire.CounterReply{}
	r.Failure = on(s, q.GetToken(), func(t hsm.MonotonicCounter) (err error) {
		r.Value, err = f(t)
		return err
	})
	return r, nil
}

// CreateCounter is hsm.MonotonicCounter.
func (s *server) CreateCounter(ctx context.Context, q *wire.CounterRequest) (*wire.CounterReply, error) {
	return s.counter(q, func(t hsm.MonotonicCounter) (uint64, error) { return t.CreateCounter(ctx, q.GetCounter()) })
}

// Increment is hsm.MonotonicCounter.
func (s *server) Increment(ctx context.Context, q *wire.CounterRequest) (*wire.CounterReply, error) {
	return s.counter(q, func(t hsm.MonotonicCounter) (uint64, error) { return t.Increment(ctx, q.GetCounter()) })
}

// ReadCounter is hsm.MonotonicCounter.
func (s *server) ReadCounter(ctx context.Context, q *wire.CounterRequest) (*wire.CounterReply, error) {
	return s.counter(q, func(t hsm.MonotonicCounter) (uint64, error) { return t.Read(ctx, q.GetCounter()) })
}

// AttestKey is hsm.KeyAttester.
func (s *server) AttestKey(ctx context.Context, q *wire.AttestKeyRequest) (*wire.AttestKeyReply, error) {
	r := &wire.AttestKeyReply{}
	f := on(s, q.GetToken(), func(t hsm.KeyAttester) error {
		e, err := t.AttestKey(ctx, q.GetKey(), q.GetNonce())
		if err == nil {
			r = packEvidence(e)
		}
		return err
	})
	r.Failure = f
	return r, nil
}
