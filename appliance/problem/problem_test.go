package problem

import (
	"errors"
	"slices"
	"testing"
)

// Goal: of what is wrong with a batch one error tells all: the first in words, which others are refused in the same, and which for other
// reasons; what is no word of ours about an intent stays as it is. Method: batches of each kind.
func TestAll(t *testing.T) {
	denied, other, alien := New(Denied, "", "no"), New(Denied, "", "not this"), errors.New("the disk")
	for name, row := range map[string]struct {
		errs        []error
		item        int
		alike, also []int
	}{
		"nothing":      {[]error{nil, nil}, 0, nil, nil},
		"one":          {[]error{nil, denied}, 2, nil, nil},
		"alike":        {[]error{denied, nil, New(Denied, "", "no")}, 1, []int{3}, nil},
		"other words":  {[]error{denied, nil, other, denied, alien}, 1, []int{4}, []int{3, 5}},
		"another code": {[]error{denied, New(Invalid, "", "no")}, 1, nil, []int{2}},
		"not ours":     {[]error{nil, alien, denied}, 0, nil, nil},
	} {
		err := All(row.errs)
		var e *Error
		if !errors.As(err, &e) {
			e = &Error{}
		}
		if e.Item != row.item || !slices.Equal(e.Alike, row.alike) || !slices.Equal(e.Also, row.also) || (err == nil) != (name == "nothing") ||
			(err == alien) != (name == "not ours") {
			t.Errorf("%s: %v, intent %d, alike %v, also %v", name, err, e.Item, e.Alike, e.Also)
		}
	}
}
