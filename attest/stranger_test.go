package attest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/internal/parts/moto"
	"github.com/luxfi/mpcd/internal/passkey/passkeytest"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkls23"
	"github.com/luxfi/mpcd/threshold/frost"
)

// stranger runs testdata/verify.py, with the Python that scripts/setup.sh makes for moto, of pinned parts, and returns its answers by file.
func stranger(t *testing.T, roster *SignedRoster, pin string, receipts map[string][]byte, who ...AuthorityChain) (answers map[string]string,
	all bool) {
	t.Helper()
	root, err := moto.Root()
	must(t, err)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "roster"), roster.JSON(), 0o600))
	args := []string{filepath.Join(root, "attest/testdata/verify.py"), filepath.Join(dir, "roster"), pin}
	for _, c := range who {
		must(t, os.WriteFile(filepath.Join(dir, "authority"), c.JSON(), 0o600))
		args = append(args, "--authority", filepath.Join(dir, "authority"))
	}
	names := map[string]string{}
	for name, b := range receipts {
		file := filepath.Join(dir, fmt.Sprint(len(names)))
		must(t, os.WriteFile(file, b, 0o600))
		names[file] = name
		args = append(args, file)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "bin/moto/bin/python"), args...)
	var failed bytes.Buffer
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if failed.Len() > 0 {
		return map[string]string{"": failed.String()}, false
	}
	answers = map[string]string{}
	for line := range strings.Lines(string(out)) {
		verdict, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		file, why, _ := strings.Cut(rest, " ")
		answers[names[file]] = strings.TrimSpace(verdict + " " + why)
	}
	return answers, err == nil
}

// Goal: a stranger's verifier, written from docs/RECEIPTS.md in another language, takes the receipts that we make and no altered one, and
// agrees with ours. Method: receipts of every kind of key, all single changes of one, those that its settlement covers again, and pins.
func TestStrangerVerifies(t *testing.T) {
	for _, scheme := range []threshold.Scheme{frost.Ed25519, frost.Taproot, dkls23.Scheme{}} {
		c := newClusterOf(t, scheme)
		receipts := map[string][]byte{"good": c.under(t, nil, nil).JSON()}
		if d, ok := scheme.(threshold.Deriver); ok {
			path := []uint32{0, 5}
			_, tweaks, err := Derive(d, c.shares[0].KeyInfo, path)
			must(t, err)
			receipts["good, below"] = c.under(t, path, tweaks).JSON()
			receipts["another path's tweak"] = c.under(t, []uint32{0, 6}, tweaks).JSON()
			receipts["a tweak without a path"] = c.under(t, nil, tweaks).JSON()
		}
		for name, bend := range map[string]func(*Receipt){
			"recovery ID": func(r *Receipt) { r.RecoveryID ^= 1 },
			"signature":   func(r *Receipt) { r.Signature[40] ^= 1 },
			"share":       func(r *Receipt) { r.Shares[0].Share[5] ^= 1 },
			"chain code":  func(r *Receipt) { r.Key.ChainCode[0] ^= 1 },
			"session":     func(r *Receipt) { r.PresignSession[0] ^= 1 },
			"verdict":     func(r *Receipt) { r.Policy.Verdict = "forbid" },
			"signers":     func(r *Receipt) { r.Signers = []threshold.PartyID{1, 2} },
			"time":        func(r *Receipt) { r.Time++ },
		} {
			r, err := ParseReceipt(receipts["good"])
			must(t, err)
			bend(r)
			c.settle(t, r)
			receipts[name] = r.JSON()
		}
		if scheme.ID() == frost.Ed25519.ID() {
			mutate(generic(receipts["good"]), "", func(root any, what string, _ bool) {
				b, err := json.Marshal(root)
				must(t, err)
				receipts[what] = b
			})
			if len(receipts) < 400 {
				t.Errorf("only %d changes", len(receipts))
			}
		}
		answers, _ := stranger(t, c.roster, c.roster.Fingerprint(), receipts)
		for name, b := range receipts {
			good := strings.HasPrefix(name, "good")
			r, err := ParseReceipt(b)
			if err == nil {
				err = VerifyReceipt(r, c.roster, testScheme, ReceiptOptions{})
			}
			if verdict, _, _ := strings.Cut(answers[name], " "); (verdict == "valid") != good || verdict == "" || (err == nil) != good {
				t.Errorf("%s: %s: %q; ours: %v", scheme.ID(), name, answers[name]+answers[""], err)
			}
		}
	}
}

