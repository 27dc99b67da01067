package frost

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// Goal: BIP 445 to the letter, errors and blame included. Method: every vector given, through the functions that production
// uses; the adapters below only decode what production never reads from the wire. Where the BIP names an error, the test
// knows which of ours it is.

// hexBytes is a JSON string of hex; null stays nil, "" becomes empty.
type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil || s == nil {
		return err
	}
	x, err := hex.DecodeString(*s)
	*h = append([]byte{}, x...)
	return err
}

func raw(hs []hexBytes, indices []int) [][]byte {
	out := make([][]byte, len(indices))
	for i, j := range indices {
		out[i] = hs[j]
	}
	return out
}

type bipError struct {
	Type, Message, Contrib string
	SignerIndex            *int `json:"signer_index"`
}

type bipCase struct {
	ID           int `json:"tc_id"`
	Comment      string
	MyID         uint32 `json:"my_id"`
	IDs          []uint32
	Pubshares    []int `json:"pubshare_indices"`
	Pubnonces    []int `json:"pubnonce_indices"`
	Secshare     int   `json:"secshare_index"`
	Secnonce     int   `json:"secnonce_index"`
	Aggnonce     hexBytes
	Msg          hexBytes
	Expected     hexBytes
	Psig         hexBytes
	SignerIndex  int    `json:"signer_index"`
	TweakIndices []int  `json:"tweak_indices"`
	IsXonly      []bool `json:"is_xonly"`
	Error        *bipError
}

type bipGroup struct {
	ID           string `json:"tg_id"`
	T, N         int
	ThreshPK     hexBytes `json:"thresh_pk"`
	Pubshares    []hexBytes
	Pubnonces    []hexBytes
	Secshares    []hexBytes
	Secnonces    []hexBytes
	Tweaks       []hexBytes
	Valid        []bipCase `json:"valid_tests"`
	SignErrors   []bipCase `json:"sign_error_tests"`
	VerifyFails  []bipCase `json:"verify_fail_tests"`
	VerifyErrors []bipCase `json:"verify_error_tests"`
	Errors       []bipCase `json:"error_tests"`
}

