package appraise

import (
	"fmt"
	"slices"
	"time"

	"github.com/luxfi/mpcd/hsm"
)

// Policy says what evidence suffices. The zero value accepts hardware-signed evidence alone, and without roots none at all.
type Policy struct {
	Name string
	// Formats are those accepted (hsm.EvidenceTPM …); nil for all that the package knows.
	Formats []string
	// Least is the least level accepted. Refused stands for Proven, so that an empty policy is strict.
	Least Level
	// Software accepts tokens that say they are software.
	Software bool
	// Need are the properties that a key must have by the evidence; one that is not told is not there.
	Need Properties
	// TPM are the roots of endorsement certificates, Google those of Cloud HSM partitions; nil for none.
	TPM    *Roots
	Google *Roots
}

// Properties are what keeps a key in its token.
type Properties struct {
	Sensitive        bool // never shown in the clear
	NeverExtractable bool // cannot leave the token, and never could
	MadeInToken      bool // was not imported
}

var all = Properties{Sensitive: true, NeverExtractable: true, MadeInToken: true}

// Hardware accepts proof, and the report of a token that is hardware.
func Hardware() Policy { return Policy{Name: "hardware", Least: Reported, Need: all} }

// Proof accepts evidence that hardware signed and that leads to a trusted root, alone: give it roots.
func Proof() Policy { return Policy{Name: "proof", Least: Proven, Need: all} }

// Any accepts software and no evidence, for a pilot. It still refuses what is broken.
func Any() Policy { return Policy{Name: "any", Least: None, Software: true} }

// PolicyNames are the names that Named knows, the strictest last.
var PolicyNames = []string{"any", "hardware", "proof"}

// Named is the policy of that name.
func Named(name string) (Policy, error) {
	for _, p := range []Policy{Any(), Hardware(), Proof()} {
		if p.Name == name {
			return p, nil
		}
	}
	return Policy{}, fmt.Errorf("appraise: no policy %s; use one of %v", quoted(name), PolicyNames)
}

// Subject is what the evidence must be about, known from elsewhere.
type Subject struct {
	// PublicKey is the key in PKIX DER. A wrapping key has none that could be known.
	PublicKey []byte
	Type      hsm.KeyType
	// Nonce is what the evidence must be for; at most 32 bytes.
	Nonce []byte
	// At is the time of appraisal, for certificates.
	At time.Time
	// Bindings are the answers to challenges.
	Bindings []Binding
}

func (p Policy) least() Level {
	if p.Least == Refused {
		return Proven
	}
	return p.Least
}

func (p Policy) accepts(format string) bool {
	return p.Formats == nil || slices.Contains(p.Formats, format)
}
