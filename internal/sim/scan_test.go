package sim

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Goal: the scanner finds a secret, whole or cut, in every form a program could let it out, and nothing else. Method: write the
// secret by other means than the scanner's own, at every alignment, into noise; look for another secret too.
func TestScanner(t *testing.T) {
	known, other := make([]byte, 32), make([]byte, 32)
	_, _ = rand.Read(known)
	_, _ = rand.Read(other)
	s := NewScanner(Secret{"known", known})
	innocent := NewScanner(Secret{"other", other})
	back := slices.Clone(known)
	slices.Reverse(back)
	forms := map[string]string{
		"raw": string(known), "raw backwards": string(back), "first half": string(known[:16]), "last half": string(known[16:]),
		"hex": hex.EncodeToString(known), "HEX": strings.ToUpper(hex.EncodeToString(known)), "hex backwards": hex.EncodeToString(back),
		"hex of the first half": hex.EncodeToString(known[:16]), "%v": fmt.Sprint(known), "%#v": fmt.Sprintf("%#v", known),
		"% x": fmt.Sprintf("% x", known),
		"%q":  fmt.Sprintf("%q", known), "number": new(big.Int).SetBytes(known).String(),
		"number backwards": new(big.Int).SetBytes(back).String(),
		"%+v of a struct":  fmt.Sprintf("%+v", struct{ Share []byte }{known}),
	}
	for shift := range 5 {
		padded := append(make([]byte, shift), known...)
		forms[fmt.Sprintf("base64 at %d", shift)] = base64.StdEncoding.EncodeToString(append(padded, 1, 2, 3, 4))
		forms[fmt.Sprintf("base64url at %d", shift)] = base64.URLEncoding.EncodeToString(append(padded, 9))
	}
	list := make([]int, len(known))
	for i, b := range known {
		list[i] = int(b)
	}
	if b, err := json.Marshal(list); err == nil {
		forms["JSON list"] = string(b)
	}
	if b, err := json.Marshal(map[string][]byte{"share": known}); err == nil {
		forms["JSON"] = string(b)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("leak", "share", known)
	forms["log line"] = log.String()
	log.Reset()
	slog.New(slog.NewTextHandler(&log, nil)).Info("leak", "share", string(known))
	forms["log line of a string"] = log.String()
	for name, text := range forms {
		noise := make([]byte, 100)
		_, _ = rand.Read(noise)
		b := append(append(noise, text...), noise...)
		if len(s.Scan(name, b)) == 0 {
			t.Errorf("%s: not found", name)
		}
		if f := innocent.Scan(name, b); len(f) > 0 {
			t.Errorf("%s: %v", name, f)
		}
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a", "b", "leak"), []byte(forms["hex"]), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, files, _, err := s.ScanDir(dir, nil); err != nil || len(f) == 0 || files != 1 {
		t.Errorf("in a directory: %v, %d files, %v", f, files, err)
	}
	if err := os.Rename(filepath.Join(dir, "a", "b", "leak"), filepath.Join(dir, "share-"+hex.EncodeToString(known))); err != nil {
		t.Fatal(err)
	}
	if f, _, _, err := s.ScanDir(dir, nil); err != nil || len(f) < 2 {
		t.Errorf("in a file name: %v, %v", f, err)
	}
}
