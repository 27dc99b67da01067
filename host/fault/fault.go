// Package fault is an error as the keeper of a node needs it: what failed, why, what to do next, and of which kind it is.
//
// Where an error comes up, the code there says what to do, by [Usage] or an [Error]; on its way out [Doing] says what was being done. The
// program prints the outermost step with the innermost reason, and ends with the code of its kind. What an error of another package means
// to a keeper is for the program to know.
package fault

import (
	"fmt"
)

// Code is the kind of a fault. The numbers are the exit codes of the program, the same for every command, and stay.
type Code int

// The kinds.
const (
	CodeFailed    Code = 1 // none of the kinds below
	CodeUsage     Code = 2 // of the command line or the configuration
	CodeDenied    Code = 3 // role or policy
	CodeQuorum    Code = 4 // too few nodes, or no node reached
	CodeHSM       Code = 5
	CodeIntegrity Code = 6 // stored data, a receipt or a roster is not what it should be
	CodeTimeout   Code = 7
	CodeStorage   Code = 8 // the disk is full, or cannot be written
	CodeNotFound  Code = 9 // a node knows no such wallet, receipt or the like
)

// Error is a fault. A Code of 0 leaves the kind to the error inside, as Doing does.
type Error struct {
	Code Code
	What string // was being done; "" if only why is known
	Do   string // what to do next
	Err  error  // why
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.What
	}
	if e.What == "" {
		return e.Err.Error()
	}
	return e.What + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Usage is a fault of the command line or the configuration.
func Usage(do, format string, a ...any) error {
	return &Error{Code: CodeUsage, Err: fmt.Errorf(format, a...), Do: do}
}

// Doing says what was being done when err came up; nil stays nil.
func Doing(what string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{What: what, Err: err}
}
