package tpm

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/internal/tpmkey"
)

const (
	wrapVersion = 1
	wrapTag     = "mpcd/v1/tpm/wrap"
	wrappedMax  = 1 << 14 // bytes of a wrapped secret; one of hsm.MaxWrap has some 2,200 with all PCRs
	sealedLen   = 32      // bytes of the AES key that the TPM seals
)

// wrapped is what Wrap returns: a sealed AES key, and the secret encrypted with it (AES-256-GCM; nonce, ciphertext, tag). All of it
// but Box, and the caller's aad, is the additional data.
type wrapped struct {
	Version uint64   `cbor:"1,keyasint"`
	Key     []byte   `cbor:"2,keyasint"` // name of the wrapping key
	Public  []byte   `cbor:"3,keyasint"` // TPMT_PUBLIC of the sealed key
	Private []byte   `cbor:"4,keyasint"`
	Bank    string   `cbor:"5,keyasint,omitempty"`
	PCRs    []byte   `cbor:"6,keyasint,omitempty"` // numbers, ascending
	Values  [][]byte `cbor:"7,keyasint,omitempty"` // of the PCRs, when it was sealed
	Box     []byte   `cbor:"8,keyasint,omitempty"`
}

// errForged is every wrapped secret that Wrap did not make so.
var errForged = fmt.Errorf("tpm: %w", hsm.ErrIntegrity)

// decodeWrapped reads what Wrap returned.
func decodeWrapped(b []byte) (*wrapped, selection, error) {
	var w wrapped
	if len(b) > wrappedMax || canon.Unmarshal(b, &w) != nil || w.Version != wrapVersion {
		return nil, selection{}, errForged
	}
	sel := selection{bank: w.Bank}
	for i, n := range w.PCRs {
		if n >= pcrMax || (i > 0 && n <= w.PCRs[i-1]) {
			return nil, selection{}, errForged
		}
		sel.pcrs = append(sel.pcrs, uint(n))
	}
	if len(w.Values) != len(w.PCRs) || (len(w.PCRs) > 0) != (banks[w.Bank] != 0) || len(w.Private) > blobMax {
		return nil, selection{}, errForged
	}
	return &w, sel, nil
}

// additional is the additional data of the encryption.
func (w wrapped) additional(aad []byte) []byte {
	w.Box = nil
	sum := canon.Hash(wrapTag, canon.MustMarshal(w), aad)
	return sum[:]
}

func (w *wrapped) public(sel selection) (*tpm2.TPMTPublic, error) {
	public, err := tpmkey.Parse(w.Public)
	if err != nil {
		return nil, errForged
	}
	want := sealTemplate(sel.policy(w.Values))
	want.Unique = public.Unique
	if public.Type != tpm2.TPMAlgKeyedHash || !bytes.Equal(tpm2.Marshal(want), w.Public) {
		return nil, errForged
	}
	return public, nil
}

// sealTemplate is a sealed secret: open to who may use its parent, or under a policy.
func sealTemplate(policy []byte) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type:             tpm2.TPMAlgKeyedHash,
		NameAlg:          tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: len(policy) == 0, NoDA: true},
		AuthPolicy:       tpm2.TPM2BDigest{Buffer: policy},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgKeyedHash,
			&tpm2.TPMSKeyedHashParms{Scheme: tpm2.TPMTKeyedHashScheme{Scheme: tpm2.TPMAlgNull}}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgKeyedHash, &tpm2.TPM2BDigest{}),
	}
}

// Wrap seals a secret of 1 to hsm.MaxWrap bytes, to the PCRs of the URI as they are now.
func (t *Token) Wrap(ctx context.Context, keyID string, dek, aad []byte) ([]byte, error) {
	if len(dek) == 0 || len(dek) > hsm.MaxWrap {
		return nil, fmt.Errorf("tpm: wrap: secret of %d bytes, must be 1 to %d", len(dek), hsm.MaxWrap)
	}
	return run(ctx, t, func(o *op) ([]byte, error) {
		e, err := o.typed(keyID, kindWrap)
		if err != nil {
			return nil, err
		}
		key := secret.New(sealedLen)
		defer key.Wipe()
		_, _ = rand.Read(key.Bytes())
		w, err := o.seal(e, key.Bytes())
		if err != nil {
			return nil, explain(fmt.Sprintf("wrap with key %q", e.ID), err)
		}
		box, err := boxOf(key.Bytes())
		if err != nil {
			return nil, err
		}
		w.Box = box.Seal(nil, nil, dek, w.additional(aad))
		return canon.Marshal(w)
	})
}

