package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/vault"
)

// Goal: the doctor never sends its reader to the doctor. Method: an error that nothing is known of.
func TestDoctorIsTheLast(t *testing.T) {
	if f := findingOf(host.Finding{Check: "token", Err: errors.New("0x5")}); f.Do == "" || strings.Contains(f.Do, "doctor") {
		t.Errorf("to do: %q", f.Do)
	}
}

// Goal: every kind of error has its exit code and something to do, however deep it is wrapped.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		code fault.Code
	}{
		{errors.New("anything"), fault.CodeFailed},
		{fault.Usage("x", "y"), fault.CodeUsage},
		{hsm.ErrWrongPIN, fault.CodeHSM},
		{hsm.ErrPINLocked, fault.CodeHSM},
		{hsm.ErrNoToken, fault.CodeHSM},
		{hsm.ErrURI, fault.CodeUsage},
		{vault.ErrWrongKEK, fault.CodeHSM},
		{fmt.Errorf("%w: %w", vault.ErrWrongKEK, hsm.ErrIntegrity), fault.CodeHSM},
		{vault.ErrIntegrity, fault.CodeIntegrity},
		{vault.ErrCorrupt, fault.CodeIntegrity},
		{vault.ErrLocked, fault.CodeUsage},
		{vault.ErrFull, fault.CodeStorage},
		{fmt.Errorf("%w: %w", hsm.ErrUnavailable, vault.ErrFull), fault.CodeStorage},
		{fmt.Errorf("%w: %w", hsm.ErrUnavailable, syscall.EIO), fault.CodeHSM},
		{&os.PathError{Op: "write", Path: "f", Err: syscall.ENOSPC}, fault.CodeStorage},
		{&os.PathError{Op: "open", Path: "f", Err: syscall.EROFS}, fault.CodeStorage},
		{problem.Unwritten(syscall.ENOSPC), fault.CodeStorage},
		{&canon.VersionError{Got: 1, Want: 2}, fault.CodeIntegrity},
		{attest.ErrRoster, fault.CodeIntegrity},
		{context.DeadlineExceeded, fault.CodeTimeout},
		{&problem.Error{Code: problem.HSM, Message: "m"}, fault.CodeHSM},
		{&problem.Error{Code: problem.Denied, Message: "m"}, fault.CodeDenied},
		{&problem.Error{Code: problem.Quorum, Message: "m"}, fault.CodeQuorum},
		{&problem.Error{Code: problem.Blame, Message: "m"}, fault.CodeQuorum},
		{&problem.Error{Code: problem.Timeout, Message: "m"}, fault.CodeTimeout},
		{&problem.Error{Code: problem.Integrity, Message: "m"}, fault.CodeIntegrity},
		{&problem.Error{Code: problem.Invalid, Message: "m"}, fault.CodeUsage},
		{ofProblem(wire.Problem{Detail: "d", Status: 401, Code: "unauthenticated"}, ""), fault.CodeDenied},
		{ofProblem(wire.Problem{Detail: "d", Status: 403, Code: "denied"}, ""), fault.CodeDenied},
		{ofProblem(wire.Problem{Detail: "d", Status: 404, Code: "not_found"}, ""), fault.CodeNotFound},
		{ofProblem(wire.Problem{Detail: "d", Status: 409, Code: "conflict"}, ""), fault.CodeUsage},
		{ofProblem(wire.Problem{Detail: "d", Status: 503, Code: "quorum"}, ""), fault.CodeQuorum},
		{ofProblem(wire.Problem{Detail: "d", Status: 504, Code: "timeout"}, ""), fault.CodeTimeout},
		{ofProblem(wire.Problem{Detail: "d", Status: 503, Code: "http"}, ""), fault.CodeQuorum},
		{ofProblem(wire.Problem{Detail: "d", Status: 500, Code: "internal"}, ""), fault.CodeFailed},
	} {
		for _, err := range []error{c.err, fault.Doing("boot", c.err), fault.Doing("run", fault.Doing("boot", fmt.Errorf("deep: %w", c.err))),
			errors.Join(nil, c.err)} {
			f := explain(err)
			if f.Code != c.code || f.Do == "" || f.Error() == "" {
				t.Errorf("%v: exit code %d, want %d; do %q", err, f.Code, c.code, f.Do)
			}
		}
	}
}

// Goal: what a node advises stands as what to do, and not in why; where a request is repeated or a token is missing, the program knows
// better. Method: answers of the API.
func TestAdviceOfTheNode(t *testing.T) {
	for name, x := range map[string]struct {
		status    int
		code      string
		retryable bool
		next      string
		why, do   string
	}{
		"usage":  {422, "invalid", false, "give 32 bytes", "it is short", "give 32 bytes"},
		"policy": {403, "denied", false, "ask who keeps the policy", "it is short", "ask who keeps the policy"},
		"no token": {401, "unauthorized", false, "send a token", "it is short",
			"give a good token: export MPCD_TOKEN=$(mpcd token …), or --token"},
		"integrity": {500, "integrity", false, "do not delete anything", "it is short", "do not delete anything"},
		"again": {503, "quorum", true, "wait", "it is short. Wait.",
			"repeat it with --session s, which never signs twice; `mpcd node list` tells who is live"},
		"no advice": {422, "invalid", false, "", "it is short", "correct the request"},
		"a failure": {500, "internal", false, "", "it is short", "see the node's log for i"},
	} {
		p := wire.Problem{Status: x.status, Code: x.code, Retryable: x.retryable, Instance: "i"}
		p.Say("it is short", x.next)
		if f := explain(ofProblem(p, "s")); f.Err.Error() != x.why || f.Do != x.do {
			t.Errorf("%s: %q, %q", name, f.Err, f.Do)
		}
	}
}

// Goal: the outermost step is told, with the innermost reason.
func TestExplainKeepsStepAndReason(t *testing.T) {
	f := explain(fault.Doing("boot: token", fmt.Errorf("pkcs11: %w: 2 tries left", hsm.ErrWrongPIN)))
	if f.What != "boot: token" || f.Err.Error() != "pkcs11: wrong PIN: 2 tries left" || f.Code != fault.CodeHSM {
		t.Errorf("%q %v %d", f.What, f.Err, f.Code)
	}
}
