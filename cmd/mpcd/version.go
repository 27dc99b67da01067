package main

import (
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/threshold/schemes"
)

func versionCommand(o *output) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version and what this binary can do",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			names := host.DriverNames()
			var ids []string
			for _, s := range schemes.All() {
				ids = append(ids, string(s.ID()))
			}
			revision := ""
			if b, ok := debug.ReadBuildInfo(); ok {
				for _, s := range b.Settings {
					if s.Key == "vcs.revision" {
						revision = s.Value
					}
				}
			}
			v := map[string]any{"version": release(), "revision": revision, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
				"schemes": ids, "drivers": names}
			return o.result(v, func(w io.Writer) {
				row(w, "mpcd", release())
				if revision != "" {
					row(w, "revision", revision)
				}
				row(w, "go", runtime.Version()+" "+runtime.GOOS+"/"+runtime.GOARCH)
				row(w, "schemes", strings.Join(ids, ", "))
				row(w, "drivers", strings.Join(names, ", "))
			})
		},
	}
}
