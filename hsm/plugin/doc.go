// Package plugin keeps drivers in processes of their own: a vendor's library never sees the memory of the node, and its crash is
// not the node's.
//
// Driver makes an hsm.OpenFunc of a command, such as `mpcd hsm-plugin`, which is the same program and calls Serve with the drivers
// that load PKCS#11 libraries. External does so for drivers of others, executables named mpcd-hsm-<name> in one directory, opened
// by plugin:<name>. Both speak the protocol of package wire over a private socket, with TLS keys made anew for each process
// (hashicorp/go-plugin carries it).
//
// What it promises:
//
//   - A signature leaves this package only after it verified here, with the public key that the token told first. A process that
//     tells another one for the same key is refused (ErrKeyChanged).
//   - A process that ends or hangs is replaced; it is dead and waited for before the next one starts, so that never two of them
//     have one token directory. What reads, signs or wraps is repeated once; what makes or counts is not: then the caller is told
//     that the outcome is unknown.
//   - A PIN that was refused, or whose first try had no outcome, is not tried again by this process, in whatever child. A PIN is in
//     no argument, no environment and no log of ours. The child reads it from file: and cred: itself; from env:, and where the child
//     runs as another user, the node hands it over the socket once.
//   - The child has no new privileges, few capabilities, no core dumps, no debugger, no sockets but local ones, no execve, no signals
//     to others, and of the file system what the sandbox names. What the kernel does not offer is missing and said so (About.Sandbox).
//   - The child ends with the node, however that ends.
//
// What it does not do: it cannot keep a driver from doing wrong with its own token, such as wrapping under a key that it tells
// someone. Copies of secrets in the buffers of TLS are not wiped; those of gRPC and our own are.
package plugin
