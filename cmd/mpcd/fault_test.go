package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/vault"
)

// Goal: every kind of error has its exit code and something to do, however deep it is wrapped.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{
		{errors.New("anything"), exitFailed},
		{usage("x", "y"), exitUsage},
		{hsm.ErrWrongPIN, exitHSM},
		{hsm.ErrPINLocked, exitHSM},
		{hsm.ErrNoToken, exitHSM},
		{hsm.ErrURI, exitUsage},
		{vault.ErrWrongKEK, exitHSM},
		{fmt.Errorf("%w: %w", vault.ErrWrongKEK, hsm.ErrIntegrity), exitHSM},
		{vault.ErrIntegrity, exitIntegrity},
		{vault.ErrCorrupt, exitIntegrity},
		{vault.ErrLocked, exitUsage},
		{attest.ErrRoster, exitIntegrity},
		{context.DeadlineExceeded, exitTimeout},
		{&problem.Error{Code: problem.HSM, Message: "m"}, exitHSM},
		{&problem.Error{Code: problem.Denied, Message: "m"}, exitDenied},
		{&problem.Error{Code: problem.Quorum, Message: "m"}, exitQuorum},
		{&problem.Error{Code: problem.Blame, Message: "m"}, exitQuorum},
		{&problem.Error{Code: problem.Timeout, Message: "m"}, exitTimeout},
		{&problem.Error{Code: problem.Integrity, Message: "m"}, exitIntegrity},
		{&problem.Error{Code: problem.Invalid, Message: "m"}, exitUsage},
		{ofProblem(wire.Problem{Detail: "d", Status: 401, Code: "unauthenticated"}, ""), exitDenied},
		{ofProblem(wire.Problem{Detail: "d", Status: 403, Code: "denied"}, ""), exitDenied},
		{ofProblem(wire.Problem{Detail: "d", Status: 404, Code: "not_found"}, ""), exitUsage},
		{ofProblem(wire.Problem{Detail: "d", Status: 409, Code: "conflict"}, ""), exitUsage},
		{ofProblem(wire.Problem{Detail: "d", Status: 503, Code: "quorum"}, ""), exitQuorum},
		{ofProblem(wire.Problem{Detail: "d", Status: 504, Code: "timeout"}, ""), exitTimeout},
		{ofProblem(wire.Problem{Detail: "d", Status: 503, Code: "http"}, ""), exitQuorum},
		{ofProblem(wire.Problem{Detail: "d", Status: 500, Code: "internal"}, ""), exitFailed},
	} {
		for _, err := range []error{c.err, doing("boot", c.err), doing("run", doing("boot", fmt.Errorf("deep: %w", c.err))), errors.Join(nil, c.err)} {
			f := explain(err)
			if f.Code != c.code || f.Do == "" || f.Error() == "" {
				t.Errorf("%v: exit code %d, want %d; do %q", err, f.Code, c.code, f.Do)
			}
		}
	}
}

// Goal: the outermost step is told, with the innermost reason.
func TestExplainKeepsStepAndReason(t *testing.T) {
	f := explain(doing("boot: token", fmt.Errorf("pkcs11: %w: 2 tries left", hsm.ErrWrongPIN)))
	if f.What != "boot: token" || f.Err.Error() != "pkcs11: wrong PIN: 2 tries left" || f.Code != exitHSM {
		t.Errorf("%q %v %d", f.What, f.Err, f.Code)
	}
}
