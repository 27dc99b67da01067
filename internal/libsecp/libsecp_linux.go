package libsecp

// #cgo LDFLAGS: -lsecp256k1
// #include <secp256k1.h>
// #include <secp256k1_recovery.h>
import "C"

import (
	"errors"
	"unsafe"
)

// VerifyECDSA tells whether sig (64 bytes, r ‖ s) is one of the digest under the public key (33 or 65 bytes, SEC 1). The library
// refuses a high s. An error says which argument is malformed.
func VerifyECDSA(publicKey []byte, digest [32]byte, sig [64]byte) (bool, error) {
	ctx := C.secp256k1_context_static
	if len(publicKey) == 0 {
		return false, errors.New("libsecp: no public key")
	}
	var key C.secp256k1_pubkey
	if C.secp256k1_ec_pubkey_parse(ctx, &key, bytesOf(publicKey), C.size_t(len(publicKey))) != 1 {
		return false, errors.New("libsecp: this is no public key")
	}
	var s C.secp256k1_ecdsa_signature
	if C.secp256k1_ecdsa_signature_parse_compact(ctx, &s, bytesOf(sig[:])) != 1 {
		return false, errors.New("libsecp: r or s is no scalar")
	}
	return C.secp256k1_ecdsa_verify(ctx, &s, bytesOf(digest[:]), &key) == 1, nil
}

// RecoverECDSA returns the public key (33 bytes, SEC 1) that made sig (64 bytes, r ‖ s) of the digest, by the recovery ID, 0 to 3.
func RecoverECDSA(digest [32]byte, sig [64]byte, recoveryID byte) ([]byte, error) {
	ctx := C.secp256k1_context_static
	if recoveryID > 3 {
		return nil, errors.New("libsecp: recovery ID above 3")
	}
	var s C.secp256k1_ecdsa_recoverable_signature
	if C.secp256k1_ecdsa_recoverable_signature_parse_compact(ctx, &s, bytesOf(sig[:]), C.int(recoveryID)) != 1 {
		return nil, errors.New("libsecp: r or s is no scalar")
	}
	var key C.secp256k1_pubkey
	if C.secp256k1_ecdsa_recover(ctx, &key, &s, bytesOf(digest[:])) != 1 {
		return nil, errors.New("libsecp: no key made this signature")
	}
	out := make([]byte, 33)
	n := C.size_t(len(out))
	C.secp256k1_ec_pubkey_serialize(ctx, bytesOf(out), &n, &key, C.SECP256K1_EC_COMPRESSED)
	return out, nil
}

func bytesOf(b []byte) *C.uchar { return (*C.uchar)(unsafe.Pointer(&b[0])) }
