// Package badgerstore keeps a vault's records in a Badger database, encrypted with a key of its own.
//
// A directory holds the database and four files beside it: MPCD-STORE says that a store must be here, SALT feeds the key
// derivation, ACKED counts the commits that were acknowledged, KEYCHECK tells a wrong key from damage. With them, and by reading every
// block and every length before Badger does, Open finds what Badger passes over in silence or dies of: a damaged table, a
// database that is gone, and a write-ahead log that lost its end. Open never starts afresh where a store was, and never repairs:
// ErrCorrupt, and nothing is lost: what Badger would cut off or delete while it opens is kept aside in db.before-open until the
// database has been found whole.
//
// Batch is durable on return: one synced Badger transaction, and one synced count, for all callers who wait at that moment.
//
// Badger's encryption is AES-CTR without a MAC: it hides the records, it does not authenticate them. The vault does that.
package badgerstore
