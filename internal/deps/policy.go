package deps

import "strings"

// module is the path that every package of ours begins with.
const module = "github.com/luxfi/mpcd/"

// place is where a package stands: what of ours it may import, and what of the standard library. A pattern ends in "/..." to mean the
// package and everything beneath it. What it may borrow from others stands in borrowed. Tests are free.
type place struct {
	packages []string // patterns, relative to the module; the first place that names a package is its own
	may      []string // patterns of our packages
	std      []string // patterns of the standard library's packages; nil is all. Where it is not, no goroutine may be started either.
	why      string
}

// pure is what a function of seed and messages has a use for. Of sync, only sync/atomic: a flag that says "used" waits for nobody.
var pure = []string{"bytes", "crypto/aes", "crypto/cipher", "crypto/ed25519", "crypto/hmac", "crypto/sha256", "crypto/sha512",
	"crypto/subtle", "encoding/...", "errors", "fmt", "hash", "io", "maps", "math/bits", "reflect", "slices", "sort", "strings", "sync/atomic"}

var (
	ground = []string{"internal/canon", "internal/secret"}
	files  = append([]string{"internal/durable"}, ground...)
)

// forTests are the packages that only tests import, and each other.
var forTests = []string{"threshold/thresholdtest", "hsm/hsmtest", "vault/vaulttest", "appliance/transport/transporttest", "internal/sim",
	"internal/libsecp", "internal/docs", "internal/canon/canontest", "internal/passkey/passkeytest", "threshold/internal/secp256k1/consttime"}

