package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/cli"
)

// explain turns any error into a fault with a code and something to do.
func explain(err error) *fault.Error {
	f := &fault.Error{Code: fault.CodeFailed, Err: err}
	var given *fault.Error
	for e := err; errors.As(e, &given); e = given.Err { // the innermost that knows wins, the outermost says what
		f.What = cmp.Or(f.What, given.What)
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
		f.Code, f.Do = cli.CodeOf(string(node.Code)), node.Next
	}
	var refused *client.Error
	if errors.As(err, &refused) {
		answer := explain(ofProblem(refused.Problem, ""))
		f.Code, f.Do, f.Err = answer.Code, answer.Do, answer.Err
	}
	if f.Code == fault.CodeFailed {
		code, do := host.KindOf(err)
		f.Code, f.Do = code, cmp.Or(f.Do, do)
	}
	f.Do = cmp.Or(f.Do, askDoctor)
	return f
}

// askDoctor is what to do where nothing better is known.
const askDoctor = "run `mpcd doctor`, and see the log"

// ofProblem is the fault for an answer of the API; the session is for those who try again.
func ofProblem(p wire.Problem, session string) *fault.Error {
	code := cli.CodeOf(p.Code)
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
		do = "give a good token: export MPCD_TOKEN=$(mpcd token …), or --token"
	case do == "" && code == fault.CodeNotFound:
		do = "check the name with `mpcd key list`"
	case do == "" && code == fault.CodeUsage:
		do = "correct the request"
	case do == "":
		do = "see the node's log for " + p.Instance
	}
	return &fault.Error{Code: code, Err: errors.New(why), Do: do}
}
