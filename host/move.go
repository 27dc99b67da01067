package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/badgerstore"
)

// Target is where a vault is moved to.
type Target struct {
	URI string // of the token, paths in it relative to the working directory; "" is the one the vault is in
	Key string // its key that wraps the vault's; "" is hsm.vault_key
	// Recovery are the age recipients who can open the vault without a token, from now on; nil leaves them as they are, none ends it.
	Recovery   []string
	Unanchored bool // accept that an older copy of the directory is no longer noticed, where the token cannot count
}

// Moved is where a vault was moved to, as the configuration names it, and what its operator does next. Paths below the directory of
// mpcd.yaml are relative to that.
type Moved struct {
	URI, Key string
	Stayed   bool     // they are what the configuration names
	Recovery []string // nil where it was left as it is

	File   string    // of the configuration, in which Set is to be set before the next start; "" for none
	Set    []Changed // in the order of Settings
	Enroll bool      // the keys that sign are in the token that was moved to: the node is to be enrolled anew
}

// Changed is a setting that has another value now.
type Changed struct {
	Key   string `json:"key"`
	Value string `json:"value"`           // of a list, with commas between
	Where string `json:"where,omitempty"` // the variable or flag that has it now, in the place of the file
}

// Lines are what is to be set, as it stands in mpcd.yaml.
func (m Moved) Lines() (lines []string) {
	open := ""
	for _, x := range m.Set {
		section, name, _ := strings.Cut(x.Key, ".")
		if section != open {
			open, lines = section, append(lines, section+":")
		}
		s, _ := findSetting(x.Key)
		line := "  " + name + ": " + yamlValue(s, x.Value)
		if x.Where != "" {
			line += " # there, and not here: " + x.Where
		}
		lines = append(lines, line)
	}
	return lines
}

// Progress hears how many records of how many are done.
type Progress func(done, total int)

// Rewrap moves the vault of a node that does not run to another token, or changes who can recover it. Killed at any moment, it goes on
// when it is called again: whichever of the two tokens has the vault and the store's key is asked for them.
func Rewrap(ctx context.Context, c Config, o Options, x Target, p Progress) (Moved, error) {
	return moving(ctx, c, o, "vault.rewrap", func(m *move) error {
		if err := m.open(ctx, &x); err != nil {
			return err
		}
		return m.rewrap(ctx, x, p)
	})
}

// Recover is Rewrap with the identity of a recovery officer in the place of a dead token. It moves the vault first and seals the store's
// key last: until the end the identity opens both, so that a recovery that was cut short is repeated with the same call.
func Recover(ctx context.Context, c Config, o Options, x Target, identities []age.Identity, p Progress) (Moved, error) {
	return moving(ctx, c, o, "vault.recover", func(m *move) error {
		if err := m.openRecovered(ctx, x, identities); err != nil {
			return err
		}
		return m.recover(ctx, x, identities, p)
	})
}

// Reanchor declares the data directory of a node that does not run the newest, after a restore that was meant. It returns the counter in
// which the vault is anchored now, "" where the token cannot count.
func Reanchor(ctx context.Context, c Config, o Options) (counter string, err error) {
	_, err = moving(ctx, c, o, "vault.reanchor", func(m *move) error {
		if err := m.open(ctx, nil); err != nil {
			return err
		}
		vc, err := m.from.vaultConfig(m.store, true)
		if err != nil {
			return err
		}
		counter = vc.CounterID
		return vault.Reanchor(ctx, vc)
	})
	return counter, err
}

// move is the store of a node that does not run, open, with its vault closed, and the tokens that the vault is in and goes to.
type move struct {
	config  Config
	options Options
	opened  closers

	from  *Tokens       // nil where the token is dead
	key   *secret.Bytes // of the store
	store *badgerstore.Store
	to    *target // nil where the vault stays

	passwordLost bool // the store's password is not to be had any more: its key opens with the token instead
}

// moving takes the data directory, lets act open what it needs and do its work, puts it on record as an event, and closes everything.
func moving(ctx context.Context, c Config, o Options, event string, act func(*move) error) (Moved, error) {
	o = o.withDefaults()
	m := &move{config: c, options: o}
	held, err := Lock(c)
	if err := m.opened.keep(held, err); err != nil {
		return Moved{}, err
	}
	if err = act(m); err == nil {
		note(context.WithoutCancel(ctx), c, o, nil, event, m.facts())
	}
	m.key.Wipe()
	if err := errors.Join(err, m.opened.Close()); err != nil || m.to == nil {
		return Moved{}, err
	}
	set, enroll := m.settings()
	return Moved{c.beside(m.to.config.vaultURI()), m.to.config.HSM.KEK, m.to.same(c), m.to.wrapping.Recovery, c.File, set, enroll}, nil
}

// settings are what is to be set now that the vault has moved, and whether the node is to be enrolled anew. Where its token is dead, so are
// the keys that signed, if they were in it, and perhaps the store's password.
func (m *move) settings() (set []Changed, enroll bool) {
	put := func(key, value string) { set = append(set, Changed{key, value, m.config.Above[key]}) }
	uri, signs := m.to.config.vaultURI(), m.config.TokenURI()
	if enroll = m.from == nil && signs == m.config.vaultURI(); enroll && signs != uri {
		put("hsm.uri", m.config.beside(uri))
	}
	if !m.to.same(m.config) {
		put("hsm.vault_key", m.to.config.HSM.KEK)
		put("hsm.vault_uri", m.config.beside(uri))
	}
	if m.to.wrapping.Recovery != nil {
		put("hsm.recovery", strings.Join(m.to.wrapping.Recovery, ","))
	}
	if conf := m.config.HSM.SoftHSMConf; m.to.soft && m.config.Above["hsm.softhsm_conf"] != "" && !m.to.same(m.config) {
		set = append(set, Changed{Key: "hsm.softhsm_conf", Value: m.config.besidePath(conf)}) // this command alone may have the variable
	}
	if m.passwordLost {
		put("password.provider", "hsm")
		put("password.key_id", m.config.RecoveryPath())
	}
	return set, enroll
}

