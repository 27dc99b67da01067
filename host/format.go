package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
)

// format is the version of everything in a node's data directory: the shares and secrets in its vault, the node's own records in its
// store, its audit log. It goes up whenever one of them changes, beside the version that each record carries. Format 1 had no mark.
const format = 2

// formatFile is the mark of the format: a number and the end of its line. It is a file of its own, so that a directory of another format
// is told without opening anything in it, which would change it.
func (c Config) formatFile() string { return filepath.Join(c.DataDir, "FORMAT") }

// checkFormat refuses a data directory of another format than this program's. One in which nothing is kept yet has none.
func checkFormat(c Config) error {
	b, err := durable.ReadFile(c.formatFile(), 64)
	if errors.Is(err, os.ErrNotExist) {
		for _, path := range []string{c.storeDir(), c.AuditPath()} {
			if _, err := os.Lstat(path); err == nil {
				return ofFormat(1)
			} else if !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		return nil
	}
	if err != nil && !errors.Is(err, durable.ErrTooLarge) {
		return err
	}
	n, _ := strconv.ParseUint(string(b[:max(0, len(b)-1)]), 10, 16)
	if n == 0 || string(b) != formatMark(n) {
		return &fault.Error{Code: fault.CodeIntegrity, Err: fmt.Errorf("%s, the mark of the data directory's format, is damaged", c.formatFile()),
			Do: fmt.Sprintf("write the line %d into it, if this release made the directory, or one of the same format", format)}
	}
	return ofFormat(n)
}

// markFormat marks a data directory in which nothing is kept yet as one of this program's.
func markFormat(c Config) error {
	if _, err := os.Lstat(c.formatFile()); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return durable.WriteFile(c.formatFile(), []byte(formatMark(format)), 0o600)
}

func formatMark(n uint64) string { return strconv.FormatUint(n, 10) + "\n" }

// ofFormat refuses every format but this program's.
func ofFormat(n uint64) error {
	if n == format {
		return nil
	}
	do := "start it with the release that made it, and move what its keys hold to keys made on an empty data directory; " +
		"this release does not take it over; if its file FORMAT was lost, put that back"
	if n > format {
		do = "start it with the newer release that made it"
	}
	return &fault.Error{Code: fault.CodeIntegrity, Do: do,
		Err: fmt.Errorf("the data directory is of format %d, this program reads format %d; nothing in it was changed", n, format)}
}
