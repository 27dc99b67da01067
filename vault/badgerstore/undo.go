package badgerstore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"google.golang.org/protobuf/proto"

	"github.com/luxfi/mpcd/internal/durable"
)

// The manifest is a header (8 bytes), then sets of changes:
//
//	set = length (4, big-endian) | crc32c (4) | pb.ManifestChangeSet
const (
	manifestHeaderLen = 8
	manifestFrameLen  = 8
)

// undoneManifest keeps a manifest as it was before its last set was taken back.
const undoneManifest = "MANIFEST.undone"

// undoFailed takes the manifest's last set of changes back where it is of a compaction that failed: Badger writes the set, then makes it
// durable, and if that fails removes the tables it has made, whose names the file may have kept. It is taken back only if the tables that
// it replaces are all there: they hold what it made of them.
func undoFailed(o badger.Options) error {
	path := filepath.Join(o.Dir, badger.ManifestFilename)
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	at, last := lastSet(b)
	if last == nil || !failed(o.Dir, last) {
		return nil
	}
	if err := durable.WriteFile(filepath.Join(filepath.Dir(o.Dir), undoneManifest), b, 0o600); err != nil {
		return fmt.Errorf("keep the manifest: %w", err)
	}
	o.Logger.Warningf("the last compaction had failed, and is taken back: %d tables", len(last.Changes))
	return durable.WriteFile(path, b[:at], 0o600)
}

// lastSet is the manifest's last whole set of changes, and where it begins; nil if there is none.
func lastSet(b []byte) (at int, last *pb.ManifestChangeSet) {
	for next := manifestHeaderLen; len(b)-next >= manifestFrameLen; {
		n, sum := int(binary.BigEndian.Uint32(b[next:])), binary.BigEndian.Uint32(b[next+4:])
		payload := b[next+manifestFrameLen:]
		if n > len(payload) || crc32.Checksum(payload[:n], crc32.MakeTable(crc32.Castagnoli)) != sum {
			break
		}
		set := new(pb.ManifestChangeSet)
		if proto.Unmarshal(payload[:n], set) != nil {
			break
		}
		at, last = next, set
		next += manifestFrameLen + n
	}
	return at, last
}

// failed tells of a set of changes that a table it made is gone, and that all it replaces are there.
func failed(dir string, set *pb.ManifestChangeSet) bool {
	gone, replaces := false, false
	for _, c := range set.Changes {
		there, err := exists(table.NewFilename(c.Id, dir))
		switch {
		case err != nil:
			return false
		case c.Op == pb.ManifestChange_CREATE:
			gone = gone || !there
		case !there:
			return false
		default:
			replaces = true
		}
	}
	return gone && replaces
}
