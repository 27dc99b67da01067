package plugin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/plugin/wire"
)

var (
	// ErrByHand is the end of Serve in a process that no node started.
	ErrByHand = errors.New("this is the driver process of a node, which starts it itself; it is not started by hand")
	// ErrVersion is a driver that speaks another version of the protocol.
	ErrVersion = errors.New("other version of the driver protocol")
	// ErrKeyChanged is a driver that tells another public key for a key than before. Nothing of that key is accepted until the
	// token is opened anew.
	ErrKeyChanged = errors.New("the driver tells another public key than before")
	// ErrCounterBack is a counter that is not above what it was.
	ErrCounterBack = errors.New("the counter went back")
)

// Most of what is taken of a driver's text, in bytes.
const (
	textMax = 2048 // of an error
	nameMax = 256  // of a label and the like
)

// sentinels are the errors that cross the border as codes.
var sentinels = map[wire.Code]error{
	wire.Code_CODE_NO_TOKEN:     hsm.ErrNoToken,
	wire.Code_CODE_NO_KEY:       hsm.ErrNoKey,
	wire.Code_CODE_KEY_EXISTS:   hsm.ErrKeyExists,
	wire.Code_CODE_AMBIGUOUS:    hsm.ErrAmbiguous,
	wire.Code_CODE_KEY_TYPE:     hsm.ErrKeyType,
	wire.Code_CODE_WRONG_PIN:    hsm.ErrWrongPIN,
	wire.Code_CODE_PIN_LOCKED:   hsm.ErrPINLocked,
	wire.Code_CODE_LAST_PIN_TRY: hsm.ErrLastPINTry,
	wire.Code_CODE_INTEGRITY:    hsm.ErrIntegrity,
	wire.Code_CODE_UNSUPPORTED:  hsm.ErrUnsupported,
	wire.Code_CODE_UNAVAILABLE:  hsm.ErrUnavailable,
	wire.Code_CODE_URI:          hsm.ErrURI,
	wire.Code_CODE_DEV_ONLY:     hsm.ErrDevOnly,
	wire.Code_CODE_PIN_SOURCE:   hsm.ErrPINSource,
	wire.Code_CODE_CANCELED:     context.Canceled,
	wire.Code_CODE_DEADLINE:     context.DeadlineExceeded,
}

// driverError is an error of the driver as the node sees it: the driver's words, and the same sentinels.
type driverError struct {
	text    string
	wrapped []error
}

func (e *driverError) Error() string   { return e.text }
func (e *driverError) Unwrap() []error { return e.wrapped }

// failure packs an error of a driver; nil for none.
func failure(err error) *wire.Failure {
	if err == nil {
		return nil
	}
	f := &wire.Failure{Text: clean(err.Error(), textMax)}
	for code := range wire.Code_name {
		if s := sentinels[wire.Code(code)]; s != nil && errors.Is(err, s) {
			f.Codes = append(f.Codes, wire.Code(code))
		}
	}
	return f
}

// opened is the error in a failure; nil for none.
func opened(f *wire.Failure) error {
	if f == nil {
		return nil
	}
	e := &driverError{text: clean(f.Text, textMax)}
	for _, code := range f.Codes {
		if s := sentinels[code]; s != nil && len(e.wrapped) < len(sentinels) {
			e.wrapped = append(e.wrapped, s)
		}
	}
	if e.text == "" {
		e.text = "hsm plugin: the driver failed without a word"
	}
	return e
}

// clean makes the words of a stranger fit for a log and a terminal: one line of printable text, cut to so many bytes.
func clean(s string, most int) string {
	cut := len(s) > most
	if cut {
		s = s[:most]
	}
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if s = strings.TrimSpace(s); cut {
		s += "…"
	}
	return s
}

// unavailable says what is wrong with the process.
func unavailable(format string, a ...any) error {
	return fmt.Errorf("hsm plugin: %w: %w", hsm.ErrUnavailable, fmt.Errorf(format, a...))
}
