"""A certificate for 127.0.0.1, made when the tests run, and a server that uses it."""

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from conformance.servers import Server, ServerKind

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Where the files are."""

    key: Path
    chain: Path

    def trusted(self) -> ssl.SSLContext:
        """A client's context that trusts this certificate and no other."""
        return ssl.create_default_context(cafile=str(self.chain))


def make_certificate(directory: Path) -> Certificate:
    """A key, and a certificate that it signed itself, good from yesterday until tomorrow."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = Certificate(directory / "key.pem", directory / "certificate.pem")
    made.chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return made


class TlsServer(Server):
    """uvicorn with `--ssl-keyfile` and `--ssl-certfile`."""

    def __init__(self, kind: ServerKind, *, directory: Path) -> None:
        certificate = make_certificate(directory)
        self.trusted = certificate.trusted()
        options = ("--ssl-keyfile", str(certificate.key), "--ssl-certfile", str(certificate.chain))
        super().__init__(kind, directory=directory, extra=options)

    async def post(self, path: str, *, timeout: float = 30) -> Any:
        """The JSON that the application answers."""
        async with httpx.AsyncClient(verify=self.trusted, trust_env=False, timeout=timeout) as client:
            answer = await client.post(f"https://127.0.0.1:{self.port}{path}")
            return answer.raise_for_status().json()

    def _http(self) -> HTTPConnection:
        return HTTPSConnection("127.0.0.1", self.port, timeout=5, context=self.trusted)
