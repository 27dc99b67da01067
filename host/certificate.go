package host

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/transport/natsnet"
	"github.com/luxfi/mpcd/host/fault"
)

// lookEvery is how often the files of certificates are looked at. From RenewalDue on they are told of in the log, once a day.
const lookEvery = time.Second

// RenewalDue is when two thirds of a certificate's life are over: then it should be renewed, while there is time to.
func RenewalDue(c *x509.Certificate) time.Time {
	return c.NotAfter.Add(c.NotBefore.Sub(c.NotAfter) / 3)
}

// judge refuses a certificate, which is the first of those in a file.
type judge func(chain []*x509.Certificate) error

// certificate is a certificate of the node with its key, in files. What takes their place is taken up while the node runs, if it is good.
type certificate struct {
	use, cert, key string
	judge          judge
	log            *slog.Logger
	clock          func() time.Time

	mu     sync.Mutex
	pair   *tls.Certificate
	leaf   *x509.Certificate
	marks  [2]fileMark
	looked time.Time
	told   time.Time // when its end was told last
	// refused is why what is in the files was not taken up, as it was told last
	refused string
}

// fileMark tells a file from another that took its place.
type fileMark struct {
	size int64
	at   time.Time
}

func markOf(path string) (m fileMark) {
	if st, err := os.Stat(path); err == nil {
		m = fileMark{st.Size(), st.ModTime()}
	}
	return m
}

// openCertificate reads a certificate for a use, as "routes".
func openCertificate(use, cert, key string, judge judge) (*certificate, error) {
	c := &certificate{use: use, cert: cert, key: key, judge: judge, log: slog.New(slog.DiscardHandler), clock: time.Now}
	return c, c.read()
}

// read takes up what is in the files. The caller holds mu, or is alone.
func (c *certificate) read() error {
	c.marks = [2]fileMark{markOf(c.cert), markOf(c.key)}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return marked(c.cert, err)
	}
	chain, err := parseChain(pair.Certificate)
	if err == nil {
		err = c.judge(chain)
	}
	if err != nil {
		return err
	}
	leaf := chain[0]
	if c.leaf != nil && inTime(c.leaf, c.clock()) == nil {
		if err = inTime(leaf, c.clock()); err != nil { // it may begin by itself
			c.marks = [2]fileMark{}
		}
	}
	if err == nil {
		c.pair, c.leaf, c.told = &pair, leaf, time.Time{}
	}
	return err
}

// parseChain parses a certificate and those that come with it. What one of these has not signed, in whose name it comes, was damaged.
func parseChain(der [][]byte) (chain []*x509.Certificate, err error) {
	for _, b := range der {
		c, err := x509.ParseCertificate(b)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	leaf := chain[0]
	for _, by := range chain {
		if bytes.Equal(leaf.RawIssuer, by.RawSubject) {
			if err = by.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature); err == nil {
				return chain, nil
			}
		}
	}
	return chain, err
}

// marked is why a text could not be read, which may be that it begins with a byte order mark, as editors of Windows write it.
func marked(path string, err error) error {
	const mark = "\xef\xbb\xbf"
	f, opened := os.Open(path)
	if opened != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, len(mark))
	if _, short := io.ReadFull(f, b); short == nil && string(b) == mark {
		return fmt.Errorf("%s begins with a byte order mark, save it without one: %w", path, err)
	}
	return err
}

// look takes up files that have changed, and tells of an end that is near.
func (c *certificate) look(now bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.clock()
	if !now && t.Sub(c.looked) < lookEvery {
		return
	}
	c.looked = t
	if now || c.marks != [2]fileMark{markOf(c.cert), markOf(c.key)} {
		if err := c.read(); err != nil {
			if c.refused != err.Error() {
				c.refused = err.Error()
				c.log.Warn("the certificate's files are not taken up: the one before is shown", "use", c.use, "file", c.cert, "error", err)
			}
		} else {
			c.refused = ""
			c.log.Info("certificate", "use", c.use, "file", c.cert, "until", c.leaf.NotAfter)
		}
	}
	if t.After(RenewalDue(c.leaf)) && t.Sub(c.told) >= 24*time.Hour {
		c.told = t
		left, what := c.leaf.NotAfter.Sub(t), "the certificate ends soon"
		if left <= 0 {
			what = "the certificate has expired, and nobody speaks to this node"
		}
		c.log.Warn(what+": have it renewed with `mpcd node renew`, or by your CA", "use", c.use, "file", c.cert, "until", c.leaf.NotAfter,
			"days", int(left.Hours()/24))
	}
}

// get is the certificate of now.
func (c *certificate) get() (*tls.Certificate, error) {
	c.look(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pair, nil
}

// notAfter is when the certificate in use ends.
func (c *certificate) notAfter() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaf.NotAfter
}

