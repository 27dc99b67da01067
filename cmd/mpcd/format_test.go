package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// kept unpacks a node's directory that the program wrote when its format was new, and reads its configuration: node1 of a `mpcd dev`
// of three nodes on SoftHSM, stopped in order.
func kept(t *testing.T, archive string) host.Config {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open(filepath.Join("testdata", archive))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else if b, rerr := io.ReadAll(r); rerr != nil {
			err = rerr
		} else {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"mpcd.yaml", "hsm/softhsm2.conf"} { // they have absolute paths
		path := filepath.Join(dir, "node1", name)
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, []byte(strings.ReplaceAll(string(b), "@DIR@", dir)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	vs := host.Defaults()
	if err := vs.File(filepath.Join(dir, "node1", "mpcd.yaml")); err != nil {
		t.Fatal(err)
	}
	c, err := host.Parse(vs)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", c.HSM.SoftHSMConf)
	c.Dev = true
	return c
}

// openKept opens token, store and vault of a kept directory until the test ends.
func openKept(t *testing.T, c host.Config) (*host.Tokens, *host.Disk) {
	t.Helper()
	token, err := host.OpenTokens(t.Context(), c, host.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { token.Close() })
	disk, err := token.OpenDisk(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	return token, disk
}

// Goal: a data directory from before formats were marked does not start, and who starts it learns that it is of another format, that it
// is not damaged, and what to do. Method: boot on one that was written then, with two wallets.
func TestFormat1IsRefused(t *testing.T) {
	c := kept(t, "format1.tgz")
	_, err := host.Open(t.Context(), c, host.Options{Log: slog.New(slog.DiscardHandler)})
	f := explain(err)
	if f.Code != fault.CodeIntegrity || !strings.Contains(f.Error(), "the data directory is of format 1, this program reads format 2") ||
		!strings.Contains(f.Do, "start it with the release that made it") {
		t.Errorf("exit %d, %v, %q", f.Code, err, f.Do)
	}
}

// Goal: a data directory of format 2 opens for as long as the program says that it reads format 2, with all that is in it: wallets,
// shares, pair state, receipt, answers, audit log. Method: one that was written when the format was new, with an Ed25519 and a Taproot
// wallet, and an ECDSA wallet that signed once for a path and was refreshed.
func TestFormat2Opens(t *testing.T) {
	c := kept(t, "format2.tgz")
	token, disk := openKept(t, c)
	ctx := t.Context()
	if err := appliance.OpenStore(ctx, disk.Store); err != nil {
		t.Fatal(err)
	}
	roster, err := attest.LoadRoster(c.Roster)
	if err != nil {
		t.Fatal(err)
	}
	node, err := appliance.New(ctx, appliance.Config{
		Cluster: c.Cluster, Node: c.Node, Roster: roster, HSM: token.Token, CosignKey: c.HSM.CosignKey, AttestKey: c.HSM.AttestKey,
		Vault: disk.Vault, Store: disk.Store, Schemes: schemes.ByID, SchemeFor: schemes.For, Rand: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	wallets, _, err := node.Wallets(ctx, appliance.Page{})
	if err != nil || len(wallets) != 3 {
		t.Errorf("%d wallets, %v", len(wallets), err)
	}
	for _, w := range wallets {
		if w.State != keys.Active || w.Threshold != 2 || len(w.Parties) != 3 || w.Kind.Shown(w.PublicKey) == nil {
			t.Errorf("wallet %+v", w)
		}
	}
	if n, _, err := host.VerifyAudit(c.AuditPath()); err != nil || n < 20 {
		t.Errorf("audit log: %d entries, %v", n, err)
	}
	ids, err := disk.Vault.IDs(ctx)
	if err != nil || len(ids) != 3 {
		t.Fatalf("shares: %v, %v", ids, err)
	}
	kinds := map[threshold.KindID]uint64{}
	for _, id := range ids {
		b, meta, err := disk.Vault.Load(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		share, err := sim.ParseShare(threshold.KindID(meta.KeyKind), b.Bytes())
		b.Wipe()
		if err != nil {
			t.Fatal(err)
		}
		if attest.KeyID(share.Kind, share.GroupKey) != id {
			t.Errorf("the share of %s is of another key", id)
		}
		if kinds[share.Kind] = share.Epoch; share.Kind == threshold.ECDSA.ID {
			if pairs, err := sim.OpenPairs(disk.Vault, share.KeyInfo); err != nil || len(pairs) != 2 {
				t.Errorf("pair state: %d peers, %v", len(pairs), err)
			}
		}
		share.Destroy()
	}
	if kinds[threshold.Ed25519.ID] != 1 || kinds[threshold.BIP340.ID] != 1 || kinds[threshold.ECDSA.ID] != 2 {
		t.Errorf("epochs %v", kinds)
	}
	receipts := 0
	err = disk.Store.Iterate(ctx, []byte("node/receipt/"), func(key, value []byte) error {
		var r attest.Receipt
		if err := canon.UnmarshalVersion(value, attest.ReceiptVersion, &r); err != nil {
			return err
		}
		receipts++
		return attest.VerifyReceipt(&r, roster, schemes.ByID, attest.ReceiptOptions{})
	})
	if err != nil || receipts < 1 {
		t.Errorf("%d receipts, %v", receipts, err)
	}
}