// tokenOf finds the strings and the numbers of JSON, and numbers within strings.
var tokenOf = regexp.MustCompile(`"[^"]*"|-?[0-9]+`)

// altered is a text with one thing changed that leaves most of it as it was: bytes anywhere, or a string or number in another form.
func altered(r *rand.Rand, text []byte) []byte {
	put := func(from, to int, s string) []byte {
		return append(append(append([]byte{}, text[:from]...), s...), text[to:]...)
	}
	odd := []string{" ", "\t", "\n", "\r", "\v", "\u00a0", "\ufeff", "\u0661", "\uff11", "\xff", "\x00", "_", "+", "-", ".", "0", "1", "a",
		"A", "\\u0030", "\\n", ",", "e1", "\"", "{", "]"}
	at, token := r.IntN(len(text)), tokenOf.FindAllIndex(text, -1)
	from := token[r.IntN(len(token))]
	old := string(text[from[0]:from[1]])
	switch r.IntN(7) {
	case 0:
		return put(at, at+1, string([]byte{text[at] ^ 1<<r.IntN(8)}))
	case 1:
		return put(at, min(len(text), at+1+r.IntN(3)), "")
	case 2:
		return put(at, at, odd[r.IntN(len(odd))])
	case 3: // within a token
		at = from[0] + r.IntN(len(old)+1)
		return put(at, at, odd[r.IntN(len(odd))])
	case 4: // one digit, or letter, written as an escape, or in another script
		at = from[0] + r.IntN(len(old))
		forms := []string{fmt.Sprintf("\\u%04x", text[at]), string(rune(text[at]) + 0xfee0), strings.ToUpper(string(text[at]))}
		return put(at, at+1, forms[r.IntN(len(forms))])
	case 5:
		numbers := []string{"-" + old, old + ".0", old + "e0", old + "E3", "0" + old, "+" + old, "NaN", "Infinity", "-0", "true", "false",
			"null", "18446744073709551616", "-9223372036854775809", "1" + strings.Repeat("0", 5000),
			strings.Trim(old, "\""), "\"" + old + "\"", "[" + old + "]"}
		return put(from[0], from[1], numbers[r.IntN(len(numbers))])
	}
	lines := bytes.SplitAfter(text, []byte("\n")) // a line, and with it a field, twice, or at another place
	one := bytes.TrimRight(lines[r.IntN(len(lines))], ",\n")
	return bytes.Replace(text, []byte("{\n"), append(append([]byte("{\n"), one...), ",\n"...), 1+r.IntN(3))
}