// check tells whether it is in its time.
func (c *certificate) check() appliance.Check {
	c.look(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	x := appliance.Check{Name: "certificate-" + c.use, OK: true, Detail: "valid until " + c.leaf.NotAfter.UTC().Format(time.RFC3339)}
	if err := inTime(c.leaf, c.clock()); err != nil {
		x.OK, x.Detail, x.Next = false, err.Error(), renewal+"; or set the clock, if that is wrong"
	}
	return x
}

// inTime refuses a certificate outside of its time.
func inTime(c *x509.Certificate, now time.Time) error {
	if now.After(c.NotAfter) || now.Before(c.NotBefore) {
		return fmt.Errorf("it is valid from %s to %s", c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// renewal is what to do about a certificate that does not serve.
const renewal = "have it renewed: `mpcd node renew` at the operator's, or your CA"

// authorities are the CAs of the cluster; nil where nats.tls.ca is a broker's, or is not set.
func (c Config) authorities() (natsnet.Authorities, error) {
	if c.NATS.URL != "" || c.NATS.CA == "" {
		return nil, nil
	}
	as, err := natsnet.LoadAuthorities(c.NATS.CA)
	if err == nil {
		err = as.Check()
	}
	return as, err
}

// routeCertificate is what the node shows other nodes, which must name this node and be of the cluster's CA.
func (c Config) routeCertificate() (*certificate, error) {
	if c.NATS.Cert == "" {
		return nil, nil
	}
	authorities := sync.OnceValues(c.authorities)
	x, err := openCertificate("routes", c.NATS.Cert, c.NATS.Key, func(chain []*x509.Certificate) error {
		if c.NATS.URL != "" { // who has the broker judges
			return nil
		}
		if err := natsnet.CheckNode(chain[0], c.Cluster, c.Node); err != nil {
			return err
		}
		cas, err := authorities()
		if err == nil && cas != nil {
			if err = cas.CheckRoute(chain, c.Cluster); err != nil {
				err = fmt.Errorf("by nats.tls.ca its peers refuse it: %w", err)
			}
		}
		return err
	})
	if errors.Is(err, natsnet.ErrCA) {
		return nil, err
	}
	if err != nil {
		return nil, fault.Usage(missingFile(err, "nats.tls", "correct nats.tls.cert and nats.tls.key, or "+renewal),
			"route certificate: %w", err)
	}
	return x, nil
}

// apiCertificate is what the node shows clients; nil for none. It is of this node and the cluster's CA, or of a CA that knows of no nodes.
func (c Config) apiCertificate() (*certificate, error) {
	if c.API.Cert == "" {
		return nil, nil
	}
	authorities := sync.OnceValues(c.authorities)
	x, err := openCertificate("api", c.API.Cert, c.API.Key, func(chain []*x509.Certificate) error {
		if err := natsnet.CheckNode(chain[0], c.Cluster, c.Node); errors.Is(err, natsnet.ErrOtherNode) {
			return err
		}
		cas, err := authorities()
		if cas != nil && slices.ContainsFunc(chain, cas.Claimed) {
			if err = cas.CheckServer(chain); err != nil {
				err = fmt.Errorf("by nats.tls.ca its clients refuse it: %w", err)
			}
		}
		return err
	})
	if errors.Is(err, natsnet.ErrCA) {
		return nil, err
	}
	if err != nil {
		return nil, fault.Usage(missingFile(err, "api.tls", "correct api.tls.cert and api.tls.key, or node_id; or "+renewal),
			"API certificate: %w", err)
	}
	return x, nil
}

// missingFile is what to do about a certificate's file that does not exist, or may not be read, and otherwise do.
func missingFile(err error, settings, do string) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "check who owns the file"
	case !errors.Is(err, fs.ErrNotExist):
		return do
	}
	return fmt.Sprintf("bring roster.json and this node's tls/ from the operator's, where `mpcd node roster sign` writes them, "+
		"or correct %s.cert and %s.key", settings, settings)
}

// certificates are those of a host.
type certificates struct {
	mu  sync.Mutex
	all []*certificate
}

// add has a certificate looked after; nil adds none.
func (cs *certificates) add(c *certificate, o Options) {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.log, c.clock = o.Log, o.Clock
	c.mu.Unlock()
	c.look(false)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.all = append(cs.all, c)
}

func (cs *certificates) each() []*certificate {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return append([]*certificate(nil), cs.all...)
}

// checks are what the host adds to the node's readiness.
func (cs *certificates) checks() []appliance.Check {
	var out []appliance.Check
	for _, c := range cs.each() {
		out = append(out, c.check())
	}
	return out
}
