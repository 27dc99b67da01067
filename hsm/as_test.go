package hsm

import (
	"context"
	"testing"
)

// modest has the methods of three abilities and owns up to one of them.
type modest struct {
	KeyWrapper
	KeyGenerator
	lacking bool
}

func (modest) Random(context.Context, int) ([]byte, error) { return nil, nil }

func (m modest) Lacks(ability any) bool {
	switch ability.(type) {
	case *KeyWrapper, *KeyGenerator:
		return m.lacking
	}
	return false
}

// Goal: a token has the abilities of its type, but for those it says it lacks. Method: one that lacks two of three, and not.
func TestAs(t *testing.T) {
	for _, lacking := range []bool{true, false} {
		m := modest{lacking: lacking}
		if w, ok := As[KeyWrapper](m); ok == lacking || (w == nil) != lacking {
			t.Errorf("lacking %v: wraps %v", lacking, ok)
		}
		if _, ok := As[KeyGenerator](m); ok == lacking {
			t.Errorf("lacking %v: generates %v", lacking, ok)
		}
		if _, ok := As[RandomSource](m); !ok {
			t.Errorf("lacking %v: no generator", lacking)
		}
		if _, ok := As[MonotonicCounter](m); ok {
			t.Errorf("lacking %v: counts", lacking)
		}
	}
}
