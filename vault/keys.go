package vault

import (
	"encoding/binary"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Where a vault keeps what, all below prefix. Epochs are 8 bytes, big-endian; an id has no byte 0.
//
//	vault/root               the root record
//	vault/p/KIND/ID          the pointer of an id
//	vault/h/KIND/ID 0 EPOCH  the header of a record     (readable: metadata is not secret)
//	vault/d/KIND/ID 0 EPOCH  its wrapped DEK
//	vault/b/KIND/ID 0 EPOCH  its body
const (
	prefix        = "vault/"
	rootKey       = prefix + "root"
	pointerPrefix = prefix + "p/"
)

// What a record is for.
const (
	kindShare  = "share"
	kindSecret = "secret"
	kindCanary = "canary"
)

// MaxID is the longest id or name, in bytes.
const MaxID = 128

// ref names what has epochs: a share or a secret.
type ref struct{ kind, id string }

func (r ref) String() string { return r.kind + " " + r.id }

func (r ref) pointerKey() []byte { return []byte(pointerPrefix + r.kind + "/" + r.id) }

// recordKeys are the keys of the three values of a record.
type recordKeys struct{ header, dek, body []byte }

func (r ref) keys(epoch uint64) recordKeys {
	key := func(part string) []byte {
		b := append([]byte(prefix+part+"/"+r.kind+"/"+r.id), 0)
		return binary.BigEndian.AppendUint64(b, epoch)
	}
	return recordKeys{header: key("h"), dek: key("d"), body: key("b")}
}

func checkID(id string) error {
	if len(id) < 1 || len(id) > MaxID || !utf8.ValidString(id) {
		return fmt.Errorf("vault: id must be 1 to %d bytes of UTF-8: %w", MaxID, ErrInvalid)
	}
	for _, r := range id {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("vault: id %q has characters that cannot be printed: %w", id, ErrInvalid)
		}
	}
	return nil
}
