package awskms

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/luxfi/mpcd/hsm"
)

func sha256Of(b []byte) [32]byte { return sha256.Sum256(b) }

// Goal: evidence says where the key's material is from, with the public key, and claims no more. Method: keys that moto made and one
// whose material is to be imported.
func TestEvidence(t *testing.T) {
	tok := openMoto(t)
	generate(t, tok, "p", hsm.KeyP256)
	generate(t, tok, "k", hsm.KeyAESWrap)
	out, err := tok.client.CreateKey(t.Context(), &kms.CreateKeyInput{Origin: types.OriginTypeExternal,
		KeyUsage: types.KeyUsageTypeEncryptDecrypt, MultiRegion: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tok.client.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/mpcd/imported"),
		TargetKeyId: out.KeyMetadata.KeyId}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]struct {
		kind           hsm.KeyType
		origin, region string
		made, public   bool
	}{
		"p":        {hsm.KeyP256, "AWS_KMS", "", true, true},
		"k":        {hsm.KeyAESWrap, "AWS_KMS", "", true, false},
		"imported": {hsm.KeyAESWrap, "EXTERNAL", "PRIMARY", false, false},
	} {
		e, err := tok.AttestKey(t.Context(), id, []byte("nonce"))
		if err != nil {
			t.Fatal(err)
		}
		var m Metadata
		if err := json.Unmarshal(e.Extra["metadata"], &m); err != nil {
			t.Fatal(err)
		}
		if m.Origin != want.origin || m.MultiRegion != want.region || m.Region != tok.region || m.Amazon || m.State != "Enabled" ||
			m.Manager != "CUSTOMER" || m.Created == "" || m.Account == "" {
			t.Errorf("%s: %+v", id, m)
		}
		if e.Format != hsm.EvidenceAWS || e.Key.ID != id || e.Key.Type != want.kind || e.Key.Local != want.made ||
			e.Key.NeverExtracted != want.made || !e.Token.SoftwareOnly || !bytes.Equal(e.Nonce, []byte("nonce")) || e.Statement != nil ||
			e.Signature != nil || (len(e.PublicKey) > 0) != want.public {
			t.Errorf("%s: %+v", id, e)
		}
	}
	if _, err := tok.AttestKey(t.Context(), "p", make([]byte, nonceMax+1)); err == nil {
		t.Error("a long nonce is taken")
	}
}
