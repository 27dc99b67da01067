// Package local is a software token in a directory, for development alone: whoever reads the file has the keys. It opens only
// where Options.Dev is set, and says SoftwareOnly.
//
// The directory holds one file, keys.json, mode 0600: untrusted in nothing, secret in everything. It is replaced as a whole, and
// on disk before GenerateKey returns. One process, and one token in it, has the directory at a time.
package local
