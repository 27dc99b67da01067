package host_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/transport"
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
	task := host.AuditTask{Config: c, Entry: 3, Out: &out}
	r, err := task.Verify()
	if err != nil {
		t.Fatal(err)
	}
	v := r.Value.(map[string]any)
	if v["entries"] != uint64(3) || v["checkpoint_entries"] != v["entries"] || v["acknowledged"] != v["entries"] || warned(t, r) != "" {
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
	provesAlone(t, c, proof)
	tellsSlips(t, c)
	if err := os.WriteFile(proof, []byte(strings.Replace(out.String(), `"seq":3`, `"seq":1`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	var f *fault.Error
	if _, err := check.Verify(); !errors.As(err, &f) || f.Code != fault.CodeIntegrity {
		t.Errorf("another number: %v", err)
	}
	out.Reset()
	if _, err := (&host.AuditTask{Config: c, From: 1, Out: &out}).Export(); err != nil || strings.Count(out.String(), "\n") != 3 {
		t.Errorf("export: %q, %v", out.String(), err)
	}
	growsFrom(t, c)
	warnsOfCheckpoint(t, c)
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

// warned is the one warning of a report, in its value and its rows.
func warned(t *testing.T, r *host.Report) string {
	t.Helper()
	said := r.Value.(map[string]any)["warnings"].([]string)
	for _, row := range r.Rows {
		if row[0] == "warning" && (len(said) != 1 || row[1] != said[0]) {
			t.Errorf("%q in the rows, %q in the value", row[1], said)
		}
	}
	return strings.Join(said, "")
}

// warnsOfCheckpoint checks what is said, by the doctor too, of a log without its checkpoint, and with one that another key has signed.
func warnsOfCheckpoint(t *testing.T, c host.Config) {
	t.Helper()
	path := filepath.Join(c.DataDir, "audit.checkpoint")
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v, err := audit.NewVerifier("c", "node1", &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	other, err := audit.SignHead(audit.Head{Size: 1}, v, func([]byte) ([]byte, error) { return bytes.Repeat([]byte{1}, 64), nil })
	if err != nil {
		t.Fatal(err)
	}
	for want, b := range map[string][]byte{"": was, "no audit.checkpoint is beside the log": nil, "of a token that was replaced": other} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if b != nil {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r, err := (&host.AuditTask{Config: c}).Verify()
		if err != nil {
			t.Fatal(err)
		}
		if got := warned(t, r); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q, wanted %q", got, want)
		}
		if f := logFinding(t, c); f.Err != nil || (f.Warn == "") != (want == "") || !strings.Contains(f.Detail, want) {
			t.Errorf("the doctor: %+v, wanted %q", f, want)
		}
	}
	flipped := bytes.Clone(was)
	flipped[len(flipped)-9] ^= 1 // in the signature
	if err := os.WriteFile(path, flipped, 0o600); err != nil {
		t.Fatal(err)
	}
	if f := logFinding(t, c); !errors.Is(f.Err, audit.ErrCheckpoint) {
		t.Errorf("the doctor, of a checkpoint that was changed: %+v", f)
	}
	if err := os.WriteFile(path, was, 0o600); err != nil {
		t.Fatal(err)
	}
}

// logFinding is what the doctor finds of the audit log.
func logFinding(t *testing.T, c host.Config) host.Finding {
	t.Helper()
	all := (&host.Checkup{Config: c}).Run(t.Context())
	i := slices.IndexFunc(all, func(f host.Finding) bool { return f.Check == "audit log" })
	if i < 0 {
		t.Fatal("nothing is found of the audit log")
	}
	return all[i]
}

// growsFrom checks that a log is held against checkpoints that somebody has kept: one of before, and one of after.
func growsFrom(t *testing.T, c host.Config) {
	t.Helper()
	before := t.TempDir()
	if err := os.CopyFS(before, os.DirFS(c.DataDir)); err != nil {
		t.Fatal(err)
	}
	h, err := host.Open(t.Context(), c, host.Options{Release: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	if err := errors.Join(h.Run(ctx, nil, end), h.Close()); err != nil {
		t.Fatal(err)
	}
	now := host.AuditTask{Config: c, Since: filepath.Join(before, "audit.checkpoint")}
	if r, err := now.Verify(); err != nil || r.Value.(map[string]any)["since_entries"] != uint64(3) {
		t.Errorf("%v, %v", r, err)
	}
	var f *fault.Error
	cut := host.AuditTask{Config: c, File: filepath.Join(before, "audit.log"), Since: filepath.Join(c.DataDir, "audit.checkpoint")}
	if _, err := cut.Verify(); !errors.As(err, &f) || f.Code != fault.CodeIntegrity || !strings.Contains(err.Error(), "it was cut") {
		t.Errorf("cut: %v", err)
	}
}

// provesAlone checks a proof of entry 2 and the log with nothing but the roster, what is told of growth, and of wrong questions.
func provesAlone(t *testing.T, c host.Config, proof string) {
	t.Helper()
	roster, err := host.ReadRoster(c.Roster)
	if err != nil {
		t.Fatal(err)
	}
	alone := host.AuditTask{Roster: roster, Proof: proof, Config: host.Config{Node: c.Node}}
	if r, err := alone.Verify(); err != nil || r.Rows[5] != [2]any{"grown since", "not shown: the proof has no older checkpoint"} {
		t.Errorf("%v, %v", r, err)
	}
	checkpoint := filepath.Join(c.DataDir, "audit.checkpoint")
	grown := filepath.Join(t.TempDir(), "grown.json")
	junk := filepath.Join(t.TempDir(), "junk")
	var out strings.Builder
	if _, err := (&host.AuditTask{Config: c, Entry: 1, Since: checkpoint, Out: &out}).Prove(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(grown, []byte(out.String()), 0o600), os.WriteFile(junk, []byte("junk"), 0o600)); err != nil {
		t.Fatal(err)
	}
	alone.Proof, alone.Since = grown, checkpoint
	if r, err := alone.Verify(); err != nil || r.Rows[5] != [2]any{"grown since", "3 entries, which are as they were"} {
		t.Errorf("%v, %v", r, err)
	}
	log, only := c.AuditPath(), host.Config{Node: c.Node}
	wrong, broken := fault.CodeUsage, fault.CodeIntegrity
	for what, x := range map[string]struct {
		task  host.AuditTask
		prove bool
		code  fault.Code
		says  string
	}{
		"no growth":         {host.AuditTask{Roster: roster, Config: only, Proof: proof, Since: checkpoint}, false, broken, "growth"},
		"no node":           {host.AuditTask{Roster: roster, Proof: proof}, false, wrong, "--node"},
		"no log":            {host.AuditTask{Roster: roster, Config: only}, false, wrong, "--file"},
		"a log, from junk":  {host.AuditTask{Roster: roster, Config: only, File: log, Since: junk}, false, wrong, "--since"},
		"junk kept":         {host.AuditTask{Roster: roster, Config: only, Proof: grown, Since: junk}, false, wrong, "--since"},
		"junk to grow from": {host.AuditTask{Config: c, Entry: 1, Since: junk}, true, wrong, "--since"},
		"entry 0":           {host.AuditTask{Config: c}, true, wrong, "the log has 1 to 3"},
		"entry 99":          {host.AuditTask{Config: c, Entry: 99}, true, wrong, "the log has 1 to 3"},
	} {
		x.task.Out = io.Discard
		do := x.task.Verify
		if x.prove {
			do = x.task.Prove
		}
		var f *fault.Error
		if _, err := do(); !errors.As(err, &f) || f.Code != x.code || !strings.Contains(f.Error()+f.Do, x.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if r, err := (&host.AuditTask{Roster: roster, Config: only, File: log}).Verify(); err != nil ||
		!strings.HasPrefix(fmt.Sprint(r.Rows[5][1]), "signed") {
		t.Errorf("a log with its checkpoint, by the roster alone: %v, %v", r, err)
	}
	copied := filepath.Join(t.TempDir(), "x.log")
	b, err := os.ReadFile(log)
	if err == nil {
		err = os.WriteFile(copied, b[:len(b)-5], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := (&host.AuditTask{File: copied}).Verify()
	if err != nil || r.Value.(map[string]any)["acknowledged"] != nil || !strings.Contains(fmt.Sprint(r.Rows), "not known here") ||
		strings.Contains(fmt.Sprint(r.Rows), "never") {
		t.Errorf("a copy that was cut, without its count: %v, %v", r, err)
	}
}

// tellsSlips names files that are no log of the node, and logs that are damaged: the former are slips, the latter are told as damage.
func tellsSlips(t *testing.T, c host.Config) {
	t.Helper()
	roster, err := host.ReadRoster(c.Roster)
	if err != nil {
		t.Fatal(err)
	}
	was := map[string][]byte{}
	for _, name := range []string{"log", "acked", "checkpoint"} {
		if was[name], err = os.ReadFile(filepath.Join(c.DataDir, "audit."+name)); err != nil {
			t.Fatal(err)
		}
	}
	changed := func(name string, at, n int) map[string][]byte {
		b := bytes.Clone(was[name])
		for i := range b[at:][:n] {
			b[at+i] = ^b[at+i]
		}
		files := maps.Clone(was)
		files[name] = b
		return files
	}
	overwritten := maps.Clone(was)
	overwritten["log"] = []byte("root:x:0:0:root:/root:/bin/bash\n")
	alone := func(log []byte) map[string][]byte { return map[string][]byte{"log": log} }
	wrong, broken := fault.CodeUsage, fault.CodeIntegrity
	for what, x := range map[string]struct {
		files map[string][]byte
		name  string // of the log
		node  transport.NodeID
		code  fault.Code
		says  string
	}{
		"its own":                           {was, "log", "node1", 0, ""},
		"a text":                            {alone([]byte("root:x:0:0:root:/root:/bin/bash\n")), "log", "", wrong, "not an audit log"},
		"a short text":                      {alone([]byte("root")), "log", "", wrong, "not an audit log"},
		"its checkpoint":                    {was, "checkpoint", "node1", wrong, "not an audit log"},
		"another's":                         {was, "log", "node2", wrong, "give --node node1"},
		"another's, alone":                  {alone(was["log"]), "log", "node2", wrong, "give --node node1"},
		"another's, by nobody's checkpoint": {changed("checkpoint", len(was["checkpoint"])-9, 1), "log", "node2", broken, "as evidence"},
		"nothing":                           {alone(nil), "log", "node1", broken, "as evidence"},
		"cut":                               {alone(was["log"][:7]), "log", "node1", broken, "as evidence"},
		"its first byte":                    {changed("log", 0, 1), "log", "node1", broken, "as evidence"},
		"its header, alone":                 {alone(changed("log", 0, 8)["log"]), "log", "node1", broken, "as evidence"},
		"all of it":                         {changed("log", 0, len(was["log"])), "log", "node1", broken, "as evidence"},
		"a text over it":                    {overwritten, "log", "node1", broken, "as evidence"},
		"an entry":                          {changed("log", 60, 1), "log", "node1", broken, "as evidence"},
	} {
		dir := t.TempDir()
		for name, b := range x.files {
			if err := os.WriteFile(filepath.Join(dir, "audit."+name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		task := host.AuditTask{File: filepath.Join(dir, "audit."+x.name), From: 1, Out: io.Discard, Config: host.Config{Node: x.node}}
		if x.node != "" {
			task.Roster = roster
		}
		for _, do := range []func() (*host.Report, error){task.Verify, task.Export} {
			_, err := do()
			f := new(fault.Error)
			if errors.As(err, &f); f.Code != x.code || x.code == 0 && err != nil || !strings.Contains(fmt.Sprint(err, f.Do), x.says) {
				t.Errorf("%s: %v, do %q", what, err, f.Do)
			}
		}
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
