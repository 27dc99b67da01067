package badgerstore

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A stored value ends in its CRC32C. Badger answers with an empty value, and no error, where the value log has lost its end; so
// no stored value may be empty.
const sumLen = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errValue = errors.New("value lost or damaged")

func encodeValue(v []byte) []byte {
	b := append(make([]byte, 0, len(v)+sumLen), v...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(v, castagnoli))
}

func decodeValue(b []byte) ([]byte, error) {
	n := len(b) - sumLen
	if n < 0 || crc32.Checksum(b[:n], castagnoli) != binary.BigEndian.Uint32(b[n:]) {
		return nil, errValue
	}
	return b[:n:n], nil
}