// facts are what is put on record of a move: to where, and how many can open the vault without a token. A URI is told without what comes
// after the token's name.
func (m *move) facts() map[string]string {
	if m.to == nil {
		return nil
	}
	uri, _, _ := strings.Cut(m.to.config.vaultURI(), "?")
	facts := map[string]string{"token": uri, "key": m.to.config.HSM.KEK}
	if m.to.wrapping.Recovery != nil {
		facts["recovery"] = fmt.Sprint(len(m.to.wrapping.Recovery))
	}
	return facts
}

// open opens what the configuration names. With a target, whose token is opened too, the store may be in its hands already.
func (m *move) open(ctx context.Context, x *Target) (err error) {
	m.from, err = OpenTokens(ctx, m.config, m.options)
	if err := m.opened.keep(m.from, err); err != nil {
		return err
	}
	m.key, err = m.from.StoreKey(ctx)
	if err != nil && (x == nil || !errors.Is(err, vault.ErrWrongKEK)) {
		return err
	}
	if x != nil {
		wrong := err
		if m.to, err = openTarget(ctx, m.config, m.from.opener, *x, wrong == nil); err != nil {
			return cmp.Or(wrong, err)
		}
		if wrong != nil {
			if m.key, err = m.config.keyFile().unseal(ctx, m.to.slot); err != nil {
				return wrong
			}
		}
	}
	return m.openStore()
}

// openRecovered opens the store with an officer's identity, and the target.
func (m *move) openRecovered(ctx context.Context, x Target, identities []age.Identity) (err error) {
	if m.key, err = m.config.keyFile().recover(identities); err != nil {
		return err
	}
	if err := m.openStore(); err != nil {
		return err
	}
	p, err := newOpener(m.config, m.options)
	if err := m.opened.keep(p, err); err != nil {
		return err
	}
	if m.to, err = openTarget(ctx, m.config, p, x, true); err == nil && m.config.Password.Provider != "hsm" {
		key, err := (&Tokens{config: m.config, opener: p}).StoreKey(ctx)
		m.passwordLost = err != nil || !key.Equal(m.key.Bytes())
		key.Wipe()
	}
	return err
}

func (m *move) openStore() (err error) {
	m.store, err = openStore(m.config, m.key, hsm.Options{Logger: m.options.Log}, m.options.Crash)
	return m.opened.keep(m.store, err)
}

func (m *move) rewrap(ctx context.Context, x Target, p Progress) error {
	from, err := m.from.vaultConfig(m.store, true)
	if err != nil {
		return err
	}
	from.Recovery = nil // it has what it has
	old, err := m.from.slot()
	if err != nil {
		return err
	}
	before, err := recipientsOf(ctx, from)
	if errors.Is(err, vault.ErrWrongKEK) { // perhaps it has moved already
		if now, merr := recipientsOf(ctx, m.to.vaultConfig(m.store)); merr == nil {
			before, err = now, nil
		}
	}
	if err != nil {
		return err
	}
	if gone := removed(before, x.Recovery); len(gone) > 0 && m.to.same(m.config) {
		return fault.Usage("give --to-key with a name that the token does not have yet, and destroy the old key when the vault has moved",
			"%s would still be let in by an older copy of the disk, as long as the token opens what key %q wrapped",
			strings.Join(gone, ", "), m.config.HSM.KEK)
	}
	// The store's key opens with either token, and for those who can recover the vault, while the vault is on its way.
	f := m.config.keyFile()
	if !f.password {
		if err := f.write(ctx, m.key, before, old, m.to.slot); err != nil {
			return err
		}
	}
	if err := vault.Rewrap(ctx, from, m.to.wrapping, p); err != nil {
		return err
	}
	if x.Recovery != nil {
		before = x.Recovery
	}
	return f.keep(ctx, m.key, before, m.to.slot)
}

func (m *move) recover(ctx context.Context, x Target, identities []age.Identity, p Progress) error {
	now := m.to.vaultConfig(m.store)
	err := vault.Recover(ctx, m.store, identities, m.to.wrapping, p)
	if errors.Is(err, vault.ErrRecovery) { // it has moved already, and to other officers
		if moved, merr := recipientsOf(ctx, now); merr == nil && slices.Equal(moved, slices.Sorted(slices.Values(x.Recovery))) {
			err = vault.Rewrap(ctx, now, m.to.wrapping, p)
		}
	}
	if err != nil {
		return err
	}
	recovery, err := recipientsOf(ctx, now)
	if err != nil {
		return err
	}
	return m.config.keyFile().keep(ctx, m.key, recovery, m.to.slot)
}

// removed lists who could recover the vault and no longer can; next is nil where nothing changes.
func removed(before, next []string) []string {
	if next == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(before), func(r string) bool { return slices.Contains(next, r) })
}

// recipientsOf opens a vault, and tells who can recover it.
func recipientsOf(ctx context.Context, vc vault.Config) ([]string, error) {
	v, err := vault.Open(ctx, vc)
	if err != nil {
		return nil, err
	}
	return v.RecoveryRecipients(), v.Close()
}
