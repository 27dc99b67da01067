package sim

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
)

// Stored is all that a node keeps in its store, as it reads for somebody who has the store's key and the token.
type Stored struct {
	Plain  []byte            // every key and value, through the store's own encryption; what the vault sealed is sealed in it
	Sealed map[string][]byte // what the vault sealed, opened, by name: "secret identity", "share w_…, epoch 2"
}

// bodyPrefix is where a vault keeps the sealed bodies of its records: KIND/ID, a zero byte, the epoch.
const bodyPrefix = "vault/b/"

// ReadStore reads a store and opens everything that is sealed in it. What is written meanwhile may be missed.
func ReadStore(ctx context.Context, s vault.Store, v *vault.Vault) (*Stored, error) {
	out := &Stored{Sealed: map[string][]byte{}}
	var names []string
	if err := s.Iterate(ctx, nil, func(key, value []byte) error {
		out.Plain = append(append(append(append(out.Plain, key...), '\n'), value...), '\n')
		if rest, ok := bytes.CutPrefix(key, []byte(bodyPrefix)); ok {
			name, _, _ := bytes.Cut(rest, []byte{0})
			names = append(names, string(name))
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for _, name := range names {
		kind, id, _ := strings.Cut(name, "/")
		if err := out.open(ctx, v, kind, id); err != nil {
			return nil, fmt.Errorf("sim: sealed %s %s: %w", kind, id, err)
		}
	}
	return out, nil
}

func (o *Stored) open(ctx context.Context, v *vault.Vault, kind, id string) error {
	switch kind {
	case "canary": // the vault's own, of no meaning
	case "secret":
		b, err := v.GetSecret(ctx, id)
		if err != nil {
			return err
		}
		defer b.Wipe()
		o.Sealed["secret "+id] = bytes.Clone(b.Bytes())
	case "share":
		epochs, err := v.Epochs(ctx, id)
		if err != nil {
			return err
		}
		for _, e := range epochs {
			b, err := loadEpoch(ctx, v, e)
			if err != nil {
				return err
			}
			o.Sealed[fmt.Sprintf("share %s, epoch %d", id, e.Epoch)] = b
		}
	default:
		return fmt.Errorf("nobody knows how to open it: teach this function, and the leak scans")
	}
	return nil
}

// loadEpoch opens a share; nil for an epoch that is erased.
func loadEpoch(ctx context.Context, v *vault.Vault, e vault.Entry) ([]byte, error) {
	load := func() (*secret.Bytes, *vault.Meta, error) { return v.Load(ctx, e.ID) }
	switch e.State {
	case vault.Active:
	case vault.Staged:
		load = func() (*secret.Bytes, *vault.Meta, error) { return v.LoadStaged(ctx, e.ID, e.Epoch) }
	default:
		return nil, nil
	}
	b, _, err := load()
	if err != nil {
		return nil, err
	}
	defer b.Wipe()
	return bytes.Clone(b.Bytes()), nil
}