// Goal: of an altered receipt both verifiers say the same, so that nobody is shown one that another refuses: hex with blanks, numbers in a
// second form, fields twice, what is longer than we read. Method: random alterations (of a seed) of receipts of two kinds, and each such
// alteration on purpose.
func TestStrangerAgrees(t *testing.T) {
	for _, scheme := range []threshold.Scheme{frost.Ed25519, dkls23.Scheme{}} {
		c, r := newClusterOf(t, scheme), rand.New(rand.NewPCG(30, 11))
		good := c.under(t, nil, nil).JSON()
		receipts := map[string][]byte{
			"a blank in hex":  bytes.Replace(good, []byte(`"signature": "0x`), []byte(`"signature": "0x `), 1),
			"a line end":      bytes.Replace(good, []byte("\",\n  \"recovery_id\""), []byte("\\n\",\n  \"recovery_id\""), 1),
			"minus zero":      bytes.Replace(good, []byte(`"recovery_id": 0`), []byte(`"recovery_id": -0`), 1),
			"minus zero, too": bytes.Replace(good, []byte(`"index": 0`), []byte(`"index": -0`), 1),
			"too long":        append(bytes.Clone(good), bytes.Repeat([]byte(" "), MaxJSON)...),
			"as long":         append(bytes.Clone(good), bytes.Repeat([]byte(" "), MaxJSON-len(good))...),
		}
		for i := range 1200 {
			b := good
			for range 1 + r.IntN(2) {
				b = altered(r, b)
			}
			receipts[fmt.Sprint(i)] = b
		}
		answers, _ := stranger(t, c.roster, c.roster.Fingerprint(), receipts)
		taken := 0
		for name, b := range receipts {
			err := c.judge(b, ReceiptOptions{})
			verdict, _, _ := strings.Cut(answers[name], " ")
			if (verdict == "valid") != (err == nil) || verdict == "" {
				t.Errorf("%s: %s: %q; ours: %v", scheme.ID(), name, answers[name]+answers[""], err)
			}
			if err == nil {
				taken++
			}
		}
		if taken < 20 || taken > 600 {
			t.Errorf("%s: both take %d of %d; the alterations are too hard or too soft", scheme.ID(), taken, len(receipts))
		}
	}
}

// Goal: the stranger's verifier holds the roster to what is pinned, and its signature. Method: pins of both kinds, another's, and a roster
// with one field changed; the receipt that was kept.
func TestStrangerPins(t *testing.T) {
	roster, err := LoadRoster("testdata/receipt_v2_roster.json")
	must(t, err)
	kept, err := os.ReadFile("testdata/receipt_v2.json")
	must(t, err)
	receipts := map[string][]byte{"kept": kept}
	for _, pin := range []string{roster.Root.String(), roster.Fingerprint()} {
		if answers, all := stranger(t, roster, pin, receipts); !all || answers["kept"] != "valid" {
			t.Errorf("%s: %v", pin, answers)
		}
	}
	if _, all := stranger(t, roster, "0x"+strings.Repeat("11", 32), receipts); all {
		t.Error("another operator's roster is taken")
	}
	roster.Roster.Serial++
	if _, all := stranger(t, roster, roster.Root.String(), receipts); all {
		t.Error("a changed roster is taken")
	}
}

