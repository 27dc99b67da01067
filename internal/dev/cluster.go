package dev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
)

// clusterName is the name of every cluster made here.
const clusterName = "dev"

// Config says what cluster is started.
type Config struct {
	Nodes     int
	Threshold int
	Data      string // directory to keep the cluster in; a temporary one if empty
	Listen    string // address of the first node's API, on loopback; the others take the next free ports
	HSM       string // softhsm, local, or a URI in which %n stands for the node's name
	// InitiatorConfig is a configuration with event_initiator_pubkey, who may then ask beside the initiator that is made here; "" is what the
	// environment has of that setting, if anything.
	InitiatorConfig string
	Logs            bool // the nodes log to our stderr, not to files
	Note            func(format string, a ...any)
}

// DefaultHSM is softhsm where it is installed, else local.
func DefaultHSM() string {
	if host.HasSoftHSM() {
		return "softhsm"
	}
	return "local"
}

// Check refuses what cannot be started.
func (c Config) Check() error {
	if err := enrol.CheckThreshold(c.Threshold, c.Nodes); err != nil {
		return err
	}
	name, _, err := net.SplitHostPort(c.Listen)
	ip := net.ParseIP(name)
	if err != nil {
		return fault.Usage("use --listen 127.0.0.1:PORT", "%q is no HOST:PORT", c.Listen)
	}
	if name != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fault.Usage("use --listen 127.0.0.1:PORT; for other machines there is `mpcd init` and `mpcd start`",
			"%q is not on loopback, and dev speaks plain HTTP", c.Listen)
	}
	if c.HSM == "softhsm" || c.HSM == "local" {
		return nil
	}
	if _, err := hsm.ParseURI(enrol.NodeURI(c.HSM, "node1")); err != nil {
		return fault.Usage("use --hsm softhsm, --hsm local, or a URI in which %n stands for the node's name", "--hsm: %w", err)
	}
	return nil
}

// Cluster is a cluster whose nodes were started.
type Cluster struct {
	Config
	Began time.Time

	temporary bool
	family    *family
	members   []*member
}

// Start makes the cluster, or finds the one that was kept, starts its nodes and waits until each is ready. The caller ends it.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	c := &Cluster{Config: cfg, Began: time.Now()}
	if err := c.Check(); err != nil {
		return nil, err
	}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.End())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) (err error) {
	if c.Data == "" {
		if c.Data, err = os.MkdirTemp("", "mpcd-dev-"); err != nil {
			return host.NoTemporary(err)
		}
		c.temporary = true
	} else {
		c.Data, err = filepath.Abs(c.Data)
	}
	if err != nil {
		return err
	}
	if c.family, err = newFamily(); err != nil {
		return err
	}
	if err := c.prepare(ctx); err != nil {
		return err
	}
	if err := c.eventInitiator(); err != nil {
		return err
	}
	if err := c.places(); err != nil {
		return err
	}
	for _, m := range c.members {
		if err := c.family.start(m); err != nil {
			return err
		}
	}
	for _, m := range c.members {
		if err := m.waitReady(ctx); err != nil {
			return err
		}
	}
	c.Note("%d nodes are up (%s); they sign as %s what callers ask for unsigned, which no node does outside of dev", c.Nodes, c.Since(),
		enrol.PilotInitiator)
	return nil
}

// prepare makes the cluster, or finds the one that was kept.
func (c *Cluster) prepare(ctx context.Context) error {
	if _, err := os.Stat(c.rosterPath()); !errors.Is(err, os.ErrNotExist) {
		if err := c.sameAsBefore(); err != nil {
			return err
		}
		c.Note("found the cluster of %d nodes in %s", c.Nodes, c.Data)
		return nil
	}
	if err := host.Harden(); err != nil { // it makes every node's secrets
		return err
	}
	p := enrol.Plan{Cluster: clusterName, Dir: c.Data, Nodes: c.Nodes, Threshold: c.Threshold, HSM: c.HSM, APIPort: enrol.APIPort,
		RoutePort: enrol.RoutePort,
		Dev:       true, Plain: true, Note: func(string, ...any) {}}
	if _, _, err := p.CarryOut(ctx); err != nil {
		return err
	}
	c.Note("made %d nodes, each with its own token (%s)", c.Nodes, c.HSM)
	return nil
}

// eventInitiator puts the key of event_initiator_pubkey into the authority, where it is not yet.
func (c *Cluster) eventInitiator() error {
	key, err := host.EventInitiatorFrom(c.InitiatorConfig)
	if err != nil || key == nil {
		return err
	}
	added, err := enrol.PilotAdds(c.Data, c.Nodes, key)
	if added {
		c.Note("%s may ask, too, by the key of event_initiator_pubkey", enrol.EventInitiator)
	}
	return err
}

// sameAsBefore refuses other numbers than those of a cluster that was kept.
func (c *Cluster) sameAsBefore() error {
	for k := range c.Nodes + 1 {
		_, err := os.Stat(filepath.Join(c.Data, "node"+strconv.Itoa(k+1), "mpcd.yaml"))
		if (err == nil) != (k < c.Nodes) {
			return fault.Usage("give the --nodes it was made with, or another --data", "the cluster in %s has not %d nodes", c.Data, c.Nodes)
		}
	}
	vs := host.Defaults()
	if err := vs.File(filepath.Join(c.Data, "node1", "mpcd.yaml")); err != nil {
		return err
	}
	if got := vs["threshold"].Text; got != strconv.Itoa(c.Threshold) {
		return fault.Usage("give --threshold "+got+", or another --data", "the cluster in %s has threshold %s", c.Data, got)
	}
	return nil
}

// places gives every node its addresses: the first API as asked, the others on the next free ports.
func (c *Cluster) places() error {
	apis, err := freePorts(c.Listen, c.Nodes)
	if err != nil {
		return err
	}
	routes, err := freePorts("127.0.0.1:0", c.Nodes)
	if err != nil {
		return err
	}
	for k := range c.Nodes {
		name := "node" + strconv.Itoa(k+1)
		m := &member{id: name, api: apis[k], dir: filepath.Join(c.Data, name), logs: c.Logs}
		m.args = []string{"start", "--dev", "--config", filepath.Join(m.dir, "mpcd.yaml"), "--listen", apis[k], "--nats-listen", routes[k],
			"--nats-routes", others(routes, k)}
		c.members = append(c.members, m)
	}
	return nil
}

// Since is how long ago the start began, for people.
func (c *Cluster) Since() string { return fmt.Sprintf("%.1f s", time.Since(c.Began).Seconds()) }

func (c *Cluster) rosterPath() string { return filepath.Join(c.Data, "cluster", enrol.RosterFile) }

// Watch stays until the end of ctx, and tells of nodes that end by themselves.
func (c *Cluster) Watch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			c.Note("stopping %d nodes", c.Nodes)
			return
		case m := <-c.family.ended:
			c.Note("%s: process %d ended (%v); the others carry on. To bring it back:\n  %s %s", m.id, m.lastPID, m.lastErr, c.family.program,
				strings.Join(m.args, " "))
			c.Note("the end of its log, %s:\n%s", m.logPath(), m.tail())
		}
	}
}

// End stops every process and removes what was temporary.
func (c *Cluster) End() error {
	if c.family != nil {
		c.family.end(c.members)
	}
	if c.temporary {
		return os.RemoveAll(c.Data)
	}
	return nil
}
