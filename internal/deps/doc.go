// Package deps holds the import policy of ARCHITECTURE, "Who may import whom", against the source, as a test.
//
// It parses every file of the module through an fs.FS, so that the test's result depends on the source and on nothing cached.
// A package that the policy does not name is an error: whoever adds one says where it stands.
package deps
