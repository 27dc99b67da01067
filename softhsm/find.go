package softhsm

import (
	"context"
	"fmt"
	"os"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/pkcs11"
)

// places are where distributions put the library: Debian, Fedora, Homebrew, a build from source.
var places = []string{
	"/usr/lib/softhsm/libsofthsm2.so",
	"/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
	"/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
	"/usr/lib64/pkcs11/libsofthsm2.so",
	"/usr/lib64/softhsm/libsofthsm2.so",
	"/usr/lib/pkcs11/libsofthsm2.so",
	"/opt/homebrew/lib/softhsm/libsofthsm2.so",
	"/usr/local/lib/softhsm/libsofthsm2.so",
}

// Find returns the path of the library: $SOFTHSM2_MODULE if set, else the first place that has it. ErrUnavailable if none does.
func Find() (string, error) {
	candidates := places
	if own := os.Getenv("SOFTHSM2_MODULE"); own != "" {
		candidates = []string{own}
	}
	for _, path := range candidates {
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("softhsm: %w: no libsofthsm2.so; `apt-get install softhsm2`, or set SOFTHSM2_MODULE to its path", hsm.ErrUnavailable)
}

// Open is the driver of the scheme softhsm: that of pkcs11, with the library found by itself. It is an hsm.OpenFunc.
func Open(ctx context.Context, u *hsm.URI, o hsm.Options) (hsm.Token, error) {
	if u.Attr("module-path") == "" {
		module, err := Find()
		if err != nil {
			return nil, err
		}
		if u, err = u.With("module-path", module); err != nil {
			return nil, err
		}
	}
	return pkcs11.Open(ctx, u, o)
}
