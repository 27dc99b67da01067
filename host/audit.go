package host

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
)

// AuditTask is work on the audit log of a node, beside the running node or anywhere else; it changes nothing.
type AuditTask struct {
	Config Config
	// Roster is whose nodes' logs and proofs are checked, instead of the configured one; of which Config names the node.
	Roster *attest.SignedRoster
	// File is the log, instead of the configured node's; without a roster no checkpoint is checked.
	File  string
	Entry uint64 // to prove
	Since string // file of an older checkpoint, from which the log has grown
	MLDSA int    // how many other nodes must have cosigned the checkpoint by ML-DSA-44, at least
	Proof string // file of a proof to check, instead of a log
	From  uint64 // first entry to export
	To    uint64 // last entry to export; 0 for all
	Out   io.Writer
}

// Report is what a task found: as a value for programs, and in rows for readers.
type Report struct {
	Value any
	Rows  [][2]any
}

// VerifyAuditLog reads a whole log at path.
func VerifyAuditLog(path string) (*audit.Verified, error) {
	return verifyLog(path, nil)
}

// open checks that there is a log that this program reads, and returns its path and who checks its checkpoints, nil for nobody.
func (t *AuditTask) open() (path string, v audit.Verifier, err error) {
	switch path = t.File; {
	case path == "" && t.Roster != nil:
		return "", nil, fault.Usage("give --file LOG, or leave --roster out for the configured node's", "no log is named")
	case path == "":
		path = t.Config.AuditPath()
		if err := checkFormat(t.Config); err != nil {
			return "", nil, err
		}
	}
	if t.Config.Roster != "" || t.Roster != nil {
		if v, err = t.verifier(); err != nil {
			return "", nil, err
		}
	}
	return path, v, t.slip()
}

// slip refuses a file that was named by mistake, which is no damage: one that is no audit log, or another node's. That is sure where the
// log says so, and its checkpoint, where there is one, is by that node's key.
func (t *AuditTask) slip() error {
	if t.File == "" {
		return nil
	}
	first, err := audit.First(t.File)
	if errors.Is(err, audit.ErrNoLog) {
		return fault.Usage("give --file an audit log: audit.log of a node's data directory, or a copy", "%s: %w", t.File, err)
	}
	if err != nil || first.Node == "" || t.Config.Node == "" || first.Node == string(t.Config.Node) {
		return nil // what is wrong with it who reads it says
	}
	if b, err := durable.ReadFile(filepath.Join(filepath.Dir(t.File), "audit.checkpoint"), attest.MaxJSON); err == nil {
		roster, err := t.roster()
		if err != nil {
			return err
		}
		v, err := appliance.AuditVerifier(first.Node, roster)
		if err != nil {
			return nil
		}
		if _, signed, err := audit.OpenCheckpoint(b, v); err != nil || !signed {
			return nil
		}
	}
	return fault.Usage("give --node "+first.Node+", or the log of "+string(t.Config.Node), "%s is the audit log of node %s, not of %s", t.File,
		first.Node, t.Config.Node)
}

// roster is whose nodes' logs are checked.
func (t *AuditTask) roster() (*attest.SignedRoster, error) {
	if t.Roster != nil {
		return t.Roster, nil
	}
	return loadRoster(t.Config)
}

func (t *AuditTask) verifier() (audit.Verifier, error) {
	roster, err := t.roster()
	if err != nil {
		return nil, err
	}
	if _, err := roster.Roster.Node(string(t.Config.Node)); err != nil {
		return nil, fault.Usage("name the node whose log it is: --node NAME", "no such node in the roster: %q", t.Config.Node)
	}
	return appliance.AuditVerifier(string(t.Config.Node), roster)
}

// since reads the checkpoint that is named, nil if none is.
func (t *AuditTask) since() ([]byte, error) {
	if t.Since == "" {
		return nil, nil
	}
	return durable.ReadFile(t.Since, attest.MaxJSON)
}

// had is the head of the checkpoint that is named, which the log must have grown from.
func (t *AuditTask) had(v audit.Verifier) (since []byte, had audit.Head, err error) {
	if since, err = t.since(); err != nil || since == nil {
		return nil, had, err
	}
	if v == nil {
		if v, err = t.verifier(); err != nil { // which says what is missing
			return nil, had, err
		}
	}
	had, signed, err := audit.OpenCheckpoint(since, v)
	if err == nil && !signed {
		err = fmt.Errorf("%w: another key than the roster's has signed it", audit.ErrCheckpoint)
	}
	return since, had, ofLog(err)
}

