package awskms

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luxfi/mpcd/hsm"
)

// Goal: what passes is survived: throttling, 5xx, lost connections, garbage, answers that do not come. Method: a proxy that does it
// twice before it lets the request through.
func TestTransientFaults(t *testing.T) {
	l := fast
	l.attempt = time.Second // time enough for moto on a busy machine
	p, tok := behind(t, l)
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request){
		"throttling":      func(w http.ResponseWriter, _ *http.Request) { refuse(w, 400, "ThrottlingException", "Rate exceeded") },
		"internal":        func(w http.ResponseWriter, _ *http.Request) { refuse(w, 500, "KMSInternalException", "") },
		"unavailable key": func(w http.ResponseWriter, _ *http.Request) { refuse(w, 500, "KeyUnavailableException", "") },
		"bad gateway":     func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) },
		"cut connection":  func(w http.ResponseWriter, _ *http.Request) { cut(w) },
		"no answer":       func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			_, _ = w.Write([]byte("{"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p.harm(func(w http.ResponseWriter, r *http.Request, _ string, n int) bool {
				if n <= 2 {
					fault(w, r)
				}
				return n <= 2
			}, nil)
			if _, err := tok.Sign(t.Context(), "p", []byte("m")); err != nil {
				t.Error(err)
			}
			if n := p.count("Sign"); n != 3 {
				t.Errorf("%d requests, want 3", n)
			}
		})
	}
}

// Goal: what does not pass is named within the deadline: the cause, the number of attempts, hsm.ErrUnavailable. Method: a proxy that
// never gives in, callers with and without a deadline.
func TestLastingFaults(t *testing.T) {
	p, tok := behind(t, fast)
	tok.limits.call, tok.limits.backoff = 700*time.Millisecond, 20*time.Millisecond
	throttle := func(w http.ResponseWriter, _ *http.Request, _ string, _ int) bool {
		refuse(w, 400, "ThrottlingException", "Rate exceeded")
		return true
	}
	p.harm(throttle, nil)
	begin := time.Now()
	_, err := tok.Sign(t.Context(), "p", []byte("m"))
	if !errors.Is(err, hsm.ErrUnavailable) || !strings.Contains(err.Error(), "ThrottlingException") ||
		!strings.Contains(err.Error(), "tried") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v, the limit is %v", took, tok.limits.call)
	}
	if n := p.count("Sign"); n < 3 || n > attemptsMax {
		t.Errorf("%d attempts", n)
	}

	// No attempt is waited for that would start after the caller's deadline: the cause is told before it. The first wait is as long as the
	// deadline or longer, so that there is one attempt, with all that time for its answer.
	short := tok.limits
	tok.limits.call, tok.limits.backoff = time.Minute, backoffMax
	ctx, cancel := context.WithTimeout(t.Context(), backoffMax/2)
	defer cancel()
	before := p.count("Sign")
	if _, err := tok.Sign(ctx, "p", []byte("m")); !errors.Is(err, hsm.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) ||
		ctx.Err() != nil || p.count("Sign") != before+1 {
		t.Errorf("got %v", err)
	}
	tok.limits = short

	p.harm(func(w http.ResponseWriter, _ *http.Request, _ string, _ int) bool { cut(w); return true }, nil)
	if _, err := tok.Sign(t.Context(), "p", []byte("m")); !errors.Is(err, hsm.ErrUnavailable) ||
		!strings.Contains(err.Error(), "not reached") {
		t.Errorf("got %v", err)
	}

	p.harm(func(_ http.ResponseWriter, r *http.Request, _ string, _ int) bool { <-r.Context().Done(); return true }, nil)
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := tok.Sign(ctx, "p", []byte("m")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}

	// A caller that leaves while the driver waits between attempts gets its own error and the cause.
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	p.harm(func(w http.ResponseWriter, _ *http.Request, _ string, n int) bool {
		refuse(w, 500, "KMSInternalException", "")
		if n == 2 {
			cancel()
		}
		return true
	}, nil)
	if _, err := tok.Sign(ctx, "p", []byte("m")); !errors.Is(err, context.Canceled) || !errors.Is(err, hsm.ErrUnavailable) ||
		!strings.Contains(err.Error(), "KMSInternalException") {
		t.Errorf("got %v", err)
	}
}

// Goal: every refusal of KMS is the right error of package hsm, with the next step, after one request. Method: a proxy that answers it.
func TestRefusals(t *testing.T) {
	p, tok := behind(t, fast)
	const secretToken = "IQoJb3JpZ2luX2VjEXAMPLETOKEN"
	for code, c := range map[string]struct {
		is     error
		advice string
	}{
		"DisabledException":             {hsm.ErrUnavailable, "enable-key"},
		"KMSInvalidStateException":      {hsm.ErrUnavailable, "cancel-key-deletion"},
		"InvalidKeyUsageException":      {hsm.ErrKeyType, "SIGN_VERIFY"},
		"AccessDeniedException":         {hsm.ErrUnavailable, "allow kms:Sign"},
		"ExpiredTokenException":         {hsm.ErrUnavailable, "have expired"},
		"UnrecognizedClientException":   {hsm.ErrUnavailable, "AWS_ACCESS_KEY_ID"},
		"InvalidSignatureException":     {hsm.ErrUnavailable, "AWS_SECRET_ACCESS_KEY"},
		"LimitExceededException":        {hsm.ErrUnavailable, "quota"},
		"InvalidArnException":           {hsm.ErrNoKey, "region"},
		"UnsupportedOperationException": {hsm.ErrUnsupported, "does not offer"},
		"SomethingNewException":         {hsm.ErrUnavailable, "SomethingNewException"},
	} {
		p.harm(func(w http.ResponseWriter, _ *http.Request, action string, _ int) bool {
			if action == "Sign" {
				refuse(w, 400, code, "x-amz-security-token:"+secretToken)
			}
			return action == "Sign"
		}, nil)
		_, err := tok.Sign(t.Context(), "p", []byte("m"))
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.advice) || !strings.Contains(err.Error(), `"p"`) {
			t.Errorf("%s: got %v, want %v and %q", code, err, c.is, c.advice)
		}
		if meanings[code].silent == strings.Contains(err.Error(), secretToken) {
			t.Errorf("%s: %v", code, err)
		}
		if n := p.count("Sign"); n != 1 {
			t.Errorf("%s: %d requests", code, n)
		}
	}
}

