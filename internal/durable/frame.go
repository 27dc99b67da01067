package durable

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// The file format of a Log. All numbers are big-endian.
//
//	file  = "mpcdlog1" | id (8 random bytes) | crc32c of these 16 bytes (4) | frame*
//	frame = id (8) | payload length (4) | records (4) | number of the first (8) | crc32c of these 24 bytes and payload (4) | payload
//	payload = (record length (4) | crc32c of record (4) | record)*
//
// A frame is what one write and one fsync carried, so a crash can tear at most the last one, whatever order the disk wrote its
// pages in. The random id marks frames in a way that nobody who can only choose the content of records can imitate.
const (
	fileMagic       = "mpcdlog1"
	idLen           = 8
	fileHeaderLen   = len(fileMagic) + idLen + 4
	frameHeaderLen  = idLen + 4 + 4 + 8 + 4
	recordHeaderLen = 8

	// MaxRecord is the largest record, in bytes.
	MaxRecord = 1 << 20
	// maxPayload bounds the payload of a frame, in bytes; the largest AppendBatch.
	maxPayload = 4 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type fileID [idLen]byte

func fileHeader(id fileID) []byte {
	b := append([]byte(fileMagic), id[:]...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func parseFileHeader(b []byte) (id fileID, err error) {
	if len(b) < fileHeaderLen || string(b[:len(fileMagic)]) != fileMagic {
		return id, fmt.Errorf("not a log of mpcd: %w", ErrCorrupt)
	}
	if n := fileHeaderLen - 4; crc32.Checksum(b[:n], castagnoli) != binary.BigEndian.Uint32(b[n:]) {
		return id, fmt.Errorf("header: %w", ErrCorrupt)
	}
	return fileID(b[len(fileMagic):]), nil
}

// appendRecord adds a record to a payload.
func appendRecord(payload, record []byte) []byte {
	payload = binary.BigEndian.AppendUint32(payload, uint32(len(record)))
	payload = binary.BigEndian.AppendUint32(payload, crc32.Checksum(record, castagnoli))
	return append(payload, record...)
}

// putFrameHeader fills the first frameHeaderLen bytes of frame for the payload behind them.
func putFrameHeader(frame []byte, id fileID, records int, first uint64) {
	h, payload := frame[:frameHeaderLen], frame[frameHeaderLen:]
	copy(h, id[:])
	binary.BigEndian.PutUint32(h[8:], uint32(len(payload)))
	binary.BigEndian.PutUint32(h[12:], uint32(records))
	binary.BigEndian.PutUint64(h[16:], first)
	binary.BigEndian.PutUint32(h[24:], crc32.Update(crc32.Checksum(h[:24], castagnoli), castagnoli, payload))
}

type frame struct {
	first   uint64
	records int
	payload []byte
}

// size is the length of the frame in the file.
func (f frame) size() int64 { return frameHeaderLen + int64(len(f.payload)) }

// parseFrame reads the frame at the start of b; false if there is no whole and sound one.
func parseFrame(b []byte, id fileID) (frame, bool) {
	if len(b) < frameHeaderLen || !bytes.Equal(b[:idLen], id[:]) {
		return frame{}, false
	}
	n := binary.BigEndian.Uint32(b[8:])
	if n > maxPayload || int(n) > len(b)-frameHeaderLen {
		return frame{}, false
	}
	f := frame{
		first:   binary.BigEndian.Uint64(b[16:]),
		records: int(binary.BigEndian.Uint32(b[12:])),
		payload: b[frameHeaderLen:][:n],
	}
	sum := crc32.Update(crc32.Checksum(b[:24], castagnoli), castagnoli, f.payload)
	return f, sum == binary.BigEndian.Uint32(b[24:])
}

// each calls yield for every record until it returns false; ErrCorrupt if the payload is not the announced records.
func (f frame) each(yield func(seq uint64, record []byte) bool) error {
	p := f.payload
	for i := range f.records {
		if len(p) < recordHeaderLen {
			return ErrCorrupt
		}
		n, sum := binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])
		p = p[recordHeaderLen:]
		if n > MaxRecord || int(n) > len(p) || crc32.Checksum(p[:n], castagnoli) != sum {
			return ErrCorrupt
		}
		if !yield(f.first+uint64(i), p[:n:n]) {
			return nil
		}
		p = p[n:]
	}
	if len(p) != 0 {
		return ErrCorrupt
	}
	return nil
}

// reader walks the frames of a file of the given size.
type reader struct {
	src  io.ReaderAt
	size int64
	id   fileID
	off  int64  // of the next frame
	next uint64 // number of the next record
	buf  []byte
}

func newReader(src io.ReaderAt, size int64) (*reader, error) {
	head := make([]byte, min(size, int64(fileHeaderLen)))
	if _, err := src.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, err
	}
	id, err := parseFileHeader(head)
	if err != nil {
		return nil, err
	}
	return &reader{src: src, size: size, id: id, off: int64(fileHeaderLen), next: 1}, nil
}

