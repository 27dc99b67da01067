// Package docs holds pages and source to each other, as tests: every citation of docs/PROTOCOLS.md names a section that is there, every
// check that an abort can name is on the page, the table Trace of each package of the engine is complete and true, and no word that
// docs/GLOSSARY.md puts on its list of words not used stands anywhere; and no text of the program advises what docs/OPERATIONS.md forbids.
//
// It reads the source through an fs.FS and nothing else. Tests alone import it.
package docs