// seal makes a sealed object of the AES key, a child of the wrapping key.
func (o *op) seal(e *entry, key []byte) (*wrapped, error) {
	sel := o.t.pcrs
	values, err := o.readPCRs(sel)
	if err != nil {
		return nil, err
	}
	parent, err := o.load(e)
	if err != nil {
		return nil, err
	}
	w := &wrapped{Version: wrapVersion, Key: e.name.Buffer, Bank: sel.bank, Values: values}
	for _, n := range sel.pcrs {
		w.PCRs = append(w.PCRs, byte(n))
	}
	err = o.authorized(fmt.Sprintf("key %q", e.ID), e.public, e.name, hideIn, func(s tpm2.Session) error {
		r, err := tpm2.Create{
			ParentHandle: parent.with(s),
			InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
				Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: key})}},
			InPublic: tpm2.New2B(sealTemplate(sel.policy(values))),
		}.Execute(o)
		if err == nil {
			w.Public, w.Private = r.OutPublic.Bytes(), r.OutPrivate.Buffer
		}
		return err
	})
	return w, err
}

// Unwrap opens what Wrap sealed; the caller wipes the result. Changed PCRs are a *PCRError, which is an ErrIntegrity too.
func (t *Token) Unwrap(ctx context.Context, keyID string, b, aad []byte) ([]byte, error) {
	return run(ctx, t, func(o *op) ([]byte, error) {
		e, err := o.typed(keyID, kindWrap)
		if err != nil {
			return nil, err
		}
		w, sel, err := decodeWrapped(b)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(w.Key, e.name.Buffer) {
			return nil, fmt.Errorf("tpm: %w (not wrapped with key %q of this TPM)", hsm.ErrIntegrity, e.ID)
		}
		key, err := o.unseal(e, w, sel)
		if err != nil {
			return nil, explain(fmt.Sprintf("unwrap with key %q", e.ID), err)
		}
		defer secret.Wipe(key)
		box, err := boxOf(key)
		if err != nil {
			return nil, errForged
		}
		dek, err := box.Open(nil, nil, w.Box, w.additional(aad))
		if err != nil {
			return nil, errForged
		}
		return dek, nil
	})
}

// unseal gives the AES key, which the caller wipes.
func (o *op) unseal(e *entry, w *wrapped, sel selection) ([]byte, error) {
	public, err := w.public(sel)
	if err != nil {
		return nil, err
	}
	now, err := o.readPCRs(sel)
	if err != nil {
		return nil, err
	}
	if err := sel.compare(w.Values, now); err != nil {
		return nil, err
	}
	parent, err := o.load(e)
	if err != nil {
		return nil, err
	}
	var x object
	err = o.authorized(fmt.Sprintf("key %q", e.ID), e.public, e.name, nil, func(s tpm2.Session) error {
		x, err = o.loadUnder(parent, s, public, w.Private)
		return err
	})
	if malformed(err) {
		return nil, errForged
	}
	if err != nil {
		return nil, err
	}
	s, err := o.unsealSession(w, sel)
	if err != nil {
		return nil, err
	}
	r, err := tpm2.Unseal{ItemHandle: x.with(s)}.Execute(o)
	if is(err, tpm2.TPMRCPolicyFail, tpm2.TPMRCPCRChanged) { // changed since they were compared
		if now, again := o.readPCRs(sel); again == nil {
			err = errors.Join(sel.compare(w.Values, now), err)
		}
	}
	if err != nil {
		return nil, err
	}
	return r.OutData.Buffer, nil
}

// unsealSession is salted and encrypts the response; with PCRs it is a policy session.
func (o *op) unsealSession(w *wrapped, sel selection) (tpm2.Session, error) {
	if len(sel.pcrs) == 0 {
		return o.session(nil, hideOut...), nil
	}
	s, _, err := tpm2.PolicySession(o, tpm2.TPMAlgSHA256, 16, append(o.salted(), hideOut...)...)
	if err != nil {
		return nil, err
	}
	o.loose = append(o.loose, s.Handle())
	_, err = tpm2.PolicyPCR{PolicySession: s.Handle(), PcrDigest: tpm2.TPM2BDigest{Buffer: digest(w.Values)},
		Pcrs: sel.list(sel.pcrs...)}.Execute(o)
	return s, err
}

func boxOf(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil || len(key) != sealedLen {
		return nil, errForged
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// WrapMethod says how Wrap seals, with the PCRs it binds to.
func (t *Token) WrapMethod(ctx context.Context, keyID string) (string, error) {
	return run(ctx, t, func(o *op) (string, error) {
		if _, err := o.typed(keyID, kindWrap); err != nil {
			return "", err
		}
		if len(t.pcrs.pcrs) == 0 {
			return "tpm-seal, aes-gcm", nil
		}
		return "tpm-seal to " + t.pcrs.String() + ", aes-gcm", nil
	})
}