// Goal: a receipt shows to a stranger who asked, and one for which nobody did who might, or under an authority that does not hold, is
// refused, by ours and by a verifier in another language. Method: receipts of a cluster whose every token and share agreed to them, under
// the second authority of a chain; then chains with one thing wrong.
func TestReceiptShowsWhoAsked(t *testing.T) {
	c := newClusterOf(t, frost.Ed25519)
	p := newPeople(t, agreeing...)
	p.root = c.root
	a := p.authority(t)
	a.Approvers = p.treasury(t).Approvers
	key := passkeytest.New(Localhost, false)
	a.Approvers[1].Key, a.Approvers[1].Passkey = key.Public(), &Passkey{Localhost, []string{"http://localhost"}}
	b := p.after(a)
	b.Initiators = b.Initiators[1:] // hot is gone
	chain := AuthorityChain{p.signed(t, a, RootSigner), p.signed(t, b, "olga", "oyuki")}
	ask := func(of Authority, who string, bend func(in *Intent)) []byte {
		in := c.intent("pay bob 5")
		digest := of.Digest()
		in.Vault, in.Authority = "trading", digest[:]
		x, err := in.Initiate(who, time.UnixMilli(in.Created).Add(time.Minute), p.sign(who))
		must(t, err)
		if in.Initiation = x; bend != nil {
			bend(&in)
		}
		return c.receiptOf(t, []Intent{c.intent("pay bob 5"), in}).JSON()
	}
	approve := func(by string, bend func(x *Approval)) func(in *Intent) {
		return func(in *Intent) {
			x, err := in.Approve(nil, by, time.UnixMilli(in.Created).Add(time.Minute), false, p.sign(by))
			must(t, err)
			if bend != nil {
				bend(x)
			}
			in.Approvals = append(in.Approvals, *x)
		}
	}
	byPasskey := func(origin string, bend func(x *assertion)) func(in *Intent) {
		return func(in *Intent) {
			expires := in.Created + 1
			message, err := in.ApprovalMessage(nil, "ben", expires, false)
			must(t, err)
			s := key.Sign(origin, PasskeyChallenge(message))
			word, _ := assertion{s.AuthenticatorData, string(s.ClientData)}.word(key, bend)
			word.By, word.Expires = "ben", expires
			in.Approvals = append(in.Approvals, word)
		}
	}
	byHTTP := func(old, new string) func(in *Intent) { // signed with a change of its parameters
		return func(in *Intent) {
			const good = `("mpcd-initiation");created=1760000000;expires=1760000060;keyid="payments";tag="mpcd/v1/initiation"`
			p.asHTTP(t, in, "payments", strings.Replace(good, old, new, 1))
		}
	}
	const origin = "http://localhost:8123"
	text := func(old, new string) func(*assertion) { // another text than the browser's
		return func(x *assertion) { x.text = strings.Replace(x.text, old, new, 1) }
	}
	receipts := map[string][]byte{
		"good, approved":        ask(b, "payments", func(in *Intent) { approve("ann", nil)(in); byPasskey(origin, nil)(in) }),
		"good, by passkey":      ask(b, "payments", byPasskey("http://localhost", text("false}", `false,"a":"b"}`))),
		"another origin":        ask(b, "payments", byPasskey("http://localhost:08123", nil)),
		"another challenge":     ask(b, "payments", byPasskey(origin, text(`"challenge":"`, `"challenge":"A`))),
		"in a frame":            ask(b, "payments", byPasskey(origin, text("false", "true"))),
		"below another":         ask(b, "payments", byPasskey(origin, text("false}", `false,"topOrigin":"https://a.example"}`))),
		"another end":           ask(b, "payments", byPasskey(origin, text("false}", `false}}`))),
		"another RP ID":         ask(b, "payments", byPasskey(origin, func(x *assertion) { x.data[0] ^= 1 })),
		"not verified":          ask(b, "payments", byPasskey(origin, func(x *assertion) { x.data[32] = 1 })),
		"extended":              ask(b, "payments", byPasskey(origin, func(x *assertion) { x.data[32] |= 0x80 })),
		"copied, it cannot":     ask(b, "payments", byPasskey(origin, func(x *assertion) { x.data[32] |= 0x10 })),
		"by its key, as it is":  ask(b, "payments", func(in *Intent) { byPasskey(origin, nil)(in); in.Approvals[0].Assertion = nil }),
		"a key's, by passkey":   ask(b, "payments", func(in *Intent) { byPasskey(origin, nil)(in); in.Approvals[0].By = "ann" }),
		"approved, with a bit":  ask(b, "payments", approve("ann", func(x *Approval) { x.Signature[5] ^= 1 })),
		"approved as another":   ask(b, "payments", approve("ann", func(x *Approval) { x.By = "ben" })),
		"approved by a payer":   ask(b, "payments", approve("ann", func(x *Approval) { x.By = "payments" })),
		"approved for longer":   ask(b, "payments", approve("ann", func(x *Approval) { x.Expires++ })),
		"good":                  ask(b, "payments", nil),
		"good, under the first": ask(a, "hot", nil),
		"nobody":                c.receipt(t).JSON(),
		"who may not any more":  ask(b, "hot", nil),
		"of another vault":      ask(a, "hot", func(in *Intent) { in.Vault = "cold" }),
		"another payment":       ask(b, "payments", func(in *Intent) { in.Message = Hex("pay bob 6") }),
		"another chain":         ask(b, "payments", func(in *Intent) { in.Chain = "sui" }),
		"after its time": ask(b, "payments", func(in *Intent) {
			in.Initiation, _ = in.Initiate("payments", time.UnixMilli(in.Created-1), p.sign("payments"))
		}),
		"good, by HTTP":             ask(b, "payments", byHTTP("", "")),
		"good, of the alg":          ask(b, "payments", byHTTP(`;tag`, `;alg="ecdsa-p256-sha256";nonce="a b";tag`)),
		"by HTTP, covers more":      ask(b, "payments", byHTTP(`n")`, `n" "@method")`)),
		"by HTTP, unknown":          ask(b, "payments", byHTTP(`;tag`, `;a=1;tag`)),
		"by HTTP, twice":            ask(b, "payments", byHTTP(`;tag`, `;created=1;tag`)),
		"by HTTP, with a blank":     ask(b, "payments", byHTTP(`;tag`, `; tag`)),
		"by HTTP, another tag":      ask(b, "payments", byHTTP(`v1`, `v2`)),
		"by HTTP, another's":        ask(b, "payments", byHTTP(`payments`, `hot`)),
		"by HTTP, longer":           ask(b, "payments", byHTTP(`expires=1760000060`, `expires=1760000061`)),
		"by HTTP, without an end":   ask(b, "payments", byHTTP(`;expires=1760000060`, ``)),
		"by HTTP, another alg":      ask(b, "payments", byHTTP(`;tag`, `;alg="ed25519";tag`)),
		"by HTTP, an empty nonce":   ask(b, "payments", byHTTP(`;tag`, `;nonce="";tag`)),
		"by HTTP, another payment":  ask(b, "payments", func(in *Intent) { byHTTP("", "")(in); in.Message = Hex("pay bob 6") }),
		"by HTTP, changed":          ask(b, "payments", func(in *Intent) { byHTTP("", "")(in); in.Initiation.Parameters += `;nonce="a"` }),
		"by HTTP, in part":          ask(b, "payments", func(in *Intent) { byHTTP("", "")(in); in.Initiation.Expires++ }),
		"not by HTTP":               ask(b, "payments", func(in *Intent) { byHTTP("", "")(in); in.Initiation.Parameters = "" }),
		"an unknown authority":      ask(p.after(b), "payments", nil),
		"a word with a changed end": ask(b, "payments", func(in *Intent) { in.Initiation.Signature[63] ^= 1 }),
	}
	judge := func(name string, b []byte, chain AuthorityChain) error {
		r, err := ParseReceipt(b)
		must(t, err)
		return VerifyReceipt(r, c.roster, testScheme, ReceiptOptions{Authority: chain})
	}
	answers, _ := stranger(t, c.roster, c.roster.Fingerprint(), receipts, chain)
	for name, b := range receipts {
		good, err := strings.HasPrefix(name, "good"), judge(name, b, chain)
		if verdict, _, _ := strings.Cut(answers[name], " "); (verdict == "valid") != good || verdict == "" || (err == nil) != good {
			t.Errorf("%s: %q; ours: %v", name, answers[name]+answers[""], err)
		}
		if err := judge(name, b, nil); err != nil {
			t.Errorf("%s, where it is not judged who asked: %v", name, err)
		}
	}
	other := newPeople(t, everybody...)
	for name, bad := range map[string]AuthorityChain{
		"another root's":      {other.signed(t, a, RootSigner), chain[1]},
		"by too few officers": {chain[0], p.signed(t, b, "olga")},
		"without the first":   chain[1:],
		"in another order":    {chain[1], chain[0]},
	} {
		good := map[string][]byte{"good": receipts["good"]}
		if _, all := stranger(t, c.roster, c.roster.Fingerprint(), good, bad); all || judge(name, good["good"], bad) == nil {
			t.Errorf("a chain %s is taken", name)
		}
	}
}

