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
// and, once per generation, below vault/ itself in generation 0 and below vault/g/GENERATION/ (16 hex digits) later:
//
//	p/KIND/ID          the pointer of an id
//	d/KIND/ID 0 EPOCH  the wrapped DEK of a record
//	recovery           who can recover
//	k/SESSION          the key of a recovery session, sealed to them; SESSION is the hash of the value (64 hex digits)
//	h/canary, b/canary header and body of the canary, whose secret is the vault key; generations under a root record of version 2
//	                   share those of generation 0
const (
	prefix  = "vault/"
	rootKey = prefix + "root"
)

// generation numbers the wrappings of a vault: every Rewrap makes the next, beside the one before, and the root record says
// which one counts.
type generation uint64

func (g generation) prefix() string {
	if g == 0 {
		return prefix
	}
	return fmt.Sprintf("%sg/%016x/", prefix, uint64(g))
}

func (g generation) pointers() string { return g.prefix() + "p/" }

func (g generation) recoveryKey() []byte { return []byte(g.prefix() + "recovery") }

func (g generation) sessions() string { return g.prefix() + "k/" }

func (g generation) sessionKey(id []byte) []byte { return fmt.Appendf(nil, "%s%x", g.sessions(), id) }

// own are the prefixes of all that belongs to the generation alone.
func (g generation) own() []string {
	if g == 0 {
		return []string{g.pointers(), prefix + "d/", g.sessions(), string(g.recoveryKey())}
	}
	return []string{g.prefix()}
}

// sharedCanary are the prefixes of the canary of generation 0, and of later ones that share it.
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

func (g generation) pointerKey(r ref) []byte { return []byte(g.pointers() + r.kind + "/" + r.id) }

// recordKeys are the keys of the three values of a record.
type recordKeys struct{ header, dek, body []byte }

func (g generation) keys(r ref, epoch uint64) recordKeys {
	key := func(part string) []byte {
		b := append([]byte(part+"/"+r.kind+"/"+r.id), 0)
		return binary.BigEndian.AppendUint64(b, epoch)
	}
	return recordKeys{header: key(prefix + "h"), dek: key(g.prefix() + "d"), body: key(prefix + "b")}
}

// canaryKeys are the keys of the generation's canary; shared is where generations had it together.
func (g generation) canaryKeys(shared bool) recordKeys {
	k := g.keys(canary, 0)
	if !shared {
		rest := string(k.dek[len(g.prefix()+"d"):])
		k.header, k.body = []byte(g.prefix()+"h"+rest), []byte(g.prefix()+"b"+rest)
	}
	return k
}

// canaryKeys are the keys of this vault's canary.
func (v *Vault) canaryKeys() recordKeys { return v.gen.canaryKeys(!v.rekeyed) }

// canaryEpoch is what the canary's header says in the place of an epoch: the generation it was made for.
func (v *Vault) canaryEpoch() uint64 {
	if v.rekeyed {
		return uint64(v.gen)
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
