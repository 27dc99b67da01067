package keys

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/vault"
)

// Damage is what of a node's stored secrets did not open for a reason of its bytes, until it opens. A nil one remembers nothing.
type Damage struct {
	Token func(error) string // what to do about an error of the token; nil for what is always right

	mu sync.Mutex
	m  map[string]error // by what it is of
}

// Failed is why something stored cannot be had, as a *problem.Error; how is what cannot be done with it.
func (d *Damage) Failed(what, how string, err error) error {
	e := &problem.Error{Code: vaultCode(err), Message: what + " " + how, Next: "check the disk and the token; run mpcd doctor", Err: err}
	if e.Code == problem.HSM && d != nil && d.Token != nil {
		e.Next = d.Token(err)
	}
	if e.Code == problem.Integrity {
		e.Next = problem.StopFirst
		d.note(what, e)
	}
	return e
}

// Unreadable is of something stored that opens, and does not decode.
func (d *Damage) Unreadable(what string, err error) error {
	e := problem.Unreadable(what, problem.StopFirst, err)
	d.note(what, e)
	return e
}

// Opened takes back what was told of something that opens now.
func (d *Damage) Opened(what string) { d.note(what, nil) }

func (d *Damage) note(what string, err error) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err == nil:
		delete(d.m, what)
	case d.m == nil:
		d.m = map[string]error{what: err}
	default:
		d.m[what] = err
	}
}

// Err is the first of it by name, and how many more there are; nil for none.
func (d *Damage) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := slices.Sorted(maps.Keys(d.m))
	switch len(names) {
	case 0:
		return nil
	case 1:
		return d.m[names[0]]
	}
	return fmt.Errorf("%w; and %d more", d.m[names[0]], len(names)-1)
}

// vaultCode is the code for what a vault failed with.
func vaultCode(err error) problem.Code {
	switch {
	case errors.Is(err, vault.ErrFull), errors.Is(err, vault.ErrMoved), errors.Is(err, vault.ErrBroken), errors.Is(err, vault.ErrUnread):
		return problem.Storage
	case errors.Is(err, vault.ErrIntegrity), errors.Is(err, vault.ErrCorrupt):
		return problem.Integrity
	case errors.Is(err, vault.ErrNotFound):
		return problem.NotFound
	}
	return problem.HSM
}