func load(t *testing.T, file string, into any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// contributionError is the BIP's InvalidContributionError: Signer is an index of the list, -1 for the coordinator.
type contributionError struct {
	Signer       int
	Contribution string
}

func (e *contributionError) Error() string { return fmt.Sprint("invalid ", e.Contribution) }

func nonceAgg(public [][]byte) (*nonceSums, []commitment, error) {
	cs := make([]commitment, len(public))
	for i, b := range public {
		c, err := decodeCommitment(group.Secp256k1, b)
		if err != nil {
			return nil, nil, &contributionError{i, "pubnonce"}
		}
		cs[i] = c
	}
	return aggregateNonces(cs)[0], cs, nil
}

// parseAggnonce is cpoint_ext twice. Production adds the nonces up itself and reads no aggnonce.
func parseAggnonce(b []byte) (*nonceSums, error) {
	s := &nonceSums{r1: *secp256k1.NewIdentity(), r2: *secp256k1.NewIdentity(), encoded: b}
	for i, p := range []*secp256k1.Point{&s.r1, &s.r2} {
		half := b[33*i : 33*i+33]
		if bytes.Equal(half, make([]byte, 33)) {
			continue
		}
		if _, err := p.SetBytes(half); err != nil {
			return nil, &contributionError{-1, "aggnonce"}
		}
	}
	return s, nil
}

var (
	errTweakLength = errors.New("tweak is not 32 bytes")
	errTweakModes  = errors.New("as many tweaks as modes are needed")
)

func (g *bipGroup) tweaks(c *bipCase) ([]threshold.Tweak, error) {
	if len(c.TweakIndices) != len(c.IsXonly) {
		return nil, errTweakModes
	}
	var out []threshold.Tweak
	for i, j := range c.TweakIndices {
		if len(g.Tweaks[j]) != 32 {
			return nil, errTweakLength
		}
		out = append(out, threshold.Tweak{T: [32]byte(g.Tweaks[j]), XOnly: c.IsXonly[i]})
	}
	return out, nil
}

// session is GetSessionValues.
func (g *bipGroup) session(c *bipCase, sums func() (*nonceSums, error)) (*sessionValues, error) {
	tweaks, err := g.tweaks(c)
	if err != nil {
		return nil, err
	}
	signers, err := newSignerSet(g.N, g.T, c.IDs, raw(g.Pubshares, c.Pubshares), g.ThreshPK)
	if err != nil {
		return nil, err
	}
	s, err := sums()
	if err != nil {
		return nil, err
	}
	return newSessionValues(signers, s, tweaks, c.Msg)
}

// sign is Sign on bytes. The public nonce is derived from the secret one, as the BIP does.
func (g *bipGroup) sign(c *bipCase) ([]byte, error) {
	v, err := g.session(c, func() (*nonceSums, error) { return parseAggnonce(c.Aggnonce) })
	if err != nil {
		return nil, err
	}
	var k1, k2, d secp256k1.Scalar
	nonce := g.Secnonces[c.Secnonce]
	for _, x := range []struct {
		s *secp256k1.Scalar
		b []byte
	}{{&k1, nonce[:32]}, {&k2, nonce[32:]}, {&d, g.Secshares[c.Secshare]}} {
		if _, err := x.s.SetBytes(x.b); err != nil {
			return nil, err
		}
	}
	public := commitment{group.Secp256k1.NewPoint().ScalarBaseMult(&group.SkScalar{S: k1}),
		group.Secp256k1.NewPoint().ScalarBaseMult(&group.SkScalar{S: k2})}
	s, err := v.sign(&k1, &k2, &d, c.MyID, public)
	if err != nil {
		return nil, err
	}
	return s.Bytes(), nil
}

// verify is PartialSigVerify on bytes.
func (g *bipGroup) verify(c *bipCase, psig []byte, i int) (bool, error) {
	sums, public, err := nonceAgg(raw(g.Pubnonces, c.Pubnonces))
	if err != nil {
		return false, err
	}
	v, err := g.session(c, func() (*nonceSums, error) { return sums, nil })
	if err != nil {
		return false, err
	}
	var s secp256k1.Scalar
	if _, err := s.SetBytes(psig); err != nil {
		return false, nil
	}
	return v.fits(i, &s, public[i]), nil
}

// bipMessages says which of our errors is meant by a ValueError of the BIP.
var bipMessages = map[string]error{
	"The signer's id must be present in the participant identifier list.": errNoSigner,
	"The participant identifier list contains duplicate elements.":        errDuplicateSigner,
	"The signer's pubshare must be included in the list of pubshares.":    errPublicShare,
	"Invalid pubshare at index 0.":                                        &publicShareError{0},
	"Invalid pubshare at index 1.":                                        &publicShareError{1},
	"Invalid pubshare at index 2.":                                        &publicShareError{2},
	"The participant identifier at index 0 is out of range.":              &identifierError{0},
	"The provided key material is incorrect.":                             errGroupKey,
	"first secnonce value is out of range.":                               errFirstNonce,
	"second secnonce value is out of range.":                              errSecondNonce,
	"The number of signers must be between t and n.":                      errSignerCount,
	"The signer's secret share value is out of range.":                    errSecretShare,
	"The tweak value is out of range.":                                    errTweakRange,
	"The result of tweaking cannot be infinity.":                          errTweakInfinity,
	"The tweaks and is_xonly arrays must have the same length.":           errTweakModes,
	"The tweak must be a 32-byte array.":                                  errTweakLength,
}

func checkBIPError(t *testing.T, c *bipCase, got error) {
	t.Helper()
	var want error
	switch c.Error.Type {
	case "InvalidContributionError":
		w := &contributionError{-1, c.Error.Contrib}
		if c.Error.SignerIndex != nil {
			w.Signer = *c.Error.SignerIndex
		}
		want = w
	case "ValueError":
		want = bipMessages[c.Error.Message]
	}
	if want == nil || got == nil || reflect.TypeOf(want) != reflect.TypeOf(got) || want.Error() != got.Error() {
		t.Errorf("case %d (%s): error %v, want %v (%s %s)", c.ID, c.Comment, got, want, c.Error.Type, c.Error.Message)
	}
	var a, b *contributionError
	if errors.As(want, &a) && errors.As(got, &b) && *a != *b {
		t.Errorf("case %d (%s): blames %+v, want %+v", c.ID, c.Comment, *b, *a)
	}
}

func assertCases(t *testing.T, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%d cases ran, %d are published", got, want)
	}
}

