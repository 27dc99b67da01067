package host

import (
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/internal/durable"
)

// nodeMetrics exports a node's counters and what it sees of its peers.
type nodeMetrics struct{ node *appliance.Node }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("mpcd_"+name, help, labels, nil)
}

var (
	descSignatures = describe("signatures_total", "Signatures made as coordinator.")
	descCeremonies = describe("ceremonies_total", "Ceremonies taken part in.")
	descBatches    = describe("batches_total", "Batches of signatures led.")
	descAborts     = describe("aborts_total", "Ceremonies that were aborted.")
	descRefused    = describe("refused_total", "Proposals refused or dropped.")
	descKeygens    = describe("keygens_total", "Keys made as coordinator.")
	descRefreshes  = describe("refreshes_total", "Refreshes led.")
	descRetries    = describe("retries_total", "Requests tried again with another quorum.")
	descFreezes    = describe("freezes", "Freezes in force: what they cover, nobody may use until officers thaw it.")
	descPresReady  = describe("presignatures_ready", "Presignatures in memory that this node can sign with as coordinator.")
	descPresHeld   = describe("presignatures_held", "Presignatures in memory, for all coordinators.")
	descPresigs    = describe("presignatures_total",
		"Presignatures of the pool as coordinator: made, used, missed (too few were there), dropped.", "outcome")
	descAudit     = describe("audit_entries", "Entries of the audit log.")
	descEnvelopes = describe("envelopes_total", "Envelopes of the transport: sent, received, or dropped by reason.", "outcome")
	descPeer      = describe("peer_live", "1 if the node of the roster is live, as this node sees it.", "peer")
	descAccused   = describe("peer_accused", "1 if an abort named the peer since this process started.", "peer")
	descReady     = describe("ready", "1 if this node can sign now, as /readyz says.")
	descFails     = describe("check_failing", "1 if the check of readiness fails.", "check")
	descAhead     = describe("peer_clock_ahead_seconds", "By how much the peer's clock is ahead of this node's.", "peer")
	descBehind    = describe("keys_behind", "Keys of which the node holds no share, or an older one, as this node sees it.", "node")
	descMargin    = describe("quorum_margin", "How many nodes more can sign than are needed; negative if too few can.")
	descSigned    = describe("sign_requests_total",
		"Requests to sign, by the key's scheme and by how they ended: ok, or the code of the error.", "scheme", "result")
	descTokenSign = describe("token_sign_seconds", "How long the token took to sign.")
	descTokenErrs = describe("token_sign_errors_total", "Signatures that the token failed to make.")
	descLost      = describe("peer_envelopes_lost_total",
		"Authentic envelopes of the peer for which there was no room: in the inbox, for ceremonies, among proposals.", "peer", "room")
	descInfo = describe("build_info", "The version of the program.", "version")
)

// Describe implements prometheus.Collector.
func (m nodeMetrics) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, out) }

