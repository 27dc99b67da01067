package docs

import "strings"

// moving tells whether a fault is in files that are on their way to other rooms, where words are renamed when they have arrived, or is
// about the pair state's old name in the engine's interface, which is being replaced. To be deleted with the last of them.
func moving(fault string) bool {
	for _, dir := range []string{"appliance/", "cmd/mpcd/", "host/", "enrol/"} {
		if strings.HasPrefix(fault, dir) {
			return true
		}
	}
	if !strings.Contains(fault, `"provision*"`) && !strings.Contains(fault, `"pairing*"`) && !strings.Contains(fault, `"material*"`) {
		return false
	}
	for _, dir := range []string{"threshold/", "benchmarks/", "attest/fixture_test.go", "internal/sim/"} {
		if strings.HasPrefix(fault, dir) {
			return true
		}
	}
	return false
}
