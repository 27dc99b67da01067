package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"io"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

// passwordLen is the length of a password that is made here, in random bytes; it is printed by nobody and typed by nobody.
const passwordLen = 32

// passwordMax is the longest password that is read, in bytes.
const passwordMax = 4096

func hsmSealPassword(o *output) *cobra.Command {
	var f tokenFlags
	var key string
	var made bool
	cmd := &cobra.Command{
		Use:   "seal-password [URI]",
		Short: "Seal the store's password with a key of a token, for password.provider pkcs11 or tpm",
		Long: "Reads a password from standard input, or makes one that nobody ever sees, and prints it sealed, in Base64: for password.sealed, or the\n" +
			"variable ZAPDB_ENCRYPTED_PASSWORD. Only the token's key opens it.",
		Example: "  mpcd hsm seal-password -c mpcd.yaml --random > sealed\n  systemd-ask-password | mpcd hsm seal-password tpm: --key vault",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var password []byte
			defer func() { secret.Wipe(password) }()
			if made {
				b := make([]byte, passwordLen)
				defer secret.Wipe(b)
				_, _ = rand.Read(b)
				password = base64.StdEncoding.AppendEncode(nil, b)
			} else {
				b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), passwordMax+1))
				defer secret.Wipe(b)
				if err != nil {
					return err
				}
				password = bytes.Clone(bytes.TrimRight(b, "\r\n"))
				if len(password) == 0 || len(password) > passwordMax {
					return usage("give the password on standard input, or --random", "a password of %d bytes", len(password))
				}
			}
			return f.with(cmd.Context(), o, args, func(ctx context.Context, c *config, t *tokens) error {
				w, err := t.wrapper()
				if err != nil {
					return err
				}
				if key == "" {
					key = c.HSM.KEK
				}
				sealed, err := hsm.SealPassword(ctx, w, key, password)
				if err != nil {
					return err
				}
				return o.result(map[string]string{"sealed": sealed, "key": key}, func(w io.Writer) { row(w, sealed) })
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&key, "key", "", "key that seals; hsm.vault_key if empty")
	cmd.Flags().BoolVar(&made, "random", false, "make a password instead of reading one")
	return cmd
}
