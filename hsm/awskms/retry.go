package awskms

import (
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
)

const (
	attemptsMax = 12
	makingMax   = 3 // attempts at what makes something, so that few can be left over
	backoffMax  = 2 * time.Second
)

// retryer repeats one operation: it remembers why, and stops when the next attempt would start after the deadline.
type retryer struct {
	aws.RetryerV2
	deadline time.Time
	attempts int   // that failed and were to be repeated
	last     error // of these
	unsure   bool  // one of them may have been carried out: it was not refused as too many
}

func newRetryer(first time.Duration, deadline time.Time, makes bool) *retryer {
	r := &retryer{deadline: deadline}
	r.RetryerV2 = retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attemptsMax
		o.RateLimiter = ratelimit.None // the deadline and attemptsMax bound it; a bucket would make one outage refuse the next request
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(quotaIsFinal), retry.IsErrorRetryableFunc(cutShort)},
			o.Retryables...)
		if makes {
			o.MaxAttempts = makingMax
		}
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) { return backoff(first, attempt), nil })
	})
	return r
}

// RetryDelay is called after each failed attempt but the last.
func (r *retryer) RetryDelay(attempt int, cause error) (time.Duration, error) {
	r.attempts, r.last = attempt, cause
	r.unsure = r.unsure || throttled.IsErrorRetryable(cause) != aws.TrueTernary
	wait, err := r.RetryerV2.RetryDelay(attempt, cause)
	if err == nil && time.Now().Add(wait).After(r.deadline) {
		return 0, cause
	}
	return wait, err
}

var throttled = retry.RetryableErrorCode{Codes: retry.DefaultThrottleErrorCodes}

// backoff doubles from first to backoffMax; half of it is drawn, so that clients do not come back together.
func backoff(first time.Duration, attempt int) time.Duration {
	wait := backoffMax
	if attempt < 10 {
		wait = min(wait, first<<max(attempt-1, 0))
	}
	return wait/2 + rand.N(wait/2+1)
}

// quotaIsFinal keeps the SDK from taking KMS's LimitExceededException, a quota on keys, for throttling.
func quotaIsFinal(err error) aws.Ternary {
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "LimitExceededException" {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

// cutShort takes an answer that ended too early for a lost connection, which the SDK does not.
func cutShort(err error) aws.Ternary {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}
