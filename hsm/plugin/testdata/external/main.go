// Command mpcd-hsm-test is a driver of somebody else, for the tests: keys in the directory of $MPCD_TEST_KEYS.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/local"
	"github.com/luxfi/mpcd/hsm/plugin"
)

func main() {
	open := func(ctx context.Context, _ *hsm.URI, o hsm.Options) (hsm.Token, error) {
		u, err := hsm.ParseURI("local:" + os.Getenv("MPCD_TEST_KEYS"))
		if err != nil {
			return nil, err
		}
		return local.Open(ctx, u, o)
	}
	if err := plugin.Serve(plugin.Program{Name: "mpcd-hsm-test", Release: "7", Drivers: hsm.Drivers{"plugin": open}}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
