package tpm

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/tpmkey"
)

const (
	recordVersion = 1
	recordMax     = 2048 // bytes; the least TPM_PT_NV_INDEX_MAX of PC Client TPMs
	checkLen      = 8    // bytes of SHA-256 at the end: a write of several commands may be cut by a loss of power
	nameMax       = 128  // bytes of a key's or counter's ID
	blobMax       = 1024 // bytes of one half of a key
)

// What a record names. A key and a counter may have one ID; the attestation key has none.
const (
	kindSign    = "p256"
	kindWrap    = "wrap"
	kindCounter = "counter"
	kindAK      = "ak"
)

// record is what an NV index of ours holds: a name, and the encrypted blob of a key.
type record struct {
	Version uint64 `cbor:"1,keyasint"`
	Kind    string `cbor:"2,keyasint"`
	ID      string `cbor:"3,keyasint,omitempty"`
	Public  []byte `cbor:"4,keyasint,omitempty"` // TPMT_PUBLIC
	Private []byte `cbor:"5,keyasint,omitempty"` // TPM2B_PRIVATE without its length
	Parent  []byte `cbor:"6,keyasint,omitempty"` // name of the key it can be loaded under
}

// entry is a record that was found in the TPM.
type entry struct {
	record
	index  tpm2.TPMHandle
	public *tpm2.TPMTPublic // nil for a counter
	name   tpm2.TPM2BName
	ecdsa  *ecdsa.PublicKey // of a signing key, else nil
}

// encode gives the bytes of the NV index.
func (r record) encode() []byte { return sealRecord(canon.MustMarshal(r)) }

// sealRecord puts the checksum behind a record.
func sealRecord(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(bytes.Clone(b), sum[:checkLen]...)
}

// decodeRecord reads what encode wrote, and nothing else.
func decodeRecord(b []byte) (*entry, error) {
	if len(b) < checkLen || len(b) > recordMax {
		return nil, fmt.Errorf("a record of %d bytes", len(b))
	}
	body, check := b[:len(b)-checkLen], b[len(b)-checkLen:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:checkLen], check) {
		return nil, errors.New("it was not written to the end")
	}
	e := &entry{}
	if err := canon.Unmarshal(body, &e.record); err != nil {
		return nil, err
	}
	if e.Version != recordVersion {
		return nil, fmt.Errorf("version %d, this binary knows %d", e.Version, recordVersion)
	}
	if len(e.ID) > nameMax || (e.ID == "") != (e.Kind == kindAK) {
		return nil, errors.New("no valid ID")
	}
	switch e.Kind {
	case kindCounter:
		if len(e.Public)+len(e.Private)+len(e.Parent) > 0 {
			return nil, errors.New("a counter with a key")
		}
		return e, nil
	case kindSign, kindWrap, kindAK:
		return e, e.readPublic()
	}
	return nil, fmt.Errorf("unknown kind %q", e.Kind)
}

// readPublic reads the public half of a key.
func (e *entry) readPublic() error {
	if len(e.Private) == 0 || len(e.Private) > blobMax || len(e.Public) > blobMax {
		return errors.New("no valid key")
	}
	public, err := tpmkey.Parse(e.Public)
	if err != nil {
		return err
	}
	name, err := tpm2.ObjectName(public)
	if err != nil {
		return err
	}
	e.public, e.name = public, *name
	e.ecdsa, err = tpmkey.Point(public)
	if e.Kind == kindWrap {
		e.ecdsa = nil
	}
	return err
}

// keyType is what package hsm calls the kind.
func (e *entry) keyType() hsm.KeyType {
	if e.Kind == kindWrap {
		return hsm.KeyAESWrap
	}
	return hsm.KeyP256
}

// info is what the public area says of the key; the TPM holds to it.
func (e *entry) info() hsm.KeyInfo {
	a := e.public.ObjectAttributes
	bound := a.FixedTPM && a.FixedParent
	return hsm.KeyInfo{ID: e.ID, Type: e.keyType(), Sensitive: bound, Extractable: !bound, Local: a.SensitiveDataOrigin, NeverExtracted: bound}
}
