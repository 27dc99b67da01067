// Package canontest fuzzes the forms that package canon decodes, for the packages that define them.
package canontest

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/luxfi/mpcd/internal/canon"
)

// Fuzz checks for each form that no bytes make its decoder panic, and that what it accepts it accepts in one encoding only. The
// values given are the seeds.
func Fuzz(f *testing.F, forms ...any) {
	for i, v := range forms {
		f.Add(uint8(i), canon.MustMarshal(v))
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		v := reflect.New(reflect.TypeOf(forms[int(which)%len(forms)])).Interface()
		if canon.Unmarshal(b, v) != nil {
			return
		}
		if again, err := canon.Marshal(v); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%T has a second encoding", v)
		}
	})
}
