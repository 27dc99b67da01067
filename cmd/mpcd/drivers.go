package main

import (
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/local"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/softhsm"
)

// drivers are the security modules this binary can open.
var drivers = hsm.Drivers{
	"pkcs11":  pkcs11.Open,
	"softhsm": softhsm.Open,
	"local":   local.Open,
}

// later are the drivers that the URIs know and this build does not have.
var later = []string{"awskms", "gcpkms", "tpm", "plugin"}
