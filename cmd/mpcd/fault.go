package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/badgerstore"
)

// The exit codes of the program, the same for every command.
const (
	exitOK        = 0
	exitFailed    = 1 // none of the kinds below
	exitUsage     = 2
	exitDenied    = 3 // role or policy
	exitQuorum    = 4 // too few nodes, or no node reached
	exitHSM       = 5
	exitIntegrity = 6 // stored data, a receipt or a roster is not what it should be
	exitTimeout   = 7
)

// fault is an error as a human needs it: what failed, why, and what to do. Code is its exit code.
type fault struct {
	Code int
	What string
	Do   string
	Err  error // why
}

func (f *fault) Error() string {
	if f.Err == nil {
		return f.What
	}
	if f.What == "" {
		return f.Err.Error()
	}
	return f.What + ": " + f.Err.Error()
}

func (f *fault) Unwrap() error { return f.Err }

// usage is a fault of the command line or the configuration.
func usage(do, format string, a ...any) error {
	return &fault{Code: exitUsage, Err: fmt.Errorf(format, a...), Do: do}
}

// doing says what was being done when err came up; the code is told from err.
func doing(what string, err error) error {
	if err == nil {
		return nil
	}
	return &fault{What: what, Err: err}
}

// kinds maps the errors of the packages to codes and to what can be done, the more particular first.
var kinds = []struct {
	err  error
	code int
	do   string
}{
	{vault.ErrRollback, exitIntegrity, "restore the newest copy of the data directory; if there is none, read `mpcd hsm reanchor --help` before you use this one"},
	{vault.ErrRecovery, exitHSM, "compare hsm.recovery with the officers' recipients, and the identity with both"},
	{vault.ErrWrongKEK, exitHSM, "set hsm.vault_uri and hsm.vault_key to where the vault is"},
	{hsm.ErrPINSource, exitUsage, "correct pin-source in hsm.uri, or the file, credential or variable it names; the node's user alone may read the file"},
	{hsm.ErrWrongPIN, exitHSM, "correct the PIN in the source that pin-source names; it is not tried again by itself"},
	{hsm.ErrPINLocked, exitHSM, "have the security officer set a new PIN"},
	{hsm.ErrLastPINTry, exitHSM, "make sure the PIN is right, log in once with the vendor's tool, then start again"},
	{hsm.ErrNoToken, exitHSM, "compare token= in hsm.uri with `mpcd hsm list`"},
	{hsm.ErrNoKey, exitHSM, "compare the key IDs with `mpcd hsm list`, or make the keys with `mpcd hsm init`"},
	{hsm.ErrKeyExists, exitHSM, "choose another name, or use the key that is there"},
	{hsm.ErrAmbiguous, exitHSM, "add serial= to hsm.uri"},
	{hsm.ErrKeyType, exitHSM, "use a key of the type named, see `mpcd hsm list`"},
	{hsm.ErrURI, exitUsage, "correct the URI"},
	{hsm.ErrDevOnly, exitHSM, "use a token of hardware, or SoftHSM for a pilot"},
	{hsm.ErrUnavailable, exitHSM, "check that the token is connected and its library installed, then `mpcd hsm test`"},
	{hsm.ErrUnsupported, exitHSM, "see `mpcd version` for the drivers of this build"},
	{badgerstore.ErrWrongKey, exitHSM, "use the token, or the password, the store was made with"},
	{hsm.ErrIntegrity, exitIntegrity, "restore the data directory of this node from its backup"},
	{vault.ErrIntegrity, exitIntegrity, "restore the data directory of this node from its backup"},
	{durable.ErrCorrupt, exitIntegrity, "restore the data directory of this node from its backup"},
	{durable.ErrLocked, exitUsage, "stop the other process that uses this data directory"},
	{attest.ErrRoster, exitIntegrity, "compare roster and roster_root with what the operator handed out"},
	{attest.ErrUnknownNode, exitIntegrity, "use the roster that the receipt was made under"},
	{context.DeadlineExceeded, exitTimeout, "repeat the command; a longer --timeout may help"},
	{context.Canceled, exitTimeout, "repeat the command"},
	{os.ErrPermission, exitUsage, "check who owns the file"},
	{os.ErrNotExist, exitUsage, "check the path"},
}

// explain turns any error into a fault with a code and something to do.
func explain(err error) *fault {
	f := &fault{Code: exitFailed, Err: err}
	var given *fault
	for e := err; errors.As(e, &given); e = given.Err { // the innermost that knows wins, the outermost says what
		if f.What == "" {
			f.What = given.What
		}
		if given.Code != 0 {
			f.Code, f.Do = given.Code, given.Do
		}
		f.Err = given.Err
		if given.Err == nil {
			break
		}
	}
	if f.Code != exitFailed {
		return f
	}
	var node *problem.Error
	if errors.As(err, &node) {
		f.Code, f.Do = codeOf(string(node.Code)), node.Next
	}
	var refused *client.Error
	if errors.As(err, &refused) {
		answer := explain(ofProblem(refused.Problem, ""))
		f.Code, f.Do, f.Err = answer.Code, answer.Do, answer.Err
	}
	if f.Code == exitFailed {
		for _, k := range kinds {
			if errors.Is(err, k.err) {
				f.Code = k.code
				if f.Do == "" {
					f.Do = k.do
				}
				break
			}
		}
	}
	if f.Do == "" {
		f.Do = "run `mpcd doctor`, and see the log"
	}
	return f
}

// reworded is an error with another text.
type reworded struct {
	err  error
	text string
}

func (r *reworded) Error() string { return r.text }
func (r *reworded) Unwrap() error { return r.err }

// codeOf is the exit code for a code of the API.
func codeOf(code string) int {
	switch problem.Code(code) {
	case problem.Invalid, problem.NotFound, problem.Conflict, problem.Unsupported:
		return exitUsage
	case problem.Denied, "unauthenticated":
		return exitDenied
	case problem.Quorum, problem.Overload, problem.Starting, problem.Blame:
		return exitQuorum
	case problem.HSM:
		return exitHSM
	case problem.Integrity:
		return exitIntegrity
	case problem.Timeout:
		return exitTimeout
	}
	return exitFailed
}

// ofProblem is the fault for an answer of the API. The detail says what to do; the session is for those who try again.
func ofProblem(p wire.Problem, session string) error {
	code := codeOf(p.Code)
	if code == exitFailed {
		switch {
		case p.Status == 401 || p.Status == 403:
			code = exitDenied
		case p.Status == 503 || p.Status == 429:
			code = exitQuorum
		case p.Status == 504:
			code = exitTimeout
		case p.Status >= 400 && p.Status < 500:
			code = exitUsage
		}
	}
	why := p.Detail
	for _, e := range p.Errors {
		if !strings.Contains(why, e.Detail) {
			why += fmt.Sprintf(" (%s: %s)", e.Field, e.Detail)
		}
	}
	do := "correct the request"
	switch {
	case p.Retryable && session != "":
		do = "repeat it with --session " + session + ", which never signs twice; `mpcd node list` tells who is live"
	case p.Retryable:
		do = "repeat it; `mpcd node list` tells who is live"
	case code == exitDenied:
		do = "use a token with the role: `mpcd token`, MPCD_TOKEN"
	case code != exitUsage:
		do = "see the node's log for " + p.Instance
	}
	return &fault{Code: code, Err: errors.New(why), Do: do}
}
