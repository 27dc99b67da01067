package enrol

import (
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/luxfi/mpcd/attest/appraise"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
)

// Judgement is an enrolment with what it was judged by, as it is kept. All but the findings can be judged again.
type Judgement struct {
	Enrolment Enrolment `json:"enrolment"`
	Answers   []Answer  `json:"answers,omitempty"`
	Policy    string    `json:"policy"`
	At        time.Time `json:"at"`
	Findings  []Verdict `json:"findings"`
}

// Judge appraises enrolments, with the answers to challenges of the root; a root of nil takes the answers' word for it. It returns what
// it found also where it refuses: the error is why the first that is refused is. Unused are the answers for none of the enrolments.
func Judge(p appraise.Policy, root ed25519.PublicKey, es []Enrolment, answers []Answer, at time.Time) (out []Judgement, unused []Answer,
	err error) {
	of := func(a Answer, e Enrolment) bool {
		return a.Challenge.Node == e.Node && a.Challenge.Cluster == e.Cluster
	}
	for _, e := range es {
		j := Judgement{Enrolment: e}
		for _, a := range answers {
			if of(a, e) {
				j.Answers = append(j.Answers, a)
			}
		}
		if refused := j.Judge(p, root, at); err == nil {
			err = refused
		}
		out = append(out, j)
	}
	for _, a := range answers {
		if !slices.ContainsFunc(es, func(e Enrolment) bool { return of(a, e) }) {
			unused = append(unused, a)
		}
	}
	return out, unused, err
}

// Judge fills in the findings, at a time, by a policy.
func (j *Judgement) Judge(p appraise.Policy, root ed25519.PublicKey, at time.Time) (err error) {
	j.Policy, j.At = p.Name, at.UTC().Truncate(time.Second)
	var bindings []appraise.Binding
	for _, a := range j.Answers {
		b, err := a.bindings(root, j.Enrolment)
		if err != nil {
			return err
		}
		bindings = append(bindings, b...)
	}
	j.Findings, err = j.Enrolment.Appraise(p, j.At, bindings)
	return err
}

// keep writes what was judged beside the roster, a file for each node.
func (a *Operator) keep(all []Judgement) error {
	dir := filepath.Join(a.dir, "evidence")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, j := range all {
		b, err := json.MarshalIndent(j, "", "  ")
		if err != nil {
			return err
		}
		if err := durable.WriteFile(filepath.Join(dir, j.Enrolment.Node+".json"), append(b, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// ReadJudgement reads a judgement, or an enrolment alone.
func ReadJudgement(path string) (Judgement, error) {
	var j Judgement
	var raw struct {
		Enrolment json.RawMessage `json:"enrolment"`
		Answers   []Answer        `json:"answers"`
	}
	if err := readJSON(path, &raw); err != nil {
		return j, err
	}
	var err error
	if raw.Enrolment == nil {
		j.Enrolment, err = ReadEnrolment(path)
		return j, err
	}
	j.Answers = raw.Answers
	j.Enrolment, err = ParseEnrolment(raw.Enrolment)
	return j, fault.Doing(path, err)
}
