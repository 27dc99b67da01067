package vault_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// version1 is a vault that the code of record version 1 wrote: the one that populated makes.
func version1(t testing.TB) (*vaulttest.Memory, *vaulttest.Wrapper) {
	t.Helper()
	b, err := os.ReadFile("testdata/version1.json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		KEK   string            `json:"kek"`
		Pairs map[string]string `json:"pairs"`
	}
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	m := vaulttest.NewMemory()
	for k, v := range f.Pairs {
		m.Set(string(unhex(k)), unhex(v))
	}
	return m, vaulttest.NewWrapperOf(map[string][]byte{kek: unhex(f.KEK)})
}

// Goal: a vault of record version 1 opens, is not written by opening, keeps all its guards, and becomes version 2 with its first
// commit. Method: the vault in testdata: read it, flip each byte of its root and pointers, change it, read it again.
func TestVersion1(t *testing.T) {
	m, w := version1(t)
	disk := m.Reopen()
	if err := refused(t, disk, w); err != nil {
		t.Fatal(err)
	}
	if disk.Writes() != 0 {
		t.Error("opening wrote")
	}
	for _, key := range []string{"vault/root", "vault/p/share/a"} {
		good, err := m.Get(t.Context(), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		for i := range good {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << (i % 8)
			disk := m.Reopen()
			disk.Set(key, bad)
			if refused(t, disk, w) == nil {
				t.Errorf("%s: byte %d flipped: not found", key, i)
			}
		}
	}
	v := mustOpen(t, disk, w)
	if err := v.PutSecret(t.Context(), "other", []byte("x")); err != nil {
		t.Fatal(err)
	}
	v.Close()
	before, _ := m.Get(t.Context(), []byte("vault/root"))
	after, _ := disk.Get(t.Context(), []byte("vault/root"))
	if before[2] != 1 || after[2] != 2 {
		t.Errorf("root of version %d, then %d", before[2], after[2])
	}
	if err := refused(t, disk, w); err != nil {
		t.Error(err)
	}
	disk.Set("vault/root", before)
	_, err := vault.Open(t.Context(), config(disk, w))
	wantErr(t, "the root of before", err, vault.ErrIntegrity)
}
