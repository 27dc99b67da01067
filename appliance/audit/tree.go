package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/luxfi/mpcd/internal/durable"
)

// blockLen is how many entries a block has: the leaves of a subtree of height blockHeight, as in a tile of C2SP tlog-tiles.
const (
	blockHeight = 8
	blockLen    = 1 << blockHeight
)

// block is a whole block: the hash of its subtree, and the frame in which its first entry is.
type block struct {
	hash tlog.Hash
	at   durable.Place
}

// tree is the Merkle tree (RFC 6962) over the entries. It holds the hashes of whole blocks and what is above them; those of the block that
// fills up are leaves; those inside a whole block are computed anew from its entries when they are asked for. 10⁷ entries take 4 MiB.
type tree struct {
	blocks []block
	above  [][]tlog.Hash // by height over the blocks; the first are the blocks' own
	leaves []tlog.Hash   // of the block that fills up
	at     durable.Place // the frame in which its first entry is
	load   func(n int) ([]tlog.Hash, error)
}

func (t *tree) size() uint64 { return uint64(len(t.blocks))*blockLen + uint64(len(t.leaves)) }

// add adds an entry that was read, or will be written, in a frame. It returns whether a block is whole now.
func (t *tree) add(entry []byte, at durable.Place) bool {
	if len(t.leaves) == 0 {
		t.at = at
	}
	t.leaves = append(t.leaves, tlog.RecordHash(entry))
	if len(t.leaves) < blockLen {
		return false
	}
	t.push(block{subtree(t.leaves), t.at})
	t.leaves = t.leaves[:0]
	return true
}

// push adds a whole block.
func (t *tree) push(b block) {
	t.blocks = append(t.blocks, b)
	h := b.hash
	for level := 0; ; level++ {
		if level == len(t.above) {
			t.above = append(t.above, nil)
		}
		t.above[level] = append(t.above[level], h)
		n := len(t.above[level])
		if n%2 == 1 {
			return
		}
		h = tlog.NodeHash(t.above[level][n-2], h)
	}
}

// subtree is the hash over a power of two of hashes.
func subtree(hs []tlog.Hash) tlog.Hash {
	if len(hs) == 1 {
		return hs[0]
	}
	half := len(hs) / 2
	return tlog.NodeHash(subtree(hs[:half]), subtree(hs[half:]))
}

// ReadHashes implements tlog.HashReader.
func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	loaded := map[int64][]tlog.Hash{}
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		if level >= blockHeight {
			row := level - blockHeight
			if row >= len(t.above) || n >= int64(len(t.above[row])) {
				return nil, fmt.Errorf("no hash %d at height %d of a tree of %d entries", n, level, t.size())
			}
			out[i] = t.above[row][n]
			continue
		}
		first := n << level
		in := first / blockLen
		leaves, ok := loaded[in]
		if !ok {
			var err error
			if leaves, err = t.leavesOf(int(in)); err != nil {
				return nil, err
			}
			loaded[in] = leaves
		}
		from, to := first%blockLen, first%blockLen+1<<level
		if to > int64(len(leaves)) {
			return nil, fmt.Errorf("no hash %d at height %d of a tree of %d entries", n, level, t.size())
		}
		out[i] = subtree(leaves[from:to])
	}
	return out, nil
}

func (t *tree) leavesOf(n int) ([]tlog.Hash, error) {
	switch {
	case n == len(t.blocks):
		return t.leaves, nil
	case n > len(t.blocks) || t.load == nil:
		return nil, fmt.Errorf("no block %d", n)
	}
	return t.load(n)
}

// root is the hash of the tree of the first size entries.
func (t *tree) root(size uint64) ([32]byte, error) {
	if size > t.size() {
		return [32]byte{}, fmt.Errorf("no tree of %d entries: there are %d", size, t.size())
	}
	h, err := tlog.TreeHash(int64(size), t)
	return h, err
}

// The file of whole blocks, beside the log. It is made of the log and can be made anew; it is written without waiting for the disk, and
// what of it is not sound is passed over. The numbers are big-endian.
//
//	file  = block*
//	block = hash (32) | offset of the frame of its first entry (8) | number of that frame's first entry (8) | crc32c of number and these (4)
const blockSize = 32 + 8 + 8 + 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func blockSum(n int, b []byte) uint32 {
	return crc32.Update(crc32.Checksum(binary.BigEndian.AppendUint64(nil, uint64(n)), castagnoli), castagnoli, b)
}

func (b block) encode(n int) []byte {
	out := append([]byte(nil), b.hash[:]...)
	out = binary.BigEndian.AppendUint64(out, uint64(b.at.Offset))
	out = binary.BigEndian.AppendUint64(out, b.at.Seq)
	return binary.BigEndian.AppendUint32(out, blockSum(n, out))
}

func decodeBlock(n int, b []byte) (block, bool) {
	const body = blockSize - 4
	if len(b) != blockSize || binary.BigEndian.Uint32(b[body:]) != blockSum(n, b[:body]) {
		return block{}, false
	}
	return block{tlog.Hash(b), durable.Place{Offset: int64(binary.BigEndian.Uint64(b[32:])), Seq: binary.BigEndian.Uint64(b[40:])}}, true
}

// readBlocks reads whole blocks, at most max, up to the first that is not sound.
func (t *tree) readBlocks(path string, max uint64) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(min(max, 1<<40))*blockSize))
	if err != nil {
		return err
	}
	for n := 0; len(b) >= blockSize; n++ {
		x, ok := decodeBlock(n, b[:blockSize])
		if !ok {
			return nil
		}
		t.push(x)
		b = b[blockSize:]
	}
	return nil
}
