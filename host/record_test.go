package host_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
)

// Goal: a node that stops leaves the last entry of its audit log under a checkpoint of its token and in its vault, so that the log
// cannot be put back with all that stands beside it. Method: a node runs and stops; the checkpoint is verified offline; the log is
// deleted as a whole.
func TestAuditHeadIsKept(t *testing.T) {
	c := planned(t)
	h, err := host.Open(t.Context(), c, host.Options{Release: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	if err := errors.Join(h.Run(ctx, nil, end), h.Close()); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	task := host.AuditTask{Config: c, Entry: 2, Out: &out}
	r, err := task.Verify()
	if err != nil {
		t.Fatal(err)
	}
	v := r.Value.(map[string]any)
	if v["entries"] != uint64(2) || v["checkpoint_entries"] != v["entries"] || v["acknowledged"] != v["entries"] {
		t.Errorf("%v", v)
	}
	if _, err := task.Prove(); err != nil {
		t.Fatal(err)
	}
	proof := filepath.Join(t.TempDir(), "proof.json")
	if err := os.WriteFile(proof, []byte(out.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	check := host.AuditTask{Config: c, Proof: proof}
	if r, err := check.Verify(); err != nil || r.Rows[2][1] != "node.stop" {
		t.Errorf("%v, %v", r, err)
	}
	if err := os.WriteFile(proof, []byte(strings.Replace(out.String(), `"seq":2`, `"seq":1`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	var f *fault.Error
	if _, err := check.Verify(); !errors.As(err, &f) || f.Code != fault.CodeIntegrity {
		t.Errorf("another number: %v", err)
	}
	out.Reset()
	if _, err := (&host.AuditTask{Config: c, From: 1, Out: &out}).Export(); err != nil || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("export: %q, %v", out.String(), err)
	}
	paths, err := filepath.Glob(filepath.Join(c.DataDir, "audit.*"))
	if err != nil || len(paths) != 4 {
		t.Fatal(paths, err)
	}
	for _, p := range paths {
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := host.Open(t.Context(), c, host.Options{}); !errors.Is(err, durable.ErrCorrupt) || !strings.Contains(err.Error(), "audit") {
		t.Errorf("started without its log: %v", err)
	}
}

// Goal: a log that another release wrote is to be verified with that one, and is not called evidence of a crime. Method: an entry of
// another version.
func TestLogOfAnotherRelease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log, err := durable.OpenLog(path, durable.LogConfig{})
	if err == nil {
		_, err = log.Append(t.Context(), canon.MustMarshal(audit.Entry{Version: 7, Seq: 1}))
	}
	if err = errors.Join(err, log.Close()); err != nil {
		t.Fatal(err)
	}
	var f *fault.Error
	if _, err := (&host.AuditTask{File: path}).Verify(); !errors.As(err, &f) || f.Code != fault.CodeIntegrity ||
		!strings.Contains(f.Do, "release that wrote it") {
		t.Errorf("%v", err)
	}
}
