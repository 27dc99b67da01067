package awskms

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/luxfi/mpcd/hsm"
)

// states lists the keys of the token's KMS by state, named or not.
func states(t *testing.T, tok *token) map[types.KeyState]int {
	t.Helper()
	all, err := tok.client.ListKeys(t.Context(), &kms.ListKeysInput{})
	if err != nil {
		t.Fatal(err)
	}
	count := map[types.KeyState]int{}
	for _, k := range all.Keys {
		d, err := tok.client.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: k.KeyId})
		if err != nil {
			t.Fatal(err)
		}
		count[d.KeyMetadata.KeyState]++
	}
	return count
}

// Goal: whatever happens between CreateKey and CreateAlias, there is a key under the name or
// none, and none without one that is not told of. Method: a
// proxy that breaks each step, before and after it took effect.
func TestGenerateInterrupted(t *testing.T) {
	p := newProxy(t)
	lose := func(action string, effect bool) func(http.ResponseWriter, *http.Request, string, int) bool {
		return func(w http.ResponseWriter, r *http.Request, a string, n int) bool {
			if a != action || n > 1 {
				return false
			}
			if effect { // pass it on, and lose the answer
				again, err := http.NewRequestWithContext(r.Context(), r.Method, motoServer(t).URL, r.Body)
				if err != nil {
					t.Error(err)
					return false
				}
				again.Header = r.Header.Clone()
				again.Host = r.Host
				if answer, err := http.DefaultClient.Do(again); err != nil {
					t.Error(err)
				} else {
					_ = answer.Body.Close()
				}
			}
			cut(w)
			return true
		}
	}
	deny := func(actions ...string) func(http.ResponseWriter, *http.Request, string, int) bool {
		return func(w http.ResponseWriter, _ *http.Request, a string, _ int) bool {
			for _, action := range actions {
				if a == action {
					refuse(w, 400, "AccessDeniedException", "")
					return true
				}
			}
			return false
		}
	}
	throttleOnce := func(w http.ResponseWriter, _ *http.Request, a string, n int) bool {
		if a == "CreateKey" && n == 1 {
			refuse(w, 400, "ThrottlingException", "")
		}
		return a == "CreateKey" && n == 1
	}
	for _, c := range []struct {
		name             string
		harm             func(http.ResponseWriter, *http.Request, string, int) bool
		want             error
		text             string
		enabled, pending int
	}{
		{"undisturbed", nil, nil, "", 1, 0},
		{"key lost on the way", lose("CreateKey", false), nil, "mpcd new", 1, 0},
		{"answer to the key lost", lose("CreateKey", true), nil, "mpcd new", 2, 0},
		{"throttled", throttleOnce, nil, "", 1, 0},
		{"alias lost on the way", lose("CreateAlias", false), nil, "", 1, 0},
		{"answer to the alias lost", lose("CreateAlias", true), nil, "", 1, 0},
		{"alias denied", deny("CreateAlias"), hsm.ErrUnavailable, "allow kms:CreateAlias", 0, 1},
		{"alias and deletion denied", deny("CreateAlias", "ScheduleKeyDeletion"), hsm.ErrUnavailable, "schedule-key-deletion --key-id", 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			tok := openAt(t, p.URL, motoServer(t).Region(), hsm.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, fast)
			log.Reset() // of the warning about the endpoint
			p.harm(c.harm, nil)
			err := tok.GenerateKey(t.Context(), "new", hsm.KeyP256)
			p.harm(nil, nil)
			if !errors.Is(err, c.want) || c.want != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %v and %q", err, c.want, c.text)
			}
			if c.want == nil && (c.text == "") != (log.Len() == 0) || c.want == nil && !strings.Contains(log.String(), c.text) {
				t.Errorf("the log says %q, want %q", &log, c.text)
			}
			if n := states(t, tok); n[types.KeyStateEnabled] != c.enabled || n[types.KeyStatePendingDeletion] != c.pending {
				t.Errorf("keys %v, want %d enabled, %d pending deletion", n, c.enabled, c.pending)
			}
			_, err = tok.Sign(t.Context(), "new", []byte("m"))
			if want := c.want == nil; (err == nil) != want {
				t.Errorf("Sign: %v", err)
			}
		})
	}
}

// Goal: answers that are lost for good leave few keys. Method: a proxy that loses every answer to CreateKey.
func TestGenerateLeavesFew(t *testing.T) {
	p := newProxy(t)
	tok := openAt(t, p.URL, motoServer(t).Region(), hsm.Options{}, fast)
	p.harm(func(w http.ResponseWriter, _ *http.Request, a string, _ int) bool {
		if a == "CreateKey" {
			cut(w)
		}
		return a == "CreateKey"
	}, nil)
	if err := tok.GenerateKey(t.Context(), "new", hsm.KeyP256); !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if n := p.count("CreateKey"); n != makingMax {
		t.Errorf("%d attempts, want %d", n, makingMax)
	}
}

// Goal: of two that make a key of one name, one has it and the other hears hsm.ErrKeyExists; the loser's key is not left. Method: a
// proxy that lets another client make the name just before the alias; then a caller that leaves at that point.
func TestGenerateRace(t *testing.T) {
	p := newProxy(t)
	region := motoServer(t).Region()
	tok, rival := openAt(t, p.URL, region, hsm.Options{}, fast), openAt(t, motoServer(t).URL, region, hsm.Options{}, fast)
	p.harm(func(_ http.ResponseWriter, _ *http.Request, a string, n int) bool {
		if a == "CreateAlias" && n == 1 {
			generate(t, rival, "new", hsm.KeySecp256k1)
		}
		return false
	}, nil)
	if err := tok.GenerateKey(t.Context(), "new", hsm.KeyP256); !errors.Is(err, hsm.ErrKeyExists) {
		t.Errorf("got %v", err)
	}
	if pub, err := tok.PublicKey(t.Context(), "new"); err != nil || hsm.TypeOf(pub) != hsm.KeySecp256k1 {
		t.Errorf("the name leads to %T, %v", pub, err)
	}
	if n := states(t, tok); n[types.KeyStateEnabled] != 1 || n[types.KeyStatePendingDeletion] != 1 {
		t.Errorf("keys %v", n)
	}

	ctx, cancel := context.WithCancel(t.Context())
	p.harm(func(_ http.ResponseWriter, r *http.Request, a string, _ int) bool {
		if a == "CreateAlias" {
			cancel()
			<-r.Context().Done()
		}
		return a == "CreateAlias"
	}, nil)
	if err := tok.GenerateKey(ctx, "newer", hsm.KeyP256); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := states(t, tok); n[types.KeyStateEnabled] != 1 || n[types.KeyStatePendingDeletion] != 2 {
		t.Errorf("keys %v", n)
	}
}

// Goal: only names can be made. Method: IDs and ARNs.
func TestGenerateRefusesIDs(t *testing.T) {
	tok := openMoto(t)
	for _, id := range []string{"1234abcd-12ab-34cd-56ef-1234567890ab", "arn:aws:kms:" + tok.region +
		":123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"} {
		if err := tok.GenerateKey(t.Context(), id, hsm.KeyP256); !errors.Is(err, hsm.ErrUnsupported) {
			t.Errorf("%s: got %v", id, err)
		}
	}
	if err := tok.GenerateKey(t.Context(), "", hsm.KeyP256); !errors.Is(err, hsm.ErrNoKey) {
		t.Errorf("got %v", err)
	}
}
