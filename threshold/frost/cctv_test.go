package frost

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// Goal: Ed25519 signatures are taken as ed25519-dalek's verify_strict takes them, which is Solana's rule, and no others: no encoding that
// is not canonical and no point of small order, of A or R, and no equation that holds only with the cofactor. Method: the edge vectors of
// C2SP/CCTV; what may remain is a part of small order beside one of large.
func TestEd25519Edges(t *testing.T) {
	b, err := os.ReadFile("testdata/cctv/ed25519vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Number        int
		Key, Sig, Msg string
		Flags         []string
	}
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	good := 0
	for _, v := range vectors {
		key, err1 := hex.DecodeString(v.Key)
		sig, err2 := hex.DecodeString(v.Sig)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		want := !slices.ContainsFunc(v.Flags, func(f string) bool { return f != "low_order_component_A" && f != "low_order_component_R" })
		if want {
			good++
		}
		if got := Ed25519.Verify(key, nil, []byte(v.Msg), sig) == nil; got != want {
			t.Errorf("%d %v: %v", v.Number, v.Flags, got)
		}
	}
	if len(vectors) != 914 || good != 43 {
		t.Errorf("%d vectors, %d good", len(vectors), good)
	}
}