// Goal: an answer that is not of this key, this algorithm and this message is never handed out. Method: a proxy that changes answers.
func TestTamperedAnswers(t *testing.T) {
	p, tok := behind(t, fast)
	wrapped, err := tok.Wrap(t.Context(), "k", []byte("dek"), []byte("aad"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := tok.Sign(t.Context(), "p", []byte("another message"))
	if err != nil || len(other) != 64 {
		t.Fatal(err)
	}
	const foreign = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	sign := func() error { _, err := tok.Sign(t.Context(), "p", []byte("m")); return err }
	wrap := func() error { _, err := tok.Wrap(t.Context(), "k", []byte("dek"), nil); return err }
	unwrap := func() error { _, err := tok.Unwrap(t.Context(), "k", wrapped, []byte("aad")); return err }
	fresh := func() error {
		_, err := tok.PublicKey(t.Context(), "alias/mpcd/p")
		tok.keys = map[string]*key{}
		return err
	}
	freshKEK := func() error {
		_, err := tok.Wrap(t.Context(), "alias/mpcd/k", []byte("dek"), nil)
		tok.keys = map[string]*key{}
		return err
	}
	for _, c := range []struct {
		name, action, field string
		value               any
		do                  func() error
		want                error
	}{
		{"signature of nothing", "Sign", "Signature", "", sign, hsm.ErrUnavailable},
		{"signature that is no DER", "Sign", "Signature", "AAAA", sign, hsm.ErrUnavailable},
		{"signature of another message", "Sign", "Signature", der(t, other), sign, hsm.ErrUnavailable},
		{"signature of another key", "Sign", "KeyId", foreign, sign, hsm.ErrUnavailable},
		{"signature of no key", "Sign", "KeyId", nil, sign, hsm.ErrUnavailable},
		{"signature of another algorithm", "Sign", "SigningAlgorithm", "ECDSA_SHA_384", sign, hsm.ErrUnavailable},
		{"wrapped by another key", "Encrypt", "KeyId", foreign, wrap, hsm.ErrUnavailable},
		{"wrapped to nothing", "Encrypt", "CiphertextBlob", "", wrap, hsm.ErrUnavailable},
		{"unwrapped by another key", "Decrypt", "KeyId", foreign, unwrap, hsm.ErrIntegrity},
		{"unwrapped to nothing", "Decrypt", "Plaintext", "", unwrap, hsm.ErrIntegrity},
		{"public key of an alias", "GetPublicKey", "KeyId", "alias/mpcd/p", fresh, hsm.ErrUnavailable},
		{"public key of nobody", "GetPublicKey", "KeyId", nil, fresh, hsm.ErrUnavailable},
		{"public key that is none", "GetPublicKey", "PublicKey", "AAAA", fresh, hsm.ErrKeyType},
		{"public key of another spec", "GetPublicKey", "KeySpec", "ECC_SECG_P256K1", fresh, hsm.ErrKeyType},
		{"public key of another usage", "GetPublicKey", "KeyUsage", "KEY_AGREEMENT", fresh, hsm.ErrKeyType},
		{"public key without our algorithm", "GetPublicKey", "SigningAlgorithms", []string{"ECDSA_SHA_512"}, fresh, hsm.ErrUnsupported},
		{"no metadata", "DescribeKey", "KeyMetadata", nil, freshKEK, hsm.ErrUnavailable},
		{"metadata of two keys", "DescribeKey", "KeyMetadata", map[string]any{"KeyId": "x", "Arn": foreign}, freshKEK, hsm.ErrUnavailable},
	} {
		tok.keys = map[string]*key{"p": tok.keys["p"], "k": tok.keys["k"]}
		if err := errors.Join(sign(), unwrap()); err != nil {
			t.Fatal(err)
		}
		p.harm(nil, func(action string, answer map[string]any) {
			if action == c.action {
				answer[c.field] = c.value
			}
		})
		if err := c.do(); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		p.harm(nil, nil)
	}
}

// Goal: Options.Sessions bounds the requests under way, and a caller who waits for its turn can leave. Method: a proxy that holds
// requests and counts them.
func TestSessions(t *testing.T) {
	p := newProxy(t)
	tok := openAt(t, p.URL, motoServer(t).Region(), hsm.Options{Sessions: 2}, fast)
	generate(t, tok, "p", hsm.KeyP256)
	if _, err := tok.PublicKey(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	var now, most atomic.Int64
	arrived, gate := make(chan struct{}, 8), make(chan struct{})
	p.harm(func(http.ResponseWriter, *http.Request, string, int) bool {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		arrived <- struct{}{}
		<-gate
		now.Add(-1)
		return false
	}, nil)
	done := make(chan error, 8)
	for range 8 {
		go func() { _, err := tok.Sign(t.Context(), "p", []byte("m")); done <- err }()
	}
	<-arrived
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := tok.Sign(ctx, "p", []byte("m")); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "waited") {
		t.Errorf("got %v", err)
	}
	close(gate)
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := most.Load(); n != 2 {
		t.Errorf("%d requests at a time, want 2", n)
	}
}
