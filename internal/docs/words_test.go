package docs

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// allowed are the words that the glossary does not use where they are somebody else's, or mean something else.
var allowed = []Allowance{
	{"", "key generation", "what keygen is short for"},
	{"hsm/pkcs11/", "key pair generation", "PKCS#11's words for its mechanisms"},
	{"hsm/gcpkms/", "pending generation", "Google's name of a state"},
	{"hsm/gcpkms/", "generation failed", "Google's name of a state"},
	{"internal/parts/gcpkms/", "pending generation", "Google's name of a state"},
	{"hsm/awskms/", "material", "AWS's word for what a key consists of"},
	{"attest/appraise/aws.go", "material", "AWS's word for what a key consists of"},
	{"internal/parts/gcpkms/", "material", "what a key of the emulator consists of"},
	{"hsm/awskms/endpoint.go", "fragment", "a part of a URL"},
	{"client/config.go", "fragment", "a part of a URL"},
	{"docs/PROTOCOLS.md", "a pairing", "the map between groups that BLS is built on"},
	{"threshold/internal/group/ed25519_subgroup.go", "pairing", "the map between groups"},
	{"threshold/committee.go", "max participants", "RFC 9591's name"},
	{"threshold/committee.go", "min participants", "RFC 9591's name"},
	{"threshold/frost/rfc9591_test.go", "participant*", "the names in RFC 9591's vectors"},
	{"threshold/frost/bip445_test.go", "participant identifier", "the words of BIP 445's vectors"},
	{"threshold/frost/bip445_test.go", "key material", "the words of BIP 445's vectors"},
	{"softhsm/", "provision*", "to make a token for development"},
	{"hsm/plugin/main_test.go", "provision*", "to make a token for development"},
	{"", "softhsm provision*", "to make a token for development"},
	{"", "provision soft hsm", "to make a token for development"},
	{"", "provision command", "to make a token for development"},
	{"", "provision process", "to make a token for development"},
	{"", "hsm provision", "to make a token for development"},
	{"", "new participants", "a second name for a field, which the API promises"},
	{"", "r cluster key id", "two fields beside each other"},
	{"threshold/dkls23/", "dkls provision", "a part of tags; another would change what is hashed and nothing else"},
	{"hsm/tpm/open.go", "provisioning guidance", "the title of a TCG document"},
}

// Goal: one thing has one word. Method: look for the words that the glossary does not use in every file of ours, names of Go split into
// their words; what is allowed is allowed for a reason, and is still there.
func TestWords(t *testing.T) {
	faults, err := Words(module(), allowed)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
}

// Goal: no word slips through, and nothing else is caught. Method: lines with words in every form, and allowances.
func TestWordsFaults(t *testing.T) {
	const page = "# G\n\nshard\n\n## Not used\n\n| not | but |\n|---|---|\n| shard*, master key | share |\n| generation | epoch |\n"
	for line, want := range map[string]int{
		"a shard":                     1,
		"shards of a MasterKey":       2,
		"var masterKeys int":          1,
		"the master's key":            0,
		"generations":                 1,
		"degeneration, regenerate":    0,
		"PENDING_GENERATION":          1,
		"beginGeneration(keyID)":      1,
		"HTTPGenerationX":             1,
		"key generation":              0,
		"key generation, generation":  1,
		"keyGeneration":               0,
		"sharding by master  key":     2,
		"// a comment about shardMap": 1,
	} {
		root := fstest.MapFS{glossary: {Data: []byte(page)}, "a.go": {Data: []byte(line)}, "b/c.md": {Data: []byte("a key generation")}}
		faults, err := Words(root, []Allowance{{"", "key generation", ""}})
		if err != nil || len(faults) != want {
			t.Errorf("%q: %q, %v, want %d", line, faults, err, want)
		}
	}
	root := fstest.MapFS{glossary: {Data: []byte(page)}, "a/b.go": {Data: []byte("shards")}, "a/testdata/x.md": {Data: []byte("shard")}}
	for _, c := range []struct {
		place, phrase string
		want          []string // how the faults begin
	}{
		{"a/", "shard*", nil},
		{"a/b.go", "shards", nil},
		{"a", "shard*", []string{"a/b.go:1:", "allowance"}},
		{"", "generation", []string{"a/b.go:1:", "allowance"}},
	} {
		faults, err := Words(root, []Allowance{{c.place, c.phrase, "a reason"}})
		if err != nil || !slices.EqualFunc(faults, c.want, strings.HasPrefix) {
			t.Errorf("%+v: %q, %v", c, faults, err)
		}
	}
	for _, page := range []string{"# G\n", "# G\n\n## Not used\n\nnone\n"} {
		if _, err := Words(fstest.MapFS{glossary: {Data: []byte(page)}}, nil); err == nil {
			t.Errorf("page %q taken", page)
		}
	}
	for _, a := range allowed {
		if a.Why == "" {
			t.Errorf("%q is allowed without a reason", a.Phrase)
		}
	}
}
