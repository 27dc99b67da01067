package tpm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/tpmkey"
)

// root is the parent of our keys: the storage root key or what handle= names.
type root struct {
	public *tpm2.TPMTPublic
	name   tpm2.TPM2BName
}

// object is a loaded key, for the length of one operation.
type object struct {
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
}

func (x object) with(s tpm2.Session) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: x.handle, Name: x.name, Auth: s}
}

// findRoot reads the parent's public area; that there is none is no error.
func (o *op) findRoot() error {
	o.t.root = nil
	r, err := tpm2.ReadPublic{ObjectHandle: o.t.parent}.Execute(o)
	if is(err, tpm2.TPMRCHandle) {
		return nil
	}
	if err != nil {
		return explain(fmt.Sprintf("read the parent 0x%x", o.t.parent), err)
	}
	public, err := r.OutPublic.Contents()
	if err != nil {
		return explain("read the parent", err)
	}
	if a := public.ObjectAttributes; !a.Restricted || !a.Decrypt || a.SignEncrypt || !a.FixedTPM {
		return fmt.Errorf("tpm: %w: 0x%x is not a storage key of this TPM; name another persistent handle with handle=",
			hsm.ErrKeyType, o.t.parent)
	}
	o.t.root = &root{public: public, name: r.Name}
	return nil
}

// makeRoot makes the storage root key by the TCG's template if it is not there. It is a function of the TPM's storage seed, so one that
// was evicted comes back the same.
func (o *op) makeRoot() error {
	if err := o.findRoot(); err != nil || o.t.root != nil {
		return err
	}
	var made object
	err := o.owner(func(owner tpm2.AuthHandle) error {
		r, err := tpm2.CreatePrimary{PrimaryHandle: owner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(o)
		if err == nil {
			made = object{r.ObjectHandle, r.Name}
			o.loose = append(o.loose, r.ObjectHandle)
		}
		return err
	})
	if err != nil {
		return explain("make the storage root key", err)
	}
	err = o.owner(func(owner tpm2.AuthHandle) error {
		_, err := tpm2.EvictControl{Auth: owner, ObjectHandle: &tpm2.NamedHandle{Handle: made.handle, Name: made.name},
			PersistentHandle: o.t.parent}.Execute(o)
		return err
	})
	if is(err, tpm2.TPMRCNVSpace) {
		return fmt.Errorf("tpm: no room for the storage root key: %w; remove a persistent object (tpm2_getcap handles-persistent, "+
			"tpm2_evictcontrol)", err)
	}
	if err != nil {
		return explain("make the storage root key persistent", err)
	}
	return o.findRoot()
}

// key finds a key by its ID; "" is what object= names.
func (o *op) key(id string) (*entry, error) {
	if id == "" {
		id = o.t.uri.Attr("object")
	}
	e, err := o.lookup(keys, id)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, fmt.Errorf("tpm: %w: %q in %s, which holds %v; correct the key ID, or on a new node make it with `mpcd hsm init` "+
			"(TPM2_Clear, in the firmware's setup too, destroys all keys)",
			hsm.ErrNoKey, id, o.t.path, o.t.dir)
	}
	return e, nil
}

// typed is key for a key that must be of a kind.
func (o *op) typed(id, kind string) (*entry, error) {
	e, err := o.key(id)
	if err == nil && e.Kind != kind {
		return nil, fmt.Errorf("tpm: %w: key %q is %s", hsm.ErrKeyType, e.ID, e.keyType())
	}
	return e, err
}

// load puts a key into the TPM's memory; it is flushed when the operation ends.
func (o *op) load(e *entry) (object, error) {
	if err := o.rightRoot(e); err != nil {
		return object{}, err
	}
	x, err := o.loadUnder(object{o.t.parent, o.t.root.name}, tpm2.PasswordAuth(nil), e.public, e.Private)
	if malformed(err) { // is it still the parent that we saw last?
		o.t.root = nil
		if err := o.rightRoot(e); err != nil {
			return object{}, err
		}
	}
	return x, err
}

// rightRoot looks that the parent is the one that the key was made under.
func (o *op) rightRoot(e *entry) error {
	if err := o.knowRoot(); err != nil {
		return err
	}
	if !bytes.Equal(o.t.root.name.Buffer, e.Parent) {
		return fmt.Errorf("tpm: %w: key %q was made under another parent than the one at 0x%x; correct handle= in the URI, or make the key anew",
			hsm.ErrNoKey, e.ID, o.t.parent)
	}
	return nil
}

// knowRoot is makeRoot where the parent is not known yet.
func (o *op) knowRoot() error {
	if o.t.root != nil {
		return nil
	}
	return o.makeRoot()
}

func (o *op) loadUnder(parent object, s tpm2.Session, public *tpm2.TPMTPublic, private []byte) (object, error) {
	r, err := tpm2.Load{ParentHandle: parent.with(s), InPrivate: tpm2.TPM2BPrivate{Buffer: private}, InPublic: tpm2.New2B(*public)}.Execute(o)
	if err != nil {
		return object{}, err
	}
	o.loose = append(o.loose, r.ObjectHandle)
	return object{r.ObjectHandle, r.Name}, nil
}

