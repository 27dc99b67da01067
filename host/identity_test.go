package host

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/internal/canon"
)

// Goal: an identity of another version, or of another length, is refused and never replaced. Method: what the vault keeps of one is
// changed; then the node is prepared and looked at again.
func TestIdentityOfAnotherVersion(t *testing.T) {
	c := testNode(t, "n1")
	prepare(t, c)
	onDisk := func(do func(context.Context, *Disk) error) error {
		return withTokens(t.Context(), c, func(tok *Tokens) error {
			disk, err := tok.OpenDisk(t.Context(), true)
			if err != nil {
				return err
			}
			return errors.Join(do(t.Context(), disk), disk.Close())
		})
	}
	for name, x := range map[string]struct {
		stored  []byte
		version bool
	}{
		"another version": {append([]byte{identityVersion + 1}, make([]byte, 64)...), true},
		"before versions": {make([]byte, 64), false},
		"too long":        {append([]byte{identityVersion}, make([]byte, 65)...), false},
	} {
		err := onDisk(func(ctx context.Context, d *Disk) error { return d.Vault.PutSecret(ctx, identitySecret, x.stored) })
		if err != nil {
			t.Fatal(err)
		}
		_, err = Prepare(t.Context(), c, Options{})
		if p := problem.As(err); p.Code != problem.Integrity || errors.As(err, new(*canon.VersionError)) != x.version {
			t.Errorf("%s: %v", name, err)
		}
		if err := found(t, &Checkup{Config: c}, "identity"); problem.As(err).Code != problem.Integrity {
			t.Errorf("%s: the doctor: %v", name, err)
		}
		err = onDisk(func(ctx context.Context, d *Disk) error {
			b, err := d.Vault.GetSecret(ctx, identitySecret)
			if err == nil && !bytes.Equal(b.Bytes(), x.stored) {
				err = errors.New("it was replaced")
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
