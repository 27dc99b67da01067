package awskms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/luxfi/mpcd/hsm"
)

// deletionDays is the shortest time that KMS waits before it deletes a key (API_ScheduleKeyDeletion).
const deletionDays = 7

// GenerateKey makes a key and gives it an alias; the key ID must be a name or an alias, since KMS chooses IDs. KMS has no single
// action for the two, so a key that got no alias is scheduled for deletion; where that fails too, the error names it. A CreateKey whose
// answer is lost is repeated, and the key that may be left over is warned of. Types that the region does not offer are
// hsm.ErrUnsupported.
func (t *token) GenerateKey(ctx context.Context, keyID string, kind hsm.KeyType) error {
	in, err := creation(keyID, kind)
	if err != nil {
		return err
	}
	alias, err := t.resolve(keyID)
	if err != nil {
		return err
	}
	if !alias.isAlias() {
		return fmt.Errorf("awskms: %w: KMS chooses the IDs of keys; give a name or alias/<name>", hsm.ErrUnsupported)
	}
	_, err = t.describe(ctx, keyID, alias)
	if err == nil {
		return fmt.Errorf("awskms: %w: %q in %s; choose another name", hsm.ErrKeyExists, keyID, label(t.region, t.endpoint))
	}
	if !errors.Is(err, hsm.ErrNoKey) {
		return err
	}
	out, err := call(ctx, t, request{action: "CreateKey", keyID: keyID, target: alias, makes: true}, t.client.CreateKey, in)
	if err != nil {
		return err
	}
	if out.KeyMetadata == nil || aws.ToString(out.KeyMetadata.KeyId) == "" {
		return fmt.Errorf("awskms: key %q: %w: CreateKey told no key ID", keyID, hsm.ErrUnavailable)
	}
	return t.name(ctx, keyID, alias, aws.ToString(out.KeyMetadata.KeyId))
}

// description lets a human find a key that has lost its name.
func description(keyID string) string { return "mpcd " + encodeName(keyID) }

// creation is the request for a key of the type.
func creation(keyID string, kind hsm.KeyType) (*kms.CreateKeyInput, error) {
	in := &kms.CreateKeyInput{Description: aws.String(description(keyID))}
	if kind == hsm.KeyAESWrap {
		in.KeySpec, in.KeyUsage = types.KeySpecSymmetricDefault, types.KeyUsageTypeEncryptDecrypt
		return in, nil
	}
	i := slices.IndexFunc(specs, func(s spec) bool { return s.kind == kind })
	if i < 0 {
		return nil, fmt.Errorf("awskms: %w: key type %.40q", hsm.ErrUnsupported, kind)
	}
	in.KeySpec, in.KeyUsage = specs[i].spec, types.KeyUsageTypeSignVerify
	return in, nil
}

// name gives a new key its alias, or takes the key back.
func (t *token) name(ctx context.Context, keyID string, alias target, id string) error {
	r := request{action: "CreateAlias", keyID: keyID, target: alias}
	_, err := call(ctx, t, r, t.client.CreateAlias, &kms.CreateAliasInput{AliasName: &alias.id, TargetKeyId: &id})
	// An answer may have been lost after the alias was made, and the repetition found it taken: by us.
	after, cancel := t.shortWait(ctx)
	defer cancel()
	ours, known := t.leadsTo(after, keyID, alias, id, err == nil)
	switch {
	case err == nil && !ours && known:
		err = fmt.Errorf("awskms: key %q: %w: its alias leads to another key now", keyID, hsm.ErrKeyExists)
	case err == nil, ours && ctx.Err() == nil:
		return nil
	}
	return errors.Join(err, t.takeBack(after, keyID, alias, id, ours))
}

// leadsTo tells whether the alias leads to the key, and whether that could be found out. A new alias takes a moment to be seen
// everywhere; awaited waits for it.
func (t *token) leadsTo(ctx context.Context, keyID string, alias target, id string, awaited bool) (ours, known bool) {
	for n := 1; ; n++ {
		m, err := t.describe(ctx, keyID, alias)
		switch {
		case err == nil:
			return aws.ToString(m.KeyId) == id, true
		case !errors.Is(err, hsm.ErrNoKey):
			return false, false
		case !awaited:
			return false, true
		}
		select {
		case <-time.After(backoff(t.limits.backoff, n)):
		case <-ctx.Done():
			t.log.Warn("a new key is not yet visible under its alias", "alias", alias.id, "key", id)
			return false, false
		}
	}
}

// takeBack removes a key without use, first its alias if it got one.
func (t *token) takeBack(ctx context.Context, keyID string, alias target, id string, named bool) error {
	if named {
		r := request{action: "DeleteAlias", keyID: keyID, target: alias}
		if _, err := call(ctx, t, r, t.client.DeleteAlias, &kms.DeleteAliasInput{AliasName: &alias.id}); err != nil {
			return fmt.Errorf("the unused key stays; run: aws kms delete-alias --alias-name %s and aws kms schedule-key-deletion --key-id %s: %w",
				alias.id, id, err)
		}
	}
	r := request{action: "ScheduleKeyDeletion", keyID: keyID, target: alias}
	if _, err := call(ctx, t, r, t.client.ScheduleKeyDeletion, &kms.ScheduleKeyDeletionInput{KeyId: &id,
		PendingWindowInDays: aws.Int32(deletionDays)}); err != nil {
		return fmt.Errorf("a key without a name stays; run: aws kms schedule-key-deletion --key-id %s: %w", id, err)
	}
	return nil
}
