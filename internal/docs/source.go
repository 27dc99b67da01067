package docs

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// kinds are the endings of files that are read.
var kinds = []string{".go", ".md", ".sh", ".yaml", ".html"}

// left are directories whose content is as it was made: test data, stored measurements, what others built.
var left = []string{"testdata", "node_modules", "bin", "results"}

// walk gives f the text of every file of ours: source, documents, scripts; not generated code.
func walk(root fs.FS, f func(name, src string) error) error {
	return fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains(left, d.Name())):
			return fs.SkipDir
		case d.IsDir() || strings.HasSuffix(name, ".pb.go") || !slices.Contains(kinds, path.Ext(name)) && d.Name() != "Makefile":
			return nil
		}
		src, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		return f(name, string(src))
	})
}
