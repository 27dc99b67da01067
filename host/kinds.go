package host

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"

	"github.com/luxfi/mpcd/appliance/transport/natsnet"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/vault"
)

const freeSpace = "free space on the disk that is named, then start again; nothing that was acknowledged is lost. If it has space, " +
	"it lacks inodes (`df -i` tells)"

// freeInodes is of a disk with space, where no more files can be made.
const freeInodes = "remove files from the disk that is named, or give it more inodes (`df -i` tells), then start again; nothing that was " +
	"acknowledged is lost"

// kinds maps the errors of the packages to codes and to what can be done, the more particular first.
var kinds = []struct {
	err  error
	code fault.Code
	do   string
}{
	{durable.ErrBroken, fault.CodeStorage, "mend what failed, and start again: the node is then as its disk says. systemd does so by itself"},
	{errForked, fault.CodeFailed, "start it again, which systemd does by itself; of two copies of this machine stop one"},
	{vault.ErrRollback, fault.CodeIntegrity,
		"put the newest copy of the data directory back; if there is none, read `mpcd hsm reanchor --help` before you use this one"},
	{natsnet.ErrCA, fault.CodeUsage, "correct nats.tls.ca, or put the cluster's CA there again"},
	{natsnet.ErrCreds, fault.CodeUsage, "correct nats.creds, or put the file there that the broker's operator made for this node"},
	{vault.ErrRecovery, fault.CodeHSM, "compare hsm.recovery with the officers' recipients, and the identity with both"},
	{vault.ErrWrongKEK, fault.CodeHSM, "set hsm.vault_uri and hsm.vault_key to where the vault is"},
	{hsm.ErrPINSource, fault.CodeUsage,
		"correct pin-source in hsm.uri, or the file, credential or variable it names; the node's user alone may read the file"},
	{hsm.ErrWrongPIN, fault.CodeHSM, "correct the PIN in the source that pin-source names, then start again: it is not tried again by " +
		"itself, nor by a reload. If it is right, the token itself is damaged: restore the token, and nothing else"},
	{hsm.ErrPINLocked, fault.CodeHSM, "have the security officer set a new PIN"},
	{hsm.ErrLastPINTry, fault.CodeHSM, "make sure the PIN is right, log in once with the vendor's tool, then start again"},
	{hsm.ErrCredentials, fault.CodeHSM, "give the node credentials for the service as the reason says, then `mpcd hsm test`"},
	{hsm.ErrNoToken, fault.CodeHSM,
		"compare token= in hsm.uri with `mpcd hsm list`; if it was there before, restore the token, and nothing else"},
	{hsm.ErrNoKey, fault.CodeHSM, "compare the key IDs with `mpcd hsm list`, or make the keys with `mpcd hsm init`"},
	{hsm.ErrKeyExists, fault.CodeHSM, "choose another name, or use what is there"},
	{hsm.ErrAmbiguous, fault.CodeHSM,
		"tell tokens apart by serial= in hsm.uri, and keys of one token by id= in the place of their name in mpcd.yaml"},
	{hsm.ErrKeyType, fault.CodeHSM, "use a key of the type named, see `mpcd hsm list`; if it worked before, the token is damaged: restore " +
		"the token, and nothing else"},
	{hsm.ErrURI, fault.CodeUsage, "correct the URI"},
	{hsm.ErrDevOnly, fault.CodeHSM, "use a token of hardware, or SoftHSM for a pilot"},
	{hsm.ErrUnsupported, fault.CodeHSM, "see `mpcd version` for the drivers of this build"},
	{durable.ErrMoved, fault.CodeStorage,
		"put the data directory back that the node was started on, or the file of it that is named, then start again; nothing in it is lost"},
	{durable.ErrInodes, fault.CodeStorage, freeInodes},
	{durable.ErrFull, fault.CodeStorage, freeSpace},
	{syscall.ENOSPC, fault.CodeStorage, freeSpace},
	{syscall.EDQUOT, fault.CodeStorage, freeSpace},
	{syscall.EROFS, fault.CodeStorage, "mount the disk that is named writable, then start again"},
	{hsm.ErrUnavailable, fault.CodeHSM, "check that the token is connected and its library installed, then `mpcd hsm test`; " +
		"one that worked before may be damaged: restore the token, and nothing else"},
	{syscall.EIO, fault.CodeStorage, "look at the disk: the system's log says what failed; keep a copy of it as it is"},
	{durable.ErrUnread, fault.CodeStorage, "look at the disk: the system's log says what failed; keep a copy of it as it is"},
	{hsm.ErrIntegrity, fault.CodeIntegrity, keepDisk},
	{vault.ErrIntegrity, fault.CodeIntegrity, keepDisk},
	{durable.ErrCorrupt, fault.CodeIntegrity, keepDisk},
	{durable.ErrLocked, fault.CodeUsage, "stop the other process that uses this data directory"},
	{attest.ErrRoster, fault.CodeIntegrity, "compare roster and roster_root with what the operator handed out"},
	{attest.ErrUnknownNode, fault.CodeIntegrity, "use the roster that the receipt was made under"},
	{context.DeadlineExceeded, fault.CodeTimeout, "repeat the command; a longer --timeout may help"},
	{context.Canceled, fault.CodeTimeout, "repeat the command"},
	{os.ErrPermission, fault.CodeUsage, "check who owns the file"},
	{os.ErrNotExist, fault.CodeUsage, "check the path"},
	{syscall.EISDIR, fault.CodeUsage, "name a file, not a directory"},
	{syscall.ENOTDIR, fault.CodeUsage, "check the path: a file stands where a directory should"},
	{ErrOpen, fault.CodeHSM, "correct what is named, then look with `mpcd hsm list`"},
}

// keepDisk is what to do with stored data that is not what it should be. An older copy in its place would be worse.
const keepDisk = "keep the disk as it is and restore no older copy of the data directory; sign with the other nodes, see docs/OPERATIONS.md"

// KindOf is the code of an error of the packages, and what can be done; CodeFailed and nothing of any other.
func KindOf(err error) (fault.Code, string) {
	if errors.As(err, new(*canon.VersionError)) {
		return fault.CodeIntegrity, "use the release that wrote it"
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			if open := new(openError); errors.As(err, &open) {
				return k.code, strings.ReplaceAll(k.do, "hsm.uri", open.setting)
			}
			return k.code, k.do
		}
	}
	return fault.CodeFailed, ""
}
