package tpm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
)

// pcrMax is the number of PCRs of a PC Client TPM.
const pcrMax = 24

// banks are the hash algorithms whose PCRs may be named; SHA-1 is not among them.
var banks = map[string]tpm2.TPMAlgID{"sha256": tpm2.TPMAlgSHA256, "sha384": tpm2.TPMAlgSHA384, "sha512": tpm2.TPMAlgSHA512}

// selection names PCRs of one bank, ascending; the zero value names none.
type selection struct {
	bank string
	pcrs []uint
}

// parsePCRs reads "sha256:0,2,7"; "" names none.
func parsePCRs(s string) (selection, error) {
	if s == "" {
		return selection{}, nil
	}
	bad := func(why string) (selection, error) {
		return selection{}, fmt.Errorf("tpm: %w: pcrs=: %s; write a bank and numbers from 0 to %d, as sha256:0,2,7", hsm.ErrURI, why, pcrMax-1)
	}
	bank, list, ok := strings.Cut(s, ":")
	if !ok || banks[bank] == 0 {
		return bad("unknown bank")
	}
	sel := selection{bank: bank}
	for _, n := range strings.Split(list, ",") {
		v, err := strconv.ParseUint(n, 10, 8)
		if err != nil || v >= pcrMax {
			return bad("not a number of a PCR")
		}
		if slices.Contains(sel.pcrs, uint(v)) {
			return bad("a PCR is named twice")
		}
		sel.pcrs = append(sel.pcrs, uint(v))
	}
	slices.Sort(sel.pcrs)
	return sel, nil
}

// String is what parsePCRs reads.
func (s selection) String() string {
	if len(s.pcrs) == 0 {
		return ""
	}
	list := make([]string, len(s.pcrs))
	for i, n := range s.pcrs {
		list[i] = strconv.Itoa(int(n))
	}
	return s.bank + ":" + strings.Join(list, ",")
}

// list is the selection as the TPM wants it.
func (s selection) list(pcrs ...uint) tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: banks[s.bank],
		PCRSelect: tpm2.PCClientCompatible.PCRs(pcrs...)}}}
}

// digest is what TPM2_PolicyPCR compares: the hash of the values, by the session's algorithm (part 3, 23.7).
func digest(values [][]byte) []byte {
	sum := sha256.Sum256(bytes.Join(values, nil))
	return sum[:]
}

// policy is the authorization policy of what is sealed to these values, empty for no PCRs.
func (s selection) policy(values [][]byte) []byte {
	if len(s.pcrs) == 0 {
		return nil
	}
	calc, err := tpm2.NewPolicyCalculator(tpm2.TPMAlgSHA256)
	if err == nil {
		err = tpm2.PolicyPCR{PcrDigest: tpm2.TPM2BDigest{Buffer: digest(values)}, Pcrs: s.list(s.pcrs...)}.Update(calc)
	}
	if err != nil {
		panic(err) // the arguments are ours
	}
	return calc.Hash().Digest
}

// readPCRs reads the values of the PCRs, in order. TPM2_PCR_Read gives at most eight at a time, so each is asked for by itself.
func (o *op) readPCRs(s selection) ([][]byte, error) {
	var values [][]byte
	for _, n := range s.pcrs {
		r, err := tpm2.PCRRead{PCRSelectionIn: s.list(n)}.Execute(o)
		if err != nil {
			return nil, explain(fmt.Sprintf("read PCR %d of %s", n, s.bank), err)
		}
		if len(r.PCRValues.Digests) != 1 {
			return nil, fmt.Errorf("tpm: %w: the TPM has no PCR %d of %s; the firmware chooses the banks (tpm2_getcap pcrs lists them)",
				hsm.ErrUnsupported, n, s.bank)
		}
		values = append(values, r.PCRValues.Digests[0].Buffer)
	}
	return values, nil
}

// PCRError says that PCRs are not what they were when a secret was sealed: other firmware, boot loader, kernel or settings, or an
// attempt to start something else. It is an hsm.ErrIntegrity.
type PCRError struct {
	Bank    string
	Changed []uint // ascending
}

// Error names the PCRs and what to do.
func (e *PCRError) Error() string {
	return fmt.Sprintf("PCR %s of bank %s changed since the secret was sealed; if the change was yours (firmware, boot loader, kernel, "+
		"Secure Boot keys), unwrap by the recovery path and seal again with `mpcd hsm rewrap`, else find out what was started on this machine",
		strings.Trim(fmt.Sprint(e.Changed), "[]"), e.Bank)
}

// Unwrap is hsm.ErrIntegrity.
func (e *PCRError) Unwrap() error { return hsm.ErrIntegrity }

// compare tells which PCRs differ from the values that a secret was sealed to.
func (s selection) compare(sealed, now [][]byte) error {
	if len(sealed) != len(now) || len(now) != len(s.pcrs) {
		return errors.New("tpm: values of other PCRs")
	}
	e := &PCRError{Bank: s.bank}
	for i, n := range s.pcrs {
		if !bytes.Equal(sealed[i], now[i]) {
			e.Changed = append(e.Changed, n)
		}
	}
	if len(e.Changed) > 0 {
		return fmt.Errorf("tpm: unwrap: %w", e)
	}
	return nil
}
