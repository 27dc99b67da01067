package badgerstore

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// FuzzFirstCommit. Goal: whatever a write-ahead log holds, its first record is read without a panic, and the number of a sound one is the
// one behind its key. Method: any bytes, as they are and with the checksum that fits them; and a record made of any value, number and key,
// of which an empty one is damage: Badger writes none.
func FuzzFirstCommit(f *testing.F) {
	header := make([]byte, logHeaderLen)
	f.Add([]byte{}, []byte("key"), []byte("value"), uint64(7))
	f.Add(header, []byte{}, []byte{}, uint64(0))
	f.Add(append(header, 0, 0, 9, 1, 0, 'k', 0, 0, 0, 0, 0, 0, 0, 5, 'v', 0, 0, 0, 0), bytes.Repeat([]byte{1}, 300), []byte{}, uint64(1)<<63)
	f.Add(append(header, 0, 0, 3, 1, 0, 'k', 'e', 'y', 'v', 0, 0, 0, 0), []byte{0}, []byte{0}, uint64(1))
	f.Add(append(header, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1, 0), []byte{0}, []byte{0}, uint64(1))
	path, registry := filepath.Join(f.TempDir(), "00001.mem"), new(badger.KeyRegistry)
	f.Fuzz(func(t *testing.T, log, key, value []byte, number uint64) {
		first := func(log []byte) (uint64, error) {
			if err := os.WriteFile(path, log, 0o600); err != nil {
				t.Fatal(err)
			}
			return firstCommit(path, registry)
		}
		_, _ = first(log)
		if len(log) > logHeaderLen {
			_, _ = first(binary.BigEndian.AppendUint32(log, crc32.Checksum(log[logHeaderLen:], castagnoli)))
		}
		entry := binary.AppendUvarint([]byte{0, 0}, uint64(len(key)+8))
		entry = binary.AppendUvarint(entry, uint64(len(value)))
		entry = append(binary.AppendUvarint(entry, 0), key...)
		entry = binary.BigEndian.AppendUint64(entry, ^number) // y.KeyWithTs
		entry = append(entry, value...)
		entry = binary.BigEndian.AppendUint32(entry, crc32.Checksum(entry, castagnoli))
		if got, err := first(append(bytes.Clone(header), entry...)); (err != nil) != (len(key) == 0) || err == nil && got != number {
			t.Errorf("%d, %v; not %d", got, err, number)
		}
	})
}
