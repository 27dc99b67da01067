package awskms

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/luxfi/mpcd/hsm"
)

// pagesMax bounds ListAliases; a page has up to 100, an account up to 10,000 keys.
const pagesMax = 2000

// Keys lists the keys with a name of ours (alias/mpcd/…), and the one of the URI, by ID. A key of a type that is unknown here has the
// spec of KMS as its type. Keys that may not be described are left out and logged.
func (t *token) Keys(ctx context.Context) ([]hsm.KeyInfo, error) {
	aliases, err := t.aliases(ctx)
	if err != nil {
		return nil, err
	}
	if t.keyID != "" {
		if k, err := parseKeyID(t.keyID); err == nil && !strings.HasPrefix(k.id, ourPrefix) {
			aliases = append(aliases, t.keyID)
		}
	}
	var all []hsm.KeyInfo
	for _, alias := range aliases {
		keyID := keyIDOf(alias)
		where, err := t.resolve(keyID)
		if err != nil {
			return nil, err
		}
		m, err := t.describe(ctx, keyID, where)
		switch {
		case errors.Is(err, hsm.ErrNoKey): // deleted meanwhile
			continue
		case err != nil && denied(err):
			t.log.Warn("a key may not be described and is left out of the list", "key", keyID)
			continue
		case err != nil:
			return nil, err
		}
		all = append(all, info(keyID, m))
	}
	sort.Slice(all, func(i, j int) bool { return all[i].ID < all[j].ID })
	return all, nil
}

// aliases lists ours, page by page.
func (t *token) aliases(ctx context.Context) ([]string, error) {
	var names []string
	var marker *string
	for range pagesMax {
		out, err := call(ctx, t, request{action: "ListAliases"}, t.client.ListAliases,
			&kms.ListAliasesInput{Marker: marker, Limit: aws.Int32(100)})
		if err != nil {
			return nil, err
		}
		for _, a := range out.Aliases {
			if name := aws.ToString(a.AliasName); strings.HasPrefix(name, ourPrefix) && aws.ToString(a.TargetKeyId) != "" {
				names = append(names, name)
			}
		}
		if !out.Truncated {
			return names, nil
		}
		if marker = out.NextMarker; aws.ToString(marker) == "" {
			return nil, fmt.Errorf("awskms: %w: ListAliases has more, but tells no marker", hsm.ErrUnavailable)
		}
	}
	return nil, fmt.Errorf("awskms: %w: ListAliases does not end within %d pages", hsm.ErrUnavailable, pagesMax)
}

// info is what DescribeKey says, in our words. No key leaves KMS; but one that was imported, or lies in an external store, was or is
// elsewhere too.
func info(keyID string, m *types.KeyMetadata) hsm.KeyInfo {
	made := m.Origin == types.OriginTypeAwsKms || m.Origin == types.OriginTypeAwsCloudhsm
	return hsm.KeyInfo{ID: keyID, Type: kindOf(m), Sensitive: true, Local: made, NeverExtracted: made}
}
