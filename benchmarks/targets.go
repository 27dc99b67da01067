package benchmarks

// Target is a promised number.
type Target struct {
	Name   string
	Unit   string
	Floor  float64 // the gate fails beyond it; 0 if there is none
	Aim    float64
	Higher bool // more is better
	Source string
}

// Targets are all promises for keys of this build. A floor on node figures is the seed documents' word (LP-5350: keygen 2 s and
// 50 a minute, EdDSA 150 ms and 400 a second, refresh 1 s, 3-of-5); a floor on engine figures is our own aim.
var Targets = []Target{
	{"engine ed25519 sign 3-of-5", "CPU-ms", 0.6, 0.6, false, "our aim: EdDSA sign, our engine"},
	{"engine taproot sign 3-of-5", "CPU-ms", 1.2, 1.2, false, "our aim: Taproot sign, our engine"},
	{"engine ed25519 keygen 3-of-5", "CPU-ms", 10, 10, false, "our aim: keygen, our engine"},
	{"engine ed25519 refresh 3-of-5", "CPU-ms", 10, 10, false, "our aim: refresh, our engine"},
	{"engine ecdsa sign 3-of-5", "CPU-ms", 8, 8, false, "our aim: ECDSA sign, nothing precomputed"},
	{"engine ecdsa sign with a presignature 3-of-5", "CPU-ms", 0.6, 0.6, false,
		"our aim: ECDSA sign, presigned: agreement, shares, combining"},
	{"engine ecdsa pair setup 3-of-5", "CPU-ms", 2000, 800, false,
		"our aim: pair setup of 5 nodes in 2 s, be it on one CPU; PROTOCOLS A.3.1: 80 ms a pair"},
	{"engine ecdsa keygen 3-of-5", "CPU-ms", 10, 10, false, "our aim: keygen, our engine"},
	{"engine ecdsa refresh 3-of-5", "CPU-ms", 10, 10, false, "our aim: refresh, our engine; without the pair setup that comes with it"},
	{"engine ecdsa vector OLE", "CPU-ms", 1, 1, false, "our aim: a peer and party"},
	{"engine ecdsa inner product, naive / ours", "×", 3, 4, true, "PROTOCOLS A.1: 4 to 5 times slower with decred's types"},
	{"node ed25519 3-of-5 sign p50", "ms", 150, 15, false, "P-3; our first aim"},
	{"node ed25519 3-of-5 sign p99", "ms", 0, 60, false, "ours"},
	{"node ed25519 3-of-5 sustained", "1/s", 400, 800, true, "P-3; our first aim"},
	{"node ed25519 2-of-3 sign p50", "ms", 150, 15, false, "P-3; our first aim"},
	{"node ed25519 2-of-3 sustained", "1/s", 400, 800, true, "P-3; our first aim"},
	{"node ed25519 3-of-5 keygen p50", "ms", 2000, 200, false, "P-1; our first aim"},
	{"node ed25519 3-of-5 refresh p50", "ms", 1000, 250, false, "P-4; our first aim"},
	{"node ecdsa 3-of-5 first keygen", "ms", 0, 2000, false, "our aim: pair setup of 5 nodes"},
	{"node ecdsa 3-of-5 keygen p50", "ms", 2000, 200, false, "P-1; once the committee has its pair state"},
	{"node ecdsa 3-of-5 sign p50", "ms", 200, 40, false, "P-2; our first aim"},
	{"node ecdsa 3-of-5 sign p99", "ms", 0, 120, false, "our first aim"},
	{"node ecdsa 3-of-5 sustained", "1/s", 0, 150, true, "our first aim, without a pool; P-2 promises 300"},
	{"node ecdsa 3-of-5 burst from a warm pool", "1/s", 0, 400, true, "our first aim, presigned"},
	{"node 3-of-5 idle RSS", "MiB", 0, 60, false, "our aim"},
	{"node ed25519 3-of-5 coordinator's RSS", "MiB", 0, 150, false, "our aim"},
	{"node ecdsa 3-of-5 coordinator's RSS", "MiB", 0, 150, false, "our aim"},
	{"gate ed25519 3-of-5 approved of raw", "%", 0, 85, true, "our aim: reading, rules and an approval cost less than 15 %"},
	{"gate ecdsa 3-of-5 approved of raw", "%", 0, 85, true, "our aim: reading, rules and an approval cost less than 15 %"},
	{"hsm plugin overhead", "ms", 0.3, 0.3, false, "what a process border may cost a call"},
	{"node ed25519 3-of-5 sustained, TPM (swtpm) of SoftHSM", "%", 80, 80, true, "batch attestation hides a slower token"},
	{"node ed25519 3-of-5 sustained, attested by 20 operations/s", "1/s", 300, 300, true, "batch attestation hides a slow token"},
	{"dev ready 3-of-5", "s", 10, 10, false, "first signature 10 s after `mpcd dev` starts; ready comes later"},
}

// Find returns the target of a figure.
func Find(name string) (Target, bool) {
	for _, t := range Targets {
		if t.Name == name {
			return t, true
		}
	}
	return Target{}, false
}

// Misses tells whether a value is worse than the bound.
func (t Target) Misses(value, bound float64) bool {
	if bound == 0 {
		return false
	}
	if t.Higher {
		return value < bound
	}
	return value > bound
}
