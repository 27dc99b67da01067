"""Serves moto on a free port of 127.0.0.1 and prints the port. Corrects moto's KMS where doc.go says so, and in nothing else.

What AWS does is told by https://docs.aws.amazon.com/kms/latest/APIReference/ (API_Sign and so on) and, for the length of the salt, by
https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html.
"""

import base64
import json
import logging

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from moto.core.exceptions import JsonRESTError
from moto.kms.models import KmsBackend
from moto.kms.responses import KmsResponse
from moto.kms.utils import RSAPrivateKey
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

MESSAGE_MAX = 4096  # API_Sign, Message


def key_of(response):
    """The key that a request names, or None."""
    backend, key_id = response.kms_backend, backend_name(response._get_param("KeyId"))
    if key_id.startswith("alias/"):
        key_id = backend.get_key_id_from_alias(key_id)
    return backend.keys.get(backend.get_key_id(key_id)) if key_id else None


def backend_name(key_id):
    """What moto keeps a key or an alias under; "" for none."""
    return KmsBackend.get_alias_name(key_id or "")


def usable(operation):
    """API_Sign and others: DisabledException, KMSInvalidStateException."""

    def checked(self):
        key = key_of(self)
        if key is not None and key.key_state == "PendingDeletion":
            raise JsonRESTError("KMSInvalidStateException", f"{key.arn} is pending deletion.")
        if key is not None and key.key_state == "Disabled":
            raise JsonRESTError("DisabledException", f"{key.arn} is disabled.")
        return operation(self)

    return checked


def sign(operation):
    """API_Sign, MessageType: a digest is signed as it is, a raw message has at most 4,096 bytes."""

    def signed(self):
        message, key = self._get_param("Message"), key_of(self)
        if not message or len(message) > MESSAGE_MAX:
            raise JsonRESTError("ValidationException", "Value at 'message' failed to satisfy constraint: 1 to 4096 bytes")
        if self._get_param("MessageType") != "DIGEST" or key is None or key.key_usage != "SIGN_VERIFY":
            return operation(self)
        algorithm = self._get_param("SigningAlgorithm")
        if algorithm not in key.signing_algorithms:
            return operation(self)
        signature = sign_digest(key.private_key.private_key, message, algorithm)
        return json.dumps({"KeyId": key.arn, "Signature": base64.b64encode(signature).decode(), "SigningAlgorithm": algorithm})

    return signed


def sign_digest(private, digest, algorithm):
    if len(digest) != hashes.SHA256.digest_size:
        raise JsonRESTError("ValidationException", f"Digest is invalid length for algorithm {algorithm}.")
    prehashed = utils.Prehashed(hashes.SHA256())
    if algorithm == "ECDSA_SHA_256":
        return private.sign(digest, ec.ECDSA(prehashed))
    if algorithm == "RSASSA_PSS_SHA_256":
        return private.sign(digest, pss(), prehashed)
    raise JsonRESTError("ValidationException", f"this emulator signs no digests with {algorithm}")


def pss():
    return padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)


def rsa_sign(operation):
    """RSASSA-PSS as AWS has it: the salt is as long as the digest."""

    def signed(self, message, algorithm):
        if algorithm == "RSASSA_PSS_SHA_256":
            return self.private_key.sign(message, pss(), hashes.SHA256())
        return operation(self, message, algorithm)

    return signed


def decrypt(operation):
    """API_Decrypt: IncorrectKeyException where KeyId is not the key of the ciphertext."""

    def decrypted(self, ciphertext_blob, encryption_context, key_id=None):
        try:
            return operation(self, ciphertext_blob, encryption_context, key_id)
        except JsonRESTError as e:
            if key_id is None or e.error_type != "AccessDeniedException":
                raise
            raise JsonRESTError("IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")

    return decrypted


def main():
    KmsResponse.sign = usable(sign(KmsResponse.sign))
    KmsResponse.encrypt = usable(KmsResponse.encrypt)
    KmsResponse.decrypt = usable(KmsResponse.decrypt)
    KmsResponse.get_public_key = usable(KmsResponse.get_public_key)
    KmsBackend.decrypt = decrypt(KmsBackend.decrypt)
    RSAPrivateKey.sign = rsa_sign(RSAPrivateKey.sign)

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    print(server.port, flush=True)
    server.serve_forever()


main()
