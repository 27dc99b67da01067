package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/dunglas/httpsfv"

	"github.com/luxfi/mpcd/attest"
)

// The fields of an HTTP message signature (RFC 9421) beside the one that it covers.
const (
	signatureInput = "Signature-Input"
	signatureField = "Signature"
)

// nextSignature is what to do about such a signature that cannot be read.
const nextSignature = "sign as docs/RECEIPTS.md says, or send the field initiation in the body"

// headerInitiation is the initiation that a request's headers carry as an HTTP message signature, and the field that it covers; nil where
// they carry none. Signatures of others, as of proxies, are nobody's business here.
func headerInitiation(h http.Header) (*attest.Initiation, string, error) {
	field := strings.Join(h.Values(attest.InitiationField), ", ")
	label, text, err := initiationInput(h.Values(signatureInput))
	switch {
	case field == "" && label == "":
		return nil, "", nil
	case err != nil:
		return nil, "", invalidField(signatureInput, nextSignature, "%s: %v", signatureInput, err)
	case field == "" || label == "":
		return nil, "", invalidField(attest.InitiationField, nextSignature, "%s and a signature with the tag %s go together, and one is missing",
			attest.InitiationField, attest.InitiationTag)
	}
	x, _, err := attest.ParseParameters(text)
	if err != nil {
		return nil, "", invalidField(signatureInput, nextSignature, "the signature %s: %v", clip(label), err)
	}
	signatures, err := httpsfv.UnmarshalDictionary(h.Values(signatureField))
	if err == nil {
		member, _ := signatures.Get(label)
		item, _ := member.(httpsfv.Item)
		x.Signature, _ = item.Value.([]byte)
	}
	if len(x.Signature) != attest.InitiationBytes {
		return nil, "", invalidField(signatureField, nextSignature, "%s has no %d bytes for %s", signatureField, attest.InitiationBytes,
			clip(label))
	}
	return &x, field, nil
}

// initiationInput finds the one signature with the tag of initiations: its label, "" for none, and its parameters as its signature base
// has them.
func initiationInput(lines []string) (label, text string, err error) {
	all, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil {
		return "", "", err
	}
	for _, name := range all.Names() {
		member, _ := all.Get(name)
		list, ok := member.(httpsfv.InnerList)
		if !ok {
			continue
		}
		if tag, _ := list.Params.Get("tag"); tag != attest.InitiationTag {
			continue
		}
		if label != "" {
			return label, "", fmt.Errorf("two signatures have the tag %s", attest.InitiationTag)
		}
		label = name
		if text, err = httpsfv.Marshal(httpsfv.List{list}); err != nil {
			return label, "", err
		}
	}
	return label, text, nil
}

// signatureHeaders describes them.
func signatureHeaders() []*huma.Param {
	text := func(name, doc string) *huma.Param {
		return &huma.Param{Name: name, In: "header", Description: doc,
			Schema: &huma.Schema{Type: huma.TypeString, MaxLength: ptr(headerMax)}}
	}
	return []*huma.Param{
		text(attest.InitiationField, "In the place of the body's initiation: SHA-256 of what an initiator signs, :BASE64:, which an HTTP "+
			"message signature (RFC 9421) covers; docs/RECEIPTS.md."),
		text(signatureInput, `sig1=("mpcd-initiation");created=…;expires=…;keyid="NAME";tag="`+attest.InitiationTag+`": keyid is the `+
			"initiator's name, expires when no ceremony begins any more; created, alg and nonce may be left out. Signatures with other tags "+
			"are not read."),
		text(signatureField, "sig1=:BASE64:, 64 bytes: Ed25519, or r and s of ECDSA on P-256 with SHA-256."),
	}
}
