package host

import (
	"errors"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault/badgerstore"
)

// openStore opens the node's store with its key. While it is open nothing is done where a file is away without which no start opens it.
func openStore(c Config, key *secret.Bytes, o hsm.Options, crash func(error)) (*badgerstore.Store, error) {
	needs := []string{c.formatFile()}
	if c.Password.Provider == "hsm" {
		needs = append(needs, c.StoreKeyPath())
	}
	s, err := badgerstore.Open(badgerstore.Config{Dir: c.storeDir(), Key: key, Logger: o.Log(), Crash: crash, Needs: needs})
	if errors.Is(err, badgerstore.ErrWrongKey) {
		err = &fault.Error{Code: fault.CodeHSM, Err: err, Do: "use the token, or the password, the store was made with"}
	}
	return s, err
}
