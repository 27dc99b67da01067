package sim

import (
	"encoding/binary"
	"fmt"
	"reflect"

	"github.com/luxfi/mpcd/threshold"
)

// PresignatureSecrets is one signer's part of a DKLs23 presignature: phi_i, u_i and v_i, 32 bytes each, big-endian.
type PresignatureSecrets struct{ Phi, U, V []byte }

// OpenPresignature reads the secrets of a presignature out of memory, as a debugger would. Nobody may use it meanwhile.
func OpenPresignature(p *threshold.Presignature) (PresignatureSecrets, error) {
	holder := reflect.Indirect(reflect.ValueOf(p.Nonces))
	if holder.Kind() != reflect.Struct {
		return PresignatureSecrets{}, fmt.Errorf("sim: presignature with %T in it: nothing of a signer's", p.Nonces)
	}
	var out [3][]byte
	for i, name := range []string{"phi", "u", "v"} {
		field := holder.FieldByName(name)
		if field.Kind() != reflect.Struct || field.NumField() != 1 || field.Field(0).Kind() != reflect.Array || field.Field(0).Len() != 4 {
			return PresignatureSecrets{}, fmt.Errorf("sim: %T has no scalar %s: presignatures are not what they were", p.Nonces, name)
		}
		for limb := 3; limb >= 0; limb-- { // the lowest is the first
			out[i] = binary.BigEndian.AppendUint64(out[i], field.Field(0).Index(limb).Uint())
		}
	}
	return PresignatureSecrets{out[0], out[1], out[2]}, nil
}
