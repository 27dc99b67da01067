package hsm

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// Goal: a URI reaches the driver of its scheme, whole. Method: drivers that record what they get.
func TestDrivers(t *testing.T) {
	var got string
	record := func(_ context.Context, u *URI, o Options) (Token, error) {
		got = u.String()
		if !o.Dev {
			t.Error("the options are lost")
		}
		return nil, nil
	}
	d := Drivers{"pkcs11": record, "awskms": record}
	for in, want := range map[string]string{"aws": "awskms:", "pkcs11:token=a": "pkcs11:token=a"} {
		if _, err := d.Open(t.Context(), in, Options{Dev: true}); err != nil || got != want {
			t.Errorf("%s: driver got %s, %v", in, got, err)
		}
	}
	if _, err := d.NewSigner(t.Context(), "pkcs11", map[string]string{"token": "a b", "pin-source": "env:PIN"},
		Options{Dev: true}); err != nil || got != "pkcs11:token=a%20b?pin-source=env:PIN" {
		t.Errorf("driver got %s, %v", got, err)
	}
	for in, want := range map[string]error{"gcp": ErrUnsupported, "softhsm": ErrUnsupported, "tpm": ErrUnsupported, "env": ErrURI,
		"file": ErrURI, "rot13": ErrURI, "pkcs11:x=y": ErrURI} {
		_, err := d.Open(t.Context(), in, Options{})
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "awskms, pkcs11") {
			t.Errorf("%s: %v, want %v and the drivers there are", in, err, want)
		}
	}
	for name, value := range map[string]string{"pin-value": "s3cr3t", "tokken": "a", "token": ""} {
		_, err := d.NewSigner(t.Context(), "pkcs11", map[string]string{name: value}, Options{})
		if !errors.Is(err, ErrURI) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := d.NewSigner(t.Context(), "pkcs11", map[string]string{"pin-value": "1"}, Options{}); err == nil ||
		!strings.Contains(err.Error(), "is refused") {
		t.Errorf("no advice: %v", err)
	}
	if _, err := (Drivers{}).Open(t.Context(), "pkcs11", Options{}); err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("got %v", err)
	}
}
