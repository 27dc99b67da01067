package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/vault"
)

// kinds maps the errors of the packages to codes and to what can be done, the more particular first.
var kinds = []struct {
	err  error
	code fault.Code
	do   string
}{
	{vault.ErrRollback, fault.CodeIntegrity,
		"restore the newest copy of the data directory; if there is none, read `mpcd hsm reanchor --help` before you use this one"},
	{vault.ErrRecovery, fault.CodeHSM, "compare hsm.recovery with the officers' recipients, and the identity with both"},
	{vault.ErrWrongKEK, fault.CodeHSM, "set hsm.vault_uri and hsm.vault_key to where the vault is"},
	{hsm.ErrPINSource, fault.CodeUsage,
		"correct pin-source in hsm.uri, or the file, credential or variable it names; the node's user alone may read the file"},
	{hsm.ErrWrongPIN, fault.CodeHSM, "correct the PIN in the source that pin-source names; it is not tried again by itself"},
	{hsm.ErrPINLocked, fault.CodeHSM, "have the security officer set a new PIN"},
	{hsm.ErrLastPINTry, fault.CodeHSM, "make sure the PIN is right, log in once with the vendor's tool, then start again"},
	{hsm.ErrNoToken, fault.CodeHSM, "compare token= in hsm.uri with `mpcd hsm list`"},
	{hsm.ErrNoKey, fault.CodeHSM, "compare the key IDs with `mpcd hsm list`, or make the keys with `mpcd hsm init`"},
	{hsm.ErrKeyExists, fault.CodeHSM, "choose another name, or use the key that is there"},
	{hsm.ErrAmbiguous, fault.CodeHSM, "add serial= to hsm.uri"},
	{hsm.ErrKeyType, fault.CodeHSM, "use a key of the type named, see `mpcd hsm list`"},
	{hsm.ErrURI, fault.CodeUsage, "correct the URI"},
	{hsm.ErrDevOnly, fault.CodeHSM, "use a token of hardware, or SoftHSM for a pilot"},
	{hsm.ErrUnavailable, fault.CodeHSM, "check that the token is connected and its library installed, then `mpcd hsm test`"},
	{hsm.ErrUnsupported, fault.CodeHSM, "see `mpcd version` for the drivers of this build"},
	{hsm.ErrIntegrity, fault.CodeIntegrity, "restore the data directory of this node from its backup"},
	{vault.ErrIntegrity, fault.CodeIntegrity, "restore the data directory of this node from its backup"},
	{durable.ErrCorrupt, fault.CodeIntegrity, "restore the data directory of this node from its backup"},
	{durable.ErrLocked, fault.CodeUsage, "stop the other process that uses this data directory"},
	{attest.ErrRoster, fault.CodeIntegrity, "compare roster and roster_root with what the operator handed out"},
	{attest.ErrUnknownNode, fault.CodeIntegrity, "use the roster that the receipt was made under"},
	{context.DeadlineExceeded, fault.CodeTimeout, "repeat the command; a longer --timeout may help"},
	{context.Canceled, fault.CodeTimeout, "repeat the command"},
	{os.ErrPermission, fault.CodeUsage, "check who owns the file"},
	{os.ErrNotExist, fault.CodeUsage, "check the path"},
	{host.ErrOpen, fault.CodeHSM, "correct what is named, then look with `mpcd hsm list`"},
}

// explain turns any error into a fault with a code and something to do.
func explain(err error) *fault.Error {
	f := &fault.Error{Code: fault.CodeFailed, Err: err}
	var given *fault.Error
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
	if f.Code != fault.CodeFailed {
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
	if f.Code == fault.CodeFailed && errors.As(err, new(*canon.VersionError)) {
		f.Code, f.Do = fault.CodeIntegrity, "use the release that wrote it"
	}
	if f.Code == fault.CodeFailed {
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

// codeOf is the exit code for a code of the API.
func codeOf(code string) fault.Code {
	switch problem.Code(code) {
	case problem.Invalid, problem.NotFound, problem.Conflict, problem.Unsupported:
		return fault.CodeUsage
	case problem.Denied, "unauthenticated":
		return fault.CodeDenied
	case problem.Quorum, problem.Overload, problem.Starting, problem.Blame:
		return fault.CodeQuorum
	case problem.HSM:
		return fault.CodeHSM
	case problem.Integrity:
		return fault.CodeIntegrity
	case problem.Timeout:
		return fault.CodeTimeout
	}
	return fault.CodeFailed
}

// ofProblem is the fault for an answer of the API; the session is for those who try again.
func ofProblem(p wire.Problem, session string) error {
	code := codeOf(p.Code)
	if code == fault.CodeFailed {
		switch {
		case p.Status == 401 || p.Status == 403:
			code = fault.CodeDenied
		case p.Status == 503 || p.Status == 429:
			code = fault.CodeQuorum
		case p.Status == 504:
			code = fault.CodeTimeout
		case p.Status >= 400 && p.Status < 500:
			code = fault.CodeUsage
		}
	}
	why, do := p.Why(), p.Next
	if p.Retryable { // what to do is for us to say, and what the node advises may be more
		why = p.Detail
	}
	for _, e := range p.Errors {
		if !strings.Contains(why, e.Detail) {
			why += fmt.Sprintf(" (%s: %s)", e.Field, e.Detail)
		}
	}
	switch {
	case p.Retryable && session != "":
		do = "repeat it with --session " + session + ", which never signs twice; `mpcd node list` tells who is live"
	case p.Retryable:
		do = "repeat it; `mpcd node list` tells who is live"
	case p.Status == http.StatusUnauthorized:
		do = "use a token with the role: `mpcd token`, MPCD_TOKEN"
	case do == "" && code == fault.CodeUsage:
		do = "correct the request"
	case do == "":
		do = "see the node's log for " + p.Instance
	}
	return &fault.Error{Code: code, Err: errors.New(why), Do: do}
}
