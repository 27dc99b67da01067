// Package awskms drives AWS Key Management Service with Amazon's own client, aws-sdk-go-v2.
//
//	awskms:key-id=<id, ARN, alias or name>;region=<region>?endpoint=<URL>
//
// Every part is optional. Credentials come from where AWS programs look for them, in that order: AWS_ACCESS_KEY_ID and so on,
// AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN (Kubernetes), the shared configuration, the container's or the instance's role. The
// region comes from the URI, from an ARN, or from AWS_REGION and the shared configuration; an ARN that contradicts the URI is refused.
//
// A key ID is one of
//
//	arn:aws:kms:<region>:<account>:key/<id>, or …:alias/<name>
//	1234abcd-12ab-34cd-56ef-1234567890ab, mrk-1234abcd12ab34cd56ef1234567890ab     the ID of a key
//	alias/<name>                                                                  an alias
//	<name>                                                                        ours: alias/mpcd/<name>
//
// In our names every byte but letters, digits, "-" and "/" is written as "_" and two hexadecimal digits: "other kek" is
// alias/mpcd/other_20kek. Nodes that share an account give their keys names that differ: "node1/attest". The empty key ID is key-id.
//
// What it promises:
//
//   - An alias is resolved once, at first use; from then on the very key is named in every call, and an answer that speaks of another
//     key is refused. An alias that is moved takes effect when the token is opened again.
//   - Every signature is verified here, with the public key, before it is handed out. Verify never asks the service.
//   - What a key can do is asked of the service, not concluded from its name; a spec that is unknown here is hsm.ErrKeyType.
//   - Throttling, 5xx and lost connections are retried with back-off while the deadline permits; then the error names the cause.
//   - A plaintext endpoint (http://) is refused but on the loopback, since Encrypt and Decrypt carry the secret itself.
//   - No error quotes credentials, also where the service does.
//
// A wrapped secret is what KMS returns, nothing around it, so that it can be decrypted without us:
//
//	aws kms decrypt --key-id … --ciphertext-blob fileb://wrapped \
//	  --encryption-context mpcd-purpose=mpcd/v1/hsm/awskms/wrap,mpcd-aad-sha256=<base64 of SHA-256 of the aad>
//
// What the role must be allowed: kms:GetPublicKey and kms:Sign to sign, kms:DescribeKey, kms:Encrypt and kms:Decrypt to wrap,
// kms:Decrypt alone for Passwords, kms:CreateKey, kms:CreateAlias, kms:DeleteAlias and kms:ScheduleKeyDeletion to make keys,
// kms:ListAliases to list them, kms:GenerateRandom for random bytes.
//
// What it does not do: Ed25519 messages that are empty or longer than 4,096 bytes (KMS takes no digest of them), ML-DSA (nothing here
// can verify it), RSA of other lengths than 3,072 bits, counters. The secret passes through buffers of the HTTP client that nobody
// wipes. Evidence is what DescribeKey says over TLS: a report, not a proof.
package awskms