// witnesses are the other nodes of the roster that have cosigned a checkpoint of the log, which v's key has signed, if there is one.
func (t *AuditTask) witnesses(checkpoint []byte, v audit.Verifier) ([]audit.Witnessed, error) {
	if checkpoint == nil || t.Roster == nil && t.Config.Roster == "" {
		return nil, nil
	}
	roster, err := t.roster()
	if err != nil {
		return nil, err
	}
	return audit.WitnessedBy(checkpoint, v, appliance.AuditWitnesses(string(t.Config.Node), roster)...)
}

// byMLDSA are the nodes that have cosigned by ML-DSA-44 too.
func byMLDSA(all []audit.Witnessed) []string {
	names := []string{}
	for _, w := range all {
		if w.MLDSA {
			names = append(names, w.Node)
		}
	}
	return names
}

// fewMLDSA refuses what fewer nodes have cosigned by ML-DSA-44 than are wanted.
func fewMLDSA(holds, what string, are, wanted int, do string) error {
	return &fault.Error{Code: fault.CodeIntegrity,
		What: fmt.Sprintf("%s, and %d other nodes have cosigned %s by ML-DSA-44, wanted are %d", holds, are, what, wanted),
		Do:   do + "; a node does whose roster has its witness key: `mpcd node enroll` there and `mpcd node roster sign`"}
}

func verifyLog(path string, v audit.Verifier) (*audit.Verified, error) {
	x, err := audit.Verify(path, v)
	return x, ofLog(err)
}

// ofLog says what to do about an error of a log.
func ofLog(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, os.ErrNotExist) {
		return fault.Usage("check data_dir and that its disk is mounted; "+
			"a node that never ran has none, which `mpcd doctor` tells",
			"there is no audit log: %w", err)
	}
	f := &fault.Error{Code: fault.CodeIntegrity, What: "the audit log does not hold", Err: err,
		Do: "keep the data directory as it is, as evidence, and compare the log with its exports and checkpoints"}
	switch {
	case errors.As(err, new(*canon.VersionError)):
		f.Do = "keep the log as it is, and verify it with the release that wrote it"
	case errors.Is(err, audit.ErrNoEntry):
		return fault.Usage("give --entry one of these numbers; `mpcd audit export` lists them", "%w", err)
	case errors.Is(err, audit.ErrCheckpoint) && !errors.Is(err, durable.ErrCorrupt): // of --since, which somebody keeps
		return fault.Usage("give --since a file that was audit.checkpoint of this node, and --node its name", "--since: %w", err)
	case errors.Is(err, audit.ErrNoCheckpoint):
		f = &fault.Error{Code: fault.CodeUsage, Err: err,
			Do: "ask again in a minute: a running node has its token sign the head of a log that grew"}
	case !errors.Is(err, durable.ErrCorrupt):
		return err
	}
	return f
}

// Verify verifies a log, or checks a proof.
func (t *AuditTask) Verify() (*Report, error) {
	switch {
	case t.Proof != "":
		return t.check()
	}
	path, v, err := t.open()
	if err != nil {
		return nil, err
	}
	since, had, err := t.had(v)
	if err != nil {
		return nil, err
	}
	x, err := verifyLog(path, v)
	if err == nil && since != nil {
		err = ofLog(x.GrownFrom(had))
	}
	if err != nil {
		return nil, err
	}
	value := map[string]any{"valid": true, "entries": x.Size, "head": attest.Hex(x.Last[:]), "root": attest.Hex(x.Root[:]),
		"acknowledged": x.Acked, "torn_bytes": x.Torn, "checkpoint_entries": x.Checkpoint.Size}
	r := &Report{value, [][2]any{{"valid", path}, {"entries", x.Size}, {"head", attest.Hex(x.Last[:])}, {"root", attest.Hex(x.Root[:])}}}
	acked, torn := fmt.Sprintf("%d entries", x.Acked), "and were never acknowledged"
	if !x.Counted {
		value["acknowledged"] = nil
		acked = "how many were is not known here: no audit.acked is beside the log, which may have been longer"
		torn = "and may have been acknowledged ones"
	}
	r.Rows = append(r.Rows, [2]any{"acknowledged", acked})
	by, err := t.witnesses(x.Signed(), v)
	said, warning := checkpointOf(x, v)
	if err != nil {
		warning = fmt.Sprintf("who has witnessed it is not known: %v", err)
	}
	r.Rows = append(r.Rows, [2]any{"checkpoint", said})
	if value["warnings"] = []string{}; warning != "" {
		value["warnings"] = []string{warning}
		r.Rows = append(r.Rows, [2]any{"warning", warning})
	}
	names, strong := []string{}, byMLDSA(by)
	for _, w := range by {
		names = append(names, fmt.Sprintf("%s at %s", w.Node, w.At.UTC().Format(time.RFC3339)))
	}
	if len(strong) < t.MLDSA {
		return nil, fewMLDSA("the log holds", "its checkpoint", len(strong), t.MLDSA,
			"repeat this in a minute, while the node and its witnesses run")
	}
	value["witnessed_by"], value["witnessed_by_mldsa"] = names, strong
	if x.Checkpoint.Size > 0 {
		r.Rows = append(r.Rows, [2]any{"witnessed by", cmp.Or(strings.Join(names, ", "), "nobody")},
			[2]any{"by ML-DSA-44", cmp.Or(strings.Join(strong, ", "), "nobody")})
	}
	if since != nil {
		value["since_entries"] = had.Size
		r.Rows = append(r.Rows, [2]any{"grown since", fmt.Sprintf("%d entries, which are as they were", had.Size)})
	}
	if x.Torn > 0 {
		r.Rows = append(r.Rows, [2]any{"torn", fmt.Sprintf("%d bytes at the end are no entry, %s", x.Torn, torn)})
	}
	return r, nil
}

