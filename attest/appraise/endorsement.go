package appraise

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The object identifiers of endorsement certificates (TCG EK Credential Profile 2.5, 3.2.9 and 3.2.16; RFC 5280 §4.2.1.6).
var (
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidManufacturer   = asn1.ObjectIdentifier{2, 23, 133, 2, 1}
	oidModel          = asn1.ObjectIdentifier{2, 23, 133, 2, 2}
	oidVersion        = asn1.ObjectIdentifier{2, 23, 133, 2, 3}
	oidEKCertificate  = asn1.ObjectIdentifier{2, 23, 133, 8, 1}
)

const (
	nextChain = "give the certificates of the TPM's maker, root and intermediate, with --tpm-roots"
	nextBind  = "make a challenge with `mpcd node challenge`, answer it at the node with `mpcd node answer`, and give the answer with " +
		"--answers"
)

// endorsed tells whether the attestation key is in a TPM that a trusted root vouches for, and which. Errors are of evidence that is broken:
// a certificate of another key. What is merely missing is a problem.
func (j *judge) endorsed(e *tpmEvidence) (bool, []string, error) {
	ek, err := endorsementKey(e.ek)
	if err != nil {
		return false, nil, isBroken("the endorsement key is not of a standard template: %v", err)
	}
	if len(j.ev.Certificates) == 0 {
		j.unproven("use a TPM that has one; a virtual TPM often has none", "the TPM shows no endorsement certificate: it may be an emulator")
		return false, nil, nil
	}
	leaf, err := x509.ParseCertificate(j.ev.Certificates[0])
	if err != nil {
		return false, nil, isBroken("the endorsement certificate cannot be read: %v", err)
	}
	if k, ok := ek.(interface{ Equal(crypto.PublicKey) bool }); !ok || !k.Equal(leaf.PublicKey) {
		return false, nil, isBroken("the endorsement certificate is of another key")
	}
	who, err := isEndorsement(leaf)
	if err != nil {
		j.unproven("use a TPM with a certificate of its maker", "the certificate is no endorsement certificate: %v", err)
		return false, nil, nil
	}
	root, err := j.chain(leaf)
	if err != nil {
		j.unproven(nextChain, "the endorsement certificate of %s leads to no trusted root: %v", who, err)
		return false, nil, nil
	}
	if !slices.ContainsFunc(j.subject.Bindings, func(b Binding) bool { return b.of(j.ev) }) {
		j.unproven(nextBind, "the certificate of %s is not yet bound to the attestation key: nothing shows that they are in one TPM", who)
		return false, nil, nil
	}
	return true, []string{
		"attestation key and endorsement key are in one TPM: it answered a challenge",
		fmt.Sprintf("that TPM is %s; its endorsement certificate (number %x, valid until %s) leads to %s", who, leaf.SerialNumber,
			leaf.NotAfter.UTC().Format(time.DateOnly), root),
	}, nil
}

// unproven notes why nothing is proven.
func (j *judge) unproven(next, format string, a ...any) {
	j.caution(next, format, a...)
	last := j.v.Problems[len(j.v.Problems)-1]
	j.short = &last
}

// chain verifies the certificate up to a root of the policy, which it names.
func (j *judge) chain(leaf *x509.Certificate) (string, error) {
	if j.policy.TPM == nil {
		return "", errors.New("no roots were given")
	}
	return j.policy.TPM.chain(leaf, j.ev.Certificates[1:], j.subject.At)
}

// chain verifies a certificate with the help of others, and names the root.
func (r *Roots) chain(leaf *x509.Certificate, others [][]byte, at time.Time) (string, error) {
	helping := r.helping.Clone()
	for _, der := range others {
		if c, err := x509.ParseCertificate(der); err == nil { // one that cannot be read does not help
			helping.AddCert(c)
		}
	}
	c := *leaf
	// The TPM is named in an alternative name that crypto/x509 does not read; isEndorsement does.
	c.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(c.UnhandledCriticalExtensions), oidSubjectAltName.Equal)
	chains, err := c.Verify(x509.VerifyOptions{Roots: r.trusted, Intermediates: helping, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return "", err
	}
	return quoted(chains[0][len(chains[0])-1].Subject.String()), nil
}

// isEndorsement tells whether a certificate is of an endorsement key, by what a maker's authority certifies of no other key, and which TPM
// it names. A root may certify other keys too, whose owners could answer challenges without a TPM.
func isEndorsement(c *x509.Certificate) (string, error) {
	if c.IsCA {
		return "", errors.New("it is of an authority")
	}
	if c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageKeyEncipherment|x509.KeyUsageKeyAgreement) == 0 {
		return "", errors.New("its key is not for decryption")
	}
	limited := len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0
	meant := slices.ContainsFunc(c.UnknownExtKeyUsage, oidEKCertificate.Equal)
	if limited && !meant {
		return "", errors.New("it is for another use")
	}
	names, err := tpmNames(c)
	if err != nil {
		return "", err
	}
	if names[0] == "" && !meant {
		return "", errors.New("it names no TPM, and no use as endorsement key")
	}
	if names[0] == "" {
		return "a TPM that its certificate does not name", nil
	}
	return fmt.Sprintf("TPM %s %s version %s", quoted(names[0]), quoted(names[1]), quoted(names[2])), nil
}

// tpmNames reads manufacturer, model and version from the alternative name.
func tpmNames(c *x509.Certificate) (names [3]string, err error) {
	for _, x := range c.Extensions {
		if !x.Id.Equal(oidSubjectAltName) {
			continue
		}
		if names, err = parseTPMNames(x.Value); err != nil {
			return names, err
		}
	}
	return names, nil
}

// parseTPMNames reads them from a GeneralNames (RFC 5280 §4.2.1.6): attributes of a directory name. Names of other forms are passed over.
func parseTPMNames(der []byte) (names [3]string, err error) {
	const directoryName = 4
	var general []asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &general); err != nil || len(rest) > 0 {
		return names, errors.New("its alternative name cannot be read")
	}
	for _, g := range general {
		if g.Class != asn1.ClassContextSpecific || g.Tag != directoryName {
			continue
		}
		// The value may be of any string type, so that pkix.RDNSequence, which decodes it, is not asked to.
		var sets []asn1.RawValue
		if rest, err := asn1.Unmarshal(g.Bytes, &sets); err != nil || len(rest) > 0 {
			return names, errors.New("its directory name cannot be read")
		}
		for _, set := range sets {
			if err := readSet(set.Bytes, &names); err != nil {
				return names, err
			}
		}
	}
	return names, nil
}

func readSet(b []byte, names *[3]string) error {
	for len(b) > 0 {
		var pair struct {
			Type  asn1.ObjectIdentifier
			Value asn1.RawValue
		}
		rest, err := asn1.Unmarshal(b, &pair)
		if err != nil {
			return errors.New("its directory name cannot be read")
		}
		b = rest
		for i, id := range []asn1.ObjectIdentifier{oidManufacturer, oidModel, oidVersion} {
			if pair.Type.Equal(id) {
				names[i] = strings.TrimSpace(string(pair.Value.Bytes))
			}
		}
	}
	return nil
}