// policy is the text of ARCHITECTURE, "Who may import whom", most particular first.
var policy = []place{
	{packages: ground, why: "they are the ground"},
	{packages: []string{"internal/durable"}, may: ground, why: "files know no keys and no nodes"},
	{packages: []string{"internal/address"}, may: ground, why: "an address is a function of a public key"},
	{packages: []string{"intent"}, may: append([]string{"internal/address"}, ground...),
		why: "what a transaction says is a function of its bytes and a key"},
	{packages: []string{"policy/cases"}, may: append([]string{"intent", "policy"}, ground...),
		why: "rules are tried by files that people write; verifiers of receipts have no use for that"},
	{packages: []string{"policy"}, may: append([]string{"intent"}, ground...), why: "a verdict is a function of rules and a request"},
	{packages: []string{"internal/canon/canontest"}, may: []string{"internal/canon"}, why: "it fuzzes what canon decodes"},
	{packages: []string{"internal/tpmkey"},
		why: "one who makes keys in a TPM and one who judges them mean the same by them; it knows neither"},
	{packages: []string{"internal/deps", "internal/docs"}, why: "they read the source only"},
	{packages: []string{"internal/libsecp"}, why: "a judge shares no code with what it judges"},

	{packages: []string{"threshold/internal/secp256k1/consttime"}, why: "it reads the source only"},
	{packages: []string{"threshold/internal/..."}, may: append([]string{"threshold/internal/..."}, ground...), std: pure,
		why: "a run must be a function of seed and messages"},
	{packages: []string{"threshold"}, may: append([]string{"threshold/internal/..."}, ground...), std: pure,
		why: "a run must be a function of seed and messages"},
	{packages: []string{"threshold/dkg"}, may: append([]string{"threshold", "threshold/internal/..."}, ground...), std: pure,
		why: "one DKG serves every scheme and knows none"},
	{packages: []string{"threshold/schemes"}, may: append([]string{"threshold/..."}, ground...), std: pure,
		why: "it is the list of schemes"},
	{packages: []string{"threshold/thresholdtest"}, may: append([]string{"threshold", "threshold/internal/..."}, ground...),
		std: append([]string{"io/fs", "go/...", "testing"}, pure...),
		why: "the simulated network is a function of its seed"},
	{packages: []string{"threshold/*"}, may: append([]string{"threshold", "threshold/dkg", "threshold/internal/..."}, ground...),
		std: pure, why: "a scheme never imports another: a mistake must stay local"},

	{packages: []string{"internal/parts/..."}, may: append([]string{"hsm", "internal/parts/..."}, files...),
		why: "it starts what tests and the demo stand on"},

	{packages: []string{"hsm"}, may: ground, why: "the border does not know its neighbours"},
	{packages: []string{"hsm/plugin/wire"}, why: "it is what two processes say to each other, generated"},
	{packages: []string{"hsm/plugin"}, may: append([]string{"hsm", "hsm/plugin/wire"}, files...), why: "it carries any driver and knows none"},
	{packages: []string{"hsm/tpm"}, may: append([]string{"hsm", "internal/tpmkey"}, files...),
		why: "a driver knows the border and no other driver"},
	{packages: []string{"hsm/*"}, may: append([]string{"hsm", "hsm/internal/..."}, files...),
		why: "a driver knows the border and no other driver"},
	{packages: []string{"softhsm"}, may: append([]string{"hsm", "hsm/pkcs11"}, files...), why: "it makes tokens for one driver"},

	{packages: []string{"vault"}, may: append([]string{"hsm"}, files...), why: "it stores bytes with metadata; the engine may change"},
	{packages: []string{"vault/*"}, may: append([]string{"vault", "hsm"}, files...), why: "a store knows the vault's border only"},

	{packages: []string{"attest/appraise"}, may: append([]string{"attest", "hsm", "internal/tpmkey"}, ground...),
		why: "who judges evidence has no need of a driver"},
	{packages: []string{"attest", "attest/*"}, may: append([]string{"attest", "hsm", "intent", "policy", "threshold"}, ground...),
		why: "verifiers elsewhere want it alone"},

	{packages: []string{"appliance/transport/internal/..."}, may: append([]string{"appliance/transport"}, ground...),
		why: "it serves the networks"},
	{packages: []string{"appliance/transport"}, may: ground, why: "it carries bytes"},
	{packages: []string{"appliance/transport/*"}, may: append([]string{"appliance/transport", "appliance/transport/internal/..."}, ground...),
		why: "a network only moves bytes"},
	{packages: []string{"appliance/problem"}, may: append([]string{"appliance/transport"}, files...),
		why: "it is a leaf: everybody fails in its words, and it names nothing but nodes"},
	{packages: []string{"appliance/audit", "appliance/operation"}, may: append([]string{"appliance/problem", "vault"}, files...),
		why: "records of what was done and asked know neither keys nor peers"},
	{packages: []string{"appliance/ceremony"},
		may: append([]string{"appliance/problem", "appliance/transport", "attest", "threshold"}, ground...),
		why: "one run among parties knows no key, no token and no store"},
	{packages: []string{"appliance/keys"},
		may: append([]string{"appliance/problem", "appliance/transport", "attest", "threshold", "vault"}, ground...),
		why: "what a node holds runs no protocol"},
	{packages: []string{"appliance/presign"},
		may: append([]string{"appliance/ceremony", "appliance/problem", "appliance/transport", "threshold"}, ground...),
		why: "the pool is a data structure with a clock; how presignatures are made is told to it"},
	{packages: []string{"appliance/api"}, may: append([]string{"appliance", "appliance/audit", "appliance/keys", "appliance/operation",
		"appliance/problem", "appliance/transport", "attest", "client/wire", "intent", "internal/address",
		"threshold"}, ground...),
		why: "it speaks HTTP for the node; nothing else"},
	{packages: []string{"appliance"}, may: append([]string{"threshold", "hsm", "vault", "attest", "appliance/audit", "appliance/ceremony",
		"appliance/keys", "appliance/operation", "appliance/presign", "appliance/problem", "appliance/transport",
		"intent", "policy"}, files...),
		why: "it is given drivers, stores, networks and schemes as values; host chooses"},

	{packages: []string{"client/wire"}, may: ground, why: "the words of the API stand alone"},
	{packages: []string{"client", "client/*"}, may: []string{"client/...", "attest", "intent", "threshold", "internal/keyfile",
		"internal/secret"},
		why: "users link the client without the node; it signs what attest says"},

	{packages: []string{"internal/passkey/passkeytest"}, why: "it signs as WebAuthn says, and shares no code with what judges that"},
	{packages: []string{"internal/passkey"}, may: append([]string{"attest"}, ground...),
		why: "a page for a person's browser reaches no node; attest says what is signed"},
	{packages: []string{"internal/keyfile"}, may: append([]string{"hsm"}, ground...), why: "a person's key in a file is no node's"},
	{packages: []string{"host/fault"}, why: "what went wrong on a host is known by whoever says it"},
	{packages: []string{"host"},
		may: append([]string{"host/fault", "appliance/...", "threshold", "threshold/schemes", "threshold/dkls23", "attest", "hsm/...",
			"intent", "softhsm",
			"vault/...", "client/wire", "internal/keyfile"}, files...), why: "it makes a node: it alone names drivers, stores and networks"},
	{packages: []string{"enrol"}, may: append([]string{"host", "host/fault", "attest", "attest/appraise", "hsm", "threshold", "appliance/api",
		"appliance/transport", "appliance/transport/natsnet", "client/wire", "intent", "internal/keyfile", "internal/passkey",
		"policy", "policy/cases"}, files...),
		why: "it says who is a member, and decides for people: host opens what it needs; it issues what natsnet's routes and the API trust"},
	{packages: []string{"internal/dev"}, may: []string{"host", "host/fault", "enrol", "hsm", "threshold", "threshold/schemes", "client/..."},
		why: "its nodes are processes, which it reaches as a client"},

	{packages: []string{"internal/cli"}, may: []string{"host", "host/fault", "appliance/problem"},
		why: "it tells of mistakes on a command line, and does nothing"},
	{packages: []string{"cmd/..."}, may: append([]string{"host", "host/fault", "enrol", "internal/cli", "internal/dev", "appliance",
		"appliance/problem", "appliance/transport", "threshold", "attest", "attest/appraise", "client/...", "hsm", "intent", "policy",
		"policy/cases", "vault", "threshold/schemes"}, files...),
		why: "it has flags, output and exit codes; what it opens, host opens"},
	{packages: trials, may: []string{"..."},
		why: "everything below may be used here"},
}

