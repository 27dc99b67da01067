package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

// hsmSealPassword seals the store's password for password.provider pkcs11 or tpm.
func hsmSealPassword(o *output) *cobra.Command {
	var f tokenFlags
	var key string
	cmd := &cobra.Command{
		Use:   "seal-password [URI]",
		Short: "Seal a password, read from standard input, with a key of the token",
		Long: "Prints the sealed password in base64, for password.sealed or $" + hsm.SealedPasswordEnv + " with password.provider pkcs11 or tpm. For AWS KMS use\n" +
			"`aws kms encrypt --output text --query CiphertextBlob`, for Google `gcloud kms encrypt`.",
		Example: "  head -c 32 /dev/urandom | base64 | mpcd hsm seal-password tpm: --key vault > store.password",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := readPassword(os.Stdin)
			if err != nil {
				return err
			}
			defer secret.Wipe(password)
			return f.with(cmd.Context(), o, args, func(ctx context.Context, _ host.Config, t *host.Tokens) error {
				sealed, err := t.SealPassword(ctx, key, password)
				if err != nil {
					return err
				}
				return o.result(map[string]any{"sealed": sealed, "key": key}, func(out io.Writer) { row(out, sealed) })
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&key, "key", "vault", "the key that seals it")
	return cmd
}

// readPassword reads one line.
func readPassword(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, hsm.MaxWrap+3))
	if err != nil {
		return nil, err
	}
	line := bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	if len(line) == 0 || len(line) > hsm.MaxWrap || bytes.ContainsAny(line, "\r\n\x00") {
		secret.Wipe(b)
		return nil, fault.Usage(fmt.Sprintf("write one line of 1 to %d bytes to standard input", hsm.MaxWrap), "standard input holds no password")
	}
	return line, nil
}