func TestBIP445NonceGen(t *testing.T) {
	var v struct {
		Valid []struct {
			ID       int `json:"tc_id"`
			Rand     hexBytes
			Secshare hexBytes
			SignerID *int `json:"signer_id"`
			Pubshare hexBytes
			ThreshPK hexBytes `json:"thresh_pk_xonly"`
			Msg      hexBytes
			ExtraIn  hexBytes `json:"extra_in"`
			Expected []hexBytes
		} `json:"valid_tests"`
	}
	load(t, "bip445/nonce_gen_vectors.json", &v)
	for _, c := range v.Valid {
		random := [32]byte(c.Rand)
		var id []byte
		if c.SignerID != nil {
			id = uint32Bytes(*c.SignerID)
		}
		k1, k2, err := nonceGen(&random, nonceInput{c.Secshare, id, c.Pubshare, c.ThreshPK, c.Msg, c.ExtraIn})
		if err != nil {
			t.Fatal(err)
		}
		if got := append(k1.Bytes(), k2.Bytes()...); !bytes.Equal(got, c.Expected[0]) {
			t.Errorf("case %d: secret nonce differs", c.ID)
		}
		public := group.BatchBytes([]group.Point{group.Secp256k1.NewPoint().ScalarBaseMult(&group.SkScalar{S: *k1}),
			group.Secp256k1.NewPoint().ScalarBaseMult(&group.SkScalar{S: *k2})})
		if got := bytes.Join(public, nil); !bytes.Equal(got, c.Expected[1]) {
			t.Errorf("case %d: public nonce %x, want %x", c.ID, got, c.Expected[1])
		}
		if random != ([32]byte{}) {
			t.Errorf("case %d: random bytes survive", c.ID)
		}
	}
	assertCases(t, len(v.Valid), 10)
}

func TestBIP445NonceAgg(t *testing.T) {
	var v bipGroup
	load(t, "bip445/nonce_agg_vectors.json", &v)
	for i := range v.Valid {
		c := &v.Valid[i]
		sums, _, err := nonceAgg(raw(v.Pubnonces, c.Pubnonces))
		if err != nil || !bytes.Equal(sums.encoded, c.Expected) {
			t.Errorf("case %d: %x, %v, want %x", c.ID, sums.encoded, err, c.Expected)
		}
	}
	for i := range v.Errors {
		_, _, err := nonceAgg(raw(v.Pubnonces, v.Errors[i].Pubnonces))
		checkBIPError(t, &v.Errors[i], err)
	}
	assertCases(t, len(v.Valid)+len(v.Errors), 5)
}

// valid runs a valid case: aggregate nonce, signature share, its verification.
func (g *bipGroup) valid(t *testing.T, c *bipCase) {
	t.Helper()
	sums, _, err := nonceAgg(raw(g.Pubnonces, c.Pubnonces))
	if err != nil || !bytes.Equal(sums.encoded, c.Aggnonce) {
		t.Errorf("case %d (%s): aggregate nonce %v", c.ID, c.Comment, err)
	}
	got, err := g.sign(c)
	if err != nil || !bytes.Equal(got, c.Expected) {
		t.Errorf("case %d (%s): signature share %x, %v, want %x", c.ID, c.Comment, got, err, c.Expected)
		return
	}
	for i, id := range c.IDs {
		ok, err := g.verify(c, got, i)
		if err != nil || ok != (id == c.MyID) {
			t.Errorf("case %d (%s): verification for signer %d: %v, %v", c.ID, c.Comment, i, ok, err)
		}
	}
}

func TestBIP445SignVerify(t *testing.T) {
	var v, latest struct {
		Groups []bipGroup `json:"test_groups"`
	}
	load(t, "bip445/sign_verify_vectors.json", &v)
	load(t, "bip445/sign_0_12_1_vectors.json", &latest)
	v.Groups = append(v.Groups, latest.Groups...)
	ran := 0
	for gi := range v.Groups {
		g := &v.Groups[gi]
		for i := range g.Valid {
			g.valid(t, &g.Valid[i])
		}
		for i := range g.SignErrors {
			_, err := g.sign(&g.SignErrors[i])
			checkBIPError(t, &g.SignErrors[i], err)
		}
		for i := range g.VerifyFails {
			c := &g.VerifyFails[i]
			if ok, err := g.verify(c, c.Psig, c.SignerIndex); ok || err != nil {
				t.Errorf("case %d (%s): %v, %v", c.ID, c.Comment, ok, err)
			}
		}
		for i := range g.VerifyErrors {
			c := &g.VerifyErrors[i]
			_, err := g.verify(c, c.Psig, c.SignerIndex)
			checkBIPError(t, c, err)
		}
		ran += len(g.Valid) + len(g.SignErrors) + len(g.VerifyFails) + len(g.VerifyErrors)
	}
	assertCases(t, ran, 93+6)
}

func TestBIP445Tweak(t *testing.T) {
	var v struct {
		Groups []bipGroup `json:"test_groups"`
	}
	load(t, "bip445/tweak_vectors.json", &v)
	ran := 0
	for gi := range v.Groups {
		g := &v.Groups[gi]
		for i := range g.Valid {
			g.valid(t, &g.Valid[i])
		}
		for i := range g.Errors {
			_, err := g.sign(&g.Errors[i])
			checkBIPError(t, &g.Errors[i], err)
		}
		ran += len(g.Valid) + len(g.Errors)
	}
	assertCases(t, ran, 44)
}