// loan is a library of others and the rooms that may use it.
type loan struct {
	library string // the beginning of import paths
	to      []string
}

// borrowed is every library of others that the source imports, tests apart: a dependency is taken on purpose, and stays in its room.
var borrowed = []loan{
	{"cloud.google.com/go/kms", []string{"hsm/gcpkms", "internal/parts/gcpkms"}},
	{"filippo.io/age", []string{"host", "vault", "internal/keyfile"}},
	{"filippo.io/edwards25519", []string{"attest", "threshold/internal/group"}},
	{"filippo.io/mldsa", []string{"appliance/transport"}},
	{"github.com/aws", []string{"hsm/awskms"}},
	{"github.com/btcsuite/btcd", []string{"scripts/demo"}},
	{"github.com/btcsuite/btcd/btcutil/bech32", []string{"internal/address"}},
	{"github.com/cedar-policy/cedar-go", []string{"policy"}},
	{"github.com/danielgtaylor/huma/v2", []string{"appliance/api"}},
	{"github.com/decred/dcrd/dcrec/secp256k1/v4", []string{"benchmarks", "host", "hsm", "hsm/awskms", "hsm/gcpkms", "hsm/pkcs11",
		"internal/address", "internal/parts/gcpkms", "scripts/demo"}},
	{"github.com/dgraph-io/badger/v4", []string{"vault/badgerstore"}},
	{"github.com/dunglas/httpsfv", []string{"appliance/api"}},
	{"github.com/elastic/go-seccomp-bpf", []string{"hsm/plugin"}},
	{"github.com/ethereum/go-ethereum", []string{"scripts/demo"}},
	{"github.com/fxamacker/cbor/v2", []string{"internal/canon", "appliance/transport/transporttest"}},
	{"github.com/go-jose/go-jose/v4", []string{"appliance/api"}},
	{"github.com/golang-jwt/jwt/v5", []string{"appliance/api", "enrol"}},
	{"github.com/google/go-tpm", []string{"attest/appraise", "hsm/tpm", "internal/parts/swtpm", "internal/tpmkey"}},
	{"github.com/hashicorp/go-hclog", []string{"hsm/plugin"}},
	{"github.com/hashicorp/go-plugin", []string{"hsm/plugin"}},
	{"github.com/hashicorp/golang-lru/v2", []string{"appliance/api"}},
	{"github.com/landlock-lsm/go-landlock", []string{"hsm/plugin"}},
	{"github.com/miekg/pkcs11", []string{"hsm/pkcs11"}},
	{"github.com/mr-tron/base58", []string{"intent", "internal/address"}},
	{"github.com/nats-io", []string{"appliance/transport/natsnet"}},
	{"github.com/prometheus/client_golang", []string{"appliance/api", "host"}},
	{"github.com/spf13", []string{"cmd/mpcd", "internal/cli"}},
	{"github.com/transparency-dev/formats", []string{"appliance/audit"}},
	{"github.com/veraison/go-cose", []string{"attest"}},
	{"golang.org/x/crypto/argon2", []string{"vault/badgerstore"}},
	{"golang.org/x/crypto/blake2b", []string{"internal/address"}},
	{"golang.org/x/crypto/cryptobyte", []string{"hsm/gcpkms"}},
	{"golang.org/x/crypto/ripemd160", []string{"internal/address", "internal/realinput"}},
	{"golang.org/x/crypto/sha3", []string{"internal/address"}},
	{"golang.org/x/mod/sumdb", []string{"appliance/audit"}},
	{"golang.org/x/net/bpf", []string{"hsm/plugin", "internal/sim"}},
	{"golang.org/x/sync", []string{"appliance", "appliance/api"}},
	{"golang.org/x/sys", []string{"host", "hsm/local", "hsm/plugin", "internal/durable", "internal/secret", "internal/sim"}},
	{"golang.org/x/term", []string{"cmd/mpcd"}},
	{"golang.org/x/time", []string{"appliance/api", "appliance/transport/natsnet"}},
	{"google.golang.org/api", []string{"hsm/gcpkms"}},
	{"google.golang.org/grpc", []string{"hsm/gcpkms", "hsm/plugin", "hsm/plugin/wire", "internal/parts/gcpkms"}},
	{"google.golang.org/protobuf", []string{"hsm/gcpkms", "hsm/plugin/wire", "internal/parts/gcpkms", "vault/badgerstore"}},
	{"gopkg.in/yaml.v3", []string{"host", "policy/cases"}},
}

