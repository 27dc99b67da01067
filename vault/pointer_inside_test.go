package vault

import (
	"errors"
	"testing"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/secret"
)

// Goal: a pointer serves only in its place, by its own words and not by its MAC alone: whoever should once make two vaults with one key, or
// two ids with one record key, does not move shares between them. Method: pointers of another vault, node, kind, id and version, with the
// MAC that fits where they are put.
func TestPointerOfAnotherPlace(t *testing.T) {
	keys, err := deriveKeys(secret.New(vaultKeyLen))
	if err != nil {
		t.Fatal(err)
	}
	defer keys.wipe()
	v := &Vault{id: [16]byte{1}, node: "node-1", keys: keys}
	r := ref{kindShare, "a"}
	place := func(change func(*pointer)) error {
		p := &pointer{Version: recordVersion, Vault: v.id[:], Node: v.node, Kind: r.kind, ID: r.id, Floor: 1}
		change(p)
		body := canon.MustMarshal(p)
		_, err := v.decodePointer(r, append(body, keys.pointerMAC(v.wrapping.pointerKey(r), body)...))
		return err
	}
	if err := place(func(*pointer) {}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*pointer){
		"version": func(p *pointer) { p.Version++ },
		"vault":   func(p *pointer) { p.Vault = make([]byte, 16) },
		"node":    func(p *pointer) { p.Node = "node-2" },
		"kind":    func(p *pointer) { p.Kind = kindSecret },
		"id":      func(p *pointer) { p.ID = "b" },
	} {
		if err := place(change); !errors.Is(err, ErrIntegrity) {
			t.Errorf("of another %s: %v", name, err)
		}
	}
}

// Goal: a header serves only in its place, as a pointer does. Method: headers of another vault, node, kind, id, epoch and version.
func TestHeaderOfAnotherPlace(t *testing.T) {
	v := &Vault{id: [16]byte{1}, node: "node-1"}
	r := ref{kindShare, "a"}
	place := func(change func(*header)) error {
		h := v.newHeader(r, Meta{KeyKind: "s", Threshold: 2, TotalParties: 3, Epoch: 4})
		change(&h)
		_, err := v.parseHeader(canon.MustMarshal(h), r, 4)
		return err
	}
	if err := place(func(*header) {}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*header){
		"version": func(h *header) { h.Version++ },
		"vault":   func(h *header) { h.Vault = make([]byte, 16) },
		"node":    func(h *header) { h.Node = "node-2" },
		"kind":    func(h *header) { h.Kind = kindSecret },
		"id":      func(h *header) { h.ID = "b" },
		"epoch":   func(h *header) { h.Epoch = 5 },
	} {
		if err := place(change); !errors.Is(err, ErrIntegrity) {
			t.Errorf("of another %s: %v", name, err)
		}
	}
}
