// Package gcpkms drives Google Cloud KMS, with keys in Cloud HSM, through the official client (cloud.google.com/go/kms/apiv1).
//
//	gcpkms:projects/P/locations/L/keyRings/R[/cryptoKeys/K[/cryptoKeyVersions/N]][?endpoint=…]
//
// # Names
//
// A key ID is a full resource name, or the short name of a key in the URI's key ring; either may end in /cryptoKeyVersions/N. An
// empty one means the key of the URI. A short name of the characters that Google allows (letters, digits, "-" and "_", 1 to 63) is
// the key's own name. Any other, and one that begins with "x--", is kept under "x--" followed by its bytes, in which all but letters,
// digits and "-" are written "_" and two hexadecimal digits: "vault key" is x--vault_20key. No two short names meet, and Keys turns
// them back. What is longer than 63 bytes after that cannot be a key.
//
// Without a version, a symmetric key encrypts with its primary version; any other key must have exactly one enabled version. Of
// several, none is guessed: ErrAmbiguous. An open token keeps the version and the public key it found first: a rotated key takes a
// restart, and a new enrolment, never silently another public key.
//
// # What it believes
//
// Nothing that a flipped bit could have changed. Each field sent goes with its CRC32C (Castagnoli), and the answer must say that
// the service checked it; each field received is checked against its own, the answer's resource name and protection level against
// those asked for. Every signature is verified here, with the cached public key, before it is returned. A damaged answer is asked
// for again, at most three times in all, then it is ErrUnavailable.
//
// # Errors
//
// Unavailable, throttled and 5xx answers are repeated with back-off inside the caller's context, and half a minute at most; then they
// are ErrUnavailable with their cause. So are missing or expired credentials, missing permissions and disabled versions, at once.
// A key that is not there or destroyed is ErrNoKey, a key ring that is not there (a wrong region, say) is ErrNoToken.
//
// # Keys
//
// GenerateKey asks for protection level HSM, always; where the location has none, it fails, and makes no key in software. A key that
// somebody else made in software is used, with a warning. KeyAESWrap is GOOGLE_SYMMETRIC_ENCRYPTION. A key for RSA decryption is
// refused (ErrKeyType): whoever has its public key could forge a wrapped secret.
//
// The service account needs cloudkms.cryptoKeys.get, cryptoKeyVersions.get, .list, .viewPublicKey, .useToSign, .useToEncrypt,
// .useToDecrypt (roles Viewer, Signer, Public Key Viewer, CryptoKey Encrypter/Decrypter), locations.generateRandomBytes for Random, and
// cryptoKeys.create for GenerateKey.
//
// # Endpoint
//
// Without endpoint, the service is Google's, over TLS, with application default credentials. An endpoint on loopback or a unix socket
// is spoken to in the clear and without credentials, and is SoftwareOnly: it is for internal/parts/gcpkms, a server of our own on
// Google's official service definition, since no emulator can be had. Tests and the demo run against that server, not against
// Google. Any other endpoint must be a host of googleapis.com (a regional or private one): credentials go nowhere else.
package gcpkms
