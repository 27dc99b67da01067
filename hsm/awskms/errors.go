package awskms

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/smithy-go"

	"github.com/luxfi/mpcd/hsm"
)

// meaning is what an error code of KMS is for callers, and what a human can do.
type meaning struct {
	is     error
	advice string
	silent bool // the service's text is dropped: it may quote the request's headers, the session token among them
}

const (
	renew = "AWS does not accept the credentials; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the clock"
	stale = "the AWS credentials have expired; renew AWS_SESSION_TOKEN, sign in again, or use a role that renews itself"
)

// meanings has the error codes of the API reference ("Errors" of each action, "Common Errors").
var meanings = map[string]meaning{
	"NotFoundException": {is: hsm.ErrNoKey,
		advice: "correct the key ID or the region, or make it with `mpcd hsm init`"},
	"InvalidArnException": {is: hsm.ErrNoKey,
		advice: "the ARN is not of this region or service; correct the ARN or the region"},
	"InvalidAliasNameException": {is: hsm.ErrNoKey, advice: "choose another name"},
	"AlreadyExistsException":    {is: hsm.ErrKeyExists, advice: "choose another name"},
	"DisabledException": {is: hsm.ErrUnavailable,
		advice: "the key is disabled; run: aws kms enable-key --key-id …"},
	"KMSInvalidStateException": {is: hsm.ErrUnavailable,
		advice: "the key awaits deletion or its material; see aws kms describe-key, and aws kms cancel-key-deletion"},
	"KeyUnavailableException": {is: hsm.ErrUnavailable, advice: "KMS cannot reach the key now; try again later"},
	"InvalidKeyUsageException": {is: hsm.ErrKeyType,
		advice: "the key is made for another use; signing wants SIGN_VERIFY, wrapping ENCRYPT_DECRYPT with SYMMETRIC_DEFAULT"},
	"UnsupportedOperationException": {is: hsm.ErrUnsupported, advice: "this region or key store does not offer it"},
	"ValidationException":           {is: hsm.ErrUnsupported, advice: "the service does not take the request"},
	"InvalidCiphertextException": {is: hsm.ErrIntegrity,
		advice: "what was to be decrypted was changed, or is bound to something else"},
	"IncorrectKeyException": {is: hsm.ErrIntegrity, advice: "another key encrypted it"},
	"AccessDeniedException": {is: hsm.ErrUnavailable, advice: "allow it in the role's policy and in the key's policy"},
	"LimitExceededException": {is: hsm.ErrUnavailable,
		advice: "a quota of the account is used up; ask AWS to raise it, or delete keys"},
	"ThrottlingException": {is: hsm.ErrUnavailable,
		advice: "the account's request quota is used up; ask AWS to raise it, or sign in larger batches"},
	"ExpiredTokenException":                        {is: hsm.ErrUnavailable, advice: stale, silent: true},
	"ExpiredToken":                                 {is: hsm.ErrUnavailable, advice: stale, silent: true},
	"RequestExpired":                               {is: hsm.ErrUnavailable, advice: "the clock is wrong; set it", silent: true},
	"UnrecognizedClientException":                  {is: hsm.ErrUnavailable, advice: renew, silent: true},
	"InvalidClientTokenId":                         {is: hsm.ErrUnavailable, advice: renew, silent: true},
	"InvalidSignatureException":                    {is: hsm.ErrUnavailable, advice: renew, silent: true},
	"SignatureDoesNotMatch":                        {is: hsm.ErrUnavailable, advice: renew, silent: true},
	"IncompleteSignature":                          {is: hsm.ErrUnavailable, advice: renew, silent: true},
	"IncompleteSignatureException":                 {is: hsm.ErrUnavailable, advice: renew, silent: true},
	"MissingAuthenticationToken":                   {is: hsm.ErrUnavailable, advice: renew, silent: true},
	"MissingAuthenticationTokenException":          {is: hsm.ErrUnavailable, advice: renew, silent: true},
	"OptInRequired":                                {is: hsm.ErrUnavailable, advice: "the account does not use this region; enable it"},
	"CustomKeyStoreInvalidStateException":          {is: hsm.ErrUnavailable, advice: "connect the custom key store"},
	"CloudHsmClusterInvalidConfigurationException": {is: hsm.ErrUnavailable, advice: "repair the CloudHSM cluster"},
}

// explain turns an error of the SDK into one of package hsm, with the key, the region and the next step. Where the caller's context
// is done, that is the error, and the last reason to repeat stands beside it.
func (t *token) explain(ctx context.Context, r request, region string, tried *retryer, err error) error {
	what := r.action
	if r.keyID != "" {
		what += fmt.Sprintf(" with key %.100q", r.keyID)
	}
	what += " in " + label(region, t.endpoint)
	if done := ctx.Err(); done != nil {
		if tried.last == nil {
			return fmt.Errorf("awskms: %s: %w", what, done)
		}
		return fmt.Errorf("awskms: %s: %w: %w after %d attempts: %w", what, done, hsm.ErrUnavailable, tried.attempts, t.reason(r, tried.last))
	}
	if n := tried.attempts; n > 0 {
		what += fmt.Sprintf(", tried %d times", n)
		if errors.Is(err, context.DeadlineExceeded) {
			err = tried.last
		}
	}
	return fmt.Errorf("awskms: %s: %w", what, t.reason(r, err))
}

// reason sorts an error into what callers branch on.
func (t *token) reason(r request, err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("%w: KMS is not reached: %w", hsm.ErrUnavailable, err)
	}
	m, known := meanings[api.ErrorCode()]
	switch {
	case !known:
		return fmt.Errorf("%w: %w", hsm.ErrUnavailable, err)
	case r.action == "GetPublicKey" && m.is == hsm.ErrUnsupported:
		m.is, m.advice = hsm.ErrKeyType, "it is no signing key"
	case api.ErrorCode() == "AccessDeniedException":
		m.advice = fmt.Sprintf("allow kms:%s in the role's policy and in the key's policy", r.action)
	}
	if m.silent {
		return fmt.Errorf("%w: %s (%s)", m.is, m.advice, api.ErrorCode())
	}
	return fmt.Errorf("%w: %s: %w", m.is, m.advice, err)
}

// denied tells that the role lacks a permission.
func denied(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "AccessDeniedException"
}
