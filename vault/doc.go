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
// # Moving to another token
//
// A wrapping is all that depends on one KEK: the wrapped DEKs, the pointers and the canary, beside headers and bodies that never
// change. Wrappings are numbered from 0. Rewrap stages the next one under the new token's KEK, has the new token open every DEK it
// wrapped, opens every body with it, and reads all of it back; then one atomic write of the root record makes the new wrapping the
// vault. Before that write the old KEK opens the vault and the new one does not, after it the other way round; the leftovers of the
// other wrapping are never looked into, and Open removes them, so that an epoch erased later does not live on in them. Last, the old
// wrapped DEKs are purged; until then the root remembers that they are to be.
//
// Each wrapping has a vault key of its own, in a canary of its own, from which the MAC keys of root and pointers come. Who could open
// the wrapping before makes no record of this one. (Wrappings that were made under a root record of version 2 share the vault key
// of wrapping 0; the next Rewrap ends that.)
//
// # Recovery without the token
//
// A vault may have recovery recipients (age, X25519 or hybrid post-quantum). Each DEK is then stored twice: wrapped by the KEK,
// and sealed with AES-256-GCM, under its header's hash, by a session key, which is made when the vault first writes after it was
// opened and is sealed by age to all recipients. Recover brings the vault to another token with the identity of one officer.
//
//   - Why a session key, and not age for each DEK: a hybrid recipient takes some 1,600 bytes; that times officers times epochs would
//     fill the disk, and a store may keep values that large after a purge (badgerstore does), and with them erased shares. A
//     sealed DEK takes 60 bytes and goes with its epoch.
//   - Why not one recovery KEK for all: writing would need it, so it would lie in memory, or within the token's reach, and open
//     every share at once. A session key opens what was written while the process that holds it ran, which that process saw.
//   - Who can recover stands in a record that the root pins, under its MAC, as the sessions are pinned by the pointers. Somebody
//     with the disk alone adds no recipient, and drops no recovery copy unnoticed (CheckRecovery). Changing the recipients is a
//     Rewrap: all DEKs are sealed anew, and who was removed opens nothing that is in the vault from then on, nor makes a record of
//     it. A copy of the disk from before remains open to him. If he can also write to the disk of today, the rewrap must go to
//     another KEK: the KEK of before opens again what it wrapped once, so he could put the canary of his copy back, whose vault key
//     he knows, and with it a root record of his own, anchor and all. Config.Recovery, where it is set, finds such a recipient.
//   - A recipient's identity opens every share of the node, so it is kept as the shares of a key ceremony are. The post-quantum kind
//     withstands a copy of the disk that waits for a quantum computer.
//   - Anybody can seal to a public key. Somebody who can write the disk could therefore have officers recover a vault that he made
//     up from beginning to end. It cannot hold this node's identity key: hold that against the roster, as `mpcd start` does.
//
// # Older copies
//
// The root record can be anchored in a counter of the token. A commit writes the root with the counter's next value, durably,
// then has the token count, then acknowledges; a group of commits shares one count. When the vault is opened, root and counter
// agree, or the root is one ahead: a crash fell between, and the count is made up for. Everything else is ErrRollback: an older
// copy of the directory was put back, or the token is not the one. The counter counts commits of the vault; what else is in the
// store is covered as far as its owner calls Advance from time to time.
//
//   - Reanchor, which declares a copy the newest, needs the token, and is an operator's deliberate act.
//   - Recover cannot ask the dead token's counter. That the directory is the newest copy is for the operator to know.
//   - Who can use the token can count. He can make the vault refuse to open, not make it accept an older copy.
//
// # What the vault does not do
//
//   - Without a counter it does not notice when the whole directory is replaced by an older copy of itself. Version gives the
//     number of changes, for callers who can remember it elsewhere (the audit log, other nodes).
//   - Erasure removes the wrapped DEK from the store, and a Store that can (Purger) rewrites its files without it. Copies that
//     the file system, the drive or a backup keep remain sealed by the KEK and to the recovery recipients, no better; destroying
//     the KEK, and the identities, ends them too.
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
