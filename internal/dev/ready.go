package dev

import (
	"path/filepath"

	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host"
)

// Ready is what dev tells once the cluster is ready, as JSON in one line.
type Ready struct {
	API     string `json:"api"`
	Token   string `json:"token"`
	Nodes   []Node `json:"nodes"`
	Data    string `json:"data"`
	HSM     string `json:"hsm"`
	Roster  string `json:"roster"`
	Root    string `json:"roster_root"` // what the nodes trust the roster by
	Wallets []Key  `json:"wallets"`
}

// Node is a node's process.
type Node struct {
	ID  string `json:"id"`
	API string `json:"api"`
	PID int    `json:"pid"`
	// Command brings the node back after its process ended.
	Command []string `json:"command"`
}

// Key is a key that was made.
type Key struct {
	WalletID  string   `json:"wallet_id"`
	Curve     string   `json:"curve"`
	Protocol  string   `json:"protocol"`
	PublicKey wire.Hex `json:"public_key"`
	Address   string   `json:"address"`
}

// ready tells of the cluster as it is.
func (c *Cluster) ready(keys []wire.Wallet) (Ready, error) {
	r := Ready{API: c.members[0].url(), Data: c.Data, HSM: c.HSM, Roster: c.rosterPath()}
	vs := host.Defaults()
	if err := vs.File(filepath.Join(c.members[0].dir, "mpcd.yaml")); err != nil {
		return r, err
	}
	r.Root = vs["roster_root"].Text
	for _, m := range c.members {
		r.Nodes = append(r.Nodes, Node{ID: m.id, API: m.url(), PID: m.pid(), Command: append([]string{c.family.program}, m.args...)})
	}
	for _, k := range keys {
		r.Wallets = append(r.Wallets, Key{k.WalletID, k.Curve, k.Protocol, k.PublicKey, k.Address})
	}
	return r, nil
}