// create makes a key under the parent, with the PIN as its authorization value if there is one and protect is set.
func (o *op) create(kind, id string, template tpm2.TPMTPublic, protect bool) (*entry, error) {
	if err := o.makeRoot(); err != nil {
		return nil, err
	}
	var value []byte
	template.ObjectAttributes.NoDA = true
	if protect && o.t.pin != nil {
		if err := o.refused(); err != nil {
			return nil, err
		}
		value, template.ObjectAttributes.NoDA = o.t.pin.Bytes(), false
	}
	parent := object{o.t.parent, o.t.root.name}
	r, err := tpm2.Create{
		ParentHandle: parent.with(o.session(nil, hideIn...)),
		InSensitive:  tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: value}}},
		InPublic:     tpm2.New2B(template),
	}.Execute(o)
	if err != nil {
		return nil, explain("make a key", err)
	}
	return o.store(record{Version: recordVersion, Kind: kind, ID: id, Public: r.OutPublic.Bytes(), Private: r.OutPrivate.Buffer,
		Parent: o.t.root.name.Buffer}, nil)
}

// GenerateKey makes a P-256 or a wrapping key. ErrKeyExists if there is one of that ID; ErrUnsupported for other types, and for a TPM
// that does not report the curve.
func (t *Token) GenerateKey(ctx context.Context, keyID string, kind hsm.KeyType) error {
	if keyID == "" {
		return fmt.Errorf("tpm: %w: no key ID", hsm.ErrNoKey)
	}
	_, err := runOnce(ctx, t, func(o *op) (*entry, error) {
		if err := o.scan(false); err != nil {
			return nil, err
		}
		if len(t.dir.all(keys, keyID)) > 0 {
			return nil, fmt.Errorf("tpm: %w: %q in %s; choose another key ID", hsm.ErrKeyExists, keyID, t.path)
		}
		if !t.chip.hasCurve(tpm2.TPMECCNistP256) {
			return nil, fmt.Errorf("tpm: %w: the TPM does not report the curve P-256", hsm.ErrUnsupported)
		}
		switch kind {
		case hsm.KeyP256:
			return o.create(kindSign, keyID, tpmkey.SigningTemplate(false), true)
		case hsm.KeyAESWrap:
			return o.create(kindWrap, keyID, tpm2.ECCSRKTemplate, true)
		}
		return nil, fmt.Errorf("tpm: %w: a key of type %q; a TPM has %s and %s", hsm.ErrUnsupported, kind, hsm.KeyP256, hsm.KeyAESWrap)
	})
	return err
}

// Keys lists the keys by ID.
func (t *Token) Keys(ctx context.Context) ([]hsm.KeyInfo, error) {
	return run(ctx, t, func(o *op) ([]hsm.KeyInfo, error) {
		if err := o.scan(false); err != nil {
			return nil, err
		}
		var all []hsm.KeyInfo
		for _, e := range t.dir {
			if e.class() == keys {
				all = append(all, e.info())
			}
		}
		slices.SortFunc(all, func(a, b hsm.KeyInfo) int { return strings.Compare(a.ID, b.ID) })
		return all, nil
	})
}

// Sign signs a message of any length, which is hashed here, with ECDSA on P-256: r‖s, 64 bytes.
func (t *Token) Sign(ctx context.Context, keyID string, message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	return run(ctx, t, func(o *op) ([]byte, error) {
		e, err := o.typed(keyID, kindSign)
		if err != nil {
			return nil, err
		}
		sig, err := o.sign(e, digest[:])
		if err != nil {
			return nil, explain(fmt.Sprintf("sign with key %q", e.ID), err)
		}
		if ok, err := hsm.Verify(e.ecdsa, message, sig); err != nil || !ok {
			return nil, errors.Join(fmt.Errorf("tpm: %w: key %q gave a wrong signature, which is withheld; replace the TPM",
				hsm.ErrUnavailable, e.ID), err)
		}
		return sig, nil
	})
}

func (o *op) sign(e *entry, digest []byte) ([]byte, error) {
	key, err := o.load(e)
	if err != nil {
		return nil, err
	}
	var sig []byte
	err = o.authorized(fmt.Sprintf("key %q", e.ID), e.public, e.name, nil, func(s tpm2.Session) error {
		r, err := tpm2.Sign{KeyHandle: key.with(s), Digest: tpm2.TPM2BDigest{Buffer: digest}, InScheme: ecdsaScheme(),
			Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull}}.Execute(o)
		if err != nil {
			return err
		}
		sig, err = rawSignature(&r.Signature)
		return err
	})
	return sig, err
}

func ecdsaScheme() tpm2.TPMTSigScheme {
	return tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA,
		&tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})}
}

// rawSignature is r‖s, 64 bytes.
func rawSignature(s *tpm2.TPMTSignature) ([]byte, error) {
	v, err := s.Signature.ECDSA()
	if err != nil {
		return nil, err
	}
	r, t := bytes.TrimLeft(v.SignatureR.Buffer, "\x00"), bytes.TrimLeft(v.SignatureS.Buffer, "\x00")
	if len(r) > 32 || len(t) > 32 {
		return nil, errors.New("not a signature on P-256")
	}
	raw := make([]byte, 64)
	copy(raw[32-len(r):], r)
	copy(raw[64-len(t):], t)
	return raw, nil
}

// Verify checks a signature with the public half, outside the TPM.
func (t *Token) Verify(ctx context.Context, keyID string, message, signature []byte) (bool, error) {
	pub, err := t.PublicKey(ctx, keyID)
	if err != nil {
		return false, err
	}
	return hsm.Verify(pub, message, signature)
}

// PublicKey tells the public half of a signing key.
func (t *Token) PublicKey(ctx context.Context, keyID string) (crypto.PublicKey, error) {
	return run(ctx, t, func(o *op) (crypto.PublicKey, error) {
		e, err := o.typed(keyID, kindSign)
		if err != nil {
			return nil, err
		}
		copied := *e.ecdsa
		return &copied, nil
	})
}
