package api

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"

	"github.com/luxfi/mpcd/appliance/problem"
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
	Dev       bool     // one developer, who does everything
	Vaults    []string // whose wallets alone it is let in for, "" for those of no vault; nil is all
}

// apart are roles that one identity may not have together, whatever it asks for, and why. What only reads stands apart from nothing: a
// record that its reader cannot change is no duty of his.
var apart = []struct {
	a, b Role
	why  string
}{
	{Requester, Approver, "who asks for a signature does not approve it"},
	{Requester, PolicyAuthor, "who writes the rules does not ask under them"},
	{Approver, PolicyAuthor, "who writes the rules does not approve what they hold back"},
	{Requester, RecoveryOfficer, "who can restore a key does not sign with it"},
	{KeyAdmin, RecoveryOfficer, "who makes keys does not restore them"},
}

// CheckDuties refuses roles that must be kept apart.
func CheckDuties(roles []Role) error {
	for _, x := range apart {
		if slices.Contains(roles, x.a) && slices.Contains(roles, x.b) {
			return fmt.Errorf("the roles %s and %s are together: %s", x.a, x.b, x.why)
		}
	}
	return nil
}

// mayUse refuses an identity that has none of the roles, or roles that must be kept apart.
func (id Identity) mayUse(roles []Role) error {
	if !slices.ContainsFunc(roles, func(r Role) bool { return slices.Contains(id.Roles, r) }) {
		return &problem.Error{Code: problem.Denied, Message: fmt.Sprintf("%s has none of the roles %v", id.Requester, roles)}
	}
	if err := CheckDuties(id.Roles); err != nil && !id.Dev {
		return &problem.Error{Code: problem.Denied, Message: id.Requester + " may do nothing here", Err: err,
			Next: "have two identities for them, each with a token of its own"}
	}
	return nil
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
	return Identity{Requester: "dev", Roles: Roles(), Dev: true}, nil
}

// nobody is what stands where no Authenticator was given.
type nobody struct{}

func (nobody) Authenticate(*http.Request) (Identity, error) {
	return Identity{}, errors.New("no authentication is configured on this node")
}