// seek goes to a frame that was read before.
func (r *reader) seek(to Place) error {
	if to == (Place{}) {
		return nil
	}
	if to.Offset < r.off || to.Offset > r.size || to.Seq < 1 {
		return fmt.Errorf("no frame begins at byte %d of %d: %w", to.Offset, r.size, ErrCorrupt)
	}
	r.off, r.next = to.Offset, to.Seq
	return nil
}

// frame reads the next frame; io.EOF at the end, errTorn at a tail that a crash may leave, ErrCorrupt otherwise. The frame is
// valid until the next call.
func (r *reader) frame() (frame, error) {
	if r.off == r.size {
		return frame{}, io.EOF
	}
	f, ok, err := r.frameAt(r.off)
	if err != nil {
		return frame{}, err
	}
	if !ok {
		return frame{}, r.judgeTail()
	}
	if f.first != r.next || f.records < 1 {
		return frame{}, fmt.Errorf("at byte %d: record %d where %d should stand: %w", r.off, f.first, r.next, ErrCorrupt)
	}
	if err := f.each(func(uint64, []byte) bool { return true }); err != nil {
		return frame{}, fmt.Errorf("at byte %d: bad record: %w", r.off, err)
	}
	r.off += f.size()
	r.next += uint64(f.records)
	return f, nil
}

func (r *reader) frameAt(off int64) (frame, bool, error) {
	head, err := r.read(off, min(frameHeaderLen, r.size-off))
	if err != nil || len(head) < frameHeaderLen || !bytes.Equal(head[:idLen], r.id[:]) {
		return frame{}, false, err
	}
	n := int64(binary.BigEndian.Uint32(head[8:]))
	if n > maxPayload || n > r.size-off-frameHeaderLen {
		return frame{}, false, nil
	}
	b, err := r.read(off, frameHeaderLen+n)
	if err != nil {
		return frame{}, false, err
	}
	f, ok := parseFrame(b, r.id)
	return f, ok, nil
}

// judgeTail tells a torn tail from damage: only the last frame can be torn, so what follows is at most one frame long and has
// no sound frame in it.
func (r *reader) judgeTail() error {
	rest := r.size - r.off
	if rest > frameHeaderLen+maxPayload {
		return fmt.Errorf("at byte %d: bad frame with %d bytes behind it: %w", r.off, rest, ErrCorrupt)
	}
	b, err := r.read(r.off, rest)
	if err != nil {
		return err
	}
	for i := 1; i < len(b); i++ {
		j := bytes.Index(b[i:], r.id[:])
		if j < 0 {
			break
		}
		i += j
		if _, ok := parseFrame(b[i:], r.id); ok {
			return fmt.Errorf("at byte %d: bad frame before a sound one: %w", r.off, ErrCorrupt)
		}
	}
	return errTorn
}

func (r *reader) read(off, n int64) ([]byte, error) {
	if int64(cap(r.buf)) < n {
		r.buf = make([]byte, max(n, 64<<10))
	}
	b := r.buf[:n]
	if _, err := r.src.ReadAt(b, off); err != nil {
		return nil, fmt.Errorf("read at byte %d: %w", off, err)
	}
	return b, nil
}
