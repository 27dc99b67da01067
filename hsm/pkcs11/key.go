package pkcs11

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"strings"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
)

// keysMax is the most objects that are listed.
const keysMax = 10_000

// keyName is how objects are told apart: by label within a class.
type keyName struct {
	id    string
	class uint
}

// key is what is remembered of an object, for one link.
type key struct {
	handle p11.ObjectHandle
	kind   hsm.KeyType
	public crypto.PublicKey // of a key pair
	method method           // how a wrapping key wraps
}

// keyID puts the object of the URI in the place of an empty key ID.
func (t *token) keyID(id string) (string, error) {
	if id == "" {
		id = t.uri.PKCS11KeyID()
	}
	if id == "" {
		return "", fmt.Errorf("pkcs11: %w: no key ID, and no object= or id= in the URI", hsm.ErrNoKey)
	}
	return id, nil
}

// key looks up the object of the class with the label id, and remembers it.
func (s *session) key(id string, class uint) (*key, error) {
	name := keyName{id, class}
	s.link.mu.Lock()
	k := s.link.keys[name]
	s.link.mu.Unlock()
	if k != nil {
		return k, nil
	}
	unlock, err := s.lockAdmin()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if class == p11.CKO_SECRET_KEY {
		k, err = s.wrappingKey(id)
	} else {
		k, err = s.signingKey(id)
	}
	if err != nil {
		return nil, err
	}
	s.link.mu.Lock()
	s.link.keys[name] = k
	s.link.mu.Unlock()
	return k, nil
}

// forget drops the remembered objects.
func (l *link) forget() {
	l.mu.Lock()
	clear(l.keys)
	l.mu.Unlock()
}

// one finds the only object of the class and label. Its error is ErrKeyType if there is one of the other class alone.
func (s *session) one(id string, class uint) (p11.ObjectHandle, error) {
	found, err := s.find(id, class, nil)
	switch {
	case err != nil:
		return 0, err
	case len(found) > 1:
		return 0, fmt.Errorf("pkcs11: %w: %d keys %q in %s; rename or remove all but one, or name it by its CKA_ID: %s", hsm.ErrAmbiguous,
			len(found), id, s.tok.name(), strings.Join(s.ids(id, found), ", "))
	case len(found) == 1:
		return found[0], nil
	}
	other := uint(p11.CKO_SECRET_KEY)
	if class == p11.CKO_SECRET_KEY {
		other = p11.CKO_PRIVATE_KEY
	}
	if found, err := s.find(id, other, nil); err == nil && len(found) > 0 {
		return 0, fmt.Errorf("pkcs11: %w: key %q in %s is not for this operation", hsm.ErrKeyType, id, s.tok.name())
	}
	if found, err := s.find(id, p11.CKO_PUBLIC_KEY, nil); err == nil && len(found) > 0 {
		return 0, fmt.Errorf("pkcs11: %w: the private half of %q in %s, which has its public half; put the token's backup back", hsm.ErrNoKey,
			id, s.tok.name())
	}
	return 0, fmt.Errorf("pkcs11: %w: %q in %s; correct the key ID, or on a new node make it with `mpcd hsm init`", hsm.ErrNoKey, id,
		s.tok.name())
}

// ids are the key IDs that tell objects of one key ID apart.
func (s *session) ids(id string, objects []p11.ObjectHandle) (ids []string) {
	label, _, _ := hsm.ParsePKCS11KeyID(id)
	for _, o := range objects {
		cka, _ := s.attribute(o, p11.CKA_ID)
		ids = append(ids, hsm.PKCS11KeyID(label, string(cka)))
	}
	return ids
}

// find returns the token objects of the class, with that key ID and CKA_ID where they are given. The caller has the admin lock.
func (s *session) find(keyID string, class uint, id []byte) ([]p11.ObjectHandle, error) {
	label, named, err := hsm.ParsePKCS11KeyID(keyID)
	if err != nil {
		return nil, fmt.Errorf("pkcs11: %w: %w", hsm.ErrNoKey, err)
	}
	if named != nil {
		id = named
	}
	template := []*p11.Attribute{p11.NewAttribute(p11.CKA_TOKEN, true), p11.NewAttribute(p11.CKA_CLASS, class)}
	if label != "" {
		template = append(template, p11.NewAttribute(p11.CKA_LABEL, label))
	}
	if len(id) > 0 {
		template = append(template, p11.NewAttribute(p11.CKA_ID, id))
	}
	if err := s.lib.FindObjectsInit(s.handle, template); err != nil {
		return nil, explain("find objects", err)
	}
	var all []p11.ObjectHandle
	for {
		some, _, err := s.lib.FindObjects(s.handle, 100)
		if err != nil {
			return nil, explain("find objects", err)
		}
		if all = append(all, some...); len(some) == 0 {
			break
		}
		if len(all) > keysMax {
			return nil, fmt.Errorf("pkcs11: more than %d objects in %s", keysMax, s.tok.name())
		}
	}
	if err := s.lib.FindObjectsFinal(s.handle); err != nil {
		return nil, explain("find objects", err)
	}
	return all, nil
}

