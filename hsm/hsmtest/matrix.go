package hsmtest

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/hsm"
)

// MatrixEnv names the file that Run adds a Record to, one line of JSON for a run of the whole suite that passed.
const MatrixEnv = "MPCD_HSM_MATRIX"

// Record is what a run saw of a token: a row of the table provider × ability. It holds nothing that differs from run to run.
type Record struct {
	Name     string        `json:"name"`     // as Run was told, or provider and model
	Provider string        `json:"provider"` // as the driver says
	Model    string        `json:"model"`    // manufacturer and model, as the token says
	Software bool          `json:"software"` // no hardware guards the keys
	Keys     []hsm.KeyType `json:"keys"`     // signing keys it made and that signed, in the order ed25519, p256, secp256k1, rsa3072
	Wrap     string        `json:"wrap"`     // how it wraps: the driver's word, "yes" without one, "" if it does not
	Random   bool          `json:"random"`
	Counter  bool          `json:"counter"`
	Evidence string        `json:"evidence"` // the format of its evidence, "" if it has none
}

// WrapMethod is implemented by drivers that wrap in more than one way.
type WrapMethod interface {
	// WrapMethod says how Wrap seals with the key, in a few words: "aes-gcm".
	WrapMethod(ctx context.Context, keyID string) (string, error)
}

// record tries every ability once and writes what it saw.
func record(t *testing.T, b *bench) {
	r := observe(t, b)
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("matrix: %s", line)
	path := os.Getenv(MatrixEnv)
	if path == "" {
		if b.suite.name != "" { // a token of the document has a name
			checkDocument(t, r)
		}
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(append(line, '\n')); err != nil { // one write, since several test processes share the file
		t.Fatal(err)
	}
}

// document has the table of all tokens, from the root of the module.
const document = "docs/HARDWARE.md"

// checkDocument holds the row of the document's table against what was seen just now, so that the table cannot drift.
func checkDocument(t *testing.T, r Record) {
	t.Helper()
	root, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(root, "go.mod")); missing == nil {
			break
		}
		if root == filepath.Dir(root) {
			t.Fatal("no go.mod above the working directory")
		}
		root = filepath.Dir(root)
	}
	text, err := os.ReadFile(filepath.Join(root, document))
	if err != nil {
		t.Fatal(err)
	}
	if err := inTable(string(text), r); err != nil {
		t.Error(err)
	}
}

// inTable tells whether the text has a table with the very row of the record.
func inTable(text string, r Record) error {
	var table strings.Builder
	if err := Table(&table, []Record{r}); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(table.String()), "\n")
	want := lines[len(lines)-1]
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == want {
			return nil
		} else if strings.HasPrefix(line, "| "+r.Name+" |") {
			return fmt.Errorf("hsmtest: %s says\n%s\nwhat was seen is\n%s\nrun `make matrix`", document, line, want)
		}
	}
	return fmt.Errorf("hsmtest: %s has no row for %q; add its suite to scripts/matrix and run `make matrix`", document, r.Name)
}

func observe(t *testing.T, b *bench) Record {
	t.Helper()
	info, err := b.Info(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	r := Record{Name: b.suite.name, Provider: info.Provider, Model: strings.TrimSpace(info.Manufacturer + " " + info.Model),
		Software: info.SoftwareOnly, Keys: slices.Clone(b.signing)}
	if r.Name == "" {
		r.Name = strings.TrimSpace(info.Provider + " " + info.Model)
	}
	for _, kind := range r.Keys {
		b.sign(t, string(kind), []byte("m"))
	}
	if b.suite.rsa == nil { // the part that signs with it was not run
		made := b.make(t, string(hsm.KeyRSA3072), hsm.KeyRSA3072)
		b.suite.rsa = &made
	}
	if *b.suite.rsa {
		r.Keys = append(r.Keys, hsm.KeyRSA3072)
	}
	if b.wrapper != nil {
		r.Wrap = "yes"
		if m, ok := hsm.As[WrapMethod](b.Token); ok {
			if r.Wrap, err = m.WrapMethod(b.ctx, kek); err != nil {
				t.Error(err)
			}
		}
	}
	if s, ok := hsm.As[hsm.RandomSource](b.Token); ok {
		_, err := s.Random(b.ctx, 16)
		r.Random = usable(t, err)
	}
	if c, ok := hsm.As[hsm.MonotonicCounter](b.Token); ok {
		_, err := c.CreateCounter(b.ctx, "matrix")
		r.Counter = usable(t, err)
	}
	if a, ok := hsm.As[hsm.KeyAttester](b.Token); ok {
		e, err := a.AttestKey(b.ctx, string(b.signing[0]), nil)
		if usable(t, err) {
			r.Evidence = e.Format
		}
	}
	return r
}

func usable(t *testing.T, err error) bool {
	t.Helper()
	if err != nil && !errors.Is(err, hsm.ErrUnsupported) {
		t.Error(err)
	}
	return err == nil
}

// ReadMatrix reads the lines that runs wrote; of several with one name the last counts. It sorts by name.
func ReadMatrix(in io.Reader) ([]Record, error) {
	byName := map[string]Record{}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var r Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("hsmtest: matrix: %w", err)
		}
		byName[r.Name] = r
	}
	var all []Record
	for _, r := range byName {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Record) int { return cmp.Compare(a.Name, b.Name) })
	return all, lines.Err()
}

// Table prints records as a table in Markdown.
func Table(out io.Writer, records []Record) error {
	yes := func(b bool) string {
		if b {
			return "yes"
		}
		return "–"
	}
	rows := []string{"| token | provider | Ed25519 | P-256 | secp256k1 | RSA-3072 | wrap | random | counter | evidence | hardware |",
		"|---|---|---|---|---|---|---|---|---|---|---|"}
	for _, r := range records {
		cells := []string{r.Name, r.Provider}
		for _, kind := range []hsm.KeyType{hsm.KeyEd25519, hsm.KeyP256, hsm.KeySecp256k1, hsm.KeyRSA3072} {
			cells = append(cells, yes(slices.Contains(r.Keys, kind)))
		}
		cells = append(cells, cmp.Or(r.Wrap, "–"), yes(r.Random), yes(r.Counter), cmp.Or(r.Evidence, "–"), yes(!r.Software))
		rows = append(rows, "| "+strings.Join(cells, " | ")+" |")
	}
	_, err := io.WriteString(out, strings.Join(rows, "\n")+"\n")
	return err
}
