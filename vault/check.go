package vault

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// maxFindings bounds what Check reports.
const maxFindings = 20

// Check reads every record and holds it against its pointer, without the token; for `mpcd doctor`, with no writes under way. It
// also finds records no pointer knows. All findings are joined, ErrIntegrity each; ErrState for a Rewrap that was cut short.
func (v *Vault) Check(ctx context.Context) error {
	known, findings, err := v.examine(ctx)
	if err != nil {
		return err
	}
	if err := v.unfinished(); err != nil {
		findings = append(findings, err)
	}
	err = v.store.Iterate(ctx, []byte(prefix), func(key, value []byte) error {
		if strings.HasPrefix(string(key), v.wrapping.sessions()) && v.isSession(key, value) {
			return nil
		}
		if !known[string(key)] {
			findings = append(findings, fmt.Errorf("vault: record %q belongs to no id: %w", key, ErrIntegrity))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return summary(findings)
}

// unfinished tells of a Rewrap whose last steps are missing.
func (v *Vault) unfinished() error {
	v.mu.Lock()
	s := v.state
	v.mu.Unlock()
	if s.retiring == nil && s.abandoned == nil {
		return nil
	}
	return fmt.Errorf("vault: it was moved to KEK %q, and what is left of the old wrapping is not all gone; run the same rewrap again: %w",
		v.kek, ErrState)
}

func summary(findings []error) error {
	if n := len(findings); n > maxFindings {
		findings = append(findings[:maxFindings], fmt.Errorf("vault: and %d more", n-maxFindings))
	}
	return errors.Join(findings...)
}

// examine holds every record of the wrapping against its pointer. It returns the keys that are accounted for.
func (v *Vault) examine(ctx context.Context) (known map[string]bool, findings []error, err error) {
	refs, err := v.refs(ctx)
	if err != nil {
		return nil, nil, err
	}
	k := v.canaryKeys()
	known = map[string]bool{rootKey: true, string(k.header): true, string(k.dek): true, string(k.body): true}
	if v.recovery != nil {
		known[string(v.wrapping.recoveryKey())] = true
	}
	for _, r := range refs {
		known[string(v.wrapping.pointerKey(r))] = true
		p, _, err := v.getPointer(ctx, r)
		if err != nil {
			findings = append(findings, err)
			continue
		}
		for i := range p.Entries {
			e := &p.Entries[i]
			k := v.wrapping.keys(r, e.Epoch)
			known[string(k.header)] = true
			if e.State == Retired {
				_, err = v.getHeader(ctx, r, e)
			} else {
				known[string(k.dek)], known[string(k.body)] = true, true
				_, _, err = v.getRecord(ctx, r, e)
			}
			if err != nil {
				findings = append(findings, err)
			}
		}
	}
	return known, findings, nil
}

// CheckToken has the token open every record, for `mpcd doctor`: one unwrapping each, so it takes as long as the token does. All
// findings are joined.
func (v *Vault) CheckToken(ctx context.Context) error {
	return v.eachSealed(ctx, func(_ ref, e envelope) error {
		plain, err := v.sealer.open(ctx, e)
		if err != nil {
			return err
		}
		plain.Wipe()
		return nil
	})
}

// eachSealed calls f for the canary and every record that holds a secret, after holding it against its pointer. It goes on after
// errors, and joins them.
func (v *Vault) eachSealed(ctx context.Context, f func(ref, envelope) error) error {
	var findings []error
	look := func(r ref, epoch uint64, get func() (envelope, error)) {
		e, err := get()
		if err == nil {
			if err = f(r, e); err != nil {
				err = fmt.Errorf("vault: %s epoch %d: %w", r, epoch, err)
			}
		}
		if err != nil {
			findings = append(findings, err)
		}
	}
	look(canary, 0, func() (envelope, error) { return v.getEnvelope(ctx, v.canaryKeys()) })
	refs, err := v.refs(ctx)
	if err != nil {
		return err
	}
	for _, r := range refs {
		p, _, err := v.getPointer(ctx, r)
		if err != nil {
			findings = append(findings, err)
			continue
		}
		for i := range p.Entries {
			if e := &p.Entries[i]; e.State != Retired {
				look(r, e.Epoch, func() (envelope, error) {
					env, _, err := v.getRecord(ctx, r, e)
					return env, err
				})
			}
		}
	}
	return summary(findings)
}

// refs lists what has a pointer.
func (v *Vault) refs(ctx context.Context) ([]ref, error) {
	var refs []ref
	start := v.wrapping.pointers()
	err := v.store.Iterate(ctx, []byte(start), func(key, _ []byte) error {
		kind, id, _ := strings.Cut(strings.TrimPrefix(string(key), start), "/")
		refs = append(refs, ref{kind, id})
		return nil
	})
	return refs, err
}
