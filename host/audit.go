package host

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/canon"
)

// VerifyAudit is VerifyAuditLog for the log of a node, whose data directory must be of this program's format.
func VerifyAudit(c Config) (n uint64, head [32]byte, err error) {
	if err := checkFormat(c); err != nil {
		return 0, head, err
	}
	return VerifyAuditLog(c.AuditPath())
}

// VerifyAuditLog walks the chain of an audit log, and returns the number of its entries and the hash of the last. It reads a copy: opening
// a log may cut off a torn end, and the node may be writing.
func VerifyAuditLog(path string) (n uint64, head [32]byte, err error) {
	src, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, head, fault.Usage("check data_dir and that its disk is mounted; a node that never ran has none",
			"there is no audit log: %w", err)
	}
	if err != nil {
		return 0, head, err
	}
	defer src.Close()
	dir, err := os.MkdirTemp("", "mpcd-audit-")
	if err != nil {
		return 0, head, err
	}
	defer os.RemoveAll(dir)
	copied := filepath.Join(dir, "audit.log")
	dst, err := os.OpenFile(copied, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, head, err
	}
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return 0, head, err
	}
	if err := dst.Close(); err != nil {
		return 0, head, err
	}
	if n, head, err = audit.Verify(copied); err != nil {
		do := "keep the file as evidence, and compare its head with one that was written down; put no older copy in its place"
		if errors.As(err, new(*canon.VersionError)) {
			do = "keep the log as it is, and verify it with the release that wrote it"
		}
		err = &fault.Error{Code: fault.CodeIntegrity, What: "the audit log does not hold", Err: &ofOriginal{err, copied, path}, Do: do}
	}
	return n, head, err
}

// ofOriginal tells an error of a copy as one of the original.
type ofOriginal struct {
	error
	copied, original string
}

func (e *ofOriginal) Error() string { return strings.ReplaceAll(e.error.Error(), e.copied, e.original) }
func (e *ofOriginal) Unwrap() error { return e.error }
