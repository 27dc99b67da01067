package attest

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dunglas/httpsfv"

	"github.com/luxfi/mpcd/internal/canon"
)

// httpParameters are those of an HTTP message signature by hot, who has an Ed25519 key, that expires a minute after asked was made.
const httpParameters = `("mpcd-initiation");created=1000;expires=1060;keyid="hot";tag="mpcd/v1/initiation"`

// asHTTP has an initiator sign an intent as an HTTP message signature with parameters, whatever they are, for a minute from when it was
// made.
func (p people) asHTTP(tb testing.TB, in *Intent, who, parameters string) {
	tb.Helper()
	x := &Initiation{By: who, Expires: in.Created + 60_000, Parameters: parameters}
	var err error
	x.Signature, err = p.sign(who)(x.base(*in))
	must(tb, err)
	in.Initiation = x
}

// Goal: what is signed as an HTTP message signature is judged as every initiation is, and its parameters are the initiation's. Method: good
// ones of keys of either kind, in other orders, with what may be left out; then signed ones with one parameter wrong, and changes after
// signing.
func TestHTTPSignature(t *testing.T) {
	p := newPeople(t, "hot", "payments", "olga", "otto", "oyuki") // payments has a P-256 key
	a, now := p.authority(t), time.UnixMilli(1_000_000)
	for _, who := range []string{"hot", "payments"} {
		in := asked(a)
		x, err := in.InitiateHTTP(who, now, now.Add(time.Minute+time.Millisecond), p.sign(who))
		must(t, err)
		in.Initiation = x
		must(t, in.Validate())
		must(t, a.CheckInitiation(in, now.Add(time.Minute)))
		if want := strings.Replace(httpParameters, "hot", who, 1); x.Parameters != want || x.Expires != 1_060_000 {
			t.Errorf("it is signed with %s, expires %d", x.Parameters, x.Expires)
		}
	}
	for parameters, who := range map[string]string{
		httpParameters: "hot",
		`("mpcd-initiation");tag="mpcd/v1/initiation";keyid="hot";alg="ed25519";expires=1060`:                            "hot",
		`("mpcd-initiation");nonce="a =";alg="ecdsa-p256-sha256";tag="mpcd/v1/initiation";keyid="payments";expires=1060`: "payments",
	} {
		in := asked(a)
		p.asHTTP(t, &in, who, parameters)
		if err := errors.Join(in.Validate(), a.CheckInitiation(in, now)); err != nil {
			t.Errorf("%s: %v", parameters, err)
		}
	}
	change := func(old, new string) string { return strings.Replace(httpParameters, old, new, 1) }
	for name, x := range map[string]struct{ parameters, want string }{
		"covers more":     {change(`n")`, `n" "@method")`), "and nothing else"},
		"covers less":     {change(`"mpcd-initiation"`, ``), "and nothing else"},
		"no parameters":   {`("mpcd-initiation")`, "and nothing else"},
		"too long":        {httpParameters + `;nonce="` + strings.Repeat("a", maxParameters) + `"`, "at most 512 bytes"},
		"unknown":         {httpParameters + ";a=1", "as RFC 9421 writes them"},
		"a blank":         {change(";created", "; created"), "as RFC 9421 writes them"},
		"escaped":         {httpParameters + `;nonce="\""`, "as RFC 9421 writes them"},
		"an old time":     {change("=1000", "=01000"), "as RFC 9421 writes them"},
		"too late":        {change("=1000", "=1000000000000"), "as RFC 9421 writes them"},
		"no text":         {change(`="hot"`, `=hot`), "as RFC 9421 writes them"},
		"no seconds":      {change(`=1060`, `="1060"`), "as RFC 9421 writes them"},
		"twice":           {httpParameters + `;expires=1060`, "the parameter expires twice"},
		"another tag":     {change("v1", "v2"), "its tag is"},
		"no tag":          {change(`;tag="mpcd/v1/initiation"`, ""), "its tag is"},
		"never expires":   {change(";expires=1060", ""), "no parameter expires"},
		"no keyid":        {change(`;keyid="hot"`, ""), "no initiator's name"},
		"an odd keyid":    {change(`"hot"`, `"Hot"`), "no initiator's name"},
		"another keyid":   {change(`"hot"`, `"payments"`), "those of the initiation others"},
		"another expiry":  {change("1060", "1061"), "those of the initiation others"},
		"another alg":     {httpParameters + `;alg="ecdsa-p256-sha256"`, `that of the key "ed25519"`},
		"an empty alg":    {httpParameters + `;alg=""`, "as RFC 9421 writes them"},
		"a longer nonce":  {httpParameters + `;nonce="a b"`, ""},
		"nothing of that": {httpParameters, ""},
	} {
		in := asked(a)
		p.asHTTP(t, &in, "hot", x.parameters)
		if err := a.CheckInitiation(in, now); x.want == "" && err != nil || x.want != "" && (!errors.Is(err, ErrNotInitiated) ||
			!strings.Contains(err.Error(), x.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, bend := range map[string]func(in *Intent){
		"another payment":      func(in *Intent) { in.Message = Hex("more") },
		"other parameters":     func(in *Intent) { in.Initiation.Parameters = change("1000", "1001") },
		"as no HTTP signature": func(in *Intent) { in.Initiation.Parameters = "" },
		"as one that it is not": func(in *Intent) {
			in.Initiation, _ = in.Initiate("hot", now.Add(time.Minute), p.sign("hot"))
			in.Initiation.Parameters = httpParameters
		},
	} {
		in := asked(a)
		p.asHTTP(t, &in, "hot", httpParameters)
		bend(&in)
		if err := a.CheckInitiation(in, now); !errors.Is(err, ErrNotInitiated) || !strings.Contains(err.Error(), "does not verify") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Goal: what does not come as an HTTP message signature is encoded as it was before there were any. Method: the bytes, written out.
func TestInitiationKept(t *testing.T) {
	const want = "a3" + "0163686f74" + "0201" + "034102"
	if got := hex.EncodeToString(canon.MustMarshal(Initiation{By: "hot", Expires: 1, Signature: Hex{2}})); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Goal: the bytes that are signed are those of RFC 9421. Method: what section 2.5 makes of the field and the parameters, written out; and
// its own examples of both algorithms (B.2.4, B.2.6), whose signatures must hold over the bases it prints.
func TestSignatureBase(t *testing.T) {
	in := asked(newPeople(t, everybody...).authority(t))
	x := Initiation{By: "hot", Expires: 1_060_000, Parameters: httpParameters}
	const want = `"mpcd-initiation": :mnq4HGD3m0703+NrPSACxGP2PtjautFozghrlUkmr9k=:` + "\n" + `"@signature-params": ` + httpParameters
	if got := string(x.base(in)); got != want {
		t.Errorf("%s", got)
	}
	for key, example := range map[string][2]string{
		"MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=": {`"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@authority": example.com
"content-type": application/json
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
			"wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="},
		"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lfw0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==": {
			`"@status": 200
"content-type": application/json
"content-digest": sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:
"content-length": 23
"@signature-params": ("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256"`,
			"wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw=="},
	} {
		der, _ := base64.StdEncoding.DecodeString(key)
		sig, _ := base64.StdEncoding.DecodeString(example[1])
		if err := verifyMessage(der, []byte(example[0]), sig); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// Goal: no text of a stranger panics the parser, and what it takes is what structured fields (RFC 9651) have, in their one form: the base
// of a signature is the same for whoever makes it. Method: fuzz, against another parser.
func FuzzParameters(f *testing.F) {
	f.Add(httpParameters)
	f.Add(httpParameters + `;alg="ed25519";nonce="a b"`)
	f.Add(`("mpcd-initiation" "@method");expires=01`)
	f.Fuzz(func(t *testing.T, text string) {
		x, alg, err := ParseParameters(text)
		if err != nil {
			return
		}
		list, err := httpsfv.UnmarshalList([]string{text})
		if err != nil || len(list) != 1 {
			t.Fatalf("%q is no list: %v", text, err)
		}
		again, err := httpsfv.Marshal(list)
		if err != nil || again != text || x.Parameters != text {
			t.Fatalf("%q is %q: %v", text, again, err)
		}
		of := list[0].(httpsfv.InnerList).Params
		by, _ := of.Get("keyid")
		expires, _ := of.Get("expires")
		other, ok := of.Get("alg")
		if by != x.By || fmt.Sprint(expires, "000") != fmt.Sprint(x.Expires) || ok && other != alg || !ok && alg != "" {
			t.Errorf("%q: %+v, %q", text, x, alg)
		}
	})
}
