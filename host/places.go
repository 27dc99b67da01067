package host

import (
	"path/filepath"

	"github.com/luxfi/mpcd/hsm"
)

// The places in a node's data directory.
func (c Config) storeDir() string { return filepath.Join(c.DataDir, "store") }

// AuditPath is where the audit log is.
func (c Config) AuditPath() string { return filepath.Join(c.DataDir, "audit.log") }

// StoreKeyPath is where the sealed key of the store is, or what else names its password.
func (c Config) StoreKeyPath() string {
	if c.Password.KeyID != "" {
		return c.Password.KeyID
	}
	return filepath.Join(c.DataDir, storeKeyFile)
}

const storeKeyFile = "store.key"

// RecoveryPath is the copy of the store's key for recovery, where a password makes the key.
func (c Config) RecoveryPath() string { return filepath.Join(c.DataDir, "store.recovery") }

// TokenURI is hsm.uri; the bare name local means a directory beside the data.
func (c Config) TokenURI() string {
	if c.HSM.URI == "local" {
		return "local:" + filepath.Join(filepath.Dir(c.DataDir), "hsm")
	}
	return c.HSM.URI
}

// vaultURI is the token whose key wraps the vault's.
func (c Config) vaultURI() string {
	if c.HSM.VaultURI == "" {
		return c.TokenURI()
	}
	return c.HSM.VaultURI
}

// beside is the URI of a token as mpcd.yaml may have it: paths below the file's directory are relative to it, so that it may be moved.
func (c Config) beside(uri string) string {
	u, err := hsm.ParseURI(uri)
	if err != nil || c.values[fileKey].dir == "" {
		return uri
	}
	now, err := withPaths(u, c.besidePath)
	if err != nil {
		return uri
	}
	return now.String()
}

// besidePath is a path relative to the directory of the configuration file, where it lies below that.
func (c Config) besidePath(path string) string {
	dir := c.values[fileKey].dir // "" is none, and nothing is relative to it
	if in, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(in) {
		return in
	}
	return path
}

// counterID names the counter of the node's vault: nodes that share a token have vault keys of different names.
func (c Config) counterID() string { return c.HSM.KEK + "-commits" }