// checkpointOf is what is known of the checkpoint beside a log, and what is to be looked at: who removes one, or puts another key's in its
// place, takes away what tells that the log was cut.
func checkpointOf(x *audit.Verified, v audit.Verifier) (said, warning string) {
	switch {
	case x.Checkpoint.Size > 0:
		return fmt.Sprintf("signed by the node's token over %d entries", x.Checkpoint.Size), ""
	case v == nil:
		return "not checked: no roster to check it by", ""
	case x.OtherKey:
		return "not checked: by another key than the roster's", "audit.checkpoint is of a token that was replaced, or of nobody: it says " +
			"nothing of this log; a node that runs has its token sign another within a minute"
	case x.Size == 0:
		return "none yet", ""
	}
	return "none", "no audit.checkpoint is beside the log: it was removed or not carried along, unless the node has not run for a minute yet"
}

// check checks a proof.
func (t *AuditTask) check() (*Report, error) {
	v, err := t.verifier()
	if err != nil {
		return nil, err
	}
	b, err := durable.ReadFile(t.Proof, attest.MaxJSON)
	if err != nil {
		return nil, err
	}
	p, err := audit.ParseProof(b)
	if err != nil {
		return nil, fault.Usage("give what `mpcd audit prove` wrote", "%w", err)
	}
	since, err := t.since()
	if err != nil {
		return nil, err
	}
	x, err := p.Check(v, since)
	if errors.Is(err, audit.ErrCheckpoint) && !errors.Is(err, durable.ErrCorrupt) {
		return nil, ofLog(err)
	}
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeIntegrity, What: "the proof does not hold", Err: err,
			Do: "fetch it again, made with the same --since and of the node named; if it stays so, it was changed, or made of another log"}
	}
	by, err := t.witnesses([]byte(p.Checkpoint), v)
	if strong := byMLDSA(by); err == nil && len(strong) < t.MLDSA {
		return nil, fewMLDSA("the proof holds", "its checkpoint", len(strong), t.MLDSA, "make another, of a log that has that many")
	}
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeIntegrity, What: "a cosignature of the proof's checkpoint does not hold", Err: err,
			Do: "fetch it again; if it stays so, it was changed"}
	}
	grown := "not shown: the proof has no older checkpoint"
	if x.Since.Size > 0 {
		grown = fmt.Sprintf("%d entries, which are as they were", x.Since.Size)
	}
	return &Report{map[string]any{"valid": true, "entry": x.Entry, "entries": x.Under.Size, "root": attest.Hex(x.Under.Root[:]),
		"grown": x.Since.Size > 0, "since_entries": x.Since.Size},
		[][2]any{{"valid", t.Proof}, {"entry", x.Entry.Seq}, {"event", x.Entry.Event}, {"node", x.Entry.Node},
			{"under", fmt.Sprintf("%d entries", x.Under.Size)}, {"grown since", grown}}}, nil
}

// Prove writes the proof of an entry, and reports nothing else.
func (t *AuditTask) Prove() (*Report, error) {
	path, v, err := t.open()
	if err == nil && v == nil {
		v, err = t.verifier() // which says what is missing
	}
	if err != nil {
		return nil, err
	}
	since, err := t.since()
	if err != nil {
		return nil, err
	}
	p, err := audit.Prove(path, v, t.Entry, since)
	if err != nil {
		return nil, ofLog(err)
	}
	return nil, json.NewEncoder(t.Out).Encode(p)
}

// Export writes entries, one JSON object a line, after the whole log was verified.
func (t *AuditTask) Export() (*Report, error) {
	path, v, err := t.open()
	if err != nil {
		return nil, err
	}
	to := t.To
	if to == 0 {
		to = math.MaxUint64
	}
	out := json.NewEncoder(t.Out)
	return nil, ofLog(audit.Export(path, v, t.From, to, func(e audit.Entry) error { return out.Encode(e) }))
}
