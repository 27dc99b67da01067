// Package vault is KeyShareVault: it keeps key shares and small secrets on disk, sealed so that the disk alone opens nothing.
//
// Every share is encrypted with a data key of its own (DEK, AES-256-GCM), and the DEK is wrapped by a key that stays in the
// token (KEK, hsm.KeyWrapper). The record's header (vault, node, id, epoch, scheme, metadata) is bound to both, so a record
// that was changed, cut, swapped with another or brought from another node does not open: ErrIntegrity.
//
// A share lives in epochs. Store stages an epoch, Activate makes it the one that Load opens and in the same atomic write erases
// the wrapped DEK and the body of the epoch before, Discard drops a staged epoch, Retire ends the active one. After a crash at
// any moment exactly the old or exactly the new epoch is active. Which epoch is in which state stands in a pointer record per
// id, under a MAC whose key the KEK seals; and a root record holds a MAC over the set of all pointers, so that bringing back an
// old pointer, or removing one, is found when the vault is opened.
//
// What the vault does not do:
//
//   - It does not notice when the whole directory is replaced by an older copy of itself. Version gives the number of changes,
//     for callers who can remember it elsewhere (a counter in the token, the audit log, other nodes).
//   - Erasure removes the wrapped DEK from the store, and a Store that can (Purger) rewrites its files without it. Copies that
//     the file system, the drive or a backup keep remain sealed by the KEK, no better; destroying the KEK ends them too.
//   - It caches no share: each Load unwraps in the token. Holding shares between signatures is the caller's decision.
//
// The seed documents' NewKeyShareVault(passwordProvider, keyID) becomes three steps, because the password now only unlocks the
// database, and the key of the shares stays in the token:
//
//	password, _ := provider.GetPassword(ctx, keyID)
//	salt, _ := badgerstore.Salt(dir)
//	key, _ := badgerstore.KeyFromPassword(password, false, salt)
//	store, _ := badgerstore.Open(badgerstore.Config{Dir: dir, Key: key})
//	v, _ := vault.Open(ctx, vault.Config{Store: store, Wrapper: token, KEK: "vault-key", Node: node})
//
// To keep records elsewhere, implement Store and run vaulttest.RunStore on it. badgerstore is the one for nodes.
package vault
