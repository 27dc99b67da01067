package badgerstore

import (
	"crypto/aes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

func damaged(path, how string, a ...any) error {
	return fmt.Errorf("%s is damaged: %s", filepath.Base(path), fmt.Sprintf(how, a...))
}

// checkTable checks every block of a table by its checksum, and the index that names them by the footer behind it:
//
//	block* | index | index length (4) | checksum of the index | checksum length (4)
//
// Blocks and index are encrypted each by itself, with the nonce (16) behind them. It returns the number of the last commit in the table.
func checkTable(path string, key *pb.DataKey) (last uint64, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	rest, sum, ok := cutTail(b)
	rest, index, ok2 := cutTail(rest)
	if !ok || !ok2 || len(index) == 0 {
		return 0, damaged(path, "no index")
	}
	if err := checkSum(index, sum); err != nil {
		return 0, damaged(path, "index: %v", err)
	}
	if index, err = decrypt(index, key); err != nil {
		return 0, damaged(path, "index: %v", err)
	}
	blocks := fb.GetRootAsTableIndex(index, 0)
	for i := range blocks.OffsetsLength() {
		var at fb.BlockOffset
		if !blocks.Offsets(&at, i) || uint64(at.Offset())+uint64(at.Len()) > uint64(len(rest)) {
			return 0, damaged(path, "block %d is not in it", i)
		}
		block, err := decrypt(rest[at.Offset():][:at.Len()], key)
		if err != nil {
			return 0, damaged(path, "block %d: %v", i, err)
		}
		data, sum, ok := cutTail(block)
		if !ok || len(data) < 4 {
			return 0, damaged(path, "block %d has no checksum", i)
		}
		if err := checkSum(data, sum); err != nil {
			return 0, damaged(path, "block %d: %v", i, err)
		}
	}
	return blocks.MaxVersion(), nil
}

// cutTail takes a part from the end of b, behind which its length (4) stands.
func cutTail(b []byte) (rest, part []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := int64(binary.BigEndian.Uint32(b[len(b)-4:]))
	b = b[:len(b)-4]
	if n > int64(len(b)) {
		return nil, nil, false
	}
	at := int64(len(b)) - n
	return b[:at], b[at:], true
}

func checkSum(b, sum []byte) error {
	var want pb.Checksum
	if err := proto.Unmarshal(sum, &want); err != nil {
		return err
	}
	if _, known := pb.Checksum_Algorithm_name[int32(want.Algo)]; !known {
		return fmt.Errorf("checksum of an unknown kind %d", want.Algo)
	}
	return y.VerifyChecksum(b, &want)
}

// decrypt opens what Badger encrypted with a data key; nil is for none.
func decrypt(b []byte, key *pb.DataKey) ([]byte, error) {
	if key == nil {
		return b, nil
	}
	n := len(b) - aes.BlockSize
	if n < 0 {
		return nil, errors.New("shorter than its nonce")
	}
	return y.XORBlockAllocate(b[:n], key.Data, b[n:])
}

// checkRegistry checks the lengths in a key registry, for Badger allocates what they say, and the checksums, of which it does not name the
// file:
//
//	nonce (16) | known text (12) | (length (4) | checksum (4) | data key)*
func checkRegistry(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	const head = aes.BlockSize + 12
	if len(b) < head {
		return damaged(path, "it has %d bytes", len(b))
	}
	for b = b[head:]; len(b) > 0; {
		if len(b) < 8 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-8) {
			return damaged(path, "a key is cut off")
		}
		end := 8 + binary.BigEndian.Uint32(b)
		if crc32.Checksum(b[8:end], castagnoli) != binary.BigEndian.Uint32(b[4:]) {
			return damaged(path, "the checksum of a key is another")
		}
		b = b[end:]
	}
	return nil
}

// checkLogs checks the lengths in the logs that Badger reads while it opens, for it allocates what they say: all write-ahead logs, and the
// last value log. Behind an entry that is not sound Badger reads nothing.
func checkLogs(dir, kind string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+kind))
	if err != nil {
		return err
	}
	if kind == valueLog && len(paths) > 1 {
		paths = paths[len(paths)-1:]
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for b = b[min(len(b), logHeaderLen):]; ; {
			n, err := entryLen(b)
			if err != nil {
				return damaged(path, "%v", err)
			}
			if n == 0 {
				break
			}
			b = b[n:]
		}
	}
	return nil
}

// entryLen is the length of the sound entry at the start of b, 0 if there is none:
//
//	flags (2) | key length (varint) | value length (varint) | expiry (varint) | key | value | checksum (4)
//
// No crash leaves a length beyond the end of the file: a log is made with its zeros, and an entry that is cut off ends in them.
func entryLen(b []byte) (int, error) {
	if len(b) < 2 {
		return 0, nil
	}
	at := 2
	var lengths [3]uint64
	for i := range lengths {
		v, n := binary.Uvarint(b[at:])
		if n <= 0 {
			return 0, nil
		}
		lengths[i] = v
		at += n
	}
	if lengths[0] == 0 { // no entry is without a key
		return 0, nil
	}
	if left := uint64(len(b) - at); lengths[0] > left || lengths[1] > left || lengths[0]+lengths[1]+crc32.Size > left {
		return 0, errors.New("an entry is longer than the log")
	}
	at += int(lengths[0] + lengths[1])
	if crc32.Checksum(b[:at], castagnoli) != binary.BigEndian.Uint32(b[at:]) {
		return 0, nil
	}
	return at + crc32.Size, nil
}

// firstCommit is the number of the commit that a write-ahead log begins with, 0 if it has no record. Badger counts commits without gaps,
// and writes the number behind each key (y.KeyWithTs); keys and values are encrypted, by the log's nonce and their place in it (4).
func firstCommit(path string, registry *badger.KeyRegistry) (uint64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	if n, err := entryLen(b[min(len(b), logHeaderLen):]); n == 0 || err != nil {
		return 0, err
	}
	data, err := registry.DataKey(binary.BigEndian.Uint64(b))
	if err != nil {
		return 0, fmt.Errorf("key registry: %w", err)
	}
	nonce := binary.BigEndian.AppendUint32(slices.Clone(b[8:logHeaderLen]), logHeaderLen)
	entry := b[logHeaderLen+2:]
	length, n := binary.Uvarint(entry)
	entry = entry[n:]
	for range 2 {
		_, n = binary.Uvarint(entry)
		entry = entry[n:]
	}
	key := entry[:length]
	if data != nil {
		if key, err = y.XORBlockAllocate(key, data.Data, nonce); err != nil {
			return 0, err
		}
	}
	if len(key) <= 8 { // nothing but the number
		return 0, damaged(path, "a key of %d bytes", len(key))
	}
	return y.ParseTs(key), nil
}

// discardFile is where Badger counts what it may discard of its value logs, and its least size in bytes.
const (
	discardFile = "DISCARD"
	discardSize = 1 << 20
)

// checkDiscard checks the size of that file: Badger writes at places it takes for granted.
func checkDiscard(dir string) error {
	path := filepath.Join(dir, discardFile)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Size() != 0 && info.Size() < discardSize:
		return damaged(path, "it has %d bytes", info.Size())
	}
	return nil
}
