package deps

import "strings"

// module is the path that every package of ours begins with.
const module = "github.com/luxfi/mpcd/"

// place is where a package stands: what of ours it may import, and what of others it must not. A pattern ends in "/..." to
// mean the package and everything beneath it. Tests are free, but for what denyTests says.
type place struct {
	packages []string // patterns, relative to the module; the first place that names a package is its own
	may      []string // patterns of our packages
	deny     []string // patterns of other packages
	why      string
}

// outside is what a function of seed and messages has no use for. Of sync, only sync/atomic is let in: a flag that says "used"
// waits for nobody.
var outside = []string{"context", "net/...", "os/...", "time", "sync", "log/...", "crypto/rand", "math/rand/...", "syscall",
	"golang.org/x/sys/...", "runtime/debug"}

var (
	ground = []string{"internal/canon", "internal/secret"}
	files  = append([]string{"internal/durable"}, ground...)
)

// forTests are the packages that only tests import.
var forTests = []string{"threshold/thresholdtest", "hsm/hsmtest", "vault/vaulttest", "appliance/transport/transporttest", "internal/sim",
	"internal/libsecp", "internal/docs", "internal/canon/canontest"}

// policy is the text of ARCHITECTURE section 3, most particular first.
var policy = []place{
	{packages: ground, why: "they are the ground"},
	{packages: []string{"internal/durable"}, may: ground, why: "files know no keys and no nodes"},
	{packages: []string{"internal/address"}, may: ground, why: "an address is a function of a public key"},
	{packages: []string{"internal/canon/canontest"}, may: []string{"internal/canon"}, why: "it fuzzes what canon decodes"},
	{packages: []string{"internal/tpmkey"},
		why: "one who makes keys in a TPM and one who judges them mean the same by them; it knows neither"},
	{packages: []string{"internal/deps", "internal/docs"}, why: "they read the source only"},
	{packages: []string{"internal/libsecp"}, why: "a judge shares no code with what it judges"},

	{packages: []string{"threshold/internal/..."}, may: append([]string{"threshold/internal/..."}, ground...), deny: outside,
		why: "a run must be a function of seed and messages"},
	{packages: []string{"threshold"}, may: append([]string{"threshold/internal/..."}, ground...), deny: outside,
		why: "a run must be a function of seed and messages"},
	{packages: []string{"threshold/dkg"}, may: append([]string{"threshold", "threshold/internal/..."}, ground...), deny: outside,
		why: "one DKG serves every scheme and knows none"},
	{packages: []string{"threshold/schemes"}, may: append([]string{"threshold/..."}, ground...), deny: outside,
		why: "it is the list of schemes"},
	{packages: []string{"threshold/thresholdtest"}, may: append([]string{"threshold", "threshold/internal/..."}, ground...), deny: outside,
		why: "the simulated network is a function of its seed"},
	{packages: []string{"threshold/*"}, may: append([]string{"threshold", "threshold/dkg", "threshold/internal/..."}, ground...),
		deny: outside, why: "a scheme never imports another: a mistake must stay local"},

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
	{packages: []string{"attest", "attest/*"}, may: append([]string{"attest", "hsm", "threshold"}, ground...),
		why: "verifiers elsewhere want it alone"},

	{packages: []string{"appliance/transport/internal/..."}, may: append([]string{"appliance/transport"}, ground...),
		why: "it serves the networks"},
	{packages: []string{"appliance/transport"}, may: ground, why: "it carries bytes"},
	{packages: []string{"appliance/transport/*"}, may: append([]string{"appliance/transport", "appliance/transport/internal/..."}, ground...),
		why: "a network only moves bytes"},
	{packages: []string{"appliance/problem"}, may: append([]string{"appliance/transport"}, ground...),
		why: "it is a leaf: everybody fails in its words, and it names nothing but nodes"},
	{packages: []string{"appliance/audit", "appliance/operation"}, may: append([]string{"appliance/problem", "vault"}, files...),
		why: "records of what was done and asked know neither keys nor peers"},
	{packages: []string{"appliance/policy"}, may: append([]string{"attest", "threshold"}, ground...),
		why: "a verdict is a function of an intent and a committee"},
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
		"appliance/problem", "appliance/transport", "attest", "client/wire", "internal/address", "threshold"}, ground...),
		why: "it speaks HTTP for the node; nothing else"},
	{packages: []string{"appliance"}, may: append([]string{"threshold", "hsm", "vault", "attest", "appliance/audit", "appliance/ceremony",
		"appliance/keys", "appliance/operation", "appliance/policy", "appliance/presign", "appliance/problem", "appliance/transport"}, files...),
		why: "it is given drivers, stores, networks and schemes as values; host chooses"},

	{packages: []string{"client/wire"}, may: ground, why: "the words of the API stand alone"},
	{packages: []string{"client", "client/*"}, may: []string{"client/..."}, why: "users link the client without the node"},

	{packages: []string{"host/fault"}, why: "what went wrong on a host is known by whoever says it"},
	{packages: []string{"host"},
		may: append([]string{"host/fault", "appliance/...", "threshold", "threshold/schemes", "threshold/dkls23", "attest", "hsm/...", "softhsm",
			"vault/...", "client/wire"}, files...), why: "it makes a node: it alone names drivers, stores and networks"},
	{packages: []string{"enrol"}, may: append([]string{"host", "host/fault", "attest", "attest/appraise", "hsm", "threshold", "appliance/api",
		"appliance/transport", "appliance/transport/natsnet"}, files...),
		why: "it says who is a member: host opens what it needs; it issues what natsnet's routes and the API trust"},
	{packages: []string{"internal/dev"}, may: []string{"host", "host/fault", "enrol", "hsm", "threshold", "threshold/schemes", "client/..."},
		why: "its nodes are processes, which it reaches as a client"},

	{packages: []string{"cmd/..."}, may: append([]string{"host", "host/fault", "enrol", "internal/dev", "appliance", "appliance/problem",
		"appliance/transport", "threshold", "attest", "attest/appraise", "client/...", "hsm", "vault", "threshold/schemes"}, files...),
		why: "it has flags, output and exit codes; what it opens, host opens"},
	{packages: []string{"scripts/...", "benchmarks/...", "internal/sim/...", "internal/realinput/..."}, may: []string{"..."},
		why: "everything below may be used here"},
}

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
