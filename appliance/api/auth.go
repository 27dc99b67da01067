package api

import (
	"errors"
	"net"
	"net/http"
	"slices"
)

// Role is what a requester may do.
type Role string

// The roles.
const (
	Viewer          Role = "viewer"           // reads wallets, nodes and receipts
	Requester       Role = "requester"        // asks for signatures
	Approver        Role = "approver"         // approves what policy holds back
	PolicyAuthor    Role = "policy-author"    // writes policy
	KeyAdmin        Role = "key-admin"        // makes, refreshes and proves keys
	NodeOperator    Role = "node-operator"    // watches the node
	Auditor         Role = "auditor"          // reads the audit log
	RecoveryOfficer Role = "recovery-officer" // restores
)

// Roles lists all roles.
func Roles() []Role {
	return []Role{Viewer, Requester, Approver, PolicyAuthor, KeyAdmin, NodeOperator, Auditor, RecoveryOfficer}
}

// Identity is who asks.
type Identity struct {
	Requester string // the name that the audit log and receipts show
	Roles     []Role
}

// may tells whether the identity has one of the roles.
func (id Identity) may(roles []Role) bool {
	return slices.ContainsFunc(roles, func(r Role) bool { return slices.Contains(id.Roles, r) })
}

// Authenticator says who asks. An error means nobody known; its text goes to the requester as the reason of the 401, so it must
// not help to guess. A *problem.Error is answered as it says. Implementations are safe for concurrent use.
type Authenticator interface {
	Authenticate(r *http.Request) (Identity, error)
}

// Dev lets everybody on this machine do everything, under the name "dev", and nobody else anything. It must stand behind the
// guard against browsers that Config.Dev puts up.
type Dev struct{}

// Authenticate accepts connections from the loopback interface.
func (Dev) Authenticate(r *http.Request) (Identity, error) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return Identity{}, errors.New("dev mode serves this machine only")
	}
	return Identity{Requester: "dev", Roles: Roles()}, nil
}

// nobody is what stands where no Authenticator was given.
type nobody struct{}

func (nobody) Authenticate(*http.Request) (Identity, error) {
	return Identity{}, errors.New("no authentication is configured on this node")
}
