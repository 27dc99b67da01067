package dkls23

import "encoding/binary"

func uint32Bytes(i int) []byte    { return binary.BigEndian.AppendUint32(nil, uint32(i)) }
func uint64Bytes(i uint64) []byte { return binary.BigEndian.AppendUint64(nil, i) }