// attribute reads one attribute; tokens refuse a list as a whole if they lack one of it.
func (s *session) attribute(o p11.ObjectHandle, name uint) ([]byte, error) {
	a, err := s.lib.GetAttributeValue(s.handle, o, []*p11.Attribute{p11.NewAttribute(name, nil)})
	if err != nil {
		return nil, err
	}
	return a[0].Value, nil
}

// number reads a CK_ULONG, which has the byte order and size of the machine.
func (s *session) number(o p11.ObjectHandle, name uint) (uint, error) {
	b, err := s.attribute(o, name)
	switch {
	case err != nil:
		return 0, err
	case len(b) == 8:
		return uint(binary.NativeEndian.Uint64(b)), nil
	case len(b) == 4:
		return uint(binary.NativeEndian.Uint32(b)), nil
	}
	return 0, fmt.Errorf("%w: attribute 0x%x has %d bytes, want a number", hsm.ErrKeyType, name, len(b))
}

func (s *session) flag(o p11.ObjectHandle, name uint) bool {
	b, err := s.attribute(o, name)
	return err == nil && len(b) > 0 && b[0] != 0
}

// signingKey is the private key with that label and its public half.
func (s *session) signingKey(id string) (*key, error) {
	o, err := s.one(id, p11.CKO_PRIVATE_KEY)
	if err != nil {
		return nil, err
	}
	kind, err := s.kind(o)
	if err != nil {
		return nil, explain(fmt.Sprintf("read key %q", id), err)
	}
	switch kind {
	case "":
		return nil, fmt.Errorf("pkcs11: %w: key %q in %s is none of p256, secp256k1, ed25519, rsa3072", hsm.ErrKeyType, id, s.tok.name())
	case hsm.KeyAESWrap:
		return nil, fmt.Errorf("pkcs11: %w: key %q in %s is for wrapping; what it signs would give away what it wraps", hsm.ErrKeyType, id,
			s.tok.name())
	}
	public, err := s.publicHalf(id, o)
	if err != nil {
		return nil, err
	}
	s.warnIfReadable(id, o)
	return &key{handle: o, kind: kind, public: public}, nil
}

// publicHalf reads the public key of a pair, which must bear the label and the CKA_ID of the private one.
func (s *session) publicHalf(id string, private p11.ObjectHandle) (crypto.PublicKey, error) {
	pairID, _ := s.attribute(private, p11.CKA_ID)
	halves, err := s.find(id, p11.CKO_PUBLIC_KEY, pairID)
	if err != nil {
		return nil, err
	}
	if len(halves) > 1 {
		return nil, fmt.Errorf("pkcs11: %w: %d public keys %q in %s; remove all but one", hsm.ErrAmbiguous, len(halves), id, s.tok.name())
	}
	if len(halves) == 0 {
		return nil, fmt.Errorf("pkcs11: %w: the public half of %q in %s, which has its private half; put the token's backup back, or import "+
			"the public key with the label and CKA_ID of the private one", hsm.ErrNoKey, id, s.tok.name())
	}
	public, err := s.readPublic(halves[0])
	if err != nil {
		return nil, explain(fmt.Sprintf("read public key %q in %s", id, s.tok.name()), err)
	}
	return public, nil
}

// safe tells that the token says, without fail, that the key cannot be read out.
func (s *session) safe(o p11.ObjectHandle) bool {
	sensitive, err1 := s.attribute(o, p11.CKA_SENSITIVE)
	extractable, err2 := s.attribute(o, p11.CKA_EXTRACTABLE)
	return err1 == nil && err2 == nil && len(sensitive) == 1 && sensitive[0] != 0 && len(extractable) == 1 && extractable[0] == 0
}

func (s *session) warnIfReadable(id string, o p11.ObjectHandle) {
	if !s.safe(o) {
		s.tok.log.Warn("key may be read out of the token", "key", id, "token", s.tok.uri.Attr("token"))
	}
}

// PublicKey tells the public half of a signing key.
func (t *token) PublicKey(ctx context.Context, keyID string) (crypto.PublicKey, error) {
	id, err := t.keyID(keyID)
	if err != nil {
		return nil, err
	}
	k, err := run(ctx, t, func(s *session) (*key, error) { return s.key(id, p11.CKO_PRIVATE_KEY) })
	if err != nil {
		return nil, err
	}
	if pub, ok := k.public.(ed25519.PublicKey); ok {
		return ed25519.PublicKey(bytes.Clone(pub)), nil
	}
	return k.public, nil
}
