package appliance

import (
	"bytes"
	"context"
	"errors"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/vault"
)

// storeFormat is the version of everything that a node keeps of itself: its records under "node/", the shares and secrets in its
// vault, its audit log. It goes up whenever one of them changes, beside the version that each record carries. Format 1 had no mark.
const storeFormat = 2

var formatKey = []byte("node/format")

// OpenStore reads of which format a node's store is, before anything else in it is read: an empty one becomes one of this
// program's, any other than this program's is refused. Records of the vault alone make no format: it has versions of its own.
func OpenStore(ctx context.Context, s vault.Store) error {
	b, err := s.Get(ctx, formatKey)
	if err == nil {
		var format uint64
		if err := canon.Unmarshal(b, &format); err != nil {
			return &problem.Error{Code: problem.Integrity, Message: "the mark of the store's format is damaged",
				Next: "restore the node's data directory from a good disk", Err: err}
		}
		return checkFormat(format)
	}
	if !errors.Is(err, vault.ErrNotFound) {
		return err
	}
	used := errors.New("used")
	err = s.Iterate(ctx, nil, func(key, _ []byte) error {
		if bytes.HasPrefix(key, []byte("vault/")) {
			return nil
		}
		return used
	})
	if errors.Is(err, used) {
		return checkFormat(1)
	}
	if err != nil {
		return err
	}
	return s.Batch(ctx, []vault.Pair{{Key: formatKey, Value: canon.MustMarshal(uint64(storeFormat))}}, nil)
}

func checkFormat(format uint64) error {
	if format == storeFormat {
		return nil
	}
	next := "start it with the release that made it, and move what its keys hold to keys made on an empty data directory; " +
		"this release does not take it over"
	if format > storeFormat {
		next = "start it with the newer release that made it"
	}
	return problem.New(problem.Integrity, next, "the data directory is of format %d, this program reads format %d", format, storeFormat)
}
