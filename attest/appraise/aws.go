package appraise

// awsMetadata is Extra["metadata"] of package hsm/awskms: what DescribeKey says.
type awsMetadata struct {
	ARN         string `json:"arn"`
	Account     string `json:"account"`
	Region      string `json:"region"`
	Endpoint    string `json:"endpoint"`
	Amazon      bool   `json:"amazon"` // TLS proved to the node that it was Amazon's service
	Spec        string `json:"spec"`
	Usage       string `json:"usage"`
	State       string `json:"state"`
	Origin      string `json:"origin"`
	Manager     string `json:"manager"`
	Created     string `json:"created"`
	Deletion    string `json:"deletion"`
	ValidTo     string `json:"valid_to"`
	MultiRegion string `json:"multi_region"`
	KeyStore    string `json:"key_store"`
	CloudHSM    string `json:"cloudhsm_cluster"`
	ExternalKey string `json:"external_key"`
}

// aws judges what AWS KMS said to the node (KMS API reference, KeyMetadata). KMS signs nothing, so it is the node's word.
func (j *judge) aws() (claim, error) {
	var m awsMetadata
	if err := parseReport(j.ev.Extra["metadata"], &m); err != nil {
		return claim{}, isBroken("metadata: %v", err)
	}
	if len(j.ev.Statement) > 0 {
		return claim{}, isBroken("KMS signs no evidence, but a statement is there")
	}
	made := m.Origin == "AWS_KMS" || m.Origin == "AWS_CLOUDHSM"
	if k := j.ev.Key; k.Local != made || k.NeverExtracted != made || !k.Sensitive || k.Extractable || j.v.Software != !m.Amazon {
		return claim{}, isBroken("the metadata is not that of the summary")
	}
	j.report("AWS KMS: %s, spec %s, usage %s, state %s, made %s", quoted(m.ARN), quoted(m.Spec), quoted(m.Usage), quoted(m.State),
		quoted(m.Created))
	j.report("its material is of origin %s, under a key manager %s", quoted(m.Origin), quoted(m.Manager))
	if m.Endpoint != "" {
		j.report("the service was reached at %s", quoted(m.Endpoint))
	}
	if m.State != "Enabled" || m.Deletion != "" {
		j.refuse("enable the key, or cancel its deletion (aws kms enable-key, cancel-key-deletion)", "the key is in state %s, to be deleted: %s",
			quoted(m.State), quoted(m.Deletion))
	}
	if m.MultiRegion != "" {
		j.caution("use a key of a single region, unless replicas are intended",
			"the key is a multi-region key (%s): AWS keeps its material in other regions too", quoted(m.MultiRegion))
	}
	if m.Manager != "CUSTOMER" {
		j.caution("use a customer managed key", "the key is managed by %s: its policy is not yours", quoted(m.Manager))
	}
	c := claim{level: Reported, from: "the service", madeAs: "origin " + quoted(m.Origin), neverAs: "origin " + quoted(m.Origin),
		sensitive: yes}
	switch {
	case made:
		c.made, c.neverExtractable = yes, yes
	case m.Origin == "EXTERNAL": // imported: whoever had it may have it still
		c.made, c.neverExtractable = no, no
		j.caution("make the key in KMS", "its material was imported, and expires: %s", quoted(m.ValidTo))
	case m.Origin == "EXTERNAL_KEY_STORE":
		c.sensitive = notTold
		j.caution("ask who runs the external key store for evidence of key "+quoted(m.ExternalKey), "the key is outside of AWS")
	}
	return c, nil
}
