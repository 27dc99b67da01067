package hsmtest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/hsmtest"
)

// able is a software token with counters and evidence, so that these parts of the suite run here too.
type able struct {
	*hsmtest.Faulty
	mu       sync.Mutex
	counters map[string]uint64
	closed   bool
}

func (a *able) Close() error {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	return a.Faulty.Close()
}

func (a *able) CreateCounter(_ context.Context, id string) (uint64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, taken := a.counters[id]; taken {
		return 0, hsm.ErrKeyExists
	}
	a.counters[id] = 41
	return 41, nil
}

func (a *able) Increment(_ context.Context, id string) (uint64, error) { return a.count(id, 1) }
func (a *able) Read(_ context.Context, id string) (uint64, error)      { return a.count(id, 0) }

func (a *able) count(id string, by uint64) (uint64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.counters[id]; !known {
		return 0, hsm.ErrNoKey
	}
	a.counters[id] += by
	return a.counters[id], nil
}

func (a *able) AttestKey(ctx context.Context, id string, nonce []byte) (hsm.KeyEvidence, error) {
	pub, err := a.PublicKey(ctx, id)
	if err != nil {
		return hsm.KeyEvidence{}, err
	}
	if len(nonce) > sha256.Size {
		return hsm.KeyEvidence{}, hsm.ErrUnsupported
	}
	der, err := hsm.MarshalPublicKey(pub)
	return hsm.KeyEvidence{Format: hsm.EvidenceLocal, Key: hsm.KeyInfo{ID: id, Type: hsm.TypeOf(pub)},
		Token: hsm.TokenInfo{Provider: a.Provider()}, PublicKey: der, Nonce: nonce}, err
}

// Goal: the suite runs with every ability and every option, and its matrix reads back as a table. Method: a token that can all of it,
// run twice, once as a slow one; then the file.
func TestMatrix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "matrix")
	t.Setenv(hsmtest.MatrixEnv, path)
	fresh := func(t *testing.T) hsm.Token { return &able{Faulty: open(t), counters: map[string]uint64{}} }
	t.Run("slow", func(t *testing.T) { hsmtest.Run(t, fresh, hsmtest.Slow) })
	t.Run("named", func(t *testing.T) { hsmtest.Run(t, fresh, hsmtest.Slow, hsmtest.Name("able")) })
	lines, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"local file","provider":"local","model":"mpcd file","software":true,"keys":["ed25519","p256"],"wrap":"yes","random":true,"counter":true,"evidence":"local"}`
	if one, _, _ := strings.Cut(string(lines), "\n"); one != want {
		t.Errorf("line %s, want %s", one, want)
	}
	records, err := hsmtest.ReadMatrix(bytes.NewReader(append(lines, lines...)))
	if err != nil || len(records) != 2 || records[0].Name != "able" {
		t.Fatalf("%+v, %v", records, err)
	}
	var table strings.Builder
	if err := hsmtest.Table(&table, records[:1]); err != nil ||
		!strings.HasSuffix(table.String(), "| able | local | yes | yes | – | – | yes | yes | yes | local | – |\n") {
		t.Errorf("table %s, %v", table.String(), err)
	}
	if _, err := hsmtest.ReadMatrix(strings.NewReader("{")); err == nil {
		t.Error("half a line is read")
	}
}

// Goal: a row that is missing or differs is told, and only then. Method: a text with the row, with another, without.
func TestInTable(t *testing.T) {
	r := hsmtest.Record{Name: "x", Provider: "p", Keys: []hsm.KeyType{hsm.KeyP256}, Counter: true}
	var table strings.Builder
	if err := hsmtest.Table(&table, []hsmtest.Record{r}); err != nil {
		t.Fatal(err)
	}
	if err := hsmtest.InTable("text\n\n"+table.String(), r); err != nil {
		t.Error(err)
	}
	r.Counter = false
	if err := hsmtest.InTable(table.String(), r); err == nil || !strings.Contains(err.Error(), "what was seen") {
		t.Errorf("another row: %v", err)
	}
	if err := hsmtest.InTable("", r); err == nil || !strings.Contains(err.Error(), "no row") {
		t.Errorf("no row: %v", err)
	}
}