// Collect implements prometheus.Collector.
func (m nodeMetrics) Collect(out chan<- prometheus.Metric) {
	c := m.node.Counts()
	for _, x := range []struct {
		d *prometheus.Desc
		v uint64
	}{
		{descSignatures, c.Signatures}, {descCeremonies, c.Ceremonies}, {descBatches, c.Batches}, {descAborts, c.Aborts},
		{descRefused, c.Refused}, {descKeygens, c.Keygens}, {descRefreshes, c.Refreshes}, {descRetries, c.Retries},
	} {
		out <- prometheus.MustNewConstMetric(x.d, prometheus.CounterValue, float64(x.v))
	}
	out <- prometheus.MustNewConstMetric(descAudit, prometheus.GaugeValue, float64(c.AuditSeq))
	out <- prometheus.MustNewConstMetric(descFreezes, prometheus.GaugeValue, float64(c.Freezes))
	out <- prometheus.MustNewConstMetric(descPresReady, prometheus.GaugeValue, float64(c.PresReady))
	out <- prometheus.MustNewConstMetric(descPresHeld, prometheus.GaugeValue, float64(c.PresHeld))
	for outcome, v := range map[string]uint64{"made": c.PresMade, "used": c.PresUsed, "missed": c.PresMissed, "dropped": c.PresDropped} {
		out <- prometheus.MustNewConstMetric(descPresigs, prometheus.CounterValue, float64(v), outcome)
	}
	for outcome, v := range c.Network {
		out <- prometheus.MustNewConstMetric(descEnvelopes, prometheus.CounterValue, float64(v), outcome)
	}
	for of, v := range c.Lost {
		out <- prometheus.MustNewConstMetric(descLost, prometheus.CounterValue, float64(v), string(of.Peer), of.Room)
	}
	for r, v := range c.Signed {
		out <- prometheus.MustNewConstMetric(descSigned, prometheus.CounterValue, float64(v), r.Scheme, r.Result)
	}
	below := map[float64]uint64{}
	for i, bound := range appliance.TokenBounds {
		below[bound] = c.Token.Below[i]
	}
	out <- prometheus.MustNewConstHistogram(descTokenSign, c.Token.Signed, c.Token.Sum.Seconds(), below)
	out <- prometheus.MustNewConstMetric(descTokenErrs, prometheus.CounterValue, float64(c.Token.Failed))
	for _, p := range m.node.Nodes() {
		out <- prometheus.MustNewConstMetric(descBehind, prometheus.GaugeValue, float64(p.Behind), string(p.ID))
		out <- prometheus.MustNewConstMetric(descPeer, prometheus.GaugeValue, truth(p.Live), string(p.ID))
		out <- prometheus.MustNewConstMetric(descAccused, prometheus.GaugeValue, truth(p.Accused), string(p.ID))
		out <- prometheus.MustNewConstMetric(descAhead, prometheus.GaugeValue, p.Ahead.Seconds(), string(p.ID))
	}
	r := m.node.Readiness()
	out <- prometheus.MustNewConstMetric(descMargin, prometheus.GaugeValue, float64(r.Margin))
	out <- prometheus.MustNewConstMetric(descReady, prometheus.GaugeValue, truth(r.Ready))
	for _, check := range r.Checks {
		out <- prometheus.MustNewConstMetric(descFails, prometheus.GaugeValue, truth(!check.OK), check.Name)
	}
	out <- prometheus.MustNewConstMetric(descInfo, prometheus.GaugeValue, 1, m.node.Version())
}

// hostMetrics exports what a host knows beside its node.
type hostMetrics struct{ host *Host }

var (
	descNotAfter = describe("certificate_not_after_seconds", "When the certificate in use ends, in seconds since 1970.", "use")
	descSerial   = describe("roster_serial", "The serial number of the roster in use.")
	descWritten  = describe("roster_written_seconds", "When the file of the roster was written last, in seconds since 1970.")
	descUnread   = describe("network_lost_total", "Messages of the network that came faster than it could be asked whose they were.")
	descIssuer   = describe("api_issuer_keys_seconds", "When the keys of the issuer of tokens were fetched last, in seconds since 1970.")
	descUntold   = describe("events_behind", "Entries of the audit log that the webhook of events was not told of, or asked about.", "host")
	descFree     = describe("disk_free_bytes", "What may still be written on the disk of the data directory.")
)

// Describe implements prometheus.Collector.
func (m hostMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- descNotAfter
	out <- descSerial
	out <- descWritten
	out <- descFree
	out <- descUnread
	out <- descIssuer
	out <- descUntold
}

// Collect implements prometheus.Collector.
func (m hostMetrics) Collect(out chan<- prometheus.Metric) {
	for _, c := range m.host.certs.each() {
		out <- prometheus.MustNewConstMetric(descNotAfter, prometheus.GaugeValue, float64(c.notAfter().Unix()), c.use)
	}
	out <- prometheus.MustNewConstMetric(descSerial, prometheus.GaugeValue, float64(m.host.roster.Load().Roster.Serial))
	out <- prometheus.MustNewConstMetric(descUnread, prometheus.CounterValue, float64(m.host.network.Lost()))
	if t := m.host.tokens.Load(); t != nil && t.Issuer != nil {
		out <- prometheus.MustNewConstMetric(descIssuer, prometheus.GaugeValue, float64(t.Issuer.Fetched().Unix()))
	}
	if m.host.events != nil {
		for to, n := range m.host.events.Behind() {
			out <- prometheus.MustNewConstMetric(descUntold, prometheus.GaugeValue, float64(n), to)
		}
	}
	if st, err := os.Stat(m.host.config.Roster); err == nil {
		out <- prometheus.MustNewConstMetric(descWritten, prometheus.GaugeValue, float64(st.ModTime().Unix()))
	}
	if free, err := durable.FreeSpace(m.host.config.DataDir); err == nil {
		out <- prometheus.MustNewConstMetric(descFree, prometheus.GaugeValue, float64(free))
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