// solanaTransfer is a message of Solana that pays lamports from a key to nobody in particular (legacy form).
func solanaTransfer(from []byte, lamports byte) Hex {
	b := append([]byte{1, 0, 1, 3}, from...)
	b = append(append(b, bytes.Repeat([]byte{9}, 32)...), make([]byte, 32)...) // to, the system program
	b = append(b, bytes.Repeat([]byte{7}, 32)...)                              // blockhash
	return append(b, 1, 2, 2, 0, 1, 12, 2, 0, 0, 0, lamports, 0, 0, 0, 0, 0, 0, 0)
}

// Goal: a receipt shows to a stranger the transaction that was asked for, that what was signed is its message, and that the rules of the
// authority permit it. Method: a transfer of Solana, as asked for; another than the initiator signed for, judged by the verifier in another
// language too; a signature of other bytes than its transaction's, and one that the rules forbid, of which every token and share agreed.
func TestReceiptShowsTransaction(t *testing.T) {
	c := newClusterOf(t, frost.Ed25519)
	c.chain = "solana"
	p := newPeople(t, everybody...)
	p.root = c.root
	a := p.authority(t)
	a.Policy = `@id("small") permit (principal, action == Action::"sign", resource) when { context.amount.lessThan(decimal("0.0002")) };`
	chain := AuthorityChain{p.signed(t, a, RootSigner)}
	from := c.shares[0].GroupKey
	ask := func(pay, message Hex, bend func(in *Intent)) []byte {
		in, digest := c.intent(string(message)), a.Digest()
		in.Vault, in.Authority, in.Payload = "trading", digest[:], &Payload{Format: "transaction", Bytes: pay}
		x, err := in.Initiate("payments", time.UnixMilli(in.Created).Add(time.Minute), p.sign("payments"))
		must(t, err)
		in.Initiation = x
		bend(&in)
		return c.receiptOf(t, []Intent{c.intent("pay bob 5"), in}).JSON()
	}
	leave := func(*Intent) {}
	five, six, most := solanaTransfer(from, 5), solanaTransfer(from, 6), solanaTransfer(from, 5)
	most[len(most)-5] = 1 // 2³² lamports more
	receipts := map[string][]byte{
		"good":                ask(five, five, leave),
		"another transaction": ask(five, six, func(in *Intent) { in.Payload = &Payload{Format: "transaction", Bytes: six} }),
		"another format":      ask(five, five, func(in *Intent) { in.Payload.Format = "message" }),
	}
	answers, _ := stranger(t, c.roster, c.roster.Fingerprint(), receipts, chain)
	receipts["other bytes"], receipts["too much"] = ask(five, six, leave), ask(most, most, leave)
	receipts["cut short"] = ask(five[:len(five)-1], five[:len(five)-1], leave)
	for name, want := range map[string]string{"good": "", "another transaction": "initiation", "another format": "initiation",
		"other bytes": "not that of the payload", "too much": "denied by rule", "cut short": "payload"} {
		r, err := ParseReceipt(receipts[name])
		must(t, err)
		err = VerifyReceipt(r, c.roster, testScheme, ReceiptOptions{Authority: chain})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
		if verdict, _, _ := strings.Cut(answers[name], " "); answers[name] != "" && (verdict == "valid") != (want == "") {
			t.Errorf("%s, the other verifier: %q", name, answers[name])
		}
	}
	if answers["good"] == "" {
		t.Errorf("the other verifier says %v", answers)
	}
	r, err := ParseReceipt(receipts["good"])
	must(t, err)
	d, err := r.Decode(c.roster.Roster, testScheme)
	if err != nil || len(d.Transfers) != 1 || d.Transfers[0].Amount.Int64() != 5 {
		t.Errorf("%+v, %v", d, err)
	}
}

// Goal: a key signs no transaction of a network that does not take its signatures, whatever bytes the key has. Method: the same transfer of
// Solana for an Ed25519 key, and for a Taproot key whose x coordinate stands where Solana has its signer.
func TestPayloadOfTheKey(t *testing.T) {
	for _, scheme := range []threshold.Scheme{frost.Ed25519, frost.Taproot} {
		c := newClusterOf(t, scheme)
		key := c.shares[0].GroupKey
		p := Payload{Format: "transaction", Bytes: solanaTransfer(key[len(key)-32:], 5)}
		if _, err := p.Decode("solana", nil, scheme, c.shares[0].KeyInfo); (err == nil) != (scheme == frost.Ed25519) {
			t.Errorf("%s: %v", scheme.ID(), err)
		}
	}
}
