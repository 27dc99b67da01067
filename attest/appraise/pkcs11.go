package appraise

// tokenAttributes are the attributes of Extra["attributes"], by package hsm/pkcs11. One that the token does not report is missing.
type tokenAttributes struct {
	Sensitive        *bool `json:"CKA_SENSITIVE"`
	AlwaysSensitive  *bool `json:"CKA_ALWAYS_SENSITIVE"`
	Extractable      *bool `json:"CKA_EXTRACTABLE"`
	NeverExtractable *bool `json:"CKA_NEVER_EXTRACTABLE"`
	Local            *bool `json:"CKA_LOCAL"`
	Private          *bool `json:"CKA_PRIVATE"`
	Sign             *bool `json:"CKA_SIGN"`
	Decrypt          *bool `json:"CKA_DECRYPT"`
	Derive           *bool `json:"CKA_DERIVE"`
	Unwrap           *bool `json:"CKA_UNWRAP"`
	KeyGenMechanism  *uint `json:"CKA_KEY_GEN_MECHANISM"`
}

// pkcs11 judges the attributes of a key (PKCS #11 v3.0, 4.9). They are the module's word.
func (j *judge) pkcs11() (claim, error) {
	var a tokenAttributes
	if err := parseReport(j.ev.Extra["attributes"], &a); err != nil {
		return claim{}, isBroken("attributes: %v", err)
	}
	if len(j.ev.Statement) > 0 {
		return claim{}, isBroken("PKCS #11 signs no evidence, but a statement is there")
	}
	is := func(b *bool) bool { return b != nil && *b }
	isNot := func(b *bool) bool { return b != nil && !*b }
	k := j.ev.Key
	switch {
	case is(a.Extractable) && is(a.NeverExtractable), is(a.AlwaysSensitive) && isNot(a.Sensitive):
		return claim{}, isBroken("the attributes contradict one another")
	case k.Sensitive != is(a.Sensitive), k.Extractable != (a.Extractable == nil || *a.Extractable), k.Local != is(a.Local),
		k.NeverExtracted != is(a.NeverExtractable):
		return claim{}, isBroken("the attributes are not those of the summary")
	}
	j.report("the module reports CKA_SENSITIVE %s, CKA_ALWAYS_SENSITIVE %s, CKA_EXTRACTABLE %s, CKA_NEVER_EXTRACTABLE %s, CKA_LOCAL %s",
		word(a.Sensitive), word(a.AlwaysSensitive), word(a.Extractable), word(a.NeverExtractable), word(a.Local))
	if is(a.Sign) && (is(a.Decrypt) || is(a.Derive) || is(a.Unwrap)) {
		j.caution("make a key that only signs", "the key signs, and may do more: CKA_DECRYPT %s, CKA_DERIVE %s, CKA_UNWRAP %s", word(a.Decrypt),
			word(a.Derive), word(a.Unwrap))
	}
	c := claim{level: Reported, from: "the token", sensitiveAs: "CKA_SENSITIVE", neverAs: "CKA_NEVER_EXTRACTABLE", madeAs: "CKA_LOCAL",
		sensitive: asTold(a.Sensitive), neverExtractable: asTold(a.NeverExtractable), made: asTold(a.Local)}
	if isNot(a.AlwaysSensitive) {
		c.sensitive, c.sensitiveAs = no, "CKA_ALWAYS_SENSITIVE"
	}
	if is(a.Extractable) {
		c.neverExtractable, c.neverAs = no, "CKA_EXTRACTABLE"
	}
	return c, nil
}

func asTold(b *bool) told {
	if b == nil {
		return notTold
	}
	return of(*b)
}

func word(b *bool) string {
	return [...]string{notTold: "not told", no: "false", yes: "true"}[asTold(b)]
}
