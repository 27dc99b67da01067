package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"testing"

	"filippo.io/age"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/secret"
)

// shelf is a Store to read from.
type shelf map[string][]byte

func (s shelf) Get(_ context.Context, key []byte) ([]byte, error) {
	if v, ok := s[string(key)]; ok {
		return v, nil
	}
	return nil, ErrNotFound
}
func (s shelf) Batch(context.Context, []Pair, [][]byte) error                        { return ErrClosed }
func (s shelf) Iterate(context.Context, []byte, func(key, value []byte) error) error { return nil }
func (s shelf) Close() error                                                         { return nil }

// Goal: records of recovery that our own code would never write, though they are pinned, are refused. Method: a vault over hand-made
// records: of another vault, of another wrapping, sealed to fewer, of another length, of another version.
func TestRecoveryRecords(t *testing.T) {
	a, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	b, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	names := []string{a.Recipient().String(), b.Recipient().String()}
	disk := shelf{}
	v := &Vault{store: disk, node: "n", wrapping: 3, sealer: sealer{rand: rand.Reader}}
	if v.recovery, err = v.newRecovery(names); err != nil {
		t.Fatal(err)
	}
	session := func(change func(*sessionRecord), n int, to ...age.Recipient) error {
		var sealed bytes.Buffer
		w, err := age.Encrypt(&sealed, to...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Write(make([]byte, n))
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		r := sessionRecord{Version: 1, Vault: v.id[:], Wrapping: v.wrapping, Sealed: sealed.Bytes()}
		change(&r)
		stored := canon.MustMarshal(r)
		id := sessionID(stored)
		disk[string(v.wrapping.sessionKey(id[:]))] = stored
		o := v.newOfficer([]age.Identity{a})
		defer o.wipe()
		_, err = o.open(t.Context(), id[:])
		return errors.Join(err, v.newOfficer(nil).inspect(t.Context(), id[:]))
	}
	both := []age.Recipient{a.Recipient(), b.Recipient()}
	same := func(*sessionRecord) {}
	for name, c := range map[string]struct{ got, want error }{
		"good":             {session(same, 32, both...), nil},
		"another vault":    {session(func(r *sessionRecord) { r.Vault = make([]byte, 15) }, 32, both...), ErrIntegrity},
		"another wrapping": {session(func(r *sessionRecord) { r.Wrapping++ }, 32, both...), ErrIntegrity},
		"another version":  {session(func(r *sessionRecord) { r.Version++ }, 32, both...), ErrIntegrity},
		"no age file":      {session(func(r *sessionRecord) { r.Sealed = r.Sealed[1:] }, 32, both...), ErrIntegrity},
		"cut":              {session(func(r *sessionRecord) { r.Sealed = r.Sealed[:len(r.Sealed)-1] }, 32, both...), ErrIntegrity},
		"too large": {session(func(r *sessionRecord) { r.Sealed = append(r.Sealed, make([]byte, maxSealedSession)...) }, 32, both...),
			ErrIntegrity},
		"short key":          {session(same, 31, both...), ErrIntegrity},
		"long key":           {session(same, 33, both...), ErrIntegrity},
		"one recipient less": {session(same, 32, both[0]), ErrRecovery},
		"another recipient":  {session(same, 32, both[1], both[1]), ErrRecovery},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("session: %s: %v, want %v", name, c.got, c.want)
		}
	}
	for name, change := range map[string]func(*recoveryRecord){
		"good":             func(*recoveryRecord) {},
		"another vault":    func(r *recoveryRecord) { r.Vault = make([]byte, 15) },
		"another wrapping": func(r *recoveryRecord) { r.Wrapping++ },
		"another version":  func(r *recoveryRecord) { r.Version++ },
		"nobody":           func(r *recoveryRecord) { r.Recipients = nil },
		"out of order":     func(r *recoveryRecord) { r.Recipients = []string{v.recovery.names[1], v.recovery.names[0]} },
		"not a recipient":  func(r *recoveryRecord) { r.Recipients = []string{"age1"} },
	} {
		r := recoveryRecord{Version: 1, Vault: v.id[:], Wrapping: v.wrapping, Recipients: v.recovery.names}
		change(&r)
		disk[string(v.wrapping.recoveryKey())] = canon.MustMarshal(r)
		if _, err := v.readRecovery(t.Context(), nil); (err == nil) != (name == "good") || err != nil && !errors.Is(err, ErrIntegrity) {
			t.Errorf("record: %s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*pairedDEK){
		"good":          func(*pairedDEK) {},
		"short session": func(p *pairedDEK) { p.Session = p.Session[:31] },
		"short DEK":     func(p *pairedDEK) { p.Recovery = p.Recovery[:59] },
	} {
		p := pairedDEK{Wrapped: []byte("w"), Session: make([]byte, 32), Recovery: make([]byte, 60)}
		change(&p)
		if _, err := decodePairedDEK(canon.MustMarshal(p)); (err == nil) != (name == "good") || err != nil && !errors.Is(err, ErrIntegrity) {
			t.Errorf("DEK: %s: %v", name, err)
		}
	}
}

// Goal: the recovery part of a DEK opens under its header and its session only. Method: exchange each.
func TestPairBinding(t *testing.T) {
	random := func() *session {
		s := &session{key: secret.New(sessionKeyLen)}
		_, _ = rand.Read(s.key.Bytes())
		return s
	}
	s, dek := random(), secret.New(dekLen)
	_, _ = rand.Read(dek.Bytes())
	p, err := decodePairedDEK(s.pair([]byte("wrapped"), dek, []byte("header")))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.unpair(p, []byte("header")); err != nil || !got.Equal(dek.Bytes()) {
		t.Fatalf("its own: %v", err)
	}
	if _, err := s.unpair(p, []byte("another")); !errors.Is(err, ErrIntegrity) {
		t.Errorf("another header: %v", err)
	}
	if _, err := random().unpair(p, []byte("header")); !errors.Is(err, ErrIntegrity) {
		t.Errorf("another session: %v", err)
	}
	e := envelope{header: []byte("header"), body: bodyCipher(dek).Seal(nil, nil, []byte("share"), []byte("header"))}
	o := &officer{identities: make([]age.Identity, 1), sessions: map[string]*session{string(s.id[:]): s}}
	for name, c := range map[string]struct {
		dek  *secret.Bytes
		want error
	}{"its DEK": {dek, nil}, "another DEK": {secret.New(dekLen), ErrIntegrity}} {
		e.dek = s.pair([]byte("wrapped"), c.dek, e.header)
		if err := o.check(t.Context(), e); !errors.Is(err, c.want) {
			t.Errorf("drill with %s: %v", name, err)
		}
	}
}
