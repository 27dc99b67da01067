package tpm

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
)

// family is TPM_PT_FAMILY_INDICATOR of a TPM 2.0.
const family = "2.0\x00"

// nvChunkDefault is for a TPM that does not say how much NV_Read and NV_Write take, in bytes.
const nvChunkDefault = 256

// chip is what a TPM says of itself.
type chip struct {
	manufacturer, model, firmware string
	nvChunk                       int // bytes of NV data in one command
	curves                        []tpm2.TPMECCCurve
}

// identify asks the TPM what it is; ErrNoToken if it is none.
func (o *op) identify() (chip, error) {
	p, err := o.properties(tpm2.TPMPTFamilyIndicator, 64)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return chip{}, fmt.Errorf("tpm: %w: %s does not answer: %w", hsm.ErrUnavailable, o.t.path, err)
	}
	if code(err) != 0 && !isNoTPM2(err) {
		return chip{}, explain("ask "+o.t.path, err)
	}
	if err != nil || text(p, tpm2.TPMPTFamilyIndicator) != strings.TrimRight(family, "\x00") {
		return chip{}, fmt.Errorf("tpm: %w: %s does not answer as a TPM 2.0 (%v); correct device= in the URI", hsm.ErrNoToken, o.t.path, err)
	}
	c := chip{
		manufacturer: text(p, tpm2.TPMPTManufacturer),
		model:        text(p, tpm2.TPMPTVendorString1, tpm2.TPMPTVendorString2, tpm2.TPMPTVendorString3, tpm2.TPMPTVendorString4),
		firmware: fmt.Sprintf("%d.%d.%d.%d", p[tpm2.TPMPTFirmwareVersion1]>>16, p[tpm2.TPMPTFirmwareVersion1]&0xffff,
			p[tpm2.TPMPTFirmwareVersion2]>>16, p[tpm2.TPMPTFirmwareVersion2]&0xffff),
		nvChunk: int(min(p[tpm2.TPMPTNVBufferMax], 1024)),
	}
	if c.nvChunk == 0 {
		c.nvChunk = nvChunkDefault
	}
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapECCCurves, PropertyCount: 64}.Execute(o)
	if err != nil {
		return chip{}, explain("ask for curves", err)
	}
	list, err := r.CapabilityData.Data.ECCCurves()
	if err != nil {
		return chip{}, explain("ask for curves", err)
	}
	c.curves = list.ECCCurves
	return c, nil
}

// isNoTPM2 tells a response code that no TPM 2.0 gives to GetCapability: a TPM 1.2, or something else.
func isNoTPM2(err error) bool {
	rc := code(err)
	return uint32(rc) < 0x80 && !rc.Is(tpm2.TPMRCSuccess)
}

// text joins properties that are four characters each.
func text(p map[tpm2.TPMPT]uint32, names ...tpm2.TPMPT) string {
	var b []byte
	for _, n := range names {
		b = binary.BigEndian.AppendUint32(b, p[n])
	}
	b = bytes.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return -1
		}
		return r
	}, b)
	return strings.TrimSpace(string(b))
}

// softwareOnly knows the emulators: libtpms (swtpm) and the reference simulator say so in their vendor strings.
func (c chip) softwareOnly() bool {
	for _, known := range []string{"SW", "xCG", "fTPM"} {
		if strings.HasPrefix(c.model, known) {
			return true
		}
	}
	return c.manufacturer == "MSFT" || c.manufacturer == "XCG"
}

// hasCurve tells whether the TPM reports the curve.
func (c chip) hasCurve(curve tpm2.TPMECCCurve) bool { return slices.Contains(c.curves, curve) }

// Info asks the TPM. The serial is the head of the parent key's name, which ends with TPM2_Clear; empty until there is one.
func (t *Token) Info(ctx context.Context) (hsm.TokenInfo, error) {
	return run(ctx, t, func(o *op) (hsm.TokenInfo, error) {
		l, err := o.lockout()
		if err != nil {
			return hsm.TokenInfo{}, err
		}
		info := hsm.TokenInfo{
			Provider:     provider,
			Label:        t.path,
			Manufacturer: t.chip.manufacturer,
			Model:        t.chip.model,
			Firmware:     t.chip.firmware,
			SoftwareOnly: t.chip.softwareOnly(),
			PINTriesLow:  l.locked || l.failed > 0,
		}
		if t.root != nil {
			info.Serial = hex.EncodeToString(t.root.name.Buffer[2:10])
		}
		return info, nil
	})
}
