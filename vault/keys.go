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
//	vault/h/KIND/ID 0 EPOCH  the header of a record     (readable: metadata is not secret)
//	vault/b/KIND/ID 0 EPOCH  its body
//
// and, once per wrapping, below vault/ itself in wrapping 0 and below vault/g/WRAPPING/ (16 hex digits) later:
//
//	p/KIND/ID          the pointer of an id
//	d/KIND/ID 0 EPOCH  the wrapped DEK of a record
//	recovery           who can recover
//	k/SESSION          the key of a recovery session, sealed to them; SESSION is the hash of the value (64 hex digits)
//	h/canary, b/canary header and body of the canary, whose secret is the vault key; wrappings under a root record of version 2
//	                   share those of wrapping 0
const (
	prefix  = "vault/"
	rootKey = prefix + "root"
)

// wrappingID numbers the wrappings of a vault, from 0: every Rewrap makes the next, beside the one before, and the root record
// says which one counts.
type wrappingID uint64

func (w wrappingID) prefix() string {
	if w == 0 {
		return prefix
	}
	return fmt.Sprintf("%sg/%016x/", prefix, uint64(w))
}

func (w wrappingID) pointers() string { return w.prefix() + "p/" }

func (w wrappingID) recoveryKey() []byte { return []byte(w.prefix() + "recovery") }

func (w wrappingID) sessions() string { return w.prefix() + "k/" }

func (w wrappingID) sessionKey(id []byte) []byte { return fmt.Appendf(nil, "%s%x", w.sessions(), id) }

// own are the prefixes of all that belongs to the wrapping alone.
func (w wrappingID) own() []string {
	if w == 0 {
		return []string{w.pointers(), prefix + "d/", w.sessions(), string(w.recoveryKey())}
	}
	return []string{w.prefix()}
}

// sharedCanary are the prefixes of the canary of wrapping 0, and of later ones that share it.
func sharedCanary() []string {
	return []string{prefix + "h/" + kindCanary + "/", prefix + "b/" + kindCanary + "/"}
}

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

func (w wrappingID) pointerKey(r ref) []byte { return []byte(w.pointers() + r.kind + "/" + r.id) }

// recordKeys are the keys of the three values of a record.
type recordKeys struct{ header, dek, body []byte }

func (w wrappingID) keys(r ref, epoch uint64) recordKeys {
	key := func(part string) []byte {
		b := append([]byte(part+"/"+r.kind+"/"+r.id), 0)
		return binary.BigEndian.AppendUint64(b, epoch)
	}
	return recordKeys{header: key(prefix + "h"), dek: key(w.prefix() + "d"), body: key(prefix + "b")}
}

// canaryKeys are the keys of the wrapping's canary; shared is where wrappings had it together.
func (w wrappingID) canaryKeys(shared bool) recordKeys {
	k := w.keys(canary, 0)
	if !shared {
		rest := string(k.dek[len(w.prefix()+"d"):])
		k.header, k.body = []byte(w.prefix()+"h"+rest), []byte(w.prefix()+"b"+rest)
	}
	return k
}

// canaryKeys are the keys of this vault's canary.
func (v *Vault) canaryKeys() recordKeys { return v.wrapping.canaryKeys(!v.rekeyed) }

// canaryEpoch is what the canary's header says in the place of an epoch: the wrapping it was made for.
func (v *Vault) canaryEpoch() uint64 {
	if v.rekeyed {
		return uint64(v.wrapping)
	}
	return 0
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