// lent tells whether a package may import a library of others.
func lent(library, pkg string) bool {
	for _, l := range borrowed {
		if matches(l.library+"/...", library) && any1(l.to, pkg) {
			return true
		}
	}
	return false
}

// trials are packages that start or measure what there is, suites for tests too.
var trials = []string{"scripts/...", "benchmarks/...", "internal/sim/...", "internal/realinput/..."}

// wires are the packages that make a node: host the one that ships, internal/sim the one of a seed.
var wires = []string{"host", "internal/sim"}

// matches tells whether a path fits a pattern: itself, "x/*" for one more element, "x/..." for x and all beneath, "..." for all.
func matches(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	if root, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == root || strings.HasPrefix(path, root+"/")
	}
	if root, ok := strings.CutSuffix(pattern, "/*"); ok {
		rest, under := strings.CutPrefix(path, root+"/")
		return under && !strings.Contains(rest, "/")
	}
	return pattern == path
}

func any1(patterns []string, path string) bool {
	for _, p := range patterns {
		if matches(p, path) {
			return true
		}
	}
	return false
}

// placeOf finds where a package of ours stands.
func placeOf(pkg string) (place, bool) {
	for _, p := range policy {
		if any1(p.packages, pkg) {
			return p, true
		}
	}
	return place{}, false
}
